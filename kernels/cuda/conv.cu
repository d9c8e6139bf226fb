// Convolutions and their gradients: cuDNN's graph interface, own loops where it has no engine.
//
// Ways to compute a call, in this order: the pass as it is; with accumulation as a step of its own;
// both with the 16-bit factors widened to f32 copies (TF32 holds them exactly, so products stay
// exact on the matrix units); and our own loops, which take everything. prepare takes the call's
// choice, a text with way and engine, or the first way for which cuDNN has an engine. What was
// taken stands in call->algorithm.
//
// Results are rounded once (law 2): where bias or activation follows, or an engine gives f32 only,
// a 16-bit result is kept in f32 in the workspace and finished by a kernel of ours. The workspace
// is cut into the f32 copies, the partial sums of the bias gradient, and what cuDNN wants.
#include "kernels/cuda/direct.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t dnn_most = (size_t)1 << 30, alignment = 256, absent = SIZE_MAX;

struct conv_state {
    struct dnn_spec spec;
    struct dnn_plan plan;
    bool own;             // direct_run instead of the plan
    size_t copy[3];       // of x, w, y: place of the f32 copy in the workspace, or absent
    size_t partial, rest; // places of the partial sums and of cuDNN's workspace
};

// x, w and y of the convolution, whichever of them is the result.
struct conv_tensors {
    const struct tensor *at[3];
    int result;
};

static struct conv_state *state_of(const struct op_call *call)
{
    return static_cast<struct conv_state *>(call->state);
}

static struct conv_tensors tensors_of(const struct op_call *call)
{
    if (call->op == OP_CONV2D) return { { &call->in[0], &call->in[1], &call->out[0] }, 2 };
    if (call->op == OP_CONV2D_BWD_DATA) return { { &call->out[0], &call->in[1], &call->in[0] }, 0 };
    return { { &call->in[1], &call->out[0], &call->in[0] }, 1 };
}

static bool conv_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    enum dtype dtype = call->in[0].dtype, result = call->out[0].dtype;
    if (!dtype_is_product(dtype) || call->in[1].dtype != dtype) return false;
    if (call_has_in(call, 2) && call->in[2].dtype != DTYPE_F32) return false;
    if (call->op == OP_CONV2D_BWD_WEIGHT)
        return result == DTYPE_F32 && (!call_has_out(call, 1) || call->out[1].dtype == DTYPE_F32);
    return result == dtype;
}

static void conv_release(struct device *device, struct op_call *call)
{
    (void)device;
    struct conv_state *state = state_of(call);
    if (!state) return;
    dnn_release(&state->plan);
    free(state);
    call->state = NULL;
}

static bool has_bias(const struct op_call *call)
{
    return call->op == OP_CONV2D && call_has_in(call, 2);
}

static enum activation act_of(const struct op_call *call)
{
    return call->op == OP_CONV2D ? call->attr->conv.act : ACT_NONE;
}

// Whether a 16-bit result must be kept in f32 until it is finished. ReLU of a rounded value is the
// rounded ReLU.
static bool needs_wide(const struct op_call *call)
{
    enum activation act = act_of(call);
    return has_bias(call) || (act != ACT_NONE && act != ACT_RELU);
}

// One way to compute it: fills spec and says whether the result goes to the workspace.
struct way {
    bool widen; // f32 copies of the factors
    bool after; // accumulate in a step of its own
};

static bool apply_way(struct dnn_spec *spec, const struct op_call *call, const struct way *way)
{
    enum dtype dtype = call->in[0].dtype, out = call->out[0].dtype;
    spec->widened = way->widen;
    spec->factors = way->widen ? DTYPE_F32 : dtype;
    spec->result = way->widen || needs_wide(call) ? DTYPE_F32 : out;
    spec->add = (call->accumulate & 1) && !way->after;
    return spec->result != out || way->after;
}

// Gives each part its place; returns the bytes of all.
static size_t lay_out(struct conv_state *state, const struct op_call *call, bool result_copied)
{
    struct conv_tensors tensors = tensors_of(call);
    size_t used = 0;
    for (int i = 0; i < 3; i++) {
        bool copied = i == tensors.result ? result_copied : state->spec.widened;
        state->copy[i] = copied ? used : absent;
        size_t bytes = (size_t)shape_count(&tensors.at[i]->shape) * sizeof(float);
        if (copied) used += (bytes + alignment - 1) / alignment * alignment;
    }
    state->partial = used;
    if (call->op == OP_CONV2D_BWD_WEIGHT && call_has_out(call, 1)) {
        int64_t filters = state->spec.window.filters;
        size_t bytes = column_sum_bytes(shape_count(&call->in[0].shape) / filters, filters);
        used += (bytes + alignment - 1) / alignment * alignment;
    }
    state->rest = used;
    return used + state->plan.workspace_bytes;
}

enum { WAYS = 4 };
static const char own_loops[] = "own";

// Whether the call can go way `n`.
static bool way_of(struct way *way, const struct op_call *call, int n)
{
    bool half = call->in[0].dtype != DTYPE_F32, adds = call->accumulate & 1;
    way->widen = n >= 2;
    way->after = n % 2 == 1;
    return (half || !way->widen) && (adds || !way->after);
}

static void describe(struct dnn_spec *spec, const struct device *device, const struct op_call *call)
{
    struct conv_tensors tensors = tensors_of(call);
    spec->pass = call->op;
    spec->window = conv_window(call->attr, &tensors.at[0]->shape, &tensors.at[1]->shape);
    spec->tf32 = device->tf32;
}

static cudnnHandle_t handle_of(const struct device *device)
{
    return static_cast<cudnnHandle_t>(cuda_state_of(device)->dnn);
}

