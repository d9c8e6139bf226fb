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
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/library.cuh"

template <typename From, typename To, int V>
__global__ static void __launch_bounds__(THREADS)
    bias_act(To *y, const From *from, const float *__restrict__ bias, int64_t packs, int64_t width,
             enum activation act)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    int64_t column = i * V % width, step = stride * V % width;
    for (; i < packs; i += stride) {
        float value[V];
        load(value, from + i * V);
#pragma unroll
        for (int v = 0; v < V; v++)
            value[v] = act_value(act, value[v] + (bias ? bias[column + v] : 0));
        store(y + i * V, value);
        column += step;
        if (column >= width) column -= width;
    }
}

// Enough blocks to fill any card; the loops stride over the rest.
static unsigned int blocks_for(int64_t items)
{
    int64_t blocks = (items + THREADS - 1) / THREADS;
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
        bias_act<From, To, 4><<<blocks_for(count / 4), THREADS, 0, stream>>>(to, source, bias,
                                                                             count / 4, width, act);
    else
        bias_act<From, To, 1>
            <<<blocks_for(count), THREADS, 0, stream>>>(to, source, bias, count, width, act);
}

void finish_bias_act(cudaStream_t stream, const struct tensor *y, const void *from,
                     enum dtype from_dtype, const float *bias, int64_t width, enum activation act)
{
    with_float(y->dtype, [&](auto zero) {
        using T = decltype(zero);
        if (from_dtype == DTYPE_F32)
            start_bias_act<float, T>(stream, y, from, bias, width, act);
        else
            start_bias_act<T, T>(stream, y, from, bias, width, act);
    });
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
            sum += to_f32(dy[row * width + column]);
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= width) return;
#pragma unroll
    for (int i = 1; i < SUM_ROWS; i++) sum += sums[i][threadIdx.x];
    partial[blockIdx.y * width + column] = sum;
}

// sum [width] (+)= sum over slices, in f64 and in order: one thread a column.
__global__ static void __launch_bounds__(THREADS)
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
    with_float(dy->dtype, [&](auto zero) {
        slice_sums<<<grid, block, 0, stream>>>(
            partial, static_cast<const decltype(zero) *>(dy->data), rows, width);
    });
    unsigned int blocks = (unsigned int)((width + THREADS - 1) / THREADS);
    add_slices<<<blocks, THREADS, 0, stream>>>(sum, partial, slices, width, accumulate);
}

template <typename T>
__global__ static void __launch_bounds__(THREADS)
    widen_kernel(float *to, const T *from, int64_t count, bool add)
{
    int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        to[i] = to_f32(from[i]) + (add ? to[i] : 0);
}

void widen(cudaStream_t stream, float *to, const void *from, enum dtype from_dtype, int64_t count,
           bool add)
{
    with_float(from_dtype, [&](auto zero) {
        widen_kernel<<<blocks_for(count), THREADS, 0, stream>>>(
            to, static_cast<const decltype(zero) *>(from), count, add);
    });
}
