/* Operation counts of the op table: multiply and add count as two. */
#include "kernels/shape.h"

#include "kernels/window.h"

static double count(const struct tensor *tensor)
{
    return (double)shape_count(&tensor->shape);
}

FLOP_RULE(flops_linear)
{
    (void)attr, (void)ins, (void)out, (void)outs;
    return 2 * count(&in[0]) * (double)in[1].shape.dim[0];
}

FLOP_RULE(flops_linear_bwd)
{
    (void)attr, (void)ins, (void)out, (void)outs;
    return 2 * count(&in[0]) * (double)in[1].shape.dim[in[1].shape.rank - 1];
}

FLOP_RULE(flops_conv2d)
{
    (void)attr, (void)ins, (void)outs;
    return 2 * count(&out[0]) * (double)shape_inner(&in[1].shape, 1);
}

FLOP_RULE(flops_conv2d_bwd_data)
{
    (void)attr, (void)ins, (void)out, (void)outs;
    return 2 * count(&in[0]) * (double)shape_inner(&in[1].shape, 1);
}

FLOP_RULE(flops_conv2d_bwd_weight)
{
    (void)attr, (void)ins, (void)outs;
    return 2 * count(&in[0]) * (double)shape_inner(&out[0].shape, 1);
}

FLOP_RULE(flops_one)
{
    (void)attr, (void)ins, (void)out, (void)outs;
    return count(&in[0]);
}

FLOP_RULE(flops_few)
{
    (void)attr, (void)ins, (void)out, (void)outs;
    return 8 * count(&in[0]);
}

FLOP_RULE(flops_pool)
{
    (void)ins, (void)outs;
    struct window window = pool_window(attr, &in[0].shape);
    return count(&out[0]) * (double)(window.size[0] * window.size[1]);
}

/* 2 D operations per pair of query and key, for one product. */
static double product(const union op_attr *attr, const struct tensor *q, const struct tensor *k)
{
    double pairs = count(q) * (double)k->shape.dim[1];
    return attr->attention.causal ? pairs : 2 * pairs;
}

FLOP_RULE(flops_attention)
{
    (void)ins, (void)out, (void)outs;
    return 2 * product(attr, &in[0], &in[1]);
}

FLOP_RULE(flops_attention_bwd)
{
    (void)ins, (void)out, (void)outs;
    return 5 * product(attr, &in[1], &in[2]);
}
