// What cuBLASLt and cuDNN leave to do: bias and activation after a product, the gradient of the
// bias, sums into an accumulated gradient.
//
//   finish_bias_act  one thread per 4 columns, grid-stride over rows; bytes: from + y once
//   column_sum       blocks of 32 columns x 8 rows over slices of rows, then one pass over the
//                    slices; bytes: dy once. Slices depend on the shape alone and are added in
//                    order, so equal input gives equal bits.
//   widen            one thread per element, grid-stride; bytes: from + to once
//
// Not measured: no distance to the bandwidth is claimed.
#include "kernels/cuda/library.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

static const int threads_per_block = 256;

__device__ static inline float load(const float *at)
{
    return *at;
}

__device__ static inline float load(const __nv_bfloat16 *at)
{
    return __bfloat162float(*at);
}

__device__ static inline float load(const __half *at)
{
    return __half2float(*at);
}

__device__ static inline void store(float *at, float value)
{
    *at = value;
}

__device__ static inline void store(__nv_bfloat16 *at, float value)
{
    *at = __float2bfloat16_rn(value);
}

__device__ static inline void store(__half *at, float value)
{
    *at = __float2half_rn(value);
}

// As kernels/ref/activation.c defines them; NaN stays NaN.
__device__ static inline float activate(float x, enum activation act)
{
    switch (act) {
    case ACT_RELU:
        return x < 0 ? 0.0f : x;
    case ACT_GELU:
        return 0.5f * x * (1 + erff(x * 0.70710678f));
    case ACT_SILU:
        return x / (1 + expf(-x));
    case ACT_TANH:
        return tanhf(x);
    case ACT_SIGMOID:
        return 1 / (1 + expf(-x));
    default:
        return x;
    }
}

// V values at once, aligned to their size.
template <typename T, int V> struct __align__(sizeof(T) * V) pack {
    T at[V];
};

template <typename From, typename To, int V>
__global__ static void __launch_bounds__(threads_per_block)
    bias_act(To *y, const From *from, const float *__restrict__ bias, int64_t packs,
             int64_t width, enum activation act)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t column = i * V % width, step = stride * V % width;
    for (; i < packs; i += stride) {
        pack<From, V> in = reinterpret_cast<const pack<From, V> *>(from)[i];
        pack<To, V> out;
#pragma unroll
        for (int v = 0; v < V; v++)
            store(&out.at[v], activate(load(&in.at[v]) + (bias ? bias[column + v] : 0), act));
        reinterpret_cast<pack<To, V> *>(y)[i] = out;
        column += step;
        if (column >= width) column -= width;
    }
}

// Enough blocks to fill any card; the loops stride over the rest.
static unsigned int blocks_for(int64_t items)
{
    int64_t blocks = (items + threads_per_block - 1) / threads_per_block;
    return (unsigned int)(blocks < 4096 ? blocks : 4096);
}

template <typename From, typename To>
static void start_bias_act(cudaStream_t stream, const struct tensor *y, const void *from,
                           const float *bias, int64_t width, enum activation act)
{
    int64_t count = shape_count(&y->shape);
    To *to = static_cast<To *>(y->data);
    const From *source = static_cast<const From *>(from);
    if (width % 4 == 0)
        bias_act<From, To, 4><<<blocks_for(count / 4), threads_per_block, 0, stream>>>(
            to, source, bias, count / 4, width, act);
    else
        bias_act<From, To, 1><<<blocks_for(count), threads_per_block, 0, stream>>>(
            to, source, bias, count, width, act);
}

void finish_bias_act(cudaStream_t stream, const struct tensor *y, const void *from,
                     enum dtype from_dtype, const float *bias, int64_t width, enum activation act)
{
    bool wide = from_dtype == DTYPE_F32;
    if (y->dtype == DTYPE_F32)
        start_bias_act<float, float>(stream, y, from, bias, width, act);
    else if (y->dtype == DTYPE_BF16 && wide)
        start_bias_act<float, __nv_bfloat16>(stream, y, from, bias, width, act);
    else if (y->dtype == DTYPE_BF16)
        start_bias_act<__nv_bfloat16, __nv_bfloat16>(stream, y, from, bias, width, act);
    else if (wide)
        start_bias_act<float, __half>(stream, y, from, bias, width, act);
    else
        start_bias_act<__half, __half>(stream, y, from, bias, width, act);
}

