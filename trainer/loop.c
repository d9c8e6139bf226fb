/* The loop: one optimizer step after another, with validation and checkpoints at their distances.
 *
 * A boundary is an optimizer step: stop requests are looked at there, and what is saved is the
 * state after a whole step. */
#include "trainer/loop.h"

#include "base/clock.h"
#include "base/log.h"
#include "trainer/facts.h"
#include "trainer/signals.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Whether something with this distance is due after step `number`. */
static bool due(const struct trainer *t, struct span every)
{
    double steps = every.unit == SPAN_EPOCHS ? every.value * (double)t->epoch_steps : every.value;
    int64_t distance = (int64_t)(steps + 0.5);
    if (distance < 1) distance = 1;
    return t->number % distance == 0 || t->number == t->total_steps;
}

/* The rate of step `number` (from 0). */
static double rate_of(const struct trainer *t, int64_t number)
{
    return schedule_rate(&t->experiment->schedule, t->experiment->optimizer.rate, number,
                         t->total_steps, t->epoch_steps);
}

/* What became of the loss scale, where there is one, for the end of a message. */
static const char *scale_text(const struct trainer *t, char text[80])
{
    const struct loss_scale *scale = &t->experiment->loss_scale;
    *text = '\0';
    if (t->experiment->precision != PRECISION_F16) return text;
    if (scale->growth_every)
        snprintf(text, 80, ", loss scale at its floor of %.9g", scale->floor);
    else
        snprintf(text, 80, ", fixed loss scale %.9g", scale->start);
    return text;
}

static enum code refuse_non_finite(struct trainer *t, const struct step_result *result,
                                   int64_t number, struct err *err)
{
    char scale[80];
    bool gradient = isfinite(result->loss);
    bool narrow = gradient && t->experiment->precision == PRECISION_F16;
    trainer_note(t, json_pack("{s:s,s:s,s:I}", "kind", "alarm", "message",
                              "loss or gradient is not finite", "step", (json_int_t)number));
    err_set(err, HOPELESS,
            "cannot go on with run '%s': the %s is not finite at step %lld (rate %.3g%s)",
            t->run.dir, gradient ? "gradient" : "loss", (long long)number, rate_of(t, number - 1),
            gradient ? scale_text(t, scale) : "");
    err_hint(err, narrow
                      ? "Lower the learning rate or the loss scale, train in bf16 or f32, or use "
                        "`non_finite: skip`."
                      : "Lower the learning rate, clip the gradient, or use `non_finite: "
                        "skip`.");
    return HOPELESS;
}

/* Takes in what step `number` (from 1) did. */
static enum code note_step(struct trainer *t, const struct step_result *result, int64_t number,
                           struct err *err)
{
    if (result->skipped && !result->overflowed && t->experiment->non_finite == NON_FINITE_STOP)
        return refuse_non_finite(t, result, number, err);
    if (result->overflowed && ranks_lead(&t->ranks))
        log_note("step %lld overflowed in f16 and changed nothing; the loss scale is now %.9g",
                 (long long)number, step_state(&t->step).loss_scale);
    if (result->skipped) {
        t->skipped++;
        return OK;
    }
    t->loss = result->loss;
    t->norm = result->gradient_norm;
    t->loss_sum += result->loss;
    t->loss_count++;
    return OK;
}

/* Takes in what submitted steps did, until at most `leave` of them are outstanding. */
static enum code settle_steps(struct trainer *t, int leave, struct err *err)
{
    struct step_result result;
    while (t->step.outstanding > leave) {
        TRY(step_collect(&t->step, &result, err));
        TRY(note_step(t, &result, t->number - t->step.outstanding, err));
    }
    return OK;
}

/* On a device that computes by itself: the next step is handed over before the one before is over.
 * What is not finite is heard of up to STEP_LATE steps later, and before anything is saved. */
static enum code take_late_step(struct trainer *t, struct err *err)
{
    struct batch batch;
    TRY(loader_next(t->loader, &batch, err));
    TRY(settle_steps(t, STEP_LATE - 1, err));
    TRY(step_submit(&t->step, &batch, t->number, t->rate, err));
    t->number++;
    return OK;
}

