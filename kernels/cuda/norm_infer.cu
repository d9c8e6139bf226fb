// Batch norm with stored statistics, forward and backward.
//
// Launch: blocks of 256 threads, `lanes` 16-byte packs wide and `row_lanes` rows high, about 16
// (backward eight) a processor; constants in registers. Backward sums dgamma and dbeta per chunk of
// rows in the same pass that makes dx, and a small kernel joins the chunks in their order.
// Bytes moved per element: forward one read and one write, backward two reads and one write.
#include "kernels/cuda/reduce.cuh"

struct stored {
    const float *gamma, *beta, *mean, *variance;
    float eps;
};

template <int V>
static __device__ __forceinline__ void load_rstd(float (&rstd)[V], const struct stored &from,
                                                 int at)
{
    load_vector(rstd, from.variance, at, 1);
#pragma unroll
    for (int v = 0; v < V; v++) rstd[v] = 1 / sqrtf(rstd[v] + from.eps);
}

// x and y may be one tensor.
template <class T, int V>
static __global__ __launch_bounds__(THREADS) void infer(T *y, const T *x, struct stored from,
                                                        struct columns g)
{
    int pack_at = blockIdx.x * g.lanes + threadIdx.x;
    int64_t first = blockIdx.y * g.chunk, end = min(first + g.chunk, g.rows), step = g.row_lanes;
    if (pack_at >= g.packs) return;
    float mean[V], scale[V], beta[V], gamma[V];
    load_rstd(scale, from, pack_at * V);
    load_vector(mean, from.mean, pack_at * V, 0);
    load_vector(beta, from.beta, pack_at * V, 0);
    load_vector(gamma, from.gamma, pack_at * V, 1);
#pragma unroll
    for (int v = 0; v < V; v++) scale[v] *= gamma[v];
    x += (int64_t)pack_at * V;
    y += (int64_t)pack_at * V;
    for (int64_t row = first + threadIdx.y; row < end; row += 2 * step) {
        bool second = row + step < end;
        pack<T, V> raw[2];
        raw[0] = load_raw<V>(x + row * g.channels);
        if (second) raw[1] = load_raw<V>(x + (row + step) * g.channels);
#pragma unroll
        for (int k = 0; k < 2; k++) {
            if (k == 1 && !second) break;
            float value[V];
            unpack(value, raw[k]);
#pragma unroll
            for (int v = 0; v < V; v++) value[v] = fmaf(value[v] - mean[v], scale[v], beta[v]);
            store(y + (row + k * step) * g.channels, value);
        }
    }
}

// dx = dy gamma rstd, with the partial Σ dy and Σ dy (x - mean); dx may be NULL.
template <class T, int V>
static __global__ __launch_bounds__(THREADS) void infer_bwd(T *__restrict__ dx, float *partial,
                                                            const T *__restrict__ dy,
                                                            const T *__restrict__ x,
                                                            struct stored from, struct columns g)
{
    int pack_at = blockIdx.x * g.lanes + threadIdx.x;
    int64_t first = blockIdx.y * g.chunk, end = min(first + g.chunk, g.rows);
    bool mine = pack_at < g.packs;
    int64_t at = mine ? (int64_t)pack_at * V : 0;
    float mean[V], scale[V], gamma[V], sum[V] = {}, product[V] = {};
    load_rstd(scale, from, (int)at);
    load_vector(mean, from.mean, at, 0);
    load_vector(gamma, from.gamma, at, 1);
#pragma unroll
    for (int v = 0; v < V; v++) scale[v] *= gamma[v];
#pragma unroll 2
    for (int64_t row = first + threadIdx.y; mine && row < end; row += g.row_lanes) {
        float gradient[V], value[V];
        load(gradient, dy + row * g.channels + at);
        load(value, x + row * g.channels + at);
#pragma unroll
        for (int v = 0; v < V; v++) {
            sum[v] += gradient[v];
            product[v] = fmaf(gradient[v], value[v] - mean[v], product[v]);
            gradient[v] *= scale[v];
        }
        if (dx) store(dx + row * g.channels + at, gradient);
    }
    columns_write(partial, g, sum, product);
}

struct infer_gradients {
    float *dgamma, *dbeta;
    bool add_gamma, add_beta;
};

