// Scaled dot-product attention, its log-sum-exp and its gradients, in tiles that never write the
// scores out (Dao et al. 2022).
//
// Launch: a block of 8 warps takes 8 rows of one head, a warp each; tiles of 32 rows of the other
// side pass through shared memory in f32. A lane scores one row of the tile, then owns every 32nd
// element of the width. Forward and dq walk the keys, dk and dv the queries of all heads that share
// the key head, so that no result is written twice and the order is fixed.
// Bytes moved: q, dy, y and results once; k and v (or q and dy) once per 8 rows of the other side,
// mostly from the second cache. Sums are f32 on the ordinary units, a tile's first: this is the
// op in all types and shapes up to a width of 256, not the fastest one.
#include "kernels/cuda/reduce.cuh"

#include <cmath>

enum { ROWS = THREADS / 32, TILE = 32, WIDEST = 256 };

extern __shared__ __align__(16) float attention_tiles[];

struct heads {
    int64_t queries, keys, batch;
    int heads, group, width; // `group` query heads share a key head
    float scale;
    bool causal;
};

// Which rows a block is for: `tile` of 8, of this head and batch element.
struct place {
    int64_t tile, batch;
    int head;
};

static __device__ __forceinline__ struct place place_of(int64_t rows, int heads)
{
    int64_t tiles = (rows + ROWS - 1) / ROWS, rest = blockIdx.x / tiles;
    return { blockIdx.x - rest * tiles, rest / heads, (int)(rest % heads) };
}

// Elements from one row of a head to the next, and the first element of row 0.
static __device__ __forceinline__ int64_t stride_of(const struct heads &h, bool query)
{
    return (int64_t)(query ? h.heads : h.heads / h.group) * h.width;
}

static __device__ __forceinline__ int64_t start_of(const struct heads &h, bool query, int64_t batch,
                                                   int head)
{
    int64_t rows = query ? h.queries : h.keys;
    return batch * rows * stride_of(h, query) + (int64_t)head * h.width;
}

// Keys that query t sees.
static __device__ __forceinline__ int64_t seen(const struct heads &h, int64_t t)
{
    return h.causal ? t + h.keys - h.queries + 1 : h.keys;
}

// TILE rows into shared memory, an element apart so that lanes meet different banks; rows past the
// end are zero.
template <class T>
static __device__ __forceinline__ void load_tile(float *to, const T *from, int64_t stride,
                                                 int64_t rows, int width)
{
    for (int i = threadIdx.x; i < TILE * width; i += THREADS) {
        int row = i / width, d = i - row * width;
        to[row * (width + 1) + d] = row < rows ? to_f32(from[row * stride + d]) : 0;
    }
}

// A warp's own row into shared memory.
template <class T>
static __device__ __forceinline__ void load_row(float *to, const T *from, int width)
{
    for (int d = threadIdx.x % 32; d < width; d += 32) to[d] = to_f32(from[d]);
}

static __device__ __forceinline__ float dot(const float *a, const float *b, int width)
{
    float sum = 0;
    for (int d = 0; d < width; d++) sum = fmaf(a[d], b[d], sum);
    return sum;
}

// part[i] = sum over the tile's rows of the lane's share times its elements lane + 32 i.
template <int N>
static __device__ __forceinline__ void spread(float (&part)[N], float share, const float *tile,
                                              int width)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < N; i++) part[i] = 0;
    for (int j = 0; j < TILE; j++) {
        float one = __shfl_sync(0xffffffffu, share, j);
#pragma unroll
        for (int i = 0; i < N; i++)
            if (lane + 32 * i < width)
                part[i] = fmaf(one, tile[j * (width + 1) + lane + 32 * i], part[i]);
    }
}

template <class T, int N>
static __device__ __forceinline__ void put_row(T *to, const float (&value)[N], float factor,
                                               int width)
{
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < N; i++)
        if (lane + 32 * i < width) to[lane + 32 * i] = from_f32<T>(value[i] * factor);
}

