// Sums in a fixed order: within a warp, within a block, over chunks of rows.
//
// No float atomics anywhere: threads combine in trees, chunks in their order, so that a result
// depends on shapes and the device alone. Across chunks sums are f64.
#pragma once

#include "kernels/cuda/launch.cuh"

struct sum_of {
    template <class N> __device__ N operator()(N a, N b) const
    {
        return a + b;
    }
};

// The larger one; not-a-number stays.
struct most_of {
    __device__ float operator()(float a, float b) const
    {
        return a > b || a != a ? a : b;
    }
};

template <class N, class Join> static __device__ __forceinline__ N warp_join(N value, Join join)
{
#pragma unroll
    for (int off = 16; off > 0; off /= 2)
        value = join(value, __shfl_xor_sync(0xffffffffu, value, off));
    return value;
}

// The same over a block of BLOCK threads in x; every thread gets the result. `box` is shared memory
// for BLOCK / 32 values, free again after the next barrier that the caller passes.
template <int BLOCK, class N, class Join>
static __device__ __forceinline__ N block_join(N value, N *box, Join join)
{
    value = warp_join(value, join);
    if constexpr (BLOCK > 32) {
        __syncthreads();
        if (threadIdx.x % 32 == 0) box[threadIdx.x / 32] = value;
        __syncthreads();
        value = box[0];
#pragma unroll
        for (int i = 1; i < BLOCK / 32; i++) value = join(value, box[i]);
    }
    return value;
}

// Adds two sums per channel over the row lanes of a block shaped by `columns` and writes them as
// the chunk's partial sums: partial [2][chunks][channels].
template <int V>
static __device__ __forceinline__ void columns_write(float *partial, const struct columns &g,
                                                     float (&a)[V], float (&b)[V])
{
    __shared__ float box[2][V][THREADS];
    int thread = threadIdx.y * g.lanes + threadIdx.x, pack = blockIdx.x * g.lanes + threadIdx.x;
#pragma unroll
    for (int v = 0; v < V; v++) {
        box[0][v][thread] = a[v];
        box[1][v][thread] = b[v];
    }
    for (int half = g.row_lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y >= half) continue;
#pragma unroll
        for (int v = 0; v < V; v++) {
            box[0][v][thread] += box[0][v][thread + half * g.lanes];
            box[1][v][thread] += box[1][v][thread + half * g.lanes];
        }
    }
    if (threadIdx.y > 0 || pack >= g.packs) return;
    float *to = partial + (int64_t)blockIdx.y * g.channels + (int64_t)pack * V;
#pragma unroll
    for (int v = 0; v < V; v++) {
        to[v] = box[0][v][thread];
        to[(int64_t)g.chunks * g.channels + v] = box[1][v][thread];
    }
}

// Mean and sum of squared deviations, joined by Chan's rule: nothing cancels, whatever the mean.
struct moments {
    float mean, m2;
};

static __device__ __forceinline__ struct moments join(struct moments a, struct moments b, float n_a,
                                                      float share)
{
    float delta = b.mean - a.mean;
    return { fmaf(delta, share, a.mean), fmaf(delta * delta * n_a, share, a.m2 + b.m2) };
}

// Rows that row lane `lane` of a chunk of `rows` rows has seen.
static __device__ __forceinline__ int rows_of_lane(int64_t rows, int lane, int lanes)
{
    return rows > lane ? (int)((rows - lane - 1) / lanes) + 1 : 0;
}

