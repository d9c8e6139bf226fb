// Layer norm, forward and backward.
//
// Launch: a warp a row where the row fits into registers, else a block of 256 threads with the row
// in shared memory; each loops over rows. Backward keeps its columns' sums of dgamma and dbeta
// while it walks, and a small kernel joins the blocks in f64 in their order.
// Bytes moved per element: forward one read and one write, backward two reads and one write (a row
// that fits neither place is read again from the second cache).
#include "kernels/cuda/reduce.cuh"

extern __shared__ __align__(16) unsigned char row_cache[];

struct norm_row {
    float *mean, *rstd;
    const float *gamma, *beta;
    int64_t rows;
    int width;
    float eps;
    bool cached;
};

template <class T, int V, int LANES, int K>
static __global__ __launch_bounds__(THREADS) void layer_norm(T *__restrict__ y,
                                                             const T *__restrict__ x,
                                                             struct norm_row norm)
{
    __shared__ float box[THREADS / 32];
    T *cache = norm.cached ? reinterpret_cast<T *>(row_cache) : nullptr;
    float share = 1.0f / (float)norm.width;
    for (int64_t row = first_row<LANES>(); row < norm.rows; row += row_step<LANES>()) {
        row_packs<T, V, LANES, K> own;
        float sum = 0, squares = 0;
        own.open(x + row * norm.width, norm.width / V, cache);
        own.each([&](int, int, const float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) sum += value[v];
        });
        float mean = block_join<LANES>(sum, box, sum_of()) * share;
        own.each([&](int, int, const float(&value)[V]) {
#pragma unroll
            for (int v = 0; v < V; v++) squares = fmaf(value[v] - mean, value[v] - mean, squares);
        });
        squares = block_join<LANES>(squares, box, sum_of());
        float rstd = 1 / sqrtf(squares * share + norm.eps);
        own.each([&](int, int p, float(&value)[V]) {
            float gamma[V], beta[V];
            load_vector(gamma, norm.gamma, (int64_t)p * V, 1);
            load_vector(beta, norm.beta, (int64_t)p * V, 0);
#pragma unroll
            for (int v = 0; v < V; v++)
                value[v] = fmaf((value[v] - mean) * rstd, gamma[v], beta[v]);
            store(y + row * norm.width + (int64_t)p * V, value);
        });
        if (threadIdx.x % LANES > 0) continue;
        norm.mean[row] = mean;
        norm.rstd[row] = rstd;
    }
}

static enum code layer_norm_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *x = &call->in[0];
    struct norm_row norm = { out_data<float>(call, 1),
                             out_data<float>(call, 2),
                             in_data<const float>(call, 1),
                             in_data<const float>(call, 2),
                             rows_of(x),
                             (int)width_of(x),
                             call->attr->norm.eps,
                             false };
    with_float(x->dtype, [&](auto zero) {
        using T = decltype(zero);
        with_row<T>(
            norm.width, aligned_16(x->data, call->out[0].data), [&](auto v, auto l, auto k) {
                constexpr int V = decltype(v)::value, LANES = decltype(l)::value;
                constexpr int K = decltype(k)::value;
                auto kernel = layer_norm<T, V, LANES, K>;
                size_t shared = K ? 0 : shared_for(device, kernel, norm.width * (int64_t)sizeof(T));
                norm.cached = shared > 0;
                unsigned grid = grid_of(device, ceil_div(norm.rows, ROWS_AT_ONCE<LANES>), SPREAD);
                kernel<<<grid, THREADS, shared, cuda_stream(device)>>>(
                    out_data<T>(call, 0), in_data<const T>(call, 0), norm);
            });
    });
    return cuda_launched(call, err);
}

static bool layer_norm_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 1, 1);
}

struct norm_row_bwd {
    const float *gamma, *mean, *rstd;
    float *partial; // [2][blocks][width]: of dy (x - mean) rstd and of dy
    int64_t rows;
    int width;
    bool cached; // sums, and rows of dy and x, in shared memory
};

