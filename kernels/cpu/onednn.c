/* The part of the oneDNN shim that is the same for versions 2 and 3: life and run of an op.
 *
 * Engine and stream belong to the op, so that no state is shared between threads. Data pointers are
 * set on every run: programs own the memory, oneDNN only looks at it. */
#include "kernels/cpu/onednn_common.h"

#include "base/arena.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { WORKSPACE_ALIGN = 128 };

static size_t align_up(size_t size)
{
    return (size + WORKSPACE_ALIGN - 1) / WORKSPACE_ALIGN * WORKSPACE_ALIGN;
}

enum code onednn_check(dnnl_status_t status, const char *what, struct err *err)
{
    static const char *const text[] = {
        [dnnl_success] = "success",
        [dnnl_out_of_memory] = "out of memory",
        [dnnl_invalid_arguments] = "invalid arguments",
        [dnnl_unimplemented] = "no implementation on this processor",
    };
    if (status == dnnl_success) return OK;
    size_t i = (size_t)status;
    const char *name = i < sizeof text / sizeof *text && text[i] ? text[i] : "runtime error";
    return err_set(err, DEVICE, "oneDNN cannot %s: %s (status %d)", what, name, (int)status);
}

dnnl_data_type_t onednn_dtype(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

enum dtype onednn_role_dtype(const struct onednn_spec *spec, enum onednn_role role)
{
    static const enum onednn_role result[] = {
        [ONEDNN_FORWARD] = ROLE_OUTPUT,
        [ONEDNN_BWD_DATA] = ROLE_DATA,
        [ONEDNN_BWD_WEIGHT] = ROLE_WEIGHT,
    };
    if (role == result[spec->pass]) return spec->result;
    if (role == ROLE_BIAS) return DTYPE_F32;
    return role == ROLE_WEIGHT ? spec->weight : spec->data;
}

bool onednn_eltwise(enum activation act, dnnl_alg_kind_t *kind)
{
    static const dnnl_alg_kind_t kinds[ACT_COUNT] = {
        [ACT_RELU] = dnnl_eltwise_relu,        [ACT_GELU] = dnnl_eltwise_gelu_erf,
        [ACT_SILU] = dnnl_eltwise_swish,       [ACT_TANH] = dnnl_eltwise_tanh,
        [ACT_SIGMOID] = dnnl_eltwise_logistic,
    };
    *kind = kinds[act];
    return act != ACT_NONE;
}

static struct onednn_shape linear_shape(const struct onednn_spec *s, enum onednn_role role)
{
    switch (role) {
    case ROLE_DATA:
        return (struct onednn_shape){ 2, { s->batch, s->channels }, dnnl_ab };
    case ROLE_WEIGHT:
        return (struct onednn_shape){ 2, { s->filters, s->channels }, dnnl_ab };
    case ROLE_OUTPUT:
        return (struct onednn_shape){ 2, { s->batch, s->filters }, dnnl_ab };
    default:
        return (struct onednn_shape){ 1, { s->filters }, dnnl_a };
    }
}

struct onednn_shape onednn_shape_of(const struct onednn_spec *s, enum onednn_role role)
{
    if (s->linear) return linear_shape(s, role);
    int64_t g = s->groups, channels = s->channels / g, filters = s->filters / g;
    switch (role) {
    case ROLE_DATA:
        return (struct onednn_shape){ 4, { s->batch, s->channels, s->in[0], s->in[1] }, dnnl_acdb };
    case ROLE_WEIGHT:
        if (g == 1)
            return (struct onednn_shape){ 4,
                                          { filters, channels, s->kernel[0], s->kernel[1] },
                                          dnnl_acdb };
        return (struct onednn_shape){ 5,
                                      { g, filters, channels, s->kernel[0], s->kernel[1] },
                                      dnnl_abdec };
    case ROLE_OUTPUT:
        return (
            struct onednn_shape){ 4, { s->batch, s->filters, s->out[0], s->out[1] }, dnnl_acdb };
    default:
        return (struct onednn_shape){ 1, { s->filters }, dnnl_a };
    }
}

enum code onednn_prepare(struct onednn_op **result, const struct onednn_spec *spec, struct err *err)
{
    struct onednn_op *op = NULL;
    int threads = omp_get_max_threads();
    enum code code = OK;
    *result = NULL;
    void *memory = NULL;
    if ((code = block_alloc(&memory, sizeof *op, "a oneDNN primitive", err))) return code;
    op = memory;
    op->spec = *spec;
    omp_set_num_threads(spec->threads);
    if ((code = onednn_check(dnnl_engine_create(&op->engine, dnnl_cpu, 0), "open an engine", err)))
        goto out;
    if ((code = onednn_check(dnnl_stream_create(&op->stream, op->engine, dnnl_stream_default_flags),
                             "open a stream", err)))
        goto out;
    if ((code = onednn_create(op, err))) goto out;
    *result = op;
    op = NULL;
out:
    omp_set_num_threads(threads);
    onednn_release(op);
    return code;
}

size_t onednn_workspace(const struct onednn_op *op)
{
    return align_up(op->scratch_bytes) + align_up(op->weight_bytes);
}

const char *onednn_algorithm(const struct onednn_op *op)
{
    return op->algorithm;
}

static enum code run_reorder(struct onednn_op *op, struct err *err)
{
    bool outward = op->spec.pass == ONEDNN_BWD_WEIGHT;
    dnnl_exec_arg_t args[] = {
        { DNNL_ARG_FROM, outward ? op->memory[ROLE_WEIGHT] : op->canonical },
        { DNNL_ARG_TO, outward ? op->canonical : op->memory[ROLE_WEIGHT] },
    };
    return onednn_check(dnnl_primitive_execute(op->reorder, op->stream, 2, args), "reorder weights",
                        err);
}

static enum code run_primitive(struct onednn_op *op, struct err *err)
{
    static const int names[][ROLE_COUNT] = {
        [ONEDNN_FORWARD] = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_BIAS },
        [ONEDNN_BWD_DATA] = { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST, 0 },
        [ONEDNN_BWD_WEIGHT] = { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST, 0 },
    };
    dnnl_exec_arg_t args[ROLE_COUNT + 1];
    int count = 0;
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (!op->memory[role]) continue;
        args[count++] = (dnnl_exec_arg_t){ names[op->spec.pass][role], op->memory[role] };
    }
    if (op->scratch) args[count++] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, op->scratch };
    return onednn_check(dnnl_primitive_execute(op->primitive, op->stream, count, args),
                        "run a primitive", err);
}

