/* Layout: each node gets its inputs in the layout that its device wants; reorders bridge the rest.
 *
 * A value is reordered once per layout and program run, however many nodes want it so. A view reads
 * what its node reads, in the canonical layout. */
#include "model/passes.h"

#include <stdio.h>

/* The value that holds `value` in `layout`: itself, one made earlier, or a new one. */
static int in_layout(struct graph *graph, int value, uint32_t layout, uint64_t bytes, int *n)
{
    if (graph->values[value].layout == layout) return value;
    for (int i = 0; i < *n; i++) {
        const struct op_node *node = &graph->nodes[i];
        if (node->op == OP_REORDER && node->in[0] == value && node->attr.reorder.layout == layout)
            return node->out[0];
    }
    struct value from = graph->values[value];
    char name[160];
    snprintf(name, sizeof name, "%s@%u", from.name, layout);
    int made = graph_value(graph, name, ROLE_ACTIVATION, from.dtype, &from.shape);
    graph->values[made].layout = layout;
    graph->values[made].bytes = bytes;
    struct op_node reorder = { .op = OP_REORDER,
                               .in = { value },
                               .ins = 1,
                               .out = { made },
                               .outs = 1,
                               .layer = graph->nodes[*n].layer };
    reorder.attr.reorder.layout = layout;
    reorder.attr.reorder.bytes = bytes;
    graph_insert(graph, *n, &reorder);
    ++*n;
    return made;
}

/* An output that lives in params or that the caller reads stays canonical. */
static void out_layout(struct graph *graph, int n, int i, uint32_t layout, uint64_t bytes)
{
    int value = graph->nodes[n].out[i];
    struct value *of = &graph->values[value];
    bool read = value == graph->output || value == graph->loss || value == graph->weight;
    if (read || (of->role != ROLE_ACTIVATION && of->role != ROLE_GRADIENT)) return;
    of->layout = layout;
    of->bytes = bytes;
}

enum code pass_layout(struct graph *graph, struct device *device, struct err *err)
{
    for (int n = 0; n < graph->node_count; n++) {
        struct call_layouts wanted = { 0 };
        const struct kernel *kernel = &device->kernels[graph->nodes[n].op];
        struct op_call call;
        graph_call(graph, &graph->nodes[n], &call);
        if (kernel->layout) TRY(kernel->layout(device, &call, &wanted, err));
        for (int i = 0; i < graph->nodes[n].ins; i++) {
            int value = graph->nodes[n].in[i];
            if (value == NO_VALUE || graph->nodes[n].op == OP_REORDER) continue;
            int there = in_layout(graph, value, wanted.in[i], wanted.in_bytes[i], &n);
            graph_read(graph, n, i, there);
        }
        for (int i = 0; i < graph->nodes[n].outs; i++)
            if (wanted.out[i] && graph->nodes[n].out[i] != NO_VALUE)
                out_layout(graph, n, i, wanted.out[i], wanted.out_bytes[i]);
    }
    return OK;
}
