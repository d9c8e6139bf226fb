/* Our own direct convolutions, in f32 and one group, for shapes where they beat oneDNN's.
 *
 * Input rows are copied with their padding into a scratch that stays in the second cache, chunk by
 * chunk; from then on a pixel's window is a few runs at fixed offsets, whatever stride, padding and
 * dilation are. The gradient of the data at stride 1 is a forward convolution of dy with the
 * flipped weights. */
#ifndef PAWL_KERNELS_CPU_DIRECT_H
#define PAWL_KERNELS_CPU_DIRECT_H

#include "kernels/cpu/onednn.h"
#include "kernels/cpu/parallel.h"
#include "kernels/window.h"

struct direct {
    enum onednn_pass pass;
    bool relu;            /* on the output of a forward pass */
    struct window window; /* of the convolution that runs: for the data gradient, of dy */
    int64_t taps, run;    /* a window is `taps` runs of `run` floats */
    int64_t *offset;      /* [taps], from a pixel's first float in the scratch */
    int64_t images, rows; /* in a chunk: whole images, or some output rows of one */
    int64_t bands;        /* chunks that one image is cut into, where images is 1 */
    int64_t padded[2];    /* rows and columns of the scratch for one image */
    bool in_place;        /* no padding: windows are read where x lies */
    int64_t *column;      /* [taps * run] offsets of a window's floats, or NULL: runs are long */
    int32_t *place;       /* [images * rows * out width]: first float of each pixel's window */
    size_t packed_bytes, scratch_bytes; /* of the workspace: shared, then one scratch per part */
    bool by_filters; /* weight gradient: parts share out filters instead of chunks */
    void *memory;    /* of the tables */
};

/* Whether a pass over this window can be done here at all: f32, one group, stride 1 for the data
 * gradient, outputs in whole vectors, no activation but ReLU. */
bool direct_fits(const struct device *device, const struct op_call *call, enum onednn_pass pass,
                 const struct window *window, enum activation act);

/* The window of the data gradient, seen as a forward convolution over dy; stride 1 only. */
struct window direct_data_window(const struct window *window);

/* Fills `direct` for a forward pass or (chunk pixels limited) a weight gradient; `memory` is to be
 * freed with block_free. */
enum code direct_plan(struct direct *direct, const struct window *window, int64_t scratch_floats,
                      int64_t pixels, struct err *err);

/* Chunks in all; pixels of chunk `chunk` and its first pixel in [N, H', W']. */
int64_t direct_chunks(const struct direct *direct);
struct span direct_pixels(const struct direct *direct, int64_t chunk);

/* The base that `place` counts from for this chunk: `scratch` after copying, or x itself. */
const float *direct_fill(const struct direct *direct, int64_t chunk, const float *x,
                         float *scratch);

/* Prepares a call as this pass of a convolution: makes its state a product with `direct` set.
 * A matrix product is a convolution of images of one pixel. */
enum code direct_prepare(struct device *device, struct op_call *call, enum onednn_pass pass,
                         const struct window *window, struct err *err);

/* Runs and releases it, bias gradient included. */
enum code direct_run(struct device *device, struct op_call *call, struct err *err);
void direct_release(struct op_call *call);

#endif
