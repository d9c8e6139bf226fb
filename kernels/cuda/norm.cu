// Batch norm and its fused form with activation and max pool, forward and backward.
//
// Launch: moments and sums by blocks of 256 threads, `lanes` 16-byte packs wide and `row_lanes`
// rows high, over (channel tile, chunk of rows), about eight blocks a processor; a small kernel
// joins the chunks in f64 in their order; the last one applies the same way, constants in
// registers. Plain batch norm is the fused op with a pool of one and no activation.
// Bytes moved per element of x: forward two reads of x and one write of y (1 / pool^2 of x, with an
// index byte); backward two reads of x and dy, one write of dx.
#include "kernels/cuda/reduce.cuh"

extern "C" {
#include "kernels/window.h"
}

struct image {
    int height, width, out_height, out_width, pool;
};

// Vectors [channels], f32; NULL where an op has none.
struct norm_vectors {
    const float *gamma, *beta, *mean, *rstd, *dy_mean, *slope;
};

struct batch_statistics {
    float *mean, *rstd, *running_mean, *running_variance;
    double eps, momentum;
};

static __global__ __launch_bounds__(JOIN_THREADS) void norm_moments_join(struct batch_statistics to,
                                                                         const float *partial,
                                                                         struct columns g)
{
    int c = blockIdx.x * JOIN_CHANNELS + threadIdx.x, at = min(c, g.channels - 1);
    const float *mean_of = partial + at, *m2_of = mean_of + (int64_t)g.chunks * g.channels;
    auto rows = [&](int i) { return (double)(min((i + 1) * g.chunk, g.rows) - i * g.chunk); };
    double n = (double)g.rows;
    double mean = chunks_sum(
                      g.chunks,
                      [&](int i) { return rows(i) * (double)mean_of[(int64_t)i * g.channels]; }) /
                  n;
    double m2 = chunks_sum(g.chunks, [&](int i) {
        double off = (double)mean_of[(int64_t)i * g.channels] - mean;
        return (double)m2_of[(int64_t)i * g.channels] + rows(i) * off * off;
    });
    if (c >= g.channels || threadIdx.y > 0) return;
    double unbiased = m2 / (g.rows > 1 ? n - 1 : 1), keep = 1 - to.momentum;
    to.mean[c] = (float)mean;
    to.rstd[c] = (float)(1 / sqrt(m2 / n + to.eps));
    to.running_mean[c] = (float)(keep * (double)to.running_mean[c] + to.momentum * mean);
    to.running_variance[c] = (float)(keep * (double)to.running_variance[c] +
                                     to.momentum * unbiased);
}

// First pixel of a window, and whether the pool has an output there.
struct place {
    int64_t pixel, out;
    int rows, columns; // cells of the window that lie in the image
    bool pooled;
};

// Window `at` of images cut into windows of `pool` x `pool`, `high` x `wide` of them.
static __device__ __forceinline__ struct place place_of(const struct image &im, unsigned at,
                                                        int high, int wide)
{
    unsigned column = at % wide, line = at / wide;
    unsigned row = line % high, n = line / high;
    struct place p;
    p.rows = min(im.pool, im.height - (int)row * im.pool);
    p.columns = min(im.pool, im.width - (int)column * im.pool);
    p.pixel = ((int64_t)n * im.height + row * im.pool) * im.width + column * im.pool;
    p.out = ((int64_t)n * im.out_height + row) * im.out_width + column;
    p.pooled = (int)row < im.out_height && (int)column < im.out_width;
    return p;
}

template <int V> struct affine {
    float mean[V], scale[V], beta[V];
};

// scale = gamma rstd, rounded once: forward and backward see the same numbers.
template <int V>
static __device__ __forceinline__ void load_affine(struct affine<V> &norm,
                                                   const struct norm_vectors &from, int at)
{
    float gamma[V];
    load_vector(norm.mean, from.mean, at, 0);
    load_vector(norm.scale, from.rstd, at, 1);
    load_vector(norm.beta, from.beta, at, 0);
    load_vector(gamma, from.gamma, at, 1);
#pragma unroll
    for (int v = 0; v < V; v++) norm.scale[v] *= gamma[v];
}

