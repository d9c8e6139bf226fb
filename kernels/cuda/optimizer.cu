// The end of a step: gradient norm with clip and skip, SGD, AdamW, weight average.
//
// Launch: one launch over the whole segment table, which prepare cuts into chunks of 2048 elements
// and copies to the device; 256 threads, at most SPREAD blocks a processor, each thread two 16-byte
// accesses per arena in flight. A step that is marked `skip` changes nothing; skip, rate and scale
// are read from the block on the device. The norm is two launches: f64 sums per block, then one
// block.
// Bytes moved per parameter: norm 4, SGD 12 (20 with momentum), AdamW 28, average 12.
#include "kernels/cuda/reduce.cuh"
#include "kernels/step_end.h"

enum { GROUP = 4, GROUPS = 2, CHUNK = THREADS * GROUP * GROUPS };

// A piece of one segment.
struct chunk {
    int64_t offset;
    int count;
    float rate, decay;
};

struct chunks {
    struct chunk *at; // device memory
    int64_t count;
};

// Up to four elements of an arena: one access where `wide`, else those before `count`.
static __device__ __forceinline__ float4 get_4(const float *at, int count, bool wide)
{
    if (wide) return *reinterpret_cast<const float4 *>(at);
    float4 value = {};
    if (count > 0) value.x = at[0];
    if (count > 1) value.y = at[1];
    if (count > 2) value.z = at[2];
    if (count > 3) value.w = at[3];
    return value;
}

static __device__ __forceinline__ void put_4(float *at, int count, bool wide, float4 value)
{
    if (wide) {
        *reinterpret_cast<float4 *>(at) = value;
        return;
    }
    if (count > 0) at[0] = value.x;
    if (count > 1) at[1] = value.y;
    if (count > 2) at[2] = value.z;
    if (count > 3) at[3] = value.w;
}

// The arenas of an optimizer: parameter, gradient and what it keeps; NULL where there is none.
struct arenas {
    float *value;
    const float *gradient;
    float *first, *second;
    bool aligned;
};

// Walks over all chunks; `Update` has one(value, gradient, first, second, chunk) for an element.
template <bool FIRST, bool SECOND, class Update>
static __device__ __forceinline__ void each_chunk(const struct arenas &to, const struct chunks &all,
                                                  const Update &update)
{
    for (int64_t i = blockIdx.x; i < all.count; i += gridDim.x) {
        struct chunk chunk = all.at[i];
        float4 value[GROUPS], gradient[GROUPS], first[GROUPS] = {}, second[GROUPS] = {};
        int count[GROUPS];
        bool wide[GROUPS];
#pragma unroll
        for (int k = 0; k < GROUPS; k++) {
            int from = (k * THREADS + (int)threadIdx.x) * GROUP;
            int64_t at = chunk.offset + from;
            count[k] = chunk.count - from;
            wide[k] = to.aligned && count[k] >= GROUP && at % GROUP == 0;
            value[k] = get_4(to.value + at, count[k], wide[k]);
            gradient[k] = get_4(to.gradient + at, count[k], wide[k]);
            if (FIRST) first[k] = get_4(to.first + at, count[k], wide[k]);
            if (SECOND) second[k] = get_4(to.second + at, count[k], wide[k]);
        }
#pragma unroll
        for (int k = 0; k < GROUPS; k++) {
            int64_t at = chunk.offset + (k * THREADS + (int)threadIdx.x) * GROUP;
            update.one(value[k].x, gradient[k].x, first[k].x, second[k].x, chunk);
            update.one(value[k].y, gradient[k].y, first[k].y, second[k].y, chunk);
            update.one(value[k].z, gradient[k].z, first[k].z, second[k].z, chunk);
            update.one(value[k].w, gradient[k].w, first[k].w, second[k].w, chunk);
            put_4(to.value + at, count[k], wide[k], value[k]);
            if (FIRST) put_4(to.first + at, count[k], wide[k], first[k]);
            if (SECOND) put_4(to.second + at, count[k], wide[k], second[k]);
        }
    }
}

// Scaled, then held to the clip value (0: none).
static __device__ __forceinline__ float seen(float gradient, float scale, float clip)
{
    gradient *= scale;
    return clip > 0 ? fmaxf(-clip, fminf(clip, gradient)) : gradient;
}

struct sgd_update {
    float rate, scale, clip, momentum;
    bool nesterov, keeps;

    __device__ __forceinline__ void one(float &value, float gradient, float &velocity, float &,
                                        const struct chunk &chunk) const
    {
        float g = fmaf(chunk.decay, value, seen(gradient, scale, clip));
        if (keeps) {
            velocity = fmaf(momentum, velocity, g);
            g = nesterov ? fmaf(momentum, velocity, g) : velocity;
        }
        value -= rate * chunk.rate * g;
    }
};

