// f16 on the CPU, by the tensor helpers of kernels/tensor.h.
#pragma once

#include <cuda_runtime.h>

extern "C" {
#include "kernels/tensor.h"
}

struct __half {
    uint16_t bits;
};

struct __half2 {
    __half low, high;
};

static inline struct tensor emulated_f16(__half *x)
{
    struct tensor one = {};
    one.dtype = DTYPE_F16;
    one.data = x;
    return one;
}

static inline float __half2float(__half x)
{
    struct tensor one = emulated_f16(&x);
    return (float)tensor_get(&one, 0);
}

static inline __half __double2half(double value)
{
    __half x;
    struct tensor one = emulated_f16(&x);
    tensor_set(&one, 0, value);
    return x;
}

static inline __half __float2half_rn(float value)
{
    return __double2half((double)value);
}

static inline __half2 __floats2half2_rn(float low, float high)
{
    return { __float2half_rn(low), __float2half_rn(high) };
}

static inline __half __low2half(__half2 x)
{
    return x.low;
}

static inline __half __high2half(__half2 x)
{
    return x.high;
}
