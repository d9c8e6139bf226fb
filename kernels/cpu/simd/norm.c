/* Batch norm rows: moments, application and gradient. Channels outside, rows inside, so that the
 * constants and sums of a few vectors of channels stay in registers while a block of rows, which
 * the caller keeps small enough for the first cache, streams by. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/vector.h"

enum { LANES = VECTOR_FLOATS, AT_ONCE = 4 };

/* Joins one channel's block: sums of d = x - shift and of d^2 over `rows` rows. */
static void join(double *mean, double *m2, int64_t before, int64_t rows, float shift, float s1,
                 float s2)
{
    double n = (double)rows, all = (double)(before + rows);
    double block_mean = (double)shift + (double)s1 / n;
    double block_m2 = (double)s2 - (double)s1 * (double)s1 / n;
    double delta = block_mean - *mean;
    *mean += delta * n / all;
    *m2 += (block_m2 > 0 ? block_m2 : (block_m2 <= 0 ? 0 : block_m2)) +
           delta * delta * (double)before * n / all;
}

static void moments_vector(double *mean, double *m2, int64_t before, const float *x, int64_t rows,
                           int64_t channels)
{
    float shift[LANES], total1[LANES], total2[LANES];
    for (int i = 0; i < LANES; i++) shift[i] = before ? (float)mean[i] : x[i];
    vec s = vec_load(shift), zero = { 0 }, s1[AT_ONCE], s2[AT_ONCE];
    for (int u = 0; u < AT_ONCE; u++) s1[u] = s2[u] = zero;
    int64_t r = 0;
    for (; r + AT_ONCE <= rows; r += AT_ONCE) {
        UNROLL
        for (int u = 0; u < AT_ONCE; u++) {
            vec d = vec_load(x + (r + u) * channels) - s;
            s1[u] += d;
            s2[u] += d * d;
        }
    }
    for (; r < rows; r++) {
        vec d = vec_load(x + r * channels) - s;
        s1[0] += d;
        s2[0] += d * d;
    }
    vec_store(total1, (s1[0] + s1[1]) + (s1[2] + s1[3]));
    vec_store(total2, (s2[0] + s2[1]) + (s2[2] + s2[3]));
    for (int i = 0; i < LANES; i++)
        join(mean + i, m2 + i, before, rows, shift[i], total1[i], total2[i]);
}

static void moments_tail(double *mean, double *m2, int64_t before, const float *x, int64_t rows,
                         int64_t channels, int width)
{
    float shift[LANES], s1[LANES] = { 0 }, s2[LANES] = { 0 };
    for (int i = 0; i < width; i++) shift[i] = before ? (float)mean[i] : x[i];
    for (int64_t r = 0; r < rows; r++, x += channels)
        for (int i = 0; i < width; i++) {
            float d = x[i] - shift[i];
            s1[i] += d;
            s2[i] += d * d;
        }
    for (int i = 0; i < width; i++) join(mean + i, m2 + i, before, rows, shift[i], s1[i], s2[i]);
}

static void moments(double *mean, double *m2, int64_t before, const float *x, int64_t rows,
                    int64_t channels)
{
    int64_t c = 0;
    for (; c + LANES <= channels; c += LANES)
        moments_vector(mean + c, m2 + c, before, x + c, rows, channels);
    if (c < channels)
        moments_tail(mean + c, m2 + c, before, x + c, rows, channels, (int)(channels - c));
}

static void apply(float *y, const float *x, const struct norm_channels *n, int64_t rows)
{
    int64_t channels = n->channels;
    for (int64_t r = 0; r < rows; r++, x += channels, y += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++)
            y[c] = (x[c] - n->mean[c]) * n->scale[c] + n->beta[c];
    }
}

static void sums_vector(double *dbeta, double *dgamma, const float *g, const float *x,
                        const struct norm_channels *n, int64_t rows, int64_t c)
{
    vec mean = vec_load(n->mean + c), zero = { 0 }, sum[2] = { zero, zero },
        product[2] = { zero, zero };
    float total[LANES], total_x[LANES];
    int64_t channels = n->channels;
    for (int64_t r = 0; r < rows; r++) {
        vec v = vec_load(g + r * channels + c), d = vec_load(x + r * channels + c) - mean;
        sum[r & 1] += v;
        product[r & 1] += v * d;
    }
    vec_store(total, sum[0] + sum[1]);
    vec_store(total_x, product[0] + product[1]);
    for (int i = 0; i < LANES; i++) {
        dbeta[c + i] += (double)total[i];
        dgamma[c + i] += (double)total_x[i] * (double)n->rstd[c + i];
    }
}

static void sums(double *dbeta, double *dgamma, const float *g, const float *x,
                 const struct norm_channels *n, int64_t rows)
{
    int64_t c = 0, channels = n->channels;
    for (; c + LANES <= channels; c += LANES) sums_vector(dbeta, dgamma, g, x, n, rows, c);
    for (; c < channels; c++) {
        float sum = 0, product = 0;
        for (int64_t r = 0; r < rows; r++) {
            sum += g[r * channels + c];
            product += g[r * channels + c] * (x[r * channels + c] - n->mean[c]);
        }
        dbeta[c] += (double)sum;
        dgamma[c] += (double)product * (double)n->rstd[c];
    }
}

static void backward(float *dx, const float *g, const float *x, const struct norm_channels *n,
                     int64_t rows)
{
    int64_t channels = n->channels;
    for (int64_t r = 0; r < rows; r++, x += channels, g += channels, dx += channels) {
#pragma omp simd
        for (int64_t c = 0; c < channels; c++)
            dx[c] = n->scale[c] * ((g[c] - n->dy_mean[c]) - (x[c] - n->mean[c]) * n->slope[c]);
    }
}

void SIMD(norm_pool)(const struct norm_row *row, bool relu);
void SIMD(norm_pool_sums)(double *dbeta, double *dgamma, const struct norm_row *row, bool relu);
void SIMD(norm_pool_backward)(const struct norm_row *row, bool relu);

extern const struct simd_norm SIMD(simd_norm);
const struct simd_norm SIMD(simd_norm) = {
    .moments = moments,
    .apply = apply,
    .sums = sums,
    .backward = backward,
    .pool = SIMD(norm_pool),
    .pool_sums = SIMD(norm_pool_sums),
    .pool_backward = SIMD(norm_pool_backward),
};
