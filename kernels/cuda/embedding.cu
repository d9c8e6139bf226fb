// Embedding: rows of a table, and the sum of gradients per row.
//
// Launch: forward a thread a 16-byte pack; backward sorts (index, position) with a stable radix
// sort (CUB, part of the CUDA toolkit), so that each row's positions follow one another in their
// order, then a block sums each row that occurs, its positions dealt to groups that join in a tree.
// Bytes moved: forward the rows once and the output once; backward dy once, the table's gradient
// once (twice where rows occur), and about 40 bytes of sorting per index.
#include "kernels/cuda/reduce.cuh"

#include <cub/device/device_radix_sort.cuh>

template <class T, class Index, int V>
static __global__ __launch_bounds__(THREADS) void embedding(T *__restrict__ y,
                                                            const Index *__restrict__ index,
                                                            const T *__restrict__ table,
                                                            int64_t rows, unsigned packs,
                                                            unsigned units)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < units; i += gridDim.x * THREADS) {
        unsigned at = i / packs, p = i - at * packs;
        int64_t row = (int64_t)index[at];
        pack<T, V> value;
        if (row >= 0 && row < rows) {
            value = load_raw<V>(table + (row * packs + p) * V);
        } else {
#pragma unroll
            for (int v = 0; v < V; v++) value.at[v] = from_f32<T>(__int_as_float(0x7fffffff));
        }
        *reinterpret_cast<pack<T, V> *>(y + (int64_t)i * V) = value;
    }
}

template <class Body> static void with_index(enum dtype dtype, Body body)
{
    if (dtype == DTYPE_I64)
        body(int64_t());
    else
        body(int32_t());
}

static enum code embedding_run(struct device *device, struct op_call *call, struct err *err)
{
    int64_t count = shape_count(&call->in[0].shape), rows = call->in[1].shape.dim[0];
    int64_t width = call->in[1].shape.dim[1];
    with_float(call->in[1].dtype, [&](auto zero) {
        using T = decltype(zero);
        bool wide = width % WIDE<T> == 0 && aligned_16(call->in[1].data, call->out[0].data);
        with_width<T>(wide, [&](auto vec) {
            with_index(call->in[0].dtype, [&](auto number) {
                using Index = decltype(number);
                constexpr int V = decltype(vec)::value;
                int64_t units = count * (width / V);
                unsigned grid = grid_of(device, ceil_div(units, THREADS), SPREAD);
                embedding<T, Index, V><<<grid, THREADS, 0, cuda_stream(device)>>>(
                    out_data<T>(call, 0), in_data<const Index>(call, 0), in_data<const T>(call, 1),
                    rows, (unsigned)(width / V), (unsigned)units);
            });
        });
    });
    return cuda_launched(call, err);
}

// Elements are counted in 32 bits, with room for one stride of the grid.
static bool embedding_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    const struct tensor *table = &call->in[1];
    bool integer = call->in[0].dtype == DTYPE_I32 || call->in[0].dtype == DTYPE_I64;
    return integer && float_storage(table->dtype) && call->out[0].dtype == table->dtype &&
           shape_count(&call->in[0].shape) * table->shape.dim[1] < (int64_t)1 << 31;
}

// Sort key of each index; one outside the table sorts last.
template <class Index>
static __global__ __launch_bounds__(THREADS) void keys(uint32_t *key, uint32_t *position,
                                                       const Index *__restrict__ index,
                                                       unsigned count, int64_t rows)
{
    for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
        int64_t row = (int64_t)index[i];
        key[i] = (uint32_t)(row >= 0 && row < rows ? row : rows);
        position[i] = i;
    }
}

struct sorted {
    const uint32_t *key, *position;
    unsigned count, rows;
    int packs, lanes, groups;
    bool add;
};

// A block per first occurrence of a row; group `threadIdx.y` takes every groups-th position.
template <class To, class T, int V>
static __global__ __launch_bounds__(THREADS) void embedding_bwd(To *__restrict__ dtable,
                                                                const T *__restrict__ dy,
                                                                struct sorted s)
{
    __shared__ float box[V][THREADS];
    int thread = threadIdx.y * s.lanes + threadIdx.x;
    for (unsigned i = blockIdx.x; i < s.count; i += gridDim.x) {
        uint32_t row = s.key[i];
        if (row >= s.rows || (i > 0 && s.key[i - 1] == row)) continue;
        for (int first = 0; first < s.packs; first += s.lanes) {
            int p = first + (int)threadIdx.x;
            float sum[V] = {};
#pragma unroll 2
            for (unsigned j = i + threadIdx.y; j < s.count && s.key[j] == row; j += s.groups) {
                float value[V];
                if (p >= s.packs) break;
                load(value, dy + ((int64_t)s.position[j] * s.packs + p) * V);
#pragma unroll
                for (int v = 0; v < V; v++) sum[v] += value[v];
            }
#pragma unroll
            for (int v = 0; v < V; v++) box[v][thread] = sum[v];
            for (int half = s.groups / 2; half > 0; half /= 2) {
                __syncthreads();
                if (threadIdx.y >= half) continue;
#pragma unroll
                for (int v = 0; v < V; v++) box[v][thread] += box[v][thread + half * s.lanes];
            }
            if (threadIdx.y == 0 && p < s.packs) {
                To *to = dtable + ((int64_t)row * s.packs + p) * V;
                float there[V] = {};
                if (s.add) load(there, to);
#pragma unroll
                for (int v = 0; v < V; v++) there[v] += box[v][thread];
                store(to, there);
            }
            __syncthreads();
        }
    }
}

