// One convolution as a cuDNN graph of one operation: finding an engine, building its plan, running
// it.
#pragma once

#include "kernels/cuda/library.cuh"

extern "C" {
#include "kernels/window.h"
}

// What to compute. Images are NHWC, weights [K, R, S, C / groups]; sums are kept in f32.
struct dnn_spec {
    enum op_kind pass; // CONV2D, CONV2D_BWD_DATA or CONV2D_BWD_WEIGHT
    struct window window;
    enum dtype factors, result;
    bool add;     // result += (beta = 1)
    bool tf32;    // f32 factors may be rounded to TF32
    bool widened; // the f32 factors are copies of 16-bit ones, which TF32 holds exactly
};

enum { DNN_DESCRIPTORS = 80, DNN_CHOICE = 200 };

// A built plan. A zeroed one is accepted by dnn_release.
struct dnn_plan {
    cudnnBackendDescriptor_t held[DNN_DESCRIPTORS]; // what the plan refers to
    int count;
    cudnnBackendDescriptor_t plan, pack;
    size_t workspace_bytes;
    const void *bound[4]; // pointers in `pack`: x, w, y, workspace
    char name[64];
};

// Builds the plan of the engine and knobs that `choice` (of dnn_list) names, or without one the
// first of cuDNN's own order. Its engine is deterministic and rounds no more than the spec allows,
// and it has at most `most` bytes of workspace. False when there is none.
bool dnn_build(struct dnn_plan *plan, cudnnHandle_t handle, const struct dnn_spec *spec,
               size_t most, const char *choice);

// The engines with their knobs that dnn_build may take, in cuDNN's own order, at most `room`; how
// many. No plan is built: one of them may still be refused.
int dnn_list(char (*choices)[DNN_CHOICE], int room, cudnnHandle_t handle,
             const struct dnn_spec *spec);

// Runs it on image x, weight w and image y of the convolution, whichever of them is the result.
// The pack of pointers is made again only when one has changed.
cudnnStatus_t dnn_run(struct dnn_plan *plan, cudnnHandle_t handle, const void *x, const void *w,
                      const void *y, const void *workspace);

void dnn_release(struct dnn_plan *plan);