enum code onednn_run(struct onednn_op *op, void *result, const void *a, const void *b,
                     const void *bias, void *workspace, struct err *err)
{
    enum onednn_pass pass = op->spec.pass;
    /* oneDNN takes plain pointers for inputs too; it only reads those. */
    void *first = (void *)(uintptr_t)a, *second = (void *)(uintptr_t)b;
    void *data[ROLE_COUNT] = { [ROLE_BIAS] = (void *)(uintptr_t)bias };
    data[ROLE_DATA] = pass == ONEDNN_FORWARD ? first : pass == ONEDNN_BWD_DATA ? result : second;
    data[ROLE_WEIGHT] = pass == ONEDNN_BWD_WEIGHT ? result : second;
    data[ROLE_OUTPUT] = pass == ONEDNN_FORWARD ? result : first;
    char *scratch = workspace;
    int threads = omp_get_max_threads();
    enum code code = OK;
    omp_set_num_threads(op->spec.threads);
    if (op->reorder) {
        dnnl_memory_set_data_handle(op->canonical, data[ROLE_WEIGHT]);
        data[ROLE_WEIGHT] = scratch + align_up(op->scratch_bytes);
    }
    for (int role = 0; role < ROLE_COUNT; role++)
        if (op->memory[role]) dnnl_memory_set_data_handle(op->memory[role], data[role]);
    if (op->scratch) dnnl_memory_set_data_handle(op->scratch, scratch);
    if (op->reorder && pass != ONEDNN_BWD_WEIGHT && (code = run_reorder(op, err))) goto out;
    if ((code = run_primitive(op, err))) goto out;
    if (op->reorder && pass == ONEDNN_BWD_WEIGHT) code = run_reorder(op, err);
out:
    dnnl_stream_wait(op->stream);
    omp_set_num_threads(threads);
    return code;
}

void onednn_release(struct onednn_op *op)
{
    if (!op) return;
    for (int role = 0; role < ROLE_COUNT; role++)
        if (op->memory[role]) dnnl_memory_destroy(op->memory[role]);
    if (op->canonical) dnnl_memory_destroy(op->canonical);
    if (op->scratch) dnnl_memory_destroy(op->scratch);
    if (op->reorder) dnnl_primitive_destroy(op->reorder);
    if (op->primitive) dnnl_primitive_destroy(op->primitive);
    if (op->stream) dnnl_stream_destroy(op->stream);
    if (op->engine) dnnl_engine_destroy(op->engine);
    block_free(op);
}

const char *onednn_version(char text[32])
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, 32, "oneDNN %d.%d.%d", version->major, version->minor, version->patch);
    return text;
}

bool onednn_limit_isa(const char *isa)
{
    static const struct {
        const char *name;
        dnnl_cpu_isa_t isa;
    } table[] = {
        { "plain", dnnl_cpu_isa_sse41 },
        { "avx2", dnnl_cpu_isa_avx2 },
        { "avx512", dnnl_cpu_isa_avx512_core },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(isa, table[i].name)) return dnnl_set_max_cpu_isa(table[i].isa) == dnnl_success;
    return false;
}

bool onednn_has_bf16(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}
