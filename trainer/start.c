/* From an experiment to a trainer that stands before its next step. */
#include "base/clock.h"
#include "base/log.h"
#include "comm/on_device.h"
#include "trainer/facts.h"
#include "trainer/loop.h"
#include "trainer/signals.h"

#include <stdio.h>
#include <string.h>

enum code train_model(json_t **model, const struct experiment *experiment,
                      const struct dataset *dataset, struct err *err)
{
    const struct split *split = dataset_split(dataset, experiment->train_split);
    if (!split)
        return err_set(err, CONFIG, "cannot train: dataset '%s' has no split '%s'",
                       experiment->data, experiment->train_split);
    const struct column *input = split_column(split, dataset->input);
    const struct column *target = split_column(split, dataset->target);
    if (!input || !target)
        return err_set(err, CONFIG, "cannot train: split '%s' of '%s' lacks column '%s'",
                       split->name, experiment->data, input ? dataset->target : dataset->input);
    struct model_facts facts = {
        .input_dtype = input->type == H5_U8 ? DTYPE_U8 : DTYPE_F32,
        .column = dataset->input,
        .classification = dataset->task == TASK_CLASSIFICATION,
        .outputs = dataset->task == TASK_CLASSIFICATION ? dataset->classes
                   : target->rank > 1                   ? (int64_t)target->dim[1]
                                                        : 1,
        .class_names = dataset->class_names,
        .mean = dataset->mean,
        .deviation = dataset->deviation,
        .constants = dataset->constants,
    };
    facts.input.rank = input->rank - 1;
    for (int d = 1; d < input->rank; d++) facts.input.dim[d - 1] = (int64_t)input->dim[d];
    return model_describe(model, experiment->model, &facts, err);
}

static enum code choose_precision(struct trainer *t, struct err *err)
{
    bool fast = t->device.fast_dtypes >> DTYPE_BF16 & 1;
    t->dtype = DTYPE_F32;
    if (t->experiment->precision == PRECISION_AUTO && fast) t->dtype = DTYPE_BF16;
    t->device.tf32 = t->experiment->precision == PRECISION_TF32;
    if (t->device.tf32 && !t->device.fast_tf32) {
        err_set(err, CONFIG, "cannot train in tf32: %s has no TF32", t->device.description);
        return err_hint(err, "Use `precision: f32`, or a CUDA device.");
    }
    if (t->experiment->precision == PRECISION_BF16) t->dtype = DTYPE_BF16;
    if (t->experiment->precision == PRECISION_F16) t->dtype = DTYPE_F16;
    if ((t->device.fast_dtypes | t->device.slow_dtypes) >> t->dtype & 1) return OK;
    err_set(err, CONFIG, "cannot train in %s: %s has no fast %s", dtype_name(t->dtype),
            t->device.description, dtype_name(t->dtype));
    return err_hint(err, t->dtype == DTYPE_F16
                             ? "Use `precision: auto`, or a CUDA device."
                             : "Use `precision: auto`, which takes bf16 only where the hardware "
                               "has it.");
}

/* 1 / share of each class in the training split, so that the mean weight over rows is 1. */
static enum code balance_classes(struct trainer *t, struct err *err)
{
    const json_t *loss = json_object_get(json_object_get(t->model, "loss"), "cross_entropy");
    if (!json_is_true(json_object_get(loss, "balance"))) return OK;
    int64_t classes = t->dataset.classes;
    int64_t *counts = ARENA_ARRAY(&t->arena, classes, int64_t);
    const struct split *split = dataset_split(&t->dataset, t->experiment->train_split);
    TRY(dataset_class_counts(&t->dataset, split, counts, err));
    t->class_weights = ARENA_ARRAY(&t->arena, classes, float);
    for (int64_t c = 0; c < classes; c++)
        t->class_weights[c] =
            counts[c] ? (float)((double)split->rows / ((double)classes * (double)counts[c])) : 0;
    return OK;
}

