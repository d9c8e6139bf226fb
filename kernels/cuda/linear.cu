// Matrix products through cuBLASLt: y = act(x w' + bias), its data and its weight gradient.
//
// cuBLASLt counts columns first, so every row-major matrix is handed over as its transpose and the
// product turned around: y' [O, rows] = w [O, I] x' [I, rows]. Descriptors and algorithm are fixed
// in prepare; run only launches. The algorithm is the call's choice, or the first of the
// heuristic's candidates that passes its own check. A choice is a text: whether the bias rides in
// the epilogue, the workspace, the library's algorithm as it stands in memory, in hexadecimal.
//
// The bias is f32. Where y is f32 it may ride in the epilogue. Where y is 16-bit the product is
// kept in f32 in the workspace and finished by a kernel of ours, so that each result is rounded
// once (law 2); cuBLASLt takes only a bias of y's type there. Activations are ours too: its GELU is
// the tanh approximation, and what its ReLU makes of NaN is not documented.
#include "kernels/cuda/library.cuh"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FOUND = 16, WORKSPACE_MOST = 32 << 20, ALIGNMENT = 256, POINTER_ALIGNMENT = 16 };

// What to multiply, in cuBLASLt's words: D [m, n] = op(A) [m, k] op(B) [k, n], columns first.
struct product {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    int64_t a_rows, b_rows; // leading dimensions as stored
    cudaDataType_t factors, result;
    cublasLtEpilogue_t epilogue;
};

struct linear_state {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algo;
    size_t blas_bytes, wide_bytes; // of the workspace: the product in f32 lies first
    bool epilogue_bias, finish;
    char name[64];
};

static size_t round_up(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static struct linear_state *state_of(const struct op_call *call)
{
    return static_cast<struct linear_state *>(call->state);
}

static bool linear_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    enum dtype dtype = call->in[0].dtype, result = call->out[0].dtype;
    if (!dtype_is_product(dtype) || call->in[1].dtype != dtype) return false;
    if (call_has_in(call, 2) && call->in[2].dtype != DTYPE_F32) return false;
    if (call->op == OP_LINEAR_BWD_WEIGHT)
        return result == DTYPE_F32 && (!call_has_out(call, 1) || call->out[1].dtype == DTYPE_F32);
    return result == dtype;
}

static void linear_release(struct device *device, struct op_call *call)
{
    (void)device;
    struct linear_state *state = state_of(call);
    if (!state) return;
    if (state->a) cublasLtMatrixLayoutDestroy(state->a);
    if (state->b) cublasLtMatrixLayoutDestroy(state->b);
    if (state->d) cublasLtMatrixLayoutDestroy(state->d);
    if (state->desc) cublasLtMatmulDescDestroy(state->desc);
    free(state);
    call->state = NULL;
}

static cublasStatus_t describe(struct linear_state *state, const struct product *product, bool tf32)
{
    cublasStatus_t status;
    cublasOperation_t a = product->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t b = product->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    int64_t a_columns = product->transpose_a ? product->m : product->k;
    int64_t b_columns = product->transpose_b ? product->k : product->n;
    cublasComputeType_t compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    if ((status = cublasLtMatmulDescCreate(&state->desc, compute, CUDA_R_32F))) return status;
    const struct {
        cublasLtMatmulDescAttributes_t name;
        const void *value;
        size_t size;
    } attributes[] = {
        { CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a },
        { CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b },
        { CUBLASLT_MATMUL_DESC_EPILOGUE, &product->epilogue, sizeof product->epilogue },
    };
    for (const auto &attribute : attributes)
        if ((status = cublasLtMatmulDescSetAttribute(state->desc, attribute.name, attribute.value,
                                                     attribute.size)))
            return status;
    if ((status = cublasLtMatrixLayoutCreate(&state->a, product->factors, (uint64_t)product->a_rows,
                                             (uint64_t)a_columns, product->a_rows)))
        return status;
    if ((status = cublasLtMatrixLayoutCreate(&state->b, product->factors, (uint64_t)product->b_rows,
                                             (uint64_t)b_columns, product->b_rows)))
        return status;
    return cublasLtMatrixLayoutCreate(&state->d, product->result, (uint64_t)product->m,
                                      (uint64_t)product->n, product->m);
}

