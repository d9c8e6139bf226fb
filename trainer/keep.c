/* Which checkpoints a run keeps, and the trainer's own state in them.
 *
 * A checkpoint counts from the moment when its directory is in place; older ones are removed only
 * afterwards, so that the run always has one to go on from. */
#include "base/log.h"
#include "trainer/loop.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double poll_s = 0.2; /* between two looks at the writer: the other ranks wait too */

json_t *trainer_state(const struct trainer *t)
{
    struct step_state carried = step_state(&t->step);
    json_t *state = json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:O,s:O*}", "pawl", "trainer/1", "step",
        (json_int_t)t->number, "epoch", (json_int_t)(t->number / t->epoch_steps), "index",
        (json_int_t)(t->number % t->epoch_steps), "time", (json_int_t)carried.time, "waited",
        (json_int_t)t->waited, "last_validation", (json_int_t)t->last_validation, "saves", t->saves,
        "metrics", t->metrics);
    json_t *algorithms = trainer_algorithms_fact(t);
    if (algorithms) json_object_set_new(state, "algorithms", algorithms);
    if (t->has_stop_best) json_object_set_new(state, "stop_best", json_real(t->stop_best));
    if (t->experiment->precision != PRECISION_F16) return state;
    json_object_set_new(state, "loss_scale", json_real(carried.loss_scale));
    json_object_set_new(state, "good_steps", json_integer((json_int_t)carried.good_steps));
    return state;
}

/* A checkpoint without a loss scale, of before there was one, goes on with the first. */
static enum code restore_step(struct trainer *t, const json_t *state, const char *name,
                              struct err *err)
{
    struct step_state carried = step_state(&t->step);
    const json_t *scale = json_object_get(state, "loss_scale");
    TRY(json_get_int(&carried.time, state, "time", name, err));
    if (scale) {
        carried.loss_scale = json_number_value(scale);
        TRY(json_get_int(&carried.good_steps, state, "good_steps", name, err));
        if (!(carried.loss_scale > 0 && carried.loss_scale < (double)FLT_MAX))
            return err_set(err, DAMAGED, "cannot resume: a loss scale of %g", carried.loss_scale);
    }
    step_set_state(&t->step, &carried);
    return OK;
}

enum code trainer_restore(struct trainer *t, const json_t *state, struct err *err)
{
    int64_t epoch, index;
    json_t *saves;
    const char *name = "trainer.json";
    if (!state) return err_set(err, DAMAGED, "cannot resume: the checkpoint has no trainer.json");
    TRY(json_get_int(&t->number, state, "step", name, err));
    TRY(restore_step(t, state, name, err));
    TRY(json_get_int(&t->waited, state, "waited", name, err));
    TRY(json_get_int(&t->last_validation, state, "last_validation", name, err));
    TRY(json_get_int(&epoch, state, "epoch", name, err));
    TRY(json_get_int(&index, state, "index", name, err));
    TRY(json_get_array(&saves, state, "saves", name, err));
    TRY(trainer_algorithms_match(t, json_object_get(state, "algorithms"), err));
    if (t->number < 0 || epoch * t->epoch_steps + index != t->number)
        return err_set(err, DAMAGED,
                       "cannot resume: step %lld is not epoch %lld, batch %lld of "
                       "%lld",
                       (long long)t->number, (long long)epoch, (long long)index,
                       (long long)t->epoch_steps);
    json_decref(t->saves);
    t->saves = json_deep_copy(saves);
    json_decref(t->metrics);
    t->metrics = json_deep_copy(json_object_get(state, "metrics"));
    const json_t *stop_best = json_object_get(state, "stop_best");
    t->has_stop_best = json_is_number(stop_best);
    t->stop_best = json_number_value(stop_best);
    t->stopping_early = t->experiment->early_stop && t->waited >= t->experiment->patience;
    t->last_checkpoint = t->number;
    return OK;
}

/* The value of the metric that makes a checkpoint the best, if it was measured at this step. */
static json_t *watched_value(const struct trainer *t)
{
    const char *metric = t->experiment->best.metric;
    if (!metric || !t->metrics || t->last_validation != t->number) return NULL;
    return json_incref(json_object_get(t->metrics, metric));
}

