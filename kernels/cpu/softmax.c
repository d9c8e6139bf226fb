/* Softmax over the last axis, its gradient, and softmax with cross-entropy and gradient in one.
 *
 * Shares and gradients are f32 vectors, sums and the few numbers of a row f64. A row that counts as
 * absent is zero, a label outside the classes makes its row NaN. */
#include "kernels/cpu/rows.h"

#include <math.h>
#include <string.h>

static enum code softmax_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    slices_prepare(device, call, 2 * tensor_width(&call->in[0]));
    return OK;
}

static void softmax_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t width = tensor_width(&call->in[0]);
    float *buffer = slice_of(part);
    struct span span = part_span(part, tensor_rows(&call->in[0]), 1);
    for (int64_t r = span.from; r < span.to; r++) {
        const float *x = stream_read(simd, &call->in[0], r * width, width, buffer);
        float *y = stream_place(&call->out[0], r * width, buffer);
        simd->map->exponential(y, x, simd->reduce->maximum(x, width), width);
        simd->map->scale(y, y, (float)(1 / simd->reduce->sum(y, width)), width);
        stream_write(simd, &call->out[0], r * width, width, y);
    }
}

static enum code softmax_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, softmax_part);
    return OK;
}

const struct kernel cpu_softmax = { .supports = stream_supports,
                                    .prepare = softmax_prepare,
                                    .run = softmax_run };

static void softmax_bwd_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t width = tensor_width(&call->in[0]);
    float *buffer = slice_of(part), *second = buffer + width;
    struct span span = part_span(part, tensor_rows(&call->in[0]), 1);
    for (int64_t r = span.from; r < span.to; r++) {
        const float *dy = stream_read(simd, &call->in[0], r * width, width, buffer);
        const float *y = stream_read(simd, &call->in[1], r * width, width, second);
        float dot = (float)simd->reduce->products(dy, y, width);
        float *dx = stream_place(&call->out[0], r * width, buffer);
        simd->row->softmax_backward(dx, dy, y, dot, width);
        stream_write(simd, &call->out[0], r * width, width, dx);
    }
}

static enum code softmax_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, softmax_bwd_part);
    return OK;
}

const struct kernel cpu_softmax_bwd = { .supports = stream_supports,
                                        .prepare = softmax_prepare,
                                        .run = softmax_bwd_run };

/* What one row is asked to be: labels a and b with shares lambda and 1 - lambda. */
struct target {
    int64_t a, b;
    double lambda;
    bool absent, broken;
};

static struct target target_of(const struct op_call *call, int64_t row)
{
    int64_t classes = tensor_width(&call->in[0]), ignore = call->attr->loss.ignore_index;
    int64_t rows_per_example = tensor_rows(&call->in[0]) / call->in[0].shape.dim[0];
    struct target target = { .a = ((const int32_t *)call->in[1].data)[row], .lambda = 1 };
    target.b = target.a;
    if (call_has_in(call, 3)) {
        target.b = ((const int32_t *)call->in[3].data)[row];
        target.lambda = tensor_get(&call->in[4], row);
    }
    target.absent = row / rows_per_example >= call->block->valid_rows ||
                    (ignore != -1 && (target.a == ignore || target.b == ignore));
    target.broken = target.a < 0 || target.a >= classes || target.b < 0 || target.b >= classes;
    return target;
}

static double class_weight(const struct op_call *call, int64_t c)
{
    return call_has_in(call, 2) ? tensor_get(&call->in[2], c) : 1;
}

/* Class weight times target share. */
static double wanted(const struct op_call *call, const struct target *target, int64_t c)
{
    double smoothing = call->attr->loss.smoothing;
    double share = smoothing / (double)tensor_width(&call->in[0]);
    if (c == target->a) share += (1 - smoothing) * target->lambda;
    if (c == target->b) share += (1 - smoothing) * (1 - target->lambda);
    return share * class_weight(call, c);
}

/* Whether classes other than the labels are wanted too. */
static bool dense(const struct op_call *call)
{
    return call->attr->loss.smoothing > 0;
}

/* Loss and gradient of a row that counts; `d` comes in as exp(x - most), whose sum is `total`. */
static double xent_row(const struct op_call *call, const struct simd *simd, float *d,
                       const float *x, const struct target *target, double most)
{
    int64_t classes = tensor_width(&call->in[0]);
    double scale = (double)call->block->loss_scale / (double)call->attr->loss.nominal;
    double total = simd->reduce->sum(d, classes), log_total = most + log(total);
    double loss = 0, share = 0;
    int64_t labels[2] = { target->a, target->b };
    int64_t count = dense(call) ? classes : target->a == target->b ? 1 : 2;
    for (int64_t i = 0; i < count; i++) {
        int64_t c = dense(call) ? i : labels[i];
        double want = wanted(call, target, c);
        share += want;
        if (want > 0 || want < 0) loss += want * (log_total - (double)x[c]);
    }
    float raw[2] = { d[labels[0]], d[labels[1]] };
    double factor = scale * share / total;
    simd->map->scale(d, d, (float)factor, classes);
    if (dense(call)) {
        for (int64_t c = 0; c < classes; c++)
            d[c] = (float)((double)d[c] - scale * wanted(call, target, c));
        return loss;
    }
    for (int64_t i = 0; i < count; i++)
        d[labels[i]] = (float)(factor * (double)raw[i] - scale * wanted(call, target, labels[i]));
    return loss;
}

static void xent_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    int64_t classes = tensor_width(&call->in[0]);
    float *buffer = slice_of(part), *second = buffer + classes;
    float *loss = call->out[0].data, *weight = call->out[1].data;
    struct span span = part_span(part, tensor_rows(&call->in[0]), 1);
    for (int64_t r = span.from; r < span.to; r++) {
        struct target target = target_of(call, r);
        float *d = stream_place(&call->out[2], r * classes, buffer);
        if (target.absent || target.broken) {
            loss[r] = weight[r] = target.absent ? 0 : NAN;
            for (int64_t c = 0; c < classes; c++) d[c] = loss[r];
        } else {
            const float *x = stream_read(simd, &call->in[0], r * classes, classes, second);
            float most = simd->reduce->maximum(x, classes);
            simd->map->exponential(d, x, most, classes);
            loss[r] = (float)xent_row(call, simd, d, x, &target, (double)most);
            weight[r] = (float)(target.lambda * class_weight(call, target.a) +
                                (1 - target.lambda) * class_weight(call, target.b));
        }
        stream_write(simd, &call->out[2], r * classes, classes, d);
    }
}

static enum code xent_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, xent_part);
    return OK;
}

const struct kernel cpu_softmax_xent = { .supports = stream_supports,
                                         .prepare = softmax_prepare,
                                         .run = xent_run };