// The heuristic's candidates that pass their own check, its best guess first.
static cublasStatus_t find(const struct linear_state *state, cublasLtHandle_t handle,
                           cublasLtMatmulHeuristicResult_t found[FOUND], int *count)
{
    cublasLtMatmulPreference_t wish;
    size_t most = WORKSPACE_MOST;
    uint32_t alignment = POINTER_ALIGNMENT;
    int asked = 0;
    *count = 0;
    cublasStatus_t status = cublasLtMatmulPreferenceCreate(&wish);
    if (status) return status;
    status = cublasLtMatmulPreferenceSetAttribute(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                  &most, sizeof most);
    static const cublasLtMatmulPreferenceAttributes_t pointers[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES
    };
    // Partial sums are added in f32, never in the type of the result.
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    if (!status)
        status = cublasLtMatmulPreferenceSetAttribute(
            wish, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reduction, sizeof reduction);
    for (int i = 0; i < 4 && !status; i++)
        status = cublasLtMatmulPreferenceSetAttribute(wish, pointers[i], &alignment,
                                                      sizeof alignment);
    if (!status)
        status = cublasLtMatmulAlgoGetHeuristic(handle, state->desc, state->a, state->b, state->d,
                                                state->d, wish, FOUND, found, &asked);
    (void)cublasLtMatmulPreferenceDestroy(wish);
    for (int i = 0; i < asked && !status; i++) {
        cublasLtMatmulHeuristicResult_t checked;
        if (found[i].state != CUBLAS_STATUS_SUCCESS || found[i].workspaceSize > most) continue;
        if (cublasLtMatmulAlgoCheck(handle, state->desc, state->a, state->b, state->d, state->d,
                                    &found[i].algo, &checked))
            continue;
        found[*count].algo = found[i].algo;
        found[(*count)++].workspaceSize = checked.workspaceSize;
    }
    return status;
}

// What a choice says.
struct choice {
    bool ride; // the bias, in the epilogue
    size_t workspace;
    cublasLtMatmulAlgo_t algo;
};

static void write_choice(char text[CHOICE_TEXT], const struct choice *choice)
{
    const unsigned char *bytes = reinterpret_cast<const unsigned char *>(&choice->algo);
    int used = snprintf(text, CHOICE_TEXT, "lt bias=%d workspace=%zu ", choice->ride,
                        choice->workspace);
    static_assert(2 * sizeof choice->algo + 64 <= CHOICE_TEXT, "a choice has room for both");
    for (size_t i = 0; i < sizeof choice->algo; i++)
        snprintf(text + used + 2 * i, (size_t)CHOICE_TEXT - (size_t)used - 2 * i, "%02x", bytes[i]);
}

// False for anything but what write_choice writes.
static bool read_choice(struct choice *choice, const char *text)
{
    unsigned char bytes[sizeof choice->algo];
    char again[CHOICE_TEXT];
    int ride, begin = 0;
    if (sscanf(text, "lt bias=%1d workspace=%9zu %n", &ride, &choice->workspace, &begin) != 2 ||
        !begin || strlen(text + begin) != 2 * sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++) {
        unsigned value;
        if (sscanf(text + begin + 2 * i, "%2x", &value) != 1) return false;
        bytes[i] = (unsigned char)value;
    }
    choice->ride = ride == 1;
    memcpy(&choice->algo, bytes, sizeof bytes);
    write_choice(again, choice);
    return strcmp(again, text) == 0 && choice->workspace <= WORKSPACE_MOST;
}

// Takes what was chosen, if the library still does, or its first answer.
static cublasStatus_t take(struct linear_state *state, cublasLtHandle_t handle,
                           const struct choice *choice)
{
    cublasLtMatmulHeuristicResult_t found[FOUND];
    int count = 0;
    if (choice) {
        cublasStatus_t status = cublasLtMatmulAlgoCheck(handle, state->desc, state->a, state->b,
                                                        state->d, state->d, &choice->algo, found);
        if (status) return status;
        if (found[0].workspaceSize > choice->workspace) return CUBLAS_STATUS_NOT_SUPPORTED;
        state->algo = choice->algo;
        state->blas_bytes = choice->workspace;
        return CUBLAS_STATUS_SUCCESS;
    }
    cublasStatus_t status = find(state, handle, found, &count);
    if (status || !count) return status ? status : CUBLAS_STATUS_NOT_SUPPORTED;
    state->algo = found[0].algo;
    state->blas_bytes = found[0].workspaceSize;
    return CUBLAS_STATUS_SUCCESS;
}

