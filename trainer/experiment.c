/* The experiment's tables of keys, and reading the effective document into a struct. */
#include "trainer/experiment.h"

#include "model/build.h"

#include <string.h>

static const struct field augment_item = { .type = FIELD_CHOICE, .choices = augment_choices };

static const struct field train_data_fields[] = {
    { .key = "split",
      .type = FIELD_NAME,
      .fallback = "train",
      .since = "0.1",
      .help = "Split of the dataset to train on.",
      .example = "train" },
    { .key = "augment",
      .type = FIELD_LIST,
      .item = &augment_item,
      .since = "0.1",
      .help = "Random changes to each row, seeded by its number.",
      .example = "[{flip: horizontal}]" },
    { 0 },
};

static const struct field validate_data_fields[] = {
    { .key = "split",
      .type = FIELD_NAME,
      .fallback = "validate",
      .since = "0.1",
      .help = "Split to validate on while training.",
      .example = "validate" },
    { 0 },
};

static const struct field data_fields[] = {
    { .key = "file",
      .type = FIELD_PATH,
      .required = true,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "The dataset; its digest, not its place, belongs to the run's identity.",
      .example = "fashion-mnist.h5" },
    { .key = "train",
      .type = FIELD_MAP,
      .fields = train_data_fields,
      .since = "0.1",
      .help = "What training reads.",
      .example = "{split: train}" },
    { .key = "validate",
      .type = FIELD_MAP,
      .fields = validate_data_fields,
      .since = "0.1",
      .help = "What validation reads; a dataset without that split is not validated on.",
      .example = "{split: validate}" },
    { 0 },
};

static const struct field clip_fields[] = {
    { .key = "norm",
      .type = FIELD_REAL,
      .low = 0,
      .low_open = true,
      .high = 1e9,
      .since = "0.1",
      .help = "Largest norm of the whole gradient.",
      .example = "1.0" },
    { .key = "value",
      .type = FIELD_REAL,
      .low = 0,
      .low_open = true,
      .high = 1e9,
      .since = "0.1",
      .help = "Largest size of each number in the gradient.",
      .example = "0.5" },
    { 0 },
};

static const struct field ema_fields[] = {
    { .key = "decay",
      .type = FIELD_REAL,
      .required = true,
      .low = 0,
      .low_open = true,
      .high = 0.999999,
      .since = "0.1",
      .help = "Share of the average that each step keeps.",
      .example = "0.999" },
    { 0 },
};

static const struct field keep_fields[] = {
    { .key = "best",
      .type = FIELD_INT,
      .low = 0,
      .high = 1000,
      .fallback = "1",
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Checkpoints kept for their metric.",
      .example = "3" },
    { .key = "last",
      .type = FIELD_INT,
      .low = 1,
      .high = 1000,
      .fallback = "2",
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Newest checkpoints kept.",
      .example = "2" },
    { 0 },
};

static const char *const mode_words[] = { "max", "min", NULL };

#define WATCH_ROWS                                                                                 \
    { .key = "metric",                                                                             \
      .type = FIELD_TEXT,                                                                          \
      .required = true,                                                                            \
      .since = "0.1",                                                                              \
      .help = "A metric of the validation split, or 'loss'.",                                      \
      .example = "accuracy" },                                                                     \
    {                                                                                              \
        .key = "mode", .type = FIELD_WORD, .words = mode_words, .required = true, .since = "0.1",  \
        .help = "Which way is better; always stated.", .example = "max"                            \
    }

static const struct field by_fields[] = { WATCH_ROWS, { 0 } };

static const struct field checkpoint_fields[] = {
    { .key = "every",
      .type = FIELD_SPAN,
      .unit = "ep",
      .low = 0,
      .low_open = true,
      .high = 1e12,
      .fallback = "1ep",
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Distance between checkpoints.",
      .example = "500st" },
    { .key = "keep",
      .type = FIELD_MAP,
      .fields = keep_fields,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "How many checkpoints stay.",
      .example = "{best: 1, last: 2}" },
    { .key = "by",
      .type = FIELD_MAP,
      .fields = by_fields,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "What makes a checkpoint the best; left out: the newest.",
      .example = "{metric: accuracy, mode: max}" },
    { 0 },
};

