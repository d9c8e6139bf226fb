/* Layers with weights: conv, dense, batch_norm, layer_norm. */
#include "model/layer.h"

#include <stdio.h>
#include <string.h>

static int parameter(struct builder *builder, const char *layer, const char *part,
                     struct parameter what)
{
    char name[128];
    snprintf(name, sizeof name, "%s.%s", layer, part);
    what.name = name;
    return graph_parameter(builder->graph, &what);
}

static bool with_bias(const struct builder *builder, const json_t *options)
{
    const char *word = option_text(options, "bias");
    if (strcmp(word, "auto") == 0) return !builder->before_norm;
    return strcmp(word, "with") == 0;
}

enum code build_conv(struct builder *builder, const char *name, const json_t *options, int in,
                     int *out, struct err *err)
{
    struct shape x = builder->graph->values[in].shape;
    if (x.rank != 4) {
        char text[SHAPE_TEXT];
        return layer_refuse(builder, err,
                            "cannot build layer '%s': conv needs rows of [height, width, channels] "
                            "but gets %s with the batch",
                            name, shape_text(&x, text));
    }
    int64_t filters = option_int(options, "filters"), side = option_int(options, "kernel");
    int64_t groups = option_int(options, "groups"), dilation = option_int(options, "dilation");
    if (x.dim[3] % groups || filters % groups)
        return layer_refuse(builder, err,
                            "cannot build layer '%s': groups %lld does not divide %lld input and "
                            "%lld output channels",
                            name, (long long)groups, (long long)x.dim[3], (long long)filters);
    int pad = 0;
    if (strcmp(option_text(options, "padding"), "same") == 0)
        pad = (int)((side - 1) * dilation / 2);
    int stride = (int)option_int(options, "stride");

    struct op_node node = { .op = OP_CONV2D, .in = { in }, .ins = 2, .layer = name };
    node.attr.conv.stride[0] = node.attr.conv.stride[1] = stride;
    node.attr.conv.dilation[0] = node.attr.conv.dilation[1] = (int)dilation;
    for (int i = 0; i < 4; i++) node.attr.conv.pad[i] = pad;
    node.attr.conv.groups = (int)groups;
    double fan_in = (double)(side * side * x.dim[3] / groups);
    node.in[1] = parameter(
        builder, name, "weight",
        (struct parameter){ .shape = SHAPE(filters, side, side, x.dim[3] / groups),
                            .decay = true,
                            .init = INIT_HE_NORMAL,
                            .fan_in = fan_in });
    if (with_bias(builder, options))
        node.in[node.ins++] = parameter(builder, name, "bias",
                                        (struct parameter){ .shape = SHAPE(filters) });
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_dense(struct builder *builder, const char *name, const json_t *options, int in,
                      int *out, struct err *err)
{
    struct shape x = builder->graph->values[in].shape;
    if (x.rank < 2) {
        char text[SHAPE_TEXT];
        return layer_refuse(builder, err,
                            "cannot build layer '%s': dense needs rows of at least "
                            "one dimension but gets %s",
                            name, shape_text(&x, text));
    }
    if (x.rank > 3)
        return layer_refuse(builder, err,
                            "cannot build layer '%s': dense gets rows of %d "
                            "dimensions; put a flatten or global_avg_pool in front",
                            name, x.rank - 1);
    int64_t inputs = x.dim[x.rank - 1], units = option_int(options, "units");
    struct op_node node = { .op = OP_LINEAR, .in = { in }, .ins = 2, .layer = name };
    node.in[1] = parameter(builder, name, "weight",
                           (struct parameter){ .shape = SHAPE(units, inputs),
                                               .decay = true,
                                               .init = INIT_GLOROT_UNIFORM,
                                               .fan_in = (double)inputs,
                                               .fan_out = (double)units });
    if (with_bias(builder, options))
        node.in[node.ins++] = parameter(builder, name, "bias",
                                        (struct parameter){ .shape = SHAPE(units) });
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_batch_norm(struct builder *builder, const char *name, const json_t *options, int in,
                           int *out, struct err *err)
{
    struct shape x = builder->graph->values[in].shape;
    int64_t channels = x.dim[x.rank - 1];
    bool training = builder->opts->training;
    struct op_node node = {
        .op = training ? OP_BATCH_NORM : OP_BATCH_NORM_INFER, .in = { in }, .ins = 5, .layer = name
    };
    node.attr.norm.eps = (float)option_real(options, "eps");
    node.attr.norm.momentum = (float)option_real(options, "momentum");
    struct shape per_channel = SHAPE(channels);
    node.in[1] = parameter(builder, name, "gamma",
                           (struct parameter){ .shape = per_channel, .init = INIT_ONE });
    node.in[2] = parameter(builder, name, "beta", (struct parameter){ .shape = per_channel });
    node.in[3] = parameter(builder, name, "running_mean",
                           (struct parameter){ .shape = per_channel, .state = true });
    node.in[4] = parameter(
        builder, name, "running_var",
        (struct parameter){ .shape = per_channel, .state = true, .init = INIT_ONE });
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}

enum code build_layer_norm(struct builder *builder, const char *name, const json_t *options, int in,
                           int *out, struct err *err)
{
    struct shape x = builder->graph->values[in].shape;
    struct op_node node = { .op = OP_LAYER_NORM, .in = { in }, .ins = 3, .layer = name };
    node.attr.norm.eps = (float)option_real(options, "eps");
    struct shape per_channel = SHAPE(x.dim[x.rank - 1]);
    node.in[1] = parameter(builder, name, "gamma",
                           (struct parameter){ .shape = per_channel, .init = INIT_ONE });
    node.in[2] = parameter(builder, name, "beta", (struct parameter){ .shape = per_channel });
    TRY(layer_emit(builder, &node, "y", err));
    *out = node.out[0];
    return OK;
}
