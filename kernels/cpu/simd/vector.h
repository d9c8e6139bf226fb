/* Vectors of the width of this build, by the compilers' vector extensions: no intrinsics, so the
 * same source serves every instruction set and both compilers. Included by simd/ sources only. */
#ifndef PAWL_KERNELS_CPU_SIMD_VECTOR_H
#define PAWL_KERNELS_CPU_SIMD_VECTOR_H

#include <stdint.h>
#include <string.h>

#define SPLAT_4(v)  v, v, v, v
#define SPLAT_8(v)  SPLAT_4(v), SPLAT_4(v)
#define SPLAT_16(v) SPLAT_8(v), SPLAT_8(v)

#if defined(__AVX512F__)
#define VECTOR_FLOATS 16
#define VECTOR_SPLAT(v)                                                                            \
    {                                                                                              \
        SPLAT_16(v)                                                                                \
    }
#elif defined(__AVX2__)
#define VECTOR_FLOATS 8
#define VECTOR_SPLAT(v)                                                                            \
    {                                                                                              \
        SPLAT_8(v)                                                                                 \
    }
#else
#define VECTOR_FLOATS 4
#define VECTOR_SPLAT(v)                                                                            \
    {                                                                                              \
        SPLAT_4(v)                                                                                 \
    }
#endif

/* Before a loop of constant length that must disappear, so that arrays of sums become registers. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef float vec __attribute__((vector_size(VECTOR_FLOATS * 4)));
typedef int32_t ivec __attribute__((vector_size(VECTOR_FLOATS * 4)));
typedef uint8_t bvec __attribute__((vector_size(VECTOR_FLOATS)));

/* Unaligned load. */
static inline vec vec_load(const float *at)
{
    vec v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* Unaligned store. */
static inline void vec_store(float *at, vec v)
{
    memcpy(at, &v, sizeof v);
}

/* All lanes equal. */
static inline vec vec_set(float value)
{
    vec v = VECTOR_SPLAT(value);
    return v;
}

/* mask ? a : b, lane by lane; a mask lane is all ones or all zeros */
static inline vec vec_pick(ivec mask, vec a, vec b)
{
    return (vec)(((ivec)a & mask) | ((ivec)b & ~mask));
}

/* NaN stays NaN: a loss that went wrong must be seen. */
static inline vec vec_relu(vec v)
{
    return (vec)((ivec)v & ~(ivec)(v < 0));
}

#endif
