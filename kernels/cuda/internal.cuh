// What the .cu files of the CUDA module share: the stream, the check after a launch, kernel rows.
//
// C headers never include CUDA headers; this file is the one place where both meet. A kernel file
// opens with its launch shape and bytes moved, has `static __global__` kernels, and defines one
// `extern "C" const struct kernel cuda_<op>` per op, listed in table.cu.
#pragma once

extern "C" {
#include "kernels/device.h"
}

#include <cuda_runtime.h>

struct cuda_state {
    cudaStream_t stream;  // everything of a device runs on it, in order
    cudaStream_t uploads; // but the slots' uploads
    int index, processors;
    size_t l2_bytes, shared_limit;
    void *blas_lt; // cublasLtHandle_t
    void *dnn;     // cudnnHandle_t
    void *mark[2]; // cudaEvent_t, between which runs are timed
};

static inline const struct cuda_state *cuda_state_of(const struct device *device)
{
    return static_cast<const struct cuda_state *>(device->state);
}

static inline cudaStream_t cuda_stream(const struct device *device)
{
    return cuda_state_of(device)->stream;
}

// The error of a launch as a message with op, shapes and dtype; OK when there is none.
enum code cuda_launched(const struct op_call *call, struct err *err);
