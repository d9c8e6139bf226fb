/* The `ref` device: plain loops in f64 on host memory, one function per op. The law of every op.
 *
 * Inputs are read as f64 whatever their type and each output is rounded once, so that a call whose
 * tensors are all f64 is f64 throughout. Fused ops are the composition of their parts without
 * rounding in between. */
#include "kernels/ref/ref.h"

#include <stdio.h>
#include <string.h>

static void (*const functions[OP_COUNT])(struct op_call *call) = {
    [OP_LINEAR] = ref_linear,
    [OP_LINEAR_BWD_DATA] = ref_linear_bwd_data,
    [OP_LINEAR_BWD_WEIGHT] = ref_linear_bwd_weight,
    [OP_CONV2D] = ref_conv2d,
    [OP_CONV2D_BWD_DATA] = ref_conv2d_bwd_data,
    [OP_CONV2D_BWD_WEIGHT] = ref_conv2d_bwd_weight,
    [OP_BATCH_NORM] = ref_batch_norm,
    [OP_BATCH_NORM_BWD] = ref_batch_norm_bwd,
    [OP_BATCH_NORM_INFER] = ref_batch_norm_infer,
    [OP_BATCH_NORM_INFER_BWD] = ref_batch_norm_infer_bwd,
    [OP_BN_ACT_POOL] = ref_bn_act_pool,
    [OP_BN_ACT_POOL_BWD] = ref_bn_act_pool_bwd,
    [OP_LAYER_NORM] = ref_layer_norm,
    [OP_LAYER_NORM_BWD] = ref_layer_norm_bwd,
    [OP_RELU] = ref_activation,
    [OP_RELU_BWD] = ref_activation_bwd,
    [OP_GELU] = ref_activation,
    [OP_GELU_BWD] = ref_activation_bwd,
    [OP_SILU] = ref_activation,
    [OP_SILU_BWD] = ref_activation_bwd,
    [OP_TANH] = ref_activation,
    [OP_TANH_BWD] = ref_activation_bwd,
    [OP_SIGMOID] = ref_activation,
    [OP_SIGMOID_BWD] = ref_activation_bwd,
    [OP_MAX_POOL] = ref_max_pool,
    [OP_MAX_POOL_BWD] = ref_max_pool_bwd,
    [OP_AVG_POOL] = ref_avg_pool,
    [OP_AVG_POOL_BWD] = ref_avg_pool_bwd,
    [OP_GLOBAL_AVG_POOL] = ref_global_avg_pool,
    [OP_GLOBAL_AVG_POOL_BWD] = ref_global_avg_pool_bwd,
    [OP_ADD] = ref_add,
    [OP_MULTIPLY] = ref_multiply,
    [OP_CONCAT] = ref_concat,
    [OP_SPLIT] = ref_split,
    [OP_RESHAPE] = ref_copy,
    [OP_PERMUTE] = ref_permute,
    [OP_PERMUTE_BWD] = ref_permute,
    [OP_REDUCE_SUM] = ref_reduce,
    [OP_REDUCE_SUM_BWD] = ref_reduce_bwd,
    [OP_REDUCE_MEAN] = ref_reduce,
    [OP_REDUCE_MEAN_BWD] = ref_reduce_bwd,
    [OP_CAST] = ref_copy,
    [OP_CAST_BWD] = ref_copy,
    [OP_REORDER] = ref_copy,
    [OP_DROPOUT] = ref_dropout,
    [OP_DROPOUT_BWD] = ref_dropout,
    [OP_NORMALIZE] = ref_normalize,
    [OP_FLIP] = ref_flip,
    [OP_PADDED_CROP] = ref_padded_crop,
    [OP_SOFTMAX] = ref_softmax,
    [OP_SOFTMAX_BWD] = ref_softmax_bwd,
    [OP_SOFTMAX_XENT] = ref_softmax_xent,
    [OP_MSE] = ref_regression,
    [OP_HUBER] = ref_regression,
    [OP_BCE] = ref_regression,
    [OP_EMBEDDING] = ref_embedding,
    [OP_EMBEDDING_BWD] = ref_embedding_bwd,
    [OP_ATTENTION] = ref_attention,
    [OP_ATTENTION_BWD] = ref_attention_bwd,
    [OP_QUANTIZE] = ref_quantize,
    [OP_GRAD_NORM] = ref_grad_norm,
    [OP_SGD] = ref_sgd,
    [OP_ADAMW] = ref_adamw,
    [OP_EMA] = ref_ema,
    [OP_LOSS_SUM] = ref_loss_sum,
};

static enum code ref_run(struct device *device, struct op_call *call, struct err *err)
{
    (void)device, (void)err;
    functions[call->op](call);
    return OK;
}

static enum code ref_prepare(struct device *device, struct op_call *call, struct err *err)
{
    (void)device, (void)err;
    bool attends = call->op == OP_ATTENTION || call->op == OP_ATTENTION_BWD;
    call->workspace_bytes = attends ? ref_attention_workspace(call) : 0;
    call->algorithm = "ref";
    return OK;
}

const struct kernel ref_kernels[OP_COUNT] = {
#define X(name, text) [OP_##name] = { .prepare = ref_prepare, .run = ref_run },
    OPS(X)
#undef X
};

static enum code host_alloc(struct device *device, void **memory, size_t size, const char *what,
                            struct err *err)
{
    (void)device;
    return block_alloc(memory, size, what, err);
}

static void host_free(struct device *device, void *memory)
{
    (void)device;
    block_free(memory);
}

static enum code host_copy(struct device *device, void *to, const void *from, size_t size,
                           struct err *err)
{
    (void)device, (void)err;
    memcpy(to, from, size);
    return OK;
}

static void nothing_to_close(struct device *device)
{
    (void)device;
}

enum code device_open_ref(struct device *device, int threads, struct err *err)
{
    (void)threads, (void)err;
    *device = (struct device){ .name = "ref",
                               .threads = 1,
                               .fast_dtypes = DTYPE_BIT(DTYPE_F32),
                               .slow_dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_F16),
                               .host_memory = true,
                               .kernels = ref_kernels,
                               .alloc = host_alloc,
                               .free = host_free,
                               .copy_in = host_copy,
                               .copy_out = host_copy,
                               .close = nothing_to_close };
    snprintf(device->description, sizeof device->description, "reference loops in f64");
    return OK;
}

void ref_put(const struct op_call *call, int i, int64_t at, struct sum sum)
{
    if (!call_has_out(call, i)) return;
    if (call->accumulate >> i & 1) sum_add(&sum, tensor_get(&call->out[i], at));
    tensor_set(&call->out[i], at, sum.value);
    if (call->magnitude[i]) call->magnitude[i][at] = sum.size;
}

void ref_put_exact(const struct op_call *call, int i, int64_t at, double value)
{
    ref_put(call, i, at, (struct sum){ value, fabs(value) });
}

void ref_update(const struct op_call *call, int i, int64_t at, struct sum sum)
{
    tensor_set(&call->in[i], at, sum.value);
    if (call->in_magnitude[i]) call->in_magnitude[i][at] = sum.size;
}
