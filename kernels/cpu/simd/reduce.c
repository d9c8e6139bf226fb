/* Sums. Within a call f32 lanes, across blocks f64: the error stays near one rounding of the terms
 * however long the run is. The order is fixed by the block size and the vector width. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/vector.h"

enum { SUM_BLOCK = 512, COLUMN_BLOCK = 64 };

static void columns_chunk(double *sum, const float *x, int64_t rows, int64_t columns, int width)
{
    float part[COLUMN_BLOCK] = { 0 };
    for (int64_t r = 0; r < rows; r++, x += columns) {
#pragma omp simd
        for (int c = 0; c < width; c++) part[c] += x[c];
    }
    for (int c = 0; c < width; c++) sum[c] += (double)part[c];
}

static void columns(double *sum, const float *x, int64_t rows, int64_t count)
{
    int64_t c = 0;
    for (; c + COLUMN_BLOCK <= count; c += COLUMN_BLOCK)
        columns_chunk(sum + c, x + c, rows, count, COLUMN_BLOCK);
    if (c < count) columns_chunk(sum + c, x + c, rows, count, (int)(count - c));
}

static double sum(const float *x, int64_t count)
{
    double total = 0;
    for (int64_t from = 0; from < count; from += SUM_BLOCK) {
        int64_t to = from + SUM_BLOCK < count ? from + SUM_BLOCK : count;
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t i = from; i < to; i++) part += x[i];
        total += (double)part;
    }
    return total;
}

/* In f64 throughout: squares of gradients may overflow f32. */
static double squares(const float *x, int64_t count)
{
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t i = 0; i < count; i++) total += (double)x[i] * (double)x[i];
    return total;
}

static double deviations(const float *x, float mean, int64_t count)
{
    double total = 0;
    for (int64_t from = 0; from < count; from += SUM_BLOCK) {
        int64_t to = from + SUM_BLOCK < count ? from + SUM_BLOCK : count;
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t i = from; i < to; i++) part += (x[i] - mean) * (x[i] - mean);
        total += (double)part;
    }
    return total;
}

static double products(const float *x, const float *y, int64_t count)
{
    double total = 0;
    for (int64_t from = 0; from < count; from += SUM_BLOCK) {
        int64_t to = from + SUM_BLOCK < count ? from + SUM_BLOCK : count;
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t i = from; i < to; i++) part += x[i] * y[i];
        total += (double)part;
    }
    return total;
}

static float maximum(const float *x, int64_t count)
{
    float most = x[0], lanes[VECTOR_FLOATS];
    int64_t i = 0;
    if (count >= VECTOR_FLOATS) {
        vec best = vec_load(x);
        for (i = VECTOR_FLOATS; i + VECTOR_FLOATS <= count; i += VECTOR_FLOATS) {
            vec v = vec_load(x + i);
            best = vec_pick((ivec)(v > best), v, best);
        }
        vec_store(lanes, best);
        for (int lane = 0; lane < VECTOR_FLOATS; lane++)
            most = lanes[lane] > most ? lanes[lane] : most;
    }
    for (; i < count; i++) most = x[i] > most ? x[i] : most;
    return most;
}

extern const struct simd_reduce SIMD(simd_reduce);
const struct simd_reduce SIMD(simd_reduce) = {
    .columns = columns,
    .sum = sum,
    .squares = squares,
    .deviations = deviations,
    .products = products,
    .maximum = maximum,
};
