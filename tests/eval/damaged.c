/* Reports and scores that were changed, cut or exchanged: damage, never a verdict. Each row with
 * its message. */
#include "tests/eval/stage.h"

#include "eval/scores.h"

static int refused_count; /* per process; each test prints its own */

/* A change of report.json: the member at `path` becomes `value` (NULL: it goes away). With `sealed`
 * all digests are made to fit again, as a forger would. */
struct edit_row {
    const char *name, *path, *value;
    bool sealed;
    const char *message;
};

static const struct edit_row edits[] = {
    { "value", "quality.gates.0.value", "0.99", false,
      "'quality' of 'r/report.json' is not what its digest says" },
    { "value, sealed", "quality.gates.0.value", "0.99", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "gate verdict, sealed", "quality.gates.0.verdict", "\"pass\"", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "bound, sealed", "quality.gates.0.low", "0.999", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "row of values, sealed", "quality.values.0.value", "1.0", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "confusion, sealed", "quality.confusion.candidate.0.2", "1", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "goal without a verdict, sealed", "quality.gates.0", NULL, true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "no gates, sealed", "quality.gates", "[]", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "extra member, sealed", "quality.note", "\"fine\"", true,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "result", "verdict.result", "\"pass\"", false,
      "'verdict' of 'r/report.json' is not what its digest says" },
    { "result, sealed", "verdict.result", "\"pass\"", true,
      "'verdict' of 'r/report.json' is not what its scores give" },
    { "measured, sealed", "measured.system.0.value", "1.0", true,
      "'measured' of 'r/report.json' is not what its scores give" },
    { "machine gone", "measured.machine", NULL, false,
      "'measured' of 'r/report.json' is not what its digest says" },
    { "bar, sealed", "inputs.suite.gates.0.bar", "0.1", true,
      "the suite in 'r/report.json' is not what its digest says" },
    { "alpha, sealed", "inputs.suite.alpha", "0.19", true,
      "the suite in 'r/report.json' is not what its digest says" },
    { "alpha beyond", "inputs.suite.alpha", "0.9", true,
      "cannot use suite in 'r/report.json': alpha is out of range" },
    { "suite without gates", "inputs.suite.gates", "[]", true,
      "cannot use suite in 'r/report.json': it has no gates" },
    { "unknown metric", "inputs.suite.gates.0.metric", "\"charm\"", true,
      "cannot use suite in 'r/report.json': it names a metric that is not known" },
    { "unknown rule", "inputs.suite.gates.0.rule", "\"wish\"", true,
      "cannot use suite in 'r/report.json': it names a rule that is not known" },
    { "unknown slice", "inputs.suite.gates.0.slice", "\"elsewhere\"", true,
      "cannot use suite in 'r/report.json': a gate names a slice that is not there" },
    { "gate without goal", "inputs.suite.gates.0.goal", NULL, true,
      "cannot use suite in 'r/report.json': 'goal' is missing or not a boolean" },
    { "severity word", "inputs.suite.gates.0.severity", "\"hint\"", true,
      "cannot use 'r/report.json': 'severity' is 'hint'" },
    { "another model, sealed", "inputs.model.digest",
      "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"", true,
      "'r/report.json' is about model sha256:000000000000..., not " },
    { "model digest of another kind", "inputs.model.digest", "\"md5:12\"", true,
      "cannot use 'r/report.json': 'digest' is missing or not a digest" },
    { "rows, sealed", "inputs.data.rows", "5", true,
      "the scores beside 'r/report.json' are of other data: 1200 rows, not 5" },
    { "baseline name, sealed", "inputs.baselines.0.name", "\"linear\"", true,
      "the scores beside 'r/report.json' are of other baselines than 'linear'" },
    { "no baselines, sealed", "inputs.baselines", "[]", true,
      "'r/report.json' names 0 baselines, its suite has 1" },
    { "methods", "inputs.methods", "\"stats/9\"", true,
      "'r/report.json' was decided by methods 'stats/9', this pawl has 'stats/1'" },
    { "part gone", "quality", NULL, false,
      "cannot use 'r/report.json': 'quality' is missing or not an object" },
    { "digests gone", "digests", NULL, false,
      "cannot use 'r/report.json': 'digests' is missing or not an object" },
    { "digest of the whole", "digests.report",
      "\"sha256:1111111111111111111111111111111111111111111111111111111111111111\"", false,
      "the digest of 'r/report.json' is not that of its parts" },
    { "kind", "pawl", "\"report/2\"", false,
      "cannot read 'r/report.json': it is report/2, not a report/1 document" },
};

