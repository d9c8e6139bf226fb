// Casts between all types, and input normalisation.
//
// Launch: 256 threads, at most SPREAD blocks a processor, one 16-byte store a thread and turn.
// Casts between the fast types go through f32, the others element by element through f64, as the
// reference does. Bytes moved: the input once, the output once.
#include "kernels/cuda/launch.cuh"

// V elements of the output from as many of the input, both in one access where `wide`.
template <class To, class From, int V>
static __global__ __launch_bounds__(THREADS) void cast(To *__restrict__ y,
                                                       const From *__restrict__ x, int64_t count,
                                                       bool wide)
{
    int64_t step = (int64_t)gridDim.x * THREADS * V;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V; i < count; i += step) {
        float value[V];
        if (wide && i + V <= count) {
            load(value, x + i);
            store(y + i, value);
            continue;
        }
        for (int64_t k = i; k < count && k < i + V; k++) y[k] = from_f32<To>(to_f32(x[k]));
    }
}

static __device__ double element_get(const void *data, enum dtype dtype, int64_t at)
{
    switch (dtype) {
    case DTYPE_F32:
        return (double)static_cast<const float *>(data)[at];
    case DTYPE_BF16:
        return (double)to_f32(static_cast<const bf16 *>(data)[at]);
    case DTYPE_F16:
        return (double)to_f32(static_cast<const f16 *>(data)[at]);
    case DTYPE_F64:
        return static_cast<const double *>(data)[at];
    case DTYPE_I32:
        return (double)static_cast<const int32_t *>(data)[at];
    case DTYPE_I64:
        return (double)static_cast<const int64_t *>(data)[at];
    case DTYPE_U8:
        return (double)static_cast<const uint8_t *>(data)[at];
    default:
        return (double)static_cast<const int8_t *>(data)[at];
    }
}

// To nearest even, held to the range; not-a-number becomes 0.
static __device__ int64_t to_integer(double value, int64_t low, int64_t high)
{
    if (value != value) return 0;
    double whole = rint(value);
    if (whole <= (double)low) return low;
    if (whole >= (double)high) return high;
    return (int64_t)whole;
}

static __device__ void element_set(void *data, enum dtype dtype, int64_t at, double value)
{
    switch (dtype) {
    case DTYPE_F32:
        static_cast<float *>(data)[at] = (float)value;
        return;
    case DTYPE_BF16:
        static_cast<bf16 *>(data)[at] = __double2bfloat16(value);
        return;
    case DTYPE_F16:
        static_cast<f16 *>(data)[at] = __double2half(value);
        return;
    case DTYPE_F64:
        static_cast<double *>(data)[at] = value;
        return;
    case DTYPE_I32:
        static_cast<int32_t *>(data)[at] = (int32_t)to_integer(value, INT32_MIN, INT32_MAX);
        return;
    case DTYPE_I64:
        static_cast<int64_t *>(data)[at] = to_integer(value, INT64_MIN, INT64_MAX);
        return;
    case DTYPE_U8:
        static_cast<uint8_t *>(data)[at] = (uint8_t)to_integer(value, 0, UINT8_MAX);
        return;
    default:
        static_cast<int8_t *>(data)[at] = (int8_t)to_integer(value, INT8_MIN, INT8_MAX);
        return;
    }
}

static __global__ __launch_bounds__(THREADS) void cast_any(void *y, enum dtype to, const void *x,
                                                           enum dtype from, int64_t count)
{
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += step)
        element_set(y, to, i, element_get(x, from, i));
}

// Calls body with zeros of the output's and the input's type; a fast pair only.
template <class Body> static void with_pair(enum dtype to, enum dtype from, Body body)
{
    with_float(to, [&](auto y) {
        if (from == DTYPE_U8)
            body(y, uint8_t());
        else
            with_float(from, [&](auto x) { body(y, x); });
    });
}

static enum code cast_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *x = &call->in[0], *y = &call->out[0];
    int64_t count = shape_count(&y->shape);
    cudaStream_t stream = cuda_stream(device);
    bool fast = float_storage(y->dtype) && (float_storage(x->dtype) || x->dtype == DTYPE_U8);
    if (!fast) {
        unsigned grid = grid_of(device, ceil_div(count, THREADS), SPREAD);
        cast_any<<<grid, THREADS, 0, stream>>>(y->data, y->dtype, x->data, x->dtype, count);
        return cuda_launched(call, err);
    }
    with_pair(y->dtype, x->dtype, [&](auto to, auto from) {
        using To = decltype(to);
        using From = decltype(from);
        constexpr int V = sizeof(To) < sizeof(From) ? WIDE<From> : WIDE<To>;
        unsigned grid = grid_of(device, ceil_div(count, V * THREADS), SPREAD);
        cast<To, From, V><<<grid, THREADS, 0, stream>>>(out_data<To>(call, 0),
                                                        in_data<const From>(call, 0), count,
                                                        aligned_16(x->data, y->data));
    });
    return cuda_launched(call, err);
}

static bool cast_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call->in[0].layout == 0 && call->out[0].layout == 0;
}

// y = x scale[c] + shift[c]; the channel is found once per pack and walks on.
template <class To, class From, int V>
static __global__ __launch_bounds__(THREADS) void normalize(To *__restrict__ y,
                                                            const From *__restrict__ x,
                                                            const float *__restrict__ scale,
                                                            const float *__restrict__ shift,
                                                            int64_t count, int channels, bool wide)
{
    int64_t step = (int64_t)gridDim.x * THREADS * V;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V; i < count; i += step) {
        int c = (int)(i % channels);
        float value[V];
        bool whole = wide && i + V <= count;
        if (whole) load(value, x + i);
#pragma unroll
        for (int v = 0; v < V; v++) {
            if (!whole) value[v] = i + v < count ? to_f32(x[i + v]) : 0;
            value[v] = fmaf(value[v], scale[c], shift[c]);
            if (!whole && i + v < count) y[i + v] = from_f32<To>(value[v]);
            c = c + 1 == channels ? 0 : c + 1;
        }
        if (whole) store(y + i, value);
    }
}

static enum code normalize_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *x = &call->in[0], *y = &call->out[0];
    int64_t count = shape_count(&x->shape);
    with_pair(y->dtype, x->dtype, [&](auto to, auto from) {
        using To = decltype(to);
        using From = decltype(from);
        constexpr int V = sizeof(To) < sizeof(From) ? WIDE<From> : WIDE<To>;
        unsigned grid = grid_of(device, ceil_div(count, V * THREADS), SPREAD);
        normalize<To, From, V><<<grid, THREADS, 0, cuda_stream(device)>>>(
            out_data<To>(call, 0), in_data<const From>(call, 0), in_data<const float>(call, 1),
            in_data<const float>(call, 2), count, (int)width_of(x), aligned_16(x->data, y->data));
    });
    return cuda_launched(call, err);
}

static bool normalize_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    const struct tensor *x = &call->in[0];
    bool known = float_storage(x->dtype) || x->dtype == DTYPE_U8;
    return known && float_storage(call->out[0].dtype) && width_of(x) < INT32_MAX &&
           call->in[1].dtype == DTYPE_F32 && call->in[2].dtype == DTYPE_F32 && x->layout == 0;
}

extern "C" const struct kernel cuda_cast = { cast_supports, nullptr, prepare_plain, cast_run,
                                             nullptr };
extern "C" const struct kernel cuda_cast_bwd = { cast_supports, nullptr, prepare_plain, cast_run,
                                                 nullptr };
extern "C" const struct kernel cuda_normalize = { normalize_supports, nullptr, prepare_plain,
                                                  normalize_run, nullptr };