/* Whether an op of the model takes statistics over rows. */
static enum code find_coupling(const struct trainer *t, bool *couples, struct err *err)
{
    struct arena arena = { 0 };
    struct graph graph;
    graph_init(&graph, &arena);
    struct build_opts build = { .batch = t->experiment->micro_batch,
                                .training = true,
                                .layers = node_at(t->experiment->model, "layers") };
    enum code code = model_build(&graph, t->model, &build, err);
    *couples = false;
    for (int n = 0; !code && n < graph.node_count; n++)
        *couples |= ops[graph.nodes[n].op].couples_rows;
    arena_release(&arena);
    return code;
}

/* This rank's part of each batch. */
static enum code cut_batch(struct trainer *t, struct err *err)
{
    const struct experiment *e = t->experiment;
    bool couples;
    TRY(find_coupling(t, &couples, err));
    TRY(share_of(&t->share, e, t->ranks.comm->rank, t->ranks.comm->size, couples, err));
    if (!e->pad_last || !couples) return OK;
    err_set(err, CONFIG, "cannot pad the last batch: batch_norm would count the padding");
    return err_hint(err, "Use `last_batch: drop`.");
}

static enum code open_data(struct trainer *t, struct err *err)
{
    const struct experiment *e = t->experiment;
    TRY(dataset_open(&t->dataset, e->data, err));
    TRY(train_model(&t->model, e, &t->dataset, err));
    t->profile = json_incref((json_t *)(uintptr_t)dataset_profile(&t->dataset, e->train_split));
    TRY(balance_classes(t, err));
    TRY(cut_batch(t, err));
    struct loader_opts how = { .split = e->train_split,
                               .batch = e->batch,
                               .first = t->share.first,
                               .rows = t->share.rows,
                               .seed = e->seed,
                               .shuffle = true,
                               .pad_last = e->pad_last };
    TRY(loader_open(&t->loader, &t->dataset, &how, err));
    t->epoch_steps = (int64_t)loader_batches(t->loader);
    t->total_steps = e->steps ? e->steps : e->epochs * t->epoch_steps;
    return OK;
}

/* A split that the file names must be there; the default one need not. */
static enum code find_validation(struct trainer *t, struct err *err)
{
    const struct experiment *e = t->experiment;
    t->validates = dataset_split(&t->dataset, e->validate_split) != NULL;
    const struct node *named = node_at(e->document->root, "data.validate.split");
    if (t->validates || named->is_default) return OK;
    err_set(err, CONFIG, "cannot validate: dataset '%s' has no split '%s'", e->data,
            e->validate_split);
    return err_at(err, named->mark.file, named->mark.line, named->mark.column);
}

/* A metric to watch must be one that validation computes. */
static enum code check_watched(struct trainer *t, const struct watched *watched, const char *path,
                               struct err *err)
{
    if (!watched->metric) return OK;
    const struct node *at = node_at(t->experiment->document->root, path);
    const char *const *names = validator_metrics(t->dataset.task == TASK_CLASSIFICATION);
    struct str known = { 0 };
    bool found = false;
    for (int i = 0; names[i]; i++) {
        found |= strcmp(names[i], watched->metric) == 0;
        str_addf(&known, i ? ", %s" : "%s", names[i]);
    }
    if (!t->validates)
        err_set(err, CONFIG, "cannot watch '%s': dataset '%s' has no split '%s' to validate on",
                watched->metric, t->experiment->data, t->experiment->validate_split);
    else if (!found)
        err_set(err, CONFIG, "cannot watch '%s': validation measures %s", watched->metric,
                str_text(&known));
    const char *nearest = text_nearest(watched->metric, names);
    if (t->validates && !found && nearest) err_hint(err, "Did you mean '%s'?", nearest);
    str_release(&known);
    return t->validates && found ? OK : err_at(err, at->mark.file, at->mark.line, at->mark.column);
}

