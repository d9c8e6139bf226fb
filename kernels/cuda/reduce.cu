// Sums and means over a set of axes, the global average pool, and the repetition that is their
// gradient.
//
// Neighbouring axes of one kind are joined first. Launch: where the innermost axes stay, blocks of
// 256 threads `lanes` packs wide and `row_lanes` rows high; where they go, a warp or a block for
// each output. Few outputs are cut into chunks whose sums a small kernel joins in f64 in their
// order.
// Bytes moved: the input once and the output once, either way.
#include "kernels/cuda/reduce.cuh"

// The full tensor as kept and reduced dimensions without the innermost run, which is `columns` kept
// elements or `run` reduced ones.
struct axes {
    struct digits kept, gone;
    int64_t outer, columns, rows, run;
};

static struct axes axes_of(const struct shape *full, uint32_t mask)
{
    struct axes axes = {};
    axes.outer = axes.columns = axes.rows = axes.run = 1;
    int axis = full->rank - 1;
    bool inner_gone = full->rank > 0 && (mask >> axis & 1);
    int64_t stride = 1;
    for (; axis >= 0 && (bool)(mask >> axis & 1) == inner_gone; axis--) stride *= full->dim[axis];
    (inner_gone ? axes.run : axes.columns) = stride;
    for (; axis >= 0; axis--) {
        bool gone = mask >> axis & 1;
        digits_add(gone ? &axes.gone : &axes.kept, full->dim[axis], stride);
        (gone ? axes.rows : axes.outer) *= full->dim[axis];
        stride *= full->dim[axis];
    }
    return axes;
}

// Where sums go: an output of type T, or the partial sums of a chunk, f32 [chunks][outputs].
template <class T> struct sums {
    T *y;
    float *partial;
    int64_t outputs;
    int chunks;
    double share;
};

template <class T>
static __device__ __forceinline__ void put(const struct sums<T> &to, int chunk, int64_t at,
                                           float sum)
{
    if (to.chunks == 1)
        to.y[at] = from_f32<T>(sum * (float)to.share);
    else
        to.partial[chunk * to.outputs + at] = sum;
}

template <class T>
static __global__ __launch_bounds__(JOIN_THREADS) void sums_join(struct sums<T> to)
{
    int64_t at = (int64_t)blockIdx.x * JOIN_CHANNELS + threadIdx.x;
    int64_t from = min(at, to.outputs - 1);
    double sum = chunks_sum(to.chunks,
                            [&](int i) { return (double)to.partial[i * to.outputs + from]; });
    if (at < to.outputs && threadIdx.y == 0) to.y[at] = from_f32<T>((float)(sum * to.share));
}

// Block (tile and kept combination, chunk of reduced rows).
template <class T, int V>
static __global__ __launch_bounds__(THREADS) void reduce_columns(struct sums<T> to,
                                                                 const T *__restrict__ x,
                                                                 struct axes axes, struct columns g)
{
    __shared__ float box[V][THREADS];
    int tile = (int)(blockIdx.x % g.tiles), pack_at = tile * g.lanes + (int)threadIdx.x;
    unsigned k = blockIdx.x / g.tiles;
    int64_t from = blockIdx.y * g.chunk, end = min(from + g.chunk, g.rows);
    int thread = threadIdx.y * g.lanes + threadIdx.x;
    bool mine = pack_at < g.packs;
    float sum[V] = {};
    x += digits_offset(axes.kept, k) + (int64_t)pack_at * V;
#pragma unroll 4
    for (int64_t row = from + threadIdx.y; mine && row < end; row += g.row_lanes) {
        float value[V];
        load(value, x + digits_offset(axes.gone, (unsigned)row));
#pragma unroll
        for (int v = 0; v < V; v++) sum[v] += value[v];
    }
#pragma unroll
    for (int v = 0; v < V; v++) box[v][thread] = sum[v];
    for (int half = g.row_lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y >= half) continue;
#pragma unroll
        for (int v = 0; v < V; v++) box[v][thread] += box[v][thread + half * g.lanes];
    }
    if (threadIdx.y > 0 || !mine) return;
#pragma unroll
    for (int v = 0; v < V; v++)
        put(to, (int)blockIdx.y, (int64_t)k * g.channels + (int64_t)pack_at * V + v,
            box[v][thread]);
}

