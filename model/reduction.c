/* Which collectives a program starts after which node. */
#include "model/reduction.h"

#include "model/bucket.h"

#include <string.h>

struct started {
    int after;
    struct collective group[COLLECTIVE_GROUP];
    int count;
};

struct reduction {
    struct started *at; /* in the order in which they are started */
    int count;
    int next; /* of this run */
    int join; /* before this node; the program's count: at its end */
};

static bool reads_whole_arena(const struct graph *graph, const struct op_node *node)
{
    for (int i = 0; i < node->ins; i++)
        if (node->in[i] != NO_VALUE &&
            graph->values[graph_root(graph, node->in[i])].role == ROLE_ARENA)
            return true;
    return false;
}

static int first_update(const struct graph *graph)
{
    int n = 0;
    while (n < graph->node_count && !reads_whole_arena(graph, &graph->nodes[n])) n++;
    return n;
}

/* The last node that updates a running statistic; -1: none does. */
static int last_statistic(const struct graph *graph)
{
    int last = -1;
    for (int n = 0; n < graph->node_count; n++)
        for (int i = 0; i < graph->nodes[n].ins; i++) {
            int in = graph->nodes[n].in[i];
            if (in != NO_VALUE && ops[graph->nodes[n].op].updates >> i & 1 &&
                graph->values[graph_root(graph, in)].role == ROLE_STATE)
                last = n;
        }
    return last;
}

static int last_of(const struct graph *graph, enum op_kind op)
{
    int last = -1;
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == op) last = n;
    return last;
}

/* Adds a group behind those that are started no later. */
static struct started *add(struct reduction *reduction, int after,
                           const struct collective *collective)
{
    int at = reduction->count++;
    while (at > 0 && reduction->at[at - 1].after > after) {
        reduction->at[at] = reduction->at[at - 1];
        at--;
    }
    reduction->at[at] = (struct started){ .after = after, .group = { *collective }, .count = 1 };
    return &reduction->at[at];
}

static struct collective in_place(enum collective_op op, enum dtype dtype, void *memory,
                                  int64_t count)
{
    return (struct collective){ .kind = COLLECTIVE_ALL_REDUCE,
                                .op = op,
                                .dtype = dtype,
                                .out = memory,
                                .in = memory,
                                .count = count };
}

/* The step's sums go with the last group, once the loss is there. */
static void add_sums(struct program *program)
{
    struct reduction *reduction = program->reduction;
    struct started *last = &reduction->at[reduction->count - 1];
    int there = last_of(program->graph, OP_LOSS_SUM);
    if (there < 0) return;
    if (last->after < there) last->after = there;
    last->group[last->count++] = in_place(COLLECTIVE_SUM, DTYPE_F64, &program->block->loss_sum, 2);
}

void reduction_plan(struct program *program, const struct params *params,
                    const struct program_opts *opts)
{
    const struct graph *graph = program->graph;
    struct arena *arena = &program->arena;
    struct reduction *reduction = program->reduction = ARENA_NEW(arena, struct reduction);
    struct bucket *buckets;
    int *complete = ARENA_ARRAY(arena, params->segments.count, int);
    struct bucket_opts how = { .bytes = opts->bucket_bytes, .ranks = program->device->ranks };
    bucket_completion(complete, graph, params);
    int count = bucket_cut(&buckets, &params->segments, complete, &how, arena);
    int statistic = last_statistic(graph);
    reduction->join = first_update(graph);
    reduction->at = ARENA_ARRAY(arena, count + 1, struct started);
    for (int b = 0; b < count; b++) {
        struct collective sum = in_place(COLLECTIVE_SUM, DTYPE_F32,
                                         params->memory[ARENA_GRADIENT] + buckets[b].first,
                                         buckets[b].count);
        add(reduction, opts->no_overlap ? reduction->join - 1 : buckets[b].after, &sum);
    }
    if (statistic >= 0) {
        struct collective mean = in_place(COLLECTIVE_MEAN, DTYPE_F32, params->memory[ARENA_STATE],
                                          params_size(params, ARENA_STATE));
        add(reduction, opts->no_overlap ? reduction->join - 1 : statistic, &mean);
    }
    if (reduction->count) add_sums(program);
}

enum code reduction_step(struct program *program, int n, struct err *err)
{
    struct device *device = program->device;
    struct reduction *reduction = program->reduction;
    if (!reduction) return OK;
    if (n == 0) reduction->next = 0;
    for (; reduction->next < reduction->count; reduction->next++) {
        const struct started *at = &reduction->at[reduction->next];
        if (at->after >= n) break;
        TRY(device->collective->start(device, at->group, at->count, err));
    }
    return n == reduction->join ? device->collective->join(device, err) : OK;
}

void reduction_replayed(struct program *program)
{
    struct device *device = program->device;
    const struct reduction *reduction = program->reduction;
    for (int i = 0; reduction && i < reduction->count; i++)
        device->collective->replayed(device, reduction->at[i].group, reduction->at[i].count);
}