enum code trainer_programs(struct trainer *t, struct err *err)
{
    const struct experiment *e = t->experiment;
    json_t *augment = e->augment ? node_json(e->augment) : NULL;
    struct step_opts how = { .ranks = &t->ranks,
                             .share = &t->share,
                             .model = t->model,
                             .augment = augment,
                             .dtype = t->dtype,
                             .class_weights = t->class_weights,
                             .experiment = e,
                             .plan_only = t->plan_only };
    enum code code = step_params(&t->params, t->model, e, &t->device, t->plan_only, err);
    if (!code) code = step_open(&t->step, &t->params, &how, err);
    json_decref(augment);
    if (code) return code;
    TRY(find_validation(t, err));
    TRY(check_watched(t, &e->best, "train.checkpoint.by.metric", err));
    TRY(check_watched(t, &e->stop_by, "train.early_stop.metric", err));
    if (!t->validates || !ranks_lead(&t->ranks)) return OK;
    struct validator_opts validator = { .model = t->model,
                                        .split = e->validate_split,
                                        .average = e->ema_decay > 0,
                                        .plan_only = t->plan_only };
    return validator_open(&t->validator, &t->dataset, &t->params, &validator, err);
}

static enum code first_values(struct trainer *t, struct err *err)
{
    TRY(params_init(&t->params, t->experiment->seed, err));
    const struct weights *warm = t->opts->warm;
    if (!warm) return OK;
    int taken = 0, unused;
    for (int a = 0; a < ARENA_COUNT; a++) {
        if (!t->params.memory[a] || a == ARENA_GRADIENT || a == ARENA_SLOT_0 || a == ARENA_SLOT_1)
            continue;
        TRY(params_load(&t->params, (enum params_arena)a, warm->tensors, warm->count, true,
                        a == ARENA_VALUE ? &taken : &unused, err));
    }
    if (!taken)
        return err_set(err, CONFIG,
                       "cannot start warm from '%s': no parameter agrees in name and shape",
                       t->experiment->init);
    log_note("warm start from %s: %d of %lld parameters taken", t->experiment->init, taken,
             (long long)t->params.segments.count);
    return OK;
}

/* Tries the run's checkpoints from the newest; a damaged one is named, skipped and kept. Where none
 * is whole, training begins again: the same numbers come out. */
static enum code resume(struct trainer *t, const char **from, struct err *err)
{
    char **names;
    size_t count;
    *from = NULL;
    TRY(run_checkpoints(&t->run.arena, &names, &count, t->run.dir, err));
    for (size_t i = 0; i < count && !*from; i++) {
        struct checkpoint checkpoint;
        struct err why;
        const char *path = arena_format(&t->run.arena, "%s/checkpoints/%s", t->run.dir, names[i]);
        enum code code = checkpoint_open(&checkpoint, path, &why);
        if (code == DAMAGED || code == NOT_FOUND) {
            log_warn("%s; %s", why.message,
                     i + 1 < count ? "an older checkpoint is tried" : "training begins again");
            continue;
        }
        if (code) {
            *err = why;
            return code;
        }
        code = saver_load(&t->params, &checkpoint, t->experiment, err);
        if (!code) code = trainer_restore(t, checkpoint.trainer, err);
        checkpoint_close(&checkpoint);
        if (code) return code;
        *from = names[i];
    }
    return OK;
}

/* Whether this start may join the run in `dir`, where there is one. */
static enum code check_joining(struct trainer *t, const char *dir, const json_t *facts,
                               char inexact[INEXACT_TEXT], struct err *err)
{
    json_t *stored = NULL;
    struct run_progress progress = { 0 };
    *inexact = '\0';
    enum code code = run_manifest(&stored, dir, err);
    if (code == NOT_FOUND) return OK;
    if (!code) code = run_progress_read(&progress, dir, err);
    struct joining joining = { .stored = stored,
                               .now = facts,
                               .progress = &progress,
                               .experiment = t->experiment,
                               .dir = dir,
                               .steps = t->total_steps,
                               .allow_inexact = t->opts->allow_inexact };
    if (!code) code = run_facts_match(inexact, &joining, err);
    run_progress_release(&progress);
    json_decref(stored);
    return code;
}

const char *trainer_run_dir(struct trainer *t)
{
    return t->opts->run ? t->opts->run : arena_format(&t->arena, "runs/%s", t->experiment->name);
}