// Sums of a warp's columns over its rows, in registers, then over the block's warps in order.
template <int V, int K>
static __device__ __forceinline__ void columns_of_warps(const struct norm_row_bwd &norm,
                                                        float (&product)[K][V], float (&sum)[K][V])
{
    float *box = reinterpret_cast<float *>(row_cache);
    int packs = norm.width / V, lane = threadIdx.x % 32;
    for (int warp = 0; warp < THREADS / 32; warp++) {
        if ((int)threadIdx.x / 32 == warp)
#pragma unroll
            for (int k = 0; k < K; k++)
                if (lane + k * 32 < packs)
#pragma unroll
                    for (int v = 0; v < V; v++) {
                        float *at = box + (lane + k * 32) * V + v;
                        at[0] = (warp ? at[0] : 0) + product[k][v];
                        at[norm.width] = (warp ? at[norm.width] : 0) + sum[k][v];
                    }
        __syncthreads();
    }
}

template <class T, int V, int LANES, int K>
static __global__ __launch_bounds__(THREADS, 2) void layer_norm_bwd(T *__restrict__ dx,
                                                                    const T *__restrict__ dy,
                                                                    const T *__restrict__ x,
                                                                    struct norm_row_bwd norm)
{
    __shared__ float box[2][THREADS / 32];
    int64_t width = norm.width, second = (int64_t)gridDim.x * width;
    float product[K ? K : 1][V] = {}, sum[K ? K : 1][V] = {}, share = 1.0f / (float)norm.width;
    float *own = norm.partial + blockIdx.x * width, *kept = own;
    T *cache = nullptr;
    int64_t apart = second;
    if (K == 0) { // sums in shared memory or, where they do not fit, in their final place
        if (norm.cached) {
            kept = reinterpret_cast<float *>(row_cache);
            apart = width;
            cache = reinterpret_cast<T *>(kept + 2 * width);
        }
        for (int64_t c = threadIdx.x; c < width / V; c += THREADS)
#pragma unroll
            for (int v = 0; v < V; v++) kept[c * V + v] = kept[apart + c * V + v] = 0;
    }
    for (int64_t row = first_row<LANES>(); row < norm.rows; row += row_step<LANES>()) {
        row_packs<T, V, LANES, K> above, here;
        float mean = norm.mean[row], rstd = norm.rstd[row], all = 0, all_hat = 0;
        above.open(dy + row * width, norm.width / V, cache);
        here.open(x + row * width, norm.width / V, cache ? cache + width : nullptr);
        above.each([&](int k, int p, const float(&value)[V]) {
            float gamma[V], hat[V];
            unpack(hat, here.at(k, p));
            load_vector(gamma, norm.gamma, (int64_t)p * V, 1);
#pragma unroll
            for (int v = 0; v < V; v++) {
                hat[v] = (hat[v] - mean) * rstd;
                all += value[v] * gamma[v];
                all_hat = fmaf(value[v] * gamma[v], hat[v], all_hat);
                if (K) {
                    product[k][v] = fmaf(value[v], hat[v], product[k][v]);
                    sum[k][v] += value[v];
                } else {
                    kept[(int64_t)p * V + v] += value[v] * hat[v];
                    kept[apart + (int64_t)p * V + v] += value[v];
                }
            }
        });
        all = block_join<LANES>(all, box[0], sum_of()) * share;
        all_hat = block_join<LANES>(all_hat, box[1], sum_of()) * share;
        if (!dx) continue;
        above.each([&](int k, int p, float(&value)[V]) {
            float gamma[V], hat[V];
            unpack(hat, here.at(k, p));
            load_vector(gamma, norm.gamma, (int64_t)p * V, 1);
#pragma unroll
            for (int v = 0; v < V; v++) {
                hat[v] = (hat[v] - mean) * rstd;
                value[v] = rstd * (value[v] * gamma[v] - all - hat[v] * all_hat);
            }
            store(dx + row * width + (int64_t)p * V, value);
        });
    }
    if constexpr (K > 0) columns_of_warps(norm, product, sum);
    if (K == 0 && !norm.cached) return;
    const float *from = reinterpret_cast<const float *>(row_cache);
    __syncthreads();
    for (int64_t c = threadIdx.x; c < width; c += THREADS) {
        own[c] = from[c];
        own[second + c] = from[width + c];
    }
}

