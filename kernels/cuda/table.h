/* The kernels of the CUDA device, by family, and the table of them by op.
 *
 * Common C/C++ subset: the .cu files that define them include this header inside extern "C". */
#ifndef PAWL_KERNELS_CUDA_TABLE_H
#define PAWL_KERNELS_CUDA_TABLE_H

#include "kernels/device.h"

/* One pointer per op; NULL: not there. */
extern const struct kernel *const cuda_kernels[OP_COUNT];

/* linear.cu: cuBLASLt */
extern const struct kernel cuda_linear, cuda_linear_bwd_data, cuda_linear_bwd_weight;

#endif
