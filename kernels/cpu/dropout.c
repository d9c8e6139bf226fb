/* Dropout and its gradient: the same draws, sample by sample. */
#include "kernels/cpu/rows.h"
#include "kernels/scalar.h"

static void dropout_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    const struct shape *shape = &call->in[0].shape;
    int64_t width = shape_inner(shape, 1), blocks = (width + STREAM_BLOCK - 1) / STREAM_BLOCK;
    uint64_t key = draw_key(call->block->seed, call->attr->dropout.path, call->block->step);
    const int64_t *ordinals = call->in[1].data;
    float buffer[STREAM_BLOCK];
    struct span span = part_span(part, shape->dim[0] * blocks, 1);
    for (int64_t i = span.from; i < span.to; i++) {
        int64_t row = i / blocks, from = i % blocks * STREAM_BLOCK;
        int64_t count = width - from < STREAM_BLOCK ? width - from : STREAM_BLOCK;
        int64_t at = row * width + from;
        const float *x = stream_read(simd, &call->in[0], at, count, buffer);
        float *y = stream_place(&call->out[0], at, buffer);
        simd->dropout(y, x, count, key, ordinals[row], from / 4, call->attr->dropout.rate);
        stream_write(simd, &call->out[0], at, count, y);
    }
}

static enum code dropout_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, dropout_part);
    return OK;
}

const struct kernel cpu_dropout = { .supports = stream_supports, .run = dropout_run };
