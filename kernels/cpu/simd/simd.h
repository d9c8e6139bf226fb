/* The vector code of the CPU device: serial functions on contiguous f32 ranges.
 *
 * Every .c file here is compiled three times (plain, AVX2 + FMA, AVX-512), each with its own suffix
 * on every symbol; `struct simd` is the table of one such build. Threads, dtypes and tensors are
 * the callers' business: these functions see pointers and counts. Sums run in a fixed order for a
 * given build. Outputs may be the same memory as an input of the same index, never overlap
 * otherwise. */
#ifndef PAWL_KERNELS_CPU_SIMD_SIMD_H
#define PAWL_KERNELS_CPU_SIMD_SIMD_H

#include "kernels/op.h"

#define SIMD_PASTE_(name, suffix) name##_##suffix
#define SIMD_PASTE(name, suffix)  SIMD_PASTE_(name, suffix)
#define SIMD(name)                SIMD_PASTE(name, SIMD_NAME)

typedef void simd_map1(float *y, const float *a, int64_t count);
typedef void simd_map2(float *y, const float *a, const float *b, int64_t count);

/* Conversions and elementwise arithmetic. act_bwd takes dy and what the row saved (y or x). */
struct simd_elementwise {
    void (*bf16_to_f32)(float *y, const uint16_t *x, int64_t count);
    void (*f32_to_bf16)(uint16_t *y, const float *x, int64_t count); /* to nearest even */
    void (*u8_to_f32)(float *y, const uint8_t *x, int64_t count);
    simd_map2 *add, *multiply;
    void (*scale)(float *y, const float *x, float factor, int64_t count);
    /* y = x * scale + shift, with scale and shift per column */
    void (*normalize)(float *y, const float *x, const float *scale, const float *shift,
                      int64_t rows, int64_t columns);
    simd_map1 *act[ACT_COUNT];
    simd_map2 *act_bwd[ACT_COUNT];
    /* y = exp(x - shift) */
    void (*exponential)(float *y, const float *x, float shift, int64_t count);
    /* y += factor * x */
    void (*add_scaled)(float *y, const float *x, float factor, int64_t count);
};

/* Sums over rows [rows, columns] and over one row. */
struct simd_reduce {
    /* sum[c] += the column's sum (f32 within the call, f64 across calls: keep rows <= 128) */
    void (*columns)(double *sum, const float *x, int64_t rows, int64_t columns);
    double (*sum)(const float *x, int64_t count);
    double (*squares)(const float *x, int64_t count);
    double (*deviations)(const float *x, float mean, int64_t count); /* sum of (x - mean)^2 */
    double (*products)(const float *x, const float *y, int64_t count);
    float (*maximum)(const float *x, int64_t count);
};

/* Per-channel constants of a batch norm; xhat = (x - mean) * rstd. */
struct norm_channels {
    int64_t channels;
    const float *mean, *rstd, *gamma, *beta;
    const float *scale;   /* gamma * rstd */
    const float *dy_mean; /* backward: mean of g over the batch */
    const float *slope;   /* backward: rstd * mean of g * xhat */
};

/* One row of pooled output and the `pool` input rows over it. */
enum { NORM_POOL_MOST = 16 };

struct norm_row {
    const struct norm_channels *norm;
    int pool;
    int64_t out;                    /* pooled pixels */
    const float *x[NORM_POOL_MOST]; /* [pool] rows of out * pool pixels */
    int64_t ahead;                  /* floats from x[i] to the row that x[i] will be next time */
    float *y;                       /* [out, C] */
    uint8_t *index;                 /* [out, C]; NULL when pool is 1 */
    const float *dy;                /* backward: [out, C] */
    float *dx[NORM_POOL_MOST];
};

struct simd_norm {
    /* Joins `rows` more rows (at most 128) to mean and sum of squared deviations of `before` rows
     * (Chan, Golub, LeVeque 1979). Deviations are taken about the mean so far, so that a mean far
     * from 0 cancels nothing. */
    void (*moments)(double *mean, double *m2, int64_t before, const float *x, int64_t rows,
                    int64_t channels);
    /* y = (x - mean) * scale + beta */
    void (*apply)(float *y, const float *x, const struct norm_channels *norm, int64_t rows);
    /* dbeta[c] += sum of g, dgamma[c] += sum of g * xhat */
    void (*sums)(double *dbeta, double *dgamma, const float *g, const float *x,
                 const struct norm_channels *norm, int64_t rows);
    /* dx = scale * (g - dy_mean - (x - mean) * slope) */
    void (*backward)(float *dx, const float *g, const float *x, const struct norm_channels *norm,
                     int64_t rows);
    /* The same three fused with ReLU (or no activation) and a max pool, one output row a call;
     * the first of equal values wins, NaN over all. */
    void (*pool)(const struct norm_row *row, bool relu);
    void (*pool_sums)(double *dbeta, double *dgamma, const struct norm_row *row, bool relu);
    void (*pool_backward)(const struct norm_row *row, bool relu);
};

struct row_constants {
    float mean, rstd, mean_g, mean_gx;
};