static __global__ __launch_bounds__(JOIN_THREADS) void infer_bwd_join(struct infer_gradients to,
                                                                      const float *partial,
                                                                      struct stored from,
                                                                      struct columns g)
{
    int c = blockIdx.x * JOIN_CHANNELS + threadIdx.x, at = min(c, g.channels - 1);
    const float *sum_of = partial + at, *product_of = sum_of + (int64_t)g.chunks * g.channels;
    double sum = chunks_sum(g.chunks,
                            [&](int i) { return (double)sum_of[(int64_t)i * g.channels]; });
    double product = chunks_sum(g.chunks,
                                [&](int i) { return (double)product_of[(int64_t)i * g.channels]; });
    if (c >= g.channels || threadIdx.y > 0) return;
    double rstd = 1 / sqrt((double)from.variance[c] + (double)from.eps);
    if (to.dgamma) put_sum(to.dgamma + c, product * rstd, to.add_gamma);
    if (to.dbeta) put_sum(to.dbeta + c, sum, to.add_beta);
}

static bool infer_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 1, 1);
}

static bool infer_bwd_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 3, 1);
}

static enum code infer_bwd_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    const struct tensor *x = &call->in[1];
    call->workspace_bytes = (size_t)(8 * columns_floats(device, rows_of(x), width_of(x)));
    call->algorithm = "own";
    return OK;
}

// With a body(V, geometry) for this call.
template <class T, class Body>
static void with_columns(struct device *device, struct op_call *call, Body body)
{
    const struct tensor *x = &call->in[0];
    bool wide = width_of(x) % WIDE<T> == 0 && aligned_16(x->data, call->out[0].data);
    bool sums = call->op == OP_BATCH_NORM_INFER_BWD;
    if (sums) wide = wide && aligned_16(call->in[1].data);
    with_width<T>(wide, [&](auto vec) {
        body(vec, columns_of(device, rows_of(x), width_of(x), decltype(vec)::value,
                             sums ? SUMMING : APPLYING));
    });
}

static enum code infer_run(struct device *device, struct op_call *call, struct err *err)
{
    struct stored from = { in_data<const float>(call, 1), in_data<const float>(call, 2),
                           in_data<const float>(call, 3), in_data<const float>(call, 4),
                           call->attr->norm.eps };
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        with_columns<T>(device, call, [&](auto vec, struct columns g) {
            constexpr int V = decltype(vec)::value;
            dim3 grid((unsigned)g.tiles, (unsigned)g.chunks);
            dim3 block((unsigned)g.lanes, (unsigned)g.row_lanes);
            infer<T, V><<<grid, block, 0, cuda_stream(device)>>>(
                out_data<T>(call, 0), in_data<const T>(call, 0), from, g);
        });
    });
    return cuda_launched(call, err);
}

static enum code infer_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    struct stored from = { in_data<const float>(call, 2), nullptr, in_data<const float>(call, 3),
                           in_data<const float>(call, 4), call->attr->norm.eps };
    struct infer_gradients to = { out_data<float>(call, 1), out_data<float>(call, 2),
                                  (call->accumulate & 2) != 0, (call->accumulate & 4) != 0 };
    float *partial = static_cast<float *>(call->workspace);
    cudaStream_t stream = cuda_stream(device);
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        with_columns<T>(device, call, [&](auto vec, struct columns g) {
            constexpr int V = decltype(vec)::value;
            dim3 grid((unsigned)g.tiles, (unsigned)g.chunks);
            dim3 block((unsigned)g.lanes, (unsigned)g.row_lanes);
            infer_bwd<T, V><<<grid, block, 0, stream>>>(out_data<T>(call, 0), partial,
                                                        in_data<const T>(call, 0),
                                                        in_data<const T>(call, 1), from, g);
            infer_bwd_join<<<join_grid(g.channels), join_block(), 0, stream>>>(to, partial, from,
                                                                               g);
        });
    });
    return cuda_launched(call, err);
}

extern "C" const struct kernel cuda_batch_norm_infer = { infer_supports, nullptr, prepare_plain,
                                                         infer_run, nullptr };
extern "C" const struct kernel cuda_batch_norm_infer_bwd = { infer_bwd_supports, nullptr,
                                                             infer_bwd_prepare, infer_bwd_run,
                                                             nullptr };
