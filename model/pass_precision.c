/* Precision: activations and matrix operands in the compute type, everything that must stay wide in
 * f32.
 *
 * Wide are parameters, running and batch statistics, losses, and parameter gradients. What an op
 * makes of narrow inputs is asked of its shape rule, so that this file knows no op by name but the
 * border cases: the first node, the matrix products and the losses. */
#include "model/passes.h"

#include <stdio.h>

struct precision {
    struct graph *graph;
    enum dtype dtype;
    bool *wide; /* per value: stays f32 */
    int room;   /* of `wide` */
};

/* A cast of `value` to `dtype`, made earlier or inserted before node *n. */
static int in_dtype(struct precision *p, int value, enum dtype dtype, int *n)
{
    struct graph *graph = p->graph;
    if (graph->values[value].dtype == dtype) return value;
    for (int i = 0; i < *n; i++)
        if (graph->nodes[i].op == OP_CAST && graph->nodes[i].in[0] == value &&
            graph->values[graph->nodes[i].out[0]].dtype == dtype)
            return graph->nodes[i].out[0];
    struct value from = graph->values[value];
    char name[160];
    snprintf(name, sizeof name, "%s.%s", from.name, dtype_name(dtype));
    int made = graph_value(graph, name, ROLE_ACTIVATION, dtype, &from.shape);
    REQUIRE(made < p->room);
    struct op_node cast = { .op = OP_CAST, .in = { value }, .ins = 1, .out = { made }, .outs = 1 };
    cast.attr.cast.to = dtype;
    if (*n < graph->node_count)
        cast.layer = graph->nodes[*n].layer;
    else
        cast.layer = "output";
    graph_insert(graph, *n, &cast);
    ++*n;
    return made;
}

static bool is_loss(enum op_kind op)
{
    return op == OP_SOFTMAX_XENT || op == OP_MSE || op == OP_HUBER || op == OP_BCE;
}

static bool is_update(enum op_kind op)
{
    return op == OP_GRAD_NORM || op == OP_SGD || op == OP_ADAMW || op == OP_EMA ||
           op == OP_LOSS_SUM;
}

/* Operand 1 of these is a weight that the product reads in the type of operand 0. */
static bool reads_weight(enum op_kind op)
{
    return op == OP_LINEAR || op == OP_LINEAR_BWD_DATA || op == OP_CONV2D ||
           op == OP_CONV2D_BWD_DATA;
}

static void narrow_inputs(struct precision *p, int *n)
{
    struct graph *graph = p->graph;
    for (int i = 0; i < graph->nodes[*n].ins; i++) {
        int value = graph->nodes[*n].in[i];
        if (value == NO_VALUE || graph->values[value].dtype != DTYPE_F32) continue;
        enum value_role role = graph->values[value].role;
        bool computed = role == ROLE_ACTIVATION || role == ROLE_GRADIENT;
        bool weight = role == ROLE_PARAMETER && i == 1 && reads_weight(graph->nodes[*n].op);
        if ((computed && !p->wide[value]) || weight) {
            int narrow = in_dtype(p, value, p->dtype, n);
            graph_read(graph, *n, i, narrow);
        }
    }
}

/* Output types: forward by the shape rule, backward like the value whose gradient it is. */
static enum code type_outputs(struct precision *p, const struct op_node *node, struct err *err)
{
    struct graph *graph = p->graph;
    struct tensor in[OP_INS], out[OP_OUTS] = { 0 };
    int outs = node->outs;
    if (!node->backward) {
        struct op_call call;
        graph_call(graph, node, &call);
        for (int i = 0; i < node->ins; i++) in[i] = call.in[i];
        TRY(op_infer(node->op, &node->attr, in, node->ins, out, &outs, err));
    }
    for (int i = 0; i < node->outs; i++) {
        if (node->out[i] == NO_VALUE) continue;
        struct value *value = &graph->values[node->out[i]];
        if (!node->backward) {
            value->dtype = out[i].dtype;
            p->wide[node->out[i]] = out[i].dtype == DTYPE_F32;
        } else if (value->role == ROLE_GRADIENT) {
            const struct value *of = &graph->values[value->gradient_of];
            bool parameter = of->role == ROLE_PARAMETER;
            value->dtype = parameter ? DTYPE_F32 : of->dtype;
            p->wide[node->out[i]] = parameter;
        }
    }
    return OK;
}

enum code pass_precision(struct graph *graph, const struct device *device, enum dtype dtype,
                         struct err *err)
{
    if (dtype == DTYPE_F32) return OK;
    if (!((device->fast_dtypes | device->slow_dtypes) >> dtype & 1)) {
        err_set(err, USAGE, "cannot compute in %s: %s has no fast %s", dtype_name(dtype),
                device->description, dtype_name(dtype));
        return err_hint(err, "Use `precision: auto`, which takes what the hardware has.");
    }
    /* each node adds at most one cast per input */
    struct precision p = { .graph = graph,
                           .dtype = dtype,
                           .room = graph->value_count + graph->node_count * OP_INS + 1 };
    p.wide = ARENA_ARRAY(graph->arena, p.room, bool);
    for (int n = 0; n < graph->node_count; n++) {
        enum op_kind op = graph->nodes[n].op;
        if (is_update(op)) continue;
        if (is_loss(op)) {
            int logits = in_dtype(&p, graph->nodes[n].in[0], DTYPE_F32, &n);
            graph->nodes[n].in[0] = logits;
            p.wide[graph->nodes[n].out[0]] = p.wide[graph->nodes[n].out[1]] = true;
            continue;
        }
        if (op == OP_NORMALIZE)
            graph->nodes[n].attr.cast.to = dtype;
        else
            narrow_inputs(&p, &n);
        struct op_node node = graph->nodes[n];
        TRY(type_outputs(&p, &node, err));
    }
    int end = graph->node_count;
    graph->output = in_dtype(&p, graph->output, DTYPE_F32, &end);
    return OK;
}