template <class T, int N>
static __global__ __launch_bounds__(THREADS, 2) void attention(T *y, float *lse, const T *q,
                                                               const T *k, const T *v,
                                                               struct heads h)
{
    struct place at = place_of(h.queries, h.heads);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, key_head = at.head / h.group;
    float *keys = attention_tiles, *values = keys + TILE * (h.width + 1);
    float *own = values + TILE * (h.width + 1) + warp * h.width;
    int64_t first = at.tile * ROWS, t = first + warp;
    bool live = t < h.queries;
    int64_t row = start_of(h, true, at.batch, at.head) + t * stride_of(h, true);
    int64_t other = start_of(h, false, at.batch, key_head), stride = stride_of(h, false);
    int64_t last_row = first + ROWS <= h.queries ? first + ROWS - 1 : h.queries - 1;
    int64_t last = seen(h, last_row), count = live ? seen(h, t) : 0;
    float most = -INFINITY, total = 0, sum[N] = {};
    if (live) load_row(own, q + row, h.width);
    for (int64_t s = 0; s < last; s += TILE) {
        __syncthreads();
        load_tile(keys, k + other + s * stride, stride, h.keys - s, h.width);
        load_tile(values, v + other + s * stride, stride, h.keys - s, h.width);
        __syncthreads();
        if (s >= count) continue; // the whole warp
        bool sees = s + lane < count;
        float score = sees ? h.scale * dot(own, keys + lane * (h.width + 1), h.width) : -INFINITY;
        float peak = most_of()(most, warp_join(score, most_of())), part[N];
        float share = sees ? expf(score - peak) : 0, fade = expf(most - peak);
        total = total * fade + warp_join(share, sum_of());
        spread(part, share, values, h.width);
#pragma unroll
        for (int i = 0; i < N; i++) sum[i] = sum[i] * fade + part[i];
        most = peak;
    }
    if (!live) return;
    put_row(y + row, sum, 1 / total, h.width);
    if (lane == 0) lse[(at.batch * h.heads + at.head) * h.queries + t] = most + logf(total);
}

// delta [B, h, T] = sum over the width of dy y: a warp a row.
template <class T>
static __global__ __launch_bounds__(THREADS) void attention_delta(float *delta, const T *dy,
                                                                  const T *y, struct heads h)
{
    int64_t rows = h.batch * h.queries * h.heads, step = (int64_t)gridDim.x * ROWS;
    for (int64_t r = (int64_t)blockIdx.x * ROWS + threadIdx.x / 32; r < rows; r += step) {
        int64_t head = r % h.heads, t = r / h.heads % h.queries, b = r / h.heads / h.queries;
        float sum = 0;
        for (int d = threadIdx.x % 32; d < h.width; d += 32)
            sum = fmaf(to_f32(dy[r * h.width + d]), to_f32(y[r * h.width + d]), sum);
        sum = warp_join(sum, sum_of());
        if (threadIdx.x % 32 == 0) delta[(b * h.heads + head) * h.queries + t] = sum;
    }
}

// What backward reads beside q, k, v.
template <class T> struct above {
    const T *dy;
    const float *lse, *delta;
};

template <class T, int N>
static __global__ __launch_bounds__(THREADS, 2) void attention_dq(T *dq, const T *q, const T *k,
                                                                  const T *v, struct above<T> above,
                                                                  struct heads h)
{
    struct place at = place_of(h.queries, h.heads);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, key_head = at.head / h.group;
    float *keys = attention_tiles, *values = keys + TILE * (h.width + 1);
    float *own = values + TILE * (h.width + 1) + 2 * warp * h.width, *own_dy = own + h.width;
    int64_t first = at.tile * ROWS, t = first + warp;
    bool live = t < h.queries;
    int64_t row = start_of(h, true, at.batch, at.head) + t * stride_of(h, true);
    int64_t other = start_of(h, false, at.batch, key_head), stride = stride_of(h, false);
    int64_t last_row = first + ROWS <= h.queries ? first + ROWS - 1 : h.queries - 1;
    int64_t last = seen(h, last_row), count = live ? seen(h, t) : 0;
    float lse = 0, delta = 0, sum[N] = {};
    if (live) {
        int64_t one = (at.batch * h.heads + at.head) * h.queries + t;
        lse = above.lse[one], delta = above.delta[one];
        load_row(own, q + row, h.width);
        load_row(own_dy, above.dy + row, h.width);
    }
    for (int64_t s = 0; s < last; s += TILE) {
        __syncthreads();
        load_tile(keys, k + other + s * stride, stride, h.keys - s, h.width);
        load_tile(values, v + other + s * stride, stride, h.keys - s, h.width);
        __syncthreads();
        if (s >= count) continue; // the whole warp
        float slope = 0, part[N];
        if (s + lane < count) {
            const float *key = keys + lane * (h.width + 1), *value = values + lane * (h.width + 1);
            float share = expf(h.scale * dot(own, key, h.width) - lse);
            slope = h.scale * share * (dot(own_dy, value, h.width) - delta);
        }
        spread(part, slope, keys, h.width);
#pragma unroll
        for (int i = 0; i < N; i++) sum[i] += part[i];
    }
    if (live) put_row(dq + row, sum, 1, h.width);
}

