/* Reading and writing tensors of any float type as blocks of f32.
 *
 * The vector code computes in f32; a bf16 tensor is converted block by block through a buffer that
 * stays in the first cache, an f32 tensor is used where it lies. */
#ifndef PAWL_KERNELS_CPU_STREAM_H
#define PAWL_KERNELS_CPU_STREAM_H

#include "kernels/cpu/cpu.h"

enum { STREAM_BLOCK = 1024 };

/* Elements [from, from + count) as f32: the tensor's own memory or `buffer` with room for them.
 * F32, BF16 and U8. */
const float *stream_read(const struct simd *simd, const struct tensor *tensor, int64_t from,
                         int64_t count, float *buffer);

/* Where results for [from, ..) are to be computed: the tensor's own memory (F32) or `buffer`. */
float *stream_place(const struct tensor *tensor, int64_t from, float *buffer);

/* Stores what was computed at stream_place. */
void stream_write(const struct simd *simd, const struct tensor *tensor, int64_t from, int64_t count,
                  const float *result);

/* Whether input and output types are ones that streams know. */
bool stream_dtype(enum dtype dtype);

/* supports() of kernels whose float tensors are all F32 or BF16. */
bool stream_supports(const struct device *device, const struct op_call *call);

/* supports() of kernels whose inputs are all F32. */
bool call_all_f32(const struct device *device, const struct op_call *call);

/* An f32 vector of an optional input, or NULL where it is absent. */
const float *call_vector(const struct op_call *call, int input);

/* Writes doubles to an f32 vector output, or adds them when output `output` accumulates. */
void call_store(const struct op_call *call, int output, const double *values, int64_t count);

#endif
