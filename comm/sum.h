/* Joining arrays in a fixed order (internal to comm/). */
#ifndef PAWL_COMM_SUM_H
#define PAWL_COMM_SUM_H

#include "comm/comm.h"

/* Bytes of one number while it is being reduced: bf16 is carried as f32. */
size_t sum_width(enum comm_type type);

/* Joins `arrays` of [count] numbers, `stride` bytes apart from `base`, into the first: neighbours
 * in pairs, then pairs of pairs. The others are scratch afterwards. */
void sum_tree(void *base, size_t stride, int arrays, int64_t count, enum comm_type type,
              enum comm_op op);

/* The same over separate f32 arrays; the sum is in leaf[0]. */
void sum_leaves(float *const *leaf, int leaves, int64_t count);

/* Copies numbers into the form in which they are reduced, and back. */
void sum_pack(void *to, const void *from, int64_t count, enum comm_type type);
void sum_unpack(void *to, const void *from, int64_t count, enum comm_type type);

/* Bytes of one number as the caller has it. */
size_t sum_stored(enum comm_type type);

#endif