template <class T, int N>
static __global__ __launch_bounds__(THREADS, 2) void attention_dkv(T *dk, T *dv, const T *q,
                                                                   const T *k, const T *v,
                                                                   struct above<T> above,
                                                                   struct heads h)
{
    struct place at = place_of(h.keys, h.heads / h.group);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float *queries = attention_tiles, *slopes = queries + TILE * (h.width + 1);
    float *own = slopes + TILE * (h.width + 1) + 2 * warp * h.width, *own_value = own + h.width;
    int64_t first = at.tile * ROWS, s = first + warp;
    bool live = s < h.keys;
    int64_t row = start_of(h, false, at.batch, at.head) + s * stride_of(h, false);
    int64_t stride = stride_of(h, true);
    // The first query that sees the block's first key.
    int64_t from = h.causal ? first - (h.keys - h.queries) : 0;
    float sum_k[N] = {}, sum_v[N] = {};
    if (live) {
        load_row(own, k + row, h.width);
        load_row(own_value, v + row, h.width);
    }
    from = from < 0 ? 0 : from / TILE * TILE;
    for (int head = at.head * h.group; head < (at.head + 1) * h.group; head++) {
        int64_t other = start_of(h, true, at.batch, head);
        int64_t marks = (at.batch * h.heads + head) * h.queries;
        for (int64_t t = from; t < h.queries; t += TILE) {
            __syncthreads();
            load_tile(queries, q + other + t * stride, stride, h.queries - t, h.width);
            load_tile(slopes, above.dy + other + t * stride, stride, h.queries - t, h.width);
            __syncthreads();
            float share = 0, slope = 0, part[N];
            if (live && t + lane < h.queries && s < seen(h, t + lane)) {
                const float *query = queries + lane * (h.width + 1);
                const float *dy = slopes + lane * (h.width + 1);
                share = expf(h.scale * dot(own, query, h.width) - above.lse[marks + t + lane]);
                slope = h.scale * share *
                        (dot(own_value, dy, h.width) - above.delta[marks + t + lane]);
            }
            spread(part, slope, queries, h.width);
#pragma unroll
            for (int i = 0; i < N; i++) sum_k[i] += part[i];
            spread(part, share, slopes, h.width);
#pragma unroll
            for (int i = 0; i < N; i++) sum_v[i] += part[i];
        }
    }
    if (!live) return;
    put_row(dk + row, sum_k, 1, h.width);
    put_row(dv + row, sum_v, 1, h.width);
}

static struct heads heads_of(const struct op_call *call)
{
    int q = call->op == OP_ATTENTION ? 0 : 1;
    const int64_t *query = call->in[q].shape.dim, *key = call->in[q + 1].shape.dim;
    float scale = call->attr->attention.scale;
    struct heads h = {};
    h.batch = query[0];
    h.queries = query[1];
    h.keys = key[1];
    h.heads = (int)query[2];
    h.group = (int)(query[2] / key[2]);
    h.width = (int)query[3];
    h.scale = scale != 0 ? scale : (float)(1 / sqrt((double)query[3]));
    h.causal = call->attr->attention.causal;
    return h;
}

// Blocks for all tiles of 8 rows; 0 when there are more than a grid holds.
static int64_t blocks_of(const struct heads *h, int64_t rows, int heads)
{
    int64_t blocks = h->batch * heads * ceil_div(rows, ROWS);
    return blocks < INT32_MAX ? blocks : 0;
}

