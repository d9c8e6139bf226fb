/* Evaluating into a report directory. */
#include "eval/report.h"

#include "base/fs.h"
#include "eval/html.h"
#include "eval/report_parts.h"

#include <string.h>

static void set(json_t *json, const char *key, json_t *value)
{
    REQUIRE(json_object_set_new(json, key, value) == 0);
}

static json_t *digest_json(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return json_string(digest_text(digest, text));
}

const char *report_name(struct arena *arena, const struct suite *suite, const struct digest *model)
{
    char text[DIGEST_TEXT];
    return arena_format(arena, "%s-%.12s", suite->name, digest_text(model, text) + 7);
}

void eval_result_release(struct eval_result *result)
{
    json_decref(result->json);
    str_release(&result->markdown);
    *result = (struct eval_result){ 0 };
}

static const struct eval_baseline *baseline_named(const struct eval_inputs *inputs,
                                                  const char *name)
{
    for (size_t i = 0; i < inputs->baseline_count; i++)
        if (strcmp(inputs->baselines[i].name, name) == 0) return &inputs->baselines[i];
    return NULL;
}

/* Every baseline of the suite, in its order, behind the candidate. */
static enum code line_up(struct contestant *subjects, const struct suite *suite,
                         const struct eval_inputs *inputs, struct err *err)
{
    subjects[0] = (struct contestant){ .weights = inputs->weights,
                                       .predictions = inputs->predictions };
    for (size_t b = 0; b < suite->baseline_count; b++) {
        const char *name = suite->baselines[b];
        const struct eval_baseline *baseline = baseline_named(inputs, name);
        bool majority = strcmp(name, "majority") == 0;
        bool given = baseline && (baseline->weights || baseline->predictions || baseline->missing);
        if (!majority && !given) {
            err_set(err, CONFIG, "the suite compares with '%s', which was not given", name);
            if (strcmp(name, "baseline") == 0)
                err_hint(err, "Name a model with --baseline REF, or predictions with "
                              "--baseline-predictions FILE.");
            return CONFIG;
        }
        if (majority) continue;
        subjects[b + 1] = (struct contestant){ .weights = baseline->weights,
                                               .predictions = baseline->predictions,
                                               .missing = baseline->missing };
    }
    return OK;
}

static json_t *data_json(const struct exam *exam)
{
    json_t *json = json_object(), *names = json_array();
    set(json, "dataset", exam->dataset ? digest_json(&exam->dataset->digest) : json_null());
    set(json, "split", json_string(exam->split_name));
    set(json, "digest", digest_json(&exam->digest));
    set(json, "rows", json_integer(exam->n));
    set(json, "task", json_string(exam_task_text((unsigned)exam->task)));
    set(json, "classes", json_integer(exam->classes));
    for (int64_t c = 0; exam->class_names && c < exam->classes; c++)
        json_array_append_new(names, json_string(exam->class_names[c]));
    set(json, "class_names", names);
    return json;
}

