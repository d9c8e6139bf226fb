/* Matrix products: y = act(x w' + bias) and its two gradients, by oneDNN's inner product. */
#include "kernels/cpu/product.h"

static enum code linear_prepare(struct device *device, struct op_call *call, enum onednn_pass pass,
                                struct err *err)
{
    const struct tensor *x = pass == ONEDNN_BWD_DATA ? &call->out[0] : &call->in[pass ? 1 : 0];
    const struct tensor *w = pass == ONEDNN_BWD_WEIGHT ? &call->out[0] : &call->in[1];
    struct onednn_spec spec = {
        .pass = pass,
        .linear = true,
        .data = call->in[0].dtype,
        .weight = call->in[1].dtype,
        .result = call->out[0].dtype,
        .batch = shape_count(&x->shape) / w->shape.dim[1],
        .channels = w->shape.dim[1],
        .filters = w->shape.dim[0],
        .bias = pass == ONEDNN_FORWARD && call_has_in(call, 2),
        .act = pass == ONEDNN_FORWARD ? call->attr->linear.act : ACT_NONE,
        .threads = device->threads,
    };
    return product_prepare(device, call, &spec, err);
}

static enum code prepare_forward(struct device *device, struct op_call *call, struct err *err)
{
    return linear_prepare(device, call, ONEDNN_FORWARD, err);
}

static enum code prepare_data(struct device *device, struct op_call *call, struct err *err)
{
    return linear_prepare(device, call, ONEDNN_BWD_DATA, err);
}

static enum code prepare_weight(struct device *device, struct op_call *call, struct err *err)
{
    return linear_prepare(device, call, ONEDNN_BWD_WEIGHT, err);
}

const struct kernel cpu_linear = { .supports = product_supports,
                                   .prepare = prepare_forward,
                                   .run = product_run,
                                   .release = product_release };
const struct kernel cpu_linear_bwd_data = { .supports = product_supports,
                                            .prepare = prepare_data,
                                            .run = product_run,
                                            .release = product_release };
const struct kernel cpu_linear_bwd_weight = { .supports = product_supports,
                                              .prepare = prepare_weight,
                                              .run = product_run,
                                              .release = product_release };