static size_t tile_bytes(const struct heads *h, int rows_a_warp)
{
    return sizeof(float) *
           (2 * TILE * (size_t)(h->width + 1) + (size_t)rows_a_warp * ROWS * (size_t)h->width);
}

// Calls body with the elements of a row that a lane owns: 1, 2, 4 or 8.
template <class Body> static void with_share(int width, Body body)
{
    using std::integral_constant;
    if (width <= 32)
        body(integral_constant<int, 1>());
    else if (width <= 64)
        body(integral_constant<int, 2>());
    else if (width <= 128)
        body(integral_constant<int, 4>());
    else
        body(integral_constant<int, 8>());
}

static enum code attention_run(struct device *device, struct op_call *call, struct err *err)
{
    struct heads h = heads_of(call);
    unsigned grid = (unsigned)blocks_of(&h, h.queries, h.heads);
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        with_share(h.width, [&](auto share) {
            auto kernel = attention<T, decltype(share)::value>;
            size_t shared = shared_for(device, kernel, (int64_t)tile_bytes(&h, 1));
            kernel<<<grid, THREADS, shared, cuda_stream(device)>>>(
                out_data<T>(call, 0), out_data<float>(call, 1), in_data<const T>(call, 0),
                in_data<const T>(call, 1), in_data<const T>(call, 2), h);
        });
    });
    return cuda_launched(call, err);
}

static enum code attention_bwd_prepare(struct device *device, struct op_call *call, struct err *err)
{
    struct heads h = heads_of(call);
    (void)device, (void)err;
    call->workspace_bytes = sizeof(float) * (size_t)(h.batch * h.heads * h.queries);
    call->algorithm = "own";
    return OK;
}

static enum code attention_bwd_run(struct device *device, struct op_call *call, struct err *err)
{
    struct heads h = heads_of(call);
    float *delta = static_cast<float *>(call->workspace);
    unsigned grid = (unsigned)blocks_of(&h, h.queries, h.heads);
    unsigned key_grid = (unsigned)blocks_of(&h, h.keys, h.heads / h.group);
    cudaStream_t stream = cuda_stream(device);
    with_float(call->in[0].dtype, [&](auto zero) {
        using T = decltype(zero);
        const T *dy = in_data<const T>(call, 0), *q = in_data<const T>(call, 1);
        const T *k = in_data<const T>(call, 2), *v = in_data<const T>(call, 3);
        struct above<T> above = {
            dy, in_data<const float>(call, 5), delta
        };
        int64_t rows = h.batch * h.queries * h.heads;
        attention_delta<T><<<grid_of(device, ceil_div(rows, ROWS), SPREAD), THREADS, 0, stream>>>(
            delta, dy, in_data<const T>(call, 4), h);
        with_share(h.width, [&](auto share) {
            constexpr int N = decltype(share)::value;
            auto for_q = attention_dq<T, N>;
            auto for_k = attention_dkv<T, N>;
            size_t shared = shared_for(device, for_q, (int64_t)tile_bytes(&h, 2));
            for_q<<<grid, THREADS, shared, stream>>>(out_data<T>(call, 0), q, k, v, above, h);
            shared = shared_for(device, for_k, (int64_t)tile_bytes(&h, 2));
            for_k<<<key_grid, THREADS, shared, stream>>>(out_data<T>(call, 1), out_data<T>(call, 2),
                                                         q, k, v, above, h);
        });
    });
    return cuda_launched(call, err);
}

static bool attention_supports(const struct device *device, const struct op_call *call)
{
    struct heads h = heads_of(call);
    bool forward = call->op == OP_ATTENTION;
    return call_fits(call, forward ? 7 : 31, forward ? 1 : 7) && h.width <= WIDEST &&
           blocks_of(&h, h.queries, h.heads) > 0 && blocks_of(&h, h.keys, h.heads / h.group) > 0 &&
           tile_bytes(&h, 2) + 2048 <= cuda_state_of(device)->shared_limit;
}

extern "C" const struct kernel cuda_attention = { attention_supports, nullptr, prepare_plain,
                                                  attention_run, nullptr };
extern "C" const struct kernel cuda_attention_bwd = { attention_supports, nullptr,
                                                      attention_bwd_prepare, attention_bwd_run,
                                                      nullptr };