static void name_algorithm(struct linear_state *state, bool tf32)
{
    int32_t id = -1, split = 1;
    size_t wrote;
    (void)cublasLtMatmulAlgoConfigGetAttribute(&state->algo, CUBLASLT_ALGO_CONFIG_ID, &id,
                                               sizeof id, &wrote);
    (void)cublasLtMatmulAlgoConfigGetAttribute(&state->algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM,
                                               &split, sizeof split, &wrote);
    snprintf(state->name, sizeof state->name, "cublaslt:%d%s%s%s", id, split > 1 ? ":split" : "",
             state->epilogue_bias ? ":bias" : "", tf32 ? ":tf32" : "");
}

// A call as a product, with what lies before cuBLASLt's part of the workspace.
struct plan {
    struct product product;
    size_t wide_bytes; // the result in f32, or partial sums of the bias gradient
    bool may_ride;     // the bias may be added in the epilogue
    bool finish;       // bias or activation is left to a kernel of ours
};

static struct plan plan_linear(const struct op_call *call, bool ride)
{
    const struct tensor *y = &call->out[0];
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    int64_t rows = shape_count(&y->shape) / outputs;
    bool bias = call_has_in(call, 2), act = call->attr->linear.act != ACT_NONE;
    bool f32 = y->dtype == DTYPE_F32;
    bool wide = !f32 && (bias || (act && call->attr->linear.act != ACT_RELU));
    struct plan plan = {};
    struct product *product = &plan.product;
    plan.may_ride = bias && !act && f32;
    ride = ride && plan.may_ride;
    product->m = outputs, product->n = rows, product->k = inputs;
    product->transpose_a = true; // w [O, I] as stored is I x O
    product->a_rows = inputs, product->b_rows = inputs;
    product->factors = blas_dtype(call->in[0].dtype);
    product->result = wide ? CUDA_R_32F : blas_dtype(y->dtype);
    product->epilogue = ride ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    plan.wide_bytes = wide ? (size_t)(rows * outputs) * sizeof(float) : 0;
    plan.finish = (bias && !ride) || act;
    return plan;
}

static struct plan plan_bwd_data(const struct op_call *call)
{
    int64_t outputs = call->in[1].shape.dim[0], inputs = call->in[1].shape.dim[1];
    struct plan plan = {};
    struct product *product = &plan.product;
    product->m = inputs, product->k = outputs; // dx' [I, rows] = w' [I, O] dy' [O, rows]
    product->n = shape_count(&call->in[0].shape) / outputs;
    product->a_rows = inputs, product->b_rows = outputs;
    product->factors = blas_dtype(call->in[0].dtype);
    product->result = blas_dtype(call->out[0].dtype);
    product->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    return plan;
}

static struct plan plan_bwd_weight(const struct op_call *call)
{
    int64_t outputs = call->out[0].shape.dim[0], inputs = call->out[0].shape.dim[1];
    struct plan plan = {};
    struct product *product = &plan.product;
    product->m = inputs, product->n = outputs; // dw' [I, O] = x' [I, rows] dy [rows, O]
    product->k = shape_count(&call->in[0].shape) / outputs;
    product->transpose_b = true;
    product->a_rows = inputs, product->b_rows = outputs;
    product->factors = blas_dtype(call->in[0].dtype);
    product->result = CUDA_R_32F;
    product->epilogue = CUBLASLT_EPILOGUE_DEFAULT;
    plan.wide_bytes = call_has_out(call, 1) ? column_sum_bytes(product->k, outputs) : 0;
    return plan;
}

static struct plan plan_of(const struct op_call *call, bool ride)
{
    return call->op == OP_LINEAR            ? plan_linear(call, ride)
           : call->op == OP_LINEAR_BWD_DATA ? plan_bwd_data(call)
                                            : plan_bwd_weight(call);
}

static bool uses_tf32(const struct device *device, const struct plan *plan)
{
    return device->tf32 && plan->product.factors == CUDA_R_32F;
}

// Builds the state; what lies before it and what cuBLASLt wants become the workspace.
static enum code linear_prepare(struct device *device, struct op_call *call, struct err *err)
{
    char text[CALL_TEXT];
    struct choice choice = {};
    if (call->choice && !read_choice(&choice, call->choice))
        return err_set(err, CONFIG, "cannot prepare %s: its choice is no algorithm of cuBLASLt",
                       call_text(call, text));
    struct plan plan = plan_of(call, call->choice ? choice.ride : true);
    if (choice.ride && !plan.may_ride)
        return err_set(err, CONFIG, "cannot prepare %s: its bias cannot ride in the epilogue",
                       call_text(call, text));
    struct linear_state *state = static_cast<struct linear_state *>(calloc(1, sizeof *state));
    if (!state) memory_refused(sizeof *state);
    call->state = state;
    bool tf32 = uses_tf32(device, &plan);
    state->wide_bytes = round_up(plan.wide_bytes);
    state->epilogue_bias = plan.product.epilogue == CUBLASLT_EPILOGUE_BIAS;
    state->finish = plan.finish;
    cublasStatus_t status = describe(state, &plan.product, tf32);
    if (!status)
        status = take(state, static_cast<cublasLtHandle_t>(cuda_state_of(device)->blas_lt),
                      call->choice ? &choice : NULL);
    if (status) {
        linear_release(device, call);
        return blas_check(status, call, err);
    }
    name_algorithm(state, tf32);
    call->algorithm = state->name;
    call->workspace_bytes = state->wide_bytes + state->blas_bytes;
    return OK;
}