// The first way for which cuDNN has an engine, or our own loops. *copied: the result goes to the
// workspace.
static void take_first(struct device *device, struct op_call *call, bool *copied)
{
    struct conv_state *state = state_of(call);
    struct way way;
    for (int n = 0; n < WAYS; n++) {
        if (!way_of(&way, call, n)) continue;
        *copied = apply_way(&state->spec, call, &way);
        if (dnn_build(&state->plan, handle_of(device), &state->spec, dnn_most, NULL)) return;
    }
    way_of(&way, call, 0);
    *copied = apply_way(&state->spec, call, &way);
    state->own = true;
}

static bool take_choice(struct device *device, struct op_call *call, bool *copied)
{
    struct conv_state *state = state_of(call);
    struct way way;
    int n = 0, used = 0;
    state->own = strcmp(call->choice, own_loops) == 0;
    if (!state->own && (sscanf(call->choice, "dnn way=%1d engine=%n", &n, &used) != 1 || !used ||
                        n < 0 || n >= WAYS))
        return false;
    if (!way_of(&way, call, n)) return false;
    *copied = apply_way(&state->spec, call, &way);
    return state->own ||
           dnn_build(&state->plan, handle_of(device), &state->spec, dnn_most, call->choice + used);
}

static enum code conv_prepare(struct device *device, struct op_call *call, struct err *err)
{
    struct conv_state *state = static_cast<struct conv_state *>(calloc(1, sizeof *state));
    char text[CALL_TEXT];
    bool copied = false;
    if (!state) memory_refused(sizeof *state);
    call->state = state;
    describe(&state->spec, device, call);
    if (!call->choice) {
        take_first(device, call, &copied);
    } else if (!take_choice(device, call, &copied)) {
        conv_release(device, call);
        return err_set(err, CONFIG, "cannot prepare %s: cuDNN has no such engine for it any more",
                       call_text(call, text));
    }
    call->workspace_bytes = lay_out(state, call, copied);
    call->algorithm = state->own ? "own:direct" : state->plan.name;
    return OK;
}

enum code conv_choices(struct device *device, const struct op_call *call, struct candidates *out,
                       struct err *err)
{
    (void)err;
    struct dnn_spec spec = {};
    describe(&spec, device, call);
    for (int n = 0; n < WAYS; n++) {
        char engines[CANDIDATES][DNN_CHOICE];
        struct way way;
        if (!way_of(&way, call, n)) continue;
        (void)apply_way(&spec, call, &way);
        int room = CANDIDATES - 1 - out->count; // the last one is our own loops
        int count = dnn_list(engines, room, handle_of(device), &spec);
        for (int i = 0; i < count; i++)
            snprintf(out->text[out->count++], CHOICE_TEXT, "dnn way=%d engine=%.199s", n,
                     engines[i]);
    }
    snprintf(out->text[out->count++], CHOICE_TEXT, "%s", own_loops);
    return OK;
}

// The rest once the result stands in `from`: bias, activation, rounding, or the sum.
static void finish(struct device *device, struct op_call *call, const void *from)
{
    const struct conv_state *state = state_of(call);
    const struct tensor *out = &call->out[0];
    const float *bias = has_bias(call) ? static_cast<const float *>(call->in[2].data) : NULL;
    enum activation act = act_of(call);
    bool copied = from != out->data;
    if (call->op == OP_CONV2D_BWD_WEIGHT) {
        if (copied)
            widen(cuda_stream(device), static_cast<float *>(out->data), from, DTYPE_F32,
                  shape_count(&out->shape), (call->accumulate & 1) && !state->spec.add);
        return;
    }
    if (copied || bias || act != ACT_NONE)
        finish_bias_act(cuda_stream(device), out, from, state->spec.result, bias, out->shape.dim[3],
                        act);
}

static enum code conv_run(struct device *device, struct op_call *call, struct err *err)
{
    struct conv_state *state = state_of(call);
    struct conv_tensors tensors = tensors_of(call);
    cudaStream_t stream = cuda_stream(device);
    char *workspace = static_cast<char *>(call->workspace);
    const void *at[3];
    for (int i = 0; i < 3; i++) {
        const struct tensor *tensor = tensors.at[i];
        bool copied = state->copy[i] != absent;
        at[i] = copied ? workspace + state->copy[i] : tensor->data;
        if (copied && i != tensors.result)
            widen(stream, reinterpret_cast<float *>(workspace + state->copy[i]), tensor->data,
                  tensor->dtype, shape_count(&tensor->shape), false);
    }
    if (state->own)
        direct_run(stream, &state->spec, at[0], at[1], at[2]);
    else
        TRY(dnn_check(dnn_run(&state->plan, static_cast<cudnnHandle_t>(cuda_state_of(device)->dnn),
                              at[0], at[1], at[2], workspace + state->rest),
                      call, err));
    finish(device, call, at[tensors.result]);
    if (call->op == OP_CONV2D_BWD_WEIGHT && call_has_out(call, 1))
        column_sum(stream, static_cast<float *>(call->out[1].data), &call->in[0],
                   state->spec.window.filters, call->accumulate >> 1 & 1,
                   reinterpret_cast<float *>(workspace + state->partial));
    return cuda_launched(call, err);
}

const struct kernel cuda_conv2d = { conv_supports, NULL, conv_prepare, conv_run, conv_release };
const struct kernel cuda_conv2d_bwd_data = { conv_supports, NULL, conv_prepare, conv_run,
                                             conv_release };
const struct kernel cuda_conv2d_bwd_weight = { conv_supports, NULL, conv_prepare, conv_run,
                                               conv_release };
