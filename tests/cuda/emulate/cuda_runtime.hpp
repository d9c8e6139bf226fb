// The part of the CUDA language and runtime that pawl's own kernels use, on the CPU.
//
// A block's threads are fibers of one system thread; blocks run one after the other. A barrier
// waits for every thread that has not ended, a shuffle for its whole warp; a block in which nobody
// can go on ends the test. The order of the threads turns round from launch to launch, so that what
// depends on it gives other bits; dynamic shared memory comes poisoned.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __shared__ static
#define __restrict__ __restrict

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
    {
    }
};

struct uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

static inline float4 make_float4(float x, float y, float z, float w)
{
    return { x, y, z, w };
}

extern dim3 threadIdx, blockIdx, blockDim, gridDim;

enum { EMULATED_SHARED = 100 << 10 };

// Dynamic shared memory to poison before each block.
int emulated_dynamic(void *memory);

// Runs every block of a launch.
void emulated_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);

void __syncthreads(void);
// The 4 or 8 bytes of lane `from` of the caller's warp.
uint64_t emulated_exchange(uint64_t bits, int from);
int emulated_lane(void);

template <class N> static inline N emulated_shuffle(N value, int from)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emulated_exchange(bits, from);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <class N> static inline N __shfl_xor_sync(unsigned, N value, int mask)
{
    return emulated_shuffle(value, emulated_lane() ^ mask);
}

template <class N> static inline N __shfl_sync(unsigned, N value, int from)
{
    return emulated_shuffle(value, from);
}

template <class N> static inline N min(N a, N b)
{
    return b < a ? b : a;
}

template <class N> static inline N max(N a, N b)
{
    return a < b ? b : a;
}

static inline float __fdividef(float a, float b)
{
    return a / b;
}

static inline float __int_as_float(int bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

using std::isfinite;
using std::isnan;

typedef struct emulated_stream *cudaStream_t;
typedef int cudaError_t;
enum { cudaSuccess, cudaMemcpyDeviceToDevice, cudaFuncAttributeMaxDynamicSharedMemorySize };

static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, int,
                                          cudaStream_t)
{
    memmove(to, from, size);
    return cudaSuccess;
}

static inline cudaError_t cudaMemsetAsync(void *to, int value, size_t size, cudaStream_t)
{
    memset(to, value, size);
    return cudaSuccess;
}

template <class K> static inline cudaError_t cudaFuncSetAttribute(K *, int, int)
{
    return cudaSuccess;
}

// What `kernel<<<grid, block, shared, stream>>>(...)` is rewritten to.
template <class F> static inline void emulated(dim3 grid, dim3 block, F thread)
{
    emulated_launch(grid, block, 0, thread);
}

template <class F>
static inline void emulated(dim3 grid, dim3 block, size_t shared, cudaStream_t, F thread)
{
    emulated_launch(grid, block, shared, thread);
}