static enum code take_run(struct trainer *t, const json_t *facts, char inexact[INEXACT_TEXT],
                          struct err *err)
{
    const struct experiment *e = t->experiment;
    const char *dir = trainer_run_dir(t);
    struct str config = { 0 };
    document_render(e->document, dir, &config);
    enum code code = check_joining(t, dir, facts, inexact, err);
    struct run_contents contents = { .manifest = facts,
                                     .config = str_text(&config),
                                     .algorithms = t->device.algorithms };
    if (!code) code = run_take(&t->run, dir, &contents, &t->opts->launch, err);
    str_release(&config);
    return code;
}

/* The first record, and what people should know of this start. */
static enum code begin(struct trainer *t, const char *from, const json_t *facts,
                       const char *inexact, struct err *err)
{
    struct run_opening opening = { .resumed_step = t->number,
                                   .steps = t->total_steps,
                                   .checkpoint = from,
                                   .schedule_end = json_object_get(facts, "schedule_end") };
    TRY(run_begin(&t->run, &opening, err));
    if (*inexact) trainer_note(t, json_pack("{s:s,s:s}", "kind", "inexact", "message", inexact));
    /* the start before may have died between a checkpoint and its record */
    if (from) trainer_note_best(t);
    if (from)
        log_note("resuming run %s at step %lld of %lld from %s", t->run.dir, (long long)t->number,
                 (long long)t->total_steps, from);
    return OK;
}

/* Takes the run and goes to where it stands. */
static enum code join(struct trainer *t, struct err *err)
{
    char inexact[INEXACT_TEXT];
    const char *from = NULL;
    json_t *facts = run_facts(t->experiment, &t->dataset, &t->device, t->dtype, t->ranks.comm->size,
                              t->opts->build);
    json_t *algorithms = trainer_algorithms_fact(t);
    if (algorithms) json_object_set_new(facts, "algorithms", algorithms);
    enum code code = take_run(t, facts, inexact, err);
    if (!code) code = first_values(t, err);
    if (!code && t->run.resuming) code = resume(t, &from, err);
    if (!code) code = begin(t, from, facts, inexact, err);
    json_decref(facts);
    return code;
}

/* What every rank must have alike: they compute parts of the same sums. */
static enum code compare_ranks(struct trainer *t, struct err *err)
{
    enum { THINGS = RANKS_LEAST };
    if (!ranks_several(&t->ranks)) return OK;
    static const char *const names[THINGS] = { "configuration", "dataset", "device", "program" };
    struct arena arena = { 0 };
    struct digest digest[THINGS] = { t->experiment->digest, t->dataset.digest };
    const char *device = arena_format(&arena, "%s, %d threads, %s", t->device.description,
                                      t->device.threads, dtype_name(t->dtype));
    digest[2] = digest_of(device, strlen(device));
    enum code code = fs_digest("/proc/self/exe", &digest[3], NULL, err);
    double mine[THINGS], *all = ARENA_ARRAY(&arena, THINGS * t->ranks.comm->size, double);
    for (int i = 0; i < THINGS; i++) {
        uint32_t head;
        memcpy(&head, &digest[i], sizeof head);
        mine[i] = (double)head;
    }
    code = ranks_join_numbers(&t->ranks, code, mine, THINGS, all, err);
    for (int r = 1; !code && r < t->ranks.comm->size; r++)
        for (int i = 0; i < THINGS && !code; i++) {
            if (all[r * THINGS + i] == all[i]) continue;
            code = err_set(err, CONFIG, "cannot train together: rank %d has another %s than rank 0",
                           r, names[i]);
            err_hint(err, "Start all ranks with the same program, files and number of threads.");
        }
    arena_release(&arena);
    return code;
}

