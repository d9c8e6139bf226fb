/* Geometry of convolution and pooling windows from attributes and shapes. */
#include "kernels/window.h"

static int64_t or_else(int64_t value, int64_t fallback)
{
    return value ? value : fallback;
}

/* Fills `out` from the rest; 0 where the window does not fit. */
static void place(struct window *window)
{
    for (int axis = 0; axis < 2; axis++) {
        int64_t padded = window->in[axis] + window->pad[2 * axis] + window->pad[2 * axis + 1];
        int64_t reach = (window->size[axis] - 1) * window->dilation[axis] + 1;
        window->out[axis] = padded < reach ? 0 : (padded - reach) / window->stride[axis] + 1;
    }
}

struct window conv_window(const union op_attr *attr, const struct shape *x, const struct shape *w)
{
    struct window window = { .batch = x->dim[0],
                             .channels = x->dim[3],
                             .filters = w->dim[0],
                             .groups = or_else(attr->conv.groups, 1) };
    for (int axis = 0; axis < 2; axis++) {
        window.in[axis] = x->dim[1 + axis];
        window.size[axis] = w->dim[1 + axis];
        window.stride[axis] = or_else(attr->conv.stride[axis], 1);
        window.dilation[axis] = or_else(attr->conv.dilation[axis], 1);
    }
    for (int side = 0; side < 4; side++) window.pad[side] = attr->conv.pad[side];
    place(&window);
    return window;
}

struct window pool_window(const union op_attr *attr, const struct shape *x)
{
    struct window window = { .batch = x->dim[0],
                             .channels = x->dim[3],
                             .filters = x->dim[3],
                             .groups = 1,
                             .dilation = { 1, 1 } };
    for (int axis = 0; axis < 2; axis++) {
        window.in[axis] = x->dim[1 + axis];
        window.size[axis] = or_else(attr->pool.size[axis], 1);
        window.stride[axis] = or_else(attr->pool.stride[axis], window.size[axis]);
    }
    for (int side = 0; side < 4; side++) window.pad[side] = attr->pool.pad[side];
    place(&window);
    return window;
}

struct window norm_window(const union op_attr *attr, const struct shape *x)
{
    int side = attr->norm.pool ? attr->norm.pool : 1;
    union op_attr pool = { .pool = { .size = { side, side } } };
    return pool_window(&pool, x);
}
