/* Reference of batch_norm, activation and max pool in one: the composition of its parts, in f64
 * without rounding in between. */
#include "kernels/ref/norm.h"
#include "kernels/window.h"

/* The element of input cell `cell` of the window at output (n, h, w), channel c. */
static int64_t cell_input(const struct window *window, int64_t pixel, int64_t cell, int64_t c)
{
    int64_t w = pixel % window->out[1], h = pixel / window->out[1] % window->out[0];
    int64_t n = pixel / (window->out[0] * window->out[1]);
    int64_t row = window_place(window, 0, h, cell / window->size[1]);
    int64_t column = window_place(window, 1, w, cell % window->size[1]);
    return ((n * window->in[0] + row) * window->in[1] + column) * window->channels + c;
}

void ref_bn_act_pool(struct op_call *call)
{
    struct window window = norm_window(call->attr, &call->in[0].shape);
    int64_t pixels = window.batch * window.out[0] * window.out[1];
    for (int64_t c = 0; c < window.channels; c++) {
        struct channel channel = channel_of_batch(call, c);
        for (int64_t pixel = 0; pixel < pixels; pixel++) {
            struct sum best = { 0 };
            int64_t index = -1;
            double size = 0; /* a rounded rival may win, so the largest magnitude counts */
            for (int64_t cell = 0; cell < window.size[0] * window.size[1]; cell++) {
                double x = ref_get(call, 0, cell_input(&window, pixel, cell, c));
                struct sum y = activation_of(call->attr->norm.act, channel_apply(&channel, x));
                size = fmax(size, y.size);
                if (index >= 0 && !(y.value > best.value || (isnan(y.value) && !isnan(best.value))))
                    continue;
                best = y;
                index = cell;
            }
            best.size = size;
            ref_put(call, 0, pixel * window.channels + c, best);
            ref_put_exact(call, 3, pixel * window.channels + c, (double)index);
        }
    }
}

/* The gradient at x behind normalisation: routed through the pool, times the activation's slope. */
static struct sum routed(const struct op_call *call, const struct window *window,
                         const struct channel *channel, int64_t at)
{
    int64_t c = at % window->channels, column = at / window->channels % window->in[1];
    int64_t row = at / (window->channels * window->in[1]) % window->in[0];
    int64_t n = at / (window->channels * window->in[1] * window->in[0]);
    int64_t side = window->size[0], h = row / side, w = column / side;
    if (h >= window->out[0] || w >= window->out[1]) return (struct sum){ 0 };
    int64_t from = ((n * window->out[0] + h) * window->out[1] + w) * window->channels + c;
    if (call_has_in(call, 6) &&
        (int64_t)ref_get(call, 6, from) != row % side * side + column % side)
        return (struct sum){ 0 };
    enum activation act = call->attr->norm.act;
    struct sum z = channel_apply(channel, ref_get(call, 1, at));
    double dy = ref_get(call, 0, from), slope = activation_slope(act, z.value);
    /* The slope of a smooth activation changes at a rate of at most 1. */
    double bend = act == ACT_NONE || act == ACT_RELU ? 0 : 1 + z.size;
    return (struct sum){ dy * slope, fabs(dy) * (fabs(slope) + bend) };
}

void ref_bn_act_pool_bwd(struct op_call *call)
{
    struct window window = norm_window(call->attr, &call->in[1].shape);
    int64_t channels = window.channels, rows = row_count(&call->in[1]);
    for (int64_t c = 0; c < channels; c++) {
        double mean = ref_get(call, 4, c), rstd = ref_get(call, 5, c);
        struct channel channel = { .mean = { mean, fabs(mean) },
                                   .rstd = { rstd, rstd },
                                   .gamma = ref_get(call, 2, c),
                                   .beta = ref_get(call, 3, c) };
        struct sum totals[2] = { 0 }; /* dgamma, dbeta */
        for (int64_t i = c; i < rows * channels; i += channels) {
            struct sum g = routed(call, &window, &channel, i);
            struct sum hat = channel_hat(&channel, ref_get(call, 1, i));
            sum_add_scaled(&totals[0], g.value, hat);
            totals[0].size += fabs(hat.value) * g.size;
            sum_add_scaled(&totals[1], 1, g);
        }
        for (int64_t i = c; i < rows * channels; i += channels)
            ref_put(call, 0, i,
                    channel_bwd(&channel, ref_get(call, 1, i), routed(call, &window, &channel, i),
                                totals, (double)rows));
        ref_put(call, 1, c, totals[0]);
        ref_put(call, 2, c, totals[1]);
    }
}
