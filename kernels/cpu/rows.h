/* Walking a tensor as rows [rows, columns] in blocks that fit the first cache. */
#ifndef PAWL_KERNELS_CPU_ROWS_H
#define PAWL_KERNELS_CPU_ROWS_H

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/stream.h"

enum { ROWS_MOST = 128, ROWS_FLOATS = 8192 };

/* Rows that one block holds: at least 1, at most ROWS_MOST, about ROWS_FLOATS floats. */
static inline int64_t rows_block(int64_t columns)
{
    int64_t rows = ROWS_FLOATS / columns;
    return rows < 1 ? 1 : rows > ROWS_MOST ? ROWS_MOST : rows;
}

/* Floats that a conversion buffer for one block needs. */
static inline int64_t rows_buffer(int64_t columns)
{
    return columns > ROWS_FLOATS ? columns : ROWS_FLOATS;
}

/* A tensor as [rows, width]: the last dimension is the width. */
static inline int64_t tensor_width(const struct tensor *tensor)
{
    return tensor->shape.dim[tensor->shape.rank - 1];
}

/* The product of all dimensions but the last. */
static inline int64_t tensor_rows(const struct tensor *tensor)
{
    return shape_count(&tensor->shape) / tensor_width(tensor);
}

/* Rounded up to a multiple of 128. */
static inline int64_t align_128(int64_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

/* Workspace as one equal slice of floats per part. */
static inline void slices_prepare(const struct device *device, struct op_call *call, int64_t floats)
{
    call->workspace_bytes = (size_t)(device->threads * align_128(floats * 4));
    call->algorithm = device_simd(device)->name;
}

/* The part's slice of the workspace. */
static inline float *slice_of(const struct part *part)
{
    size_t bytes = part->call->workspace_bytes / (size_t)part->count;
    return (float *)(void *)((char *)part->call->workspace + (size_t)part->index * bytes);
}

#endif