template <int V>
static __device__ __forceinline__ void moments_write(float *partial, const struct columns &g,
                                                     int64_t rows, struct moments (&own)[V])
{
    __shared__ struct moments box[V][THREADS];
    __shared__ int count[THREADS];
    int thread = threadIdx.y * g.lanes + threadIdx.x, pack = blockIdx.x * g.lanes + threadIdx.x;
    count[thread] = rows_of_lane(rows, threadIdx.y, g.row_lanes);
#pragma unroll
    for (int v = 0; v < V; v++) box[v][thread] = own[v];
    for (int half = g.row_lanes / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y >= half) continue;
        int other = thread + half * g.lanes, n_a = count[thread], n_b = count[other];
        if (n_b == 0) continue;
        float share = (float)n_b / (float)(n_a + n_b);
#pragma unroll
        for (int v = 0; v < V; v++)
            box[v][thread] = join(box[v][thread], box[v][other], (float)n_a, share);
        count[thread] = n_a + n_b;
    }
    if (threadIdx.y > 0 || pack >= g.packs) return;
    float *to = partial + (int64_t)blockIdx.y * g.channels + (int64_t)pack * V;
#pragma unroll
    for (int v = 0; v < V; v++) {
        to[v] = box[v][thread].mean;
        to[(int64_t)g.chunks * g.channels + v] = box[v][thread].m2;
    }
}

// Rows in groups: mean and deviations of a group in registers, then one join with what came before.
template <class T, int V>
static __global__ __launch_bounds__(THREADS) void columns_moments(float *partial,
                                                                  const T *__restrict__ x,
                                                                  struct columns g)
{
    constexpr int GROUP = V == 1 ? 8 : 32 / V;
    int pack_at = blockIdx.x * g.lanes + threadIdx.x;
    int64_t from = blockIdx.y * g.chunk, to = min(from + g.chunk, g.rows), row = from + threadIdx.y;
    struct moments own[V] = {};
    int64_t step = g.row_lanes;
    int seen = 0;
    x += (int64_t)pack_at * V;
    if (pack_at >= g.packs) row = to;
    for (; row + (GROUP - 1) * step < to; row += GROUP * step, seen += GROUP) {
        pack<T, V> raw[GROUP];
#pragma unroll
        for (int k = 0; k < GROUP; k++) raw[k] = load_raw<V>(x + (row + k * step) * g.channels);
        float share = __fdividef((float)GROUP, (float)(seen + GROUP));
#pragma unroll
        for (int v = 0; v < V; v++) {
            struct moments few = {};
#pragma unroll
            for (int k = 0; k < GROUP; k++) few.mean += to_f32(raw[k].at[v]);
            few.mean *= 1.0f / GROUP;
#pragma unroll
            for (int k = 0; k < GROUP; k++) {
                float off = to_f32(raw[k].at[v]) - few.mean;
                few.m2 = fmaf(off, off, few.m2);
            }
            own[v] = join(own[v], few, (float)seen, share);
        }
    }
    for (; row < to; row += step, seen++) {
        float value[V], share = 1.0f / (float)(seen + 1);
        load(value, x + row * g.channels);
#pragma unroll
        for (int v = 0; v < V; v++) own[v] = join(own[v], { value[v], 0 }, (float)seen, share);
    }
    moments_write(partial, g, to - from, own);
}

// How the small kernels that join chunks are launched: 32 channels wide, 32 chunks at a time.
enum { JOIN_CHANNELS = 32, JOIN_LANES = 32, JOIN_THREADS = JOIN_CHANNELS * JOIN_LANES };

