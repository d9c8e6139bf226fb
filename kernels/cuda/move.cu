// Ops that only move elements, of any type: concat, split, reshape, permute and its inverse.
//
// Launch: 256 threads, at most SPREAD blocks a processor. Elements are moved in units of up to 16
// bytes, the largest that divides every run and address. A permutation that moves the innermost
// axis goes through tiles in shared memory, so that reading and writing are both coalesced.
// Bytes moved: the input once, the output once; a reshape in place moves nothing.
#include "kernels/cuda/launch.cuh"

// Calls body with a zero of the largest unit whose size divides `bits` (sizes and addresses or-ed).
template <class Body> static void with_unit(uint64_t bits, Body body)
{
    if (bits % 16 == 0)
        body(uint4());
    else if (bits % 8 == 0)
        body(uint2());
    else if (bits % 4 == 0)
        body(uint32_t());
    else if (bits % 2 == 0)
        body(uint16_t());
    else
        body(uint8_t());
}

struct pieces {
    void *at[OP_INS];
    int64_t start[OP_INS], units[OP_INS]; // place and length within a row of the whole
    int64_t rows, row_units;
};

// Index: 32 bits where the whole has fewer units, so that a division is cheap.
template <class Unit, class Index, bool SPLIT>
static __global__ __launch_bounds__(THREADS) void join(Unit *whole,
                                                       const __grid_constant__ struct pieces pieces)
{
    int p = blockIdx.y;
    Unit *piece = static_cast<Unit *>(pieces.at[p]);
    Index units = (Index)pieces.units[p], count = (Index)pieces.rows * units;
    Index step = (Index)gridDim.x * THREADS;
    for (Index i = (Index)blockIdx.x * THREADS + threadIdx.x; i < count; i += step) {
        int64_t at = (int64_t)(i / units) * pieces.row_units + pieces.start[p] +
                     (int64_t)(i % units);
        if (SPLIT)
            piece[i] = whole[at];
        else
            whole[at] = piece[i];
    }
}

template <bool SPLIT>
static enum code join_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct tensor *whole = SPLIT ? &call->in[0] : &call->out[0];
    const struct tensor *list = SPLIT ? call->out : call->in;
    int axis = call->attr->concat.axis, count = SPLIT ? call->outs : call->ins;
    int64_t size = (int64_t)dtype_size(whole->dtype), longest = 0;
    int64_t row_bytes = shape_inner(&whole->shape, axis) * size;
    uint64_t bits = (uint64_t)row_bytes | (uintptr_t)whole->data;
    struct pieces pieces = {};
    pieces.rows = shape_count(&whole->shape) * size / row_bytes;
    for (int i = 0; i < count; i++) {
        pieces.at[i] = list[i].data;
        pieces.units[i] = shape_inner(&list[i].shape, axis) * size;
        bits |= (uint64_t)pieces.units[i] | (uintptr_t)list[i].data;
    }
    with_unit(bits, [&](auto zero) {
        using Unit = decltype(zero);
        int64_t start = 0, bytes = sizeof(Unit);
        pieces.row_units = row_bytes / bytes;
        for (int i = 0; i < count; i++) {
            pieces.units[i] /= bytes;
            pieces.start[i] = start;
            start += pieces.units[i];
            if (pieces.units[i] > longest) longest = pieces.units[i];
        }
        unsigned wide = grid_of(device, ceil_div(pieces.rows * longest, THREADS), SPREAD);
        dim3 grid(wide / (unsigned)count + 1, (unsigned)count);
        Unit *to = static_cast<Unit *>(whole->data);
        if (pieces.rows * pieces.row_units < (int64_t)1 << 31)
            join<Unit, uint32_t, SPLIT><<<grid, THREADS, 0, cuda_stream(device)>>>(to, pieces);
        else
            join<Unit, uint64_t, SPLIT><<<grid, THREADS, 0, cuda_stream(device)>>>(to, pieces);
    });
    return cuda_launched(call, err);
}

static bool move_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i) && call->in[i].layout) return false;
    if (call->out[0].layout) return false;
    return call->in[0].dtype == call->out[0].dtype;
}

static enum code copy_run(struct device *device, struct op_call *call, struct err *err)
{
    size_t bytes = (size_t)shape_count(&call->in[0].shape) * dtype_size(call->in[0].dtype);
    if (call->in[0].data != call->out[0].data)
        (void)cudaMemcpyAsync(call->out[0].data, call->in[0].data, bytes, cudaMemcpyDeviceToDevice,
                              cuda_stream(device));
    return cuda_launched(call, err);
}

// A permutation with joined axes: sizes of the output, innermost first, and strides in the input,
// in elements. `inner` is the axis that lies innermost in the input (0: it stays where it is).
struct order {
    struct digits to;
    int inner;
    unsigned inner_size;
    int64_t out_stride; // of `inner` in the output
    int64_t tiles[2];   // along the output's innermost axis and along `inner`
    int64_t batch;      // combinations of the other axes
};

static int tile_of(size_t size)
{
    return size <= 2 ? 64 : 32;
}

static struct order order_of(const struct op_call *call)
{
    bool back = call->op == OP_PERMUTE_BWD;
    const struct shape *in = &call->in[0].shape, *out = &call->out[0].shape;
    const int *order = call->attr->permute.order;
    struct order o = {};
    for (int axis = in->rank - 1; axis >= 0; axis--) {
        int from = order[axis];
        if (back) // the inverse: the place of `axis` in the order
            for (from = 0; order[from] != axis;) from++;
        digits_add(&o.to, out->dim[axis], shape_inner(in, from + 1));
    }
    o.out_stride = 1;
    o.batch = 1;
    if (o.to.rank == 0) { // one element
        o.to.size[0] = o.to.rank = 1;
        o.to.stride[0] = 1;
    }
    while (o.to.stride[o.inner] != 1) o.out_stride *= o.to.size[o.inner++];
    int tile = tile_of(dtype_size(call->in[0].dtype));
    o.tiles[0] = ceil_div(o.to.size[0], tile);
    o.inner_size = o.to.size[o.inner];
    o.tiles[1] = ceil_div(o.inner_size, tile);
    for (int i = 1; i < o.to.rank; i++)
        if (i != o.inner) o.batch *= o.to.size[i];
    return o;
}