/* Goes to the parent of the last part of `path`. */
static json_t *find_parent(json_t *json, char *path, char **last)
{
    for (char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        *dot = '\0';
        json = json_is_array(json) ? json_array_get(json, strtoul(path, NULL, 10))
                                   : json_object_get(json, path);
        cr_assert_not_null(json, "no %s", path);
    }
    *last = path;
    return json;
}

static void seal(json_t *json)
{
    static const char *const parts[] = { "inputs", "quality", "measured", "verdict" };
    json_t *digests = json_object_get(json, "digests");
    char text[DIGEST_TEXT];
    for (size_t i = 0; i < 4; i++) {
        struct digest digest = json_digest(json_object_get(json, parts[i]));
        json_object_set_new(digests, parts[i], json_string(digest_text(&digest, text)));
    }
    json_object_del(digests, "report");
    struct digest digest = json_digest(digests);
    json_object_set_new(digests, "report", json_string(digest_text(&digest, text)));
}

static void edit_report(const char *path, const struct edit_row *row)
{
    json_t *json = NULL;
    struct err err;
    char place[128], *last;
    cr_assert_eq(json_read(&json, path, 1 << 24, NULL, &err), OK);
    snprintf(place, sizeof place, "%s", row->path);
    json_t *parent = find_parent(json, place, &last);
    json_t *value = row->value ? json_loads(row->value, JSON_DECODE_ANY, NULL) : NULL;
    if (!value && json_is_array(parent))
        json_array_remove(parent, strtoul(last, NULL, 10));
    else if (!value)
        json_object_del(parent, last);
    else if (json_is_array(parent))
        json_array_set_new(parent, strtoul(last, NULL, 10), value);
    else
        json_object_set_new(parent, last, value);
    if (row->sealed) seal(json);
    cr_assert_eq(json_publish(json, path, &err), OK);
    json_decref(json);
}

static const char sealed_suite[] = "slices: [{name: low, where: {label: [0, 1]}}]\n"
                                   "goals: [{id: q, metric: accuracy, at_least: 0.99}]\n"
                                   "guards:\n"
                                   "  - {metric: accuracy, slice: low, at_least: 0.5}\n"
                                   "  - {metric: accuracy, against: majority, better_by: 0}\n"
                                   "  - {metric: latency_p50, at_most: 10s}\n";

/* A fresh failing report at r/. */
static void make_report(struct stage *stage, struct eval_result *result)
{
    struct err err = { 0 };
    enum code code = stage_eval(stage, sealed_suite, "r", (struct eval_inputs){ 0 }, result, &err);
    cr_assert_eq(code, GATE_FAILED, "%d: %s", code, err.message);
}

Test(damaged, reports_that_were_changed_are_damage)
{
    struct stage stage;
    struct eval_result result, replayed;
    struct bytes whole;
    struct err err = { 0 };
    stage_open(&stage, 2400, 1200, 0.93, TASK_CLASSIFICATION);
    make_report(&stage, &result);
    const char *path = stage_path(&stage, "r/report.json");
    cr_assert_eq(fs_read(&stage.arena, &whole, path, 1 << 24, &err), OK);
    size_t count = sizeof edits / sizeof *edits;
    for (size_t i = 0; i < count; i++) {
        edit_report(path, &edits[i]);
        struct replay_opts opts = { .model = &result.model };
        enum code code = gate_replay(path, &opts, &replayed, &err);
        cr_expect_eq(code, DAMAGED, "%s: %d", edits[i].name, code);
        const char *message = shown(&stage, err.message);
        cr_expect(strncmp(message, edits[i].message, strlen(edits[i].message)) == 0,
                  "%s:\n  got  %s\n  want %s", edits[i].name, message, edits[i].message);
        cr_assert_eq(fs_publish_view(path, whole.at, whole.len, &err), OK);
        refused_count++;
    }
    cr_expect_eq(gate_replay(path, &(struct replay_opts){ .threads = 1 }, &replayed, &err),
                 GATE_FAILED, "the untouched report: %s", err.message);
    eval_result_release(&replayed);
    eval_result_release(&result);
    printf("refused reports: %d\n", refused_count);
    stage_close(&stage);
}

