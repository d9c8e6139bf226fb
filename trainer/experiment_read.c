/* Reading the effective experiment into a struct: its own checks are those between keys. */
#include "trainer/experiment.h"

#include <string.h>

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

/* The shards of a batch, and the passes of a shard. */
static enum code read_cuts(struct experiment *e, const struct node *train, struct err *err)
{
    e->shards = node_int(train, "shards");
    if (e->batch % e->shards)
        return refuse(node_at(train, "shards"), err,
                      "cannot cut the batch: shards does not divide batch", NULL);
    int64_t shard = e->batch / e->shards;
    e->micro_batch = int_or_zero(train, "micro_batch");
    if (e->micro_batch && shard % e->micro_batch)
        return refuse(node_at(train, "micro_batch"), err,
                      e->shards > 1
                          ? "cannot cut the batch: micro_batch does not divide batch / shards"
                          : "cannot cut the batch: micro_batch does not divide batch",
                      NULL);
    if (!e->micro_batch) e->micro_batch = shard;
    return OK;
}

/* Under `world` the threads of a shard are part of the numbers, and the only ones. */
static enum code read_determinism(struct experiment *e, const struct node *train, struct err *err)
{
    const char *word = node_text(train, "determinism");
    e->determinism = strcmp(word, "world") == 0 ? DETERMINISM_WORLD
                     : strcmp(word, "off") == 0 ? DETERMINISM_OFF
                                                : DETERMINISM_RUN;
    e->threads = (int)node_int(train, "threads");
    e->threads_per_shard = (int)node_int(train, "threads_per_shard");
    if (e->determinism != DETERMINISM_WORLD && e->threads_per_shard != 1)
        return refuse(node_at(train, "threads_per_shard"), err,
                      "cannot use threads_per_shard without `determinism: world`",
                      "Give threads, or leave it out.");
    if (e->determinism == DETERMINISM_WORLD && e->threads)
        return refuse(node_at(train, "threads"), err,
                      "cannot use threads under `determinism: world`",
                      "Give threads_per_shard: it belongs to the run's numbers there.");
    return OK;
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
    e->pad_last = strcmp(node_text(train, "last_batch"), "pad") == 0;
    return OK;
}

/* Distances are in epochs or steps: rows that are no text have no tokens. */
static enum code check_spans(const struct node *train, struct err *err)
{
    static const char *const paths[] = { "validate_every", "checkpoint.every" };
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
        if (node_span(train, paths[p]).unit == SPAN_TOKENS)
            return refuse(node_at(train, paths[p]), err, "cannot count tokens in rows",
                          "Give a distance in epochs (5ep) or steps (500st).");
    const struct node *schedule = node_at(train, "schedule"),
                      *options = node_options(schedule, NULL);
    if (node_has(options, "every") && node_span(options, "every").unit == SPAN_TOKENS)
        return refuse(node_at(options, "every"), err, "cannot count tokens in rows",
                      "Give a distance in epochs (5ep) or steps (500st).");
    return OK;
}

/* Nesterov's step looks ahead along a momentum that must be there. */
static enum code check_optimizer(const struct experiment *e, const struct node *train,
                                 struct err *err)
{
    if (!e->optimizer.nesterov || e->optimizer.momentum > 0) return OK;
    const struct node *options = node_options(node_at(train, "optimizer"), NULL);
    return refuse(node_at(options, "nesterov"), err, "cannot use nesterov without a momentum",
                  "Give a momentum above 0, or leave nesterov out.");
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
    if (node_has(root, "deploy.path")) {
        e->deploy = node_path(arena, root, "deploy.path");
        e->deploy_layout = node_text(root, "deploy.layout");
    }
}

static const struct {
    const char *word;
    enum precision precision;
} precisions[] = {
    { "auto", PRECISION_AUTO }, { "f32", PRECISION_F32 }, { "tf32", PRECISION_TF32 },
    { "bf16", PRECISION_BF16 }, { "f16", PRECISION_F16 },
};

static enum code read_precision(struct experiment *e, const struct node *train, struct err *err)
{
    const char *word = node_text(train, "precision");
    const struct node *scale = node_at(train, "loss_scale");
    for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++)
        if (strcmp(word, precisions[p].word) == 0) e->precision = precisions[p].precision;
    if (e->precision == PRECISION_F16) return loss_scale_read(&e->loss_scale, scale, err);
    e->loss_scale = (struct loss_scale){ .start = 1 };
    if (!scale) return OK;
    return refuse(scale, err, "cannot use loss_scale without `precision: f16`",
                  "Leave it out: the other types have the range of f32.");
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
    if (node_has(e->model, "init")) e->init = node_path(arena, e->model, "init");
    TRY(read_length(e, train, err));
    TRY(read_cuts(e, train, err));
    TRY(read_determinism(e, train, err));
    optimizer_read(&e->optimizer, node_at(train, "optimizer"));
    schedule_read(&e->schedule, node_at(train, "schedule"));
    TRY(read_precision(e, train, err));
    e->non_finite = strcmp(node_text(train, "non_finite"), "skip") == 0 ? NON_FINITE_SKIP
                                                                        : NON_FINITE_STOP;
    e->clip_norm = real_or_zero(train, "clip.norm");
    e->clip_value = real_or_zero(train, "clip.value");
    e->ema_decay = real_or_zero(train, "ema.decay");
    e->seed = (uint64_t)node_int(train, "seed");
    TRY(check_spans(train, err));
    TRY(check_optimizer(e, train, err));
    read_saving(e, train);
    read_places(e, arena, root);
    return OK;
}