template <bool KEEPS>
static __global__ __launch_bounds__(THREADS) void sgd(struct arenas to, struct chunks all,
                                                      const struct step_block *block,
                                                      struct sgd_update update)
{
    if (block->skip) return;
    update.rate = block->rate;
    update.scale = block->gradient_scale;
    update.keeps = KEEPS;
    each_chunk<KEEPS, false>(to, all, update);
}

struct adamw_update {
    float rate, scale, clip, eps;
    float beta1, beta2, rest1, rest2, correction1, correction2;

    __device__ __forceinline__ void one(float &value, float gradient, float &first, float &second,
                                        const struct chunk &chunk) const
    {
        float g = seen(gradient, scale, clip), step = rate * chunk.rate;
        first = fmaf(beta1, first, rest1 * g);
        second = fmaf(beta2, second, rest2 * g * g);
        float spread = sqrtf(second * correction2) + eps;
        value -= step * chunk.decay * value + step * (correction1 * first / spread);
    }
};

static __global__ __launch_bounds__(THREADS) void adamw(struct arenas to, struct chunks all,
                                                        const struct step_block *block,
                                                        struct adamw_update update, double beta1,
                                                        double beta2)
{
    __shared__ float corrections[2];
    if (block->skip) return;
    if (threadIdx.x < 2) {
        double beta = threadIdx.x ? beta2 : beta1, time = (double)block->optimizer_time;
        corrections[threadIdx.x] = (float)(1 / (1 - pow(beta, time)));
    }
    __syncthreads();
    update.correction1 = corrections[0];
    update.correction2 = corrections[1];
    update.rate = block->rate;
    update.scale = block->gradient_scale;
    each_chunk<true, true>(to, all, update);
}

struct ema_update {
    float decay, rest;

    __device__ __forceinline__ void one(float &average, float value, float &, float &,
                                        const struct chunk &) const
    {
        average = fmaf(decay, average, rest * value);
    }
};

static __global__ __launch_bounds__(THREADS) void ema(struct arenas to, struct chunks all,
                                                      const struct step_block *block,
                                                      struct ema_update update)
{
    if (block->skip) return;
    each_chunk<false, false>(to, all, update);
}

// Without a segment table the whole arena is one segment.
static struct segments segments_of(const struct op_call *call, struct segment *all)
{
    if (call->attr->optimizer.segments) return *call->attr->optimizer.segments;
    *all = {};
    all->count = shape_count(&call->in[0].shape);
    all->rate = 1;
    return { all, 1, all->count };
}

static int64_t cut(struct chunk *to, const struct segments *segments, float decay)
{
    int64_t count = 0;
    for (int64_t s = 0; s < segments->count; s++) {
        const struct segment *segment = &segments->at[s];
        for (int64_t from = 0; from < segment->count; from += CHUNK, count++) {
            int64_t rest = segment->count - from;
            if (!to) continue;
            to[count].offset = segment->offset + from;
            to[count].count = (int)(rest < CHUNK ? rest : (int64_t)CHUNK);
            to[count].rate = segment->rate;
            to[count].decay = segment->decay ? decay : 0;
        }
    }
    return count;
}

static void chunks_release(struct device *device, struct op_call *call)
{
    struct chunks *all = static_cast<struct chunks *>(call->state);
    if (!all) return;
    if (all->at) device->free(device, all->at);
    block_free(all);
    call->state = nullptr;
}

static enum code chunks_fill(struct device *device, struct chunks *all,
                             const struct segments *segments, float decay, struct err *err)
{
    void *host = nullptr, *memory = nullptr;
    size_t bytes = (size_t)all->count * sizeof *all->at;
    enum code code = block_alloc(&host, bytes, "segment table", err);
    if (code != OK) return code;
    cut(static_cast<struct chunk *>(host), segments, decay);
    if ((code = device->alloc(device, &memory, bytes, "segment table", err)) == OK) {
        all->at = static_cast<struct chunk *>(memory);
        code = device->copy_in(device, memory, host, bytes, err);
    }
    block_free(host);
    return code;
}

static enum code chunks_prepare(struct device *device, struct op_call *call, struct err *err)
{
    struct segment whole;
    struct segments segments = segments_of(call, &whole);
    void *memory = nullptr;
    enum code code = block_alloc(&memory, sizeof(struct chunks), "optimizer state", err);
    if (code != OK) return code;
    struct chunks *all = static_cast<struct chunks *>(memory);
    call->state = all;
    call->workspace_bytes = 0;
    call->algorithm = "own";
    all->count = cut(nullptr, &segments, 0);
    if (all->count > 0)
        code = chunks_fill(device, all, &segments, call->attr->optimizer.weight_decay, err);
    if (code != OK) chunks_release(device, call);
    return code;
}

// The arenas in the order of the inputs, and the launch over all chunks.
struct walk {
    struct arenas to;
    struct chunks all;
    unsigned grid;
};

static struct walk walk_of(const struct device *device, const struct op_call *call)
{
    struct walk walk;
    walk.to = { in_data<float>(call, 0), in_data<const float>(call, 1), in_data<float>(call, 2),
                in_data<float>(call, 3), true };
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i)) walk.to.aligned &= aligned_16(call->in[i].data);
    walk.all = *static_cast<const struct chunks *>(call->state);
    walk.grid = grid_of(device, walk.all.count, SPREAD);
    return walk;
}

