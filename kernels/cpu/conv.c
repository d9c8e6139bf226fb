/* Convolutions: oneDNN's direct ones on NHWC activations. */
#include "kernels/cpu/product.h"
#include "kernels/window.h"

static enum code conv_prepare(struct device *device, struct op_call *call, enum onednn_pass pass,
                              struct err *err)
{
    const struct tensor *x = pass == ONEDNN_BWD_DATA ? &call->out[0] : &call->in[pass ? 1 : 0];
    const struct tensor *w = pass == ONEDNN_BWD_WEIGHT ? &call->out[0] : &call->in[1];
    struct window window = conv_window(call->attr, &x->shape, &w->shape);
    struct onednn_spec spec = {
        .pass = pass,
        .data = call->in[0].dtype,
        .weight = call->in[1].dtype,
        .result = call->out[0].dtype,
        .batch = window.batch,
        .channels = window.channels,
        .filters = window.filters,
        .groups = (int)window.groups,
        .bias = pass == ONEDNN_FORWARD && call_has_in(call, 2),
        .act = pass == ONEDNN_FORWARD ? call->attr->conv.act : ACT_NONE,
        .threads = device->threads,
    };
    for (int i = 0; i < 2; i++) {
        spec.in[i] = window.in[i];
        spec.out[i] = window.out[i];
        spec.kernel[i] = window.size[i];
        spec.stride[i] = (int)window.stride[i];
        spec.dilation[i] = (int)window.dilation[i];
    }
    for (int i = 0; i < 4; i++) spec.pad[i] = (int)window.pad[i];
    return product_prepare(device, call, &spec, err);
}

static enum code prepare_forward(struct device *device, struct op_call *call, struct err *err)
{
    return conv_prepare(device, call, ONEDNN_FORWARD, err);
}

static enum code prepare_data(struct device *device, struct op_call *call, struct err *err)
{
    return conv_prepare(device, call, ONEDNN_BWD_DATA, err);
}

static enum code prepare_weight(struct device *device, struct op_call *call, struct err *err)
{
    return conv_prepare(device, call, ONEDNN_BWD_WEIGHT, err);
}

const struct kernel cpu_conv2d = { .supports = product_supports,
                                   .prepare = prepare_forward,
                                   .run = product_run,
                                   .release = product_release };
const struct kernel cpu_conv2d_bwd_data = { .supports = product_supports,
                                            .prepare = prepare_data,
                                            .run = product_run,
                                            .release = product_release };
const struct kernel cpu_conv2d_bwd_weight = { .supports = product_supports,
                                              .prepare = prepare_weight,
                                              .run = product_run,
                                              .release = product_release };
