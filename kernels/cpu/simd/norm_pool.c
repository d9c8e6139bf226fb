/* Batch norm, ReLU and max pool in one go over one row of pooled output.
 *
 * The forward pass keeps the position of each maximum (u8), so the backward passes know where a
 * gradient goes without comparing again; what ReLU cut off is decided anew from the same
 * expression. The last channels that fill no vector go through the same code on a padded copy. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/vector.h"

enum { LANES = VECTOR_FLOATS };

#define INLINE static inline __attribute__((always_inline))

void SIMD(norm_pool)(const struct norm_row *row, bool relu);
void SIMD(norm_pool_sums)(double *dbeta, double *dgamma, const struct norm_row *row, bool relu);
void SIMD(norm_pool_backward)(const struct norm_row *row, bool relu);

/* `width` channels from c on; lanes beyond are zero. */
INLINE vec load_some(const float *at, int width)
{
    if (width == LANES) return vec_load(at);
    float lanes[LANES] = { 0 };
    for (int i = 0; i < width; i++) lanes[i] = at[i];
    return vec_load(lanes);
}

INLINE void store_some(float *at, vec v, int width)
{
    if (width == LANES) {
        vec_store(at, v);
        return;
    }
    float lanes[LANES];
    vec_store(lanes, v);
    for (int i = 0; i < width; i++) at[i] = lanes[i];
}

INLINE ivec load_index(const uint8_t *at, int width)
{
    bvec bytes = { 0 };
    if (width == LANES)
        memcpy(&bytes, at, sizeof bytes);
    else
        for (int i = 0; i < width; i++) bytes[i] = at[i];
    return __builtin_convertvector(bytes, ivec);
}

/* Forward and backward visit memory in its order, pixel by pixel; the constants come from the first
 * cache. The sums keep a few vectors of channels in registers and pass over the row for each. */
enum { SUM_VECTORS = 4 };

/* Channels from c on of pooled pixel o; positions go to `place`. */
INLINE void pool_channels(int32_t *place, const struct norm_row *row, bool relu, int pool,
                          int64_t o, int64_t c, int width)
{
    const struct norm_channels *n = row->norm;
    int64_t channels = n->channels;
    vec mean = load_some(n->mean + c, width), scale = load_some(n->scale + c, width);
    vec beta = load_some(n->beta + c, width), best = { 0 };
    ivec index = { 0 }, none = { 0 };
    for (int i = 0; i < pool * pool; i++) {
        const float *at = row->x[i / pool] + (o * pool + i % pool) * channels + c;
        __builtin_prefetch(at + row->ahead);
        vec v = (load_some(at, width) - mean) * scale + beta;
        if (i == 0) {
            best = v;
            continue;
        }
        /* Not-a-number needs no care: one in x makes mean and scale of the whole channel one. */
        ivec better = (ivec)(v > best);
        best = vec_pick(better, v, best);
        index = (index & ~better) | ((none + i) & better);
    }
    /* Where ReLU cuts off all, all are equal and the first wins. */
    if (relu) index &= (ivec)(best > 0);
    if (relu) best = vec_relu(best);
    store_some(row->y + o * channels + c, best, width);
    memcpy(place, &index, (size_t)width * sizeof *place);
}

/* Positions become bytes in runs of this many channels: narrowing single vectors is slow. */
enum { PLACES = 512 };

INLINE void pool_row(const struct norm_row *row, bool relu, int pool)
{
    int64_t channels = row->norm->channels;
    int32_t place[PLACES];
    for (int64_t o = 0; o < row->out; o++)
        for (int64_t from = 0; from < channels; from += PLACES) {
            int64_t to = from + PLACES < channels ? from + PLACES : channels, c = from;
            for (; c + LANES <= to; c += LANES)
                pool_channels(place + c - from, row, relu, pool, o, c, LANES);
            if (c < to) pool_channels(place + c - from, row, relu, pool, o, c, (int)(to - c));
            if (!row->index) continue;
            uint8_t *index = row->index + o * channels + from;
#pragma omp simd
            for (int64_t i = 0; i < to - from; i++) index[i] = (uint8_t)place[i];
        }
}

/* The value that the pool took at pixel o, channels from c on. */
INLINE vec taken(const struct norm_row *row, int pool, int64_t o, int64_t c, int width)
{
    int64_t channels = row->norm->channels;
    ivec index = { 0 }, bits = { 0 };
    if (row->index) index = load_index(row->index + o * channels + c, width);
    for (int i = 0; i < pool * pool; i++) {
        const float *at = row->x[i / pool] + (o * pool + i % pool) * channels + c;
        __builtin_prefetch(at + row->ahead);
        vec v = load_some(at, width);
        bits |= (ivec)v & (ivec)(index == i);
    }
    return (vec)bits;
}

