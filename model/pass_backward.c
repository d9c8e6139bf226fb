/* Backward: walks the nodes in reverse and emits what the op table's gradient recipes list.
 *
 * The invariant: when a node is visited, the gradients of all its outputs are complete, since every
 * reader stands behind it. Values that lead to no wanted gradient are left out. */
#include "model/passes.h"

#include <stdio.h>
#include <string.h>

struct backward {
    struct graph *graph;
    int *gradient; /* per value: the value that holds its gradient so far, or NO_VALUE */
    bool *wanted;  /* per value */
    int forward_values;
    bool accumulate;
};

/* A value is wanted when it is a parameter, or is computed from a wanted one. */
static void mark_wanted(struct backward *b, int input)
{
    struct graph *graph = b->graph;
    for (int v = 0; v < graph->value_count; v++)
        b->wanted[v] = graph->values[v].role == ROLE_PARAMETER || v == input;
    for (int n = 0; n < graph->node_count; n++) {
        const struct op_node *node = &graph->nodes[n];
        bool any = false;
        for (int i = 0; i < node->ins; i++)
            if (node->in[i] != NO_VALUE && b->wanted[node->in[i]]) any = true;
        if (!any || !ops[node->op].backward[0].present) continue;
        for (int i = 0; i < node->outs; i++)
            if (node->out[i] != NO_VALUE) b->wanted[node->out[i]] = true;
    }
}

static int resolve(const struct backward *b, const struct op_node *node, struct gradient_value from)
{
    switch (from.from) {
    case FROM_IN:
        return from.index < node->ins ? node->in[from.index] : NO_VALUE;
    case FROM_OUT:
        return from.index < node->outs ? node->out[from.index] : NO_VALUE;
    case FROM_GRAD:
        if (from.index >= node->outs || node->out[from.index] == NO_VALUE) return NO_VALUE;
        return b->gradient[node->out[from.index]];
    case FROM_NONE:
        break;
    }
    return NO_VALUE;
}

static int new_gradient(struct backward *b, int value, enum value_role role)
{
    struct value of = b->graph->values[value];
    char name[160];
    snprintf(name, sizeof name, "d(%s)", of.name);
    int made = graph_value(b->graph, name, role, of.dtype, &of.shape);
    b->graph->values[made].gradient_of = value;
    if (role == ROLE_PARAMETER_GRADIENT) b->graph->values[made].parameter = of.parameter;
    return made;
}

/* Emits target = target + part, written over the target. */
static void emit_sum(struct backward *b, const char *layer, int target, int part)
{
    struct op_node add = { .op = OP_ADD,
                           .in = { target, part },
                           .ins = 2,
                           .out = { target },
                           .outs = 1,
                           .layer = layer,
                           .backward = true };
    graph_node(b->graph, &add);
}

/* A value got one more contribution: the first one is it, later ones are summed. */
static void contribute(struct backward *b, const char *layer, int value, int part)
{
    if (b->gradient[value] == NO_VALUE) {
        b->gradient[value] = part;
        return;
    }
    int sum = new_gradient(b, value, ROLE_GRADIENT);
    struct op_node add = { .op = OP_ADD,
                           .in = { b->gradient[value], part },
                           .ins = 2,
                           .out = { sum },
                           .outs = 1,
                           .layer = layer,
                           .backward = true };
    graph_node(b->graph, &add);
    b->gradient[value] = sum;
}

/* What remains to be done with an output after its node was appended. */
struct landing {
    int value; /* forward value, or NO_VALUE: nothing */
    int part;  /* the output */
};

/* Chooses where output `j` of a gradient node goes. A parameter's gradient lies in the gradient
 * arena; when there is something to add to and the op cannot add, it takes a detour. */
static struct landing place_output(struct backward *b, struct op_node *emitted, int j, int value)
{
    bool parameter = b->graph->values[value].role == ROLE_PARAMETER;
    if (!parameter) {
        int part = new_gradient(b, value, ROLE_GRADIENT);
        emitted->out[j] = part;
        return (struct landing){ b->wanted[value] ? value : NO_VALUE, part };
    }
    bool first = b->gradient[value] == NO_VALUE;
    if (first) b->gradient[value] = new_gradient(b, value, ROLE_PARAMETER_GRADIENT);
    if (first && !b->accumulate) {
        emitted->out[j] = b->gradient[value];
    } else if (ops[emitted->op].accumulates >> j & 1) {
        emitted->out[j] = b->gradient[value];
        emitted->accumulate |= 1u << j;
    } else {
        emitted->out[j] = new_gradient(b, value, ROLE_GRADIENT);
        return (struct landing){ value, emitted->out[j] };
    }
    return (struct landing){ NO_VALUE, NO_VALUE };
}

