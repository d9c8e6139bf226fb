/* Pools over the channels of one pixel. */
#include "kernels/cpu/simd/simd.h"

static void take(float *best, int32_t *index, const float *x, int32_t cell, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        int better = (x[i] > best[i]) | ((x[i] != x[i]) & (best[i] == best[i]));
        best[i] = better ? x[i] : best[i];
        index[i] = better ? cell : index[i];
    }
}

static void route(float *dx, const float *dy, const uint8_t *index, uint8_t cell, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] += index[i] == cell ? dy[i] : 0;
}

static void narrow(uint8_t *y, const int32_t *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = (uint8_t)x[i];
}

extern const struct simd_pool SIMD(simd_pool);
const struct simd_pool SIMD(simd_pool) = { .take = take, .route = route, .narrow = narrow };
