/* Building a graph from model.json: input, normalisation, augmentation, layers, loss.
 *
 * The description is checked here as a foreign document: it may come from a registry written by
 * another version. Positions in the YAML file are only for messages. */
#include "model/build.h"

#include "base/rng.h"
#include "model/layer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int64_t option_int(const json_t *options, const char *key)
{
    return json_integer_value(json_object_get(options, key));
}

double option_real(const json_t *options, const char *key)
{
    return json_number_value(json_object_get(options, key));
}

const char *option_text(const json_t *options, const char *key)
{
    const char *text = json_string_value(json_object_get(options, key));
    return text ? text : "";
}

enum code layer_refuse(struct builder *builder, struct err *err, const char *format, ...)
{
    char message[sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    err_set(err, CONFIG, "%s", message);
    if (builder->position)
        err_at(err, builder->position->mark.file, builder->position->mark.line,
               builder->position->mark.column);
    return CONFIG;
}

enum code layer_emit(struct builder *builder, struct op_node *node, const char *suffix,
                     struct err *err)
{
    enum code code = graph_emit(builder->graph, node, suffix, err);
    if (code != USAGE || !err) return code;
    char reason[sizeof err->message];
    snprintf(reason, sizeof reason, "%s", err->message);
    return layer_refuse(builder, err, "cannot build layer '%s': %.400s", node->layer, reason);
}

/* Every option of the row must be there with a sound type. */
static bool options_complete(const struct choice *row, const json_t *options)
{
    for (const struct field *f = row->fields; f && f->key; f++) {
        const json_t *value = json_object_get(options, f->key);
        if (!value && !f->required && !f->fallback) continue;
        bool sound = f->type == FIELD_INT    ? json_is_integer(value)
                     : f->type == FIELD_REAL ? json_is_number(value)
                     : f->type == FIELD_WORD ? json_is_string(value)
                     : f->type == FIELD_BOOL ? json_is_boolean(value)
                     : f->type == FIELD_LIST ? json_is_array(value)
                                             : value != NULL;
        if (!sound) return false;
    }
    return true;
}

static bool is_layer(const json_t *item, const char *name)
{
    return item && json_object_get(item, name);
}

static enum code build_one(struct builder *builder, const json_t *item, int in, int *out,
                           struct err *err)
{
    const char *kind = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)item));
    const struct choice *row = kind ? choice_find(layer_choices, kind) : NULL;
    if (!row || json_object_size(item) != 1)
        return err_set(err, DAMAGED, "cannot build the model: unknown layer '%s'",
                       kind ? kind : "?");
    const json_t *options = json_object_get(item, kind);
    if (!options_complete(row, options))
        return err_set(err, DAMAGED, "cannot build the model: a layer '%s' lacks options", kind);

    char name[96];
    snprintf(name, sizeof name, "%s_%d", kind, ++builder->numbers[row - layer_choices]);
    const struct layer *layer = row->detail;
    return layer->build(builder, arena_copy(builder->graph->arena, name), options, in, out, err);
}

enum code build_layers(struct builder *builder, const json_t *items, const struct node *positions,
                       int in, int *out, struct err *err)
{
    const struct node *at = positions ? positions->first : NULL;
    *out = in;
    for (size_t i = 0; i < json_array_size(items); i++) {
        builder->position = at;
        builder->before_norm = is_layer(json_array_get(items, i + 1), "batch_norm");
        TRY(build_one(builder, json_array_get(items, i), *out, out, err));
        if (at) at = at->next;
    }
    return OK;
}

/* Numbers of a JSON list as a constant [count] f32 value. */
static int constant(struct graph *graph, const char *name, const json_t *numbers, int64_t count,
                    float fallback)
{
    float *values = ARENA_ARRAY(graph->arena, count, float);
    size_t given = json_array_size(numbers);
    for (int64_t i = 0; i < count; i++)
        values[i] = given ? (float)json_number_value(
                                json_array_get(numbers, given == 1 ? 0 : (size_t)i))
                          : fallback;
    int value = graph_value(graph, name, ROLE_CONSTANT, DTYPE_F32, &SHAPE(count));
    graph->values[value].constant = values;
    return value;
}

/* The model's first node: raw rows to normalised f32. */
static enum code build_input(struct builder *builder, const json_t *model,
                             const struct model_io *io, int *out, struct err *err)
{
    struct graph *graph = builder->graph;
    struct shape batch = { .rank = io->input.rank + 1, .dim = { builder->opts->batch } };
    for (int d = 0; d < io->input.rank; d++) batch.dim[d + 1] = io->input.dim[d];
    graph->input = graph_value(graph, "input", ROLE_INPUT, io->input_dtype, &batch);
    graph->ordinal = graph_value(graph, "ordinal", ROLE_INPUT, DTYPE_I64,
                                 &SHAPE(builder->opts->batch));
    const json_t *normalize = json_object_get(model, "normalize");
    int64_t channels = batch.dim[batch.rank - 1];
    struct op_node node = {
        .op = OP_NORMALIZE, .in = { graph->input }, .ins = 3, .layer = "normalize"
    };
    node.in[1] = constant(graph, "normalize.scale", json_object_get(normalize, "scale"), channels,
                          1);
    node.in[2] = constant(graph, "normalize.shift", json_object_get(normalize, "shift"), channels,
                          0);
    TRY(graph_emit(graph, &node, "y", err));
    *out = node.out[0];
    return OK;
}

