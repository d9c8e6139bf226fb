/* Fusion: fewer passes over memory.
 *
 * Two patterns. An activation joins the linear or conv2d before it. batch_norm, activation and
 * max_pool join into bn_act_pool, and their backward nodes into bn_act_pool_bwd, which finds the
 * mask again from x. A pattern is joined only where nobody else reads what disappears and the
 * device supports the result; the reference of a fused op is the composition of its parts. */
#include "model/passes.h"

#include <string.h>

static const struct {
    enum op_kind forward, backward;
    enum activation act;
    bool keeps_output; /* backward reads the output, not the input */
} activations[] = {
    { OP_RELU, OP_RELU_BWD, ACT_RELU, true },          { OP_GELU, OP_GELU_BWD, ACT_GELU, false },
    { OP_SILU, OP_SILU_BWD, ACT_SILU, false },         { OP_TANH, OP_TANH_BWD, ACT_TANH, true },
    { OP_SIGMOID, OP_SIGMOID_BWD, ACT_SIGMOID, true },
};

enum { ACTIVATION_ROWS = sizeof activations / sizeof *activations };

static int activation_row(enum op_kind op)
{
    for (int row = 0; row < ACTIVATION_ROWS; row++)
        if (activations[row].forward == op) return row;
    return -1;
}

/* The first node with this op that reads `value`; -1 when there is none. */
static int reader_with(const struct graph *graph, int value, enum op_kind op)
{
    for (int n = 0; value != NO_VALUE && n < graph->node_count; n++)
        for (int i = 0; graph->nodes[n].op == op && i < graph->nodes[n].ins; i++)
            if (graph->nodes[n].in[i] == value) return n;
    return -1;
}

/* The only reader of `value`; -1 when there are none or several. */
static int only_reader(const struct graph *graph, int value)
{
    if (value == NO_VALUE || value == graph->output || graph_readers(graph, value) != 1) return -1;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].ins; i++)
            if (graph->nodes[n].in[i] == value) return n;
    return -1;
}

static bool supported(const struct graph *graph, const struct device *device,
                      const struct op_node *node)
{
    struct op_call call;
    graph_call(graph, node, &call);
    return device_supports(device, &call);
}

/* linear or conv2d at `n`, followed by an activation that alone reads it. */
static void fuse_activation(struct graph *graph, const struct device *device, int n)
{
    struct op_node *node = &graph->nodes[n];
    int next = only_reader(graph, node->out[0]);
    int row = next < 0 ? -1 : activation_row(graph->nodes[next].op);
    if (row < 0) return;
    struct op_node fused = *node;
    if (node->op == OP_LINEAR)
        fused.attr.linear.act = activations[row].act;
    else
        fused.attr.conv.act = activations[row].act;
    fused.out[0] = graph->nodes[next].out[0];
    if (!supported(graph, device, &fused)) return;
    graph->nodes[n] = fused;
    graph_remove(graph, next);
}

/* The nodes of one batch_norm pattern; -1 where there is none. */
struct chain {
    int norm, act, pool;             /* forward */
    int pool_bwd, act_bwd, norm_bwd; /* backward */
    int row;
};

static bool square_pool(const struct op_node *node, int *side)
{
    *side = node->attr.pool.size[0];
    for (int i = 0; i < 4; i++)
        if (node->attr.pool.pad[i]) return false;
    return node->attr.pool.size[1] == *side && node->attr.pool.stride[0] == *side &&
           node->attr.pool.stride[1] == *side;
}

/* Follows batch_norm at `n` forward, and its backward nodes from the activation back. */
static bool find_chain(const struct graph *graph, int n, struct chain *chain)
{
    *chain = (struct chain){ n, -1, -1, -1, -1, -1, -1 };
    int y = graph->nodes[n].out[0];
    for (int row = 0; row < ACTIVATION_ROWS && chain->act < 0; row++) {
        chain->act = reader_with(graph, y, activations[row].forward);
        chain->row = row;
    }
    if (chain->act < 0 || y == graph->output) return false;
    int z = graph->nodes[chain->act].out[0];
    bool keeps = activations[chain->row].keeps_output;
    chain->act_bwd = reader_with(graph, keeps ? z : y, activations[chain->row].backward);
    bool backward = chain->act_bwd >= 0;
    if (graph_readers(graph, y) != 1 + (backward && !keeps)) return false;
    if (backward) {
        chain->norm_bwd = only_reader(graph, graph->nodes[chain->act_bwd].out[0]);
        if (chain->norm_bwd < 0 || graph->nodes[chain->norm_bwd].op != OP_BATCH_NORM_BWD)
            return false;
    }
    chain->pool = reader_with(graph, z, OP_MAX_POOL);
    int side, kept = backward && keeps;
    if (chain->pool >= 0 && (z == graph->output || graph_readers(graph, z) != 1 + kept ||
                             !square_pool(&graph->nodes[chain->pool], &side)))
        chain->pool = -1;
    if (chain->pool >= 0 && backward) {
        chain->pool_bwd = graph_writer(graph, graph->nodes[chain->act_bwd].in[0]);
        if (chain->pool_bwd < 0 || graph->nodes[chain->pool_bwd].op != OP_MAX_POOL_BWD ||
            only_reader(graph, graph->nodes[chain->pool_bwd].out[0]) != chain->act_bwd)
            chain->pool = chain->pool_bwd = -1;
    }
    return true;
}

