/* Convolutions: our own direct ones or oneDNN's, chosen by shape when a call is prepared. */
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

/* Whether our own convolution can do it, and does it faster than oneDNN (bench/kernels.c). */
static bool prefers_own(const struct device *device, const struct op_call *call,
                        const struct window *window)
{
    int width = device_simd(device)->width;
    enum activation act = call->attr->conv.act;
    if (call->in[0].dtype != DTYPE_F32 || window->groups != 1) return false;
    if (call->op == OP_CONV2D && act != ACT_NONE && act != ACT_RELU) return false;
    if (call->op == OP_CONV2D_BWD_DATA)
        return window->stride[0] == 1 && window->stride[1] == 1 && window->channels % width == 0;
    return direct_fits(window, width);
}

static enum code own_prepare(struct device *device, struct op_call *call,
                             const struct window *window, struct err *err)
{
    void *memory;
    TRY(product_new(call, err));
    struct product *product = call->state;
    TRY(block_alloc(&memory, sizeof(struct direct), "a convolution", err));
    product->direct = memory;
    TRY(direct_prepare(device, call, window, err));
    product->bias_offset = call->workspace_bytes;
    if (call->op == OP_CONV2D_BWD_WEIGHT && call_has_out(call, 1))
        call->workspace_bytes += bias_gradient_bytes(device, window->filters);
    return OK;
}

static enum code conv_prepare(struct device *device, struct op_call *call, struct err *err)
{
    struct window window = window_of(call);
    enum onednn_pass pass = pass_of(call->op);
    if (prefers_own(device, call, &window)) return own_prepare(device, call, &window, err);
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

static enum code conv_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct product *product = call->state;
    if (!product->direct) return product_run(device, call, err);
    TRY(direct_run(device, call, err));
    if (call_has_out(call, 1)) bias_gradient_run(device, call);
    return OK;
}

static void conv_release(struct device *device, struct op_call *call)
{
    struct product *product = call->state;
    if (product && product->direct) {
        block_free(product->direct->memory);
        block_free(product->direct);
    }
    product_release(device, call);
}

const struct kernel cpu_conv2d = {
    .supports = product_supports, .prepare = conv_prepare, .run = conv_run, .release = conv_release
};
