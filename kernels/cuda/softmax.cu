// Softmax over the last axis, its gradient, and softmax with cross-entropy and gradient in one.
//
// Launch: a warp a row where the row fits into registers, else a block of 256 threads with the row
// in shared memory; each loops over rows. Bytes moved per element: one read and one write (backward
// of softmax: two reads); a row that fits neither place is read again from the second cache.
#include "kernels/cuda/reduce.cuh"

#include <cmath>

extern __shared__ __align__(16) unsigned char row_cache[];

// x and y may be one tensor: a thread writes only what it alone has read.
template <class T, int V, int LANES, int K>
static __global__ __launch_bounds__(THREADS) void softmax(T *y, const T *x, int64_t rows, int width,
                                                          bool cached)
{
    __shared__ float box[THREADS / 32];
    T *cache = cached ? reinterpret_cast<T *>(row_cache) : nullptr;
    for (int64_t row = first_row<LANES>(); row < rows; row += row_step<LANES>()) {
        row_packs<T, V, LANES, K> own;
        float most = -INFINITY, total = 0;
        own.open(x + row * width, width / V, cache);
        own.each([&](int, int, const float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) most = most_of()(most, value[v]);
        });
        most = block_join<LANES>(most, box, most_of());
        own.each([&](int, int, const float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) total += __expf(value[v] - most);
        });
        total = block_join<LANES>(total, box, sum_of());
        float share = 1 / total;
        own.each([&](int, int p, float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) value[v] = __expf(value[v] - most) * share;
            store(y + row * width + (int64_t)p * V, value);
        });
    }
}

// dx = y (dy - Σ dy y); dx may be dy.
template <class T, int V, int LANES, int K>
static __global__ __launch_bounds__(THREADS) void softmax_bwd(T *dx, const T *dy, const T *y,
                                                              int64_t rows, int width, bool cached)
{
    __shared__ float box[THREADS / 32];
    T *cache = cached ? reinterpret_cast<T *>(row_cache) : nullptr;
    for (int64_t row = first_row<LANES>(); row < rows; row += row_step<LANES>()) {
        row_packs<T, V, LANES, K> above, own;
        float dot = 0;
        above.open(dy + row * width, width / V, cache);
        own.open(y + row * width, width / V, cache ? cache + width : nullptr);
        above.each([&](int k, int p, const float(&value)[V]) {
            float share[V];
            unpack(share, own.at(k, p));
#pragma unroll
            for (int v = 0; v < V; v++) dot = fmaf(value[v], share[v], dot);
        });
        dot = block_join<LANES>(dot, box, sum_of());
        above.each([&](int k, int p, float(&value)[V]) {
            float share[V];
            unpack(share, own.at(k, p));
#pragma unroll
            for (int v = 0; v < V; v++) value[v] = share[v] * (value[v] - dot);
            store(dx + row * width + (int64_t)p * V, value);
        });
    }
}

static enum code softmax_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *x = &call->in[0];
    int64_t rows = rows_of(x), width = width_of(x);
    bool backward = call->op == OP_SOFTMAX_BWD;
    bool aligned = aligned_16(x->data, call->out[0].data, in_data<void>(call, 1));
    with_float(x->dtype, [&](auto zero) {
        using T = decltype(zero);
        with_row<T>(width, aligned, [&](auto v, auto l, auto k) {
            constexpr int V = decltype(v)::value, LANES = decltype(l)::value;
            constexpr int K = decltype(k)::value;
            cudaStream_t stream = cuda_stream(device);
            unsigned grid = grid_of(device, ceil_div(rows, ROWS_AT_ONCE<LANES>), SPREAD);
            int64_t bytes = K ? 0 : width * (int64_t)sizeof(T);
            T *to = out_data<T>(call, 0);
            const T *from = in_data<const T>(call, 0);
            if (backward) {
                auto kernel = softmax_bwd<T, V, LANES, K>;
                size_t shared = shared_for(device, kernel, 2 * bytes);
                kernel<<<grid, THREADS, shared, stream>>>(to, from, in_data<const T>(call, 1), rows,
                                                          (int)width, shared > 0);
            } else {
                auto kernel = softmax<T, V, LANES, K>;
                size_t shared = shared_for(device, kernel, bytes);
                kernel<<<grid, THREADS, shared, stream>>>(to, from, rows, (int)width, shared > 0);
            }
        });
    });
    return cuda_launched(call, err);
}

static bool softmax_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 3, 1);
}

struct cross_entropy {
    float *loss, *weight;
    const int32_t *label, *second;
    const float *class_weight, *lambda; // NULL: 1
    const struct step_block *block;
    int64_t rows, rows_per_example;
    double nominal;
    float smoothing;
    int width, ignore;
    bool cached;
};

// What one row is asked to be: classes a and b with these shares, every class with `base` more.
struct target {
    int a, b;
    float share_a, share_b, base, weight;
    bool absent, broken;
};

static __device__ __forceinline__ float class_weight(const struct cross_entropy &x, int c)
{
    return x.class_weight ? x.class_weight[c] : 1;
}

static __device__ __forceinline__ struct target target_of(const struct cross_entropy &x,
                                                          int64_t row)
{
    struct target t = {};
    float lambda = 1;
    t.a = t.b = x.label[row];
    if (x.second) {
        t.b = x.second[row];
        lambda = x.lambda[row];
    }
    t.absent = row / x.rows_per_example >= x.block->valid_rows ||
               (x.ignore != -1 && (t.a == x.ignore || t.b == x.ignore));
    t.broken = t.a < 0 || t.a >= x.width || t.b < 0 || t.b >= x.width;
    if (t.absent || t.broken) return t;
    t.base = x.smoothing / (float)x.width;
    t.share_a = (1 - x.smoothing) * lambda;
    t.share_b = (1 - x.smoothing) * (1 - lambda);
    t.weight = lambda * class_weight(x, t.a) + (1 - lambda) * class_weight(x, t.b);
    return t;
}

