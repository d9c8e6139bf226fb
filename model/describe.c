/* model.json: made from the experiment's model section and the data, read back anywhere. */
#include "model/build.h"
#include "model/layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const normalize_words[] = { "dataset", "none", NULL };

static const struct field input_fields[] = {
    { .key = "normalize",
      .type = FIELD_WORD,
      .words = normalize_words,
      .fallback = "dataset",
      .since = "0.1",
      .help = "'dataset' subtracts the mean and divides by the deviation that the "
              "dataset's manifest gives, and stores both with the model.",
      .example = "dataset" },
    { 0 },
};

static const struct field layer_item = { .type = FIELD_CHOICE, .choices = layer_choices };

static const struct field smoothing_fields[] = {
    { .key = "label_smoothing",
      .type = FIELD_REAL,
      .low = 0,
      .high = 0.9,
      .fallback = "0",
      .since = "0.1",
      .help = "Share of the target that is spread over all classes.",
      .example = "0.1" },
    { .key = "balance",
      .type = FIELD_BOOL,
      .fallback = "false",
      .since = "0.1",
      .help = "Weights each class by the inverse of its share in the training split.",
      .example = "true" },
    { 0 },
};

static const struct field huber_fields[] = {
    { .key = "delta",
      .type = FIELD_REAL,
      .low = 0,
      .low_open = true,
      .high = 1e9,
      .fallback = "1",
      .since = "0.1",
      .help = "Where the loss goes over from squared to absolute.",
      .example = "0.5" },
    { 0 },
};

const struct choice loss_choices[] = {
    { .name = "cross_entropy",
      .help = "Softmax and cross-entropy over the classes.",
      .fields = smoothing_fields },
    { .name = "mse", .help = "Squared error." },
    { .name = "huber", .help = "Squared near zero, absolute farther out.", .fields = huber_fields },
    { .name = "bce", .help = "Sigmoid and binary cross-entropy per output." },
    { 0 },
};

static const struct field flip_fields[] = {
    { .key = "direction",
      .type = FIELD_WORD,
      .words = (const char *const[]){ "horizontal", NULL },
      .fallback = "horizontal",
      .since = "0.1",
      .help = "Which way to mirror.",
      .example = "horizontal" },
    { .key = "probability",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1,
      .fallback = "0.5",
      .since = "0.1",
      .help = "Share of the rows that are mirrored.",
      .example = "0.5" },
    { 0 },
};

static const struct field crop_fields[] = {
    { .key = "pad",
      .type = FIELD_INT,
      .low = 1,
      .high = 64,
      .fallback = "4",
      .since = "0.1",
      .help = "Zeros added on each side before a random window of the old size is taken.",
      .example = "4" },
    { 0 },
};

const struct choice augment_choices[] = {
    { .name = "flip",
      .help = "Mirrors rows at random.",
      .fields = flip_fields,
      .shorthand = "direction" },
    { .name = "padded_crop",
      .help = "Shifts rows at random.",
      .fields = crop_fields,
      .shorthand = "pad" },
    { 0 },
};

const struct field model_fields[] = {
    { .key = "input",
      .type = FIELD_MAP,
      .fields = input_fields,
      .since = "0.1",
      .help = "How raw rows enter the model.",
      .example = "{normalize: dataset}" },
    { .key = "layers",
      .type = FIELD_LIST,
      .item = &layer_item,
      .nonempty = true,
      .since = "0.1",
      .help = "The layers in their order; or give a preset.",
      .example = "[flatten, {dense: {units: 10}}]" },
    { .key = "preset",
      .type = FIELD_CHOICE,
      .choices = preset_choices,
      .since = "0.1",
      .help = "A known architecture, written out as layers.",
      .example = "resnet18" },
    { .key = "init",
      .type = FIELD_REF,
      .since = "0.1",
      .help = "Warm start: a run, checkpoint or version whose weights are taken where name and "
              "shape agree.",
      .example = "runs/fashion-cnn" },
    { .key = "loss",
      .type = FIELD_CHOICE,
      .choices = loss_choices,
      .fallback = "cross_entropy",
      .since = "0.1",
      .help = "What training makes small.",
      .example = "cross_entropy" },
    { 0 },
};

static enum code refuse_at(const struct node *node, struct err *err, const char *text)
{
    err_set(err, CONFIG, "%s", text);
    err_at(err, node->mark.file, node->mark.line, node->mark.column);
    return CONFIG;
}

