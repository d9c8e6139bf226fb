/* Layers made of layers: repeat, residual, parallel. */
#include "model/layer.h"

#include <string.h>

/* The YAML list under `key` of the layer being built, for positions inside it. */
static const struct node *positions_of(const struct builder *builder, const char *key)
{
    if (!builder->position) return NULL;
    return node_at(node_options(builder->position, NULL), key);
}

enum code build_repeat(struct builder *builder, const char *name, const json_t *options, int in,
                       int *out, struct err *err)
{
    (void)name;
    const json_t *layers = json_object_get(options, "layers");
    const struct node *positions = positions_of(builder, "layers");
    *out = in;
    for (int64_t t = 0; t < option_int(options, "times"); t++)
        TRY(build_layers(builder, layers, positions, *out, out, err));
    return OK;
}

enum code build_residual(struct builder *builder, const char *name, const json_t *options, int in,
                         int *out, struct err *err)
{
    const struct node *branch_at = positions_of(builder, "layers");
    const struct node *shortcut_at = positions_of(builder, "shortcut"), *here = builder->position;
    const json_t *shortcut = json_object_get(options, "shortcut");
    int branch, straight = in;
    TRY(build_layers(builder, json_object_get(options, "layers"), branch_at, in, &branch, err));
    if (json_array_size(shortcut))
        TRY(build_layers(builder, shortcut, shortcut_at, in, &straight, err));
    builder->position = here;

    const struct shape *a = &builder->graph->values[branch].shape;
    const struct shape *b = &builder->graph->values[straight].shape;
    if (!shape_equal(a, b)) {
        char left[SHAPE_TEXT], right[SHAPE_TEXT];
        return layer_refuse(builder, err,
                            "cannot build layer '%s': the branch gives %s but the "
                            "shortcut %s; give both the same shape",
                            name, shape_text(a, left), shape_text(b, right));
    }
    struct op_node node = { .op = OP_ADD, .in = { branch, straight }, .ins = 2, .layer = name };
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_parallel(struct builder *builder, const char *name, const json_t *options, int in,
                         int *out, struct err *err)
{
    const json_t *branches = json_object_get(options, "branches");
    const struct node *positions = positions_of(builder, "branches"), *here = builder->position;
    size_t count = json_array_size(branches);
    if (count > OP_INS)
        return layer_refuse(builder, err, "cannot build layer '%s': %zu branches, at most %d", name,
                            count, OP_INS);
    struct op_node node = { .op = OP_CONCAT, .ins = (int)count, .layer = name };
    for (size_t i = 0; i < count; i++) {
        const struct node *at = positions ? positions->first : NULL;
        for (size_t skip = 0; at && skip < i; skip++) at = at->next;
        TRY(build_layers(builder, json_array_get(branches, i), at, in, &node.in[i], err));
    }
    builder->position = here;
    node.attr.concat.axis = builder->graph->values[node.in[0]].shape.rank - 1;
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}