static int key_bits(int64_t rows)
{
    int bits = 1;
    while (rows >> bits) bits++;
    return bits;
}

// Bytes that the sort itself wants.
static size_t sort_bytes(int64_t count, int64_t rows)
{
    size_t bytes = 0;
    uint32_t *none = nullptr;
    (void)cub::DeviceRadixSort::SortPairs(nullptr, bytes, none, none, none, none, (int)count, 0,
                                          key_bits(rows));
    return bytes;
}

static enum code embedding_bwd_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)device, (void)err;
    int64_t count = shape_count(&call->in[1].shape);
    size_t sort = sort_bytes(count, call->out[0].shape.dim[0]);
    call->workspace_bytes = (size_t)(4 * align_128(count * 4)) + sort;
    call->algorithm = "own:sorted";
    return OK;
}

template <class To, class T>
static void sums_launch(struct device *device, struct op_call *call, struct sorted s)
{
    int64_t width = call->out[0].shape.dim[1];
    bool wide = width % WIDE<T> == 0 && aligned_16(call->in[0].data, call->out[0].data);
    with_width<T>(wide, [&](auto vec) {
        constexpr int V = decltype(vec)::value;
        s.packs = (int)(width / V);
        s.lanes = 1;
        while (s.lanes < s.packs && s.lanes < 32) s.lanes *= 2;
        s.groups = THREADS / s.lanes;
        dim3 block((unsigned)s.lanes, (unsigned)s.groups);
        unsigned grid = grid_of(device, s.count, SPREAD);
        embedding_bwd<To, T, V><<<grid, block, 0, cuda_stream(device)>>>(
            out_data<To>(call, 0), in_data<const T>(call, 0), s);
    });
}

static enum code embedding_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    int64_t count = shape_count(&call->in[1].shape), rows = call->out[0].shape.dim[0];
    int64_t list = align_128(count * 4) / 4;
    uint32_t *at = static_cast<uint32_t *>(call->workspace);
    uint32_t *key = at, *position = at + list, *keys_out = at + 2 * list, *order = at + 3 * list;
    cudaStream_t stream = cuda_stream(device);
    size_t bytes = call->workspace_bytes - (size_t)list * 16;
    bool add = call->accumulate & 1;
    if (!add)
        (void)cudaMemsetAsync(
            call->out[0].data, 0,
            (size_t)shape_count(&call->out[0].shape) * dtype_size(call->out[0].dtype), stream);
    with_index(call->in[1].dtype, [&](auto number) {
        using Index = decltype(number);
        keys<<<grid_of(device, ceil_div(count, THREADS), SPREAD), THREADS, 0, stream>>>(
            key, position, in_data<const Index>(call, 1), (unsigned)count, rows);
    });
    (void)cub::DeviceRadixSort::SortPairs(at + 4 * list, bytes, key, keys_out, position, order,
                                          (int)count, 0, key_bits(rows), stream);
    struct sorted s = { keys_out, order, (unsigned)count, (unsigned)rows, 0, 0, 0, add };
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        if (call->out[0].dtype == DTYPE_F32)
            sums_launch<float, T>(device, call, s);
        else
            sums_launch<T, T>(device, call, s);
    });
    return cuda_launched(call, err);
}

static bool embedding_bwd_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    enum dtype index = call->in[1].dtype, dtype = call->in[0].dtype, to = call->out[0].dtype;
    return (index == DTYPE_I32 || index == DTYPE_I64) && float_storage(dtype) &&
           (to == dtype || to == DTYPE_F32) && shape_count(&call->in[1].shape) < INT32_MAX / 2 &&
           call->out[0].shape.dim[0] < INT32_MAX && call->out[0].shape.dim[1] < INT32_MAX;
}

extern "C" const struct kernel cuda_embedding = { embedding_supports, nullptr, prepare_plain,
                                                  embedding_run, nullptr };
extern "C" const struct kernel cuda_embedding_bwd = { embedding_bwd_supports, nullptr,
                                                      embedding_bwd_prepare, embedding_bwd_run,
                                                      nullptr };