static enum code sgd_run(struct device *device, struct op_call *call, struct err *err)
{
    struct walk walk = walk_of(device, call);
    struct sgd_update update = {};
    update.clip = call->attr->optimizer.clip_value;
    update.momentum = call->attr->optimizer.momentum;
    update.nesterov = call->attr->optimizer.nesterov;
    if (walk.to.first)
        sgd<true><<<walk.grid, THREADS, 0, cuda_stream(device)>>>(walk.to, walk.all, call->block,
                                                                  update);
    else
        sgd<false><<<walk.grid, THREADS, 0, cuda_stream(device)>>>(walk.to, walk.all, call->block,
                                                                   update);
    return cuda_launched(call, err);
}

static enum code adamw_run(struct device *device, struct op_call *call, struct err *err)
{
    struct walk walk = walk_of(device, call);
    double beta1 = (double)call->attr->optimizer.beta1, beta2 = (double)call->attr->optimizer.beta2;
    struct adamw_update update = {};
    update.clip = call->attr->optimizer.clip_value;
    update.eps = call->attr->optimizer.eps;
    update.beta1 = (float)beta1;
    update.beta2 = (float)beta2;
    update.rest1 = (float)(1 - beta1);
    update.rest2 = (float)(1 - beta2);
    adamw<<<walk.grid, THREADS, 0, cuda_stream(device)>>>(walk.to, walk.all, call->block, update,
                                                          beta1, beta2);
    return cuda_launched(call, err);
}

static enum code ema_run(struct device *device, struct op_call *call, struct err *err)
{
    struct walk walk = walk_of(device, call);
    float decay = call->attr->optimizer.decay;
    struct ema_update update = { decay, (float)(1 - (double)decay) };
    ema<<<walk.grid, THREADS, 0, cuda_stream(device)>>>(walk.to, walk.all, call->block, update);
    return cuda_launched(call, err);
}

// Squares in f64: neither end of the f32 range is lost.
static __global__ __launch_bounds__(THREADS) void norm_squares(double *partial,
                                                               const float *gradient, int64_t count,
                                                               bool aligned)
{
    __shared__ double box[THREADS / 32];
    int64_t step = (int64_t)gridDim.x * THREADS * GROUP;
    double sum = 0;
#pragma unroll 4
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * GROUP; i < count; i += step) {
        int64_t rest = count - i;
        float4 g = get_4(gradient + i, rest < GROUP ? (int)rest : GROUP, aligned && rest >= GROUP);
        double x = (double)g.x, y = (double)g.y, z = (double)g.z, w = (double)g.w;
        sum += (x * x + y * y) + (z * z + w * w);
    }
    sum = block_join<THREADS>(sum, box, sum_of());
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

static __global__ __launch_bounds__(THREADS) void norm_finish(struct step_block *block,
                                                              const double *partial, int count,
                                                              struct step_rule rule)
{
    __shared__ double box[THREADS / 32];
    double squares = 0;
    for (int i = threadIdx.x; i < count; i += THREADS) squares += partial[i];
    squares = block_join<THREADS>(squares, box, sum_of());
    if (threadIdx.x == 0) step_end(block, squares, rule);
}

static enum code grad_norm_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)err;
    call->workspace_bytes = sizeof(double) * grid_of(device, INT64_MAX, 8);
    call->algorithm = "own";
    return OK;
}

static enum code grad_norm_run(struct device *device, struct op_call *call, struct err *err)
{
    int64_t count = shape_count(&call->in[0].shape);
    double *partial = static_cast<double *>(call->workspace);
    unsigned grid = grid_of(device, ceil_div(count, THREADS * GROUP * 4), 8);
    norm_squares<<<grid, THREADS, 0, cuda_stream(device)>>>(partial, in_data<const float>(call, 0),
                                                            count, aligned_16(call->in[0].data));
    norm_finish<<<1, THREADS, 0, cuda_stream(device)>>>(call->block, partial, (int)grid,
                                                        step_rule_of(call->attr));
    return cuda_launched(call, err);
}

static bool arenas_support(const struct device *device, const struct op_call *call)
{
    (void)device;
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i) && call->in[i].dtype != DTYPE_F32) return false;
    return true;
}

extern "C" const struct kernel cuda_grad_norm = { arenas_support, nullptr, grad_norm_prepare,
                                                  grad_norm_run, nullptr };
extern "C" const struct kernel cuda_sgd = { arenas_support, nullptr, chunks_prepare, sgd_run,
                                            chunks_release };
extern "C" const struct kernel cuda_adamw = { arenas_support, nullptr, chunks_prepare, adamw_run,
                                              chunks_release };
extern "C" const struct kernel cuda_ema = { arenas_support, nullptr, chunks_prepare, ema_run,
                                            chunks_release };
