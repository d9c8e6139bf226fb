// cuDNN's graph interface through its C entry points: one convolution, and a conversion behind it
// where the result is wider than the factors (a single convolution has no such engine).
//
// A descriptor is created, given attributes and finalised; each may refer to earlier ones, so all
// are kept until the plan is released. Engines come in the order of cuDNN's heuristic (mode A, then
// its fallback list); one that is not deterministic, uses an FFT, or rounds below what the spec
// allows is passed over, so the first answer depends on library, card and shape alone. A choice is
// the number of an engine and the values of all its knobs, of which the configuration is made anew.
#include "kernels/cuda/dnn.cuh"

#include <stdio.h>
#include <string.h>

enum {
    UID_X = 'x',
    UID_W = 'w',
    UID_Y = 'y',
    UID_INNER = 'i',
    CONFIGS = 16,
    KNOBS = CUDNN_KNOB_TYPE_COUNTS,
    TENSOR_ALIGNMENT = 16
};

// Creates a descriptor that the plan holds; NULL when refused.
static cudnnBackendDescriptor_t create(struct dnn_plan *plan, cudnnBackendDescriptorType_t type)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    REQUIRE(plan->count < DNN_DESCRIPTORS);
    if (cudnnBackendCreateDescriptor(type, &descriptor) != CUDNN_STATUS_SUCCESS) return NULL;
    plan->held[plan->count++] = descriptor;
    return descriptor;
}

static bool set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    return cudnnBackendSetAttribute(descriptor, name, type, count, value) == CUDNN_STATUS_SUCCESS;
}