/* Changes of scores.h5 through the same code that writes it. */
static void swap_prediction(struct scores *scores)
{
    struct subject *candidate = &scores->subjects[0];
    int kind = scores_kind(scores, metric_find("accuracy"), 0);
    for (int64_t i = 0; i < scores->n; i++) {
        candidate->prediction[i] = scores->label[i];
        candidate->score[kind][i] = 1;
    }
}

static void contradict(struct scores *scores)
{
    int kind = scores_kind(scores, metric_find("accuracy"), 0);
    for (int64_t i = 0; i < scores->n; i++) scores->subjects[0].score[kind][i] = 1;
}

static void double_id(struct scores *scores)
{
    scores->id[7] = scores->id[3];
}

static void label_beyond(struct scores *scores)
{
    scores->label[5] = 6;
}

static void label_changed(struct scores *scores)
{
    int kind = scores_kind(scores, metric_find("accuracy"), 0);
    for (size_t s = 0; s < scores->subject_count; s++)
        scores->subjects[s].score[kind][0] = scores->subjects[s].prediction[0] == 3;
    scores->label[0] = 3;
}

static void prediction_beyond(struct scores *scores)
{
    scores->subjects[0].prediction[2] = 6;
}

static void share_beyond(struct scores *scores)
{
    scores->subjects[0].label_probability[4] = 1.5F;
}

static void confidence_below(struct scores *scores)
{
    scores->subjects[1].confidence[4] = -0.5F;
}

static void score_beyond(struct scores *scores)
{
    scores->subjects[0].score[scores_kind(scores, metric_find("log_loss"), 0)][9] = -1;
}

static void loss_changed(struct scores *scores)
{
    scores->subjects[0].score[scores_kind(scores, metric_find("log_loss"), 0)][9] = 0;
}

static void nan_hidden(struct scores *scores)
{
    scores->subjects[0].score[scores_kind(scores, metric_find("log_loss"), 0)][9] = NAN;
}

static void slice_changed(struct scores *scores)
{
    scores->slices[0].in[0] ^= 1;
}

static void slice_beyond(struct scores *scores)
{
    scores->slices[0].in[11] = 2;
}

static void samples_negative(struct scores *scores)
{
    scores->measurements[1].sample[0] = -1;
}

static void samples_faster(struct scores *scores)
{
    for (int64_t i = 0; i < scores->measurements[1].count; i++)
        scores->measurements[1].sample[i] = 1e-9;
}

static void samples_gone(struct scores *scores)
{
    scores->measurements[1].count = 3;
}

static void rows_gone(struct scores *scores)
{
    scores->n -= 100;
}

static void baseline_gone(struct scores *scores)
{
    scores->subjects[1].missing = true;
}

struct scores_row {
    const char *name;
    void (*change)(struct scores *scores);
    const char *message;
};

static const struct scores_row changes[] = {
    { "predictions made right", swap_prediction,
      "'quality' of 'r/report.json' is not what its scores give" },
    { "scores made right", contradict,
      "row 4 of 'r/scores.h5' contradicts itself: score 1, label 5, prediction 1" },
    { "row twice", double_id, "'r/scores.h5' has row 3 twice" },
    { "label beyond", label_beyond,
      "column 'label' of 'r/scores.h5' has 6 in row 5, which is out of range" },
    { "label changed", label_changed, "'quality' of 'r/report.json' is not what its scores give" },
    { "prediction beyond", prediction_beyond,
      "column 'prediction' of 'r/scores.h5' has 6 in row 2, which is out of range" },
    { "probability beyond", share_beyond,
      "column 'label_probability' of 'r/scores.h5' has 1.5 in row 4, which is out of range" },
    { "confidence below", confidence_below,
      "column 'confidence' of 'r/scores.h5' has -0.5 in row 4, which is out of range" },
    { "loss below zero", score_beyond,
      "column 'log_loss' of 'r/scores.h5' has -1 in row 9, which is out of range" },
    { "loss changed", loss_changed, "'quality' of 'r/report.json' is not what its scores give" },
    { "nan put in", nan_hidden, "'quality' of 'r/report.json' is not what its scores give" },
    { "slice changed", slice_changed, "'quality' of 'r/report.json' is not what its scores give" },
    { "slice beyond", slice_beyond,
      "column 'low' of 'r/scores.h5' has 2 in row 11, which is out of range" },
    { "negative time", samples_negative,
      "measurement '/system/latency_p50_1/sample' of 'r/scores.h5' has -1 at 0" },
    { "faster", samples_faster, "'measured' of 'r/report.json' is not what its scores give" },
    { "fewer samples", samples_gone, "'measured' of 'r/report.json' is not what its scores give" },
    { "fewer rows", rows_gone,
      "the scores beside 'r/report.json' are of other data: 1100 rows, not 1200" },
    { "baseline gone", baseline_gone,
      "the scores beside 'r/report.json' are of other baselines than 'majority'" },
};

