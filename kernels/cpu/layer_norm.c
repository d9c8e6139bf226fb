/* Layer norm: one row at a time; the parameter gradients are summed per part, in f32 over a few
 * rows and then in f64, and joined in order. */
#include "kernels/cpu/rows.h"

#include <math.h>
#include <string.h>

enum { GRADIENT_ROWS = 64 };

static enum code forward_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    slices_prepare(device, call, tensor_width(&call->in[0]));
    return OK;
}

static void forward_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t width = tensor_width(&call->in[0]);
    float *buffer = slice_of(part), *mean = call->out[1].data, *rstd = call->out[2].data;
    struct span span = part_span(part, tensor_rows(&call->in[0]), 1);
    for (int64_t r = span.from; r < span.to; r++) {
        const float *x = stream_read(simd, &call->in[0], r * width, width, buffer);
        mean[r] = (float)(simd->reduce->sum(x, width) / (double)width);
        double variance = simd->reduce->deviations(x, mean[r], width) / (double)width;
        rstd[r] = (float)(1 / sqrt(variance + (double)call->attr->norm.eps));
        float *y = stream_place(&call->out[0], r * width, buffer);
        simd->row->norm(y, x, mean[r], rstd[r], call->in[1].data, call_vector(call, 2), width);
        stream_write(simd, &call->out[0], r * width, width, y);
    }
}

static enum code forward_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, forward_part);
    return OK;
}

const struct kernel cpu_layer_norm = { .supports = stream_supports,
                                       .prepare = forward_prepare,
                                       .run = forward_run };

/* A part's slice: f64 sums of dgamma and dbeta, f32 ones of a few rows, two row buffers. */
struct gradient_slice {
    double *dgamma, *dbeta;
    float *few_gamma, *few_beta, *dy, *x;
};

static struct gradient_slice gradient_slice(const struct part *part, int64_t width)
{
    double *sums = (double *)(void *)slice_of(part);
    float *rows = (float *)(void *)(sums + 2 * width);
    return (struct gradient_slice){ sums,         sums + width,     rows,
                                    rows + width, rows + 2 * width, rows + 3 * width };
}

static enum code backward_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    slices_prepare(device, call, 8 * tensor_width(&call->in[1]));
    return OK;
}

static void flush(const struct gradient_slice *slice, int64_t width)
{
    for (int64_t c = 0; c < width; c++) {
        slice->dgamma[c] += (double)slice->few_gamma[c];
        slice->dbeta[c] += (double)slice->few_beta[c];
        slice->few_gamma[c] = slice->few_beta[c] = 0;
    }
}

static void backward_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t width = tensor_width(&call->in[1]);
    const float *gamma = call->in[2].data, *mean = call->in[3].data, *rstd = call->in[4].data;
    struct gradient_slice slice = gradient_slice(part, width);
    struct span span = part_span(part, tensor_rows(&call->in[1]), 1);
    memset(slice.dgamma, 0, (size_t)width * 24);
    for (int64_t r = span.from; r < span.to; r++) {
        double sums[2];
        const float *dy = stream_read(simd, &call->in[0], r * width, width, slice.dy);
        const float *x = stream_read(simd, &call->in[1], r * width, width, slice.x);
        simd->row->norm_sums(sums, dy, x, mean[r], rstd[r], gamma, width);
        simd->row->norm_gradients(slice.few_gamma, slice.few_beta, dy, x, mean[r], rstd[r], width);
        struct row_constants row = { mean[r], rstd[r], (float)(sums[0] / (double)width),
                                     (float)(sums[1] / (double)width) };
        float *dx = stream_place(&call->out[0], r * width, slice.dy);
        simd->row->norm_backward(dx, dy, x, &row, gamma, width);
        stream_write(simd, &call->out[0], r * width, width, dx);
        if ((r + 1 - span.from) % GRADIENT_ROWS == 0) flush(&slice, width);
    }
    flush(&slice, width);
}

static enum code backward_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    int64_t width = tensor_width(&call->in[1]);
    parts_run(device, call, backward_part);
    struct part first = { device, call, 0, device->threads };
    struct gradient_slice total = gradient_slice(&first, width);
    for (int i = 1; i < device->threads; i++) {
        struct part part = { device, call, i, device->threads };
        struct gradient_slice slice = gradient_slice(&part, width);
        for (int64_t c = 0; c < 2 * width; c++) total.dgamma[c] += slice.dgamma[c];
    }
    call_store(call, 1, total.dgamma, width);
    call_store(call, 2, total.dbeta, width);
    return OK;
}

const struct kernel cpu_layer_norm_bwd = { .supports = stream_supports,
                                           .prepare = backward_prepare,
                                           .run = backward_run };
