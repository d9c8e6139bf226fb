// Dropout and its gradient: the same draws, sample by sample, as on every device
// (kernels/scalar.h).
//
// Launch: 256 threads, at most SPREAD blocks a processor; a thread makes the draws of the elements
// of one 16-byte access, or of four elements where rows do not divide. Bytes moved: the input once,
// the output once; no mask is kept.
#include "kernels/cuda/launch.cuh"
#include "kernels/scalar.h"

struct dropout {
    const int64_t *ordinals;
    const struct step_block *block;
    uint64_t path;
    unsigned units, units_per_row; // groups of elements that one thread takes at a time
    int64_t width;
    float rate;
};

// x and y may be one tensor. WIDE_UNIT: whole packs; else four elements, the last ones of a row
// fewer.
template <class T, int V, bool WIDE_UNIT>
static __global__ __launch_bounds__(THREADS) void drop(T *y, const T *x, struct dropout d)
{
    uint64_t key = draw_key(d.block->seed, d.path, d.block->step);
    float factor = dropout_scale(d.rate);
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < d.units; i += gridDim.x * THREADS) {
        unsigned row = i / d.units_per_row, unit = i % d.units_per_row;
        int64_t ordinal = d.ordinals[row], from = (int64_t)unit * V, at = row * d.width + from;
        float value[V];
        if constexpr (WIDE_UNIT) {
            load(value, x + at);
        } else {
#pragma unroll
            for (int v = 0; v < V; v++) value[v] = from + v < d.width ? to_f32(x[at + v]) : 0;
        }
#pragma unroll
        for (int v = 0; v < V; v += 4) {
            struct philox words = draw_words(key, ordinal, (from + v) / 4);
#pragma unroll
            for (int k = 0; k < 4; k++)
                value[v + k] = dropout_keeps(words.word[k], d.rate) ? value[v + k] * factor : 0;
        }
        if constexpr (WIDE_UNIT) {
            store(y + at, value);
        } else {
#pragma unroll
            for (int v = 0; v < V; v++)
                if (from + v < d.width) y[at + v] = from_f32<T>(value[v]);
        }
    }
}

static enum code dropout_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *x = &call->in[0];
    int64_t rows = x->shape.dim[0], width = shape_inner(&x->shape, 1);
    with_float(x->dtype, [&](auto zero) {
        using T = decltype(zero);
        bool wide = width % WIDE<T> == 0 && aligned_16(x->data, call->out[0].data);
        int64_t units = ceil_div(width, wide ? WIDE<T> : 4);
        struct dropout d = {
            in_data<const int64_t>(call, 1), call->block,     call->attr->dropout.path,
            (unsigned)(rows * units),        (unsigned)units, width,
            call->attr->dropout.rate
        };
        unsigned grid = grid_of(device, ceil_div(rows * units, THREADS), SPREAD);
        cudaStream_t stream = cuda_stream(device);
        T *to = out_data<T>(call, 0);
        const T *from = in_data<const T>(call, 0);
        if (wide)
            drop<T, WIDE<T>, true><<<grid, THREADS, 0, stream>>>(to, from, d);
        else
            drop<T, 4, false><<<grid, THREADS, 0, stream>>>(to, from, d);
    });
    return cuda_launched(call, err);
}

// Units are counted in 32 bits, with room for one stride of the grid.
static bool dropout_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    const struct shape *x = &call->in[0].shape;
    return x->rank > 0 && float_storage(call->in[0].dtype) && call->in[1].dtype == DTYPE_I64 &&
           call->out[0].dtype == call->in[0].dtype &&
           x->dim[0] * ceil_div(shape_inner(x, 1), 4) < (int64_t)1 << 31;
}

extern "C" const struct kernel cuda_dropout = { dropout_supports, nullptr, prepare_plain,
                                                dropout_run, nullptr };
extern "C" const struct kernel cuda_dropout_bwd = { dropout_supports, nullptr, prepare_plain,
                                                    dropout_run, nullptr };
