// Elements in storage and in registers: 16-byte loads and stores, f32 maths, dispatch by type.
//
// A kernel is a template over the storage type T (f32, bf16, f16) and V, the elements of one
// access: WIDE<T> where shape and pointers allow 16 bytes, else 1. All arithmetic is f32; a value
// is rounded once, to nearest even, when it is stored.
#pragma once

#include "kernels/cuda/internal.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <type_traits>

using bf16 = __nv_bfloat16;
using f16 = __half;

// Elements of T in 16 bytes.
template <class T> constexpr int WIDE = 16 / (int)sizeof(T);

// V elements as one access.
template <class T, int V> struct alignas(sizeof(T) * V) pack {
    T at[V];
};

static __device__ __forceinline__ float to_f32(float x)
{
    return x;
}

static __device__ __forceinline__ float to_f32(bf16 x)
{
    return __bfloat162float(x);
}

static __device__ __forceinline__ float to_f32(f16 x)
{
    return __half2float(x);
}

static __device__ __forceinline__ float to_f32(uint8_t x)
{
    return (float)x;
}

template <class T> static __device__ __forceinline__ T from_f32(float x)
{
    if constexpr (std::is_same_v<T, bf16>)
        return __float2bfloat16_rn(x);
    else if constexpr (std::is_same_v<T, f16>)
        return __float2half_rn(x);
    else
        return x;
}

template <int V, class T> static __device__ __forceinline__ pack<T, V> load_raw(const T *from)
{
    return *reinterpret_cast<const pack<T, V> *>(from);
}

template <class T, int V>
static __device__ __forceinline__ void unpack(float (&value)[V], const pack<T, V> &raw)
{
#pragma unroll
    for (int v = 0; v < V; v++) value[v] = to_f32(raw.at[v]);
}

template <class T, int V>
static __device__ __forceinline__ void load(float (&value)[V], const T *from)
{
    unpack(value, load_raw<V>(from));
}

// Rounds and stores V elements; 16-bit types two at a time, which is one conversion.
template <class T, int V>
static __device__ __forceinline__ void store(T *to, const float (&value)[V])
{
    pack<T, V> raw;
    if constexpr (V % 2 == 0 && std::is_same_v<T, bf16>) {
#pragma unroll
        for (int v = 0; v < V; v += 2) {
            __nv_bfloat162 two = __floats2bfloat162_rn(value[v], value[v + 1]);
            raw.at[v] = __low2bfloat16(two);
            raw.at[v + 1] = __high2bfloat16(two);
        }
    } else if constexpr (V % 2 == 0 && std::is_same_v<T, f16>) {
#pragma unroll
        for (int v = 0; v < V; v += 2) {
            __half2 two = __floats2half2_rn(value[v], value[v + 1]);
            raw.at[v] = __low2half(two);
            raw.at[v + 1] = __high2half(two);
        }
    } else {
#pragma unroll
        for (int v = 0; v < V; v++) raw.at[v] = from_f32<T>(value[v]);
    }
    *reinterpret_cast<pack<T, V> *>(to) = raw;
}

// V constants (f32 vectors of channels), or the fallback where there is no vector.
template <int V>
static __device__ __forceinline__ void load_vector(float (&value)[V], const float *from, int64_t at,
                                                   float fallback)
{
#pragma unroll
    for (int v = 0; v < V; v++) value[v] = from ? from[at + v] : fallback;
}

// 1 / (1 + exp(-x)) without overflow at either end.
static __device__ __forceinline__ float sigmoid_f32(float x)
{
    float e = expf(-fabsf(x)), share = __fdividef(1, 1 + e);
    return x >= 0 ? share : e * share;
}

// Value of an activation; not-a-number passes through.
static __device__ __forceinline__ float act_value(enum activation act, float x)
{
    switch (act) {
    case ACT_RELU:
        return x > 0 || x != x ? x : 0;
    case ACT_GELU:
        return 0.5f * x * erfcf(-0.70710678f * x);
    case ACT_SILU:
        return x * sigmoid_f32(x);
    case ACT_TANH:
        return tanhf(x);
    case ACT_SIGMOID:
        return sigmoid_f32(x);
    default:
        return x;
    }
}

// Slope from the argument x.
static __device__ __forceinline__ float act_slope(enum activation act, float x)
{
    switch (act) {
    case ACT_RELU:
        return x > 0 ? 1 : 0;
    case ACT_GELU:
        return 0.5f * erfcf(-0.70710678f * x) + x * 0.39894228f * expf(-0.5f * x * x);
    case ACT_SILU: {
        float share = sigmoid_f32(x);
        return share * (1 + x * (1 - share));
    }
    case ACT_TANH: {
        float y = tanhf(x);
        return 1 - y * y;
    }
    case ACT_SIGMOID: {
        float y = sigmoid_f32(x);
        return y * (1 - y);
    }
    default:
        return 1;
    }
}

// Calls body with a zero of the storage type.
template <class Body> static void with_float(enum dtype dtype, Body body)
{
    switch (dtype) {
    case DTYPE_BF16:
        body(bf16());
        return;
    case DTYPE_F16:
        body(f16());
        return;
    default:
        body(0.0f);
        return;
    }
}

// Calls body with an integral constant: WIDE<T> or 1.
template <class T, class Body> static void with_width(bool wide, Body body)
{
    if (wide)
        body(std::integral_constant<int, WIDE<T>>());
    else
        body(std::integral_constant<int, 1>());
}
