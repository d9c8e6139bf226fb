/* The fast CPU device: oneDNN for convolutions and matrix products, own vector code for the rest.
 *
 * The vector code of simd/ exists three times (plain, AVX2, AVX-512); the device picks one when it
 * opens, from what the processor says. Work is cut into `device->threads` parts by index, never by
 * the size of the team that happens to run: equal thread count and instruction set give equal bits,
 * also when a program runs inside somebody else's parallel region. */
#ifndef PAWL_KERNELS_CPU_CPU_H
#define PAWL_KERNELS_CPU_CPU_H

#include "kernels/cpu/simd/simd.h"
#include "kernels/device.h"

enum isa { ISA_PLAIN, ISA_AVX2, ISA_AVX512, ISA_COUNT };

struct cpu_state {
    enum isa isa;
    const struct simd *simd; /* the vector code of that instruction set */
    bool bf16;               /* hardware multiplies bf16 */
    struct kernel kernels[OP_COUNT];
};

/* One row per op; NULL where the op is not there. */
extern const struct kernel *const cpu_kernels[OP_COUNT];

/* Opens the device with this many threads (0: all processors that the process may run on). The
 * description names instruction set, oneDNN and OpenMP. Fails with USAGE on a negative count and
 * NO_MEMORY. */
enum code device_open_cpu(struct device *device, int threads, struct err *err);

/* The same held to one instruction set ("plain", "avx2", "avx512"), for tests and benches. oneDNN's
 * own limit is set for the whole process and only by the first call that reaches it. USAGE for an
 * unknown name or one that this processor lacks. */
enum code device_open_cpu_isa(struct device *device, int threads, const char *isa, struct err *err);

/* The vector kernels that the device chose. */
static inline const struct simd *device_simd(const struct device *device)
{
    return ((const struct cpu_state *)device->state)->simd;
}

/* The kernels of the rows in cpu.c, by family. */
extern const struct kernel cpu_linear;
extern const struct kernel cpu_conv2d;
extern const struct kernel cpu_batch_norm, cpu_batch_norm_bwd, cpu_batch_norm_infer,
    cpu_batch_norm_infer_bwd, cpu_bn_act_pool, cpu_bn_act_pool_bwd;
extern const struct kernel cpu_layer_norm, cpu_layer_norm_bwd;
extern const struct kernel cpu_map, cpu_cast, cpu_normalize, cpu_dropout;
extern const struct kernel cpu_pool, cpu_global_pool;
extern const struct kernel cpu_join, cpu_copy, cpu_permute, cpu_flip, cpu_padded_crop;
extern const struct kernel cpu_reduce, cpu_reduce_bwd;
extern const struct kernel cpu_softmax, cpu_softmax_bwd, cpu_softmax_xent, cpu_regression,
    cpu_loss_sum;
extern const struct kernel cpu_grad_norm, cpu_sgd, cpu_adamw, cpu_ema;

#endif
