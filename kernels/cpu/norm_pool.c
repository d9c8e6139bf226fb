/* Batch norm, activation and max pool in one: the tensor after the norm never exists.
 *
 * ReLU (or no activation) runs through one fused row function. Other activations take the same walk
 * with the activated rows in a buffer: the pool then sees an identity norm. Rows and columns that
 * the pool leaves over count in the statistics and get a gradient through them alone. */
#include "kernels/cpu/norm.h"
#include "kernels/window.h"

#include <string.h>

/* The call's geometry; x is input 0 forward, input 1 backward. */
struct pool_geometry {
    const struct tensor *x;
    int pool;
    int64_t channels, height, width, out_height, out_width, batch;
    bool fused, relu;
};

static struct pool_geometry geometry(const struct op_call *call, const struct tensor *x)
{
    struct window window = norm_window(call->attr, &x->shape);
    enum activation act = call->attr->norm.act;
    return (struct pool_geometry){ .x = x,
                                   .pool = (int)window.size[0],
                                   .channels = window.channels,
                                   .height = window.in[0],
                                   .width = window.in[1],
                                   .out_height = window.out[0],
                                   .out_width = window.out[1],
                                   .batch = window.batch,
                                   .fused = act == ACT_NONE || act == ACT_RELU,
                                   .relu = act == ACT_RELU };
}

/* Buffers of a slice: `pool` rows of x, of g and of a third, one pooled row. */
static enum code pool_plan(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    bool backward = call->op == OP_BN_ACT_POOL_BWD;
    struct pool_geometry g = geometry(call, &call->in[backward ? 1 : 0]);
    int64_t rows = 3 * g.pool * g.width * g.channels + g.out_width * g.channels;
    int64_t block = rows_buffer(g.channels);
    norm_prepare(device, call, rows > block ? rows : block);
    return OK;
}

static void identity_constants(const struct op_call *call)
{
    float *zero = norm_constant(call, NORM_ZERO), *one = norm_constant(call, NORM_ONE);
    for (int64_t c = 0; c < norm_channels(call); c++) {
        zero[c] = 0;
        one[c] = 1;
    }
}

static struct norm_channels identity_norm(const struct op_call *call)
{
    return (struct norm_channels){ .channels = norm_channels(call),
                                   .mean = norm_constant(call, NORM_ZERO),
                                   .scale = norm_constant(call, NORM_ONE),
                                   .beta = norm_constant(call, NORM_ZERO),
                                   .rstd = norm_constant(call, NORM_ONE) };
}

/* Row `row` of image rows (over batch and height) as f32. */
static const float *image_row(const struct simd *simd, const struct pool_geometry *g, int64_t row,
                              float *buffer)
{
    int64_t n = g->width * g->channels;
    return stream_read(simd, g->x, row * n, n, buffer);
}

/* Where the rows of the next pooled row begin; nothing when rows pass through a buffer. */
static int64_t row_ahead(const struct pool_geometry *g, int64_t row)
{
    return g->x->dtype == DTYPE_F32 && g->fused ? g->pool * row : 0;
}

/* Pooled row `o` (over batch and pooled height) of the forward pass. */
static void forward_row(const struct part *part, const struct pool_geometry *g,
                        const struct norm_channels *norm, int64_t o, float *buffer)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t n = g->width * g->channels, out = g->out_width * g->channels;
    int64_t first = o / g->out_height * g->height + o % g->out_height * g->pool;
    struct norm_channels identity = identity_norm(call);
    struct norm_row row = { .norm = g->fused ? norm : &identity,
                            .pool = g->pool,
                            .out = g->out_width,
                            .ahead = row_ahead(g, n) };
    for (int i = 0; i < g->pool; i++) {
        float *own = buffer + i * n;
        row.x[i] = image_row(simd, g, first + i, own);
        if (g->fused) continue;
        simd->norm->apply(own, row.x[i], norm, g->width);
        simd->map->act[call->attr->norm.act](own, own, n);
        row.x[i] = own;
    }
    row.y = stream_place(&call->out[0], o * out, buffer + g->pool * n);
    if (call_has_out(call, 3)) row.index = (uint8_t *)call->out[3].data + o * out;
    simd->norm->pool(&row, g->relu);
    stream_write(simd, &call->out[0], o * out, out, row.y);
}

