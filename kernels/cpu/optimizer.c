/* The end of a step: gradient norm with clip and skip, SGD, AdamW, weight average.
 *
 * Each part takes its share of every segment, so that one huge matrix does not fall to one thread.
 * A step marked `skip` changes nothing. */
#include "kernels/cpu/rows.h"
#include "kernels/step_end.h"

#include <math.h>

static enum code norm_prepare_sums(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    slices_prepare(device, call, 2);
    return OK;
}

static void squares_part(const struct part *part)
{
    struct op_call *call = part->call;
    struct span span = part_span(part, shape_count(&call->in[0].shape), STREAM_BLOCK);
    const float *gradient = (const float *)call->in[0].data + span.from;
    double *sum = (double *)(void *)slice_of(part);
    *sum = device_simd(part->device)->reduce->squares(gradient, span.to - span.from);
}

static enum code grad_norm_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    double squares = 0;
    parts_run(device, call, squares_part);
    for (int i = 0; i < device->threads; i++) {
        struct part part = { device, call, i, device->threads };
        squares += *(const double *)(const void *)slice_of(&part);
    }
    step_end(call->block, squares, step_rule_of(call->attr));
    return OK;
}

const struct kernel cpu_grad_norm = { .supports = call_all_f32,
                                      .prepare = norm_prepare_sums,
                                      .run = grad_norm_run };

static float *moved(const struct op_call *call, int input, int64_t offset)
{
    return call_has_in(call, input) ? (float *)call->in[input].data + offset : NULL;
}

static float clip_of(const struct op_call *call)
{
    float clip = call->attr->optimizer.clip_value;
    return clip > 0 ? clip : INFINITY;
}

static void sgd_segment(const struct part *part, const struct segment *segment, int64_t from,
                        int64_t count)
{
    struct op_call *call = part->call;
    struct sgd_scalars scalars = {
        .rate = call->block->rate * segment->rate,
        .decay = segment->decay ? call->attr->optimizer.weight_decay : 0,
        .momentum = call->attr->optimizer.momentum,
        .gradient_scale = call->block->gradient_scale,
        .clip = clip_of(call),
        .nesterov = call->attr->optimizer.nesterov,
    };
    device_simd(part->device)
        ->optimizer->sgd(moved(call, 0, from), moved(call, 2, from), moved(call, 1, from), count,
                         &scalars);
}

static void adamw_segment(const struct part *part, const struct segment *segment, int64_t from,
                          int64_t count)
{
    struct op_call *call = part->call;
    double beta1 = (double)call->attr->optimizer.beta1, beta2 = (double)call->attr->optimizer.beta2;
    double time = (double)call->block->optimizer_time;
    struct adamw_scalars scalars = {
        .rate = call->block->rate * segment->rate,
        .decay = segment->decay ? call->attr->optimizer.weight_decay : 0,
        .beta1 = (float)beta1,
        .beta2 = (float)beta2,
        .rest1 = (float)(1 - beta1),
        .rest2 = (float)(1 - beta2),
        .eps = call->attr->optimizer.eps,
        .gradient_scale = call->block->gradient_scale,
        .clip = clip_of(call),
        .correction1 = (float)(1 / (1 - pow(beta1, time))),
        .correction2 = (float)(1 / (1 - pow(beta2, time))),
    };
    device_simd(part->device)
        ->optimizer->adamw(moved(call, 0, from), moved(call, 2, from), moved(call, 3, from),
                           moved(call, 1, from), count, &scalars);
}

static void ema_segment(const struct part *part, const struct segment *segment, int64_t from,
                        int64_t count)
{
    (void)segment;
    struct op_call *call = part->call;
    float decay = call->attr->optimizer.decay;
    device_simd(part->device)
        ->optimizer->ema(moved(call, 0, from), moved(call, 1, from), decay,
                         (float)(1 - (double)decay), count);
}

typedef void update_function(const struct part *part, const struct segment *segment, int64_t from,
                             int64_t count);

/* Without a segment table the whole arena is one segment. */
static void each_segment(const struct part *part, update_function *update)
{
    struct segment all = { .count = shape_count(&part->call->in[0].shape), .rate = 1 };
    struct segments whole = { .at = &all, .count = 1, .size = all.count };
    const struct segments *segments = part->call->attr->optimizer.segments;
    if (!segments) segments = &whole;
    for (int64_t i = 0; i < segments->count; i++) {
        const struct segment *segment = &segments->at[i];
        struct span span = part_span(part, segment->count, STREAM_BLOCK);
        if (span.from < span.to)
            update(part, segment, segment->offset + span.from, span.to - span.from);
    }
}

static void sgd_part(const struct part *part)
{
    each_segment(part, sgd_segment);
}

static void adamw_part(const struct part *part)
{
    each_segment(part, adamw_segment);
}

static void ema_part(const struct part *part)
{
    each_segment(part, ema_segment);
}

static enum code update_run(struct device *device, struct op_call *call,
                            void (*body)(const struct part *part))
{
    if (!call->block->skip) parts_run(device, call, body);
    return OK;
}

static enum code sgd_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    return update_run(device, call, sgd_part);
}

static enum code adamw_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    return update_run(device, call, adamw_part);
}

static enum code ema_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    return update_run(device, call, ema_part);
}

const struct kernel cpu_sgd = { .supports = call_all_f32, .run = sgd_run };
const struct kernel cpu_adamw = { .supports = call_all_f32, .run = adamw_run };
const struct kernel cpu_ema = { .supports = call_all_f32, .run = ema_run };
