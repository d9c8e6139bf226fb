/* Layers without weights: activations, pooling, shapes, dropout. */
#include "base/rng.h"
#include "model/layer.h"

#include <string.h>

static enum code emit_unary(struct builder *builder, enum op_kind op, const char *name, int in,
                            int *out, struct err *err)
{
    struct op_node node = { .op = op, .in = { in }, .ins = 1, .layer = name };
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

#define UNARY(function, op)                                                                        \
    enum code function(struct builder *builder, const char *name, const json_t *options, int in,   \
                       int *out, struct err *err)                                                  \
    {                                                                                              \
        (void)options;                                                                             \
        return emit_unary(builder, op, name, in, out, err);                                        \
    }

UNARY(build_relu, OP_RELU)
UNARY(build_gelu, OP_GELU)
UNARY(build_silu, OP_SILU)
UNARY(build_tanh, OP_TANH)
UNARY(build_sigmoid, OP_SIGMOID)
UNARY(build_global_avg_pool, OP_GLOBAL_AVG_POOL)

static enum code emit_pool(struct builder *builder, struct op_node *node, const json_t *options,
                           int *out, struct err *err)
{
    int size = (int)option_int(options, "size"), stride = (int)option_int(options, "stride");
    int pad = (int)option_int(options, "pad");
    if (pad > size / 2)
        return layer_refuse(builder, err,
                            "cannot build layer '%s': pad %d is more than half of "
                            "size %d",
                            node->layer, pad, size);
    for (int i = 0; i < 2; i++) {
        node->attr.pool.size[i] = size;
        node->attr.pool.stride[i] = stride ? stride : size;
    }
    for (int i = 0; i < 4; i++) node->attr.pool.pad[i] = pad;
    TRY(layer_emit(builder, node, "y", err));
    *out = node->out[0];
    return OK;
}

enum code build_max_pool(struct builder *builder, const char *name, const json_t *options, int in,
                         int *out, struct err *err)
{
    struct op_node node = { .op = OP_MAX_POOL, .in = { in }, .ins = 1, .layer = name };
    return emit_pool(builder, &node, options, out, err);
}

enum code build_avg_pool(struct builder *builder, const char *name, const json_t *options, int in,
                         int *out, struct err *err)
{
    struct op_node node = { .op = OP_AVG_POOL, .in = { in }, .ins = 1, .layer = name };
    node.attr.pool.count_padding = json_is_true(json_object_get(options, "count_padding"));
    return emit_pool(builder, &node, options, out, err);
}

enum code build_flatten(struct builder *builder, const char *name, const json_t *options, int in,
                        int *out, struct err *err)
{
    (void)options;
    struct op_node node = { .op = OP_RESHAPE, .in = { in }, .ins = 1, .layer = name };
    node.attr.reshape.shape = SHAPE(0, -1);
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_reshape(struct builder *builder, const char *name, const json_t *options, int in,
                        int *out, struct err *err)
{
    const json_t *dims = json_object_get(options, "shape");
    if (json_array_size(dims) >= TENSOR_DIMS)
        return layer_refuse(builder, err,
                            "cannot build layer '%s': a row has at most %d "
                            "dimensions",
                            name, TENSOR_DIMS - 1);
    struct op_node node = { .op = OP_RESHAPE, .in = { in }, .ins = 1, .layer = name };
    struct shape *shape = &node.attr.reshape.shape;
    shape->rank = 1 + (int)json_array_size(dims); /* dim[0] is 0: the batch as it comes */
    for (size_t d = 0; d < json_array_size(dims); d++)
        shape->dim[d + 1] = json_integer_value(json_array_get(dims, d));
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_permute(struct builder *builder, const char *name, const json_t *options, int in,
                        int *out, struct err *err)
{
    const json_t *order = json_object_get(options, "order");
    int rank = builder->graph->values[in].shape.rank;
    struct op_node node = { .op = OP_PERMUTE, .in = { in }, .ins = 1, .layer = name };
    uint32_t seen = 1;
    for (size_t d = 0; d < json_array_size(order) && (int)d < rank - 1; d++) {
        int64_t from = json_integer_value(json_array_get(order, d)) + 1;
        if (from > 0 && from < rank) seen |= 1u << from;
        node.attr.permute.order[d + 1] = (int)from;
    }
    if ((int)json_array_size(order) != rank - 1 || seen != (1u << rank) - 1)
        return layer_refuse(builder, err,
                            "cannot build layer '%s': order must name each of the "
                            "row's %d dimensions once",
                            name, rank - 1);
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_dropout(struct builder *builder, const char *name, const json_t *options, int in,
                        int *out, struct err *err)
{
    *out = in;
    double rate = option_real(options, "rate");
    if (!builder->opts->training || rate <= 0) return OK;
    struct op_node node = {
        .op = OP_DROPOUT, .in = { in, builder->graph->ordinal }, .ins = 2, .layer = name
    };
    node.attr.dropout.rate = (float)rate;
    node.attr.dropout.path = rng_hash(name);
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}
