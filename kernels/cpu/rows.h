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

static inline int64_t align_128(int64_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

#endif
