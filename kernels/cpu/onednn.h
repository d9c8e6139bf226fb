/* The one shim over oneDNN's C API: products and convolutions, prepared once, run many times.
 *
 * oneDNN 2 and 3 describe an operation differently; onednn_v2.c and onednn_v3.c each fill this
 * header and CMake builds the one that fits the installed library. Activations are NHWC (rows for
 * products) as pawl keeps them. Weights are handed over canonical; where the chosen implementation
 * wants another layout, they are reordered inside the run through the caller's workspace, as is
 * the scratchpad: running allocates nothing. */
#ifndef PAWL_KERNELS_CPU_ONEDNN_H
#define PAWL_KERNELS_CPU_ONEDNN_H

#include "kernels/op.h"

enum onednn_pass { ONEDNN_FORWARD, ONEDNN_BWD_DATA, ONEDNN_BWD_WEIGHT };

/* A convolution, or with `linear` a matrix product x [batch, channels] . w [filters, channels]. */
struct onednn_spec {
    enum onednn_pass pass;
    bool linear;
    enum dtype data, weight, result; /* of x and dy; of w; of what this pass writes */
    int64_t batch, channels, filters;
    int64_t in[2], out[2], kernel[2];   /* h, w */
    int stride[2], dilation[2], pad[4]; /* dilation 1: dense; pad top, bottom, left, right */
    int groups;
    bool bias;           /* forward only */
    enum activation act; /* forward only */
    int threads;
};

struct onednn_op;

/* Prepares a primitive; on success *op is to be released with onednn_release. Fails with DEVICE
 * when oneDNN has no implementation (the message carries its status). */
enum code onednn_prepare(struct onednn_op **op, const struct onednn_spec *spec, struct err *err);

/* Bytes of workspace that a run needs, and the implementation's name ("onednn:jit:avx512_core"). */
size_t onednn_workspace(const struct onednn_op *op);
const char *onednn_algorithm(const struct onednn_op *op);

/* Runs it: `a` and `b` are x, w forward; dy, w for data; dy, x for weights. `bias` may be NULL when
 * the spec has none. The thread count is the spec's; inside a parallel region it is one. */
enum code onednn_run(struct onednn_op *op, void *result, const void *a, const void *b,
                     const void *bias, void *workspace, struct err *err);

/* Gives the library's objects back; NULL is accepted. */
void onednn_release(struct onednn_op *op);

/* "oneDNN 2.6.3" of the library that is loaded, not of the headers. */
const char *onednn_version(char text[32]);

/* Holds oneDNN to at most an instruction set ("avx2", "avx512"); false when it is too late. */
bool onednn_limit_isa(const char *isa);

/* Whether oneDNN computes bf16 on this processor. */
bool onednn_has_bf16(void);

#endif
