/* Compiling a graph for a device, and running it. */
#include "model/program_stage.h"
#include "model/reduction.h"

#include "base/clock.h"
#include "base/str.h"

#include <string.h>

/* Points every call's tensors at memory; inputs come later through program_input. */
static void bind(struct program *program, struct params *params, bool average)
{
    struct graph *graph = program->graph;
    void **at = ARENA_ARRAY(&program->arena, graph->value_count, void *);
    for (int v = 0; v < graph->value_count; v++) {
        const struct value *value = &graph->values[v];
        switch (value->role) {
        case ROLE_PARAMETER:
            at[v] = params_at(params, average ? ARENA_EMA : ARENA_VALUE, value->parameter);
            break;
        case ROLE_STATE:
            at[v] = params_at(params, average ? ARENA_EMA_STATE : ARENA_STATE, value->parameter);
            break;
        case ROLE_PARAMETER_GRADIENT:
            at[v] = params_at(params, ARENA_GRADIENT, value->parameter);
            break;
        case ROLE_ARENA:
            at[v] = params->memory[value->parameter];
            break;
        case ROLE_CONSTANT:
            at[v] = program->staging ? staging_constant(program->staging, v)
                                     : (void *)(uintptr_t)value->constant;
            break;
        default:
            if (program->plan.offset[v] != UINT64_MAX)
                at[v] = (char *)program->memory + program->plan.offset[v];
        }
    }
    for (int n = 0; n < program->count; n++) {
        struct op_call *call = &program->calls[n];
        const struct op_node *node = &graph->nodes[n];
        for (int i = 0; i < call->ins; i++)
            if (node->in[i] != NO_VALUE) call->in[i].data = at[graph_root(graph, node->in[i])];
        for (int i = 0; i < call->outs; i++)
            if (node->out[i] != NO_VALUE) call->out[i].data = at[graph_root(graph, node->out[i])];
        call->block = program->block;
        call->workspace = program->workspace;
    }
}

/* The device prepares each node; the failure names the layer. */
static enum code prepare(struct program *program, struct err *err)
{
    struct graph *graph = program->graph;
    program->calls = ARENA_ARRAY(&program->arena, graph->node_count, struct op_call);
    for (int n = 0; n < graph->node_count; n++) {
        struct op_call *call = &program->calls[n];
        graph_call(graph, &graph->nodes[n], call);
        if (!device_supports(program->device, call)) {
            char shape[SHAPE_TEXT];
            return err_set(err, USAGE,
                           "cannot run layer '%s' on %s: %s with %s %s is not available there",
                           graph->nodes[n].layer, program->device->name, ops[call->op].name,
                           dtype_name(call->in[0].dtype), shape_text(&call->in[0].shape, shape));
        }
        TRY(call_prepare(program->device, call, err));
        program->count = n + 1;
    }
    return OK;
}

enum { LARGEST = 3 };

/* Says which values of the plan take the most, behind what the device said. */
static enum code name_largest(const struct program *program, struct err *err)
{
    const struct graph *graph = program->graph;
    int largest[LARGEST], count = 0;
    for (int v = 0; v < graph->value_count; v++) {
        if (program->plan.offset[v] == UINT64_MAX) continue;
        int at = count;
        while (at > 0 &&
               value_bytes(&graph->values[v]) > value_bytes(&graph->values[largest[at - 1]]))
            at--;
        if (at >= LARGEST) continue;
        if (count < LARGEST) count++;
        for (int i = count - 1; i > at; i--) largest[i] = largest[i - 1];
        largest[at] = v;
    }
    struct str text = { 0 };
    for (int i = 0; i < count; i++) {
        const struct value *value = &graph->values[largest[i]];
        char shape[SHAPE_TEXT];
        str_addf(&text, "%s%.40s %s %s (%.1f MiB)", i ? ", " : "", value->name,
                 dtype_name(value->dtype), shape_text(&value->shape, shape),
                 (double)value_bytes(value) / (1 << 20));
    }
    err_hint(err, "The largest values: %s. Lower the batch or micro_batch, or the precision.",
             str_text(&text));
    str_release(&text);
    return err->code;
}

