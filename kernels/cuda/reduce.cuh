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

// How the small kernels that join chunks are launched: 32 channels wide, 8 chunks at a time.
enum { JOIN_CHANNELS = 32, JOIN_LANES = 8 };

// Σ over chunks of value(chunk) for the channel of threadIdx.x; every thread of the column gets it.
template <class Value>
static __device__ __forceinline__ double chunks_sum(int chunks, Value value)
{
    __shared__ double box[JOIN_LANES][JOIN_CHANNELS];
    double sum = 0;
    for (int i = threadIdx.y; i < chunks; i += JOIN_LANES) sum += value(i);
    __syncthreads();
    box[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = 0;
#pragma unroll
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
