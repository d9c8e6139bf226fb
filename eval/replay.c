/* Replay: every number and verdict of a report again, from scores.h5 alone, to the same bytes. */
#include "base/fs.h"
#include "eval/report_parts.h"

#include <string.h>

enum { REPORT_LIMIT = 256 << 20 };

/* A report as it lies there, with what is needed to decide again. */
struct stored {
    json_t *json, *inputs, *quality, *measured, *verdict; /* parts are borrowed */
    struct suite suite;
    struct scores scores;
    struct digest model, data;
    const char *machine, *device;
};

static void stored_release(struct stored *stored)
{
    scores_release(&stored->scores);
    suite_release(&stored->suite);
    json_decref(stored->json);
    *stored = (struct stored){ 0 };
}

/* The stated digest of each part, and of the whole, against its content. */
static enum code check_digests(const struct stored *stored, const char *path, struct digest *report,
                               struct err *err)
{
    static const char *const names[] = { "inputs", "quality", "measured", "verdict" };
    json_t *digests, *own = json_object();
    enum code code = json_get_object(&digests, stored->json, "digests", path, err);
    for (size_t i = 0; i < 4 && !code; i++) {
        struct digest stated, part = json_digest(json_object_get(stored->json, names[i]));
        char text[DIGEST_TEXT];
        code = json_get_digest(&stated, digests, names[i], path, err);
        if (!code && !digest_equal(&stated, &part))
            code = err_set(err, DAMAGED, "'%s' of '%s' is not what its digest says", names[i],
                           path);
        json_object_set_new(own, names[i], json_string(digest_text(&part, text)));
    }
    struct digest stated;
    if (!code) code = json_get_digest(&stated, digests, "report", path, err);
    if (!code) {
        *report = json_digest(own);
        if (!digest_equal(&stated, report))
            code = err_set(err, DAMAGED, "the digest of '%s' is not that of its parts", path);
    }
    json_decref(own);
    return code;
}

static enum code read_parts(struct stored *stored, const char *path, struct err *err)
{
    TRY(json_get_object(&stored->inputs, stored->json, "inputs", path, err));
    TRY(json_get_object(&stored->quality, stored->json, "quality", path, err));
    TRY(json_get_object(&stored->measured, stored->json, "measured", path, err));
    TRY(json_get_object(&stored->verdict, stored->json, "verdict", path, err));
    stored->machine = json_string_value(json_object_get(stored->measured, "machine"));
    return json_get_text(&stored->device, stored->measured, "device", path, err);
}

static enum code read_inputs(struct stored *stored, const char *path, struct err *err)
{
    json_t *suite, *model, *data;
    struct digest stated;
    const char *version;
    TRY(json_get_text(&version, stored->inputs, "methods", path, err));
    if (strcmp(version, STATS_VERSION) != 0)
        return err_set(err, DAMAGED, "'%s' was decided by methods '%s', this pawl has '%s'", path,
                       version, STATS_VERSION);
    TRY(json_get_object(&suite, stored->inputs, "suite", path, err));
    TRY(json_get_object(&model, stored->inputs, "model", path, err));
    TRY(json_get_object(&data, stored->inputs, "data", path, err));
    TRY(json_get_digest(&stated, stored->inputs, "suite_digest", path, err));
    TRY(json_get_digest(&stored->model, model, "digest", path, err));
    TRY(json_get_digest(&stored->data, data, "digest", path, err));
    TRY(suite_parse(&stored->suite, suite, path, err));
    if (!digest_equal(&stated, &stored->suite.digest))
        return err_set(err, DAMAGED, "the suite in '%s' is not what its digest says", path);
    return OK;
}

/* Scores against what the inputs say about data and baselines. */
static enum code check_scores(const struct stored *stored, const char *path, struct err *err)
{
    const json_t *data = json_object_get(stored->inputs, "data");
    const struct scores *scores = &stored->scores;
    const char *task;
    int64_t rows, classes;
    json_t *baselines;
    TRY(json_get_int(&rows, data, "rows", path, err));
    TRY(json_get_int(&classes, data, "classes", path, err));
    TRY(json_get_text(&task, data, "task", path, err));
    bool same_task = strcmp(task, exam_task_text((unsigned)scores->task)) == 0;
    if (rows != scores->n || classes != scores->classes || !same_task)
        return err_set(err, DAMAGED,
                       "the scores beside '%s' are of other data: %lld rows, not %lld", path,
                       (long long)scores->n, (long long)rows);
    TRY(json_get_array(&baselines, stored->inputs, "baselines", path, err));
    if (json_array_size(baselines) + 1 != scores->subject_count)
        return err_set(err, DAMAGED, "'%s' names %zu baselines, its suite has %zu", path,
                       json_array_size(baselines), scores->subject_count - 1);
    for (size_t b = 0; b + 1 < scores->subject_count; b++) {
        const json_t *item = json_array_get(baselines, b);
        const char *name = json_string_value(json_object_get(item, "name"));
        const struct subject *subject = &scores->subjects[b + 1];
        bool missing = json_is_true(json_object_get(item, "missing"));
        if (!name || strcmp(name, subject->name) != 0 || missing != subject->missing)
            return err_set(err, DAMAGED, "the scores beside '%s' are of other baselines than '%s'",
                           path, name ? name : "?");
    }
    return OK;
}

