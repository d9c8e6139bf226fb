// Losses on real numbers and on independent logits, and the sum of a step's losses.
//
// Launch: a warp a row, or a block of 256 threads where rows are long; loss_sum is one block of
// 1024.
// Bytes moved per element: prediction and target once (they stay in the first cache between loss
// and gradient, which come from one read), the gradient once. The block in device memory says which
// rows are real, the loss scale, and whether the sums begin anew.
#include "kernels/cuda/reduce.cuh"

struct regression {
    float *loss, *weight;
    const struct step_block *block;
    int64_t rows;
    int width;
    double nominal;
    float delta;
};

struct bent {
    float loss, slope;
};

template <enum op_kind OP>
static __device__ __forceinline__ struct bent bent_of(float prediction, float target, float delta)
{
    float off = prediction - target, size = fabsf(off);
    if constexpr (OP == OP_HUBER) {
        if (size <= delta) return { off * off / 2, off };
        return { delta * (size - delta / 2), copysignf(delta, off) };
    } else if constexpr (OP == OP_BCE) {
        float e = expf(-fabsf(prediction)), share = 1 / (1 + e);
        float p = prediction >= 0 ? share : e * share;
        return { fmaxf(prediction, 0) - prediction * target + log1pf(e), p - target };
    } else {
        return { off * off, 2 * off };
    }
}

template <enum op_kind OP, class P, class Q, int LANES>
static __global__ __launch_bounds__(THREADS) void regression(P *__restrict__ d,
                                                             const P *__restrict__ prediction,
                                                             const Q *__restrict__ target,
                                                             struct regression x)
{
    __shared__ float box[THREADS / 32];
    float share = 1.0f / (float)x.width;
    float scale = (float)((double)x.block->loss_scale / x.nominal / (double)x.width);
    int64_t real = x.block->valid_rows;
    for (int64_t row = first_row<LANES>(); row < x.rows; row += row_step<LANES>()) {
        float sum = 0;
#pragma unroll 4
        for (int c = threadIdx.x % LANES; c < x.width; c += LANES) {
            int64_t at = row * x.width + c;
            struct bent bent = {};
            if (row < real) bent = bent_of<OP>(to_f32(prediction[at]), to_f32(target[at]), x.delta);
            sum += bent.loss;
            d[at] = from_f32<P>(bent.slope * scale);
        }
        sum = block_join<LANES>(sum, box, sum_of());
        if (threadIdx.x % LANES > 0) continue;
        x.loss[row] = sum * share;
        x.weight[row] = row < real ? 1 : 0;
    }
}

template <enum op_kind OP>
static enum code regression_run(struct device *device, struct op_call *call, struct err *err)
{
    struct regression x = { out_data<float>(call, 0),
                            out_data<float>(call, 1),
                            call->block,
                            call->in[0].shape.dim[0],
                            (int)shape_inner(&call->in[0].shape, 1),
                            (double)call->attr->loss.nominal,
                            (float)call->attr->loss.delta };
    with_float(call->in[0].dtype, [&](auto p) {
        with_float(call->in[1].dtype, [&](auto q) {
            using P = decltype(p);
            using Q = decltype(q);
            cudaStream_t stream = cuda_stream(device);
            P *d = out_data<P>(call, 2);
            const P *prediction = in_data<const P>(call, 0);
            const Q *target = in_data<const Q>(call, 1);
            if (x.width <= 1024)
                regression<OP, P, Q, 32>
                    <<<grid_of(device, ceil_div(x.rows, ROWS_AT_ONCE<32>), SPREAD), THREADS, 0,
                       stream>>>(d, prediction, target, x);
            else
                regression<OP, P, Q, THREADS>
                    <<<grid_of(device, x.rows, SPREAD), THREADS, 0, stream>>>(d, prediction, target,
                                                                              x);
        });
    });
    return cuda_launched(call, err);
}

static bool regression_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return float_storage(call->in[0].dtype) && float_storage(call->in[1].dtype) &&
           call->out[2].dtype == call->in[0].dtype && call->out[0].dtype == DTYPE_F32 &&
           shape_inner(&call->in[0].shape, 1) < INT32_MAX;
}

enum { SUM_THREADS = 1024 };

static __global__ __launch_bounds__(SUM_THREADS) void loss_sum(struct step_block *block,
                                                               const float *__restrict__ loss,
                                                               const float *__restrict__ weight,
                                                               int64_t count)
{
    __shared__ double box[2][SUM_THREADS / 32];
    double sum = 0, weights = 0;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < count; i += SUM_THREADS) {
        sum += (double)loss[i];
        weights += (double)weight[i];
    }
    sum = block_join<SUM_THREADS>(sum, box[0], sum_of());
    weights = block_join<SUM_THREADS>(weights, box[1], sum_of());
    if (threadIdx.x > 0) return;
    bool anew = block->micro_step == 0;
    block->loss_sum = (anew ? 0 : block->loss_sum) + sum;
    block->weight_sum = (anew ? 0 : block->weight_sum) + weights;
}

static enum code loss_sum_run(struct device *device, struct op_call *call, struct err *err)
{
    loss_sum<<<1, SUM_THREADS, 0, cuda_stream(device)>>>(call->block, in_data<const float>(call, 0),
                                                         in_data<const float>(call, 1),
                                                         shape_count(&call->in[0].shape));
    return cuda_launched(call, err);
}

static bool loss_sum_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    return call->in[0].dtype == DTYPE_F32 && call->in[1].dtype == DTYPE_F32;
}

#define REGRESSION(name, op)                                                                       \
    extern "C" const struct kernel cuda_##name = { regression_supports, nullptr, prepare_plain,    \
                                                   regression_run<op>, nullptr }

REGRESSION(mse, OP_MSE);
REGRESSION(huber, OP_HUBER);
REGRESSION(bce, OP_BCE);

extern "C" const struct kernel cuda_loss_sum = { loss_sum_supports, nullptr, prepare_plain,
                                                 loss_sum_run, nullptr };
