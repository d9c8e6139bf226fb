/* Elementary functions in f32, written without branches so that loops over them vectorise.
 *
 * exp: x = k ln 2 + r, |r| <= ln 2 / 2, exp(r) = 1 + r + r^2 q(r) with q a minimax polynomial
 * fitted with Lawson's weighted least squares; 2^k applied in two factors, so that results run
 * smoothly into subnormal numbers and infinity. erfc(a) = exp(-a^2) t P(t), t = 1 / (1 + 0.4 a),
 * fitted the same way (relative error below 1e-8 before rounding). Within 2 units in the last
 * place. */
#ifndef PAWL_KERNELS_CPU_SIMD_MATH_H
#define PAWL_KERNELS_CPU_SIMD_MATH_H

#include <stdint.h>

/* 2^k for -126 <= k <= 127. */
static inline float math_power2(int32_t k)
{
    union {
        uint32_t bits;
        float value;
    } u = { .bits = ((uint32_t)k + 127u) << 23 };
    return u.value;
}

struct math_split {
    float r, q; /* exp(r) - 1 = r + r^2 q */
    int32_t k;
};

/* The reduction x = k ln 2 + r and the polynomial of r. */
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

/* exp(x); 0 and infinity outside the range of f32. */
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

/* tanh(x) by expm1, with small relative error near 0. */
static inline float math_tanh(float x)
{
    float bounded = x < -10 ? -10 : x;
    bounded = bounded > 10 ? 10 : bounded;
    float e = math_expm1(2 * bounded);
    return e / (e + 2);
}

/* 1 / (1 + exp(-x)). */
static inline float math_sigmoid(float x)
{
    return 1 / (1 + math_exp(-x));
}

/* Standard normal distribution function and density (times sqrt(2 pi)). */
struct math_normal {
    float below, density;
};

/* exp(-x^2 / 2): the square in two parts, of which the larger is exact, since a relative error of
 * the square is an absolute one of the exponent. */
static inline float math_density(float x)
{
    union {
        float value;
        int32_t bits;
    } high = { .value = x };
    high.bits &= ~0xFFF;
    float rest = -0.5f * (x - high.value) * (x + high.value);
    float small = 0.5f + rest * (0x1.555556p-3f + rest * 0x1.555556p-5f);
    return math_exp(-0.5f * high.value * high.value) * (1 + (rest + rest * rest * small));
}

/* Both at x, by the erfc of the head comment. */
static inline struct math_normal math_normal(float x)
{
    float bounded = x < -15 ? -15 : x;
    bounded = bounded > 15 ? 15 : bounded;
    float t = 1 / (1 + 0.4f * 0x1.6a09e6p-1f * (bounded < 0 ? -bounded : bounded));
    float p = -0x1.2fa382p-3f + t * 0x1.5f489ep-5f;
    p = 0x1.9b6ae2p-4f + t * p;
    p = 0x1.1b044ep-4f + t * p;
    p = 0x1.7c2704p-4f + t * p;
    p = 0x1.80ace4p-3f + t * p;
    p = 0x1.a060cep-3f + t * p;
    p = 0x1.cf593p-3f + t * p;
    p = 0x1.ce1f68p-3f + t * p;
    float density = math_density(bounded);
    float tail = 0.5f * density * t * p;
    return (struct math_normal){ .below = x < 0 ? tail : 1 - tail, .density = density };
}

#endif