static bool set_one(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                    cudnnBackendDescriptor_t value)
{
    return set(descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static bool finalize(cudnnBackendDescriptor_t descriptor)
{
    return cudnnBackendFinalize(descriptor) == CUDNN_STATUS_SUCCESS;
}

// A dense tensor [n, h, w, c] as cuDNN counts it: dimensions n, c, h, w with c innermost.
static cudnnBackendDescriptor_t tensor(struct dnn_plan *plan, int64_t uid, enum dtype dtype,
                                       const int64_t nhwc[4])
{
    const int64_t dims[4] = { nhwc[0], nhwc[3], nhwc[1], nhwc[2] };
    const int64_t strides[4] = { nhwc[1] * nhwc[2] * nhwc[3], 1, nhwc[2] * nhwc[3], nhwc[3] };
    const int64_t alignment = TENSOR_ALIGNMENT;
    const bool inner = uid == UID_INNER;
    cudnnDataType_t type = dnn_dtype(dtype);
    cudnnBackendDescriptor_t made = create(plan, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    bool ok = made && set(made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type) &&
              set(made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims) &&
              set(made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides) &&
              set(made, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid) &&
              set(made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment) &&
              set(made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inner) &&
              finalize(made);
    return ok ? made : NULL;
}

static cudnnBackendDescriptor_t convolution(struct dnn_plan *plan, const struct window *window)
{
    const int64_t axes = 2, before[2] = { window->pad[0], window->pad[2] };
    const int64_t after[2] = { window->pad[1], window->pad[3] };
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t made = create(plan, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    bool ok = made &&
              set(made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute) &&
              set(made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode) &&
              set(made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes) &&
              set(made, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, window->dilation) &&
              set(made, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2,
                  window->stride) &&
              set(made, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before) &&
              set(made, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after) &&
              finalize(made);
    return ok ? made : NULL;
}

// The operation that hands `from` on as the type of `to`.
static cudnnBackendDescriptor_t conversion(struct dnn_plan *plan, cudnnBackendDescriptor_t from,
                                           cudnnBackendDescriptor_t to)
{
    cudnnPointwiseMode_t mode = CUDNN_POINTWISE_IDENTITY;
    cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t what = create(plan, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    cudnnBackendDescriptor_t made = create(plan, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    bool ok = from && to && what && made &&
              set(what, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode) &&
              set(what, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute) &&
              finalize(what) && set_one(made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what) &&
              set_one(made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, from) &&
              set_one(made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to) && finalize(made);
    return ok ? made : NULL;
}

// How each pass names its descriptor and attributes.
static const struct pass {
    enum op_kind op;
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
} passes[] = {
    { OP_CONV2D, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
    { OP_CONV2D_BWD_DATA, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
    { OP_CONV2D_BWD_WEIGHT, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

// The operations of a spec: the convolution and, where its result has another type than its
// factors, a conversion behind it. Returns their number; 0 when cuDNN refuses one.
static int operations(struct dnn_plan *plan, const struct dnn_spec *spec,
                      cudnnBackendDescriptor_t ops_made[2])
{
    const struct window *at = &spec->window;
    const struct pass *pass = passes;
    while (pass->op != spec->pass) pass++;
    const int64_t shapes[3][4] = {
        { at->batch, at->in[0], at->in[1], at->channels },
        { at->filters, at->size[0], at->size[1], at->channels / at->groups },
        { at->batch, at->out[0], at->out[1], at->filters },
    };
    const int64_t uids[3] = { UID_X, UID_W, UID_Y };
    const int result = pass->op == OP_CONV2D ? 2 : pass->op == OP_CONV2D_BWD_DATA ? 0 : 1;
    const float one = 1, beta = spec->add ? 1.0f : 0.0f;
    cudnnBackendDescriptor_t at_tensor[3], outer = NULL;
    bool convert = spec->factors != spec->result;
    for (int i = 0; i < 3; i++)
        at_tensor[i] = tensor(plan, uids[i], i == result ? spec->result : spec->factors, shapes[i]);
    if (convert) {
        outer = at_tensor[result];
        at_tensor[result] = tensor(plan, UID_INNER, DTYPE_F32, shapes[result]);
    }
    cudnnBackendDescriptor_t conv = convolution(plan, at), op = create(plan, pass->type);
    bool ok = at_tensor[0] && at_tensor[1] && at_tensor[2] && conv && op &&
              set_one(op, pass->conv, conv) && set_one(op, pass->x, at_tensor[0]) &&
              set_one(op, pass->w, at_tensor[1]) && set_one(op, pass->y, at_tensor[2]) &&
              set(op, pass->alpha, CUDNN_TYPE_FLOAT, 1, &one) &&
              set(op, pass->beta, CUDNN_TYPE_FLOAT, 1, &beta) && finalize(op);
    if (!ok) return 0;
    ops_made[0] = op;
    ops_made[1] = convert ? conversion(plan, at_tensor[result], outer) : NULL;
    return !convert ? 1 : ops_made[1] ? 2 : 0;
}

// The graph of a spec; NULL when cuDNN refuses it. What lies between two operations cannot be added
// to.
static cudnnBackendDescriptor_t graph(struct dnn_plan *plan, cudnnHandle_t handle,
                                      const struct dnn_spec *spec)
{
    cudnnBackendDescriptor_t made_ops[2];
    if (spec->add && spec->factors != spec->result) return NULL;
    int count = operations(plan, spec, made_ops);
    cudnnBackendDescriptor_t made = count ? create(plan, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
                                          : NULL;
    bool ok = made && set(made, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) &&
              set(made, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count,
                  made_ops) &&
              finalize(made);
    return ok ? made : NULL;
}

struct engine {
    int64_t index;
    uint32_t notes; // bits of cudnnBackendNumericalNote_t
};

static bool read_engine(cudnnBackendDescriptor_t config, struct engine *engine)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t count = 0;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &descriptor)) return false;
    bool ok = !cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &descriptor) &&
              !cudnnBackendGetAttribute(descriptor, CUDNN_ATTR_ENGINE_GLOBAL_INDEX,
                                        CUDNN_TYPE_INT64, 1, &count, &engine->index) &&
              !cudnnBackendGetAttribute(descriptor, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                        CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                        &count, notes);
    engine->notes = 0;
    for (int64_t i = 0; ok && i < count && i < CUDNN_NUMERICAL_NOTE_TYPE_COUNT; i++)
        engine->notes |= 1u << notes[i];
    (void)cudnnBackendDestroyDescriptor(descriptor);
    return ok;
}

static const uint32_t winograd_notes = 1u << CUDNN_NUMERICAL_NOTE_WINOGRAD |
                                       1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4 |
                                       1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6;

static bool accurate_enough(const struct engine *engine, const struct dnn_spec *spec)
{
    uint32_t never = 1u << CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC | 1u << CUDNN_NUMERICAL_NOTE_FFT |
                     1u << CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS |
                     1u << CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION |
                     1u << CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
    if (spec->factors != DTYPE_F32) never |= winograd_notes;
    // With f32 factors the matrix units mean TF32.
    if (spec->factors == DTYPE_F32 && !spec->tf32 && !spec->widened)
        never |= 1u << CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    return (engine->notes & never) == 0;
}

// The plan of one configuration, kept when it fits.
static bool try_config(struct dnn_plan *plan, cudnnHandle_t handle, const struct dnn_spec *spec,
                       cudnnBackendDescriptor_t config, size_t most)
{
    struct engine engine;
    int64_t bytes = 0, count = 0;
    cudnnBackendDescriptor_t made = NULL;
    if (!read_engine(config, &engine) || !accurate_enough(&engine, spec)) return false;
    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &made)) return false;
    bool ok = set(made, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) &&
              set_one(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config) && finalize(made) &&
              !cudnnBackendGetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                        CUDNN_TYPE_INT64, 1, &count, &bytes) &&
              bytes >= 0 && (uint64_t)bytes <= most;
    if (!ok) {
        (void)cudnnBackendDestroyDescriptor(made);
        return false;
    }
    plan->plan = made;
    plan->workspace_bytes = (size_t)bytes;
    bool tf32 = spec->factors == DTYPE_F32 && !spec->widened &&
                (engine.notes >> CUDNN_NUMERICAL_NOTE_TENSOR_CORE & 1);
    snprintf(plan->name, sizeof plan->name, "cudnn:%lld%s%s", (long long)engine.index,
             engine.notes & winograd_notes ? ":winograd" : "",
             spec->widened ? ":widened"
             : tf32        ? ":tf32"
                           : "");
    return true;
}

// The configurations of one mode, in cuDNN's order; how many. The caller destroys all of `configs`.
static int64_t ask(struct dnn_plan *plan, cudnnBackendDescriptor_t graph,
                   cudnnBackendHeurMode_t mode, cudnnBackendDescriptor_t configs[CONFIGS])
{
    int64_t count = 0;
    cudnnBackendDescriptor_t heuristic = create(plan, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    bool ok = heuristic && set_one(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph) &&
              set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) &&
              finalize(heuristic);
    for (int i = 0; ok && i < CONFIGS; i++)
        ok = !cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]);
    ok = ok && !cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, CONFIGS, &count, configs);
    return !ok ? 0 : count < CONFIGS ? count : static_cast<int64_t>(CONFIGS);
}

static void destroy_all(cudnnBackendDescriptor_t *descriptors, int count)
{
    for (int i = 0; i < count; i++)
        if (descriptors[i]) (void)cudnnBackendDestroyDescriptor(descriptors[i]);
}

static bool try_mode(struct dnn_plan *plan, cudnnHandle_t handle, const struct dnn_spec *spec,
                     cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode, size_t most)
{
    cudnnBackendDescriptor_t configs[CONFIGS] = { 0 };
    int64_t count = ask(plan, graph, mode, configs);
    bool found = false;
    for (int64_t i = 0; !found && i < count; i++) {
        found = try_config(plan, handle, spec, configs[i], most);
        if (!found) continue;
        plan->held[plan->count++] = configs[i];
        configs[i] = NULL;
    }
    destroy_all(configs, CONFIGS);
    return found;
}

// Adds " type=value" of each knob that a configuration sets; false when they have no room.
static bool write_knobs(char text[DNN_CHOICE], cudnnBackendDescriptor_t config)
{
    cudnnBackendDescriptor_t knobs[KNOBS] = { 0 };
    int64_t count = 0, one;
    bool ok = true;
    for (int i = 0; ok && i < KNOBS; i++)
        ok = !cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]);
    ok = ok &&
         !cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                                   CUDNN_TYPE_BACKEND_DESCRIPTOR, KNOBS, &count, knobs) &&
         count <= KNOBS;
    for (int64_t i = 0; ok && i < count; i++) {
        cudnnBackendKnobType_t type;
        int64_t value;
        size_t used = strlen(text);
        ok = !cudnnBackendGetAttribute(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE,
                                       CUDNN_TYPE_KNOB_TYPE, 1, &one, &type) &&
             !cudnnBackendGetAttribute(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE,
                                       CUDNN_TYPE_INT64, 1, &one, &value);
        if (!ok) break;
        int more = snprintf(text + used, DNN_CHOICE - used, " %d=%lld", (int)type,
                            (long long)value);
        ok = more > 0 && (size_t)more < DNN_CHOICE - used;
    }
    destroy_all(knobs, KNOBS);
    return ok;
}