struct norm_row_gradients {
    float *dgamma, *dbeta;
    bool add_gamma, add_beta;
};

static __global__ __launch_bounds__(JOIN_THREADS) void layer_norm_bwd_join(
    struct norm_row_gradients to, const float *partial, int chunks, int width)
{
    int c = blockIdx.x * JOIN_CHANNELS + threadIdx.x, at = min(c, width - 1);
    const float *product_of = partial + at, *sum_of = product_of + (int64_t)chunks * width;
    double product = chunks_sum(chunks,
                                [&](int i) { return (double)product_of[(int64_t)i * width]; });
    double sum = chunks_sum(chunks, [&](int i) { return (double)sum_of[(int64_t)i * width]; });
    if (c >= width || threadIdx.y > 0) return;
    if (to.dgamma) put_sum(to.dgamma + c, product, to.add_gamma);
    if (to.dbeta) put_sum(to.dbeta + c, sum, to.add_beta);
}

// Blocks that walk over `rows`: two a processor, so that partial sums stay few.
static unsigned bwd_grid(const struct device *device, int64_t rows, int at_once)
{
    return grid_of(device, ceil_div(rows, at_once), 2);
}

static enum code layer_norm_bwd_prepare(struct device *device, struct op_call *call,
                                        struct err *err)
{
    (void)err;
    const struct tensor *x = &call->in[1];
    int64_t blocks = bwd_grid(device, rows_of(x), 1);
    call->workspace_bytes = (size_t)(2 * blocks * width_of(x) * 4);
    call->algorithm = "own";
    return OK;
}

template <class T> static void bwd_launch(struct device *device, struct op_call *call)
{
    const struct tensor *x = &call->in[1];
    cudaStream_t stream = cuda_stream(device);
    struct norm_row_bwd norm = { in_data<const float>(call, 2),
                                 in_data<const float>(call, 3),
                                 in_data<const float>(call, 4),
                                 static_cast<float *>(call->workspace),
                                 rows_of(x),
                                 (int)width_of(x),
                                 false };
    struct norm_row_gradients to = { out_data<float>(call, 1), out_data<float>(call, 2),
                                     (call->accumulate & 2) != 0, (call->accumulate & 4) != 0 };
    bool aligned = aligned_16(x->data, call->in[0].data, out_data<void>(call, 0));
    // Three packs: two rows and the sums of a thread's columns fill 128 registers.
    with_row<T, 3>(norm.width, aligned, [&](auto v, auto l, auto k) {
        constexpr int V = decltype(v)::value, LANES = decltype(l)::value, K = decltype(k)::value;
        auto kernel = layer_norm_bwd<T, V, LANES, K>;
        int64_t wanted = norm.width * (int64_t)(8 + (K ? 0 : 2 * sizeof(T)));
        size_t shared = shared_for(device, kernel, wanted);
        norm.cached = shared > 0;
        unsigned grid = bwd_grid(device, norm.rows, ROWS_AT_ONCE<LANES>);
        kernel<<<grid, THREADS, shared, stream>>>(out_data<T>(call, 0), in_data<const T>(call, 0),
                                                  in_data<const T>(call, 1), norm);
        layer_norm_bwd_join<<<join_grid(norm.width), join_block(), 0, stream>>>(
            to, norm.partial, (int)grid, norm.width);
    });
}

static enum code layer_norm_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    with_float(call->in[0].dtype, [&](auto zero) { bwd_launch<decltype(zero)>(device, call); });
    return cuda_launched(call, err);
}

static bool layer_norm_bwd_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 3, 1);
}

extern "C" const struct kernel cuda_layer_norm = { layer_norm_supports, nullptr, prepare_plain,
                                                   layer_norm_run, nullptr };
extern "C" const struct kernel cuda_layer_norm_bwd = { layer_norm_bwd_supports, nullptr,
                                                       layer_norm_bwd_prepare, layer_norm_bwd_run,
                                                       nullptr };
