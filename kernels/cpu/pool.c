/* Pools over NHWC images: a pixel's channels are one vector. Backward gathers (an input pixel asks
 * every cell which output it was part of), so threads never write to one place. */
#include "kernels/cpu/rows.h"
#include "kernels/window.h"

#include <string.h>

static enum code pool_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    const struct shape *shape = &call->in[0].shape;
    slices_prepare(device, call, 4 * shape->dim[shape->rank - 1]);
    return OK;
}

/* Pixel (n, h, w) of an image of this size. */
static int64_t pixel_at(const int64_t size[2], int64_t n, int64_t h, int64_t w)
{
    return (n * size[0] + h) * size[1] + w;
}

/* One pixel of a pool: its place, and the place of a cell's partner pixel or -1. */
struct pixel {
    const struct window *window;
    int64_t n, h, w;
};

static int64_t cell_input(const struct pixel *p, int64_t cell)
{
    const struct window *window = p->window;
    int64_t row = window_place(window, 0, p->h, cell / window->size[1]);
    int64_t column = window_place(window, 1, p->w, cell % window->size[1]);
    return window_inside(window, row, column) ? pixel_at(window->in, p->n, row, column) : -1;
}

static int64_t cell_output(const struct pixel *p, int64_t cell)
{
    const struct window *window = p->window;
    int64_t h = window_position(window, 0, p->h, cell / window->size[1]);
    int64_t w = window_position(window, 1, p->w, cell % window->size[1]);
    return h >= 0 && w >= 0 ? pixel_at(window->out, p->n, h, w) : -1;
}

/* Calls `body` for each pixel of this part's share of images of `size`. */
static void each_pixel(const struct part *part, const struct window *window, const int64_t size[2],
                       void (*body)(const struct part *part, const struct pixel *pixel))
{
    struct span span = part_span(part, window->batch * size[0], 1);
    for (int64_t row = span.from; row < span.to; row++)
        for (int64_t w = 0; w < size[1]; w++)
            body(part, &(struct pixel){ window, row / size[0], row % size[0], w });
}

static int64_t cell_count(const struct window *window)
{
    return window->size[0] * window->size[1];
}

static void max_pixel(const struct part *part, const struct pixel *p)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t channels = p->window->channels;
    int64_t to = pixel_at(p->window->out, p->n, p->h, p->w) * channels;
    float *best = slice_of(part), *buffer = best + channels;
    int32_t *index = (int32_t *)(void *)(buffer + channels);
    bool first = true;
    for (int64_t cell = 0; cell < cell_count(p->window); cell++) {
        int64_t from = cell_input(p, cell);
        if (from < 0) continue;
        const float *x = stream_read(simd, &call->in[0], from * channels, channels, buffer);
        if (first) {
            memcpy(best, x, (size_t)channels * sizeof *x);
            for (int64_t c = 0; c < channels; c++) index[c] = (int32_t)cell;
            first = false;
        } else {
            simd->pool->take(best, index, x, (int32_t)cell, channels);
        }
    }
    float *y = stream_place(&call->out[0], to, best);
    if (y != best) memcpy(y, best, (size_t)channels * sizeof *y);
    stream_write(simd, &call->out[0], to, channels, best);
    if (call_has_out(call, 1))
        simd->pool->narrow((uint8_t *)call->out[1].data + to, index, channels);
}

static void max_part(const struct part *part)
{
    struct window window = pool_window(part->call->attr, &part->call->in[0].shape);
    each_pixel(part, &window, window.out, max_pixel);
}

static void max_bwd_pixel(const struct part *part, const struct pixel *p)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t channels = p->window->channels;
    int64_t to = pixel_at(p->window->in, p->n, p->h, p->w) * channels;
    float *buffer = slice_of(part), *dx = stream_place(&call->out[0], to, buffer + channels);
    memset(dx, 0, (size_t)channels * sizeof *dx);
    for (int64_t cell = 0; cell < cell_count(p->window); cell++) {
        int64_t from = cell_output(p, cell);
        if (from < 0) continue;
        const float *dy = stream_read(simd, &call->in[0], from * channels, channels, buffer);
        const uint8_t *index = (const uint8_t *)call->in[1].data + from * channels;
        simd->pool->route(dx, dy, index, (uint8_t)cell, channels);
    }
    stream_write(simd, &call->out[0], to, channels, dx);
}

static void max_bwd_part(const struct part *part)
{
    struct window window = pool_window(part->call->attr, &part->call->out[0].shape);
    each_pixel(part, &window, window.in, max_bwd_pixel);
}

/* 1 / what the window at `p` divides by: its real cells, or all. */
static float share(const struct op_call *call, const struct pixel *p)
{
    int64_t real = 0, cells = cell_count(p->window);
    if (call->attr->pool.count_padding) return 1 / (float)cells;
    for (int64_t cell = 0; cell < cells; cell++) real += cell_input(p, cell) >= 0;
    return 1 / (float)real;
}