static enum code take_step(struct trainer *t, struct err *err)
{
    struct batch batch;
    struct step_result result;
    t->rate = rate_of(t, t->number);
    if (t->step.late) return take_late_step(t, err);
    enum code code = loader_next(t->loader, &batch, err);
    if (!code) code = step_compute(&t->step, &batch, t->number, t->rate, err);
    TRY(step_finish(&t->step, code, &result, err));
    TRY(note_step(t, &result, t->number + 1, err));
    t->number++;
    return OK;
}

/* Whether what follows needs to know how all steps so far went: a record, a look at the weights, an
 * end. Records are rank 0's alone. */
static bool needs_rest(const struct trainer *t)
{
    const struct experiment *e = t->experiment;
    bool record = ranks_lead(&t->ranks) && clock_monotonic() - t->last_log >= e->log_every_s;
    return record || t->number == t->total_steps || t->number == t->opts->kill_at_step ||
           due(t, e->checkpoint_every) || (t->validates && due(t, e->validate_every));
}

static void watch_early_stop(struct trainer *t)
{
    const struct experiment *e = t->experiment;
    if (!e->early_stop) return;
    const json_t *value = json_object_get(t->metrics, e->stop_by.metric);
    double now = json_number_value(value);
    double gain = e->stop_by.larger_is_better ? now - t->stop_best : t->stop_best - now;
    if (json_is_number(value) && (!t->has_stop_best || gain > e->least_gain)) {
        t->has_stop_best = true;
        t->stop_best = now;
        t->waited = 0;
    } else {
        t->waited++;
    }
    t->stopping_early = t->waited >= e->patience;
}

static void show_metrics(struct trainer *t)
{
    struct str line = { 0 };
    if (!ranks_lead(&t->ranks)) return;
    const char *name;
    json_t *value;
    json_object_foreach(t->metrics, name, value)
    {
        char tag[128];
        struct err unused;
        if (!json_is_number(value)) {
            str_addf(&line, "  %s is not finite", name);
            continue;
        }
        snprintf(tag, sizeof tag, "validate/%s", name);
        tensorboard_scalar(&t->run.board, tag, t->number, json_number_value(value), &unused);
        if (strcmp(name, "loss") != 0) str_addf(&line, "  %s %.4f", name, json_number_value(value));
    }
    log_note("epoch %.4g  step %lld/%lld  loss %.4f  validation:%s",
             (double)t->number / (double)t->epoch_steps, (long long)t->number,
             (long long)t->total_steps, t->loss, str_text(&line));
    str_release(&line);
}

bool trainer_asked(void *context)
{
    const struct trainer *t = context;
    double limit = t->opts->time_limit_s;
    return signals_stop() || (limit > 0 && clock_monotonic() - t->started >= limit);
}

/* Between two tiles of validation: the other ranks hear that it goes on, and are heard. */
static bool stop_validating(void *context)
{
    struct trainer *t = context;
    struct err lost;
    return ranks_beat(&t->ranks, &lost) || ranks_stopping(&t->ranks);
}

/* Rank 0 measures; all get the metrics. STOPPED where a stop request ended it early. */
static enum code measure(struct trainer *t, json_t **metrics, struct err *err)
{
    *metrics = NULL;
    if (ranks_lead(&t->ranks)) {
        enum code code = validator_run(&t->validator, metrics, stop_validating, t, err);
        uint32_t flag = code ? 0 : RANKS_DONE;
        TRY(ranks_work_done(&t->ranks, code == STOPPED ? OK : code, flag, err));
    } else {
        TRY(ranks_follow(&t->ranks, err));
    }
    return t->ranks.heard & RANKS_DONE ? ranks_share_json(&t->ranks, metrics, err) : STOPPED;
}

/* A stop request ends it early; it is then made up for when the run goes on. */
static enum code validate(struct trainer *t, struct err *err)
{
    json_t *metrics;
    double begin = clock_monotonic();
    enum code code = measure(t, &metrics, err);
    if (code) {
        json_decref(metrics);
        return code == STOPPED ? OK : code;
    }
    json_decref(t->metrics);
    t->metrics = metrics;
    t->last_validation = t->number;
    t->last_checkpoint = -1; /* what was saved at this step lacks these metrics */
    trainer_note(t,
                 json_pack("{s:s,s:I,s:O,s:f}", "kind", "validation", "step", (json_int_t)t->number,
                           "metrics", metrics, "seconds", clock_monotonic() - begin));
    show_metrics(t);
    return OK;
}