/* Rank 0's numbers become everybody's, so that nobody else has to find the checkpoint. */
static enum code share_arenas(struct trainer *t, struct err *err)
{
    enum code code = OK;
    for (int a = 0; a < ARENA_COUNT && !code; a++) {
        float *own = t->params.memory[a];
        size_t bytes = (size_t)params_size(&t->params, (enum params_arena)a) * sizeof(float);
        void *host = NULL;
        if (!own || !bytes || a == ARENA_GRADIENT) continue;
        if ((code = block_alloc(&host, bytes, "what ranks share", err))) break;
        code = t->device.copy_out(&t->device, host, own, bytes, err);
        if (!code) code = comm_broadcast(t->ranks.comm, host, bytes, 0, err);
        if (!code) code = t->device.copy_in(&t->device, own, host, bytes, err);
        block_free(host);
    }
    return code;
}

static enum code share_state(struct trainer *t, struct err *err)
{
    if (!ranks_several(&t->ranks)) return OK;
    TRY(share_arenas(t, err));
    json_t *state = ranks_lead(&t->ranks) && t->number ? trainer_state(t) : NULL;
    enum code code = ranks_share_json(&t->ranks, &state, err);
    if (!code && state && !ranks_lead(&t->ranks)) code = trainer_restore(t, state, err);
    json_decref(state);
    return code;
}

enum code trainer_open_ranks(struct trainer *t, struct err *err)
{
    const struct experiment *e = t->experiment;
    if (t->ranks.comm) return OK;
    comm_alone(&t->alone);
    struct comm *comm = t->opts->comm ? t->opts->comm : &t->alone;
    struct share most = { .groups = (int)e->shards, .apart = e->determinism == DETERMINISM_WORLD };
    TRY(ranks_open(&t->ranks, comm, step_numbers(&most), err));
    t->ranks.asked = trainer_asked;
    t->ranks.context = t;
    return OK;
}

enum code trainer_open(struct trainer *t, struct err *err)
{
    TRY(trainer_open_ranks(t, err));
    TRY(trainer_device(t, err));
    TRY(choose_precision(t, err));
    return open_data(t, err);
}

enum code trainer_compile(struct trainer *t, struct err *err)
{
    TRY(trainer_open(t, err));
    return trainer_choose_alone(t, err);
}

/* With others: they hear of what failed where they are, once. */
static enum code compile_together(struct trainer *t, struct err *err)
{
    enum code code = trainer_open(t, err);
    if (!t->ranks.failed) code = trainer_choose_together(t, code, err);
    return t->ranks.failed ? code : ranks_join(&t->ranks, code, 0, err);
}

/* Rank 0 joins the run, which may take as long as reading a checkpoint does; the others wait. */
static enum code join_together(struct trainer *t, struct err *err)
{
    enum { READING_S = 3600 };
    struct saver_opts how = { .model = t->model,
                              .profile = t->profile,
                              .experiment = t->experiment };
    enum code code = OK;
    if (ranks_lead(&t->ranks))
        code = join(t, err);
    else
        t->run.dir = trainer_run_dir(t);
    if (!code && ranks_lead(&t->ranks)) code = saver_open(&t->saver, &t->params, &how, err);
    t->ranks.comm->patience_s = READING_S;
    code = ranks_join(&t->ranks, code, 0, err);
    t->ranks.comm->patience_s = 0;
    return code ? code : share_state(t, err);
}

enum code trainer_start(struct trainer *t, struct err *err)
{
    TRY(ranks_several(&t->ranks) ? compile_together(t, err) : trainer_compile(t, err));
    TRY(compare_ranks(t, err));
    TRY(join_together(t, err));
    loader_seek(t->loader, (uint64_t)(t->number / t->epoch_steps),
                (uint64_t)(t->number % t->epoch_steps));
    t->began = t->last_log = clock_monotonic();
    t->began_at = t->logged_at = t->number;
    return OK;
}

void trainer_release(struct trainer *t)
{
    saver_close(t->saver);
    validator_close(&t->validator);
    step_close(&t->step);
    ranks_close(&t->ranks);
    if (t->params.device) params_close(&t->params);
    on_device_close(t->joined);
    loader_close(t->loader);
    dataset_close(&t->dataset);
    device_close(&t->device);
    algorithms_release(&t->algorithms);
    run_release(&t->run);
    json_decref(t->model);
    json_decref(t->profile);
    json_decref(t->metrics);
    json_decref(t->saves);
    arena_release(&t->arena);
}
