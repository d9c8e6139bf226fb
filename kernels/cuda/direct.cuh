// Convolution by our own loops: what cuDNN has no engine for.
#pragma once

#include "kernels/cuda/dnn.cuh"

// Runs one pass from x, w and y as in dnn_run, which have the types of `spec`; sums in f64, in a
// fixed order. Any stride, dilation, padding and groups.
void direct_run(cudaStream_t stream, const struct dnn_spec *spec, const void *x, const void *w,
                const void *y);