// The knobs of a text, made for `plan`; how many, or -1 where it is not written like this.
static int read_knobs(struct dnn_plan *plan, cudnnBackendDescriptor_t knobs[KNOBS],
                      const char *text)
{
    int count = 0;
    while (*text) {
        int number, used = 0;
        long long value;
        if (sscanf(text, " %9d=%18lld%n", &number, &value, &used) != 2 || count == KNOBS) return -1;
        cudnnBackendKnobType_t type = static_cast<cudnnBackendKnobType_t>(number);
        int64_t to = value;
        cudnnBackendDescriptor_t knob = create(plan, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
        if (!knob || !set(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type) ||
            !set(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &to) ||
            !finalize(knob))
            return -1;
        knobs[count++] = knob;
        text += used;
    }
    return count;
}

// The plan of a choice.
static bool try_choice(struct dnn_plan *plan, cudnnHandle_t handle, const struct dnn_spec *spec,
                       cudnnBackendDescriptor_t graph, size_t most, const char *choice)
{
    cudnnBackendDescriptor_t knobs[KNOBS];
    long long number;
    int used = 0;
    if (sscanf(choice, "%9lld%n", &number, &used) != 1 || number < 0) return false;
    int64_t index = number;
    int count = read_knobs(plan, knobs, choice + used);
    cudnnBackendDescriptor_t engine = create(plan, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    cudnnBackendDescriptor_t config = create(plan, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    return count >= 0 && engine && config &&
           set_one(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph) &&
           set(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &index) &&
           finalize(engine) && set_one(config, CUDNN_ATTR_ENGINECFG_ENGINE, engine) &&
           (count == 0 || set(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES,
                              CUDNN_TYPE_BACKEND_DESCRIPTOR, count, knobs)) &&
           finalize(config) && try_config(plan, handle, spec, config, most);
}

bool dnn_build(struct dnn_plan *plan, cudnnHandle_t handle, const struct dnn_spec *spec,
               size_t most, const char *choice)
{
    memset(plan, 0, sizeof *plan);
    cudnnBackendDescriptor_t operation = graph(plan, handle, spec);
    bool found = operation && choice
                     ? try_choice(plan, handle, spec, operation, most, choice)
                     : operation &&
                           (try_mode(plan, handle, spec, operation, CUDNN_HEUR_MODE_A, most) ||
                            try_mode(plan, handle, spec, operation, CUDNN_HEUR_MODE_FALLBACK,
                                     most));
    if (!found) dnn_release(plan);
    return found;
}

int dnn_list(char (*choices)[DNN_CHOICE], int room, cudnnHandle_t handle,
             const struct dnn_spec *spec)
{
    static const cudnnBackendHeurMode_t modes[] = { CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK };
    struct dnn_plan plan = {};
    int listed = 0;
    cudnnBackendDescriptor_t operation = graph(&plan, handle, spec);
    for (int m = 0; operation && m < 2; m++) {
        cudnnBackendDescriptor_t configs[CONFIGS] = { 0 };
        int64_t count = ask(&plan, operation, modes[m], configs);
        for (int64_t i = 0; i < count && listed < room; i++) {
            struct engine engine;
            char *text = choices[listed];
            bool known = false;
            if (!read_engine(configs[i], &engine) || !accurate_enough(&engine, spec)) continue;
            snprintf(text, DNN_CHOICE, "%lld", (long long)engine.index);
            if (!write_knobs(text, configs[i])) continue;
            for (int other = 0; other < listed; other++) known |= !strcmp(choices[other], text);
            listed += !known;
        }
        destroy_all(configs, CONFIGS);
    }
    dnn_release(&plan);
    return listed;
}

// Points the plan's pack at these tensors.
static cudnnStatus_t bind(struct dnn_plan *plan, const void *const pointers[4])
{
    const int64_t uids[3] = { UID_X, UID_W, UID_Y };
    cudnnBackendDescriptor_t pack = NULL;
    if (plan->pack) (void)cudnnBackendDestroyDescriptor(plan->pack);
    plan->pack = NULL;
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
                                                        &pack);
    if (status) return status;
    plan->pack = pack;
    if ((status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                                           CUDNN_TYPE_INT64, 3, uids)) ||
        (status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                           CUDNN_TYPE_VOID_PTR, 3, pointers)) ||
        (status = cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                           CUDNN_TYPE_VOID_PTR, 1, &pointers[3])) ||
        (status = cudnnBackendFinalize(pack))) {
        (void)cudnnBackendDestroyDescriptor(pack);
        plan->pack = NULL;
        return status;
    }
    memcpy(plan->bound, pointers, sizeof plan->bound);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t dnn_run(struct dnn_plan *plan, cudnnHandle_t handle, const void *x, const void *w,
                      const void *y, const void *workspace)
{
    const void *const pointers[4] = { x, w, y, plan->workspace_bytes ? workspace : NULL };
    if (!plan->pack || memcmp(pointers, plan->bound, sizeof pointers) != 0) {
        cudnnStatus_t status = bind(plan, pointers);
        if (status) return status;
    }
    return cudnnBackendExecute(handle, plan->plan, plan->pack);
}

void dnn_release(struct dnn_plan *plan)
{
    if (plan->pack) (void)cudnnBackendDestroyDescriptor(plan->pack);
    if (plan->plan) (void)cudnnBackendDestroyDescriptor(plan->plan);
    while (plan->count > 0) (void)cudnnBackendDestroyDescriptor(plan->held[--plan->count]);
    memset(plan, 0, sizeof *plan);
}