static const struct field early_stop_fields[] = {
    WATCH_ROWS,
    { .key = "patience",
      .type = FIELD_INT,
      .low = 1,
      .high = 100000,
      .fallback = "3",
      .since = "0.1",
      .help = "Validations without improvement before the run ends.",
      .example = "5" },
    { .key = "least_gain",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1e9,
      .fallback = "0",
      .since = "0.1",
      .help = "What counts as improvement.",
      .example = "0.001" },
    { 0 },
};

static const char *const last_batch_words[] = { "drop", "pad", NULL };
static const char *const precision_words[] = { "auto", "f32", "bf16", NULL };
static const char *const non_finite_words[] = { "stop", "skip", NULL };

static const struct field train_fields[] = {
    { .key = "epochs",
      .type = FIELD_INT,
      .low = 1,
      .high = 1000000,
      .since = "0.1",
      .affects = AFFECTS_SCHEDULE_END,
      .help = "Passes over the training split.",
      .example = "5" },
    { .key = "steps",
      .type = FIELD_INT,
      .low = 1,
      .high = 1000000000,
      .since = "0.1",
      .affects = AFFECTS_SCHEDULE_END,
      .help = "Optimizer steps, instead of epochs.",
      .example = "10k" },
    { .key = "batch",
      .type = FIELD_INT,
      .low = 1,
      .high = 1 << 24,
      .fallback = "64",
      .since = "0.1",
      .help = "Rows in one optimizer step, whatever the number of ranks.",
      .example = "256" },
    { .key = "micro_batch",
      .type = FIELD_INT,
      .low = 1,
      .high = 1 << 24,
      .since = "0.1",
      .help = "Rows computed at a time; gradients of batch / micro_batch passes are summed. Left "
              "out: the whole batch.",
      .example = "64" },
    { .key = "last_batch",
      .type = FIELD_WORD,
      .words = last_batch_words,
      .fallback = "drop",
      .since = "0.1",
      .help = "What happens to a short batch at the end of an epoch; 'pad' is "
              "refused where batch_norm couples rows.",
      .example = "pad" },
    { .key = "optimizer",
      .type = FIELD_CHOICE,
      .choices = optimizer_choices,
      .required = true,
      .since = "0.1",
      .help = "How gradients become updates.",
      .example = "{adamw: {lr: 1e-3}}" },
    { .key = "schedule",
      .type = FIELD_CHOICE,
      .choices = schedule_choices,
      .fallback = "constant",
      .since = "0.1",
      .help = "How the rate changes over the run.",
      .example = "{one_cycle: {warmup: 0.3}}" },
    { .key = "precision",
      .type = FIELD_WORD,
      .words = precision_words,
      .fallback = "auto",
      .since = "0.1",
      .help = "Compute type; 'auto' takes bf16 where the hardware has it, else "
              "f32. Weights stay f32.",
      .example = "f32" },
    { .key = "clip",
      .type = FIELD_MAP,
      .fields = clip_fields,
      .since = "0.1",
      .help = "Limits on the gradient.",
      .example = "{norm: 1.0}" },
    { .key = "ema",
      .type = FIELD_MAP,
      .fields = ema_fields,
      .since = "0.1",
      .help = "Keeps a moving average of the weights; then the average is the model.",
      .example = "{decay: 0.999}" },
    { .key = "non_finite",
      .type = FIELD_WORD,
      .words = non_finite_words,
      .fallback = "stop",
      .since = "0.1",
      .help = "What happens when loss or gradient is not finite.",
      .example = "skip" },
    { .key = "validate_every",
      .type = FIELD_SPAN,
      .unit = "ep",
      .low = 0,
      .low_open = true,
      .high = 1e12,
      .fallback = "1ep",
      .since = "0.1",
      .help = "Distance between validations.",
      .example = "500st" },
    { .key = "checkpoint",
      .type = FIELD_MAP,
      .fields = checkpoint_fields,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "When checkpoints are saved and which stay.",
      .example = "{every: 1ep, keep: {best: 1, last: 2}}" },
    { .key = "early_stop",
      .type = FIELD_MAP,
      .fields = early_stop_fields,
      .since = "0.1",
      .help = "Ends the run when validation no longer improves.",
      .example = "{metric: accuracy, mode: max, patience: 3}" },
    { .key = "seed",
      .type = FIELD_INT,
      .low = 0,
      .high = 9007199254740992.0,
      .fallback = "1",
      .since = "0.1",
      .help = "Of weights, order, augmentation and dropout.",
      .example = "1" },
    { .key = "threads",
      .type = FIELD_INT,
      .low = 0,
      .high = 4096,
      .fallback = "0",
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Worker threads on a CPU; 0: all processors. Bits are equal for equal counts.",
      .example = "2" },
    { .key = "log_every",
      .type = FIELD_TIME,
      .low = 0,
      .high = 86400,
      .fallback = "1s",
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Distance between step records.",
      .example = "10s" },
    { 0 },
};

