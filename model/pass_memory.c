/* The memory plan: who may lie where, from lifetimes.
 *
 * Values are placed largest first, each at the lowest offset that is free during its whole life. A
 * view and an in-place result share the memory of their root. The invariant: two values whose lives
 * overlap never overlap in the arena (tests check it on whole graphs). */
#include "model/passes.h"

#include <stdlib.h>
#include <string.h>

enum { VALUE_ALIGN = 128 };

struct life {
    int value;
    int born, dies; /* node positions, both included */
    uint64_t bytes, offset;
};

static bool lives_here(const struct value *value)
{
    return value->role == ROLE_ACTIVATION || value->role == ROLE_GRADIENT;
}

static void touch(struct life *life, int node)
{
    if (life->born < 0 || node < life->born) life->born = node;
    if (node > life->dies) life->dies = node;
}

/* Lives of roots, by value index; values that are never touched keep born == -1. */
static void find_lives(const struct graph *graph, struct life *lives)
{
    for (int v = 0; v < graph->value_count; v++)
        lives[v] = (struct life){ .value = v, .born = -1, .dies = -1 };
    for (int n = 0; n < graph->node_count; n++) {
        const struct op_node *node = &graph->nodes[n];
        for (int i = 0; i < node->ins; i++)
            if (node->in[i] != NO_VALUE) touch(&lives[graph_root(graph, node->in[i])], n);
        for (int i = 0; i < node->outs; i++)
            if (node->out[i] != NO_VALUE) touch(&lives[graph_root(graph, node->out[i])], n);
    }
    int kept[] = { graph->output, graph->loss, graph->weight };
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++)
        if (kept[k] != NO_VALUE) touch(&lives[graph_root(graph, kept[k])], graph->node_count);
}

/* Lets an output take over its first input's memory where that one dies and the op allows it. */
static void reuse_in_place(struct graph *graph)
{
    struct life *lives = ARENA_ARRAY(graph->arena, graph->value_count, struct life);
    find_lives(graph, lives);
    for (int n = 0; n < graph->node_count; n++) {
        const struct op_node *node = &graph->nodes[n];
        if (!ops[node->op].in_place || node->in[0] == NO_VALUE || node->out[0] == NO_VALUE)
            continue;
        struct value *out = &graph->values[node->out[0]];
        int from = graph_root(graph, node->in[0]);
        if (out->alias != NO_VALUE || !lives_here(out) || from == node->out[0]) continue;
        bool free_to_take = lives_here(&graph->values[from]) && lives[from].dies == n &&
                            value_bytes(&graph->values[from]) == value_bytes(out);
        for (int i = 1; i < node->ins; i++)
            if (node->in[i] != NO_VALUE && graph_root(graph, node->in[i]) == from)
                free_to_take = false;
        if (!free_to_take) continue;
        out->alias = from;
        touch(&lives[from], lives[node->out[0]].dies);
    }
}

static int by_size(const void *a, const void *b)
{
    const struct life *left = a, *right = b;
    if (left->bytes != right->bytes) return left->bytes > right->bytes ? -1 : 1;
    return left->value - right->value;
}

static int by_offset(const void *a, const void *b)
{
    const struct life *const *left = a, *const *right = b;
    if ((*left)->offset != (*right)->offset) return (*left)->offset < (*right)->offset ? -1 : 1;
    return (*left)->value - (*right)->value;
}

/* The lowest offset where `life` meets no placed value that lives at the same time. */
static uint64_t find_place(const struct life *life, const struct life *placed, int count,
                           const struct life **scratch)
{
    int meeting = 0;
    for (int i = 0; i < count; i++)
        if (placed[i].born <= life->dies && life->born <= placed[i].dies)
            scratch[meeting++] = &placed[i];
    qsort(scratch, (size_t)meeting, sizeof *scratch, by_offset);
    uint64_t at = 0;
    for (int i = 0; i < meeting; i++) {
        if (scratch[i]->offset >= at + life->bytes) break;
        uint64_t end = scratch[i]->offset + scratch[i]->bytes;
        if (end > at) at = end;
    }
    return at;
}

void pass_memory(struct graph *graph, const struct op_call *calls, bool no_reuse,
                 struct arena *arena, struct memory_plan *plan)
{
    *plan = (struct memory_plan){ .offset = ARENA_ARRAY(arena, graph->value_count, uint64_t) };
    for (int n = 0; n < graph->node_count; n++)
        if (calls[n].workspace_bytes > plan->workspace) plan->workspace = calls[n].workspace_bytes;
    if (!no_reuse) reuse_in_place(graph);

    struct life *lives = ARENA_ARRAY(arena, graph->value_count, struct life);
    find_lives(graph, lives);
    int count = 0;
    for (int v = 0; v < graph->value_count; v++) {
        const struct value *value = &graph->values[v];
        plan->offset[v] = UINT64_MAX;
        if (!lives_here(value) || value->alias != NO_VALUE || lives[v].born < 0) continue;
        uint64_t bytes = (value_bytes(value) + VALUE_ALIGN - 1) / VALUE_ALIGN * VALUE_ALIGN;
        lives[v].bytes = bytes;
        if (value->role == ROLE_ACTIVATION)
            plan->activations += bytes;
        else
            plan->gradients += bytes;
        if (no_reuse) lives[v].born = 0, lives[v].dies = graph->node_count;
        lives[count++] = lives[v]; /* count <= v */
    }
    qsort(lives, (size_t)count, sizeof *lives, by_size);

    const struct life **scratch = ARENA_ARRAY(arena, count, const struct life *);
    for (int i = 0; i < count; i++) {
        lives[i].offset = find_place(&lives[i], lives, i, scratch);
        plan->offset[lives[i].value] = lives[i].offset;
        if (lives[i].offset + lives[i].bytes > plan->bytes)
            plan->bytes = lives[i].offset + lives[i].bytes;
    }
}