// POOL 1 and 2 are unrolled, 0 reads the side. SMOOTH: any activation, else none or ReLU.
template <class T, int V, int POOL, bool SMOOTH>
static __global__ __launch_bounds__(THREADS, 3) void norm_apply(
    T *__restrict__ y, uint8_t *__restrict__ index, const T *__restrict__ x,
    struct norm_vectors vectors, struct image im, struct columns g, enum activation act)
{
    int pack_at = blockIdx.x * g.lanes + threadIdx.x, side = POOL ? POOL : im.pool;
    int64_t from = blockIdx.y * g.chunk, to = min(from + g.chunk, g.rows);
    if (pack_at >= g.packs) return;
    struct affine<V> norm;
    load_affine(norm, vectors, pack_at * V);
    x += (int64_t)pack_at * V;
    y += (int64_t)pack_at * V;
#pragma unroll(POOL == 1 && !SMOOTH ? 2 : 1)
    for (int64_t row = from + threadIdx.y; row < to; row += g.row_lanes) {
        int64_t pixel = POOL == 1 ? row
                                  : place_of(im, (unsigned)row, im.out_height, im.out_width).pixel;
        float best[V];
        uint8_t won[V];
#pragma unroll(POOL ? POOL : 1)
        for (int i = 0; i < side; i++)
#pragma unroll(POOL ? POOL : 1)
            for (int j = 0; j < side; j++) {
                float value[V];
                load(value, x + (pixel + (int64_t)i * im.width + j) * g.channels);
#pragma unroll
                for (int v = 0; v < V; v++) {
                    float z = fmaf(value[v] - norm.mean[v], norm.scale[v], norm.beta[v]);
                    if (SMOOTH)
                        z = act_value(act, z);
                    else if (act == ACT_RELU)
                        z = z < 0 ? 0 : z;
                    // Not-a-number wins, so that it does not vanish in a pool.
                    bool wins = i + j == 0 || z > best[v] || (z != z && best[v] == best[v]);
                    if (wins) best[v] = z;
                    if (wins) won[v] = (uint8_t)(i * side + j);
                }
            }
        store(y + row * g.channels, best);
        if constexpr (POOL != 1) {
            pack<uint8_t, V> raw;
#pragma unroll
            for (int v = 0; v < V; v++) raw.at[v] = won[v];
            int64_t at = row * g.channels + (int64_t)pack_at * V;
            if (index) *reinterpret_cast<pack<uint8_t, V> *>(index + at) = raw;
        }
    }
}

// The gradient behind the affine part at one element: routed through the pool, times the slope.
template <bool SMOOTH>
static __device__ __forceinline__ float routed(float dy, float z, bool won, enum activation act)
{
    if (!won) return 0;
    if (SMOOTH) return dy * act_slope(act, z);
    return act != ACT_RELU || z > 0 ? dy : 0;
}

// What a window got from above: dy and the winning cell of each channel.
template <int V> struct routes {
    float dy[V];
    uint8_t cell[V];
};

template <class T, int V>
static __device__ __forceinline__ void load_routes(struct routes<V> &to, const T *dy,
                                                   const uint8_t *index, int64_t at)
{
    load(to.dy, dy + at);
    pack<uint8_t, V> raw = {};
    if (index) raw = load_raw<V>(index + at);
#pragma unroll
    for (int v = 0; v < V; v++) to.cell[v] = raw.at[v];
}

// Partial Σ g and Σ g (x - mean) over windows; rows of `g` are pooled pixels.
template <class T, int V, int POOL, bool SMOOTH>
static __global__ __launch_bounds__(THREADS) void norm_sums(
    float *partial, const T *__restrict__ dy, const T *__restrict__ x,
    const uint8_t *__restrict__ index, struct norm_vectors vectors, struct image im,
    struct columns g, enum activation act)
{
    int pack_at = blockIdx.x * g.lanes + threadIdx.x, side = POOL ? POOL : im.pool;
    int64_t from = blockIdx.y * g.chunk, to = min(from + g.chunk, g.rows);
    float sum[V] = {}, product[V] = {};
    bool mine = pack_at < g.packs;
    struct affine<V> norm;
    load_affine(norm, vectors, mine ? pack_at * V : 0);
    x += (int64_t)pack_at * V;
#pragma unroll(POOL == 1 && !SMOOTH ? 2 : 1)
    for (int64_t row = from + threadIdx.y; mine && row < to; row += g.row_lanes) {
        int64_t pixel = POOL == 1 ? row
                                  : place_of(im, (unsigned)row, im.out_height, im.out_width).pixel;
        struct routes<V> above;
        load_routes(above, dy, POOL == 1 ? nullptr : index,
                    row * g.channels + (int64_t)pack_at * V);
#pragma unroll(POOL ? POOL : 1)
        for (int i = 0; i < side; i++)
#pragma unroll(POOL ? POOL : 1)
            for (int j = 0; j < side; j++) {
                float value[V];
                load(value, x + (pixel + (int64_t)i * im.width + j) * g.channels);
#pragma unroll
                for (int v = 0; v < V; v++) {
                    float off = value[v] - norm.mean[v];
                    float z = fmaf(off, norm.scale[v], norm.beta[v]);
                    bool won = POOL == 1 || above.cell[v] == i * side + j;
                    float gradient = routed<SMOOTH>(above.dy[v], z, won, act);
                    sum[v] += gradient;
                    product[v] = fmaf(gradient, off, product[v]);
                }
            }
    }
    columns_write(partial, g, sum, product);
}