static const struct field suite_fields[] = {
    { .key = "suite",
      .type = FIELD_PATH,
      .required = true,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "The suite that decides about release.",
      .example = "suites/fashion.yaml" },
    { 0 },
};

static const struct field registry_fields[] = {
    { .key = "path",
      .type = FIELD_PATH,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "The registry's directory.",
      .example = "registry" },
    { .key = "model",
      .type = FIELD_NAME,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Name under which versions are added; left out: the experiment's name.",
      .example = "fashion" },
    { .key = "channel",
      .type = FIELD_NAME,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .fallback = "staging",
      .help = "Channel that a release moves.",
      .example = "staging" },
    { 0 },
};

static const struct field deploy_fields[] = {
    { .key = "path",
      .type = FIELD_PATH,
      .required = true,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Directory that a release deploys into.",
      .example = "deploy" },
    { 0 },
};

static const struct field experiment_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Names the run's directory and the model.",
      .example = "fashion-cnn" },
    { .key = "data",
      .type = FIELD_MAP,
      .fields = data_fields,
      .required = true,
      .since = "0.1",
      .help = "What to learn from.",
      .example = "{file: fashion-mnist.h5}" },
    { .key = "model",
      .type = FIELD_MAP,
      .fields = model_fields,
      .required = true,
      .since = "0.1",
      .help = "What to train.",
      .example = "{preset: mlp}" },
    { .key = "train",
      .type = FIELD_MAP,
      .fields = train_fields,
      .required = true,
      .since = "0.1",
      .help = "How to train.",
      .example = "{epochs: 5, optimizer: {adamw: {lr: 1e-3}}}" },
    { .key = "eval",
      .type = FIELD_MAP,
      .fields = suite_fields,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "How a release is judged.",
      .example = "{suite: suites/fashion.yaml}" },
    { .key = "registry",
      .type = FIELD_MAP,
      .fields = registry_fields,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Where a release is recorded.",
      .example = "{path: registry}" },
    { .key = "deploy",
      .type = FIELD_MAP,
      .fields = deploy_fields,
      .since = "0.1",
      .affects = AFFECTS_PLACE,
      .help = "Where a release ends.",
      .example = "{path: deploy}" },
    { 0 },
};

const struct kind experiment_kind = {
    .name = "experiment",
    .version = 1,
    .help = "One training run: data, model, training, and where results go.",
    .fields = experiment_fields,
};

static enum code refuse(const struct node *at, struct err *err, const char *text, const char *hint)
{
    err_set(err, CONFIG, "%s", text);
    if (hint) err_hint(err, "%s", hint);
    err_at(err, at->mark.file, at->mark.line, at->mark.column);
    return CONFIG;
}

static void read_watched(struct watched *watched, const struct node *node)
{
    watched->metric = node_text(node, "metric");
    watched->larger_is_better = strcmp(node_text(node, "mode"), "max") == 0;
}

static double real_or_zero(const struct node *node, const char *path)
{
    return node_has(node, path) ? node_real(node, path) : 0;
}

static int64_t int_or_zero(const struct node *node, const char *path)
{
    return node_has(node, path) ? node_int(node, path) : 0;
}