// A run of the chunk [from, end) of an output's packs, of which `run` make one row.
template <class T, int V, int LANES>
static __global__ __launch_bounds__(THREADS) void reduce_runs(struct sums<T> to,
                                                              const T *__restrict__ x,
                                                              struct axes axes, int64_t chunk)
{
    __shared__ float box[THREADS / 32];
    unsigned run = (unsigned)(axes.run / V);
    int64_t packs = axes.rows * run;
    for (int64_t item = first_row<LANES>(); item < to.outputs * to.chunks;
         item += row_step<LANES>()) {
        int64_t output = item / to.chunks, part = item % to.chunks;
        int64_t from = part * chunk, end = min(from + chunk, packs);
        const T *at = x + digits_offset(axes.kept, (unsigned)output);
        float sum = 0;
#pragma unroll 4
        for (int64_t j = from + threadIdx.x % LANES; j < end; j += LANES) {
            float value[V];
            unsigned row = axes.rows > 1 ? (unsigned)j / run : 0, c = (unsigned)j - row * run;
            load(value, at + digits_offset(axes.gone, row) + (int64_t)c * V);
#pragma unroll
            for (int v = 0; v < V; v++) sum += value[v];
        }
        sum = block_join<LANES>(sum, box, sum_of());
        if (threadIdx.x % LANES == 0) put(to, (int)part, output, sum);
    }
}

static bool global_pool(const struct op_call *call)
{
    return call->op == OP_GLOBAL_AVG_POOL || call->op == OP_GLOBAL_AVG_POOL_BWD;
}

static uint32_t axes_mask(const struct op_call *call)
{
    return global_pool(call) ? 6u : call->attr->reduce.axes;
}

static double share_of(const struct op_call *call, const struct axes *axes)
{
    bool sum = call->op == OP_REDUCE_SUM || call->op == OP_REDUCE_SUM_BWD;
    return sum ? 1 : 1 / ((double)axes->rows * (double)axes->run);
}

// Chunks of the reduced elements, so that every processor has some blocks; a chunk has work for a
// block. `items` are the blocks without chunks.
static int64_t chunk_of(const struct device *device, int64_t items, int64_t length, int64_t least)
{
    int64_t most = (int64_t)cuda_state_of(device)->processors * SUMMING / items;
    int64_t useful = ceil_div(length, least), chunks = useful < most ? useful : most;
    return ceil_div(length, chunks < 1 ? 1 : chunks);
}

static struct columns reduce_geometry(const struct device *device, const struct axes *axes, int vec)
{
    struct columns g = columns_of(device, axes->rows, axes->columns, vec, SUMMING);
    g.chunk = chunk_of(device, g.tiles * axes->outer, axes->rows, 8 * (int64_t)g.row_lanes);
    g.chunks = (int)ceil_div(axes->rows, g.chunk);
    return g;
}

static int64_t runs_chunk(const struct device *device, const struct axes *axes, int vec)
{
    return chunk_of(device, axes->outer, axes->rows * (axes->run / vec), 8 * THREADS);
}

static enum code reduce_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    struct axes axes = axes_of(&call->in[0].shape, axes_mask(call));
    int64_t most = 1;
    for (int vec = 1; vec <= 8; vec *= 2) {
        int64_t chunks = 1;
        if (axes.run > 1 && axes.run % vec == 0)
            chunks = ceil_div(axes.rows * (axes.run / vec), runs_chunk(device, &axes, vec));
        else if (axes.run == 1 && axes.columns % vec == 0)
            chunks = reduce_geometry(device, &axes, vec).chunks;
        if (chunks > most) most = chunks;
    }
    call->workspace_bytes = (size_t)(most > 1 ? most * axes.outer * axes.columns * 4 : 0);
    call->algorithm = "own";
    return OK;
}

template <class T, int V>
static void reduce_launch(struct device *device, struct op_call *call, const struct axes &axes)
{
    cudaStream_t stream = cuda_stream(device);
    const T *x = in_data<const T>(call, 0);
    struct sums<T> to = {
        out_data<T>(call, 0), static_cast<float *>(call->workspace), axes.outer *axes.columns, 1,
            share_of(call, &axes)
    };
    if (axes.run == 1) {
        struct columns g = reduce_geometry(device, &axes, V);
        dim3 grid((unsigned)(g.tiles * axes.outer), (unsigned)g.chunks);
        dim3 block((unsigned)g.lanes, (unsigned)g.row_lanes);
        to.chunks = g.chunks;
        reduce_columns<T, V><<<grid, block, 0, stream>>>(to, x, axes, g);
    } else {
        int64_t packs = axes.rows * (axes.run / V), chunk = runs_chunk(device, &axes, V);
        to.chunks = (int)ceil_div(packs, chunk);
        int64_t items = to.outputs * to.chunks;
        if (packs <= THREADS)
            reduce_runs<T, V, 32><<<grid_of(device, ceil_div(items, ROWS_AT_ONCE<32>), SPREAD),
                                    THREADS, 0, stream>>>(to, x, axes, chunk);
        else
            reduce_runs<T, V, THREADS>
                <<<grid_of(device, items, SPREAD), THREADS, 0, stream>>>(to, x, axes, chunk);
    }
    if (to.chunks > 1) sums_join<T><<<join_grid(to.outputs), join_block(), 0, stream>>>(to);
}

