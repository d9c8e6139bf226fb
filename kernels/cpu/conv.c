/* Convolutions: our own direct ones where they fit, since over the shapes measured they beat oneDNN
 * 2.6.3's (bench/kernels.c); oneDNN's for the rest. */
#include "kernels/cpu/direct.h"
#include "kernels/cpu/product.h"

static enum onednn_pass pass_of(enum op_kind op)
{
    if (op == OP_CONV2D) return ONEDNN_FORWARD;
    return op == OP_CONV2D_BWD_DATA ? ONEDNN_BWD_DATA : ONEDNN_BWD_WEIGHT;
}

static struct window window_of(const struct op_call *call)
{
    const struct tensor *x = &call->in[0], *w = &call->in[1];
    if (call->op == OP_CONV2D_BWD_DATA) x = &call->out[0];
    if (call->op == OP_CONV2D_BWD_WEIGHT) {
        x = &call->in[1];
        w = &call->out[0];
    }
    return conv_window(call->attr, &x->shape, &w->shape);
}

/* On AVX2 oneDNN's forward code for a first layer is the better one: a handful of channels makes
 * runs too short for our tiles. */
static bool prefers_own(const struct device *device, enum onednn_pass pass,
                        const struct window *window)
{
    const struct cpu_state *state = device->state;
    return state->isa == ISA_AVX512 || pass != ONEDNN_FORWARD || window->channels >= 8;
}

static enum code conv_prepare(struct device *device, struct op_call *call, struct err *err)
{
    struct window window = window_of(call);
    enum onednn_pass pass = pass_of(call->op);
    enum activation act = pass == ONEDNN_FORWARD ? call->attr->conv.act : ACT_NONE;
    if (direct_fits(device, call, pass, &window, act) && prefers_own(device, pass, &window)) {
        TRY(direct_prepare(device, call, pass, &window, err));
        ((struct product *)call->state)->direct->relu = act == ACT_RELU;
        return OK;
    }
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
        .act = act,
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

const struct kernel cpu_conv2d = { .supports = product_supports,
                                   .prepare = conv_prepare,
                                   .run = product_run,
                                   .release = product_release };
