/* Reference pooling. Padding never wins a maximum; of equal values the first in row-major order
 * does.
 *
 * Backward gathers: an input element asks every cell of the window which output it was part of. */
#include "kernels/ref/ref.h"
#include "kernels/window.h"

/* An element [n, h, w, c] of an image. */
struct spot {
    int64_t n, h, w, c;
};

static int64_t element(const int64_t size[2], int64_t channels, struct spot spot)
{
    return ((spot.n * size[0] + spot.h) * size[1] + spot.w) * channels + spot.c;
}

/* Visits all elements of an image of this height and width in row-major order. */
static bool next(struct spot *spot, const struct window *window, const int64_t size[2])
{
    if (++spot->c < window->channels) return true;
    spot->c = 0;
    if (++spot->w < size[1]) return true;
    spot->w = 0;
    if (++spot->h < size[0]) return true;
    spot->h = 0;
    return ++spot->n < window->batch;
}

/* The input element under a cell of the window at `spot`, or -1 in the padding. */
static int64_t cell_input(const struct window *window, struct spot spot, int64_t cell)
{
    spot.h = window_place(window, 0, spot.h, cell / window->size[1]);
    spot.w = window_place(window, 1, spot.w, cell % window->size[1]);
    return window_inside(window, spot.h, spot.w) ? element(window->in, window->channels, spot) : -1;
}

/* The output element whose window has `cell` over the input element `spot`, or -1. */
static int64_t cell_output(const struct window *window, struct spot spot, int64_t cell)
{
    spot.h = window_position(window, 0, spot.h, cell / window->size[1]);
    spot.w = window_position(window, 1, spot.w, cell % window->size[1]);
    return spot.h >= 0 && spot.w >= 0 ? element(window->out, window->channels, spot) : -1;
}

static int64_t cell_count(const struct window *window)
{
    return window->size[0] * window->size[1];
}

void ref_max_pool(struct op_call *call)
{
    struct window window = pool_window(call->attr, &call->in[0].shape);
    struct spot spot = { 0 };
    do {
        double best = 0;
        int64_t index = -1, to = element(window.out, window.channels, spot);
        for (int64_t cell = 0; cell < cell_count(&window); cell++) {
            int64_t from = cell_input(&window, spot, cell);
            if (from < 0) continue;
            double x = ref_get(call, 0, from);
            /* Not-a-number wins, so that it does not vanish in a pool. */
            if (index >= 0 && !(x > best || (isnan(x) && !isnan(best)))) continue;
            best = x;
            index = cell;
        }
        ref_put_exact(call, 0, to, best);
        ref_put_exact(call, 1, to, (double)index);
    } while (next(&spot, &window, window.out));
}

void ref_max_pool_bwd(struct op_call *call)
{
    struct window window = pool_window(call->attr, &call->out[0].shape);
    struct spot spot = { 0 };
    do {
        struct sum dx = { 0 };
        for (int64_t cell = 0; cell < cell_count(&window); cell++) {
            int64_t from = cell_output(&window, spot, cell);
            if (from >= 0 && (int64_t)ref_get(call, 1, from) == cell)
                sum_add(&dx, ref_get(call, 0, from));
        }
        ref_put(call, 0, element(window.in, window.channels, spot), dx);
    } while (next(&spot, &window, window.in));
}

/* What a window of avg_pool divides by: its real cells, or all. */
static double divisor(const struct op_call *call, const struct window *window, struct spot spot)
{
    int64_t real = 0;
    if (call->attr->pool.count_padding) return (double)cell_count(window);
    for (int64_t cell = 0; cell < cell_count(window); cell++)
        real += cell_input(window, spot, cell) >= 0;
    return (double)real;
}

void ref_avg_pool(struct op_call *call)
{
    struct window window = pool_window(call->attr, &call->in[0].shape);
    struct spot spot = { 0 };
    do {
        struct sum y = { 0 };
        double share = 1 / divisor(call, &window, spot);
        for (int64_t cell = 0; cell < cell_count(&window); cell++) {
            int64_t from = cell_input(&window, spot, cell);
            if (from >= 0) sum_add(&y, share * ref_get(call, 0, from));
        }
        ref_put(call, 0, element(window.out, window.channels, spot), y);
    } while (next(&spot, &window, window.out));
}

void ref_avg_pool_bwd(struct op_call *call)
{
    struct window window = pool_window(call->attr, &call->out[0].shape);
    struct spot spot = { 0 };
    do {
        struct sum dx = { 0 };
        for (int64_t cell = 0; cell < cell_count(&window); cell++) {
            int64_t from = cell_output(&window, spot, cell);
            if (from < 0) continue;
            struct spot over = { .n = spot.n,
                                 .h = window_position(&window, 0, spot.h, cell / window.size[1]),
                                 .w = window_position(&window, 1, spot.w, cell % window.size[1]) };
            sum_add(&dx, ref_get(call, 0, from) / divisor(call, &window, over));
        }
        ref_put(call, 0, element(window.in, window.channels, spot), dx);
    } while (next(&spot, &window, window.in));
}

void ref_global_avg_pool(struct op_call *call)
{
    const int64_t *x = call->in[0].shape.dim;
    int64_t pixels = x[1] * x[2], channels = x[3];
    for (int64_t n = 0; n < x[0]; n++)
        for (int64_t c = 0; c < channels; c++) {
            struct sum y = { 0 };
            for (int64_t p = 0; p < pixels; p++)
                sum_add(&y, ref_get(call, 0, (n * pixels + p) * channels + c) / (double)pixels);
            ref_put(call, 0, n * channels + c, y);
        }
}

void ref_global_avg_pool_bwd(struct op_call *call)
{
    const int64_t *x = call->out[0].shape.dim;
    int64_t pixels = x[1] * x[2], channels = x[3];
    for (int64_t i = 0; i < x[0] * pixels * channels; i++) {
        double dy = ref_get(call, 0, i / (pixels * channels) * channels + i % channels);
        ref_put_exact(call, 0, i, dy / (double)pixels);
    }
}
