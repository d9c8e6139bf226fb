/* Compiling a graph for a device, and running it. */
#include "model/program.h"

#include "base/clock.h"

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
            at[v] = (void *)(uintptr_t)value->constant;
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

static enum code take_memory(struct program *program, struct err *err)
{
    struct device *device = program->device;
    void *block;
    TRY(device->alloc(device, &block, sizeof *program->block, "a step block", err));
    program->block = block;
    if (program->plan.bytes)
        TRY(device->alloc(device, &program->memory, program->plan.bytes, "activations", err));
    if (program->plan.workspace)
        TRY(device->alloc(device, &program->workspace, program->plan.workspace, "a workspace",
                          err));
    return OK;
}

enum code program_compile(struct program *program, struct graph *graph, struct device *device,
                          struct params *params, const struct program_opts *opts, struct err *err)
{
    memset(program, 0, sizeof *program);
    if (!device->host_memory) {
        err_set(err, USAGE, "cannot run whole programs on device '%s': its ops stand alone so far",
                device->name);
        return err_hint(err, "Say --device cpu; `./dev gpu` holds each op to the reference.");
    }
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
    if ((code = take_memory(program, err))) goto out;
    bind(program, params, opts->average);
out:
    if (code) program_close(program);
    return code;
}

void program_close(struct program *program)
{
    struct device *device = program->device;
    for (int n = 0; n < program->count; n++) call_release(device, &program->calls[n]);
    if (program->memory) device->free(device, program->memory);
    if (program->workspace) device->free(device, program->workspace);
    if (program->block) device->free(device, program->block);
    arena_release(&program->arena);
    memset(program, 0, sizeof *program);
}

void program_input(struct program *program, int value, const void *memory)
{
    const struct graph *graph = program->graph;
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

enum code program_run(struct program *program, struct err *err)
{
    for (int n = 0; n < program->count; n++)
        TRY(call_run(program->device, &program->calls[n], err));
    return OK;
}

enum code program_profile(struct program *program, int repeats, double *seconds, struct err *err)
{
    for (int r = 0; r < repeats; r++) {
        for (int n = 0; n < program->count; n++) {
            double begin = clock_monotonic();
            TRY(call_run(program->device, &program->calls[n], err));
            seconds[n] += clock_monotonic() - begin;
        }
    }
    return OK;
}