struct norm_gradients {
    float *dgamma, *dbeta, *dy_mean, *slope;
    const float *rstd;
    bool add_gamma, add_beta;
    double rows; // of x, which the means divide by
};

static __global__ __launch_bounds__(JOIN_THREADS) void norm_sums_join(struct norm_gradients to,
                                                                      const float *partial,
                                                                      struct columns g)
{
    int c = blockIdx.x * JOIN_CHANNELS + threadIdx.x, at = min(c, g.channels - 1);
    const float *sum_of = partial + at, *product_of = sum_of + (int64_t)g.chunks * g.channels;
    double sum = chunks_sum(g.chunks,
                            [&](int i) { return (double)sum_of[(int64_t)i * g.channels]; });
    double product = chunks_sum(g.chunks,
                                [&](int i) { return (double)product_of[(int64_t)i * g.channels]; });
    if (c >= g.channels || threadIdx.y > 0) return;
    double rstd = (double)to.rstd[c], dgamma = product * rstd;
    if (to.dgamma) put_sum(to.dgamma + c, dgamma, to.add_gamma);
    if (to.dbeta) put_sum(to.dbeta + c, sum, to.add_beta);
    to.dy_mean[c] = (float)(sum / to.rows);
    to.slope[c] = (float)(dgamma / to.rows * rstd);
}

// dx = scale (g - dy_mean - (x - mean) slope); rows of `g` are windows, cut ones at the edges too.
template <class T, int V, int POOL, bool SMOOTH>
static __global__ __launch_bounds__(THREADS, 2) void norm_backward(
    T *__restrict__ dx, const T *__restrict__ dy, const T *__restrict__ x,
    const uint8_t *__restrict__ index, struct norm_vectors vectors, struct image im,
    struct columns g, enum activation act)
{
    int pack_at = blockIdx.x * g.lanes + threadIdx.x, side = POOL ? POOL : im.pool;
    int high = (im.height + im.pool - 1) / im.pool, wide = (im.width + im.pool - 1) / im.pool;
    int64_t from = blockIdx.y * g.chunk, to = min(from + g.chunk, g.rows);
    if (pack_at >= g.packs) return;
    struct affine<V> norm;
    float dy_mean[V], slope[V];
    load_affine(norm, vectors, pack_at * V);
    load_vector(dy_mean, vectors.dy_mean, pack_at * V, 0);
    load_vector(slope, vectors.slope, pack_at * V, 0);
    x += (int64_t)pack_at * V;
    dx += (int64_t)pack_at * V;
#pragma unroll(POOL == 1 && !SMOOTH ? 2 : 1)
    for (int64_t row = from + threadIdx.y; row < to; row += g.row_lanes) {
        struct place p = { row, row, 1, 1, true };
        if (POOL != 1) p = place_of(im, (unsigned)row, high, wide);
        struct routes<V> above = {
        };
        if (p.pooled)
            load_routes(above, dy, POOL == 1 ? nullptr : index,
                        p.out * g.channels + (int64_t)pack_at * V);
#pragma unroll(POOL ? POOL : 1)
        for (int i = 0; i < side; i++)
#pragma unroll(POOL ? POOL : 1)
            for (int j = 0; j < side; j++) {
                if (POOL != 1 && (i >= p.rows || j >= p.columns)) continue;
                int64_t at = (p.pixel + (int64_t)i * im.width + j) * g.channels;
                float value[V];
                load(value, x + at);
#pragma unroll
                for (int v = 0; v < V; v++) {
                    float off = value[v] - norm.mean[v];
                    float z = fmaf(off, norm.scale[v], norm.beta[v]);
                    bool won = POOL == 1 || above.cell[v] == i * side + j;
                    float gradient = routed<SMOOTH>(above.dy[v], z, won, act);
                    value[v] = norm.scale[v] * (gradient - dy_mean[v] - off * slope[v]);
                }
                store(dx + at, value);
            }
    }
}

