/* Matrix products: y = act(x w' + bias) and its two gradients. oneDNN's inner product, or our own
 * tiles where its code for the instruction set is slower. */
#include "kernels/cpu/direct.h"
#include "kernels/cpu/product.h"

static enum onednn_pass pass_of(enum op_kind op)
{
    if (op == OP_LINEAR) return ONEDNN_FORWARD;
    return op == OP_LINEAR_BWD_DATA ? ONEDNN_BWD_DATA : ONEDNN_BWD_WEIGHT;
}

/* The product as a convolution of `rows` images of one pixel. */
static struct window window_of(int64_t rows, const struct tensor *w)
{
    return (struct window){ .batch = rows,
                            .in = { 1, 1 },
                            .out = { 1, 1 },
                            .size = { 1, 1 },
                            .stride = { 1, 1 },
                            .dilation = { 1, 1 },
                            .groups = 1,
                            .channels = w->shape.dim[1],
                            .filters = w->shape.dim[0] };
}

/* oneDNN 2.6.3 packs for AVX-512 alone; its AVX2 code drops to half its speed where the rows of the
 * weights lie at multiples of 2 KiB (bench/kernels.c). */
static bool prefers_own(const struct device *device, enum onednn_pass pass,
                        const struct window *window)
{
    const struct cpu_state *state = device->state;
    return state->isa != ISA_AVX512 && pass != ONEDNN_BWD_WEIGHT && window->channels % 512 == 0 &&
           window->filters >= 64 && window->batch >= 32;
}

static enum code linear_prepare(struct device *device, struct op_call *call, struct err *err)
{
    enum onednn_pass pass = pass_of(call->op);
    const struct tensor *x = &call->in[0], *w = &call->in[1];
    if (pass == ONEDNN_BWD_DATA) x = &call->out[0];
    if (pass == ONEDNN_BWD_WEIGHT) {
        x = &call->in[1];
        w = &call->out[0];
    }
    int64_t rows = shape_count(&x->shape) / w->shape.dim[1];
    struct window window = window_of(rows, w);
    enum activation act = pass == ONEDNN_FORWARD ? call->attr->linear.act : ACT_NONE;
    if (direct_fits(device, call, pass, &window, act) && prefers_own(device, pass, &window)) {
        TRY(direct_prepare(device, call, pass, &window, err));
        ((struct product *)call->state)->direct->relu = act == ACT_RELU;
        return OK;
    }
    struct onednn_spec spec = {
        .pass = pass,
        .linear = true,
        .data = call->in[0].dtype,
        .weight = call->in[1].dtype,
        .result = call->out[0].dtype,
        .batch = rows,
        .channels = w->shape.dim[1],
        .filters = w->shape.dim[0],
        .bias = pass == ONEDNN_FORWARD && call_has_in(call, 2),
        .act = act,
        .threads = device->threads,
    };
    return product_prepare(device, call, &spec, err);
}

const struct kernel cpu_linear = { .supports = product_supports,
                                   .prepare = linear_prepare,
                                   .run = product_run,
                                   .release = product_release };