static void avg_pixel(const struct part *part, const struct pixel *p)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t channels = p->window->channels;
    int64_t to = pixel_at(p->window->out, p->n, p->h, p->w) * channels;
    float *buffer = slice_of(part), *y = stream_place(&call->out[0], to, buffer + channels);
    memset(y, 0, (size_t)channels * sizeof *y);
    float factor = share(call, p);
    for (int64_t cell = 0; cell < cell_count(p->window); cell++) {
        int64_t from = cell_input(p, cell);
        if (from < 0) continue;
        const float *x = stream_read(simd, &call->in[0], from * channels, channels, buffer);
        simd->map->add_scaled(y, x, factor, channels);
    }
    stream_write(simd, &call->out[0], to, channels, y);
}

static void avg_part(const struct part *part)
{
    struct window window = pool_window(part->call->attr, &part->call->in[0].shape);
    each_pixel(part, &window, window.out, avg_pixel);
}

static void avg_bwd_pixel(const struct part *part, const struct pixel *p)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    const struct window *window = p->window;
    int64_t channels = window->channels, to = pixel_at(window->in, p->n, p->h, p->w) * channels;
    float *buffer = slice_of(part), *dx = stream_place(&call->out[0], to, buffer + channels);
    memset(dx, 0, (size_t)channels * sizeof *dx);
    for (int64_t cell = 0; cell < cell_count(window); cell++) {
        int64_t from = cell_output(p, cell);
        if (from < 0) continue;
        struct pixel over = { window, p->n, from / window->out[1] % window->out[0],
                              from % window->out[1] };
        const float *dy = stream_read(simd, &call->in[0], from * channels, channels, buffer);
        simd->map->add_scaled(dx, dy, share(call, &over), channels);
    }
    stream_write(simd, &call->out[0], to, channels, dx);
}

static void avg_bwd_part(const struct part *part)
{
    struct window window = pool_window(part->call->attr, &part->call->out[0].shape);
    each_pixel(part, &window, window.in, avg_bwd_pixel);
}

enum { GLOBAL_ROWS = 64 };

static enum code global_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    int64_t channels = tensor_width(&call->in[0]);
    slices_prepare(device, call, (2 + GLOBAL_ROWS + 1) * channels);
    return OK;
}

static void global_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    const int64_t *x = call->in[0].shape.dim;
    int64_t pixels = x[1] * x[2], channels = x[3];
    double *sum = (double *)(void *)slice_of(part);
    float *buffer = (float *)(void *)(sum + channels);
    struct span span = part_span(part, x[0], 1);
    for (int64_t n = span.from; n < span.to; n++) {
        memset(sum, 0, (size_t)channels * sizeof *sum);
        for (int64_t p = 0; p < pixels; p += GLOBAL_ROWS) {
            int64_t count = pixels - p < GLOBAL_ROWS ? pixels - p : GLOBAL_ROWS;
            const float *at = stream_read(simd, &call->in[0], (n * pixels + p) * channels,
                                          count * channels, buffer);
            simd->reduce->columns(sum, at, count, channels);
        }
        float *y = stream_place(&call->out[0], n * channels, buffer);
        for (int64_t c = 0; c < channels; c++) y[c] = (float)(sum[c] / (double)pixels);
        stream_write(simd, &call->out[0], n * channels, channels, y);
    }
}

static void global_bwd_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    const int64_t *x = call->out[0].shape.dim;
    int64_t pixels = x[1] * x[2], channels = x[3];
    float *buffer = slice_of(part);
    struct span span = part_span(part, x[0], 1);
    for (int64_t n = span.from; n < span.to; n++) {
        const float *dy = stream_read(simd, &call->in[0], n * channels, channels, buffer);
        simd->map->scale(buffer, dy, 1 / (float)pixels, channels);
        for (int64_t p = n * pixels; p < (n + 1) * pixels; p++) {
            float *dx = stream_place(&call->out[0], p * channels, buffer);
            if (dx != buffer) memcpy(dx, buffer, (size_t)channels * sizeof *dx);
            stream_write(simd, &call->out[0], p * channels, channels, buffer);
        }
    }
}

static enum code pool_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    switch (call->op) {
    case OP_MAX_POOL:
        parts_run(device, call, max_part);
        break;
    case OP_MAX_POOL_BWD:
        parts_run(device, call, max_bwd_part);
        break;
    case OP_AVG_POOL:
        parts_run(device, call, avg_part);
        break;
    case OP_AVG_POOL_BWD:
        parts_run(device, call, avg_bwd_part);
        break;
    case OP_GLOBAL_AVG_POOL:
        parts_run(device, call, global_part);
        break;
    default:
        parts_run(device, call, global_bwd_part);
        break;
    }
    return OK;
}

const struct kernel cpu_pool = { .supports = stream_supports,
                                 .prepare = pool_prepare,
                                 .run = pool_run };
const struct kernel cpu_global_pool = { .supports = stream_supports,
                                        .prepare = global_prepare,
                                        .run = pool_run };
