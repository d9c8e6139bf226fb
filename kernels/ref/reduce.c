/* Reference sums and means over a set of axes. */
#include "kernels/ref/ref.h"

/* The element of the full tensor at place `kept` along the axes that stay and at place `gone` along
 * the reduced ones. */
static int64_t full_at(const struct shape *full, uint32_t axes, int64_t kept, int64_t gone)
{
    int64_t place = 0, step = 1;
    for (int axis = full->rank - 1; axis >= 0; axis--) {
        int64_t *digits = axes >> axis & 1 ? &gone : &kept;
        place += *digits % full->dim[axis] * step;
        *digits /= full->dim[axis];
        step *= full->dim[axis];
    }
    return place;
}

static double share_of(const struct op_call *call, const struct tensor *full,
                       const struct tensor *reduced)
{
    if (call->op == OP_REDUCE_SUM || call->op == OP_REDUCE_SUM_BWD) return 1;
    return (double)shape_count(&reduced->shape) / (double)shape_count(&full->shape);
}

void ref_reduce(struct op_call *call)
{
    const struct tensor *x = &call->in[0], *y = &call->out[0];
    int64_t kept = shape_count(&y->shape), gone = shape_count(&x->shape) / kept;
    double share = share_of(call, x, y);
    for (int64_t i = 0; i < kept; i++) {
        struct sum sum = { 0 };
        for (int64_t j = 0; j < gone; j++)
            sum_add(&sum, share * tensor_get(x, full_at(&x->shape, call->attr->reduce.axes, i, j)));
        ref_put(call, 0, i, sum);
    }
}

void ref_reduce_bwd(struct op_call *call)
{
    const struct tensor *dy = &call->in[0], *dx = &call->out[0];
    int64_t kept = shape_count(&dy->shape), gone = shape_count(&dx->shape) / kept;
    double share = share_of(call, dx, dy);
    for (int64_t i = 0; i < kept; i++)
        for (int64_t j = 0; j < gone; j++)
            ref_put_exact(call, 0, full_at(&dx->shape, call->attr->reduce.axes, i, j),
                          share * tensor_get(dy, i));
}