static enum code check_wanted(const struct stored *stored, const struct replay_opts *opts,
                              const char *path, struct err *err)
{
    char here[DIGEST_TEXT], wanted[DIGEST_TEXT];
    if (opts->model && !digest_equal(opts->model, &stored->model))
        return err_set(err, DAMAGED, "'%s' is about model %.19s..., not %.19s...", path,
                       digest_text(&stored->model, here), digest_text(opts->model, wanted));
    if (opts->suite && !digest_equal(opts->suite, &stored->suite.digest))
        return err_set(err, DAMAGED, "'%s' was decided under suite %.19s..., not %.19s...", path,
                       digest_text(&stored->suite.digest, here), digest_text(opts->suite, wanted));
    return OK;
}

static enum code compare(const json_t *stored, json_t *again, const char *part, const char *path,
                         struct err *err)
{
    struct digest a = json_digest(stored), b = json_digest(again);
    json_decref(again);
    if (digest_equal(&a, &b)) return OK;
    err_set(err, DAMAGED, "'%s' of '%s' is not what its scores give", part, path);
    err_hint(err, "Evaluate again: the report or its scores were changed.");
    return DAMAGED;
}

/* Recomputes and compares the three parts that rest on scores. */
static enum code decide_again(struct stored *stored, struct decision *decision,
                              const struct replay_opts *opts, const char *path, struct err *err)
{
    json_t *quality, *measured;
    struct part_opts how = {
        .seed = decision_seed(&stored->suite.digest, &stored->data, &stored->model),
        .machine = stored->machine,
        .device = stored->device,
        .threads = opts->threads,
    };
    struct decide_opts deciding = part_deciding(stored->inputs, &how);
    enum code code = decision_make(decision, &stored->suite, &stored->scores, &deciding, err);
    json_decref((json_t *)(uintptr_t)deciding.history);
    if (code) return code;
    TRY(part_quality(&quality, &stored->suite, &stored->scores, decision, &how, err));
    TRY(compare(stored->quality, quality, "quality", path, err));
    TRY(part_measured(&measured, &stored->scores, decision, &how, err));
    TRY(compare(stored->measured, measured, "measured", path, err));
    return compare(stored->verdict, part_verdict(decision), "verdict", path, err);
}

static enum code explain(const struct stored *stored, const struct decision *decision,
                         const struct replay_opts *opts, struct err *err)
{
    for (size_t i = 0; opts->explain && i < decision->count; i++) {
        if (strcmp(decision->trials[i].id, opts->explain) != 0) continue;
        explain_trial(opts->explained, &decision->trials[i], &stored->suite, decision,
                      stored->inputs);
        return OK;
    }
    if (!opts->explain) return OK;
    struct arena arena = { 0 };
    const char **ids = ARENA_ARRAY(&arena, decision->count + 1, const char *);
    for (size_t i = 0; i < decision->count; i++) ids[i] = decision->trials[i].id;
    const char *meant = text_nearest(opts->explain, ids);
    err_set(err, USAGE, "there is no gate '%s'", opts->explain);
    if (meant) err_hint(err, "Did you mean '%s'?", meant);
    arena_release(&arena);
    return USAGE;
}

enum code gate_replay(const char *path, const struct replay_opts *opts, struct eval_result *result,
                      struct err *err)
{
    struct arena arena = { 0 };
    struct stored stored = { 0 };
    struct decision decision = { 0 };
    *result = (struct eval_result){ 0 };
    const char *file = fs_is_dir(path) ? path_join(&arena, path, "report.json") : path;
    const char *scores = path_join(&arena, path_dir(&arena, file), "scores.h5");
    enum code code = json_read(&stored.json, file, REPORT_LIMIT, "report/1", err);
    if (code) goto out;
    if ((code = read_parts(&stored, file, err))) goto out;
    if ((code = check_digests(&stored, file, &result->report, err))) goto out;
    if ((code = read_inputs(&stored, file, err))) goto out;
    if ((code = check_wanted(&stored, opts, file, err))) goto out;
    if ((code = scores_read(&stored.scores, &stored.suite, scores, err))) goto out;
    if ((code = check_scores(&stored, file, err))) goto out;
    if ((code = decide_again(&stored, &decision, opts, file, err))) goto out;
    if ((code = explain(&stored, &decision, opts, err))) goto out;
    result->verdict = decision.verdict;
    result->suite = stored.suite.digest;
    result->model = stored.model;
    result->json = json_incref(stored.json);
    report_markdown(&result->markdown, result->json);
    code = report_outcome(&decision, err);
out:
    decision_release(&decision);
    stored_release(&stored);
    arena_release(&arena);
    return code;
}
