/* Where a convolution or pooling window lies: the attributes with their defaults filled in and the
 * sizes taken from the tensors, so that shape rules and kernels agree on the geometry. */
#ifndef PAWL_KERNELS_WINDOW_H
#define PAWL_KERNELS_WINDOW_H

#include "kernels/op.h"

struct window {
    int64_t in[2], out[2]; /* height and width before and after */
    int64_t size[2];       /* of the window, in cells */
    int64_t stride[2], dilation[2];
    int64_t pad[4]; /* top, bottom, left, right */
    int64_t groups;
    int64_t channels, filters; /* in and out; the same for pools */
    int64_t batch;
};

/* From the shapes of input (or its gradient) [N, H, W, C] and weight [K, R, S, C / groups].
 * `out` is 0 where the window does not fit. */
struct window conv_window(const union op_attr *attr, const struct shape *x, const struct shape *w);

/* From the shape of the input (or its gradient) [N, H, W, C]; a stride of 0 is the window's
 * size. */
struct window pool_window(const union op_attr *attr, const struct shape *x);

/* The pool inside BN_ACT_POOL: side and stride norm.pool, no padding; 0 counts as 1. */
struct window norm_window(const union op_attr *attr, const struct shape *x);

/* Input row (axis 0) or column (axis 1) of cell `cell` of the window at output position `at`;
 * outside [0, in) it lies in the padding. */
static inline int64_t window_place(const struct window *window, int axis, int64_t at, int64_t cell)
{
    return at * window->stride[axis] - window->pad[2 * axis] + cell * window->dilation[axis];
}

/* The inverse: the output position whose cell `cell` lies at `place`, or -1. */
static inline int64_t window_position(const struct window *window, int axis, int64_t place,
                                      int64_t cell)
{
    int64_t offset = place + window->pad[2 * axis] - cell * window->dilation[axis];
    if (offset < 0 || offset % window->stride[axis]) return -1;
    int64_t at = offset / window->stride[axis];
    return at < window->out[axis] ? at : -1;
}

/* Whether a place lies in the input and not in the padding. */
static inline bool window_inside(const struct window *window, int64_t row, int64_t column)
{
    return row >= 0 && row < window->in[0] && column >= 0 && column < window->in[1];
}

#endif
