/* Buckets from a segment table and the nodes that complete its segments. */
#include "model/bucket.h"

#include <string.h>

static const size_t usual_bytes = (size_t)25 << 20;

/* Index in the table of each parameter's segment; -1 for running statistics. */
static int *segment_indices(const struct params *params, struct arena *arena)
{
    int *index = ARENA_ARRAY(arena, params->count, int), next = 0;
    for (int i = params->count - 1; i >= 0; i--) index[i] = params->items[i].state ? -1 : next++;
    return index;
}

void bucket_completion(int *complete, const struct graph *graph, const struct params *params)
{
    struct arena scratch = { 0 };
    const int *index = segment_indices(params, &scratch);
    memset(complete, 0, (size_t)params->segments.count * sizeof *complete);
    for (int n = 0; n < graph->node_count; n++)
        for (int o = 0; o < graph->nodes[n].outs; o++) {
            int out = graph->nodes[n].out[o];
            if (out == NO_VALUE) continue;
            const struct value *value = &graph->values[graph_root(graph, out)];
            if (value->role == ROLE_PARAMETER_GRADIENT) complete[index[value->parameter]] = n;
        }
    arena_release(&scratch);
}

/* The last node that completes a number of [first, first + count). */
static int complete_after(const struct segments *segments, const int *complete, int64_t first,
                          int64_t count)
{
    int after = 0;
    for (int64_t s = 0; s < segments->count; s++) {
        const struct segment *at = &segments->at[s];
        bool overlaps = at->offset < first + count && at->offset + at->count > first;
        if (overlaps && complete[s] > after) after = complete[s];
    }
    return after;
}

int bucket_cut(struct bucket **buckets, const struct segments *segments, const int *complete,
               const struct bucket_opts *opts, struct arena *arena)
{
    int64_t unit = (int64_t)opts->ranks * 4, count = 0, first = 0;
    int64_t enough = (int64_t)((opts->bytes ? opts->bytes : usual_bytes) / sizeof(float));
    if (enough < unit) enough = unit;
    *buckets = ARENA_ARRAY(arena, segments->count + 1, struct bucket);
    for (int64_t s = 0; s < segments->count; s++) {
        bool last = s + 1 == segments->count;
        int64_t end = last ? segments->size : segments->at[s + 1].offset;
        if (!last && end - first < enough) continue;
        end = last ? (end + unit - 1) / unit * unit : end / unit * unit;
        (*buckets)[count++] = (struct bucket){
            .first = first,
            .count = end - first,
            .after = complete_after(segments, complete, first, end - first),
        };
        first = end;
    }
    return (int)count;
}
