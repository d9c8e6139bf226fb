// Augmentation of image rows: flip and padded crop, with the draws of kernels/scalar.h.
//
// Launch: 256 threads, at most SPREAD blocks a processor; a thread makes one access (16 bytes, 4
// bytes or one element, whichever divides a line) of one image line and draws for its sample
// itself.
// Bytes moved: the input once, the output once.
#include "kernels/cuda/launch.cuh"
#include "kernels/scalar.h"

struct augment {
    const int64_t *ordinals;
    const struct step_block *block;
    uint64_t path;
    float probability;
    int pad, height, width, channels;
    unsigned units, units_per_line;
};

// Element `from` of the input line that an output line is made of; below 0: zeros.
struct source {
    int64_t line;
    int right;    // columns that the image moves left by
    bool mirrors; // columns run backwards
};

template <bool CROP>
static __device__ __forceinline__ struct source source_of(const struct augment &a, unsigned line)
{
    unsigned n = line / (unsigned)a.height;
    int h = (int)(line - n * (unsigned)a.height);
    uint64_t key = draw_key(a.block->seed, a.path, a.block->step);
    struct philox words = draw_words(key, a.ordinals[n], 0);
    if (!CROP) return { line, 0, flip_mirrors(words, a.probability) != 0 };
    int row = h + crop_shift(words, 0, a.pad);
    bool inside = row >= 0 && row < a.height;
    return { inside ? (int64_t)n * a.height + row : -1, crop_shift(words, 1, a.pad), false };
}

template <class Element, int V, bool CROP>
static __global__ __launch_bounds__(THREADS) void augment_lines(Element *__restrict__ y,
                                                                const Element *__restrict__ x,
                                                                struct augment a)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < a.units; i += gridDim.x * THREADS) {
        unsigned line = i / a.units_per_line, e = (i - line * a.units_per_line) * V;
        struct source from = source_of<CROP>(a, line);
        int w = (int)(e / (unsigned)a.channels), c = (int)(e - (unsigned)w * (unsigned)a.channels);
        const Element *row = x + from.line * a.width * a.channels;
        pack<Element, V> to;
#pragma unroll
        for (int v = 0; v < V; v++) {
            int column = from.mirrors ? a.width - 1 - w : w + from.right;
            bool inside = !CROP || (from.line >= 0 && column >= 0 && column < a.width);
            to.at[v] = inside ? row[column * a.channels + c] : (Element)0;
            c++;
            w += c == a.channels;
            c = c == a.channels ? 0 : c;
        }
        *reinterpret_cast<pack<Element, V> *>(y + (int64_t)i * V) = to;
    }
}

template <class Element, int V, bool CROP>
static void augment_launch(struct device *device, struct op_call *call)
{
    const int64_t *x = call->in[0].shape.dim;
    int64_t units_per_line = x[2] * x[3] / V, units = x[0] * x[1] * units_per_line;
    struct augment a = { in_data<const int64_t>(call, 1),
                         call->block,
                         call->attr->augment.path,
                         call->attr->augment.probability,
                         call->attr->augment.pad,
                         (int)x[1],
                         (int)x[2],
                         (int)x[3],
                         (unsigned)units,
                         (unsigned)units_per_line };
    unsigned grid = grid_of(device, ceil_div(units, THREADS), SPREAD);
    augment_lines<Element, V, CROP><<<grid, THREADS, 0, cuda_stream(device)>>>(
        out_data<Element>(call, 0), in_data<const Element>(call, 0), a);
}

template <class Element, bool CROP>
static void augment_width(struct device *device, struct op_call *call)
{
    const int64_t *x = call->in[0].shape.dim;
    int64_t line = x[2] * x[3] * (int64_t)sizeof(Element);
    bool aligned = aligned_16(call->out[0].data);
    if (aligned && line % 16 == 0)
        augment_launch<Element, WIDE<Element>, CROP>(device, call);
    else if (aligned && line % 4 == 0)
        augment_launch<Element, 4 / (int)sizeof(Element), CROP>(device, call);
    else
        augment_launch<Element, 1, CROP>(device, call);
}

// Elements are only moved, so types count by their size.
template <bool CROP>
static enum code augment_run(struct device *device, struct op_call *call, struct err *err)
{
    switch (dtype_size(call->in[0].dtype)) {
    case 1:
        augment_width<uint8_t, CROP>(device, call);
        break;
    case 2:
        augment_width<uint16_t, CROP>(device, call);
        break;
    default:
        augment_width<uint32_t, CROP>(device, call);
        break;
    }
    return cuda_launched(call, err);
}

// Elements are counted in 32 bits, with room for one stride of the grid.
static bool augment_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    const struct tensor *x = &call->in[0];
    return x->layout == 0 && dtype_size(x->dtype) < 8 && call->in[1].dtype == DTYPE_I64 &&
           shape_count(&x->shape) < (int64_t)1 << 31;
}

extern "C" const struct kernel cuda_flip = { augment_supports, nullptr, prepare_plain,
                                             augment_run<false>, nullptr };
extern "C" const struct kernel cuda_padded_crop = { augment_supports, nullptr, prepare_plain,
                                                    augment_run<true>, nullptr };
