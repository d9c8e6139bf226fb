/* Batch norm, ReLU and max pool in one go over one row of pooled output.
 *
 * The forward pass keeps the position of each maximum (u8), so the backward passes know where a
 * gradient goes without comparing again; what ReLU cut off is decided anew from the same
 * expression. Channels outside, pixels inside: constants stay in registers. The last channels that
 * fill no vector go through the same code on a padded copy. */
#include "kernels/cpu/simd/simd.h"
#include "kernels/cpu/simd/vector.h"

enum { LANES = VECTOR_FLOATS };

#define INLINE static inline __attribute__((always_inline))

void SIMD(norm_pool)(const struct norm_row *row, bool relu);
void SIMD(norm_pool_sums)(double *dbeta, double *dgamma, const struct norm_row *row, bool relu);
void SIMD(norm_pool_backward)(const struct norm_row *row, bool relu);

struct channel_vectors {
    vec mean, scale, beta, rstd, dy_mean, slope;
};

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

INLINE void store_index(uint8_t *at, ivec index, int width)
{
    bvec bytes = __builtin_convertvector(index, bvec);
    if (width == LANES)
        memcpy(at, &bytes, sizeof bytes);
    else
        for (int i = 0; i < width; i++) at[i] = bytes[i];
}

INLINE void pool_channels(const struct norm_row *row, bool relu, int pool, int64_t c, int width)
{
    const struct norm_channels *n = row->norm;
    int64_t channels = n->channels;
    vec mean = load_some(n->mean + c, width), scale = load_some(n->scale + c, width);
    vec beta = load_some(n->beta + c, width);
    for (int64_t o = 0; o < row->out; o++) {
        vec best = { 0 };
        ivec index = { 0 };
        for (int i = 0; i < pool * pool; i++) {
            const float *at = row->x[i / pool] + (o * pool + i % pool) * channels + c;
            vec v = (load_some(at, width) - mean) * scale + beta;
            if (relu) v = vec_relu(v);
            if (i == 0) {
                best = v;
                continue;
            }
            ivec better = (ivec)(v > best) | ((ivec)(v != v) & (ivec)(best == best));
            ivec here = { 0 };
            best = vec_pick(better, v, best);
            index = (index & ~better) | ((here + i) & better);
        }
        store_some(row->y + o * channels + c, best, width);
        if (row->index) store_index(row->index + o * channels + c, index, width);
    }
}

INLINE void sums_channels(double *dbeta, double *dgamma, const struct norm_row *row, bool relu,
                          int pool, int64_t c, int width)
{
    const struct norm_channels *n = row->norm;
    int64_t channels = n->channels;
    vec mean = load_some(n->mean + c, width), scale = load_some(n->scale + c, width);
    vec beta = load_some(n->beta + c, width), sum = { 0 }, product = { 0 };
    for (int64_t o = 0; o < row->out; o++) {
        ivec index = { 0 };
        if (row->index) index = load_index(row->index + o * channels + c, width);
        vec x = { 0 };
        for (int i = 0; i < pool * pool; i++) {
            vec v = load_some(row->x[i / pool] + (o * pool + i % pool) * channels + c, width);
            x = i == 0 ? v : vec_pick((ivec)(index == i), v, x);
        }
        vec d = x - mean, g = load_some(row->dy + o * channels + c, width);
        if (relu) g = (vec)((ivec)g & (ivec)(d * scale + beta > 0));
        sum += g;
        product += g * d;
    }
    float lanes[LANES], lanes_x[LANES];
    vec_store(lanes, sum);
    vec_store(lanes_x, product);
    for (int i = 0; i < width; i++) {
        dbeta[c + i] += (double)lanes[i];
        dgamma[c + i] += (double)lanes_x[i] * (double)n->rstd[c + i];
    }
}

INLINE void backward_channels(const struct norm_row *row, bool relu, int pool, int64_t c, int width)
{
    const struct norm_channels *n = row->norm;
    int64_t channels = n->channels;
    vec mean = load_some(n->mean + c, width), scale = load_some(n->scale + c, width);
    vec beta = load_some(n->beta + c, width), dy_mean = load_some(n->dy_mean + c, width);
    vec slope = load_some(n->slope + c, width);
    for (int64_t o = 0; o < row->out; o++) {
        vec dy = load_some(row->dy + o * channels + c, width);
        ivec index = { 0 };
        if (row->index) index = load_index(row->index + o * channels + c, width);
        for (int i = 0; i < pool * pool; i++) {
            int64_t at = (o * pool + i % pool) * channels + c;
            vec d = load_some(row->x[i / pool] + at, width) - mean;
            ivec hit = (ivec)(index == i);
            if (relu) hit &= (ivec)(d * scale + beta > 0);
            vec g = (vec)((ivec)dy & hit);
            store_some(row->dx[i / pool] + at, scale * ((g - dy_mean) - d * slope), width);
        }
    }
}

/* The common sizes get code of their own, with the loops over the window unrolled. */
#define BY_POOL(call_1, call_2, call_any)                                                          \
    do {                                                                                           \
        if (row->pool == 1)                                                                        \
            call_1;                                                                                \
        else if (row->pool == 2)                                                                   \
            call_2;                                                                                \
        else                                                                                       \
            call_any;                                                                              \
    } while (0)

INLINE void pool_relu(const struct norm_row *row, bool relu, int64_t c, int width)
{
    BY_POOL(pool_channels(row, relu, 1, c, width), pool_channels(row, relu, 2, c, width),
            pool_channels(row, relu, row->pool, c, width));
}

INLINE void sums_relu(double *dbeta, double *dgamma, const struct norm_row *row, bool relu,
                      int64_t c, int width)
{
    BY_POOL(sums_channels(dbeta, dgamma, row, relu, 1, c, width),
            sums_channels(dbeta, dgamma, row, relu, 2, c, width),
            sums_channels(dbeta, dgamma, row, relu, row->pool, c, width));
}

INLINE void backward_relu(const struct norm_row *row, bool relu, int64_t c, int width)
{
    BY_POOL(backward_channels(row, relu, 1, c, width), backward_channels(row, relu, 2, c, width),
            backward_channels(row, relu, row->pool, c, width));
}

void SIMD(norm_pool)(const struct norm_row *row, bool relu)
{
    int64_t channels = row->norm->channels, c = 0;
    if (relu)
        for (; c + LANES <= channels; c += LANES) pool_relu(row, true, c, LANES);
    else
        for (; c + LANES <= channels; c += LANES) pool_relu(row, false, c, LANES);
    if (c < channels) pool_channels(row, relu, row->pool, c, (int)(channels - c));
}

void SIMD(norm_pool_sums)(double *dbeta, double *dgamma, const struct norm_row *row, bool relu)
{
    int64_t channels = row->norm->channels, c = 0;
    if (relu)
        for (; c + LANES <= channels; c += LANES) sums_relu(dbeta, dgamma, row, true, c, LANES);
    else
        for (; c + LANES <= channels; c += LANES) sums_relu(dbeta, dgamma, row, false, c, LANES);
    if (c < channels) sums_channels(dbeta, dgamma, row, relu, row->pool, c, (int)(channels - c));
}

void SIMD(norm_pool_backward)(const struct norm_row *row, bool relu)
{
    int64_t channels = row->norm->channels, c = 0;
    if (relu)
        for (; c + LANES <= channels; c += LANES) backward_relu(row, true, c, LANES);
    else
        for (; c + LANES <= channels; c += LANES) backward_relu(row, false, c, LANES);
    if (c < channels) backward_channels(row, relu, row->pool, c, (int)(channels - c));
}
