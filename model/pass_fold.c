/* Folding: batch_norm_infer disappears into the weights of the layer before it.
 *
 * y = (w x + b - mean) * gamma / sqrt(var + eps) + beta is a convolution with scaled weights and
 * another bias. The arithmetic is f64; each folded number is rounded once. */
#include "model/params.h"
#include "model/passes.h"

#include <math.h>
#include <stdio.h>

struct folding {
    struct graph *graph;
    const struct params *params;
    struct err *err;
};

/* A parameter's numbers on the host (arena). */
static enum code fetch(struct folding *f, const float **numbers, int value)
{
    const struct value *of = &f->graph->values[value];
    if (of->role == ROLE_CONSTANT) {
        *numbers = of->constant;
        return OK;
    }
    int64_t count = shape_count(&of->shape);
    float *copy = ARENA_ARRAY(f->graph->arena, count, float);
    enum params_arena arena = of->role == ROLE_STATE ? ARENA_STATE : ARENA_VALUE;
    *numbers = copy;
    return f->params->device->copy_out(f->params->device, copy,
                                       params_at(f->params, arena, of->parameter),
                                       (size_t)count * sizeof(float), f->err);
}

static int add_constant(struct graph *graph, const char *layer, const char *part,
                        const struct shape *shape, const float *numbers)
{
    char name[160];
    snprintf(name, sizeof name, "%s.folded_%s", layer, part);
    int value = graph_value(graph, name, ROLE_CONSTANT, DTYPE_F32, shape);
    graph->values[value].constant = numbers;
    return value;
}

static enum code fold(struct folding *f, struct op_node *node, const struct op_node *norm)
{
    struct graph *graph = f->graph;
    struct shape shape = graph->values[node->in[1]].shape;
    int64_t outputs = shape.dim[0], inner = shape_inner(&shape, 1);
    const float *weight, *bias = NULL, *gamma, *beta, *mean, *variance;
    TRY(fetch(f, &weight, node->in[1]));
    if (node->ins > 2 && node->in[2] != NO_VALUE) TRY(fetch(f, &bias, node->in[2]));
    TRY(fetch(f, &gamma, norm->in[1]));
    TRY(fetch(f, &beta, norm->in[2]));
    TRY(fetch(f, &mean, norm->in[3]));
    TRY(fetch(f, &variance, norm->in[4]));

    float *new_weight = ARENA_ARRAY(graph->arena, outputs * inner, float);
    float *new_bias = ARENA_ARRAY(graph->arena, outputs, float);
    for (int64_t o = 0; o < outputs; o++) {
        double scale = (double)gamma[o] / sqrt((double)variance[o] + (double)norm->attr.norm.eps);
        for (int64_t i = 0; i < inner; i++)
            new_weight[o * inner + i] = (float)((double)weight[o * inner + i] * scale);
        double old = bias ? (double)bias[o] : 0;
        new_bias[o] = (float)((old - (double)mean[o]) * scale + (double)beta[o]);
    }
    node->in[1] = add_constant(graph, node->layer, "weight", &shape, new_weight);
    node->in[2] = add_constant(graph, node->layer, "bias", &SHAPE(outputs), new_bias);
    node->ins = 3;
    node->out[0] = norm->out[0];
    return OK;
}

enum code pass_fold(struct graph *graph, const struct params *params, struct err *err)
{
    struct folding f = { .graph = graph, .params = params, .err = err };
    for (int n = 0; n < graph->node_count; n++) {
        struct op_node node = graph->nodes[n];
        if (node.op != OP_CONV2D && node.op != OP_LINEAR) continue;
        int y = node.out[0];
        if (y == graph->output || graph_readers(graph, y) != 1) continue;
        for (int next = n + 1; next < graph->node_count; next++) {
            struct op_node norm = graph->nodes[next];
            if (norm.op != OP_BATCH_NORM_INFER || norm.in[0] != y) continue;
            TRY(fold(&f, &node, &norm));
            graph->nodes[n] = node;
            graph_remove(graph, next);
            break;
        }
    }
    return OK;
}