// The innermost axis stays: units in the output's order, read where the digits say.
template <class Unit>
static __global__ __launch_bounds__(THREADS) void gather(Unit *__restrict__ y,
                                                         const Unit *__restrict__ x,
                                                         struct digits from, unsigned count)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS)
        y[i] = x[digits_offset(from, i)];
}

// Tiles of TILE x TILE elements: read along the input's innermost axis, written along the output's.
template <class Unit, int TILE>
static __global__ __launch_bounds__(THREADS) void transpose(Unit *__restrict__ y,
                                                            const Unit *__restrict__ x,
                                                            struct order o, unsigned tiles)
{
    constexpr int PAD = sizeof(Unit) < 4 ? 4 / (int)sizeof(Unit) : 1, STEP = THREADS / TILE;
    __shared__ Unit box[TILE][TILE + PAD];
    unsigned long_side = o.to.size[0], short_side = o.inner_size;
    for (unsigned t = blockIdx.x; t < tiles; t += gridDim.x) {
        unsigned first = t % (unsigned)o.tiles[0] * TILE, rest = t / (unsigned)o.tiles[0];
        unsigned second = rest % (unsigned)o.tiles[1] * TILE;
        int64_t from = 0, to = 0, stride = o.to.size[0];
        rest /= (unsigned)o.tiles[1];
#pragma unroll
        for (int i = 1; i < TENSOR_DIMS; i++) {
            if (i >= o.to.rank) break;
            unsigned size = o.to.size[i];
            if (i != o.inner) {
                from += rest % size * o.to.stride[i];
                to += rest % size * stride;
                rest /= size;
            }
            stride *= size;
        }
#pragma unroll 4
        for (unsigned i = threadIdx.y; i < TILE; i += STEP) {
            unsigned a = first + i, b = second + threadIdx.x;
            if (a < long_side && b < short_side)
                box[i][threadIdx.x] = x[from + a * o.to.stride[0] + b];
        }
        __syncthreads();
#pragma unroll 4
        for (unsigned i = threadIdx.y; i < TILE; i += STEP) {
            unsigned a = first + threadIdx.x, b = second + i;
            if (a < long_side && b < short_side) y[to + b * o.out_stride + a] = box[threadIdx.x][i];
        }
        __syncthreads();
    }
}

static void gather_launch(struct device *device, struct op_call *call, struct order o)
{
    int64_t size = (int64_t)dtype_size(call->in[0].dtype);
    int64_t bytes = shape_count(&call->in[0].shape) * size, run = o.to.size[0] * size;
    uint64_t bits = (uintptr_t)call->in[0].data | (uintptr_t)call->out[0].data | (uint64_t)run;
    for (int i = 1; i < o.to.rank; i++) bits |= (uint64_t)(o.to.stride[i] * size);
    with_unit(bits, [&](auto zero) {
        using Unit = decltype(zero);
        int64_t count = bytes / (int64_t)sizeof(Unit);
        o.to.size[0] = (unsigned)(run / (int64_t)sizeof(Unit));
        for (int i = 1; i < o.to.rank; i++)
            o.to.stride[i] = o.to.stride[i] * size / (int64_t)sizeof(Unit);
        unsigned grid = grid_of(device, ceil_div(count, THREADS), SPREAD);
        gather<Unit><<<grid, THREADS, 0, cuda_stream(device)>>>(
            out_data<Unit>(call, 0), in_data<const Unit>(call, 0), o.to, (unsigned)count);
    });
}

static enum code permute_run(struct device *device, struct op_call *call, struct err *err)
{
    struct order o = order_of(call);
    int64_t tiles = o.tiles[0] * o.tiles[1] * o.batch;
    if (o.inner == 0) {
        gather_launch(device, call, o);
        return cuda_launched(call, err);
    }
    with_unit(dtype_size(call->in[0].dtype), [&](auto zero) {
        using Unit = decltype(zero);
        constexpr int TILE = sizeof(Unit) <= 2 ? 64 : 32;
        unsigned grid = grid_of(device, tiles, SPREAD);
        transpose<Unit, TILE><<<grid, dim3(TILE, THREADS / TILE), 0, cuda_stream(device)>>>(
            out_data<Unit>(call, 0), in_data<const Unit>(call, 0), o, (unsigned)tiles);
    });
    return cuda_launched(call, err);
}

// Elements are counted in 32 bits, with room for one stride of the grid.
static bool permute_supports(const struct device *device, const struct op_call *call)
{
    return move_supports(device, call) && shape_count(&call->in[0].shape) < (int64_t)1 << 31;
}

extern "C" const struct kernel cuda_concat = { move_supports, nullptr, prepare_plain,
                                               join_run<false>, nullptr };
extern "C" const struct kernel cuda_split = { move_supports, nullptr, prepare_plain, join_run<true>,
                                              nullptr };
extern "C" const struct kernel cuda_reshape = { move_supports, nullptr, prepare_plain, copy_run,
                                                nullptr };
extern "C" const struct kernel cuda_permute = { permute_supports, nullptr, prepare_plain,
                                                permute_run, nullptr };
extern "C" const struct kernel cuda_permute_bwd = { permute_supports, nullptr, prepare_plain,
                                                    permute_run, nullptr };