static enum code read_length(struct experiment *e, const struct node *train, struct err *err)
{
    e->epochs = int_or_zero(train, "epochs");
    e->steps = int_or_zero(train, "steps");
    if (e->epochs && e->steps)
        return refuse(node_at(train, "steps"), err, "cannot use both 'epochs' and 'steps'",
                      "Keep the one that ends the run.");
    if (!e->epochs && !e->steps)
        return refuse(train, err, "cannot train without 'epochs' or 'steps' in train", NULL);
    e->batch = node_int(train, "batch");
    e->micro_batch = int_or_zero(train, "micro_batch");
    if (e->micro_batch && e->batch % e->micro_batch)
        return refuse(node_at(train, "micro_batch"), err,
                      "cannot cut the batch: micro_batch does not divide batch", NULL);
    if (!e->micro_batch) e->micro_batch = e->batch;
    e->pad_last = strcmp(node_text(train, "last_batch"), "pad") == 0;
    return OK;
}

static void read_saving(struct experiment *e, const struct node *train)
{
    e->validate_every = node_span(train, "validate_every");
    e->checkpoint_every = node_span(train, "checkpoint.every");
    e->keep_best = node_int(train, "checkpoint.keep.best");
    e->keep_last = node_int(train, "checkpoint.keep.last");
    if (node_has(train, "checkpoint.by")) read_watched(&e->best, node_at(train, "checkpoint.by"));
    e->early_stop = node_has(train, "early_stop");
    if (e->early_stop) {
        read_watched(&e->stop_by, node_at(train, "early_stop"));
        e->patience = node_int(train, "early_stop.patience");
        e->least_gain = node_real(train, "early_stop.least_gain");
    }
    e->log_every_s = node_real(train, "log_every");
}

static void read_places(struct experiment *e, struct arena *arena, const struct node *root)
{
    if (node_has(root, "eval.suite")) e->suite = node_path(arena, root, "eval.suite");
    if (node_has(root, "registry.path")) e->registry = node_path(arena, root, "registry.path");
    e->registry_model = node_has(root, "registry.model") ? node_text(root, "registry.model")
                                                         : e->name;
    e->registry_channel = node_has(root, "registry.channel") ? node_text(root, "registry.channel")
                                                             : "staging";
    if (node_has(root, "deploy.path")) e->deploy = node_path(arena, root, "deploy.path");
}

enum code experiment_read(struct experiment *experiment, struct arena *arena,
                          const struct document *document, struct err *err)
{
    const struct node *root = document->root, *train = node_at(root, "train");
    struct experiment *e = experiment;
    *e = (struct experiment){ .document = document,
                              .digest = document_digest(document),
                              .name = node_text(root, "name"),
                              .data = node_path(arena, root, "data.file"),
                              .train_split = node_text(root, "data.train.split"),
                              .validate_split = node_text(root, "data.validate.split"),
                              .augment = node_at(root, "data.train.augment"),
                              .model = node_at(root, "model") };
    if (node_has(e->model, "init")) e->init = node_text(e->model, "init");
    TRY(read_length(e, train, err));
    optimizer_read(&e->optimizer, node_at(train, "optimizer"));
    schedule_read(&e->schedule, node_at(train, "schedule"));
    const char *precision = node_text(train, "precision");
    e->precision = strcmp(precision, "bf16") == 0  ? PRECISION_BF16
                   : strcmp(precision, "f32") == 0 ? PRECISION_F32
                                                   : PRECISION_AUTO;
    e->non_finite = strcmp(node_text(train, "non_finite"), "skip") == 0 ? NON_FINITE_SKIP
                                                                        : NON_FINITE_STOP;
    e->clip_norm = real_or_zero(train, "clip.norm");
    e->clip_value = real_or_zero(train, "clip.value");
    e->ema_decay = real_or_zero(train, "ema.decay");
    e->seed = (uint64_t)node_int(train, "seed");
    e->threads = (int)node_int(train, "threads");
    read_saving(e, train);
    read_places(e, arena, root);
    return OK;
}