static enum code reduce_run(struct device *device, struct op_call *call, struct err *err)
{
    struct axes axes = axes_of(&call->in[0].shape, axes_mask(call));
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        bool wide = (axes.run > 1 ? axes.run : axes.columns) % WIDE<T> == 0;
        with_width<T>(wide && aligned_16(call->in[0].data), [&](auto vec) {
            reduce_launch<T, decltype(vec)::value>(device, call, axes);
        });
    });
    return cuda_launched(call, err);
}

// dx = dy share, each pack of dx where dy's digits say; KEPT: the innermost axes are dy's too.
template <class T, int V, bool KEPT>
static __global__ __launch_bounds__(THREADS) void repeat(T *__restrict__ dx,
                                                         const T *__restrict__ dy,
                                                         struct digits above, unsigned inner,
                                                         unsigned packs, float share)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < packs; i += gridDim.x * THREADS) {
        unsigned row = i / inner, c = i % inner;
        int64_t at = digits_offset(above, row) + (KEPT ? (int64_t)c * V : 0);
        float value[V];
        if constexpr (KEPT) {
            load(value, dy + at);
        } else {
            value[0] = to_f32(dy[at]);
#pragma unroll
            for (int v = 1; v < V; v++) value[v] = value[0];
        }
#pragma unroll
        for (int v = 0; v < V; v++) value[v] *= share;
        store(dx + (int64_t)i * V, value);
    }
}

// For each dimension of dx without the innermost run, its stride in dy (0 where it was reduced).
static struct digits digits_above(const struct shape *full, uint32_t mask)
{
    struct digits above = {};
    int axis = full->rank - 1;
    bool inner_gone = full->rank > 0 && (mask >> axis & 1);
    int64_t stride = 1;
    for (; axis >= 0 && (bool)(mask >> axis & 1) == inner_gone; axis--)
        if (!inner_gone) stride *= full->dim[axis];
    for (; axis >= 0; axis--) {
        bool gone = mask >> axis & 1;
        digits_add(&above, full->dim[axis], gone ? 0 : stride);
        if (!gone) stride *= full->dim[axis];
    }
    return above;
}

static enum code repeat_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct shape *full = &call->out[0].shape;
    struct axes axes = axes_of(full, axes_mask(call));
    struct digits above = digits_above(full, axes_mask(call));
    int64_t inner = axes.run > 1 ? axes.run : axes.columns, count = shape_count(full);
    float share = (float)share_of(call, &axes);
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        bool wide = inner % WIDE<T> == 0 && aligned_16(call->in[0].data, call->out[0].data);
        with_width<T>(wide, [&](auto vec) {
            constexpr int V = decltype(vec)::value;
            cudaStream_t stream = cuda_stream(device);
            unsigned grid = grid_of(device, ceil_div(count, V * THREADS), SPREAD);
            unsigned packs = (unsigned)(count / V);
            T *dx = out_data<T>(call, 0);
            const T *dy = in_data<const T>(call, 0);
            if (axes.run > 1)
                repeat<T, V, false><<<grid, THREADS, 0, stream>>>(
                    dx, dy, above, (unsigned)(inner / V), packs, share);
            else
                repeat<T, V, true><<<grid, THREADS, 0, stream>>>(
                    dx, dy, above, (unsigned)(inner / V), packs, share);
        });
    });
    return cuda_launched(call, err);
}

// Elements are counted in 32 bits, with room for one stride of the grid.
static bool reduce_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    enum dtype dtype = call->in[0].dtype;
    return float_storage(dtype) && call->out[0].dtype == dtype && call->in[0].layout == 0 &&
           shape_count(&call->in[0].shape) < (int64_t)1 << 31 &&
           shape_count(&call->out[0].shape) < (int64_t)1 << 31;
}

#define REDUCE                                                                                     \
    {                                                                                              \
        reduce_supports, nullptr, reduce_prepare, reduce_run, nullptr                              \
    }
#define REPEAT                                                                                     \
    {                                                                                              \
        reduce_supports, nullptr, prepare_plain, repeat_run, nullptr                               \
    }

extern "C" const struct kernel cuda_reduce_sum = REDUCE;
extern "C" const struct kernel cuda_reduce_mean = REDUCE;
extern "C" const struct kernel cuda_global_avg_pool = REDUCE;
extern "C" const struct kernel cuda_reduce_sum_bwd = REPEAT;
extern "C" const struct kernel cuda_reduce_mean_bwd = REPEAT;
extern "C" const struct kernel cuda_global_avg_pool_bwd = REPEAT;
