/* Elementary functions in f32, written without branches so that loops over them vectorise.
 *
 * exp: x = k ln 2 + r, |r| <= ln 2 / 2, exp(r) = 1 + r + r^2 q(r) with q a minimax polynomial fitted
 * with Lawson's weighted least squares; 2^k applied in two factors, so that results run smoothly
 * into subnormal numbers and infinity. erfc(a) = exp(-a^2) t P(t), t = 1 / (1 + a / 2), fitted the
 * same way (absolute error below 3e-10 before rounding). Within 2 units in the last place. */
#ifndef PAWL_KERNELS_CPU_SIMD_MATH_H
#define PAWL_KERNELS_CPU_SIMD_MATH_H

#include <stdint.h>

static inline float math_power2(int32_t k)
{
    union {
        int32_t bits;
        float value;
    } u = { .bits = (k + 127) << 23 };
    return u.value;
}

struct math_split {
    float r, q; /* exp(r) - 1 = r + r^2 q */
    int32_t k;
};

static inline struct math_split math_split(float x)
{
    const float magic = 0x1.8p23f; /* adding it rounds to an integer */
    float k = (x * 0x1.715476p0f + magic) - magic;
    float r = (x - k * 0x1.63p-1f) - k * -0x1.bd0106p-13f;
    float q = 0x1.6d9e3ep-10f + r * 0x1.a1bd58p-13f;
    q = 0x1.11107ap-7f + r * q;
    q = 0x1.555478p-5f + r * q;
    q = 0x1.555556p-3f + r * q;
    q = 0.5f + r * q;
    return (struct math_split){ .r = r, .q = q, .k = (int32_t)k };
}

static inline float math_exp(float x)
{
    float bounded = x < -105 ? -105 : x;
    bounded = bounded > 89 ? 89 : bounded;
    struct math_split s = math_split(bounded);
    int32_t half = s.k >> 1;
    return (1 + (s.r + s.r * s.r * s.q)) * math_power2(half) * math_power2(s.k - half);
}

/* exp(x) - 1 for |x| <= 40, with small relative error near 0 */
static inline float math_expm1(float x)
{
    struct math_split s = math_split(x);
    float scale = math_power2(s.k);
    return scale * (s.r + s.r * s.r * s.q) + (scale - 1);
}

static inline float math_tanh(float x)
{
    float bounded = x < -10 ? -10 : x;
    bounded = bounded > 10 ? 10 : bounded;
    float e = math_expm1(2 * bounded);
    return e / (e + 2);
}

static inline float math_sigmoid(float x)
{
    return 1 / (1 + math_exp(-x));
}

/* Standard normal distribution function and density (times sqrt(2 pi)). */
struct math_normal {
    float below, density;
};

static inline struct math_normal math_normal(float x)
{
    float a = (x < 0 ? -x : x) * 0x1.6a09e6p-1f;
    float t = 1 / (1 + 0.5f * a);
    float p = 0.3396593928f + t * -0.0509650894f;
    p = -0.8768563867f + t * p;
    p = 0.9738813639f + t * p;
    p = -0.3480702341f + t * p;
    p = 0.4313471019f + t * p;
    p = 0.2458307594f + t * p;
    p = 0.2851731479f + t * p;
    float density = math_exp(-0.5f * x * x);
    float tail = 0.5f * density * t * p;
    return (struct math_normal){ .below = x < 0 ? tail : 1 - tail, .density = density };
}

#endif
