// Errors of CUDA, cuBLASLt and cuDNN as messages, and what the module's own files share.
//
// Every call of a library goes through one of the *_check functions, which say what was being done,
// why it failed and what to change. `call` may be NULL where no op is involved.
#pragma once

#include "kernels/cuda/internal.cuh"

extern "C" {
#include "kernels/cuda/table.h"
}

#include <cublasLt.h>
#include <cudnn.h>

// OK, or DEVICE (NO_MEMORY when the device has none left) with "cannot <doing>: <reason>".
enum code cuda_check(cudaError_t error, const char *doing, struct err *err);

// The same for an op: the message names it, its input types and shapes.
enum code cuda_check_call(cudaError_t error, const struct op_call *call, struct err *err);
enum code blas_check(cublasStatus_t status, const struct op_call *call, struct err *err);
enum code dnn_check(cudnnStatus_t status, const struct op_call *call, struct err *err);

enum { CALL_TEXT = 240 };

// "linear on bf16 [64, 784], bf16 [10, 784]".
const char *call_text(const struct op_call *call, char text[CALL_TEXT]);

// Recordings and slots. queue.cu
extern const struct device_queue cuda_queue;

// The ways to compute a call (struct device_choices). linear.cu, conv.cu
enum code linear_choices(struct device *device, const struct op_call *call, struct candidates *out,
                         struct err *err);
enum code conv_choices(struct device *device, const struct op_call *call, struct candidates *out,
                       struct err *err);

// The same for any op, by a look at whose it is.
static inline enum code list_choices(struct device *device, const struct op_call *call,
                                     struct candidates *out, struct err *err)
{
    switch (call->op) {
    case OP_LINEAR:
    case OP_LINEAR_BWD_DATA:
    case OP_LINEAR_BWD_WEIGHT:
        return linear_choices(device, call, out, err);
    case OP_CONV2D:
    case OP_CONV2D_BWD_DATA:
    case OP_CONV2D_BWD_WEIGHT:
        return conv_choices(device, call, out, err);
    default:
        return OK;
    }
}

// Lists, and times by events. algorithm.cu
extern const struct device_choices cuda_choices;

// Ranks: nccl.cu, or without_nccl.cu, where it is NULL. ranks_free: whether the memory was theirs.
// ranks_failed: after a wait, why what the runs left is not to be used.
extern const struct device_collective *const cuda_collective;
bool ranks_free(struct device *device, void *memory);
void ranks_release(struct device *device);
enum code ranks_failed(struct device *device, struct err *err);

// A dtype in the words of each library; only F32, BF16 and F16 are asked for.
cudaDataType_t blas_dtype(enum dtype dtype);
cudnnDataType_t dnn_dtype(enum dtype dtype);

// Whether `dtype` is one that the matrix units or vectors here compute in: F32, BF16, F16.
static inline bool dtype_is_product(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16 || dtype == DTYPE_F16;
}

// y [rows, width] = act(from + bias), from f32 or of y's type; bias f32 or NULL. finish.cu
void finish_bias_act(cudaStream_t stream, const struct tensor *y, const void *from,
                     enum dtype from_dtype, const float *bias, int64_t width, enum activation act);

// sum [width] (+)= sum over rows of dy [rows, width], in a fixed order; `partial` holds
// column_sum_bytes(). finish.cu
void column_sum(cudaStream_t stream, float *sum, const struct tensor *dy, int64_t width,
                bool accumulate, float *partial);
size_t column_sum_bytes(int64_t rows, int64_t width);

// to [count] f32 = from, or to += from when `add` (from f32 then). finish.cu
void widen(cudaStream_t stream, float *to, const void *from, enum dtype from_dtype, int64_t count,
           bool add);
