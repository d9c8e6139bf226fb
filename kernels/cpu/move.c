/* Ops that only move elements, of any type: concat, split, permute, reshape, flip, padded crop. */
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/rows.h"
#include "kernels/scalar.h"

#include <string.h>

/* CONCAT and SPLIT: the whole tensor is rows of `whole` bytes, each part a slice of every row. */
static void join_part(const struct part *part)
{
    struct op_call *call = part->call;
    bool split = call->op == OP_SPLIT;
    const struct tensor *whole = split ? &call->in[0] : &call->out[0];
    const struct tensor *pieces = split ? call->out : call->in;
    int axis = call->attr->concat.axis, count = split ? call->outs : call->ins;
    int64_t size = (int64_t)dtype_size(whole->dtype);
    int64_t row_bytes = shape_inner(&whole->shape, axis) * size;
    struct span span = part_span(part, shape_count(&whole->shape) * size / row_bytes, 1);
    for (int64_t r = span.from; r < span.to; r++) {
        char *at = (char *)whole->data + r * row_bytes;
        for (int i = 0; i < count; i++) {
            int64_t bytes = shape_inner(&pieces[i].shape, axis) * size;
            char *piece = (char *)pieces[i].data + r * bytes;
            memcpy(split ? piece : at, split ? at : piece, (size_t)bytes);
            at += bytes;
        }
    }
}

static enum code join_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, join_part);
    return OK;
}

const struct kernel cpu_join = { .run = join_run };

/* A view that the program placed in memory of its own is copied; the layout is always canonical. */
static void copy_part(const struct part *part)
{
    struct op_call *call = part->call;
    int64_t bytes = shape_count(&call->in[0].shape) * (int64_t)dtype_size(call->in[0].dtype);
    struct span span = part_span(part, bytes, 4096);
    memcpy((char *)call->out[0].data + span.from, (char *)call->in[0].data + span.from,
           (size_t)(span.to - span.from));
}

static enum code copy_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    if (call->in[0].data != call->out[0].data) parts_run(device, call, copy_part);
    return OK;
}

static bool copy_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call->in[0].layout == 0 && call->out[0].layout == 0 &&
           call->in[0].dtype == call->out[0].dtype;
}

const struct kernel cpu_copy = { .supports = copy_supports, .run = copy_run };

static void copy_strided(char *to, const char *from, int64_t to_step, int64_t from_step,
                         int64_t count, int64_t size)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * to_step, from + i * from_step, (size_t)size);
}

/* The usual sizes as constants, so that the copies become single moves. */
static void copy_elements(char *to, const char *from, int64_t to_step, int64_t from_step,
                          int64_t count, int64_t size)
{
    switch (size) {
    case 1:
        copy_strided(to, from, to_step, from_step, count, 1);
        break;
    case 2:
        copy_strided(to, from, to_step, from_step, count, 2);
        break;
    case 4:
        copy_strided(to, from, to_step, from_step, count, 4);
        break;
    case 8:
        copy_strided(to, from, to_step, from_step, count, 8);
        break;
    default:
        copy_strided(to, from, to_step, from_step, count, size);
        break;
    }
}

/* PERMUTE and PERMUTE_BWD: the permuted tensor is walked in order, its rows along the last axis
 * lie in the plain tensor with a stride. Axes that stay last together are one element. */
static void permute_part(const struct part *part)
{
    struct op_call *call = part->call;
    bool back = call->op == OP_PERMUTE_BWD;
    const struct tensor *plain = back ? &call->out[0] : &call->in[0];
    const struct tensor *permuted = back ? &call->in[0] : &call->out[0];
    const int *order = call->attr->permute.order;
    int rank = plain->shape.rank;
    int64_t size = (int64_t)dtype_size(plain->dtype);
    while (rank > 1 && order[rank - 1] == rank - 1) size *= plain->shape.dim[--rank];
    int64_t bytes = size, stride[TENSOR_DIMS];
    for (int axis = rank - 1; axis >= 0; axis--) {
        stride[axis] = bytes;
        bytes *= plain->shape.dim[axis];
    }
    int64_t row = rank ? permuted->shape.dim[rank - 1] : 1;
    int64_t step = rank ? stride[order[rank - 1]] : size;
    struct span span = part_span(part, bytes / size / row, 1);
    for (int64_t r = span.from; r < span.to; r++) {
        int64_t rest = r, from = 0;
        for (int axis = rank - 2; axis >= 0; axis--) {
            from += rest % permuted->shape.dim[axis] * stride[order[axis]];
            rest /= permuted->shape.dim[axis];
        }
        char *ordered = (char *)permuted->data + r * row * size;
        char *strided = (char *)plain->data + from;
        copy_elements(back ? strided : ordered, back ? ordered : strided, back ? step : size,
                      back ? size : step, row, size);
    }
}

static enum code permute_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, permute_part);
    return OK;
}

const struct kernel cpu_permute = { .run = permute_run };

static struct philox row_draw(const struct op_call *call, int64_t row)
{
    uint64_t key = draw_key(call->block->seed, call->attr->augment.path, call->block->step);
    return draw_words(key, ((const int64_t *)call->in[1].data)[row], 0);
}

static void flip_part(const struct part *part)
{
    struct op_call *call = part->call;
    const int64_t *x = call->in[0].shape.dim;
    int64_t pixel = x[3] * (int64_t)dtype_size(call->in[0].dtype), line = x[2] * pixel;
    struct span span = part_span(part, x[0], 1);
    for (int64_t n = span.from; n < span.to; n++) {
        bool mirrors = flip_mirrors(row_draw(call, n), call->attr->augment.probability);
        for (int64_t h = n * x[1]; h < (n + 1) * x[1]; h++) {
            char *to = (char *)call->out[0].data + h * line;
            const char *from = (const char *)call->in[0].data + h * line;
            if (mirrors)
                copy_elements(to, from + line - pixel, pixel, -pixel, x[2], pixel);
            else
                memcpy(to, from, (size_t)line);
        }
    }
}

static enum code flip_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, flip_part);
    return OK;
}

const struct kernel cpu_flip = { .run = flip_run };

static void crop_part(const struct part *part)
{
    struct op_call *call = part->call;
    const int64_t *x = call->in[0].shape.dim;
    int64_t pixel = x[3] * (int64_t)dtype_size(call->in[0].dtype), line = x[2] * pixel;
    struct span span = part_span(part, x[0], 1);
    for (int64_t n = span.from; n < span.to; n++) {
        struct philox words = row_draw(call, n);
        int64_t down = crop_shift(words, 0, call->attr->augment.pad);
        int64_t right = crop_shift(words, 1, call->attr->augment.pad);
        int64_t first = right < 0 ? -right : 0, kept = x[2] - (right < 0 ? -right : right);
        for (int64_t h = 0; h < x[1]; h++) {
            char *to = (char *)call->out[0].data + (n * x[1] + h) * line;
            const char *from = (const char *)call->in[0].data + (n * x[1] + h + down) * line;
            memset(to, 0, (size_t)line);
            if (h + down < 0 || h + down >= x[1] || kept <= 0) continue;
            memcpy(to + first * pixel, from + (first + right) * pixel, (size_t)(kept * pixel));
        }
    }
}

static enum code crop_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    parts_run(device, call, crop_part);
    return OK;
}

const struct kernel cpu_padded_crop = { .run = crop_run };
