/* Which algorithms a run's device takes: an input of the run, like its data.
 *
 * A device without choices has no table, and nothing here happens. Otherwise rank 0 takes the
 * choices from RUN/algorithms.json; a new run begins with those of a file, if one is named, and
 * searches what is missing while its programs are compiled. The other ranks compile with rank 0's
 * table. Its digest is a fact of the run and stands in every checkpoint; a run that was begun
 * without a table goes on without. */
#include "base/log.h"
#include "trainer/facts.h"
#include "trainer/loop.h"

#include <stdio.h>
#include <string.h>

static const char *path_of(struct trainer *t)
{
    return path_join(&t->arena, trainer_run_dir(t), RUN_ALGORITHMS);
}

/* Says how the search goes on; other ranks hear that it does, and are heard. */
static enum code show(void *context, const struct algorithm_progress *progress, struct err *err)
{
    struct trainer *t = context;
    TRY(ranks_beat(&t->ranks, err));
    if (ranks_stopping(&t->ranks)) {
        err_set(err, STOPPED, "stopped while algorithms were searched, before the first step");
        return err_hint(err, "The same command begins again.");
    }
    log_live("searching algorithms: %d calls in %.0f of at most %.0f s; %.60s, %d of %d",
             progress->searched, progress->spent_s, progress->budget_s, progress->call,
             progress->candidate + 1, progress->of);
    return OK;
}

static bool takes_other_bits(const struct trainer *t)
{
    return t->opts->allow_inexact || t->experiment->determinism == DETERMINISM_OFF;
}

static void use(struct trainer *t, enum algorithms_missing missing)
{
    t->algorithms.missing = missing;
    t->algorithms.search.progress = show;
    t->algorithms.search.context = t;
    t->device.algorithms = &t->algorithms;
}

/* A run that is there keeps to its own: its file, or none where it has none. */
static enum code keep_to_run(struct trainer *t, const json_t *manifest, const char *path,
                             struct err *err)
{
    bool again = takes_other_bits(t);
    if (!json_object_get(manifest, "algorithms") && !fs_exists(path)) return OK;
    enum code code = algorithms_load(&t->algorithms, path, err);
    if (code == NOT_FOUND && !again) {
        err_set(err, CONFIG,
                "cannot resume run '%s' bit for bit: its " RUN_ALGORITHMS " is missing",
                trainer_run_dir(t));
        return err_hint(err, "Put it back, or say --allow-inexact to search anew.");
    }
    if (code && code != NOT_FOUND) return code;
    t->algorithms.replace = again;
    use(t, again ? MISSING_SEARCHED : MISSING_REFUSED);
    return OK;
}

/* A new run: what a start left that died before its first record, or the named file. */
static enum code begin_with(struct trainer *t, const char *path, struct err *err)
{
    const char *named = t->opts->algorithms;
    if (fs_exists(path)) {
        TRY(algorithms_load(&t->algorithms, path, err));
    } else if (named) {
        t->algorithms.path = arena_copy(&t->algorithms.arena, named);
        TRY(algorithms_load(&t->algorithms, named, err));
    }
    use(t, MISSING_SEARCHED);
    return OK;
}

/* Rank 0's table, before anything is searched. */
static enum code find_table(struct trainer *t, struct err *err)
{
    const char *path = path_of(t);
    json_t *manifest = NULL;
    if (t->opts->no_tune) return OK;
    algorithms_init(&t->algorithms, path);
    if (t->plan_only) {
        if (!t->opts->algorithms) return OK;
        TRY(begin_with(t, "", err));
        use(t, MISSING_FIRST);
        return OK;
    }
    enum code code = run_manifest(&manifest, trainer_run_dir(t), err);
    if (code == NOT_FOUND)
        code = begin_with(t, path, err);
    else if (!code)
        code = keep_to_run(t, manifest, path, err);
    json_decref(manifest);
    return code;
}