INLINE void sums_channels(double *dbeta, double *dgamma, const struct norm_row *row, bool relu,
                          int pool, int64_t c, int vectors, int width)
{
    const struct norm_channels *n = row->norm;
    int64_t channels = n->channels;
    vec sum[SUM_VECTORS] = { 0 }, product[SUM_VECTORS] = { 0 };
    for (int64_t o = 0; o < row->out; o++) {
        UNROLL
        for (int j = 0; j < vectors; j++) {
            int64_t at = c + j * LANES;
            vec d = taken(row, pool, o, at, width) - load_some(n->mean + at, width);
            vec g = load_some(row->dy + o * channels + at, width);
            vec z = d * load_some(n->scale + at, width) + load_some(n->beta + at, width);
            if (relu) g = (vec)((ivec)g & (ivec)(z > 0));
            sum[j] += g;
            product[j] += g * d;
        }
    }
    for (int j = 0; j < vectors; j++) {
        float lanes[LANES], lanes_x[LANES];
        vec_store(lanes, sum[j]);
        vec_store(lanes_x, product[j]);
        for (int i = 0; i < width; i++) {
            int64_t at = c + j * LANES + i;
            dbeta[at] += (double)lanes[i];
            dgamma[at] += (double)lanes_x[i] * (double)n->rstd[at];
        }
    }
}

INLINE void sums_row(double *dbeta, double *dgamma, const struct norm_row *row, bool relu, int pool)
{
    int64_t channels = row->norm->channels, c = 0;
    for (; c + SUM_VECTORS * LANES <= channels; c += SUM_VECTORS * LANES)
        sums_channels(dbeta, dgamma, row, relu, pool, c, SUM_VECTORS, LANES);
    for (; c + 2 * LANES <= channels; c += 2 * LANES)
        sums_channels(dbeta, dgamma, row, relu, pool, c, 2, LANES);
    for (; c + LANES <= channels; c += LANES)
        sums_channels(dbeta, dgamma, row, relu, pool, c, 1, LANES);
    if (c < channels) sums_channels(dbeta, dgamma, row, relu, pool, c, 1, (int)(channels - c));
}

/* Pixel o's cells in row `line` of the window. */
INLINE void backward_channels(const struct norm_row *row, bool relu, int pool, int line, int64_t o,
                              int64_t c, int width)
{
    const struct norm_channels *n = row->norm;
    int64_t channels = n->channels;
    vec mean = load_some(n->mean + c, width), scale = load_some(n->scale + c, width);
    vec beta = load_some(n->beta + c, width), dy_mean = load_some(n->dy_mean + c, width);
    vec slope = load_some(n->slope + c, width);
    vec dy = load_some(row->dy + o * channels + c, width);
    ivec index = { 0 };
    if (row->index) index = load_index(row->index + o * channels + c, width);
    for (int i = 0; i < pool; i++) {
        int64_t at = (o * pool + i) * channels + c;
        vec d = load_some(row->x[line] + at, width) - mean;
        ivec hit = (ivec)(index == line * pool + i);
        if (relu) hit &= (ivec)(d * scale + beta > 0);
        vec g = (vec)((ivec)dy & hit);
        store_some(row->dx[line] + at, scale * ((g - dy_mean) - d * slope), width);
    }
}

/* Row by row of the image: one stream in, one out. Several of each would meet in the same cache
 * sets and store buffer entries, since rows and tensors lie at round distances. */
INLINE void backward_row(const struct norm_row *row, bool relu, int pool)
{
    int64_t channels = row->norm->channels;
    for (int line = 0; line < pool; line++)
        for (int64_t o = 0; o < row->out; o++) {
            int64_t c = 0;
            for (; c + LANES <= channels; c += LANES)
                backward_channels(row, relu, pool, line, o, c, LANES);
            if (c < channels) backward_channels(row, relu, pool, line, o, c, (int)(channels - c));
        }
}

/* The common sizes get code of their own, with the loops over the window unrolled. */
void SIMD(norm_pool)(const struct norm_row *row, bool relu)
{
    if (relu && row->pool == 2)
        pool_row(row, true, 2);
    else if (relu && row->pool == 1)
        pool_row(row, true, 1);
    else
        pool_row(row, relu, row->pool);
}

void SIMD(norm_pool_sums)(double *dbeta, double *dgamma, const struct norm_row *row, bool relu)
{
    if (relu && row->pool == 2)
        sums_row(dbeta, dgamma, row, true, 2);
    else if (relu && row->pool == 1)
        sums_row(dbeta, dgamma, row, true, 1);
    else
        sums_row(dbeta, dgamma, row, relu, row->pool);
}

void SIMD(norm_pool_backward)(const struct norm_row *row, bool relu)
{
    if (relu && row->pool == 2)
        backward_row(row, true, 2);
    else if (relu && row->pool == 1)
        backward_row(row, true, 1);
    else
        backward_row(row, relu, row->pool);
}