/* One row of a layer norm or softmax; xhat = (x - mean) * rstd. gamma and beta may be NULL. */
struct simd_row {
    void (*norm)(float *y, const float *x, float mean, float rstd, const float *gamma,
                 const float *beta, int64_t count);
    /* sums[0] = sum of dy gamma, sums[1] = sum of dy gamma xhat */
    void (*norm_sums)(double sums[2], const float *dy, const float *x, float mean, float rstd,
                      const float *gamma, int64_t count);
    /* dx = rstd (dy gamma - mean_g - xhat mean_gx) */
    void (*norm_backward)(float *dx, const float *dy, const float *x,
                          const struct row_constants *row, const float *gamma, int64_t count);
    /* dgamma += dy xhat, dbeta += dy */
    void (*norm_gradients)(float *dgamma, float *dbeta, const float *dy, const float *x, float mean,
                           float rstd, int64_t count);
    /* dx = y (dy - dot) */
    void (*softmax_backward)(float *dx, const float *dy, const float *y, float dot, int64_t count);
};

/* Pools, one output or input pixel at a time over its channels. */
struct simd_pool {
    /* Where x beats best (or is the first NaN), takes it and the cell number. */
    void (*take)(float *best, int32_t *index, const float *x, int32_t cell, int64_t count);
    /* dx += dy where index is this cell */
    void (*route)(float *dx, const float *dy, const uint8_t *index, uint8_t cell, int64_t count);
    void (*narrow)(uint8_t *y, const int32_t *x, int64_t count);
};

/* Dropout of elements [4 block, 4 block + count) of one sample: y = kept ? x * factor : 0. */
typedef void simd_dropout(float *y, const float *x, int64_t count, uint64_t key, int64_t ordinal,
                          int64_t block, float rate);

enum { CONV_PIXELS_MOST = 12, CONV_VECTORS_MOST = 4, CONV_COLUMNS = 6, CONV_FEW_COLUMNS = 9 };

/* A tile of a convolution's output: some pixels times some vectors of filters. A pixel's window is
 * `taps` runs of `run` consecutive floats, at offset[tap] from the pixel's first float. Packed
 * weights are [taps][run][vectors * width]. */
struct conv_tile {
    int vectors;                      /* 1, 2, .. simd->conv->vectors */
    int pixels;                       /* at most conv->pixels(vectors) */
    const float *x[CONV_PIXELS_MOST]; /* all set, the last ones repeated beyond `pixels` */
    const int64_t *offset;
    int64_t taps, run;
    const float *w;
    const float *bias; /* of these filters, or NULL */
    float *y;          /* pixel p's filters at y + p * filters */
    int64_t filters;
    bool relu;
};

/* A tile of a weight gradient: `columns` places of the window times some vectors of filters, summed
 * over pixels and added to dw [.., filters]. The places are consecutive (at most CONV_COLUMNS) or,
 * with `column` set, at these offsets (at most CONV_FEW_COLUMNS): small windows of few channels
 * have no long runs. */
struct conv_gradient_tile {
    int vectors, columns;
    const float *x;        /* of column 0; pixel p reads x + place[p] */
    const int64_t *column; /* [CONV_FEW_COLUMNS] offsets from x, or NULL: consecutive */
    const int32_t *place;
    const float *dy; /* pixel p's filters at dy + p * filters */
    int64_t pixels, filters;
    float *dw; /* column j's filters at dw + j * filters */
};

struct simd_conv {
    int vectors;     /* of filters in the widest tile: 4 or 2 */
    int few_vectors; /* the same where columns are listed; 0: they never are */
    /* of gradient tiles for runs of less than 2 * CONV_COLUMNS, and the columns that go with it */
    int short_vectors, short_columns;
    int (*pixels)(int vectors);
    void (*tile)(const struct conv_tile *tile);
    void (*gradient)(const struct conv_gradient_tile *tile);
};

/* Optimizer updates of one run of parameters; see op.c for the formulas. */
struct sgd_scalars {
    float rate, decay, momentum, gradient_scale, clip;
    bool nesterov;
};

struct adamw_scalars {
    float rate, decay, beta1, beta2, eps, gradient_scale, clip;
    float rest1, rest2;             /* 1 - beta, rounded once from f64 */
    float correction1, correction2; /* 1 / (1 - beta^t) */
};

struct simd_optimizer {
    void (*sgd)(float *param, float *velocity, const float *grad, int64_t count,
                const struct sgd_scalars *s);
    void (*adamw)(float *param, float *m, float *v, const float *grad, int64_t count,
                  const struct adamw_scalars *s);
    void (*ema)(float *average, const float *value, float decay, float rest, int64_t count);
};

struct simd {
    const char *name;
    int width; /* floats in a vector */
    const struct simd_elementwise *map;
    const struct simd_reduce *reduce;
    const struct simd_norm *norm;
    const struct simd_row *row;
    const struct simd_pool *pool;
    const struct simd_conv *conv;
    const struct simd_optimizer *optimizer;
    simd_dropout *dropout;
};

extern const struct simd simd_plain, simd_avx2, simd_avx512;

#endif
