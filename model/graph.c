/* Growing arrays of nodes and values, and the few questions that passes ask. */
#include "model/graph.h"

#include "kernels/device.h"

#include <stdio.h>
#include <string.h>

void graph_init(struct graph *graph, struct arena *arena)
{
    *graph = (struct graph){ .arena = arena,
                             .input = NO_VALUE,
                             .target = NO_VALUE,
                             .ordinal = NO_VALUE,
                             .output = NO_VALUE,
                             .loss = NO_VALUE,
                             .weight = NO_VALUE };
}

/* Makes room for one more item of `size` bytes; the old array stays in the arena, unused. */
static void *grown(struct arena *arena, void *items, int count, int *room, size_t size)
{
    if (count < *room) return items;
    int next = *room ? *room * 2 : 32;
    void *more = arena_array(arena, (size_t)next, size);
    if (count) memcpy(more, items, (size_t)count * size);
    *room = next;
    return more;
}

int graph_value(struct graph *graph, const char *name, enum value_role role, enum dtype dtype,
                const struct shape *shape)
{
    graph->values = grown(graph->arena, graph->values, graph->value_count, &graph->value_room,
                          sizeof *graph->values);
    graph->values[graph->value_count] = (struct value){ .name = arena_copy(graph->arena, name),
                                                        .role = role,
                                                        .dtype = dtype,
                                                        .shape = *shape,
                                                        .alias = NO_VALUE,
                                                        .parameter = -1,
                                                        .gradient_of = NO_VALUE };
    return graph->value_count++;
}

int graph_parameter(struct graph *graph, const struct parameter *parameter)
{
    graph->parameters = grown(graph->arena, graph->parameters, graph->parameter_count,
                              &graph->parameter_room, sizeof *graph->parameters);
    int index = graph->parameter_count++;
    graph->parameters[index] = *parameter;
    graph->parameters[index].name = arena_copy(graph->arena, parameter->name);
    int value = graph_value(graph, parameter->name, parameter->state ? ROLE_STATE : ROLE_PARAMETER,
                            DTYPE_F32, &parameter->shape);
    graph->values[value].parameter = index;
    return value;
}

int graph_node(struct graph *graph, const struct op_node *node)
{
    graph->nodes = grown(graph->arena, graph->nodes, graph->node_count, &graph->node_room,
                         sizeof *graph->nodes);
    graph->nodes[graph->node_count] = *node;
    return graph->node_count++;
}

enum code graph_emit(struct graph *graph, struct op_node *node, const char *suffix, struct err *err)
{
    struct tensor in[OP_INS], out[OP_OUTS] = { 0 };
    for (int i = 0; i < node->ins; i++) {
        if (node->in[i] == NO_VALUE)
            in[i] = (struct tensor){ .shape.rank = -1 };
        else
            in[i] = value_tensor(&graph->values[node->in[i]]);
    }
    int outs = node->outs;
    TRY(op_infer(node->op, &node->attr, in, node->ins, out, &outs, err));
    if (node->outs && node->outs < outs) outs = node->outs;
    node->outs = outs;
    for (int i = 0; i < outs; i++) {
        char name[160];
        snprintf(name, sizeof name, i ? "%s.%s.%d" : "%s.%s", node->layer, suffix, i);
        node->out[i] = out[i].shape.rank < 0
                           ? NO_VALUE
                           : graph_value(graph, name, ROLE_ACTIVATION, out[i].dtype, &out[i].shape);
    }
    if (ops[node->op].view) graph->values[node->out[0]].alias = node->in[0];
    graph_node(graph, node);
    return OK;
}

struct tensor value_tensor(const struct value *value)
{
    return (struct tensor){ .dtype = value->dtype, .layout = value->layout, .shape = value->shape };
}

uint64_t value_bytes(const struct value *value)
{
    if (value->bytes) return value->bytes;
    return (uint64_t)shape_count(&value->shape) * dtype_size(value->dtype);
}

int graph_readers(const struct graph *graph, int value)
{
    int readers = 0;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].ins; i++) readers += graph->nodes[n].in[i] == value;
    return readers;
}

int graph_writer(const struct graph *graph, int value)
{
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].outs; i++)
            if (graph->nodes[n].out[i] == value) return n;
    return -1;
}

void graph_redirect(struct graph *graph, int from, int to)
{
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].ins; i++)
            if (graph->nodes[n].in[i] == from) graph->nodes[n].in[i] = to;
    for (int v = 0; v < graph->value_count; v++)
        if (graph->values[v].alias == from) graph->values[v].alias = to;
}

void graph_read(struct graph *graph, int index, int i, int value)
{
    struct op_node *node = &graph->nodes[index];
    node->in[i] = value;
    if (ops[node->op].view && i == 0) graph->values[node->out[0]].alias = value;
}

void graph_remove(struct graph *graph, int index)
{
    int behind = graph->node_count - index - 1;
    memmove(&graph->nodes[index], &graph->nodes[index + 1], (size_t)behind * sizeof *graph->nodes);
    graph->node_count--;
}

void graph_insert(struct graph *graph, int index, const struct op_node *node)
{
    struct op_node copy = *node; /* `node` may stand in the array that grows */
    graph_node(graph, &copy);
    int behind = graph->node_count - index - 1;
    memmove(&graph->nodes[index + 1], &graph->nodes[index], (size_t)behind * sizeof *graph->nodes);
    graph->nodes[index] = copy;
}

int graph_root(const struct graph *graph, int value)
{
    while (graph->values[value].alias != NO_VALUE) value = graph->values[value].alias;
    return value;
}

void graph_call(const struct graph *graph, const struct op_node *node, struct op_call *call)
{
    *call = (struct op_call){ .op = node->op,
                              .attr = &node->attr,
                              .ins = node->ins,
                              .outs = node->outs,
                              .accumulate = node->accumulate };
    for (int i = 0; i < node->ins; i++) {
        if (node->in[i] == NO_VALUE)
            call->in[i].shape.rank = -1;
        else
            call->in[i] = value_tensor(&graph->values[node->in[i]]);
    }
    for (int i = 0; i < node->outs; i++) {
        if (node->out[i] == NO_VALUE)
            call->out[i].shape.rank = -1;
        else
            call->out[i] = value_tensor(&graph->values[node->out[i]]);
    }
}