/* Forward node of the joined pattern. */
static struct op_node joined_forward(const struct graph *graph, const struct chain *chain)
{
    struct op_node made = graph->nodes[chain->norm];
    made.op = OP_BN_ACT_POOL;
    made.attr.norm.act = activations[chain->row].act;
    made.attr.norm.pool = 1;
    made.out[0] = graph->nodes[chain->act].out[0];
    made.outs = 3;
    if (chain->pool >= 0) {
        made.attr.norm.pool = graph->nodes[chain->pool].attr.pool.size[0];
        made.out[0] = graph->nodes[chain->pool].out[0];
        made.out[3] = graph->nodes[chain->pool].out[1];
        made.outs = 4;
    }
    return made;
}

/* Backward node: dy, x, gamma, beta, mean, rstd, index -> dx, dgamma, dbeta. */
static struct op_node joined_backward(const struct graph *graph, const struct chain *chain,
                                      const struct op_node *forward)
{
    struct op_node made = graph->nodes[chain->norm_bwd];
    int first = chain->pool >= 0 ? chain->pool_bwd : chain->act_bwd;
    made.op = OP_BN_ACT_POOL_BWD;
    made.attr = forward->attr;
    made.in[0] = graph->nodes[first].in[0];
    made.in[1] = forward->in[0];
    made.in[2] = forward->in[1];
    made.in[3] = forward->in[2];
    made.in[4] = forward->out[1];
    made.in[5] = forward->out[2];
    made.in[6] = chain->pool >= 0 ? forward->out[3] : NO_VALUE;
    made.ins = chain->pool >= 0 ? 7 : 6;
    return made;
}

static void remove_marked(struct graph *graph, const int *marked, int count)
{
    for (int n = graph->node_count - 1; n >= 0; n--)
        for (int i = 0; i < count; i++)
            if (marked[i] == n) {
                graph_remove(graph, n);
                break;
            }
}

static bool join(struct graph *graph, const struct device *device, const struct chain *chain)
{
    struct op_node forward = joined_forward(graph, chain), backward = { 0 };
    if (!supported(graph, device, &forward)) return false;
    if (chain->norm_bwd >= 0) {
        backward = joined_backward(graph, chain, &forward);
        if (!supported(graph, device, &backward)) return false;
        graph->nodes[chain->norm_bwd] = backward;
    }
    graph->nodes[chain->norm] = forward;
    int gone[] = { chain->act, chain->pool, chain->act_bwd, chain->pool_bwd };
    remove_marked(graph, gone, 4);
    return true;
}

static void fuse_norm(struct graph *graph, const struct device *device, int n)
{
    struct chain chain;
    if (graph->values[graph->nodes[n].in[0]].shape.rank != 4 || !find_chain(graph, n, &chain))
        return;
    if (join(graph, device, &chain) || chain.pool < 0) return;
    chain.pool = chain.pool_bwd = -1;
    join(graph, device, &chain);
}

enum code pass_fuse(struct graph *graph, const struct device *device, struct err *err)
{
    (void)err;
    for (int n = 0; n < graph->node_count; n++) {
        enum op_kind op = graph->nodes[n].op;
        if (op == OP_LINEAR || op == OP_CONV2D)
            fuse_activation(graph, device, n);
        else if (op == OP_BATCH_NORM)
            fuse_norm(graph, device, n);
    }
    return OK;
}

void pass_trim(struct graph *graph)
{
    for (int n = 0; n < graph->node_count; n++) {
        struct op_node *node = &graph->nodes[n];
        int needed = ops[node->op].outs - ops[node->op].optional_outs;
        while (node->outs > needed) {
            int last = node->out[node->outs - 1];
            if (last != NO_VALUE && (graph_readers(graph, last) || last == graph->output)) break;
            if (last != NO_VALUE && graph->values[last].role == ROLE_PARAMETER_GRADIENT) break;
            node->outs--;
        }
    }
}
