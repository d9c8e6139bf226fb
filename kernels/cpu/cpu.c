/* The CPU device: what the processor can do, the table of kernels, host memory. */
#include "kernels/cpu/cpu.h"

#include "kernels/cpu/onednn.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const struct simd *simd;
} isas[ISA_COUNT] = {
    [ISA_PLAIN] = { "plain", &simd_plain },
    [ISA_AVX2] = { "avx2", &simd_avx2 },
    [ISA_AVX512] = { "avx512", &simd_avx512 },
};

static enum isa isa_best(void)
{
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    return avx512 && avx2 ? ISA_AVX512 : avx2 ? ISA_AVX2 : ISA_PLAIN;
}

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

static void cpu_close(struct device *device)
{
    block_free(device->state);
    *device = (struct device){ 0 };
}

const struct kernel *const cpu_kernels[OP_COUNT] = {
    [OP_LINEAR] = &cpu_linear,
    [OP_LINEAR_BWD_DATA] = &cpu_linear,
    [OP_LINEAR_BWD_WEIGHT] = &cpu_linear,
    [OP_CONV2D] = &cpu_conv2d,
    [OP_CONV2D_BWD_DATA] = &cpu_conv2d,
    [OP_CONV2D_BWD_WEIGHT] = &cpu_conv2d,
    [OP_BATCH_NORM] = &cpu_batch_norm,
    [OP_BATCH_NORM_BWD] = &cpu_batch_norm_bwd,
    [OP_BATCH_NORM_INFER] = &cpu_batch_norm_infer,
    [OP_BATCH_NORM_INFER_BWD] = &cpu_batch_norm_infer_bwd,
    [OP_BN_ACT_POOL] = &cpu_bn_act_pool,
    [OP_BN_ACT_POOL_BWD] = &cpu_bn_act_pool_bwd,
    [OP_RELU] = &cpu_map,
    [OP_RELU_BWD] = &cpu_map,
    [OP_GELU] = &cpu_map,
    [OP_GELU_BWD] = &cpu_map,
    [OP_SILU] = &cpu_map,
    [OP_SILU_BWD] = &cpu_map,
    [OP_TANH] = &cpu_map,
    [OP_TANH_BWD] = &cpu_map,
    [OP_SIGMOID] = &cpu_map,
    [OP_SIGMOID_BWD] = &cpu_map,
    [OP_ADD] = &cpu_map,
    [OP_MULTIPLY] = &cpu_map,
    [OP_CAST] = &cpu_cast,
    [OP_CAST_BWD] = &cpu_cast,
    [OP_NORMALIZE] = &cpu_normalize,
    [OP_LAYER_NORM] = &cpu_layer_norm,
    [OP_LAYER_NORM_BWD] = &cpu_layer_norm_bwd,
    [OP_MAX_POOL] = &cpu_pool,
    [OP_MAX_POOL_BWD] = &cpu_pool,
    [OP_AVG_POOL] = &cpu_pool,
    [OP_AVG_POOL_BWD] = &cpu_pool,
    [OP_GLOBAL_AVG_POOL] = &cpu_global_pool,
    [OP_GLOBAL_AVG_POOL_BWD] = &cpu_global_pool,
    [OP_CONCAT] = &cpu_join,
    [OP_SPLIT] = &cpu_join,
    [OP_RESHAPE] = &cpu_copy,
    [OP_REORDER] = &cpu_copy,
    [OP_PERMUTE] = &cpu_permute,
    [OP_PERMUTE_BWD] = &cpu_permute,
    [OP_REDUCE_SUM] = &cpu_reduce,
    [OP_REDUCE_MEAN] = &cpu_reduce,
    [OP_REDUCE_SUM_BWD] = &cpu_reduce_bwd,
    [OP_REDUCE_MEAN_BWD] = &cpu_reduce_bwd,
    [OP_DROPOUT] = &cpu_dropout,
    [OP_DROPOUT_BWD] = &cpu_dropout,
    [OP_FLIP] = &cpu_flip,
    [OP_PADDED_CROP] = &cpu_padded_crop,
    [OP_SOFTMAX] = &cpu_softmax,
    [OP_SOFTMAX_BWD] = &cpu_softmax_bwd,
    [OP_SOFTMAX_XENT] = &cpu_softmax_xent,
    [OP_MSE] = &cpu_regression,
    [OP_HUBER] = &cpu_regression,
    [OP_BCE] = &cpu_regression,
    [OP_LOSS_SUM] = &cpu_loss_sum,
    [OP_GRAD_NORM] = &cpu_grad_norm,
    [OP_SGD] = &cpu_sgd,
    [OP_ADAMW] = &cpu_adamw,
    [OP_EMA] = &cpu_ema,
};

static enum code open_isa(struct device *device, int threads, enum isa isa, struct err *err)
{
    char version[32];
    void *memory;
    if (threads < 0)
        return err_set(err, USAGE, "cannot open device 'cpu' with %d threads", threads);
    TRY(block_alloc(&memory, sizeof(struct cpu_state), "the CPU device", err));
    struct cpu_state *state = memory;
    *state = (struct cpu_state){ .isa = isa, .simd = isas[isa].simd };
    for (int op = 0; op < OP_COUNT; op++)
        if (cpu_kernels[op]) state->kernels[op] = *cpu_kernels[op];
    state->bf16 = isa == ISA_AVX512 && onednn_has_bf16();
    *device = (struct device){
        .name = "cpu",
        .threads = threads ? threads : device_processors(),
        .fast_dtypes = DTYPE_BIT(DTYPE_F32) | (state->bf16 ? DTYPE_BIT(DTYPE_BF16) : 0),
        .host_memory = true,
        .kernels = state->kernels,
        .alloc = host_alloc,
        .free = host_free,
        .copy_in = host_copy,
        .copy_out = host_copy,
        .close = cpu_close,
        .state = state,
    };
    snprintf(device->description, sizeof device->description, "%s%s, %s, OpenMP %d, %d threads",
             isas[isa].name, state->bf16 ? "+bf16" : "", onednn_version(version), _OPENMP,
             device->threads);
    return OK;
}

enum code device_open_cpu(struct device *device, int threads, struct err *err)
{
    return open_isa(device, threads, isa_best(), err);
}

enum code device_open_cpu_isa(struct device *device, int threads, const char *name, struct err *err)
{
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        if (strcmp(name, isas[isa].name)) continue;
        if ((enum isa)isa > isa_best())
            return err_set(err, USAGE, "this processor has no instruction set '%s'", name);
        onednn_limit_isa(name);
        return open_isa(device, threads, (enum isa)isa, err);
    }
    return err_set(err, USAGE, "unknown instruction set '%s': plain, avx2 or avx512", name);
}