static enum code describe_layers(json_t **layers, const struct node *section,
                                 const struct model_facts *facts, struct err *err)
{
    const struct node *list = node_at(section, "layers"), *preset = node_at(section, "preset");
    if (list && preset) return refuse_at(preset, err, "cannot use both 'layers' and 'preset'");
    if (!list && !preset)
        return refuse_at(section, err, "cannot build a model without 'layers' or 'preset'");
    if (list)
        *layers = node_json(list);
    else
        *layers = preset_layers(node_choice(preset, NULL), node_options(preset, NULL),
                                facts->outputs);
    return OK;
}

/* y = x * scale + shift with scale = 1 / deviation, shift = -mean / deviation; a constant feature
 * (deviation 0) is only centred. */
static json_t *describe_normalize(const struct model_facts *facts)
{
    json_t *scale = json_array(), *shift = json_array();
    for (size_t i = 0; i < facts->constants; i++) {
        double factor = facts->deviation[i] > 0 ? 1 / facts->deviation[i] : 1;
        json_array_append_new(scale, json_real(factor));
        json_array_append_new(shift, json_real(-facts->mean[i] * factor));
    }
    return json_pack("{s:o,s:o}", "scale", scale, "shift", shift);
}

/* Cross-entropy is for classes, the other losses for numbers. */
static enum code check_loss(const struct node *section, const struct model_facts *facts,
                            struct err *err)
{
    const struct node *loss = node_at(section, "loss");
    const char *name = node_choice(loss, NULL);
    if ((strcmp(name, "cross_entropy") == 0) == facts->classification) return OK;
    const struct node *at = loss->is_default ? section : loss;
    err_set(err, CONFIG, "cannot train with loss '%s': the data's targets are %s", name,
            facts->classification ? "classes" : "numbers");
    err_hint(err, facts->classification ? "Say `loss: cross_entropy`." : "Say `loss: mse`.");
    return err_at(err, at->mark.file, at->mark.line, at->mark.column);
}

enum code model_describe(json_t **model, const struct node *section,
                         const struct model_facts *facts, struct err *err)
{
    json_t *layers;
    TRY(check_loss(section, facts, err));
    TRY(describe_layers(&layers, section, facts, err));
    json_t *shape = json_array();
    for (int d = 0; d < facts->input.rank; d++)
        json_array_append_new(shape, json_integer(facts->input.dim[d]));
    json_t *made = json_pack("{s:s,s:s,s:{s:s,s:s,s:o},s:I,s:o,s:o}", "pawl", "model/1", "task",
                             facts->classification ? "classification" : "regression", "input",
                             "column", facts->column, "dtype", dtype_name(facts->input_dtype),
                             "shape", shape, "outputs", (json_int_t)facts->outputs, "layers",
                             layers, "loss", node_json(node_at(section, "loss")));
    if (facts->constants && strcmp(node_text(section, "input.normalize"), "dataset") == 0)
        json_object_set_new(made, "normalize", describe_normalize(facts));
    if (facts->classification) {
        json_t *names = json_array();
        for (int64_t c = 0; c < facts->outputs; c++) {
            char number[24];
            snprintf(number, sizeof number, "%lld", (long long)c);
            json_array_append_new(names,
                                  json_string(facts->class_names ? facts->class_names[c] : number));
        }
        json_object_set_new(made, "classes", names);
    }
    *model = made;
    return OK;
}

enum code model_io_read(struct model_io *io, const json_t *model, struct err *err)
{
    memset(io, 0, sizeof *io);
    const char *task = json_string_value(json_object_get(model, "task"));
    const json_t *input = json_object_get(model, "input"), *shape = json_object_get(input, "shape");
    const char *dtype = json_string_value(json_object_get(input, "dtype"));
    io->outputs = json_integer_value(json_object_get(model, "outputs"));
    size_t rank = json_array_size(shape);
    if (!task || !dtype || !dtype_parse(&io->input_dtype, dtype) || io->outputs < 1 || rank < 1 ||
        rank >= TENSOR_DIMS || !json_is_array(json_object_get(model, "layers")))
        return err_set(err, DAMAGED, "cannot use model.json: it does not describe a model");
    io->input.rank = (int)rank;
    for (size_t d = 0; d < rank; d++) {
        io->input.dim[d] = json_integer_value(json_array_get(shape, d));
        if (io->input.dim[d] < 1)
            return err_set(err, DAMAGED, "cannot use model.json: input dimension %zu is %lld", d,
                           (long long)io->input.dim[d]);
    }
    io->classification = strcmp(task, "classification") == 0;
    io->classes = io->classification ? io->outputs : 0;
    return OK;
}