static enum code take_block(struct program *program, const struct program *of, struct err *err)
{
    void *block;
    program->shares_block = of != NULL;
    if (of) {
        program->block = of->block;
        return OK;
    }
    TRY(program->device->alloc(program->device, &block, sizeof *program->block, "a step block",
                               err));
    program->block = block;
    return OK;
}

static bool reduces(const struct program *program, const struct program_opts *opts)
{
    return opts->reduce && program->device->ranks > 1;
}

static enum code take_memory(struct program *program, const struct program_opts *opts,
                             struct err *err)
{
    struct device *device = program->device;
    enum code code = OK;
    if (program->plan.bytes)
        code = device->alloc(device, &program->memory, program->plan.bytes, "activations", err);
    if (!code && program->plan.workspace)
        code = device->alloc(device, &program->workspace, program->plan.workspace, "a workspace",
                             err);
    if (code) return code == NO_MEMORY && err ? name_largest(program, err) : code;
    TRY(take_block(program, opts->block_of, err));
    bool capture = !opts->no_capture && (!reduces(program, opts) || device->ranks_recorded);
    return device->host_memory ? OK : staging_open(program, capture, err);
}

enum code program_compile(struct program *program, struct graph *graph, struct device *device,
                          struct params *params, const struct program_opts *opts, struct err *err)
{
    memset(program, 0, sizeof *program);
    program->graph = graph;
    program->device = device;
    enum code code;
    if ((code = pass_precision(graph, device, opts->dtype, err))) goto out;
    if (!opts->no_fuse && (code = pass_fuse(graph, device, err))) goto out;
    pass_trim(graph);
    if ((code = pass_layout(graph, device, err))) goto out;
    if ((code = prepare(program, err))) goto out;
    pass_memory(graph, program->calls, opts->no_reuse, &program->arena, &program->plan);
    if (opts->plan_only) goto out;
    if ((code = take_memory(program, opts, err))) goto out;
    bind(program, params, opts->average);
    if (reduces(program, opts)) reduction_plan(program, params, opts);
out:
    if (code) program_close(program);
    return code;
}

void program_close(struct program *program)
{
    struct device *device = program->device;
    for (int n = 0; n < program->count; n++) call_release(device, &program->calls[n]);
    staging_close(program);
    if (program->memory) device->free(device, program->memory);
    if (program->workspace) device->free(device, program->workspace);
    if (program->block && !program->shares_block) device->free(device, program->block);
    arena_release(&program->arena);
    memset(program, 0, sizeof *program);
}

void program_input(struct program *program, int value, const void *memory)
{
    const struct graph *graph = program->graph;
    if (program->staging) {
        staging_input(program->staging, value, memory);
        return;
    }
    for (int n = 0; n < program->count; n++)
        for (int i = 0; i < graph->nodes[n].ins; i++) {
            int in = graph->nodes[n].in[i];
            if (in == NO_VALUE || graph_root(graph, in) != value) continue;
            program->calls[n].in[i].data = (void *)(uintptr_t)memory;
        }
}

const void *program_at(const struct program *program, int value)
{
    const struct graph *graph = program->graph;
    int root = graph_root(graph, value);
    REQUIRE(program->memory && program->plan.offset[root] != UINT64_MAX);
    return (const char *)program->memory + program->plan.offset[root];
}

enum code program_launch(struct program *program, struct err *err)
{
    for (int n = 0; n < program->count; n++) {
        TRY(reduction_step(program, n, err));
        TRY(call_run(program->device, &program->calls[n], err));
    }
    return reduction_step(program, program->count, err);
}

enum code program_run(struct program *program, struct err *err)
{
    return program->staging ? staging_run(program, err) : program_launch(program, err);
}

enum code program_profile(struct program *program, int repeats, double *seconds, struct err *err)
{
    struct device *device = program->device;
    if (program->staging) TRY(staging_bind(program, err));
    for (int r = 0; r < repeats; r++) {
        for (int n = 0; n < program->count; n++) {
            if (device->wait) TRY(device->wait(device, err));
            double begin = clock_monotonic();
            TRY(call_run(device, &program->calls[n], err));
            if (device->wait) TRY(device->wait(device, err));
            seconds[n] += clock_monotonic() - begin;
        }
    }
    return OK;
}
