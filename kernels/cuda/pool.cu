// Max and average pools over NHWC images, forward and backward.
//
// Launch: 256 threads, at most SPREAD blocks a processor; a thread makes one 16-byte pack of
// channels of one pixel. Backward gathers: an input pixel asks the outputs whose window lies over
// it, so that nothing is written twice. Bytes moved: the input once (windows that overlap meet in
// the caches), the output once, an index byte per output of a max pool.
#include "kernels/cuda/launch.cuh"

extern "C" {
#include "kernels/window.h"
}

struct pool {
    int in[2], out[2], size[2], stride[2], pad[2]; // height, width
    int channels, packs;
    unsigned units; // packs of the tensor that is written
    bool count_padding;
};

// Pack and pixel of a unit, in an image of `high` x `wide`.
struct spot {
    int64_t image;
    int h, w, pack;
};

static __device__ __forceinline__ struct spot spot_of(const struct pool &p, unsigned unit, int high,
                                                      int wide)
{
    unsigned pixel = unit / (unsigned)p.packs, line = pixel / (unsigned)wide;
    struct spot at;
    at.pack = (int)(unit - pixel * (unsigned)p.packs);
    at.w = (int)(pixel - line * (unsigned)wide);
    at.image = line / (unsigned)high;
    at.h = (int)(line - (unsigned)at.image * (unsigned)high);
    return at;
}

// Cells of an output's window that lie in the image, [from, to), and the place of cell 0.
struct cells {
    int from, to, place;
};

static __device__ __forceinline__ struct cells cells_of(const struct pool &p, int axis, int at)
{
    int place = at * p.stride[axis] - p.pad[axis];
    return { max(0, -place), min(p.size[axis], p.in[axis] - place), place };
}

// Outputs whose window lies over an input place: [from, to).
static __device__ __forceinline__ struct cells outputs_of(const struct pool &p, int axis, int place)
{
    int reach = place + p.pad[axis], least = reach - p.size[axis] + 1;
    int from = least > 0 ? (least + p.stride[axis] - 1) / p.stride[axis] : 0;
    return { from, min(p.out[axis], reach / p.stride[axis] + 1), reach };
}

template <class T, int V>
static __global__ __launch_bounds__(THREADS,
                                    4) void max_pool(T *__restrict__ y, uint8_t *__restrict__ index,
                                                     const T *__restrict__ x, struct pool p)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < p.units; i += gridDim.x * THREADS) {
        struct spot at = spot_of(p, i, p.out[0], p.out[1]);
        struct cells rows = cells_of(p, 0, at.h), columns = cells_of(p, 1, at.w);
        float best[V];
        uint8_t won[V];
        bool first = true;
        for (int r = rows.from; r < rows.to; r++) {
            int64_t line = (at.image * p.in[0] + rows.place + r) * p.in[1] + columns.place;
#pragma unroll 3
            for (int c = columns.from; c < columns.to; c++) {
                float value[V];
                load(value, x + (line + c) * p.channels + (int64_t)at.pack * V);
#pragma unroll
                for (int v = 0; v < V; v++) {
                    // Not-a-number wins, so that it does not vanish in a pool.
                    bool wins = first || value[v] > best[v] ||
                                (value[v] != value[v] && best[v] == best[v]);
                    if (wins) best[v] = value[v];
                    if (wins) won[v] = (uint8_t)(r * p.size[1] + c);
                }
                first = false;
            }
        }
        store(y + (int64_t)i * V, best);
        pack<uint8_t, V> raw;
#pragma unroll
        for (int v = 0; v < V; v++) raw.at[v] = won[v];
        if (index) *reinterpret_cast<pack<uint8_t, V> *>(index + (int64_t)i * V) = raw;
    }
}

template <class T, int V>
static __global__ __launch_bounds__(THREADS) void max_pool_bwd(T *__restrict__ dx,
                                                               const T *__restrict__ dy,
                                                               const uint8_t *__restrict__ index,
                                                               struct pool p)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < p.units; i += gridDim.x * THREADS) {
        struct spot at = spot_of(p, i, p.in[0], p.in[1]);
        struct cells rows = outputs_of(p, 0, at.h), columns = outputs_of(p, 1, at.w);
        float sum[V] = {};
        for (int r = rows.from; r < rows.to; r++) {
            int64_t line = (at.image * p.out[0] + r) * p.out[1];
            int cell_row = (rows.place - r * p.stride[0]) * p.size[1];
#pragma unroll 2
            for (int c = columns.from; c < columns.to; c++) {
                int64_t from = (line + c) * p.channels + (int64_t)at.pack * V;
                int cell = cell_row + columns.place - c * p.stride[1];
                pack<uint8_t, V> won = load_raw<V>(index + from);
                float value[V];
                load(value, dy + from);
#pragma unroll
                for (int v = 0; v < V; v++) sum[v] += won.at[v] == cell ? value[v] : 0;
            }
        }
        store(dx + (int64_t)i * V, sum);
    }
}

// 1 / what a window divides by: its real cells, or all.
static __device__ __forceinline__ float share(const struct pool &p, const struct cells &rows,
                                              const struct cells &columns)
{
    int real = (rows.to - rows.from) * (columns.to - columns.from);
    return 1 / (float)(p.count_padding ? p.size[0] * p.size[1] : real);
}