static bool asked_to_stop(struct trainer *t)
{
    const struct train_opts *o = t->opts;
    return ranks_stopping(&t->ranks) || (o->stop_after && t->number - t->began_at >= o->stop_after);
}

/* Rank 0's work on files while the others follow. */
static enum code on_rank_0(struct trainer *t, enum code (*work)(struct trainer *t, struct err *err),
                           struct err *err)
{
    if (!ranks_lead(&t->ranks)) return ranks_follow(&t->ranks, err);
    return ranks_work_done(&t->ranks, work(t, err), 0, err);
}

static enum code begin_checkpoint(struct trainer *t, struct err *err)
{
    if (t->last_checkpoint != t->number) return trainer_checkpoint(t, err);
    return trainer_settle(t, false, err);
}

/* A complete checkpoint of where the run stands, waited for. */
static enum code save_now(struct trainer *t, struct err *err)
{
    TRY(trainer_settle(t, true, err));
    TRY(begin_checkpoint(t, err));
    return trainer_settle(t, true, err);
}

static const char *stop_reason(struct trainer *t)
{
    if (signals_stop()) return signals_name();
    if (t->ranks.heard & RANKS_STOP && !trainer_asked(t)) return "a signal to another rank";
    return "time limit";
}

static enum code stop(struct trainer *t, struct err *err)
{
    TRY(on_rank_0(t, save_now, err));
    const char *why = stop_reason(t);
    trainer_note(t, json_pack("{s:s,s:I,s:s}", "kind", "stop", "step", (json_int_t)t->number,
                              "reason", why));
    trainer_status(t, "stopped");
    log_live_end();
    err_set(err, STOPPED, "stopped at step %lld of %lld on %s; the checkpoint is complete",
            (long long)t->number, (long long)t->total_steps, why);
    err_hint(err, "The same command goes on from there.");
    return STOPPED;
}

/* What is due where the run stands: validation, then a checkpoint. One that is ranked by a metric
 * is validated first in any case; early stopping looks at the validations that the configuration
 * asks for alone, since the distance of checkpoints must not change the numbers. */
static enum code at_boundary(struct trainer *t, struct err *err)
{
    const struct experiment *e = t->experiment;
    bool save = due(t, e->checkpoint_every);
    bool look = t->validates && due(t, e->validate_every);
    if ((look || (save && e->best.metric)) && t->last_validation != t->number) {
        TRY(validate(t, err));
        if (t->last_validation != t->number) return OK; /* stopped */
        if (look) watch_early_stop(t);
    }
    if (save) return on_rank_0(t, begin_checkpoint, err);
    return ranks_lead(&t->ranks) ? trainer_settle(t, false, err) : OK;
}

static enum code run_steps(struct trainer *t, struct err *err)
{
    if (t->number) TRY(at_boundary(t, err)); /* what a stop request cut short */
    while (t->number < t->total_steps && !t->stopping_early) {
        if (asked_to_stop(t)) {
            TRY(settle_steps(t, 0, err));
            return stop(t, err);
        }
        TRY(take_step(t, err));
        if (needs_rest(t)) TRY(settle_steps(t, 0, err));
        if (t->number == t->opts->kill_at_step) kill(getpid(), SIGKILL);
        trainer_progress(t, t->number == t->total_steps);
        TRY(at_boundary(t, err));
    }
    if (t->validates && t->last_validation != t->number && ranks_stopping(&t->ranks))
        return stop(t, err);
    TRY(on_rank_0(t, save_now, err));
    trainer_note(t, json_pack("{s:s,s:I,s:s}", "kind", "end", "step", (json_int_t)t->number,
                              "reason", t->stopping_early ? "early stop" : "complete"));
    trainer_status(t, "done");
    log_live_end();
    return OK;
}

/* Whether these are the bytes that the run was trained on. */
static enum code same_data(bool *same, const json_t *manifest, const char *path, struct err *err)
{
    struct dataset dataset;
    char text[DIGEST_TEXT];
    TRY(dataset_open(&dataset, path, err));
    const char *stored = json_string_value(
        json_object_get(json_object_get(manifest, "data"), "digest"));
    *same = stored && strcmp(stored, digest_text(&dataset.digest, text)) == 0;
    dataset_close(&dataset);
    return OK;
}

