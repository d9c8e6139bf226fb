/* Statistics of a batch and the join of its gradients; the cut of the workspace. */
#include "kernels/cpu/norm.h"

#include <math.h>

int64_t norm_channels(const struct op_call *call)
{
    const struct shape *shape = &call->in[0].shape;
    return shape->dim[shape->rank - 1];
}

void norm_prepare(const struct device *device, struct op_call *call, int64_t floats)
{
    int64_t channels = norm_channels(call);
    int64_t shared = NORM_CONSTANTS * align_128(channels * 4);
    int64_t slice = 2 * align_128(channels * 8) + align_128(floats * 4);
    call->workspace_bytes = (size_t)(shared + device->threads * slice);
    call->algorithm = device_simd(device)->name;
}

float *norm_constant(const struct op_call *call, enum norm_constant which)
{
    int64_t bytes = align_128(norm_channels(call) * 4);
    return (float *)(void *)((char *)call->workspace + which * bytes);
}

struct norm_slice norm_slice(const struct op_call *call, int index, int parts)
{
    int64_t channels = norm_channels(call);
    int64_t shared = NORM_CONSTANTS * align_128(channels * 4);
    int64_t bytes = ((int64_t)call->workspace_bytes - shared) / parts;
    char *base = (char *)call->workspace + shared + index * bytes;
    int64_t sums = align_128(channels * 8);
    return (struct norm_slice){ .a = (double *)(void *)base,
                                .b = (double *)(void *)(base + sums),
                                .buffer = (float *)(void *)(base + 2 * sums) };
}

void norm_clear(const struct norm_slice *slice, int64_t channels)
{
    for (int64_t c = 0; c < channels; c++) slice->a[c] = slice->b[c] = 0;
}

static void moments_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct tensor *x = &call->in[0];
    const struct simd *simd = device_simd(part->device);
    struct norm_slice slice = norm_slice(call, part->index, part->count);
    int64_t channels = norm_channels(call), block = rows_block(channels);
    struct span span = part_span(part, tensor_rows(x), block);
    norm_clear(&slice, channels);
    for (int64_t r = span.from; r < span.to; r += block) {
        int64_t count = span.to - r < block ? span.to - r : block;
        const float *at = stream_read(simd, x, r * channels, count * channels, slice.buffer);
        simd->norm->moments(slice.a, slice.b, r - span.from, at, count, channels);
    }
}

/* Chan's rule for two disjoint sets of rows: mean and m2 of `first` become those of both. */
static void moments_join(const struct norm_slice *first, int64_t before,
                         const struct norm_slice *second, int64_t rows, int64_t channels)
{
    if (!rows) return;
    double share = (double)rows / (double)(before + rows);
    for (int64_t c = 0; c < channels; c++) {
        double delta = second->a[c] - first->a[c];
        first->a[c] += delta * share;
        first->b[c] += second->b[c] + delta * delta * (double)before * share;
    }
}

void norm_statistics(struct device *device, struct op_call *call)
{
    int64_t channels = norm_channels(call), rows = tensor_rows(&call->in[0]), before = 0;
    int parts = device->threads;
    parts_run(device, call, moments_part);
    struct norm_slice total = norm_slice(call, 0, parts);
    for (int i = 0; i < parts; i++) {
        struct norm_slice slice = norm_slice(call, i, parts);
        struct part part = { device, call, i, parts };
        struct span span = part_span(&part, rows, rows_block(channels));
        if (i > 0) moments_join(&total, before, &slice, span.to - span.from, channels);
        before += span.to - span.from;
    }
    const float *gamma = call->in[1].data;
    float *running_mean = call->in[3].data, *running_var = call->in[4].data;
    float *mean = call->out[1].data, *rstd = call->out[2].data;
    float *scale = norm_constant(call, NORM_SCALE);
    double momentum = (double)call->attr->norm.momentum, n = (double)rows;
    for (int64_t c = 0; c < channels; c++) {
        double inverse = 1 / sqrt(total.b[c] / n + (double)call->attr->norm.eps);
        double unbiased = total.b[c] / (rows > 1 ? n - 1 : 1);
        mean[c] = (float)total.a[c];
        rstd[c] = (float)inverse;
        scale[c] = gamma[c] * rstd[c]; /* as backward computes it */
        /* a batch that is not finite must not outlive the step that the guards skip */
        double kept_mean = (double)running_mean[c], kept_var = (double)running_var[c];
        double new_mean = isfinite(total.a[c]) ? total.a[c] : kept_mean;
        double new_var = isfinite(unbiased) ? unbiased : kept_var;
        running_mean[c] = (float)((1 - momentum) * kept_mean + momentum * new_mean);
        running_var[c] = (float)((1 - momentum) * kept_var + momentum * new_var);
    }
}

void norm_join_gradients(struct device *device, struct op_call *call, const float *gamma,
                         const float *rstd, int64_t rows)
{
    int64_t channels = norm_channels(call);
    struct norm_slice total = norm_slice(call, 0, device->threads);
    for (int i = 1; i < device->threads; i++) {
        struct norm_slice slice = norm_slice(call, i, device->threads);
        for (int64_t c = 0; c < channels; c++) {
            total.a[c] += slice.a[c];
            total.b[c] += slice.b[c];
        }
    }
    call_store(call, 1, total.b, channels);
    call_store(call, 2, total.a, channels);
    float *scale = norm_constant(call, NORM_SCALE), *slope = norm_constant(call, NORM_SLOPE);
    float *dy_mean = norm_constant(call, NORM_DY_MEAN);
    for (int64_t c = 0; c < channels; c++) {
        scale[c] = gamma[c] * rstd[c];
        dy_mean[c] = (float)(total.a[c] / (double)rows);
        slope[c] = (float)(total.b[c] / (double)rows * (double)rstd[c]);
    }
}