static json_t *baselines_json(const struct suite *suite, const struct eval_inputs *inputs)
{
    json_t *list = json_array();
    for (size_t b = 0; b < suite->baseline_count; b++) {
        const char *name = suite->baselines[b];
        const struct eval_baseline *baseline = baseline_named(inputs, name);
        bool majority = strcmp(name, "majority") == 0;
        json_t *json = json_object();
        set(json, "name", json_string(name));
        set(json, "ref", json_string(baseline && baseline->ref ? baseline->ref : name));
        set(json, "missing", json_boolean(!majority && baseline->missing));
        if (majority) {
            const struct split *train = dataset_split(inputs->dataset, suite->train_split);
            set(json, "train_split", digest_json(&train->digest));
        } else if (!baseline->missing) {
            set(json, "digest",
                digest_json(baseline->weights ? &baseline->weights->digest
                                              : &baseline->predictions->digest));
        }
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *inputs_json(const struct suite *suite, const struct exam *exam,
                           const struct eval_inputs *inputs)
{
    json_t *json = json_object(), *model = json_object();
    bool ema = inputs->weights && inputs->weights->variant == WEIGHTS_EMA;
    set(model, "name", json_string(inputs->model));
    set(model, "digest",
        digest_json(inputs->weights ? &inputs->weights->digest : &inputs->predictions->digest));
    set(model, "weights", json_string(!inputs->weights ? "predictions" : ema ? "ema" : "raw"));
    set(json, "suite", json_incref(suite->json));
    set(json, "suite_digest", digest_json(&suite->digest));
    set(json, "model", model);
    set(json, "data", data_json(exam));
    set(json, "baselines", baselines_json(suite, inputs));
    set(json, "registry", inputs->registry ? json_incref(inputs->registry) : json_null());
    if (inputs->history) set(json, "history", json_incref(inputs->history));
    set(json, "pawl", json_string(PAWL_VERSION));
    set(json, "methods", json_string(STATS_VERSION));
    return json;
}

/* Decides and joins the report; `inputs` is taken over. */
static enum code conclude(struct eval_result *result, const struct suite *suite,
                          const struct scores *scores, json_t *inputs, const struct part_opts *opts,
                          struct err *err)
{
    struct decision decision;
    json_t *quality = NULL, *measured = NULL;
    struct decide_opts how = part_deciding(inputs, opts);
    enum code code = decision_make(&decision, suite, scores, &how, err);
    if (!code) code = part_quality(&quality, suite, scores, &decision, opts, err);
    if (!code) code = part_measured(&measured, scores, &decision, opts, err);
    if (code) {
        json_decref((json_t *)(uintptr_t)how.history);
        json_decref(inputs);
        json_decref(quality);
        json_decref(measured);
        decision_release(&decision);
        return code;
    }
    json_decref((json_t *)(uintptr_t)how.history);
    result->json = report_join(inputs, quality, measured, part_verdict(&decision), &result->report);
    result->verdict = decision.verdict;
    code = report_outcome(&decision, err);
    decision_release(&decision);
    return code;
}

/* Writes all files of the report into `dir`, which is there and empty. */
static enum code write_files(const char *dir, struct eval_result *result,
                             const struct scores *scores, const struct exam *exam,
                             struct arena *arena, struct err *err)
{
    struct str junit = { 0 }, html = { 0 };
    struct page page = { .out = &html,
                         .arena = arena,
                         .report = result->json,
                         .scores = scores,
                         .dataset = exam->dataset,
                         .split = exam->split };
    report_html(&page);
    report_junit(&junit, result->json);
    report_markdown(&result->markdown, result->json);
    enum code code = scores_write(scores, path_join(arena, dir, "scores.h5"), err);
    if (code) goto out;
    if ((code = fs_publish(path_join(arena, dir, "junit.xml"), junit.at, junit.len, err))) goto out;
    if ((code = fs_publish(path_join(arena, dir, "report.md"), result->markdown.at,
                           result->markdown.len, err)))
        goto out;
    if ((code = fs_publish(path_join(arena, dir, "report.html"), html.at, html.len, err))) goto out;
    code = json_publish(result->json, path_join(arena, dir, "report.json"), err);
out:
    str_release(&html);
    str_release(&junit);
    return code;
}

static enum code publish(const char *out_dir, struct eval_result *result,
                         const struct scores *scores, const struct exam *exam, struct err *err)
{
    struct arena arena = { 0 };
    char temporary[1100];
    enum code code;
    if (fs_exists(out_dir)) {
        err_set(err, CONFLICT, "cannot write report '%s': it exists already", out_dir);
        err_hint(err, "Choose another place with --out, or remove it.");
        return CONFLICT;
    }
    if ((code = fs_mkdirs(path_dir(&arena, out_dir), err))) goto out;
    fs_temporary_name(temporary, sizeof temporary, out_dir);
    code = fs_mkdirs(temporary, err);
    if (!code) code = write_files(temporary, result, scores, exam, &arena, err);
    if (!code) code = fs_publish_dir(temporary, out_dir, err);
    if (code) fs_remove_tree(temporary, NULL);
out:
    arena_release(&arena);
    return code;
}

static bool is_verdict(enum code code)
{
    return code == OK || code == GATE_FAILED || code == INCONCLUSIVE;
}

/* The rows that decide: a split of the suite's data, or the predictions' own. */
static enum code take_exam(struct exam *exam, const struct suite *suite,
                           const struct eval_inputs *inputs, struct err *err)
{
    if (inputs->dataset) {
        TRY(suite_exam(exam, suite, inputs->document, inputs->dataset, inputs->problems, err));
        exam->predictions = inputs->predictions;
        return OK;
    }
    if (!inputs->predictions)
        return err_set(err, CONFIG, "cannot evaluate a model under suite '%s': it names no data",
                       inputs->document->path);
    TRY(exam_of_predictions(exam, inputs->predictions, err));
    for (size_t b = 0; b < inputs->baseline_count; b++) {
        const struct predictions *other = inputs->baselines[b].predictions;
        bool open = other && !inputs->predictions->probability;
        if (open && other->classes > exam->classes) exam->classes = other->classes;
    }
    return OK;
}

/* Everything behind the rows: scores, decision, files. */
static enum code examine(const struct suite *suite, const struct exam *exam,
                         const struct eval_inputs *inputs, const char *out_dir,
                         struct eval_result *result, struct err *err)
{
    struct arena arena = { 0 };
    struct scores scores = { 0 };
    struct err failed;
    struct harness_opts how = { inputs->device, inputs->threads, inputs->call_rows };
    struct contestant *subjects = ARENA_ARRAY(&arena, 1 + suite->baseline_count, struct contestant);
    enum code code = line_up(subjects, suite, inputs, err);
    if (code) goto out;
    if ((code = harness_run(&scores, suite, exam, subjects, &how, err))) goto out;
    result->suite = suite->digest;
    result->model = inputs->weights ? inputs->weights->digest : inputs->predictions->digest;
    struct part_opts opts = {
        .seed = decision_seed(&suite->digest, &exam->digest, &result->model),
        .machine = inputs->weights ? machine_class(&arena, inputs->threads) : NULL,
        .device = inputs->weights ? inputs->device : "none",
        .threads = inputs->threads,
    };
    code = conclude(result, suite, &scores, inputs_json(suite, exam, inputs), &opts, err);
    if (!is_verdict(code)) goto out;
    enum code written = publish(out_dir, result, &scores, exam, &failed);
    if (written) {
        code = written;
        if (err) *err = failed;
    }
out:
    scores_release(&scores);
    arena_release(&arena);
    return code;
}

enum code eval_run(const struct eval_inputs *inputs, const char *out_dir,
                   struct eval_result *result, struct err *err)
{
    struct suite suite;
    struct exam exam;
    *result = (struct eval_result){ 0 };
    TRY(suite_resolve(&suite, inputs->document, inputs->problems, err));
    enum code code = take_exam(&exam, &suite, inputs, err);
    if (!code) code = suite_fit(&suite, inputs->document, &exam, inputs->problems, err);
    if (!code) code = examine(&suite, &exam, inputs, out_dir, result, err);
    if (!is_verdict(code)) eval_result_release(result);
    suite_release(&suite);
    return code;
}
