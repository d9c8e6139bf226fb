/* Reference of the end of a step: loss sums, gradient norm, optimizers, weight average.
 *
 * AdamW: Loshchilov and Hutter 2019, with bias correction as in Kingma and Ba 2015. SGD: momentum
 * and Nesterov as in Sutskever et al. 2013 in PyTorch's form (the rate outside the momentum). A
 * step that GRAD_NORM marked `skip` changes nothing. */
#include "kernels/ref/ref.h"
#include "kernels/step_end.h"

void ref_loss_sum(struct op_call *call)
{
    struct step_block *block = call->block;
    if (block->micro_step == 0) block->loss_sum = block->weight_sum = 0;
    for (int64_t i = 0; i < shape_count(&call->in[0].shape); i++) {
        block->loss_sum += ref_get(call, 0, i);
        block->weight_sum += ref_get(call, 1, i);
    }
}

void ref_grad_norm(struct op_call *call)
{
    double squares = 0;
    for (int64_t i = 0; i < shape_count(&call->in[0].shape); i++)
        squares += ref_get(call, 0, i) * ref_get(call, 0, i);
    step_end(call->block, squares, step_rule_of(call->attr));
}

/* The gradient that the optimizer sees: scaled, then held to the clip value. */
static double seen_gradient(const struct op_call *call, int64_t i)
{
    double gradient = ref_get(call, 1, i) * (double)call->block->gradient_scale;
    double clip = (double)call->attr->optimizer.clip_value;
    return clip > 0 ? fmax(-clip, fmin(clip, gradient)) : gradient;
}

typedef void update_function(const struct op_call *call, const struct segment *segment, int64_t i);

/* Without a segment table the whole arena is one segment. */
static void each_parameter(struct op_call *call, update_function *update)
{
    struct segment all = { .count = shape_count(&call->in[0].shape), .rate = 1 };
    struct segments whole = { .at = &all, .count = 1, .size = all.count };
    const struct segments *segments = call->attr->optimizer.segments;
    if (!segments) segments = &whole;
    if (call->block->skip) return;
    for (int64_t s = 0; s < segments->count; s++) {
        const struct segment *segment = &segments->at[s];
        for (int64_t i = segment->offset; i < segment->offset + segment->count; i++)
            update(call, segment, i);
    }
}

static double rate_of(const struct op_call *call, const struct segment *segment)
{
    return (double)call->block->rate * (double)segment->rate;
}

static double decay_of(const struct op_call *call, const struct segment *segment)
{
    return segment->decay ? (double)call->attr->optimizer.weight_decay : 0;
}

static void sgd_one(const struct op_call *call, const struct segment *segment, int64_t i)
{
    double value = ref_get(call, 0, i), momentum = (double)call->attr->optimizer.momentum;
    double rate = rate_of(call, segment);
    struct sum gradient = { 0 }, next = { 0 };
    sum_add(&gradient, seen_gradient(call, i));
    sum_add(&gradient, decay_of(call, segment) * value);
    if (call_has_in(call, 2)) {
        struct sum velocity = gradient;
        sum_add(&velocity, momentum * ref_get(call, 2, i));
        ref_update(call, 2, i, velocity);
        if (call->attr->optimizer.nesterov)
            sum_add_scaled(&gradient, momentum, velocity);
        else
            gradient = velocity;
    }
    sum_add(&next, value);
    sum_add_scaled(&next, -rate, gradient);
    ref_update(call, 0, i, next);
}

void ref_sgd(struct op_call *call)
{
    each_parameter(call, sgd_one);
}

static void adamw_one(const struct op_call *call, const struct segment *segment, int64_t i)
{
    double value = ref_get(call, 0, i), gradient = seen_gradient(call, i);
    double beta1 = (double)call->attr->optimizer.beta1, beta2 = (double)call->attr->optimizer.beta2;
    double rate = rate_of(call, segment), time = (double)call->block->optimizer_time;
    struct sum first = { 0 }, second = { 0 }, next = { 0 };
    sum_add(&first, beta1 * ref_get(call, 2, i));
    sum_add(&first, (1 - beta1) * gradient);
    sum_add(&second, beta2 * ref_get(call, 3, i));
    sum_add(&second, (1 - beta2) * gradient * gradient);
    double spread = sqrt(second.value / (1 - pow(beta2, time))) + (double)call->attr->optimizer.eps;
    sum_add(&next, value);
    sum_add(&next, -rate * decay_of(call, segment) * value);
    sum_add_scaled(&next, -rate / ((1 - pow(beta1, time)) * spread), first);
    ref_update(call, 0, i, next);
    ref_update(call, 2, i, first);
    ref_update(call, 3, i, second);
}

void ref_adamw(struct op_call *call)
{
    each_parameter(call, adamw_one);
}

static void ema_one(const struct op_call *call, const struct segment *segment, int64_t i)
{
    (void)segment;
    double decay = (double)call->attr->optimizer.decay;
    struct sum average = { 0 };
    sum_add(&average, decay * ref_get(call, 0, i));
    sum_add(&average, (1 - decay) * ref_get(call, 1, i));
    ref_update(call, 0, i, average);
}

void ref_ema(struct op_call *call)
{
    each_parameter(call, ema_one);
}
