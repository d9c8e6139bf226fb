// Maps from elements to elements: activations and their gradients, sums, products.
//
// Launch: 256 threads, at most SPREAD blocks a processor, each thread two 16-byte accesses per
// input in flight and a stride of the whole grid. Bytes moved: every input once, the output once.
#include "kernels/cuda/launch.cuh"

enum map_kind { MAP_ACT, MAP_SLOPE_OF_X, MAP_SLOPE_OF_Y, MAP_ADD, MAP_MULTIPLY };

// One element; `a` is x or dy, `b` what backward keeps or the second operand.
template <map_kind KIND, enum activation ACT>
static __device__ __forceinline__ float map_one(float a, float b)
{
    if constexpr (KIND == MAP_ACT)
        return act_value(ACT, a);
    else if constexpr (KIND == MAP_SLOPE_OF_X)
        return ACT == ACT_RELU ? (b > 0 ? a : 0) : a * act_slope(ACT, b);
    else if constexpr (KIND == MAP_SLOPE_OF_Y)
        return a * (ACT == ACT_TANH ? 1 - b * b : b * (1 - b));
    else if constexpr (KIND == MAP_ADD)
        return a + b;
    else
        return a * b;
}

// a and y may be one tensor, so neither is __restrict__.
template <map_kind KIND, enum activation ACT, class T, int V>
static __global__ __launch_bounds__(THREADS) void map(T *y, const T *a, const T *b, int64_t count)
{
    constexpr bool TWO = KIND != MAP_ACT;
    constexpr int AHEAD = 2;
    int64_t step = (int64_t)gridDim.x * THREADS;
    int64_t packs = count / V, i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    for (; i < packs; i += AHEAD * step) {
        pack<T, V> first[AHEAD], second[AHEAD];
#pragma unroll
        for (int k = 0; k < AHEAD; k++) {
            if (i + k * step >= packs) break;
            first[k] = load_raw<V>(a + (i + k * step) * V);
            if constexpr (TWO) second[k] = load_raw<V>(b + (i + k * step) * V);
        }
#pragma unroll
        for (int k = 0; k < AHEAD; k++) {
            if (i + k * step >= packs) break;
            float to[V];
#pragma unroll
            for (int v = 0; v < V; v++)
                to[v] = map_one<KIND, ACT>(to_f32(first[k].at[v]),
                                           TWO ? to_f32(second[k].at[v]) : 0.0f);
            store(y + (i + k * step) * V, to);
        }
    }
    // What does not fill a pack, at most V - 1 elements.
    int64_t at = packs * V + threadIdx.x;
    if (V > 1 && blockIdx.x == 0 && at < count)
        y[at] = from_f32<T>(map_one<KIND, ACT>(to_f32(a[at]), TWO ? to_f32(b[at]) : 0.0f));
}

template <map_kind KIND, enum activation ACT>
static enum code map_run(struct device *device, struct op_call *call, struct err *err)
{
    int64_t count = shape_count(&call->out[0].shape);
    bool wide = aligned_16(call->out[0].data, call->in[0].data, in_data<void>(call, 1));
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        with_width<T>(wide, [&](auto vec) {
            constexpr int V = decltype(vec)::value;
            unsigned grid = grid_of(device, ceil_div(count, 2 * V * THREADS), SPREAD);
            map<KIND, ACT, T, V><<<grid, THREADS, 0, cuda_stream(device)>>>(
                out_data<T>(call, 0), in_data<const T>(call, 0), in_data<const T>(call, 1), count);
        });
    });
    return cuda_launched(call, err);
}

static bool map_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call_fits(call, 3, 1);
}

#define MAP(name, kind, act)                                                                       \
    extern "C" const struct kernel cuda_##name = { map_supports, nullptr, prepare_plain,           \
                                                   map_run<kind, act>, nullptr }

MAP(relu, MAP_ACT, ACT_RELU);
MAP(gelu, MAP_ACT, ACT_GELU);
MAP(silu, MAP_ACT, ACT_SILU);
MAP(tanh, MAP_ACT, ACT_TANH);
MAP(sigmoid, MAP_ACT, ACT_SIGMOID);
MAP(relu_bwd, MAP_SLOPE_OF_X, ACT_RELU); /* y > 0 exactly where x > 0 */
MAP(gelu_bwd, MAP_SLOPE_OF_X, ACT_GELU);
MAP(silu_bwd, MAP_SLOPE_OF_X, ACT_SILU);
MAP(tanh_bwd, MAP_SLOPE_OF_Y, ACT_TANH);
MAP(sigmoid_bwd, MAP_SLOPE_OF_Y, ACT_SIGMOID);
MAP(add, MAP_ADD, ACT_NONE);
MAP(multiply, MAP_MULTIPLY, ACT_NONE);