enum { SUM_COLUMNS = 32, SUM_ROWS = 8, SLICES_MOST = 1024, SLICE_LEAST = 64 };

static int64_t slices_for(int64_t rows)
{
    int64_t slices = (rows + SLICE_LEAST - 1) / SLICE_LEAST;
    return slices < SLICES_MOST ? slices : (int64_t)SLICES_MOST;
}

// partial [slices, width] = sums of dy [rows, width] over each slice of rows.
template <typename T>
__global__ static void __launch_bounds__(SUM_COLUMNS *SUM_ROWS)
    slice_sums(float *__restrict__ partial, const T *__restrict__ dy, int64_t rows, int64_t width)
{
    __shared__ float sums[SUM_ROWS][SUM_COLUMNS];
    int64_t column = (int64_t)blockIdx.x * SUM_COLUMNS + threadIdx.x;
    int64_t per_slice = (rows + gridDim.y - 1) / gridDim.y, first = blockIdx.y * per_slice;
    int64_t end = first + per_slice < rows ? first + per_slice : rows;
    float sum = 0;
    if (column < width)
        for (int64_t row = first + threadIdx.y; row < end; row += SUM_ROWS)
            sum += load(&dy[row * width + column]);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= width) return;
#pragma unroll
    for (int i = 1; i < SUM_ROWS; i++) sum += sums[i][threadIdx.x];
    partial[blockIdx.y * width + column] = sum;
}

// sum [width] (+)= sum over slices, in f64 and in order: one thread a column.
__global__ static void __launch_bounds__(threads_per_block)
    add_slices(float *__restrict__ sum, const float *__restrict__ partial, int64_t slices,
               int64_t width, bool accumulate)
{
    int64_t column = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    double total = accumulate ? sum[column] : 0;
    for (int64_t i = 0; i < slices; i++) total += partial[i * width + column];
    sum[column] = (float)total;
}

size_t column_sum_bytes(int64_t rows, int64_t width)
{
    return (size_t)(slices_for(rows) * width) * sizeof(float);
}

void column_sum(cudaStream_t stream, float *sum, const struct tensor *dy, int64_t width,
                bool accumulate, float *partial)
{
    int64_t rows = shape_count(&dy->shape) / width, slices = slices_for(rows);
    dim3 grid((unsigned int)((width + SUM_COLUMNS - 1) / SUM_COLUMNS), (unsigned int)slices);
    dim3 block(SUM_COLUMNS, SUM_ROWS);
    if (dy->dtype == DTYPE_F32)
        slice_sums<<<grid, block, 0, stream>>>(partial, static_cast<const float *>(dy->data), rows,
                                               width);
    else if (dy->dtype == DTYPE_BF16)
        slice_sums<<<grid, block, 0, stream>>>(
            partial, static_cast<const __nv_bfloat16 *>(dy->data), rows, width);
    else
        slice_sums<<<grid, block, 0, stream>>>(partial, static_cast<const __half *>(dy->data), rows,
                                               width);
    unsigned int blocks = (unsigned int)((width + threads_per_block - 1) / threads_per_block);
    add_slices<<<blocks, threads_per_block, 0, stream>>>(sum, partial, slices, width, accumulate);
}

template <typename T>
__global__ static void __launch_bounds__(threads_per_block)
    to_f32(float *__restrict__ to, const T *__restrict__ from, int64_t count, bool add)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        to[i] = load(&from[i]) + (add ? to[i] : 0);
}

void widen(cudaStream_t stream, float *to, const void *from, enum dtype from_dtype, int64_t count,
           bool add)
{
    unsigned int blocks = blocks_for(count);
    if (from_dtype == DTYPE_F32)
        to_f32<<<blocks, threads_per_block, 0, stream>>>(to, static_cast<const float *>(from),
                                                         count, add);
    else if (from_dtype == DTYPE_BF16)
        to_f32<<<blocks, threads_per_block, 0, stream>>>(
            to, static_cast<const __nv_bfloat16 *>(from), count, add);
    else
        to_f32<<<blocks, threads_per_block, 0, stream>>>(to, static_cast<const __half *>(from),
                                                         count, add);
}
