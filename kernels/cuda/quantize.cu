// Quantising to i8 with one scale for the whole tensor, plain and transposed.
//
// Launch: the largest magnitude by 256 threads, at most SPREAD blocks a processor, joined by one
// block; then tiles of 64 x 64, four elements an access, turned in shared memory.
// Bytes moved per element: x twice, one byte for each of the two results.
#include "kernels/cuda/reduce.cuh"

struct larger {
    __device__ float operator()(float a, float b) const
    {
        return fmaxf(a, b);
    }
};

// x of count elements, or partial maxima of earlier blocks.
template <class T, int V>
static __global__ __launch_bounds__(THREADS) void magnitude(float *most, const T *__restrict__ x,
                                                            int64_t count)
{
    __shared__ float box[THREADS / 32];
    int64_t step = (int64_t)gridDim.x * THREADS * V;
    float own = 0;
#pragma unroll 4
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V; i < count; i += step) {
        float value[V];
        load(value, x + i);
#pragma unroll
        for (int v = 0; v < V; v++) own = fmaxf(own, fabsf(value[v]));
    }
    own = block_join<THREADS>(own, box, larger());
    if (threadIdx.x == 0) most[blockIdx.x] = own;
}

enum { TILE = 64, ACCESS = 4 };

// In f64, as the reference: a quotient next to one half must fall on its side.
static __device__ __forceinline__ int8_t quantized(float x, float most)
{
    double whole = most > 0 ? rint((double)x * 127 / (double)most) : 0;
    if (whole != whole) return 0;
    return (int8_t)fmax(-128.0, fmin(127.0, whole));
}

struct matrix {
    int64_t rows, columns;
    unsigned tiles, across; // in all, and side by side
};

template <class T>
static __global__ __launch_bounds__(THREADS) void quantize(int8_t *__restrict__ to,
                                                           int8_t *__restrict__ turned,
                                                           const T *__restrict__ x,
                                                           const float *most, struct matrix m,
                                                           bool wide, bool wide_turned)
{
    __shared__ int8_t box[TILE][TILE + ACCESS];
    int side = (int)threadIdx.x * ACCESS;
    float amax = *most;
    for (unsigned t = blockIdx.x; t < m.tiles; t += gridDim.x) {
        int64_t row = (int64_t)(t / m.across) * TILE, column = (int64_t)(t % m.across) * TILE;
        for (int r = threadIdx.y; r < TILE && row + r < m.rows; r += THREADS * ACCESS / TILE) {
            int64_t at = (row + r) * m.columns + column + side, rest = m.columns - column - side;
            pack<int8_t, ACCESS> q = {};
            if (wide && rest >= ACCESS) {
                float value[ACCESS];
                load(value, x + at);
#pragma unroll
                for (int v = 0; v < ACCESS; v++) q.at[v] = quantized(value[v], amax);
                *reinterpret_cast<pack<int8_t, ACCESS> *>(to + at) = q;
            } else {
#pragma unroll
                for (int v = 0; v < ACCESS; v++)
                    if (v < rest) to[at + v] = q.at[v] = quantized(to_f32(x[at + v]), amax);
            }
            *reinterpret_cast<pack<int8_t, ACCESS> *>(&box[r][side]) = q;
        }
        __syncthreads();
        for (int c = threadIdx.y; c < TILE && column + c < m.columns;
             c += THREADS * ACCESS / TILE) {
            int64_t at = (column + c) * m.rows + row + side, rest = m.rows - row - side;
            pack<int8_t, ACCESS> q;
#pragma unroll
            for (int v = 0; v < ACCESS; v++) q.at[v] = box[side + v][c];
            if (wide_turned && rest >= ACCESS) {
                *reinterpret_cast<pack<int8_t, ACCESS> *>(turned + at) = q;
            } else {
#pragma unroll
                for (int v = 0; v < ACCESS; v++)
                    if (v < rest) turned[at + v] = q.at[v];
            }
        }
        __syncthreads();
    }
}

static enum code quantize_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    call->workspace_bytes = sizeof(float) * grid_of(device, INT64_MAX, 8);
    call->algorithm = "own";
    return OK;
}

static enum code quantize_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *x = &call->in[0];
    int64_t rows = x->shape.dim[0], columns = x->shape.dim[1], count = rows * columns;
    float *partial = static_cast<float *>(call->workspace), *amax = out_data<float>(call, 2);
    cudaStream_t stream = cuda_stream(device);
    int64_t across = ceil_div(columns, TILE), tiles = across * ceil_div(rows, TILE);
    struct matrix m = { rows, columns, (unsigned)tiles, (unsigned)across };
    bool aligned = aligned_16(x->data, call->out[0].data, call->out[1].data);
    with_float(x->dtype, [&](auto zero) {
        using T = decltype(zero);
        const T *from = in_data<const T>(call, 0);
        unsigned grid = grid_of(device, ceil_div(count, 4 * WIDE<T> * THREADS), 8);
        with_width<T>(aligned && count % WIDE<T> == 0, [&](auto vec) {
            magnitude<T, decltype(vec)::value><<<grid, THREADS, 0, stream>>>(partial, from, count);
        });
        magnitude<float, 1><<<1, THREADS, 0, stream>>>(amax, partial, grid);
        quantize<T><<<grid_of(device, tiles, SPREAD), dim3(TILE / ACCESS, THREADS * ACCESS / TILE),
                      0, stream>>>(out_data<int8_t>(call, 0), out_data<int8_t>(call, 1), from, amax,
                                   m, aligned && columns % ACCESS == 0,
                                   aligned && rows % ACCESS == 0);
    });
    return cuda_launched(call, err);
}

static bool quantize_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return float_storage(call->in[0].dtype) && call->in[0].shape.rank == 2 &&
           call->out[2].dtype == DTYPE_F32 && shape_count(&call->in[0].shape) < (int64_t)1 << 40;
}

extern "C" const struct kernel cuda_quantize = { quantize_supports, nullptr, quantize_prepare,
                                                 quantize_run, nullptr };
