/* Reference of the losses on real numbers and on independent logits: each is a mean over a row's
 * outputs, with weight 1, or 0 for the rows that pad a batch. */
#include "kernels/ref/ref.h"

/* Loss of one output and its slope. */
struct bent {
    struct sum loss, slope;
};

static struct bent squared(double off)
{
    return (struct bent){ .loss = { off * off, 2 * off * off },
                          .slope = { 2 * off, 2 * fabs(off) } };
}

/* Huber 1964, scaled as PyTorch's HuberLoss. */
static struct bent huber(double off, double delta)
{
    double size = fabs(off);
    if (size <= delta)
        return (struct bent){ .loss = { off * off / 2, off * off }, .slope = { off, size } };
    return (struct bent){ .loss = { delta * (size - delta / 2), delta * (2 * size + delta / 2) },
                          .slope = { copysign(delta, off), delta } };
}

static struct bent cross_entropy(double logit, double target)
{
    struct bent bent = { 0 };
    double e = exp(-fabs(logit)), p = logit >= 0 ? 1 / (1 + e) : e / (1 + e);
    sum_add(&bent.loss, fmax(logit, 0));
    sum_add(&bent.loss, -logit * target);
    sum_add(&bent.loss, log1p(e));
    bent.loss.size += e * fabs(logit);
    sum_add(&bent.slope, p);
    sum_add(&bent.slope, -target);
    bent.slope.size += p * (1 - p) * fabs(logit);
    return bent;
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

void ref_regression(struct op_call *call)
{
    int64_t rows = call->in[0].shape.dim[0], width = shape_inner(&call->in[0].shape, 1);
    double scale = (double)call->block->loss_scale / (double)call->attr->loss.nominal;
    for (int64_t row = 0; row < rows; row++) {
        double weight = row < call->block->valid_rows ? 1 : 0;
        struct sum loss = { 0 };
        for (int64_t i = row * width; i < (row + 1) * width; i++) {
            struct sum gradient = { 0 };
            if (weight > 0) {
                struct bent bent = bent_of(call, ref_get(call, 0, i), ref_get(call, 1, i));
                sum_add_scaled(&loss, 1 / (double)width, bent.loss);
                sum_add_scaled(&gradient, scale / (double)width, bent.slope);
            }
            ref_put(call, 2, i, gradient);
        }
        ref_put(call, 0, row, loss);
        ref_put_exact(call, 1, row, weight);
    }
}