/* Whether the run came to its end earlier, under this configuration and on this data. */
static enum code finished_before(bool *finished, const struct experiment *experiment,
                                 const char *dir, struct err *err)
{
    struct run_progress progress = { 0 };
    json_t *manifest = NULL, *end = document_values(experiment->document, AFFECTS_SCHEDULE_END);
    char text[DIGEST_TEXT];
    enum code code = OK;
    *finished = false;
    if ((code = run_manifest(&manifest, dir, err))) {
        if (code == NOT_FOUND) code = OK;
        goto out;
    }
    if ((code = run_progress_read(&progress, dir, err))) goto out;
    const char *config = json_string_value(json_object_get(manifest, "config_digest"));
    if (progress.finished && json_equal(end, progress.schedule_end) && config &&
        strcmp(config, digest_text(&experiment->digest, text)) == 0)
        code = same_data(finished, manifest, experiment->data, err);
out:
    run_progress_release(&progress);
    json_decref(manifest);
    json_decref(end);
    return code;
}

static enum code fill_result(struct train_result *result, const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    const char *best;
    struct checkpoint checkpoint;
    enum code code = run_best(&arena, &best, dir, err);
    if (!code) code = checkpoint_open(&checkpoint, best, err);
    if (!code) {
        snprintf(result->checkpoint, sizeof result->checkpoint, "%s", best);
        result->digest = checkpoint.model_digest;
        result->metrics = json_deep_copy(json_object_get(checkpoint.trainer, "metrics"));
        checkpoint_close(&checkpoint);
    }
    arena_release(&arena);
    return code;
}

/* Rank 0 looks whether there is anything to do. */
static enum code look_if_finished(struct trainer *t, struct train_result *result, struct err *err)
{
    enum code code = OK;
    if (ranks_lead(&t->ranks))
        code = finished_before(&result->already_done, t->experiment, result->run, err);
    TRY(ranks_join(&t->ranks, code, result->already_done ? RANKS_DONE : 0, err));
    result->already_done = t->ranks.heard & RANKS_DONE;
    return OK;
}

static void tell_result(const struct trainer *t, struct train_result *result)
{
    double seconds = clock_monotonic() - t->began;
    double rows = (double)((t->number - t->began_at) * t->experiment->batch);
    result->step = t->number;
    result->loss = t->loss;
    result->seconds = seconds;
    result->rows_per_s = seconds > 0 ? rows / seconds : 0;
}

static enum code run_all(struct trainer *t, struct train_result *result, struct err *err)
{
    enum code code = trainer_start(t, err);
    bool started = code == OK;
    result->resumed = started && t->number > 0;
    if (started) code = run_steps(t, err);
    /* what only this rank knows of yet goes to the others, who may be in the middle of a step */
    if (code && !t->ranks.failed) code = ranks_join(&t->ranks, code, 0, err);
    struct err unused; /* what was being written when it failed counts too */
    if (code && t->saver) trainer_settle(t, true, &unused);
    if (started) tell_result(t, result);
    return code;
}

enum code train(struct train_result *result, const struct experiment *experiment,
                const struct train_opts *opts, struct err *err)
{
    memset(result, 0, sizeof *result);
    struct trainer trainer = { .experiment = experiment,
                               .opts = opts,
                               .started = clock_monotonic(),
                               .last_checkpoint = -1,
                               .last_validation = -1 };
    if (opts->install_signals) signals_install();
    if (opts->run)
        snprintf(result->run, sizeof result->run, "%s", opts->run);
    else
        snprintf(result->run, sizeof result->run, "runs/%s", experiment->name);
    TRY(trainer_open_ranks(&trainer, err));
    bool lead = ranks_lead(&trainer.ranks);
    trainer.saves = json_array();
    enum code code = look_if_finished(&trainer, result, err);
    if (!code && !result->already_done) code = run_all(&trainer, result, err);
    log_live_end();
    trainer_release(&trainer);
    return code || !lead ? code : fill_result(result, result->run, err);
}
