/* Rows of layer norm and softmax. Sums in f32 lanes over short blocks, then f64. */
#include "kernels/cpu/simd/simd.h"

enum { ROW_BLOCK = 512 };

static void norm(float *y, const float *x, float mean, float rstd, const float *gamma,
                 const float *beta, int64_t count)
{
    if (beta) {
#pragma omp simd
        for (int64_t i = 0; i < count; i++) y[i] = (x[i] - mean) * rstd * gamma[i] + beta[i];
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = (x[i] - mean) * rstd * gamma[i];
}

static void norm_sums(double sums[2], const float *dy, const float *x, float mean, float rstd,
                      const float *gamma, int64_t count)
{
    sums[0] = sums[1] = 0;
    for (int64_t from = 0; from < count; from += ROW_BLOCK) {
        int64_t to = from + ROW_BLOCK < count ? from + ROW_BLOCK : count;
        float g_sum = 0, x_sum = 0;
#pragma omp simd reduction(+ : g_sum, x_sum)
        for (int64_t i = from; i < to; i++) {
            float g = dy[i] * gamma[i];
            g_sum += g;
            x_sum += g * (x[i] - mean);
        }
        sums[0] += (double)g_sum;
        sums[1] += (double)x_sum;
    }
    sums[1] *= (double)rstd;
}

static void norm_backward(float *dx, const float *dy, const float *x,
                          const struct row_constants *row, const float *gamma, int64_t count)
{
    float mean = row->mean, rstd = row->rstd, mean_g = row->mean_g;
    float slope = row->rstd * row->mean_gx;
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        dx[i] = rstd * ((dy[i] * gamma[i] - mean_g) - (x[i] - mean) * slope);
}

static void norm_gradients(float *dgamma, float *dbeta, const float *dy, const float *x, float mean,
                           float rstd, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        dbeta[i] += dy[i];
        dgamma[i] += dy[i] * ((x[i] - mean) * rstd);
    }
}

static void softmax_backward(float *dx, const float *dy, const float *y, float dot, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = y[i] * (dy[i] - dot);
}

extern const struct simd_row SIMD(simd_row);
const struct simd_row SIMD(simd_row) = {
    .norm = norm,
    .norm_sums = norm_sums,
    .norm_backward = norm_backward,
    .norm_gradients = norm_gradients,
    .softmax_backward = softmax_backward,
};
