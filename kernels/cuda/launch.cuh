// Launch geometry, and what the host side of a kernel asks about its call.
//
// Grids come from the processor count: a block loops over its share of the work. Where a block
// leaves a partial sum there are few blocks, elsewhere several times as many as are resident, so
// that the last ones leave no processor idle for long. Widths are decided at run, where the
// pointers are known; workspaces at prepare, for the widest geometry that run may choose.
#pragma once

#include "kernels/cuda/value.cuh"

enum { THREADS = 256, SPREAD = 32 };

static inline int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static inline int64_t align_128(int64_t bytes)
{
    return ceil_div(bytes, 128) * 128;
}

// Elements of the last dimension, and the product of the others.
static inline int64_t width_of(const struct tensor *tensor)
{
    return tensor->shape.rank > 0 ? tensor->shape.dim[tensor->shape.rank - 1] : 1;
}

static inline int64_t rows_of(const struct tensor *tensor)
{
    return shape_count(&tensor->shape) / width_of(tensor);
}

// Blocks for `work` block-sized pieces: at most `each` on a processor.
static inline unsigned grid_of(const struct device *device, int64_t work, int each)
{
    int64_t most = (int64_t)cuda_state_of(device)->processors * each;
    return (unsigned)(work < 1 ? 1 : work < most ? work : most);
}

static inline bool aligned_16(const void *a, const void *b = nullptr, const void *c = nullptr)
{
    return (((uintptr_t)a | (uintptr_t)b | (uintptr_t)c) & 15) == 0;
}

template <class T> static inline T *in_data(const struct op_call *call, int i)
{
    return call_has_in(call, i) ? static_cast<T *>(call->in[i].data) : nullptr;
}

template <class T> static inline T *out_data(const struct op_call *call, int i)
{
    return call_has_out(call, i) ? static_cast<T *>(call->out[i].data) : nullptr;
}

static inline bool float_storage(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16 || dtype == DTYPE_F16;
}

static inline bool integer_storage(enum dtype dtype)
{
    return dtype == DTYPE_I32 || dtype == DTYPE_I64 || dtype == DTYPE_U8 || dtype == DTYPE_I8;
}

// Whether tensor i of a list has the main type where `mask` says so, else f32 or an integer.
static inline bool tensor_fits(const struct tensor *tensor, bool main, enum dtype dtype)
{
    if (tensor->layout || shape_count(&tensor->shape) >= (int64_t)1 << 40) return false;
    return main ? tensor->dtype == dtype
                : tensor->dtype == DTYPE_F32 || integer_storage(tensor->dtype);
}

// The usual check: inputs and outputs in the masks have the (float) type of input 0, the others are
// f32 or integers; layouts are canonical; rows can be counted in 31 bits.
static inline bool call_fits(const struct op_call *call, uint32_t ins, uint32_t outs)
{
    enum dtype dtype = call->in[0].dtype;
    if (!float_storage(dtype)) return false;
    if (rows_of(&call->in[0]) >= INT32_MAX || width_of(&call->in[0]) >= INT32_MAX) return false;
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i) && !tensor_fits(&call->in[i], ins >> i & 1, dtype)) return false;
    for (int i = 0; i < call->outs; i++)
        if (call_has_out(call, i) && !tensor_fits(&call->out[i], outs >> i & 1, dtype))
            return false;
    return true;
}

// prepare of a kernel that needs no workspace.
static inline enum code prepare_plain(struct device *device, struct op_call *call, struct err *err)
{
    (void)device, (void)err;
    call->workspace_bytes = 0;
    call->algorithm = "own";
    return OK;
}

// A [rows, channels] tensor cut for sums over rows: a block of 256 threads is `lanes` packs wide
// and `row_lanes` rows high; block (x, y) takes a tile of channels and a chunk of rows.
struct columns {
    int64_t rows, chunk; // rows in all, rows of one chunk
    int channels, packs; // elements and packs of a row
    int lanes, row_lanes;
    int tiles, chunks;
};

// With at most `each` blocks a processor.
static inline struct columns columns_of(const struct device *device, int64_t rows, int64_t channels,
                                        int vec, int each)
{
    struct columns g = {};
    g.rows = rows;
    g.channels = (int)channels;
    g.packs = (int)(channels / vec);
    g.lanes = 1;
    while (g.lanes < g.packs && g.lanes < 32) g.lanes *= 2;
    g.row_lanes = THREADS / g.lanes;
    g.tiles = (int)ceil_div(g.packs, g.lanes);
    // Fewer than eight rows a thread would make the partial sums as costly as the sums.
    int64_t most = (int64_t)cuda_state_of(device)->processors * each / g.tiles;
    int64_t useful = ceil_div(rows, 8 * (int64_t)g.row_lanes);
    int64_t chunks = useful < most ? useful : most;
    g.chunk = ceil_div(rows, chunks < 1 ? 1 : chunks);
    g.chunks = (int)ceil_div(rows, g.chunk);
    return g;
}

// Blocks a processor where each leaves a partial sum, and where none does.
enum { SUMMING = 8, APPLYING = 16 };

// Floats of one partial sum per chunk and channel, whichever width run chooses.
static inline int64_t columns_floats(const struct device *device, int64_t rows, int64_t channels)
{
    int64_t most = 0;
    for (int vec = 1; vec <= 8; vec *= 2) {
        if (channels % vec) continue;
        struct columns g = columns_of(device, rows, channels, vec, SUMMING);
        if (g.chunks > most) most = g.chunks;
    }
    return align_128(most * channels * 4) / 4;
}

// Dimensions, innermost first, with a stride each: where the elements of one tensor lie in another.
struct digits {
    int rank;
    unsigned size[TENSOR_DIMS];
    int64_t stride[TENSOR_DIMS];
};

static __device__ __forceinline__ int64_t digits_offset(const struct digits &digits, unsigned index)
{
    int64_t offset = 0, outer = 0; // the outermost digit needs no division
#pragma unroll
    for (int i = 0; i < TENSOR_DIMS; i++) {
        if (i < digits.rank) outer = digits.stride[i];
        if (i + 1 >= digits.rank) break;
        unsigned rest = index / digits.size[i];
        offset += (index - rest * digits.size[i]) * digits.stride[i];
        index = rest;
    }
    return offset + index * outer;
}

// Adds an outer dimension; one that continues the last is joined with it.
static inline void digits_add(struct digits *digits, int64_t size, int64_t stride)
{
    int last = digits->rank - 1;
    if (size == 1) return;
    if (last >= 0 && stride == digits->stride[last] * digits->size[last]) {
        digits->size[last] *= (unsigned)size;
        return;
    }
    digits->size[digits->rank] = (unsigned)size;
    digits->stride[digits->rank++] = stride;
}
