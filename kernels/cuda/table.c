/* Which kernel runs which op on the CUDA device. An op without a row does not exist there. Plain C,
 * for its array designators. */
#include "kernels/cuda/table.h"

const struct kernel *const cuda_kernels[OP_COUNT] = {
    [OP_LINEAR] = &cuda_linear,
    [OP_LINEAR_BWD_DATA] = &cuda_linear_bwd_data,
    [OP_LINEAR_BWD_WEIGHT] = &cuda_linear_bwd_weight,
};
