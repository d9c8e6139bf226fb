/* Batch norm over [rows, C], forward and backward, with batch statistics and with fixed ones.
 *
 * Forward reads x twice and backward twice: nothing can be applied before all is summed. Blocks of
 * rows are small enough to stay in the first cache between conversion and use. */
#include "kernels/cpu/norm.h"

#include <math.h>

static enum code norm_plan(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    norm_prepare(device, call, 2 * rows_buffer(norm_channels(call)));
    return OK;
}

/* y = (x - mean) * scale + beta, block by block */
static void apply_blocks(const struct part *part, const float *mean)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    int64_t channels = norm_channels(call), block = rows_block(channels);
    struct norm_channels norm = { .channels = channels,
                                  .mean = mean,
                                  .beta = call->in[2].data,
                                  .scale = norm_constant(call, NORM_SCALE) };
    struct span span = part_span(part, tensor_rows(&call->in[0]), block);
    for (int64_t r = span.from; r < span.to; r += block) {
        int64_t count = span.to - r < block ? span.to - r : block;
        int64_t at = r * channels, n = count * channels;
        const float *x = stream_read(simd, &call->in[0], at, n, slice.buffer);
        float *y = stream_place(&call->out[0], at, slice.buffer);
        simd->norm->apply(y, x, &norm, count);
        stream_write(simd, &call->out[0], at, n, y);
    }
}

static void apply_part(const struct part *part)
{
    apply_blocks(part, part->call->out[1].data);
}

static enum code batch_norm_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    norm_statistics(device, call);
    parts_run(device, call, apply_part);
    return OK;
}

const struct kernel cpu_batch_norm = { .supports = stream_supports,
                                       .prepare = norm_plan,
                                       .run = batch_norm_run };

static void apply_fixed_part(const struct part *part)
{
    apply_blocks(part, part->call->in[3].data);
}

/* NORM_RSTD and NORM_SCALE from a variance; `gamma` and `variance` are the call's vectors. */
static void fixed_constants(const struct op_call *call, const float *gamma, const float *variance)
{
    float *rstd = norm_constant(call, NORM_RSTD), *scale = norm_constant(call, NORM_SCALE);
    int64_t channels = norm_channels(call);
    for (int64_t c = 0; c < channels; c++) {
        double inverse = 1 / sqrt((double)variance[c] + (double)call->attr->norm.eps);
        rstd[c] = (float)inverse;
        scale[c] = (float)((double)gamma[c] * inverse);
    }
}

static enum code infer_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    fixed_constants(call, call->in[1].data, call->in[4].data);
    parts_run(device, call, apply_fixed_part);
    return OK;
}

const struct kernel cpu_batch_norm_infer = { .supports = stream_supports,
                                             .prepare = norm_plan,
                                             .run = infer_run };

/* dbeta and dgamma of this part; with `fixed` dx = dy * scale in the same pass. */
static void sums_blocks(const struct part *part, const float *rstd, bool fixed)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    int64_t channels = norm_channels(call), block = rows_block(channels);
    struct norm_channels norm = { .channels = channels, .mean = call->in[3].data, .rstd = rstd };
    float *second = slice.buffer + rows_buffer(channels);
    struct span span = part_span(part, tensor_rows(&call->in[0]), block);
    norm_clear(&slice, channels);
    for (int64_t r = span.from; r < span.to; r += block) {
        int64_t count = span.to - r < block ? span.to - r : block;
        int64_t at = r * channels, n = count * channels;
        const float *dy = stream_read(simd, &call->in[0], at, n, slice.buffer);
        const float *x = stream_read(simd, &call->in[1], at, n, second);
        simd->norm->sums(slice.a, slice.b, dy, x, &norm, count);
        if (!fixed || !call_has_out(call, 0)) continue;
        float *dx = stream_place(&call->out[0], at, slice.buffer);
        simd->map->normalize(dx, dy, norm_constant(call, NORM_SCALE),
                             norm_constant(call, NORM_ZERO), count, channels);
        stream_write(simd, &call->out[0], at, n, dx);
    }
}

static void sums_part(const struct part *part)
{
    sums_blocks(part, part->call->in[4].data, false);
}

static void sums_fixed_part(const struct part *part)
{
    sums_blocks(part, norm_constant(part->call, NORM_RSTD), true);
}

static void backward_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    int64_t channels = norm_channels(call), block = rows_block(channels);
    struct norm_channels norm = { .channels = channels,
                                  .mean = call->in[3].data,
                                  .scale = norm_constant(call, NORM_SCALE),
                                  .dy_mean = norm_constant(call, NORM_DY_MEAN),
                                  .slope = norm_constant(call, NORM_SLOPE) };
    float *second = slice.buffer + rows_buffer(channels);
    struct span span = part_span(part, tensor_rows(&call->in[0]), block);
    for (int64_t r = span.from; r < span.to; r += block) {
        int64_t count = span.to - r < block ? span.to - r : block;
        int64_t at = r * channels, n = count * channels;
        const float *dy = stream_read(simd, &call->in[0], at, n, slice.buffer);
        const float *x = stream_read(simd, &call->in[1], at, n, second);
        float *dx = stream_place(&call->out[0], at, slice.buffer);
        simd->norm->backward(dx, dy, x, &norm, count);
        stream_write(simd, &call->out[0], at, n, dx);
    }
}

static enum code batch_norm_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, sums_part);
    norm_join_gradients(device, call, call->in[2].data, call->in[4].data,
                        tensor_rows(&call->in[1]));
    if (call_has_out(call, 0)) parts_run(device, call, backward_part);
    return OK;
}

const struct kernel cpu_batch_norm_bwd = { .supports = stream_supports,
                                           .prepare = norm_plan,
                                           .run = batch_norm_bwd_run };

static enum code infer_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    float *zero = norm_constant(call, NORM_ZERO);
    for (int64_t c = 0; c < norm_channels(call); c++) zero[c] = 0;
    fixed_constants(call, call->in[2].data, call->in[4].data);
    parts_run(device, call, sums_fixed_part);
    norm_join_gradients(device, call, call->in[2].data, norm_constant(call, NORM_RSTD),
                        tensor_rows(&call->in[1]));
    return OK;
}

const struct kernel cpu_batch_norm_infer_bwd = { .supports = stream_supports,
                                                 .prepare = norm_plan,
                                                 .run = infer_bwd_run };
