/* Optimizer updates: one pass over parameter, gradient and state, every value read and written
 * once. */
#include "kernels/cpu/simd/simd.h"

static inline float held(float g, float limit)
{
    float low = g < -limit ? -limit : g;
    return low > limit ? limit : low;
}

static void sgd(float *param, float *velocity, const float *grad, int64_t count,
                const struct sgd_scalars *s)
{
    float scale = s->gradient_scale, decay = s->decay, rate = s->rate, momentum = s->momentum;
    float clip = s->clip;
    if (!velocity) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++)
            param[i] -= rate * (held(grad[i] * scale, clip) + decay * param[i]);
        return;
    }
    float ahead = s->nesterov ? momentum : 1, direct = s->nesterov ? 1 : 0;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float g = held(grad[i] * scale, clip) + decay * param[i];
        float v = momentum * velocity[i] + g;
        velocity[i] = v;
        param[i] -= rate * (direct * g + ahead * v);
    }
}

static void adamw(float *param, float *m, float *v, const float *grad, int64_t count,
                  const struct adamw_scalars *s)
{
    float scale = s->gradient_scale, clip = s->clip, keep = 1 - s->rate * s->decay;
    float beta1 = s->beta1, beta2 = s->beta2, rest1 = s->rest1, rest2 = s->rest2;
    float rate = s->rate * s->correction1, correction2 = s->correction2, eps = s->eps;
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float g = held(grad[i] * scale, clip);
        float first = beta1 * m[i] + rest1 * g;
        float second = beta2 * v[i] + rest2 * g * g;
        m[i] = first;
        v[i] = second;
        param[i] = keep * param[i] - rate * first / (__builtin_sqrtf(second * correction2) + eps);
    }
}

static void ema(float *average, const float *value, float decay, float rest, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) average[i] = decay * average[i] + rest * value[i];
}

extern const struct simd_optimizer SIMD(simd_optimizer);
const struct simd_optimizer SIMD(simd_optimizer) = { .sgd = sgd, .adamw = adamw, .ema = ema };