// Σ over chunks of value(chunk) for the channel of threadIdx.x; every thread of the column gets it.
template <class Value> static __device__ __forceinline__ double chunks_sum(int chunks, Value value)
{
    __shared__ double box[JOIN_LANES][JOIN_CHANNELS];
    double sum = 0;
#pragma unroll 4
    for (int i = threadIdx.y; i < chunks; i += JOIN_LANES) sum += value(i);
    __syncthreads();
    box[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = 0;
#pragma unroll 8
    for (int i = 0; i < JOIN_LANES; i++) sum += box[i][threadIdx.x];
    return sum;
}

static inline dim3 join_grid(int64_t channels)
{
    return dim3((unsigned)ceil_div(channels, JOIN_CHANNELS));
}

static inline dim3 join_block(void)
{
    return dim3(JOIN_CHANNELS, JOIN_LANES);
}

// Where a sum goes that a row allows to be added to what is there.
static __device__ __forceinline__ void put_sum(float *to, double sum, bool add)
{
    *to = (float)(add ? (double)*to + sum : sum);
}

// One row of a [rows, width] tensor in the hands of LANES threads: a warp (several rows a block) or
// a whole block. Thread `lane` has the packs lane, lane + LANES, ..: K of them in registers, or
// with K = 0 any number in shared memory (or read again where the row does not fit). A thread sees
// only its own packs, so nothing needs a barrier.
enum { LONG_ROW = 256 };

template <class T, int V, int LANES, int K> struct row_packs {
    pack<T, V> held[K ? K : 1];
    const T *from;
    int packs, lane;

    // `cache` has room for the row, or is NULL; K > 0 does not use it.
    __device__ __forceinline__ void open(const T *row, int count, T *cache)
    {
        packs = count;
        lane = threadIdx.x % LANES;
        from = row;
        if constexpr (K > 0) {
#pragma unroll
            for (int k = 0; k < K; k++)
                if (lane + k * LANES < packs)
                    held[k] = load_raw<V>(row + (int64_t)(lane + k * LANES) * V);
        } else {
            if (!cache) return;
#pragma unroll 4
            for (int p = lane; p < packs; p += LANES)
                reinterpret_cast<pack<T, V> *>(cache)[p] = load_raw<V>(row + (int64_t)p * V);
            from = cache;
        }
    }

    // Pack k of this thread, whose place in the row is `p`.
    __device__ __forceinline__ pack<T, V> at(int k, int p) const
    {
        if constexpr (K > 0)
            return held[k];
        else
            return load_raw<V>(from + (int64_t)p * V);
    }

    // body(k, p, values) for each of this thread's packs.
    template <class Body> __device__ __forceinline__ void each(Body body) const
    {
        float value[V];
        if constexpr (K > 0) {
#pragma unroll
            for (int k = 0; k < K; k++) {
                int p = lane + k * LANES;
                if (p >= packs) break;
                unpack(value, held[k]);
                body(k, p, value);
            }
        } else {
#pragma unroll 2
            for (int p = lane; p < packs; p += LANES) {
                load(value, from + (int64_t)p * V);
                body(0, p, value);
            }
        }
    }
};

// Rows that a block of THREADS holds at a time, and the row of this thread.
template <int LANES> constexpr int ROWS_AT_ONCE = THREADS / LANES;

template <int LANES> static __device__ __forceinline__ int64_t first_row(void)
{
    return (int64_t)blockIdx.x * ROWS_AT_ONCE<LANES> + threadIdx.x / LANES;
}

template <int LANES> static __device__ __forceinline__ int64_t row_step(void)
{
    return (int64_t)gridDim.x * ROWS_AT_ONCE<LANES>;
}

// Calls body(V, LANES, K) as constants for rows of this width; K is at most MOST.
template <class T, int MOST = 4, class Body>
static void with_row(int64_t width, bool aligned, Body body)
{
    using std::integral_constant;
    with_width<T>(aligned && width % WIDE<T> == 0, [&](auto vec) {
        int64_t packs = width / decltype(vec)::value;
        if (packs <= 32)
            body(vec, integral_constant<int, 32>(), integral_constant<int, 1>());
        else if (packs <= 32 * MOST)
            body(vec, integral_constant<int, 32>(), integral_constant<int, MOST>());
        else
            body(vec, integral_constant<int, LONG_ROW>(), integral_constant<int, 0>());
    });
}

// Shared memory for `wanted` bytes if a block may have so much, else 0; raises the kernel's limit.
template <class Kernel>
static size_t shared_for(const struct device *device, Kernel *kernel, int64_t wanted)
{
    if (wanted > (int64_t)cuda_state_of(device)->shared_limit - 2048) return 0;
    if (wanted > 46 * 1024)
        (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   (int)wanted);
    return (size_t)wanted;
}