/* Emits one recipe for `node` (a copy: the array of nodes grows meanwhile). */
static void emit(struct backward *b, const struct op_node *node, const struct gradient *recipe)
{
    struct op_node made = { .op = recipe->op,
                            .attr = node->attr,
                            .ins = recipe->ins,
                            .outs = recipe->outs,
                            .layer = node->layer,
                            .backward = true };
    bool needs_gradient = false, has_gradient = false, any = false;
    for (int i = 0; i < recipe->ins; i++) {
        made.in[i] = resolve(b, node, recipe->in[i]);
        needs_gradient |= recipe->in[i].from == FROM_GRAD;
        has_gradient |= recipe->in[i].from == FROM_GRAD && made.in[i] != NO_VALUE;
    }
    if (needs_gradient && !has_gradient) return;
    for (int j = 0; j < recipe->outs; j++) {
        int of = recipe->out[j] >= 0 && recipe->out[j] < node->ins ? node->in[recipe->out[j]] : -1;
        any |= of >= 0 && b->wanted[of];
    }
    if (!any) return;
    if (recipe->op == OP_COUNT) {
        int value = node->in[recipe->out[0]];
        if (b->graph->values[value].role != ROLE_PARAMETER)
            contribute(b, node->layer, value, made.in[0]);
        else if (b->gradient[value] != NO_VALUE || b->accumulate)
            emit_sum(b, node->layer, b->gradient[value], made.in[0]);
        return;
    }

    struct landing landings[OP_OUTS];
    int needed = ops[recipe->op].outs - ops[recipe->op].optional_outs;
    for (int j = 0; j < recipe->outs; j++) {
        landings[j] = (struct landing){ NO_VALUE, NO_VALUE };
        made.out[j] = NO_VALUE;
        int of = recipe->out[j] >= 0 && recipe->out[j] < node->ins ? node->in[recipe->out[j]] : -1;
        if (of >= 0 && (b->wanted[of] || j < needed)) landings[j] = place_output(b, &made, j, of);
    }
    while (made.outs && made.out[made.outs - 1] == NO_VALUE) made.outs--;
    while (made.ins && made.in[made.ins - 1] == NO_VALUE) made.ins--;
    if (ops[recipe->op].view) b->graph->values[made.out[0]].alias = made.in[0];
    graph_node(b->graph, &made);
    for (int j = 0; j < made.outs; j++) {
        if (landings[j].value == NO_VALUE) continue;
        if (b->graph->values[landings[j].value].role == ROLE_PARAMETER)
            emit_sum(b, node->layer, b->gradient[landings[j].value], landings[j].part);
        else
            contribute(b, node->layer, landings[j].value, landings[j].part);
    }
}

enum code pass_backward(struct graph *graph, bool accumulate, int *input_gradient, struct err *err)
{
    if (graph->loss == NO_VALUE)
        return err_set(err, USAGE, "cannot compute gradients: the graph has no loss");
    struct backward b = { .graph = graph,
                          .accumulate = accumulate,
                          .forward_values = graph->value_count };
    b.gradient = ARENA_ARRAY(graph->arena, graph->value_count, int);
    b.wanted = ARENA_ARRAY(graph->arena, graph->value_count, bool);
    for (int v = 0; v < graph->value_count; v++) b.gradient[v] = NO_VALUE;
    mark_wanted(&b, input_gradient ? graph->input : NO_VALUE);

    for (int n = graph->node_count - 1; n >= 0; n--) {
        struct op_node node = graph->nodes[n];
        for (int r = 0; r < OP_GRADIENTS && ops[node.op].backward[r].present; r++)
            emit(&b, &node, &ops[node.op].backward[r]);
    }
    if (input_gradient) *input_gradient = b.gradient[graph->input];
    for (int v = 0; v < b.forward_values; v++)
        if (graph->values[v].role == ROLE_PARAMETER && b.gradient[v] == NO_VALUE)
            return err_set(err, USAGE, "cannot train: parameter '%s' does not reach the loss",
                           graph->values[v].name);
    return OK;
}
