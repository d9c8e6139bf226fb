// bfloat16 on the CPU: its upper half of an f32, rounded to nearest even.
#pragma once

#include <cuda_runtime.h>

struct __nv_bfloat16 {
    uint16_t bits;
};

struct __nv_bfloat162 {
    __nv_bfloat16 low, high;
};

static inline float __bfloat162float(__nv_bfloat16 x)
{
    uint32_t bits = (uint32_t)x.bits << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return { 0x7FFF };
    return { (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16) };
}

// One rounding: to odd on the way through f32.
static inline __nv_bfloat16 __double2bfloat16(double x)
{
    float near = (float)x;
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    if (near == near && (double)near != x) {
        bool away = fabs((double)near) > fabs(x);
        bits = away ? (bits - 1) | 1 : bits | 1;
        memcpy(&near, &bits, sizeof bits);
    }
    return __float2bfloat16_rn(near);
}

static inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high)
{
    return { __float2bfloat16_rn(low), __float2bfloat16_rn(high) };
}

static inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 x)
{
    return x.low;
}

static inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 x)
{
    return x.high;
}