static enum code build_augment(struct builder *builder, int in, int *out, struct err *err)
{
    *out = in;
    const json_t *items = builder->opts->augment;
    for (size_t i = 0; builder->opts->training && i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        const char *kind = json_object_iter_key(json_object_iter(item));
        const json_t *options = kind ? json_object_get(item, kind) : NULL;
        struct op_node node = { .in = { *out, builder->graph->ordinal }, .ins = 2 };
        char name[64];
        snprintf(name, sizeof name, "augment_%zu_%s", i + 1, kind ? kind : "");
        node.layer = arena_copy(builder->graph->arena, name);
        node.attr.augment.path = rng_hash(name);
        if (kind && strcmp(kind, "flip") == 0) {
            node.op = OP_FLIP;
            node.attr.augment.probability = (float)option_real(options, "probability");
        } else if (kind && strcmp(kind, "padded_crop") == 0) {
            node.op = OP_PADDED_CROP;
            node.attr.augment.pad = (int)option_int(options, "pad");
        } else {
            return err_set(err, DAMAGED, "cannot build the model: unknown augmentation '%s'",
                           kind ? kind : "?");
        }
        TRY(layer_emit(builder, &node, "y", err));
        *out = node.out[0];
    }
    return OK;
}

static const struct {
    const char *name;
    enum op_kind op;
    bool classification;
} losses[] = {
    { "cross_entropy", OP_SOFTMAX_XENT, true },
    { "mse", OP_MSE, false },
    { "huber", OP_HUBER, false },
    { "bce", OP_BCE, false },
};

static enum code build_loss(struct builder *builder, const json_t *loss, const struct model_io *io,
                            struct err *err)
{
    struct graph *graph = builder->graph;
    const char *kind = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)loss));
    size_t row = 0, rows = sizeof losses / sizeof *losses;
    while (row < rows && (!kind || strcmp(losses[row].name, kind) != 0)) row++;
    if (row == rows)
        return err_set(err, DAMAGED, "cannot build the model: unknown loss '%s'",
                       kind ? kind : "?");
    if (losses[row].classification != io->classification)
        return err_set(err, DAMAGED, "cannot build the model: loss '%s' is not for its task", kind);
    const json_t *options = json_object_get(loss, kind);
    int64_t batch = builder->opts->batch;
    struct shape labels = SHAPE(batch), targets = SHAPE(batch, io->outputs);
    graph->target = losses[row].classification
                        ? graph_value(graph, "label", ROLE_INPUT, DTYPE_I32, &labels)
                        : graph_value(graph, "target", ROLE_INPUT, DTYPE_F32, &targets);
    struct op_node node = {
        .op = losses[row].op, .in = { graph->output, graph->target }, .ins = 2, .layer = "loss"
    };
    node.attr.loss.smoothing = option_real(options, "label_smoothing");
    node.attr.loss.delta = json_object_get(options, "delta") ? option_real(options, "delta") : 1;
    node.attr.loss.nominal = builder->opts->nominal ? builder->opts->nominal : batch;
    node.attr.loss.ignore_index = -1;
    if (builder->opts->class_weights && losses[row].classification) {
        int weights = graph_value(graph, "class_weights", ROLE_CONSTANT, DTYPE_F32,
                                  &SHAPE(io->outputs));
        graph->values[weights].constant = builder->opts->class_weights;
        node.in[node.ins++] = weights;
    }
    TRY(layer_emit(builder, &node, "loss", err));
    graph->loss = node.out[0];
    graph->weight = node.out[1];
    return OK;
}

enum code model_build(struct graph *graph, const json_t *model, const struct build_opts *opts,
                      struct err *err)
{
    struct model_io io;
    TRY(model_io_read(&io, model, err));
    struct builder builder = { .graph = graph, .opts = opts };
    int value;
    TRY(build_input(&builder, model, &io, &value, err));
    TRY(build_augment(&builder, value, &value, err));
    TRY(build_layers(&builder, json_object_get(model, "layers"), opts->layers, value, &value, err));

    const struct shape *got = &graph->values[value].shape;
    if (got->rank != 2 || got->dim[1] != io.outputs) {
        char text[SHAPE_TEXT];
        err_set(err, CONFIG,
                "cannot build the model: the last layer gives %s, but the data needs "
                "[batch, %lld]",
                shape_text(got, text), (long long)io.outputs);
        err_hint(err, "End the layers with dense: {units: %lld}.", (long long)io.outputs);
        const struct node *last = opts->layers ? opts->layers->first : NULL;
        while (last && last->next) last = last->next;
        if (last) err_at(err, last->mark.file, last->mark.line, last->mark.column);
        return CONFIG;
    }
    graph->output = value;
    return opts->loss ? build_loss(&builder, json_object_get(model, "loss"), &io, err) : OK;
}
