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
    subjects[0] = (struct contestant){ .weights = inputs->weights };
    for (size_t b = 0; b < suite->baseline_count; b++) {
        const char *name = suite->baselines[b];
        const struct eval_baseline *baseline = baseline_named(inputs, name);
        bool majority = strcmp(name, "majority") == 0;
        if (!majority && (!baseline || (!baseline->weights && !baseline->missing))) {
            err_set(err, CONFIG, "the suite compares with '%s', which was not given", name);
            if (strcmp(name, "baseline") == 0) err_hint(err, "Name a model with --baseline REF.");
            return CONFIG;
        }
        if (majority) continue;
        subjects[b + 1] = (struct contestant){ .weights = baseline->weights,
                                               .missing = baseline->missing };
    }
    return OK;
}

static json_t *data_json(const struct suite *suite, const struct dataset *dataset)
{
    const struct split *split = dataset_split(dataset, suite->split);
    bool classes = dataset->task == TASK_CLASSIFICATION;
    json_t *json = json_object(), *names = json_array();
    set(json, "dataset", digest_json(&dataset->digest));
    set(json, "split", json_string(split->name));
    set(json, "digest", digest_json(&split->digest));
    set(json, "rows", json_integer((json_int_t)split->rows));
    set(json, "task", json_string(classes ? "classification" : "regression"));
    set(json, "classes", json_integer(dataset->classes));
    for (int64_t c = 0; dataset->class_names && c < dataset->classes; c++)
        json_array_append_new(names, json_string(dataset->class_names[c]));
    set(json, "class_names", names);
    return json;
}

static json_t *baselines_json(const struct suite *suite, const struct eval_inputs *inputs,
                              const struct dataset *dataset)
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
            const struct split *train = dataset_split(dataset, suite->train_split);
            set(json, "train_split", digest_json(&train->digest));
        } else if (!baseline->missing) {
            set(json, "digest", digest_json(&baseline->weights->digest));
        }
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *inputs_json(const struct suite *suite, const struct eval_inputs *inputs)
{
    json_t *json = json_object(), *model = json_object();
    set(model, "name", json_string(inputs->model));
    set(model, "digest", digest_json(&inputs->weights->digest));
    set(model, "weights", json_string(inputs->weights->variant == WEIGHTS_EMA ? "ema" : "raw"));
    set(json, "suite", json_incref(suite->json));
    set(json, "suite_digest", digest_json(&suite->digest));
    set(json, "model", model);
    set(json, "data", data_json(suite, inputs->dataset));
    set(json, "baselines", baselines_json(suite, inputs, inputs->dataset));
    set(json, "registry", inputs->registry ? json_incref(inputs->registry) : json_null());
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
    struct decide_opts how = { opts->seed, opts->machine, opts->threads };
    enum code code = decision_make(&decision, suite, scores, &how, err);
    if (!code) code = part_quality(&quality, suite, scores, &decision, opts, err);
    if (!code) code = part_measured(&measured, suite, scores, &decision, opts, err);
    if (code) {
        json_decref(inputs);
        json_decref(quality);
        json_decref(measured);
        decision_release(&decision);
        return code;
    }
    result->json = report_join(inputs, quality, measured, part_verdict(&decision), &result->report);
    result->verdict = decision.verdict;
    code = report_outcome(&decision, err);
    decision_release(&decision);
    return code;
}

/* Writes all files of the report into `dir`, which is there and empty. */
static enum code write_files(const char *dir, struct eval_result *result,
                             const struct scores *scores, const struct dataset *dataset,
                             struct arena *arena, struct err *err)
{
    struct str junit = { 0 }, html = { 0 };
    const json_t *data = json_object_get(json_object_get(result->json, "inputs"), "data");
    struct page page = { .out = &html,
                         .arena = arena,
                         .report = result->json,
                         .scores = scores,
                         .dataset = dataset,
                         .split = dataset_split(dataset, html_word(data, "split")) };
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
                         const struct scores *scores, const struct dataset *dataset,
                         struct err *err)
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
    if (!code) code = write_files(temporary, result, scores, dataset, &arena, err);
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

enum code eval_run(const struct eval_inputs *inputs, const char *out_dir,
                   struct eval_result *result, struct err *err)
{
    struct arena arena = { 0 };
    struct suite suite = { 0 };
    struct scores scores = { 0 };
    struct err failed;
    *result = (struct eval_result){ 0 };
    enum code code = suite_resolve(&suite, inputs->document, inputs->problems, err);
    if (code) goto out;
    if ((code = suite_fit(&suite, inputs->document, inputs->dataset, inputs->problems, err)))
        goto out;
    struct contestant *subjects = ARENA_ARRAY(&arena, 1 + suite.baseline_count, struct contestant);
    if ((code = line_up(subjects, &suite, inputs, err))) goto out;
    struct harness_opts how = { inputs->device, inputs->threads, inputs->call_rows };
    if ((code = harness_run(&scores, &suite, inputs->dataset, subjects, &how, err))) goto out;

    const struct split *split = dataset_split(inputs->dataset, suite.split);
    result->suite = suite.digest;
    result->model = inputs->weights->digest;
    struct part_opts opts = {
        .seed = decision_seed(&suite.digest, &split->digest, &result->model),
        .machine = machine_class(&arena, inputs->threads),
        .device = inputs->device,
        .threads = inputs->threads,
    };
    code = conclude(result, &suite, &scores, inputs_json(&suite, inputs), &opts, err);
    if (!is_verdict(code)) goto out;
    enum code written = publish(out_dir, result, &scores, inputs->dataset, &failed);
    if (written) {
        code = written;
        if (err) *err = failed;
    }
out:
    if (!is_verdict(code)) eval_result_release(result);
    scores_release(&scores);
    suite_release(&suite);
    arena_release(&arena);
    return code;
}
