/* Sums and means over a set of axes, and the repetition that is their gradient.
 *
 * Neighbouring axes of one kind are joined first, so that a tensor is an alternation of kept and
 * reduced ones; the innermost is either a run to add up or a run of columns. Each output is made
 * by one part alone, so the thread count changes no bit. */
#include "kernels/cpu/rows.h"

#include <string.h>

enum { REDUCE_COLUMNS = 64, REDUCE_ROWS = 64 };

/* The full tensor as kept x reduced axes with strides, innermost last. */
struct axes {
    int kept, gone;
    int64_t kept_size[TENSOR_DIMS], kept_stride[TENSOR_DIMS];
    int64_t gone_size[TENSOR_DIMS], gone_stride[TENSOR_DIMS];
    int64_t outer, columns; /* kept combinations without, and the innermost kept run (or 1) */
    int64_t rows, run;      /* reduced combinations without, and the innermost reduced run (or 1) */
};

static struct axes axes_of(const struct shape *full, uint32_t mask)
{
    struct axes axes = { .outer = 1, .columns = 1, .rows = 1, .run = 1 };
    int axis = full->rank - 1;
    bool inner_gone = full->rank > 0 && (mask >> axis & 1);
    int64_t stride = 1, inner = 1;
    for (; axis >= 0 && (mask >> axis & 1) == inner_gone; axis--) inner *= full->dim[axis];
    if (full->rank > 0) *(inner_gone ? &axes.run : &axes.columns) = inner;
    stride = inner;
    for (; axis >= 0; axis--) {
        bool gone = mask >> axis & 1;
        int i = gone ? axes.gone++ : axes.kept++;
        (gone ? axes.gone_size : axes.kept_size)[i] = full->dim[axis];
        (gone ? axes.gone_stride : axes.kept_stride)[i] = stride;
        *(gone ? &axes.rows : &axes.outer) *= full->dim[axis];
        stride *= full->dim[axis];
    }
    return axes;
}

/* Offset of combination `index`; sizes and strides are listed innermost first. */
static int64_t offset_of(int count, const int64_t *size, const int64_t *stride, int64_t index)
{
    int64_t offset = 0;
    for (int i = 0; i < count; i++) {
        offset += index % size[i] * stride[i];
        index /= size[i];
    }
    return offset;
}

static int64_t kept_offset(const struct axes *axes, int64_t index)
{
    return offset_of(axes->kept, axes->kept_size, axes->kept_stride, index);
}

static int64_t gone_offset(const struct axes *axes, int64_t index)
{
    return offset_of(axes->gone, axes->gone_size, axes->gone_stride, index);
}

static bool mean_op(enum op_kind op)
{
    return op == OP_REDUCE_MEAN || op == OP_REDUCE_MEAN_BWD;
}

/* Sum of a reduced run of any length from `from` on. */
static double run_sum(const struct simd *simd, const struct tensor *x, int64_t from, int64_t count)
{
    float buffer[STREAM_BLOCK];
    double sum = 0;
    for (int64_t i = 0; i < count; i += STREAM_BLOCK) {
        int64_t n = count - i < STREAM_BLOCK ? count - i : STREAM_BLOCK;
        sum += simd->reduce->sum(stream_read(simd, x, from + i, n, buffer), n);
    }
    return sum;
}

/* Output columns [c, c + width) of kept combination `k`. */
static void reduce_columns(const struct part *part, const struct axes *axes, int64_t k, int64_t c,
                           int64_t width)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    double sum[REDUCE_COLUMNS] = { 0 };
    float buffer[REDUCE_COLUMNS], few[REDUCE_COLUMNS] = { 0 };
    int64_t base = kept_offset(axes, k) + c;
    for (int64_t r = 0; r < axes->rows; r++) {
        int64_t from = base + gone_offset(axes, r);
        if (axes->run > 1) {
            sum[0] += run_sum(simd, &call->in[0], from, axes->run);
            continue;
        }
        const float *x = stream_read(simd, &call->in[0], from, width, buffer);
        simd->map->add(few, few, x, width);
        if ((r + 1) % REDUCE_ROWS && r + 1 < axes->rows) continue;
        for (int64_t i = 0; i < width; i++) sum[i] += (double)few[i];
        memset(few, 0, sizeof few);
    }
    double share = mean_op(call->op) ? 1 / ((double)axes->rows * (double)axes->run) : 1;
    int64_t at = k * axes->columns + c;
    float *y = stream_place(&call->out[0], at, buffer);
    for (int64_t i = 0; i < width; i++) y[i] = (float)(sum[i] * share);
    stream_write(simd, &call->out[0], at, width, y);
}

static void reduce_part(const struct part *part)
{
    struct op_call *call = part->call;
    struct axes axes = axes_of(&call->in[0].shape, call->attr->reduce.axes);
    int64_t blocks = (axes.columns + REDUCE_COLUMNS - 1) / REDUCE_COLUMNS;
    struct span span = part_span(part, axes.outer * blocks, 1);
    for (int64_t i = span.from; i < span.to; i++) {
        int64_t c = i % blocks * REDUCE_COLUMNS;
        int64_t width = axes.columns - c < REDUCE_COLUMNS ? axes.columns - c : REDUCE_COLUMNS;
        reduce_columns(part, &axes, i / blocks, c, width);
    }
}

static enum code reduce_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, reduce_part);
    return OK;
}

const struct kernel cpu_reduce = { .supports = stream_supports, .run = reduce_run };

/* dx [from, from + count) = the constant or the row `dy` times share, in blocks. */
static void repeat(const struct part *part, int64_t from, int64_t dy, const struct axes *axes,
                   float share)
{
    struct op_call *call = part->call;
    const struct simd *simd = device_simd(part->device);
    float buffer[STREAM_BLOCK];
    bool constant = axes->run > 1;
    int64_t count = constant ? axes->run : axes->columns;
    float value = 0;
    if (constant) value = share * *stream_read(simd, &call->in[0], dy, 1, buffer);
    for (int64_t i = 0; i < count; i += STREAM_BLOCK) {
        int64_t n = count - i < STREAM_BLOCK ? count - i : STREAM_BLOCK;
        const float *g = constant ? NULL : stream_read(simd, &call->in[0], dy + i, n, buffer);
        float *dx = stream_place(&call->out[0], from + i, buffer);
        if (g)
            simd->map->scale(dx, g, share, n);
        else
            for (int64_t j = 0; j < n; j++) dx[j] = value;
        stream_write(simd, &call->out[0], from + i, n, dx);
    }
}

static void repeat_part(const struct part *part)
{
    struct op_call *call = part->call;
    struct axes axes = axes_of(&call->out[0].shape, call->attr->reduce.axes);
    float share = mean_op(call->op) ? 1 / ((float)axes.rows * (float)axes.run) : 1;
    struct span span = part_span(part, axes.outer * axes.rows, 1);
    for (int64_t i = span.from; i < span.to; i++) {
        int64_t k = i / axes.rows;
        repeat(part, kept_offset(&axes, k) + gone_offset(&axes, i % axes.rows), k * axes.columns,
               &axes, share);
    }
}

static enum code repeat_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, repeat_part);
    return OK;
}

const struct kernel cpu_reduce_bwd = { .supports = stream_supports, .run = repeat_run };