static void forward_part(const struct part *part)
{
    struct op_call *call = part->call;
    struct pool_geometry g = geometry(call, &call->in[0]);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    struct norm_channels norm = { .channels = g.channels,
                                  .mean = call->out[1].data,
                                  .scale = norm_constant(call, NORM_SCALE),
                                  .beta = call->in[2].data };
    struct span span = part_span(part, g.batch * g.out_height, 1);
    for (int64_t o = span.from; o < span.to; o++) forward_row(part, &g, &norm, o, slice.buffer);
}

static enum code pool_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    identity_constants(call);
    norm_statistics(device, call);
    parts_run(device, call, forward_part);
    return OK;
}

const struct kernel cpu_bn_act_pool = { .supports = stream_supports,
                                        .prepare = pool_plan,
                                        .run = pool_run };

static struct norm_channels backward_norm(const struct op_call *call)
{
    return (struct norm_channels){ .channels = norm_channels(call),
                                   .mean = call->in[4].data,
                                   .rstd = call->in[5].data,
                                   .beta = call->in[3].data,
                                   .scale = norm_constant(call, NORM_SCALE),
                                   .dy_mean = norm_constant(call, NORM_DY_MEAN),
                                   .slope = norm_constant(call, NORM_SLOPE) };
}

/* What the fused functions need for pooled row `o`; buffers hold x, then dx, then dy. */
static struct norm_row backward_row(const struct part *part, const struct pool_geometry *g,
                                    const struct norm_channels *norm, int64_t o, float *buffer)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t n = g->width * g->channels, out = g->out_width * g->channels;
    int64_t first = o / g->out_height * g->height + o % g->out_height * g->pool;
    struct norm_row row = {
        .norm = norm, .pool = g->pool, .out = g->out_width, .ahead = row_ahead(g, n)
    };
    for (int i = 0; i < g->pool; i++) {
        row.x[i] = image_row(simd, g, first + i, buffer + i * n);
        if (call_has_out(call, 0))
            row.dx[i] = stream_place(&call->out[0], (first + i) * n, buffer + (g->pool + i) * n);
    }
    row.dy = stream_read(simd, &call->in[0], o * out, out, buffer + 3 * g->pool * n);
    if (call_has_in(call, 6)) row.index = (uint8_t *)call->in[6].data + o * out;
    return row;
}

/* For activations that are not fused: g of `pool` image rows, zero where the pool took nothing. */
static float *activation_gradient(const struct part *part, const struct pool_geometry *g,
                                  const struct norm_row *row, float *buffer)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    enum activation act = call->attr->norm.act;
    int64_t n = g->width * g->channels;
    float *gradient = buffer + g->pool * n, *saved = buffer + 2 * g->pool * n;
    memset(gradient, 0, (size_t)(g->pool * n) * sizeof *gradient);
    for (int64_t o = 0; o < g->out_width; o++)
        for (int64_t c = 0; c < g->channels; c++) {
            int i = row->index ? row->index[o * g->channels + c] : 0;
            int64_t column = o * g->pool + i % g->pool;
            gradient[i / g->pool * n + column * g->channels + c] = row->dy[o * g->channels + c];
        }
    for (int i = 0; i < g->pool; i++) {
        float *at = saved + i * n;
        simd->norm->apply(at, row->x[i], row->norm, g->width);
        if (act == ACT_TANH || act == ACT_SIGMOID) simd->map->act[act](at, at, n);
        simd->map->act_bwd[act](gradient + i * n, gradient + i * n, at, n);
    }
    return gradient;
}

