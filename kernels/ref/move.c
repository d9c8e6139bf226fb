/* Reference sums, products and rearrangements of elements. */
#include "kernels/ref/ref.h"

void ref_add(struct op_call *call)
{
    int64_t count = shape_count(&call->out[0].shape);
    for (int64_t i = 0; i < count; i++) {
        struct sum y = { 0 };
        sum_add(&y, ref_get(call, 0, i));
        sum_add(&y, ref_get(call, 1, i));
        ref_put(call, 0, i, y);
    }
}

void ref_multiply(struct op_call *call)
{
    int64_t count = shape_count(&call->out[0].shape);
    for (int64_t i = 0; i < count; i++)
        ref_put_exact(call, 0, i, ref_get(call, 0, i) * ref_get(call, 1, i));
}

/* RESHAPE, CAST and REORDER: element by element, whatever types and shapes say. */
void ref_copy(struct op_call *call)
{
    int64_t count = shape_count(&call->out[0].shape);
    for (int64_t i = 0; i < count; i++) ref_put_exact(call, 0, i, ref_get(call, 0, i));
}

void ref_concat(struct op_call *call)
{
    int axis = call->attr->concat.axis;
    int64_t whole = shape_inner(&call->out[0].shape, axis), start = 0;
    for (int part = 0; part < call->ins; part++) {
        int64_t run = shape_inner(&call->in[part].shape, axis);
        int64_t count = shape_count(&call->in[part].shape);
        for (int64_t i = 0; i < count; i++)
            ref_put_exact(call, 0, i / run * whole + start + i % run, ref_get(call, part, i));
        start += run;
    }
}

void ref_split(struct op_call *call)
{
    int axis = call->attr->concat.axis;
    int64_t whole = shape_inner(&call->in[0].shape, axis), start = 0;
    for (int part = 0; part < call->outs; part++) {
        int64_t run = shape_inner(&call->out[part].shape, axis);
        int64_t count = shape_count(&call->out[part].shape);
        for (int64_t i = 0; i < count; i++)
            ref_put_exact(call, part, i, ref_get(call, 0, i / run * whole + start + i % run));
        start += run;
    }
}

/* PERMUTE reads along the permuted axes, PERMUTE_BWD writes along them. */
void ref_permute(struct op_call *call)
{
    bool back = call->op == OP_PERMUTE_BWD;
    const struct shape *plain = back ? &call->out[0].shape : &call->in[0].shape;
    int64_t count = shape_count(plain);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, from = 0;
        /* `i` walks the permuted tensor; its digits, last axis first, address the plain one. */
        for (int axis = plain->rank - 1; axis >= 0; axis--) {
            int source = call->attr->permute.order[axis];
            from += rest % plain->dim[source] * shape_inner(plain, source + 1);
            rest /= plain->dim[source];
        }
        ref_put_exact(call, 0, back ? from : i, ref_get(call, 0, back ? i : from));
    }
}