Test(damaged, scores_that_were_changed_are_damage)
{
    struct stage stage;
    struct eval_result result, replayed;
    struct suite suite;
    struct bytes whole;
    struct err err = { 0 };
    stage_open(&stage, 2400, 1200, 0.93, TASK_CLASSIFICATION);
    make_report(&stage, &result);
    const char *path = stage_path(&stage, "r/scores.h5");
    json_t *effective = json_object_get(json_object_get(result.json, "inputs"), "suite");
    cr_assert_eq(fs_read(&stage.arena, &whole, path, 1 << 26, &err), OK);
    cr_assert_eq(suite_parse(&suite, effective, "suite", &err), OK);
    size_t count = sizeof changes / sizeof *changes;
    for (size_t i = 0; i < count; i++) {
        struct scores scores;
        cr_assert_eq(scores_read(&scores, &suite, path, &err), OK, "%s", err.message);
        changes[i].change(&scores);
        cr_assert_eq(scores_write(&scores, path, &err), OK, "%s", err.message);
        enum code code = gate_replay(stage_path(&stage, "r"), &(struct replay_opts){ .threads = 1 },
                                     &replayed, &err);
        cr_expect_eq(code, DAMAGED, "%s: %d", changes[i].name, code);
        const char *message = shown(&stage, err.message);
        cr_expect(strncmp(message, changes[i].message, strlen(changes[i].message)) == 0,
                  "%s:\n  got  %s\n  want %s", changes[i].name, message, changes[i].message);
        cr_assert_eq(fs_publish_view(path, whole.at, whole.len, &err), OK);
        scores_release(&scores);
        refused_count++;
    }
    suite_release(&suite);
    eval_result_release(&result);
    printf("refused scores: %d\n", refused_count);
    stage_close(&stage);
}

Test(damaged, files_that_are_cut_or_gone_are_damage)
{
    static const double keep[] = { 0, 0.01, 0.3, 0.5, 0.9, 0.999 };
    static const char *const names[] = { "r/report.json", "r/scores.h5" };
    struct stage stage;
    struct eval_result result, replayed;
    struct err err = { 0 };
    stage_open(&stage, 2400, 1200, 0.93, TASK_CLASSIFICATION);
    make_report(&stage, &result);
    for (size_t f = 0; f < 2; f++) {
        const char *path = stage_path(&stage, names[f]);
        struct bytes whole;
        cr_assert_eq(fs_read(&stage.arena, &whole, path, 1 << 26, &err), OK);
        for (size_t k = 0; k < sizeof keep / sizeof *keep; k++) {
            size_t len = (size_t)((double)whole.len * keep[k]);
            cr_assert_eq(fs_publish_view(path, whole.at, len, &err), OK);
            enum code code = gate_replay(stage_path(&stage, "r"),
                                         &(struct replay_opts){ .threads = 1 }, &replayed, &err);
            cr_expect_eq(code, DAMAGED, "%s cut to %zu: %d %s", names[f], len, code, err.message);
            refused_count++;
        }
        cr_assert_eq(fs_publish_view(path, whole.at, whole.len, &err), OK);
    }
    cr_assert_eq(fs_remove(stage_path(&stage, "r/scores.h5"), &err), OK);
    cr_expect_eq(gate_replay(stage_path(&stage, "r"), &(struct replay_opts){ .threads = 1 },
                             &replayed, &err),
                 DAMAGED);
    cr_expect_str_eq(shown(&stage, err.message),
                     "'r/scores.h5' is missing: the report is not whole");
    cr_expect_eq(gate_replay(stage_path(&stage, "nowhere"), &(struct replay_opts){ .threads = 1 },
                             &replayed, &err),
                 NOT_FOUND);
    eval_result_release(&result);
    printf("refused files: %d\n", refused_count);
    stage_close(&stage);
}