static void sums_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    struct pool_geometry g = geometry(call, &call->in[1]);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    struct norm_channels norm = backward_norm(call);
    int64_t n = g.width * g.channels;
    struct span span = part_span(part, g.batch * g.out_height, 1);
    norm_clear(&slice, g.channels);
    for (int64_t o = span.from; o < span.to; o++) {
        struct norm_row row = backward_row(part, &g, &norm, o, slice.buffer);
        if (g.fused) {
            simd->norm->pool_sums(slice.a, slice.b, &row, g.relu);
            continue;
        }
        const float *gradient = activation_gradient(part, &g, &row, slice.buffer);
        for (int i = 0; i < g.pool; i++)
            simd->norm->sums(slice.a, slice.b, gradient + i * n, row.x[i], &norm, g.width);
    }
}

/* dx of pixels that no window covers: `count` pixels from `pixel` on, with no gradient of their
 * own. Few, so a simple loop. */
static void backward_rest(const struct part *part, const struct pool_geometry *g, int64_t pixel,
                          int64_t count)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    struct norm_channels norm = backward_norm(call);
    float *zero = slice.buffer + g->width * g->channels;
    memset(zero, 0, (size_t)(count * g->channels) * sizeof *zero);
    int64_t at = pixel * g->channels, n = count * g->channels;
    const float *x = stream_read(simd, g->x, at, n, slice.buffer);
    float *dx = stream_place(&call->out[0], at, slice.buffer);
    simd->norm->backward(dx, zero, x, &norm, count);
    stream_write(simd, &call->out[0], at, n, dx);
}

static void backward_rows(const struct part *part, const struct pool_geometry *g,
                          const struct norm_channels *norm, int64_t o)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    int64_t n = g->width * g->channels, used = g->out_width * g->pool;
    int64_t first = o / g->out_height * g->height + o % g->out_height * g->pool;
    struct norm_row row = backward_row(part, g, norm, o, slice.buffer);
    if (g->fused) {
        simd->norm->pool_backward(&row, g->relu);
    } else {
        const float *gradient = activation_gradient(part, g, &row, slice.buffer);
        for (int i = 0; i < g->pool; i++)
            simd->norm->backward(row.dx[i], gradient + i * n, row.x[i], norm, g->width);
    }
    for (int i = 0; i < g->pool; i++)
        stream_write(simd, &call->out[0], (first + i) * n, used * g->channels, row.dx[i]);
    for (int i = 0; i < g->pool && used < g->width; i++)
        backward_rest(part, g, (first + i) * g->width + used, g->width - used);
}

static void backward_part(const struct part *part)
{
    struct op_call *call = part->call;
    struct pool_geometry g = geometry(call, &call->in[1]);
    struct norm_channels norm = backward_norm(call);
    struct span span = part_span(part, g.batch * g.out_height, 1);
    for (int64_t o = span.from; o < span.to; o++) {
        backward_rows(part, &g, &norm, o);
        if ((o + 1) % g.out_height) continue;
        int64_t image = o / g.out_height * g.height;
        for (int64_t h = g.out_height * g.pool; h < g.height; h++)
            backward_rest(part, &g, (image + h) * g.width, g.width);
    }
}

static enum code pool_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    const float *gamma = call->in[2].data, *rstd = call->in[5].data;
    float *scale = norm_constant(call, NORM_SCALE);
    for (int64_t c = 0; c < norm_channels(call); c++) scale[c] = gamma[c] * rstd[c];
    parts_run(device, call, sums_part);
    norm_join_gradients(device, call, gamma, rstd, tensor_rows(&call->in[1]));
    if (call_has_out(call, 0)) parts_run(device, call, backward_part);
    return OK;
}

const struct kernel cpu_bn_act_pool_bwd = { .supports = stream_supports,
                                            .prepare = pool_plan,
                                            .run = pool_bwd_run };
