/* Writing the baseline's experiment, training it, loading what came out. */
#include "workflow/linear.h"

#include "base/log.h"
#include "dataset/dataset.h"
#include "trainer/train.h"

#include <limits.h>
#include <stdlib.h>

/* The recipe is part of the baseline's name: another recipe is another baseline. */
enum { RECIPE = 2, EPOCHS = 5, LEAST_STEPS = 3000, BATCH = 256 };

/* A single-quoted YAML text: a quote in it is doubled. */
static const char *quoted(struct arena *arena, const char *text)
{
    struct str out = { 0 };
    for (; *text; text++) str_add_len(&out, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1);
    const char *copy = arena_format(arena, "'%s'", str_text(&out));
    str_release(&out);
    return copy;
}

static void write_recipe(struct str *out, const struct dataset *dataset,
                         const struct linear_request *request, const char *data)
{
    const struct split *split = dataset_split(dataset, request->split);
    const struct column *target = split_column(split, dataset->target);
    bool classification = dataset->task == TASK_CLASSIFICATION;
    long long units = classification               ? (long long)dataset->classes
                      : target && target->rank > 1 ? (long long)target->dim[1]
                                                   : 1;
    long long batch = split->rows < BATCH ? (long long)split->rows : BATCH;
    long long steps = EPOCHS * ((long long)split->rows / batch);
    if (steps < LEAST_STEPS) steps = LEAST_STEPS; /* a small table must not leave it half trained */
    str_addf(out,
             "# The linear baseline, recipe %d; written by pawl eval.\n"
             "pawl: experiment/1\nname: linear\n"
             "data: {file: %s, train: {split: %s}}\n"
             "model:\n  layers: [flatten, {dense: {units: %lld}}]\n  loss: %s\n"
             "train:\n  steps: %lld\n  batch: %lld\n  optimizer: {adamw: {lr: 1e-2}}\n"
             "  schedule: {one_cycle: {warmup: 0.3}}\n  precision: f32\n  seed: 1\n"
             "  validate_every: %lldst\n  checkpoint: {every: %lldst}\n",
             RECIPE, data, request->split, units, classification ? "cross_entropy" : "mse", steps,
             batch, steps, steps);
}

static enum code train_recipe(struct train_result *result, const char *file, const char *run,
                              struct err *err)
{
    struct arena arena = { 0 };
    struct problems problems = { .arena = &arena };
    struct document document;
    struct experiment experiment;
    const struct kind *const kinds[] = { &experiment_kind, NULL };
    /* nothing is timed: a baseline follows from its recipe and the kind of device */
    enum code code = document_load(&document, &arena, file, kinds, NULL, &problems, err);
    if (!code) code = experiment_read(&experiment, &arena, &document, err);
    if (!code)
        code = train(result, &experiment,
                     &(struct train_opts){ .run = run, .build = PAWL_VERSION, .no_tune = true },
                     err);
    arena_release(&arena);
    return code;
}

static enum code make(struct weights *weights, bool *skipped, const struct dataset *dataset,
                      const struct linear_request *request, struct err *err)
{
    struct arena arena = { 0 };
    struct str recipe = { 0 };
    struct train_result result = { 0 };
    const char *folder = request->folder ? request->folder : "runs/baselines";
    char real[4096];
    enum code code;
    if (!dataset_split(dataset, request->split)) {
        code = err_set(err, CONFIG, "cannot train the linear baseline: '%s' has no split '%s'",
                       request->data, request->split);
        goto out;
    }
    if (!realpath(request->data, real)) {
        code = err_set(err, NOT_FOUND, "cannot find dataset '%s'", request->data);
        goto out;
    }
    write_recipe(&recipe, dataset, request, quoted(&arena, real));
    char text[DIGEST_TEXT];
    str_addf(&recipe, "# dataset %s\n", digest_text(&dataset->digest, text));
    struct digest name = digest_of(recipe.at, recipe.len);
    digest_text(&name, text);
    const char *run = arena_format(&arena, "%s/linear-%.12s", folder, text + 7);
    const char *file = arena_format(&arena, "%s.yaml", run);
    if ((code = fs_mkdirs(folder, err))) goto out;
    if ((code = fs_publish(file, recipe.at, recipe.len, err))) goto out;
    if ((code = train_recipe(&result, file, run, err))) goto out;
    *skipped = result.already_done;
    code = weights_load(weights, result.checkpoint, false, err);
out:
    json_decref(result.metrics);
    str_release(&recipe);
    arena_release(&arena);
    return code;
}

enum code linear_baseline(struct weights *weights, bool *skipped,
                          const struct linear_request *request, struct err *err)
{
    struct dataset dataset;
    *skipped = false;
    TRY(dataset_open(&dataset, request->data, err));
    enum code code = make(weights, skipped, &dataset, request, err);
    dataset_close(&dataset);
    return code;
}