template <class T, int V>
static __global__ __launch_bounds__(THREADS) void avg_pool(T *__restrict__ y,
                                                           const T *__restrict__ x, struct pool p)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < p.units; i += gridDim.x * THREADS) {
        struct spot at = spot_of(p, i, p.out[0], p.out[1]);
        struct cells rows = cells_of(p, 0, at.h), columns = cells_of(p, 1, at.w);
        float sum[V] = {}, factor = share(p, rows, columns);
        for (int r = rows.from; r < rows.to; r++) {
            int64_t line = (at.image * p.in[0] + rows.place + r) * p.in[1] + columns.place;
#pragma unroll 3
            for (int c = columns.from; c < columns.to; c++) {
                float value[V];
                load(value, x + (line + c) * p.channels + (int64_t)at.pack * V);
#pragma unroll
                for (int v = 0; v < V; v++) sum[v] += value[v];
            }
        }
#pragma unroll
        for (int v = 0; v < V; v++) sum[v] *= factor;
        store(y + (int64_t)i * V, sum);
    }
}

template <class T, int V>
static __global__ __launch_bounds__(THREADS) void avg_pool_bwd(T *__restrict__ dx,
                                                               const T *__restrict__ dy,
                                                               struct pool p)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < p.units; i += gridDim.x * THREADS) {
        struct spot at = spot_of(p, i, p.in[0], p.in[1]);
        struct cells rows = outputs_of(p, 0, at.h), columns = outputs_of(p, 1, at.w);
        float sum[V] = {};
        for (int r = rows.from; r < rows.to; r++) {
            int64_t line = (at.image * p.out[0] + r) * p.out[1];
            struct cells window_rows = cells_of(p, 0, r);
#pragma unroll 2
            for (int c = columns.from; c < columns.to; c++) {
                float value[V], factor = share(p, window_rows, cells_of(p, 1, c));
                load(value, dy + (line + c) * p.channels + (int64_t)at.pack * V);
#pragma unroll
                for (int v = 0; v < V; v++) sum[v] = fmaf(value[v], factor, sum[v]);
            }
        }
        store(dx + (int64_t)i * V, sum);
    }
}

static bool backward(const struct op_call *call)
{
    return call->op == OP_MAX_POOL_BWD || call->op == OP_AVG_POOL_BWD;
}

static struct pool pool_of(const struct op_call *call, int vec)
{
    struct window w = pool_window(call->attr, &(backward(call) ? call->out : call->in)[0].shape);
    struct pool p = {};
    for (int axis = 0; axis < 2; axis++) {
        p.in[axis] = (int)w.in[axis];
        p.out[axis] = (int)w.out[axis];
        p.size[axis] = (int)w.size[axis];
        p.stride[axis] = (int)w.stride[axis];
        p.pad[axis] = (int)w.pad[2 * axis];
    }
    p.channels = (int)w.channels;
    p.packs = p.channels / vec;
    p.units = (unsigned)(shape_count(&call->out[0].shape) / vec);
    p.count_padding = call->attr->pool.count_padding;
    return p;
}

template <class T, int V> static void pool_launch(struct device *device, struct op_call *call)
{
    cudaStream_t stream = cuda_stream(device);
    struct pool p = pool_of(call, V);
    unsigned grid = grid_of(device, ceil_div(p.units, THREADS), SPREAD);
    T *to = out_data<T>(call, 0);
    const T *from = in_data<const T>(call, 0);
    switch (call->op) {
    case OP_MAX_POOL:
        max_pool<T, V><<<grid, THREADS, 0, stream>>>(to, out_data<uint8_t>(call, 1), from, p);
        return;
    case OP_MAX_POOL_BWD:
        max_pool_bwd<T, V>
            <<<grid, THREADS, 0, stream>>>(to, from, in_data<const uint8_t>(call, 1), p);
        return;
    case OP_AVG_POOL:
        avg_pool<T, V><<<grid, THREADS, 0, stream>>>(to, from, p);
        return;
    default:
        avg_pool_bwd<T, V><<<grid, THREADS, 0, stream>>>(to, from, p);
        return;
    }
}

static enum code pool_run(struct device *device, struct op_call *call, struct err *err)
{
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        bool wide = width_of(&call->in[0]) % WIDE<T> == 0 &&
                    aligned_16(call->in[0].data, call->out[0].data) &&
                    aligned_16(in_data<void>(call, 1), out_data<void>(call, 1));
        with_width<T>(wide, [&](auto vec) { pool_launch<T, decltype(vec)::value>(device, call); });
    });
    return cuda_launched(call, err);
}

// Elements are counted in 32 bits, with room for one stride of the grid.
static bool pool_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 1, 1) && shape_count(&call->in[0].shape) < (int64_t)1 << 31 &&
           shape_count(&call->out[0].shape) < (int64_t)1 << 31;
}

#define POOL                                                                                       \
    {                                                                                              \
        pool_supports, nullptr, prepare_plain, pool_run, nullptr                                   \
    }

extern "C" const struct kernel cuda_max_pool = POOL;
extern "C" const struct kernel cuda_max_pool_bwd = POOL;
extern "C" const struct kernel cuda_avg_pool = POOL;
extern "C" const struct kernel cuda_avg_pool_bwd = POOL;