// Class weight times target share.
static __device__ __forceinline__ float wanted(const struct cross_entropy &x,
                                               const struct target &t, int c)
{
    float share = t.base;
    if (c == t.a) share += t.share_a;
    if (c == t.b) share += t.share_b;
    return x.class_weight ? share * x.class_weight[c] : share;
}

// One term of the loss; a class that is not wanted may have no probability at all.
static __device__ __forceinline__ float loss_term(float want, float log_total, float off)
{
    return want != 0 ? want * (log_total - off) : 0;
}

template <class T, int V, int LANES, int K>
static __global__ __launch_bounds__(THREADS, 3) void softmax_xent(T *__restrict__ d,
                                                                  const T *__restrict__ logits,
                                                                  struct cross_entropy x)
{
    __shared__ float box[4][THREADS / 32];
    T *cache = x.cached ? reinterpret_cast<T *>(row_cache) : nullptr;
    float scale = (float)((double)x.block->loss_scale / x.nominal);
    for (int64_t row = first_row<LANES>(); row < x.rows; row += row_step<LANES>()) {
        const T *z = logits + row * x.width;
        struct target t = target_of(x, row);
        row_packs<T, V, LANES, K> own;
        own.open(z, x.width / V, cache);
        float most = -INFINITY, total = 0, share = 0, loss = 0, fill = t.absent ? 0 : NAN;
        if (t.absent || t.broken) {
            own.each([&](int, int p, float(&value)[V]) {
#pragma unroll
                for (int v = 0; v < V; v++) value[v] = fill;
                store(d + row * x.width + (int64_t)p * V, value);
            });
            if (threadIdx.x % LANES == 0) x.loss[row] = x.weight[row] = fill;
            continue;
        }
        own.each([&](int, int, const float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) most = most_of()(most, value[v]);
        });
        most = block_join<LANES>(most, box[0], most_of());
        own.each([&](int, int, const float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) total += __expf(value[v] - most);
        });
        total = block_join<LANES>(total, box[1], sum_of());
        float log_total = logf(total);
        if (t.base > 0) {
            own.each([&](int, int p, const float(&value)[V]) {
#pragma unroll
                for (int v = 0; v < V; v++) {
                    float want = wanted(x, t, p * V + v);
                    share += want;
                    loss += loss_term(want, log_total, value[v] - most);
                }
            });
            share = block_join<LANES>(share, box[2], sum_of());
            loss = block_join<LANES>(loss, box[3], sum_of());
        } else {
            float want = wanted(x, t, t.a), other = t.a == t.b ? 0 : wanted(x, t, t.b);
            share = want + other;
            loss = loss_term(want, log_total, to_f32(z[t.a]) - most) +
                   loss_term(other, log_total, to_f32(z[t.b]) - most);
        }
        float factor = scale * share / total;
        own.each([&](int, int p, float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) {
                int c = p * V + v;
                value[v] = factor * __expf(value[v] - most);
                if (t.base > 0 || c == t.a || c == t.b) value[v] -= scale * wanted(x, t, c);
            }
            store(d + row * x.width + (int64_t)p * V, value);
        });
        if (threadIdx.x % LANES > 0) continue;
        x.loss[row] = loss;
        x.weight[row] = t.weight;
    }
}

static enum code xent_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *z = &call->in[0];
    struct cross_entropy x = {};
    x.loss = out_data<float>(call, 0);
    x.weight = out_data<float>(call, 1);
    x.label = in_data<const int32_t>(call, 1);
    x.class_weight = in_data<const float>(call, 2);
    x.second = in_data<const int32_t>(call, 3);
    x.lambda = in_data<const float>(call, 4);
    x.block = call->block;
    x.rows = rows_of(z);
    x.rows_per_example = x.rows / z->shape.dim[0];
    x.nominal = (double)call->attr->loss.nominal;
    x.smoothing = (float)call->attr->loss.smoothing;
    x.width = (int)width_of(z);
    x.ignore = call->attr->loss.ignore_index;
    with_float(z->dtype, [&](auto zero) {
        using T = decltype(zero);
        with_row<T>(x.width, aligned_16(z->data, call->out[2].data), [&](auto v, auto l, auto k) {
            constexpr int V = decltype(v)::value, LANES = decltype(l)::value;
            constexpr int K = decltype(k)::value;
            auto kernel = softmax_xent<T, V, LANES, K>;
            size_t shared = K ? 0 : shared_for(device, kernel, x.width * (int64_t)sizeof(T));
            x.cached = shared > 0;
            unsigned grid = grid_of(device, ceil_div(x.rows, ROWS_AT_ONCE<LANES>), SPREAD);
            kernel<<<grid, THREADS, shared, cuda_stream(device)>>>(out_data<T>(call, 2),
                                                                   in_data<const T>(call, 0), x);
        });
    });
    return cuda_launched(call, err);
}

static bool xent_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 1, 4) && call->in[1].dtype == DTYPE_I32;
}

extern "C" const struct kernel cuda_softmax = { softmax_supports, nullptr, prepare_plain,
                                                softmax_run, nullptr };
extern "C" const struct kernel cuda_softmax_bwd = { softmax_supports, nullptr, prepare_plain,
                                                    softmax_run, nullptr };
extern "C" const struct kernel cuda_softmax_xent = { xent_supports, nullptr, prepare_plain,
                                                     xent_run, nullptr };
