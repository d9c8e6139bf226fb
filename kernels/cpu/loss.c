/* Losses on real numbers and independent logits, and the sum of a step's losses. Their cost is
 * nothing beside a model, so they are plain f64 loops over rows. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/rows.h"

#include <math.h>

struct bent {
    double loss, slope;
};

static struct bent squared(double off)
{
    return (struct bent){ off * off, 2 * off };
}

static struct bent huber(double off, double delta)
{
    double size = fabs(off);
    if (size <= delta) return (struct bent){ off * off / 2, off };
    return (struct bent){ delta * (size - delta / 2), copysign(delta, off) };
}

static struct bent cross_entropy(double logit, double target)
{
    double e = exp(-fabs(logit)), p = logit >= 0 ? 1 / (1 + e) : e / (1 + e);
    return (struct bent){ (logit > 0 ? logit : 0) - logit * target + log1p(e), p - target };
}

static struct bent bent_of(const struct op_call *call, double prediction, double target)
{
    switch (call->op) {
    case OP_HUBER:
        return huber(prediction - target, call->attr->loss.delta);
    case OP_BCE:
        return cross_entropy(prediction, target);
    default:
        return squared(prediction - target);
    }
}

static void regression_part(const struct part *part)
{
    struct op_call *call = part->call;
    int64_t width = shape_inner(&call->in[0].shape, 1);
    double scale = (double)call->block->loss_scale / (double)call->attr->loss.nominal;
    float *loss = call->out[0].data, *weight = call->out[1].data;
    struct span span = part_span(part, call->in[0].shape.dim[0], 1);
    for (int64_t r = span.from; r < span.to; r++) {
        bool real = r < call->block->valid_rows;
        double sum = 0;
        for (int64_t i = r * width; i < (r + 1) * width; i++) {
            struct bent bent = { 0 };
            if (real)
                bent = bent_of(call, tensor_get(&call->in[0], i), tensor_get(&call->in[1], i));
            sum += bent.loss;
            tensor_set(&call->out[2], i, bent.slope * scale / (double)width);
        }
        loss[r] = (float)(sum / (double)width);
        weight[r] = real ? 1 : 0;
    }
}

static enum code regression_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, regression_part);
    return OK;
}

const struct kernel cpu_regression = { .supports = stream_supports, .run = regression_run };

static enum code loss_sum_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    const struct simd *simd = device_simd(device);
    struct step_block *block = call->block;
    int64_t count = shape_count(&call->in[0].shape);
    if (block->micro_step == 0) block->loss_sum = block->weight_sum = 0;
    block->loss_sum += simd->reduce->sum(call->in[0].data, count);
    block->weight_sum += simd->reduce->sum(call->in[1].data, count);
    return OK;
}

const struct kernel cpu_loss_sum = { .supports = call_all_f32, .run = loss_sum_run };
