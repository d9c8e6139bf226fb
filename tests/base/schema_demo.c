/* The tables of the tests; see schema_demo.h. */
#include "schema_demo.h"

#include <math.h>

static const struct field adamw_fields[] = {
    { .key = "lr",
      .type = FIELD_REAL,
      .low_open = true,
      .high = 10,
      .fallback = "1e-3",
      .since = "0.1",
      .help = "Peak learning rate.",
      .example = "3e-4" },
    { .key = "weight_decay", .type = FIELD_REAL, .low = 0, .high = 1, .fallback = "0.01" },
    { 0 },
};
static const struct field sgd_fields[] = {
    { .key = "lr", .type = FIELD_REAL, .required = true, .low_open = true, .example = "0.1" },
    { .key = "momentum", .type = FIELD_REAL, .low = 0, .high = 1, .fallback = "0.9" },
    { 0 },
};
static const struct choice optimizers[] = {
    { .name = "adamw", .help = "Adam with decoupled weight decay.", .fields = adamw_fields },
    { .name = "sgd", .help = "Stochastic gradient descent.", .fields = sgd_fields },
    { 0 },
};

enum { LAYERS = 6 };
static const struct choice layers[LAYERS + 1];
static const struct field layer_item = { .type = FIELD_CHOICE, .choices = layers };
static const struct field conv_fields[] = {
    { .key = "filters",
      .type = FIELD_INT,
      .required = true,
      .low = 1,
      .high = 65536,
      .help = "Output channels.",
      .example = "32" },
    { .key = "kernel", .type = FIELD_INT, .low = 1, .high = 31, .fallback = "3" },
    { .key = "padding",
      .type = FIELD_WORD,
      .words = (const char *const[]){ "same", "valid", NULL },
      .fallback = "same" },
    { 0 },
};
static const struct field repeat_fields[] = {
    { .key = "times",
      .type = FIELD_INT,
      .required = true,
      .low = 1,
      .high = INFINITY,
      .example = "2" },
    { .key = "layers",
      .type = FIELD_LIST,
      .required = true,
      .nonempty = true,
      .item = &layer_item },
    { 0 },
};
static const struct field residual_fields[] = {
    { .key = "layers",
      .type = FIELD_LIST,
      .required = true,
      .nonempty = true,
      .item = &layer_item },
    { 0 },
};
static const struct field flip_fields[] = {
    { .key = "axis",
      .type = FIELD_WORD,
      .words = (const char *const[]){ "horizontal", "vertical", NULL },
      .required = true },
    { 0 },
};
static const struct choice layers[LAYERS + 1] = {
    { .name = "conv", .help = "Convolution.", .fields = conv_fields },
    { .name = "relu", .help = "max(x, 0)." },
    { .name = "batch_norm", .help = "Batch normalisation." },
    { .name = "flip", .help = "Mirror.", .fields = flip_fields, .shorthand = "axis" },
    { .name = "repeat", .help = "Several times the same.", .fields = repeat_fields },
    { .name = "residual",
      .help = "Layers around which x is added.",
      .fields = residual_fields,
      .shorthand = "layers" },
    { 0 },
};

static const struct field data_fields[] = {
    { .key = "file",
      .type = FIELD_PATH,
      .required = true,
      .help = "The dataset.",
      .example = "fashion.h5" },
    { .key = "block",
      .type = FIELD_BYTES,
      .low = 4096,
      .high = 1 << 30,
      .unit = "B",
      .fallback = "1MiB",
      .affects = AFFECTS_PLACE },
    { .key = "shuffle", .type = FIELD_BOOL, .fallback = "true" },
    { 0 },
};
static const struct field model_fields[] = {
    { .key = "layers", .type = FIELD_LIST, .item = &layer_item, .help = "From input to output." },
    { .key = "init", .type = FIELD_REF, .help = "A model to start from." },
    { 0 },
};
static const struct field clip_fields[] = {
    { .key = "norm",
      .type = FIELD_REAL,
      .required = true,
      .infinite = true,
      .low_open = true,
      .example = "1.0" },
    { 0 },
};
static const struct field keep_fields[] = {
    { .key = "best", .type = FIELD_INT, .fallback = "1" },
    { .key = "last", .type = FIELD_INT, .fallback = "2" },
    { 0 },
};
static const struct field checkpoint_fields[] = {
    { .key = "every", .type = FIELD_SPAN, .fallback = "1ep", .low_open = true, .high = 1e9 },
    { .key = "keep", .type = FIELD_MAP, .fields = keep_fields, .fallback = "{}" },
    { 0 },
};
static const struct field train_fields[] = {
    { .key = "epochs",
      .type = FIELD_SPAN,
      .unit = "ep",
      .required = true,
      .low_open = true,
      .high = 1e6,
      .affects = AFFECTS_SCHEDULE_END,
      .help = "How long to train.",
      .example = "5" },
    { .key = "batch",
      .type = FIELD_INT,
      .low = 1,
      .high = 1 << 24,
      .fallback = "256",
      .help = "Rows in a step, over all ranks.",
      .example = "128" },
    { .key = "optimizer",
      .type = FIELD_CHOICE,
      .choices = optimizers,
      .fallback = "{adamw: {weight_decay: 0.05}}",
      .help = "How weights move." },
    { .key = "precision",
      .type = FIELD_WORD,
      .words = (const char *const[]){ "auto", "bf16", "f32", NULL },
      .fallback = "auto" },
    { .key = "clip", .type = FIELD_MAP, .fields = clip_fields },
    { .key = "checkpoint",
      .type = FIELD_MAP,
      .fields = checkpoint_fields,
      .fallback = "{}",
      .affects = AFFECTS_PLACE },
    { .key = "seed", .type = FIELD_INT, .fallback = "1" },
    { .key = "limit",
      .type = FIELD_TIME,
      .unit = "s",
      .low = 1,
      .high = INFINITY,
      .affects = AFFECTS_PLACE },
    { 0 },
};
static const struct field slice_fields[] = {
    { .key = "name", .type = FIELD_NAME, .required = true, .example = "rare" },
    { .key = "is", .type = FIELD_ANY, .required = true },
    { 0 },
};
static const struct field slice_item = { .type = FIELD_MAP, .fields = slice_fields };
static const struct field demo_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .required = true,
      .affects = AFFECTS_PLACE,
      .example = "fashion-cnn" },
    { .key = "note", .type = FIELD_TEXT, .affects = AFFECTS_PLACE },
    { .key = "data", .type = FIELD_MAP, .fields = data_fields, .required = true },
    { .key = "model", .type = FIELD_MAP, .fields = model_fields },
    { .key = "train", .type = FIELD_MAP, .fields = train_fields, .required = true },
    { .key = "slices", .type = FIELD_LIST, .item = &slice_item },
    { .key = "registry", .type = FIELD_PATH, .fallback = "registry" },
    { 0 },
};
const struct kind demo_kind = {
    .name = "demo", .version = 1, .help = "A small experiment.", .fields = demo_fields
};

static const struct field bar_fields[] = {
    { .key = "alpha",
      .type = FIELD_REAL,
      .low_open = true,
      .high = 0.5,
      .required = true,
      .example = "0.05" },
    { .key = "title", .type = FIELD_TEXT },
    { 0 },
};
const struct kind bar_kind = {
    .name = "bar", .version = 1, .fields = bar_fields, .no_environment = true
};

const struct kind *const demo_kinds[] = { &demo_kind, &bar_kind, &part_kind, NULL };