static bool fused(const struct op_call *call)
{
    return call->op == OP_BN_ACT_POOL || call->op == OP_BN_ACT_POOL_BWD;
}

static struct image image_of(const struct op_call *call, const struct tensor *x)
{
    if (!fused(call)) return { 1, 1, 1, 1, 1 };
    struct window w = norm_window(call->attr, &x->shape);
    return { (int)w.in[0], (int)w.in[1], (int)w.out[0], (int)w.out[1], (int)w.size[0] };
}

static enum activation act_of(const struct op_call *call)
{
    return fused(call) ? call->attr->norm.act : ACT_NONE;
}

// Windows over `x`: those that the pool has outputs of, or all.
static int64_t windows_of(const struct op_call *call, const struct tensor *x, bool all)
{
    struct image im = image_of(call, x);
    if (im.pool == 1) return rows_of(x);
    int64_t high = all ? ceil_div(im.height, im.pool) : im.out_height;
    int64_t wide = all ? ceil_div(im.width, im.pool) : im.out_width;
    return x->shape.dim[0] * high * wide;
}

// Calls body(V, POOL, SMOOTH) as constants for this call.
template <class T, class Body>
static void with_form(const struct op_call *call, int pool, bool wide, Body body)
{
    using std::integral_constant;
    enum activation act = act_of(call);
    constexpr integral_constant<int, WIDE<T>> full = {};
    constexpr std::true_type smooth = {};
    constexpr std::false_type simple = {};
    if (!wide)
        body(integral_constant<int, 1>(), integral_constant<int, 0>(), smooth);
    else if (act != ACT_NONE && act != ACT_RELU)
        body(full, integral_constant<int, 0>(), smooth);
    else if (pool == 1)
        body(full, integral_constant<int, 1>(), simple);
    else if (pool == 2)
        body(full, integral_constant<int, 2>(), simple);
    else
        body(full, integral_constant<int, 0>(), simple);
}

static enum code norm_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    bool backward = call->op == OP_BATCH_NORM_BWD || call->op == OP_BN_ACT_POOL_BWD;
    const struct tensor *x = &call->in[backward ? 1 : 0];
    int64_t rows = backward ? windows_of(call, x, false) : rows_of(x), channels = width_of(x);
    int64_t constants = 2 * align_128(channels * 4);
    call->workspace_bytes = (size_t)(8 * columns_floats(device, rows, channels) + constants);
    call->algorithm = "own";
    return OK;
}

static dim3 columns_grid(const struct columns &g)
{
    return dim3((unsigned)g.tiles, (unsigned)g.chunks);
}

static dim3 columns_block(const struct columns &g)
{
    return dim3((unsigned)g.lanes, (unsigned)g.row_lanes);
}

template <class T> static bool norm_wide(const struct op_call *call, int64_t channels)
{
    bool wide = channels % WIDE<T> == 0;
    for (int i = 0; i < 2; i++) wide = wide && aligned_16(call->in[i].data);
    return wide && aligned_16(call->out[0].data, in_data<void>(call, 6), out_data<void>(call, 3));
}

template <class T> static void forward_launch(struct device *device, struct op_call *call)
{
    cudaStream_t stream = cuda_stream(device);
    const T *x = in_data<const T>(call, 0);
    const struct tensor *tensor = &call->in[0];
    struct image im = image_of(call, tensor);
    float *partial = static_cast<float *>(call->workspace);
    struct batch_statistics to = {
        out_data<float>(call, 1), out_data<float>(call, 2),     in_data<float>(call, 3),
        in_data<float>(call, 4),  (double)call->attr->norm.eps, (double)call->attr->norm.momentum
    };
    struct norm_vectors vectors = { in_data<const float>(call, 1),
                                    in_data<const float>(call, 2),
                                    to.mean,
                                    to.rstd,
                                    nullptr,
                                    nullptr };
    bool wide = norm_wide<T>(call, width_of(tensor));
    with_form<T>(call, im.pool, wide, [&](auto vec, auto pool, auto smooth) {
        constexpr int V = decltype(vec)::value, POOL = decltype(pool)::value;
        constexpr bool SMOOTH = decltype(smooth)::value;
        struct columns g = columns_of(device, rows_of(tensor), width_of(tensor), V, SUMMING);
        columns_moments<T, V><<<columns_grid(g), columns_block(g), 0, stream>>>(partial, x, g);
        norm_moments_join<<<join_grid(g.channels), join_block(), 0, stream>>>(to, partial, g);
        g = columns_of(device, windows_of(call, tensor, false), width_of(tensor), V, APPLYING);
        norm_apply<T, V, POOL, SMOOTH><<<columns_grid(g), columns_block(g), 0, stream>>>(
            out_data<T>(call, 0), out_data<uint8_t>(call, 3), x, vectors, im, g, act_of(call));
    });
}