enum code linear_choices(struct device *device, const struct op_call *call, struct candidates *out,
                         struct err *err)
{
    for (int ride = 1; ride >= 0; ride--) {
        cublasLtMatmulHeuristicResult_t found[FOUND];
        struct plan plan = plan_of(call, ride);
        struct op_call asked = *call;
        struct linear_state *state;
        int count = 0;
        if (ride && !plan.may_ride) continue;
        state = static_cast<struct linear_state *>(calloc(1, sizeof *state));
        if (!state) memory_refused(sizeof *state);
        asked.state = state;
        cublasStatus_t status = describe(state, &plan.product, uses_tf32(device, &plan));
        if (!status)
            status = find(state, static_cast<cublasLtHandle_t>(cuda_state_of(device)->blas_lt),
                          found, &count);
        linear_release(device, &asked);
        // without a candidate prepare fails, and says why
        if (status && status != CUBLAS_STATUS_NOT_SUPPORTED) return blas_check(status, call, err);
        for (int i = 0; i < count && out->count < CANDIDATES; i++) {
            struct choice choice = { ride == 1, found[i].workspaceSize, found[i].algo };
            write_choice(out->text[out->count++], &choice);
        }
    }
    return OK;
}

// D (+)= A B, with the state's algorithm.
static enum code multiply(struct device *device, struct op_call *call, const void *a, const void *b,
                          void *d, struct err *err)
{
    const struct linear_state *state = state_of(call);
    const float one = 1, beta = call->accumulate & 1 ? 1.0f : 0.0f;
    void *workspace = static_cast<char *>(call->workspace) + state->wide_bytes;
    return blas_check(cublasLtMatmul(static_cast<cublasLtHandle_t>(cuda_state_of(device)->blas_lt),
                                     state->desc, &one, a, state->a, b, state->b, &beta, d,
                                     state->d, d, state->d, &state->algo,
                                     state->blas_bytes ? workspace : NULL, state->blas_bytes,
                                     cuda_stream(device)),
                      call, err);
}

static enum code linear_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct linear_state *state = state_of(call);
    const void *bias = call_has_in(call, 2) ? call->in[2].data : NULL;
    void *to = state->wide_bytes ? call->workspace : call->out[0].data;
    if (state->epilogue_bias)
        TRY(blas_check(cublasLtMatmulDescSetAttribute(
                           state->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
                       call, err));
    TRY(multiply(device, call, call->in[1].data, call->in[0].data, to, err));
    if (!state->finish) return OK;
    finish_bias_act(
        cuda_stream(device), &call->out[0], to, state->wide_bytes ? DTYPE_F32 : call->out[0].dtype,
        static_cast<const float *>(bias), call->in[1].shape.dim[0], call->attr->linear.act);
    return cuda_launched(call, err);
}

static enum code bwd_data_run(struct device *device, struct op_call *call, struct err *err)
{
    return multiply(device, call, call->in[1].data, call->in[0].data, call->out[0].data, err);
}

static enum code bwd_weight_run(struct device *device, struct op_call *call, struct err *err)
{
    TRY(multiply(device, call, call->in[1].data, call->in[0].data, call->out[0].data, err));
    if (!call_has_out(call, 1)) return OK;
    column_sum(cuda_stream(device), static_cast<float *>(call->out[1].data), &call->in[0],
               call->out[1].shape.dim[0], call->accumulate >> 1 & 1,
               static_cast<float *>(call->workspace));
    return cuda_launched(call, err);
}

const struct kernel cuda_linear = { linear_supports, NULL, linear_prepare, linear_run,
                                    linear_release };
const struct kernel cuda_linear_bwd_data = { linear_supports, NULL, linear_prepare, bwd_data_run,
                                             linear_release };
const struct kernel cuda_linear_bwd_weight = { linear_supports, NULL, linear_prepare,
                                               bwd_weight_run, linear_release };
