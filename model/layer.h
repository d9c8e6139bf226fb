/* Layers: rows of one table in layers.c, each with a function that adds its nodes to a graph.
 *
 * To add a layer: one row in layer_choices (name, keys, help) and one build function. */
#ifndef PAWL_MODEL_LAYER_H
#define PAWL_MODEL_LAYER_H

#include "base/schema.h"
#include "model/build.h"

enum { LAYER_KINDS = 32 };

struct builder {
    struct graph *graph;
    const struct build_opts *opts;
    int numbers[LAYER_KINDS];    /* layers of each kind so far, for names like "conv_2" */
    const struct node *position; /* of the layer being built, or NULL */
    bool before_norm;            /* the next layer is a batch_norm: a bias here would be void */
};

/* Builds one layer: `name` is unique ("conv_2"), `options` is the effective options object. */
typedef enum code layer_build(struct builder *builder, const char *name, const json_t *options,
                              int in, int *out, struct err *err);

/* The table. `detail` of each row is a `const struct layer`. */
extern const struct choice layer_choices[];

struct layer {
    layer_build *build;
};

/* Builds a list of layers in a row (repeat, residual and parallel call this). `items` is the JSON
 * list, `positions` the YAML list it came from or NULL. */
enum code build_layers(struct builder *builder, const json_t *items, const struct node *positions,
                       int in, int *out, struct err *err);

/* Typed options of a layer; an absent one is a bug of whoever wrote model.json, reported as DAMAGED
 * by build_layers before the layer is built, so these never fail. */
int64_t option_int(const json_t *options, const char *key);
double option_real(const json_t *options, const char *key);
const char *option_text(const json_t *options, const char *key);

/* Fails with CONFIG at the position of the layer being built. */
enum code layer_refuse(struct builder *builder, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* graph_emit whose USAGE failure becomes CONFIG naming layer and line. */
enum code layer_emit(struct builder *builder, struct op_node *node, const char *suffix,
                     struct err *err);

/* The build functions, by file. */
layer_build build_conv, build_dense, build_batch_norm, build_layer_norm;
layer_build build_relu, build_gelu, build_silu, build_tanh, build_sigmoid;
layer_build build_max_pool, build_avg_pool, build_global_avg_pool;
layer_build build_flatten, build_reshape, build_permute, build_dropout;
layer_build build_repeat, build_residual, build_parallel;

/* Presets: a name and a function that writes the layers out (new reference). */
extern const struct choice preset_choices[];
json_t *preset_layers(const char *name, const struct node *options, int64_t outputs);

#endif