enum code trainer_checkpoint(struct trainer *t, struct err *err)
{
    TRY(trainer_settle(t, true, err));
    const char *path = run_checkpoint_path(&t->run, t->number);
    json_t *entry = json_pack("{s:s,s:I,s:o*}", "name", path_base(path), "step",
                              (json_int_t)t->number, "value", watched_value(t));
    json_array_append_new(t->saves, entry);
    json_t *facts = json_pack(
        "{s:s,s:I,s:O,s:O*}", "run", t->experiment->name, "step", (json_int_t)t->number,
        "config_digest", json_object_get(t->run.manifest, "config_digest"), "metrics", t->metrics);
    t->last_checkpoint = t->number;
    return saver_begin(t->saver, path, t->number, trainer_state(t), facts, err);
}

static bool better(const struct trainer *t, double a, double b)
{
    return t->experiment->best.larger_is_better ? a > b : a < b;
}

/* Rank of entry `i` among those with a value: how many others beat it (earlier ones win ties). */
static int64_t rank_of(const struct trainer *t, size_t i)
{
    const json_t *mine = json_object_get(json_array_get(t->saves, i), "value");
    if (!json_is_number(mine)) return INT64_MAX;
    int64_t rank = 0;
    for (size_t j = 0; j < json_array_size(t->saves); j++) {
        const json_t *other = json_object_get(json_array_get(t->saves, j), "value");
        if (j == i || !json_is_number(other)) continue;
        double a = json_number_value(other), b = json_number_value(mine);
        rank += better(t, a, b) || (j < i && !better(t, b, a));
    }
    return rank;
}

/* Removes a checkpoint: out of sight first, so that a crash leaves no half of it to be found. */
static void remove_checkpoint(const struct trainer *t, const char *name)
{
    struct arena arena = { 0 };
    struct err err;
    const char *path = arena_format(&arena, "%s/checkpoints/%s", t->run.dir, name);
    char hidden[1100];
    fs_temporary_name(hidden, sizeof hidden, path);
    if (fs_exists(path) && !fs_replace(path, hidden, &err)) fs_remove_tree(hidden, &err);
    arena_release(&arena);
}

static void prune(struct trainer *t)
{
    const struct experiment *e = t->experiment;
    size_t count = json_array_size(t->saves);
    bool *keep = ARENA_ARRAY(&t->arena, count, bool);
    for (size_t i = 0; i < count; i++)
        keep[i] = (int64_t)(count - i) <= e->keep_last || rank_of(t, i) < e->keep_best;
    for (size_t i = count; i-- > 0;) {
        if (keep[i]) continue;
        remove_checkpoint(t,
                          json_string_value(json_object_get(json_array_get(t->saves, i), "name")));
        json_array_remove(t->saves, i);
    }
}

void trainer_note_best(struct trainer *t)
{
    for (size_t i = 0; i < json_array_size(t->saves); i++) {
        const json_t *save = json_array_get(t->saves, i);
        if (rank_of(t, i) != 0) continue;
        trainer_note(t,
                     json_pack("{s:s,s:O,s:O,s:O}", "kind", "best", "name",
                               json_object_get(save, "name"), "step", json_object_get(save, "step"),
                               "value", json_object_get(save, "value")));
    }
}

static void note_finished(struct trainer *t, const struct saved *saved)
{
    char digest[DIGEST_TEXT];
    const char *name = path_base(saved->path);
    size_t last = json_array_size(t->saves) - 1;
    trainer_note(t, json_pack("{s:s,s:s,s:I,s:s,s:I,s:f}", "kind", "checkpoint", "name", name,
                              "step", (json_int_t)saved->step, "model_digest",
                              digest_text(&saved->digest, digest), "bytes",
                              (json_int_t)saved->bytes, "seconds", saved->seconds));
    if (rank_of(t, last) == 0) trainer_note_best(t);
    prune(t);
}

enum code trainer_settle(struct trainer *t, bool wait, struct err *err)
{
    struct saved saved;
    while (wait && !saver_idle(t->saver, poll_s)) TRY(ranks_beat(&t->ranks, err));
    if (!saver_poll(t->saver, &saved, wait)) return OK;
    if (!saved.code) {
        note_finished(t, &saved);
        return OK;
    }
    /* the run goes on with the checkpoint before; only the last one must not be missing */
    json_array_remove(t->saves, json_array_size(t->saves) - 1);
    t->last_checkpoint = -1;
    log_warn("%s; training goes on with the checkpoint before", saved.err.message);
    trainer_note(t, json_pack("{s:s,s:s,s:I}", "kind", "alarm", "message", saved.err.message,
                              "step", (json_int_t)saved.step));
    *err = saved.err;
    return wait && t->number == saved.step ? saved.code : OK;
}
