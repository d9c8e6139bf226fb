/* Maps from elements to elements: activations and their gradients, sums, products, casts. One walk
 * over blocks for all of them; which vector function runs is a row of a table. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/stream.h"

struct map {
    enum { MAP_ACT, MAP_ACT_BWD, MAP_ADD, MAP_MULTIPLY } kind;
    enum activation act;
};

static const struct map maps[OP_COUNT] = {
    [OP_RELU] = { MAP_ACT, ACT_RELU },         [OP_GELU] = { MAP_ACT, ACT_GELU },
    [OP_SILU] = { MAP_ACT, ACT_SILU },         [OP_TANH] = { MAP_ACT, ACT_TANH },
    [OP_SIGMOID] = { MAP_ACT, ACT_SIGMOID },   [OP_RELU_BWD] = { MAP_ACT_BWD, ACT_RELU },
    [OP_GELU_BWD] = { MAP_ACT_BWD, ACT_GELU }, [OP_SILU_BWD] = { MAP_ACT_BWD, ACT_SILU },
    [OP_TANH_BWD] = { MAP_ACT_BWD, ACT_TANH }, [OP_SIGMOID_BWD] = { MAP_ACT_BWD, ACT_SIGMOID },
    [OP_ADD] = { MAP_ADD, ACT_NONE },          [OP_MULTIPLY] = { MAP_MULTIPLY, ACT_NONE },
};

static void map_block(const struct simd *simd, const struct map *map, float *y, const float *a,
                      const float *b, int64_t count)
{
    switch (map->kind) {
    case MAP_ACT:
        simd->map->act[map->act](y, a, count);
        break;
    case MAP_ACT_BWD:
        simd->map->act_bwd[map->act](y, a, b, count);
        break;
    case MAP_ADD:
        simd->map->add(y, a, b, count);
        break;
    case MAP_MULTIPLY:
        simd->map->multiply(y, a, b, count);
        break;
    }
}

static void map_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    const struct map *map = &maps[call->op];
    struct span span = part_span(part, shape_count(&call->out[0].shape), STREAM_BLOCK);
    float a[STREAM_BLOCK], b[STREAM_BLOCK];
    for (int64_t i = span.from; i < span.to; i += STREAM_BLOCK) {
        int64_t count = span.to - i < STREAM_BLOCK ? span.to - i : STREAM_BLOCK;
        const float *first = stream_read(simd, &call->in[0], i, count, a);
        const float *second = call->ins > 1 ? stream_read(simd, &call->in[1], i, count, b) : NULL;
        float *to = stream_place(&call->out[0], i, a);
        map_block(simd, map, to, first, second, count);
        stream_write(simd, &call->out[0], i, count, to);
    }
}

static enum code map_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, map_part);
    return OK;
}

const struct kernel cpu_map = { .supports = stream_supports, .run = map_run };

/* What both types of a cast convert through: f32 where that is exact or the target is narrower. */
static bool cast_streams(const struct op_call *call)
{
    enum dtype from = call->in[0].dtype, to = call->out[0].dtype;
    return (stream_dtype(from) || from == DTYPE_U8) && stream_dtype(to);
}

static void cast_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    bool streams = cast_streams(call);
    struct span span = part_span(part, shape_count(&call->out[0].shape), STREAM_BLOCK);
    float buffer[STREAM_BLOCK];
    for (int64_t i = span.from; i < span.to; i += STREAM_BLOCK) {
        int64_t count = span.to - i < STREAM_BLOCK ? span.to - i : STREAM_BLOCK;
        if (!streams) {
            for (int64_t j = i; j < i + count; j++)
                tensor_set(&call->out[0], j, tensor_get(&call->in[0], j));
            continue;
        }
        const float *from = stream_read(simd, &call->in[0], i, count, buffer);
        if (call->out[0].dtype == DTYPE_F32)
            simd->map->act[ACT_NONE](stream_place(&call->out[0], i, buffer), from, count);
        else
            stream_write(simd, &call->out[0], i, count, from);
    }
}

static enum code cast_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, cast_part);
    return OK;
}

const struct kernel cpu_cast = { .run = cast_run };

enum { NORMALIZE_FLOATS = 4096 };

static void normalize_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    const struct shape *shape = &call->in[0].shape;
    int64_t columns = shape->dim[shape->rank - 1], rows = shape_count(shape) / columns;
    int64_t block = columns < NORMALIZE_FLOATS ? NORMALIZE_FLOATS / columns : 1;
    const float *scale = call->in[1].data, *shift = call->in[2].data;
    struct span span = part_span(part, rows, block);
    float buffer[NORMALIZE_FLOATS];
    for (int64_t r = span.from; r < span.to; r += block) {
        int64_t count = span.to - r < block ? span.to - r : block;
        /* A row longer than the buffer is cut; its constants move along. */
        for (int64_t c = 0; c < columns; c += NORMALIZE_FLOATS) {
            int64_t width = columns - c < NORMALIZE_FLOATS ? columns - c : NORMALIZE_FLOATS;
            int64_t at = r * columns + c;
            const float *x = stream_read(simd, &call->in[0], at, count * width, buffer);
            float *y = stream_place(&call->out[0], at, buffer);
            simd->map->normalize(y, x, scale + c, shift + c, count, width);
            stream_write(simd, &call->out[0], at, count * width, y);
        }
    }
}

static enum code normalize_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, normalize_part);
    return OK;
}

static bool normalize_supports(const struct device *device, const struct op_call *call)
{
    bool u8 = call->in[0].dtype == DTYPE_U8;
    return (u8 || stream_dtype(call->in[0].dtype)) && stream_dtype(call->out[0].dtype) &&
           stream_supports(device, call);
}

const struct kernel cpu_normalize = { .supports = normalize_supports, .run = normalize_run };
