/* The inner loops of the direct convolutions: tiles of sums that stay in registers.
 *
 * Each step loads a few vectors (weights, or dy) and multiplies them with single values that are
 * broadcast (x), so a tile of P by V vectors needs P + V loads for P * V multiplications. With 16
 * registers P * V = 12, with 32 registers 24. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/vector.h"

enum { LANES = VECTOR_FLOATS };

#define INLINE static inline __attribute__((always_inline))

/* `p` pixels and `v` vectors are constants in every call of this. */
INLINE void tile_sums(const struct conv_tile *tile, int p, int v)
{
    vec sum[CONV_PIXELS_MOST][CONV_VECTORS_MOST] = { 0 };
    const float *w = tile->w;
    for (int64_t tap = 0; tap < tile->taps; tap++) {
        const float *x[CONV_PIXELS_MOST];
        int64_t run = tile->run;
        UNROLL
        for (int i = 0; i < p; i++) x[i] = tile->x[i] + tile->offset[tap];
        for (int64_t c = 0; c < run; c++, w += v * LANES) {
            vec weight[CONV_VECTORS_MOST];
            UNROLL
            for (int j = 0; j < v; j++) weight[j] = vec_load(w + j * LANES);
            UNROLL
            for (int i = 0; i < p; i++) {
                vec value = vec_set(x[i][c]);
                UNROLL
                for (int j = 0; j < v; j++) sum[i][j] += value * weight[j];
            }
        }
    }
    UNROLL
    for (int j = 0; j < v; j++) {
        vec bias = { 0 };
        if (tile->bias) bias = vec_load(tile->bias + j * LANES);
        UNROLL
        for (int i = 0; i < p; i++) {
            vec y = sum[i][j] + bias;
            if (tile->relu) y = vec_relu(y);
            if (i < tile->pixels) vec_store(tile->y + i * tile->filters + j * LANES, y);
        }
    }
}

INLINE void gradient_sums(const struct conv_gradient_tile *tile, int p, int v)
{
    vec sum[CONV_COLUMNS][CONV_VECTORS_MOST] = { 0 };
    const float *dy = tile->dy, *x = tile->x;
    const int32_t *place = tile->place;
    int64_t pixels = tile->pixels, filters = tile->filters;
    for (int64_t n = 0; n < pixels; n++, dy += filters) {
        const float *at = x + place[n];
        vec g[CONV_VECTORS_MOST];
        UNROLL
        for (int j = 0; j < v; j++) g[j] = vec_load(dy + j * LANES);
        UNROLL
        for (int i = 0; i < p; i++) {
            vec value = vec_set(at[i]);
            UNROLL
            for (int j = 0; j < v; j++) sum[i][j] += value * g[j];
        }
    }
    UNROLL
    for (int i = 0; i < p; i++) {
        float *to = tile->dw + i * filters;
        UNROLL
        for (int j = 0; j < v; j++) vec_store(to + j * LANES, vec_load(to + j * LANES) + sum[i][j]);
    }
}

/* The same for listed columns. */
INLINE void gradient_few(const struct conv_gradient_tile *tile, int v)
{
    vec sum[CONV_FEW_COLUMNS][2] = { 0 };
    const float *x[CONV_FEW_COLUMNS], *dy = tile->dy;
    const int32_t *place = tile->place;
    int64_t pixels = tile->pixels, filters = tile->filters;
    UNROLL
    for (int i = 0; i < CONV_FEW_COLUMNS; i++) x[i] = tile->x + tile->column[i];
    for (int64_t n = 0; n < pixels; n++, dy += filters) {
        int64_t at = place[n];
        vec g[2];
        UNROLL
        for (int j = 0; j < v; j++) g[j] = vec_load(dy + j * LANES);
        UNROLL
        for (int i = 0; i < CONV_FEW_COLUMNS; i++) {
            vec value = vec_set(x[i][at]);
            UNROLL
            for (int j = 0; j < v; j++) sum[i][j] += value * g[j];
        }
    }
    UNROLL
    for (int i = 0; i < CONV_FEW_COLUMNS; i++) {
        float *to = tile->dw + i * filters;
        UNROLL
        for (int j = 0; j < v; j++) vec_store(to + j * LANES, vec_load(to + j * LANES) + sum[i][j]);
    }
}

/* One function per width, with a case for each number of columns. */
INLINE void gradient_columns(const struct conv_gradient_tile *tile, int v)
{
    switch (tile->columns) {
    case 1:
        gradient_sums(tile, 1, v);
        break;
    case 2:
        gradient_sums(tile, 2, v);
        break;
    case 3:
        gradient_sums(tile, 3, v);
        break;
    case 4:
        gradient_sums(tile, 4, v);
        break;
    case 5:
        gradient_sums(tile, 5, v);
        break;
    default:
        gradient_sums(tile, 6, v);
        break;
    }
}

/* Vectors in the widest tiles: of outputs and gradients, of gradients with listed columns (where
 * there are registers for that many), of gradients over short runs. */
enum {
    WIDE = LANES == 16,
    VECTORS = WIDE ? 4 : 2,
    FEW_VECTORS = WIDE ? 2 : 0,
    SHORT_COLUMNS = WIDE ? CONV_COLUMNS : 3
};

static int pixels_of(int vectors)
{
    return vectors == VECTORS ? 6 : 12;
}

static void tile_run(const struct conv_tile *tile)
{
    if (tile->vectors == VECTORS)
        tile_sums(tile, 6, VECTORS);
    else if (tile->vectors == 2)
        tile_sums(tile, 12, WIDE ? 2 : 1);
    else
        tile_sums(tile, 12, 1);
}

static void gradient_run(const struct conv_gradient_tile *tile)
{
    if (tile->column && tile->vectors == 2)
        gradient_few(tile, 2);
    else if (tile->column)
        gradient_few(tile, 1);
    else if (tile->vectors == 4)
        gradient_columns(tile, 4);
    else if (tile->vectors == 2)
        gradient_columns(tile, 2);
    else
        gradient_columns(tile, 1);
}

extern const struct simd_conv SIMD(simd_conv);
const struct simd_conv SIMD(simd_conv) = { .vectors = VECTORS,
                                           .few_vectors = FEW_VECTORS,
                                           .short_vectors = 4,
                                           .short_columns = SHORT_COLUMNS,
                                           .pixels = pixels_of,
                                           .tile = tile_run,
                                           .gradient = gradient_run };
