/* From a model description to a graph.
 *
 * model.json (`model/1`) says all that is needed to build a model: input, normalisation, layers
 * with every option, classes, loss. Training, evaluation and deployment build from it alone, by
 * this one way. model_describe makes it from the experiment's `model` section and facts of the
 * dataset. */
#ifndef PAWL_MODEL_BUILD_H
#define PAWL_MODEL_BUILD_H

#include "base/schema.h"
#include "model/graph.h"
#include "model/infer.h"

/* Keys of the experiment's `model` section. */
extern const struct field model_fields[];
/* Alternatives of `augment` items (a training program's own nodes). */
extern const struct choice augment_choices[];
/* Alternatives of `loss`. */
extern const struct choice loss_choices[];

/* What a model needs to know of the data it is for. */
struct model_facts {
    enum dtype input_dtype; /* U8 or F32 */
    struct shape input;     /* one row */
    const char *column;     /* of the input */
    bool classification;
    int64_t outputs;                /* classes, or regression targets */
    const char *const *class_names; /* `outputs` of them, or NULL */
    const double *mean, *deviation; /* `constants` each, in raw units; NULL: none */
    size_t constants;
};

/* Makes model/1 (new reference) from the effective `model` node. Presets are written out as layers.
 * A preset whose class count contradicts the data is CONFIG with position. */
enum code model_describe(json_t **model, const struct node *section,
                         const struct model_facts *facts, struct err *err);

struct build_opts {
    int64_t batch;
    bool training;              /* batch statistics, dropout, augmentation */
    const json_t *augment;      /* effective list of augment choices, or NULL */
    bool loss;                  /* append the loss of model.json */
    int64_t nominal;            /* examples in a whole step; 0: batch */
    const float *class_weights; /* one per class, kept by the caller; NULL: none */
    const struct node *layers; /* the YAML list that the layers came from, for positions; or NULL */
};

/* Builds the forward graph (and the loss). Fails with CONFIG (a mismatch: layer, both shapes, line)
 * or DAMAGED (model.json itself is malformed). */
enum code model_build(struct graph *graph, const json_t *model, const struct build_opts *opts,
                      struct err *err);

#endif