static void say_searched(const struct trainer *t)
{
    const struct algorithms *table = &t->algorithms;
    if (!table->searched) return;
    log_live_end();
    log_note("algorithms: %d calls searched in %.1f s", table->searched, table->spent_s);
}

/* A file that nobody reads is a mistake. */
static enum code refuse_unused(const struct trainer *t, struct err *err)
{
    if (t->device.choices || !t->opts->algorithms) return OK;
    err_set(err, USAGE, "cannot use '%s': device '%s' computes everything in one way",
            t->opts->algorithms, t->device.name);
    return err_hint(err, "Leave --algorithms away; choices are a card's.");
}

enum code trainer_choose_alone(struct trainer *t, struct err *err)
{
    TRY(refuse_unused(t, err));
    if (t->device.choices) TRY(find_table(t, err));
    TRY(trainer_programs(t, err));
    say_searched(t);
    return OK;
}

/* Rank 0's table on another rank: what it lacks is not searched there. */
static enum code take_table(struct trainer *t, const json_t *document, struct err *err)
{
    if (!document) return OK;
    algorithms_init(&t->algorithms, path_of(t));
    TRY(algorithms_read(&t->algorithms, document, err));
    use(t, MISSING_REFUSED);
    return OK;
}

static enum code share_table(struct trainer *t, struct err *err)
{
    bool lead = ranks_lead(&t->ranks);
    json_t *document = lead && t->device.algorithms ? algorithms_json(&t->algorithms) : NULL;
    enum code code = ranks_share_json(&t->ranks, &document, err);
    if (!code && !lead) code = take_table(t, document, err);
    json_decref(document);
    return code;
}

/* Rank 0 compiles, which searches; the others wait for it. */
static enum code search_first(struct trainer *t, struct err *err)
{
    if (!ranks_lead(&t->ranks)) return ranks_follow(&t->ranks, err);
    enum code code = trainer_programs(t, err);
    say_searched(t);
    return t->ranks.failed ? code : ranks_work_done(&t->ranks, code, 0, err);
}

enum code trainer_choose_together(struct trainer *t, enum code mine, struct err *err)
{
    enum { COMPILING_S = 900 };
    bool lead = ranks_lead(&t->ranks);
    if (!mine) mine = refuse_unused(t, err);
    TRY(ranks_join(&t->ranks, mine, !mine && t->device.choices ? RANKS_CHOOSE : 0, err));
    if (!(t->ranks.heard & RANKS_CHOOSE)) return trainer_programs(t, err);
    enum code code = lead && t->device.choices ? find_table(t, err) : OK;
    bool searches = !code && t->device.algorithms && t->algorithms.missing == MISSING_SEARCHED;
    t->ranks.comm->patience_s = COMPILING_S;
    code = ranks_join(&t->ranks, code, searches ? RANKS_WORKING : 0, err);
    if (!code && t->ranks.heard & RANKS_WORKING) code = search_first(t, err);
    if (!code) code = share_table(t, err);
    t->ranks.comm->patience_s = 0;
    return code || searches ? code : trainer_programs(t, err);
}

json_t *trainer_algorithms_fact(const struct trainer *t)
{
    char text[DIGEST_TEXT];
    if (!t->device.algorithms) return NULL;
    struct digest digest = algorithms_digest(&t->algorithms);
    return json_string(digest_text(&digest, text));
}

enum code trainer_algorithms_match(const struct trainer *t, const json_t *stored, struct err *err)
{
    json_t *here = trainer_algorithms_fact(t);
    bool same = (!stored && !here) || (stored && here && json_equal(stored, here));
    json_decref(here);
    if (same) return OK;
    if (takes_other_bits(t)) {
        log_warn("%s: the checkpoint was made with other algorithms", t->run.dir);
        return OK;
    }
    err_set(err, CONFIG,
            "cannot resume run '%s' bit for bit: its checkpoint was made with other algorithms "
            "than its " RUN_ALGORITHMS " holds",
            t->run.dir);
    return err_hint(err, "Say --allow-inexact to go on all the same.");
}