static enum code forward_run(struct device *device, struct op_call *call, struct err *err)
{
    with_float(call->in[0].dtype, [&](auto zero) { forward_launch<decltype(zero)>(device, call); });
    return cuda_launched(call, err);
}

// Inputs of the fused op have beta before the statistics.
static struct norm_vectors backward_vectors(const struct op_call *call)
{
    int mean = fused(call) ? 4 : 3;
    return { in_data<const float>(call, 2),
             fused(call) ? in_data<const float>(call, 3) : nullptr,
             in_data<const float>(call, mean),
             in_data<const float>(call, mean + 1),
             nullptr,
             nullptr };
}

template <class T> static void backward_launch(struct device *device, struct op_call *call)
{
    cudaStream_t stream = cuda_stream(device);
    const struct tensor *x = &call->in[1];
    const uint8_t *index = fused(call) ? in_data<const uint8_t>(call, 6) : nullptr;
    struct image im = image_of(call, x);
    struct norm_vectors vectors = backward_vectors(call);
    int64_t channels = width_of(x), bytes = align_128(channels * 4);
    char *end = static_cast<char *>(call->workspace) + call->workspace_bytes;
    float *partial = static_cast<float *>(call->workspace);
    struct norm_gradients to = { out_data<float>(call, 1),
                                 out_data<float>(call, 2),
                                 reinterpret_cast<float *>(end - 2 * bytes),
                                 reinterpret_cast<float *>(end - bytes),
                                 vectors.rstd,
                                 (call->accumulate & 2) != 0,
                                 (call->accumulate & 4) != 0,
                                 (double)rows_of(x) };
    with_form<T>(
        call, im.pool, norm_wide<T>(call, channels), [&](auto vec, auto pool, auto smooth) {
            constexpr int V = decltype(vec)::value, POOL = decltype(pool)::value;
            constexpr bool SMOOTH = decltype(smooth)::value;
            struct columns g = columns_of(device, windows_of(call, x, false), channels, V, SUMMING);
            norm_sums<T, V, POOL, SMOOTH><<<columns_grid(g), columns_block(g), 0, stream>>>(
                partial, in_data<const T>(call, 0), in_data<const T>(call, 1), index, vectors, im,
                g, act_of(call));
            norm_sums_join<<<join_grid(channels), join_block(), 0, stream>>>(to, partial, g);
            if (!call_has_out(call, 0)) return;
            vectors.dy_mean = to.dy_mean;
            vectors.slope = to.slope;
            g = columns_of(device, windows_of(call, x, true), channels, V, APPLYING);
            norm_backward<T, V, POOL, SMOOTH><<<columns_grid(g), columns_block(g), 0, stream>>>(
                out_data<T>(call, 0), in_data<const T>(call, 0), in_data<const T>(call, 1), index,
                vectors, im, g, act_of(call));
        });
}

static enum code backward_run(struct device *device, struct op_call *call, struct err *err)
{
    with_float(call->in[0].dtype,
               [&](auto zero) { backward_launch<decltype(zero)>(device, call); });
    return cuda_launched(call, err);
}

static bool forward_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 1, 1);
}

static bool backward_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 3, 1) && rows_of(&call->in[1]) < INT32_MAX;
}

#define FORWARD                                                                                    \
    {                                                                                              \
        forward_supports, nullptr, norm_prepare, forward_run, nullptr                              \
    }
#define BACKWARD                                                                                   \
    {                                                                                              \
        backward_supports, nullptr, norm_prepare, backward_run, nullptr                            \
    }

extern "C" const struct kernel cuda_batch_norm = FORWARD;
extern "C" const struct kernel cuda_batch_norm_bwd = BACKWARD;
extern "C" const struct kernel cuda_bn_act_pool = FORWARD;
extern "C" const struct kernel cuda_bn_act_pool_bwd = BACKWARD;
