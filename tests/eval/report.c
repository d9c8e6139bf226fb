/* Evaluating end to end: values counted from the CSV by hand, replay to the same bytes, and no
 * influence of threads or sizes of calls. */
#include "tests/eval/stage.h"

static const char whole[] =
    "slices:\n"
    "  - {name: low, where: {label: [0, 1, 2, 3]}}\n"
    "  - {name: late, where: {column: g, above: 1000, below: 3000}}\n"
    "goals:\n"
    "  - {id: quality, metric: accuracy, at_least: 0.85, why: because}\n"
    "guards:\n"
    "  - {metric: accuracy, slice: {every: label}, at_least: 0.8, tolerate: 0.02}\n"
    "  - {id: late, metric: accuracy, slice: late, at_least: 0.85}\n"
    "  - {metric: log_loss, at_most: 0.9}\n"
    "  - {metric: log_loss, slice: low, at_most: 0.9}\n"
    "  - {metric: ece, at_most: 0.5}\n"
    "  - {metric: macro_f1, at_least: 0.8}\n"
    "  - {metric: top_k, k: 2, at_least: 0.88}\n"
    "  - {id: chance, metric: accuracy, against: majority, better_by: 0.5}\n"
    "  - {id: linear, metric: accuracy, against: linear, better_by: 0}\n"
    "  - {id: loss, metric: log_loss, against: linear, not_worse_by: 0.01}\n"
    "  - {id: f1, metric: macro_f1, against: linear, not_worse_by: 0.01}\n"
    "  - {id: same, metric: log_loss, against: same@1, gain_at_most: 0.1}\n"
    "  - {id: first, metric: accuracy, against: new@prod, not_worse_by: 0.01, severity: warn}\n"
    "  - {metric: weights_bytes, at_most: 1KiB}\n"
    "  - {metric: latency_p50, at_most: 10s}\n";

/* Rows of split test, right answers on them, by label and in slice `late`. */
struct counted {
    int64_t n, right, late, late_right, label_n[STAGE_CLASSES], label_right[STAGE_CLASSES];
};

static void count_rows(struct stage *stage, struct counted *counted)
{
    struct err err;
    const struct split *split = dataset_split(&stage->dataset, "test");
    int32_t *label = ARENA_ARRAY(&stage->arena, split->rows, int32_t);
    float *x = ARENA_ARRAY(&stage->arena, split->rows * STAGE_FEATURES, float);
    cr_assert_eq(
        dataset_read(&stage->dataset, split_column(split, "label"), 0, split->rows, label, &err),
        OK);
    cr_assert_eq(dataset_read(&stage->dataset, split_column(split, "x"), 0, split->rows, x, &err),
                 OK);
    *counted = (struct counted){ .n = (int64_t)split->rows };
    for (uint64_t i = 0; i < split->rows; i++) {
        const float *row = x + i * STAGE_FEATURES;
        int best = 0;
        for (int c = 1; c < STAGE_CLASSES; c++)
            if (row[c] > row[best]) best = c;
        bool right = best == label[i], late = row[6] > 1000 && row[6] < 3000;
        counted->right += right;
        counted->late += late;
        counted->late_right += late && right;
        counted->label_n[label[i]]++;
        counted->label_right[label[i]] += right;
    }
}

static void expect_share(const json_t *gate, int64_t right, int64_t n)
{
    double value = json_number_value(json_object_get(gate, "value"));
    cr_expect_eq(json_integer_value(json_object_get(gate, "n")), n, "%s", stage_word(gate, "id"));
    cr_expect(value == (double)right / (double)n, "%s is %g, not %lld of %lld",
              stage_word(gate, "id"), value, (long long)right, (long long)n);
}

Test(report, values_are_what_the_rows_say)
{
    struct stage stage;
    struct eval_result result;
    struct err err = { 0 };
    struct counted counted;
    stage_open(&stage, 4200, 2000, 0.93, TASK_CLASSIFICATION);
    enum code code = stage_eval(&stage, whole, "r", (struct eval_inputs){ 0 }, &result, &err);
    cr_assert_eq(code, INCONCLUSIVE, "%d: %s", code, err.message);
    cr_expect_str_eq(err.message, "gates are inconclusive: 'same'");
    count_rows(&stage, &counted);
    expect_share(stage_gate(&result, "quality", "quality"), counted.right, counted.n);
    expect_share(stage_gate(&result, "quality", "late"), counted.late_right, counted.late);
    for (int c = 0; c < STAGE_CLASSES; c++) {
        char id[64];
        snprintf(id, sizeof id, "accuracy-at_least-every-label/label=%d", c);
        expect_share(stage_gate(&result, "quality", id), counted.label_right[c],
                     counted.label_n[c]);
    }
    const json_t *same = stage_gate(&result, "quality", "same");
    cr_expect_str_eq(stage_word(same, "verdict"), "inconclusive");
    eval_result_release(&result);
    stage_close(&stage);
}

static char *quality_of(struct arena *arena, const struct eval_result *result)
{
    return json_canonical(arena, json_object_get(result->json, "quality"), NULL);
}

Test(report, quality_is_the_same_bytes_for_any_threads_and_calls)
{
    static const struct {
        int threads;
        int64_t call_rows;
    } ways[] = { { 1, 0 }, { 2, 64 }, { 3, 640 }, { 4, 1 }, { 2, 100000 } };
    struct stage stage;
    struct eval_result result;
    struct err err = { 0 };
    char *first = NULL;
    stage_open(&stage, 2300, 1100, 0.93, TASK_CLASSIFICATION);
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        struct eval_inputs inputs = { .threads = ways[w].threads, .call_rows = ways[w].call_rows };
        char out[16];
        snprintf(out, sizeof out, "r%zu", w);
        stage_eval(&stage, whole, out, inputs, &result, &err);
        cr_assert_not_null(result.json, "%s", err.message);
        char *quality = quality_of(&stage.arena, &result);
        if (first) cr_expect_str_eq(quality, first, "way %zu differs", w);
        first = quality;
        eval_result_release(&result);
    }
    stage_close(&stage);
}

Test(report, replay_gives_the_same_verdict_and_digests)
{
    static const struct {
        const char *name, *suite;
        enum code code;
    } rows[] = {
        { "pass", "goals: [{id: q, metric: accuracy, at_least: 0.5}]\n", OK },
        { "fail", "goals: [{id: q, metric: accuracy, at_least: 0.99}]\n", GATE_FAILED },
        { "open", "goals: [{id: q, metric: accuracy, at_least: 0.93}]\n", INCONCLUSIVE },
        { "whole", whole, 100 },
    };
    struct stage stage;
    stage_open(&stage, 2300, 1100, 0.93, TASK_CLASSIFICATION);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct eval_result result, replayed;
        struct err err = { 0 };
        enum code code = stage_eval(&stage, rows[r].suite, rows[r].name, (struct eval_inputs){ 0 },
                                    &result, &err);
        if (rows[r].code != 100)
            cr_expect_eq(code, rows[r].code, "%s: %d %s", rows[r].name, code, err.message);
        for (int way = 0; way < 2; way++) {
            const char *path = stage_path(&stage, rows[r].name);
            if (way) path = path_join(&stage.arena, path, "report.json");
            struct str text = { 0 };
            struct replay_opts opts = { .model = &result.model,
                                        .suite = &result.suite,
                                        .threads = 1 + way,
                                        .explain = r < 3 ? "q" : NULL,
                                        .explained = &text };
            cr_expect_eq(gate_replay(path, &opts, &replayed, &err), code, "%s: %s", rows[r].name,
                         err.message);
            cr_expect(digest_equal(&replayed.report, &result.report));
            cr_expect_eq(replayed.verdict, result.verdict);
            cr_expect_str_eq(str_text(&replayed.markdown), str_text(&result.markdown));
            if (r < 3) cr_expect_not_null(strstr(str_text(&text), "clopper_pearson"));
            str_release(&text);
            eval_result_release(&replayed);
        }
        eval_result_release(&result);
    }
    stage_close(&stage);
}

Test(report, regression_is_evaluated_with_its_own_metrics)
{
    static const char suite[] = "slices: [{name: late, where: {column: g, above: 1000}}]\n"
                                "goals: [{id: q, metric: mse, at_most: 40}]\n"
                                "guards:\n"
                                "  - {metric: mae, at_most: 10}\n"
                                "  - {metric: mae, slice: late, at_most: 10}\n"
                                "  - {id: base, metric: mae, against: same@1, not_worse_by: 1}\n";
    struct stage stage;
    struct eval_result result, replayed;
    struct err err = { 0 };
    stage_open(&stage, 4000, 2500, 0.9, TASK_REGRESSION);
    enum code code = stage_eval(&stage, suite, "r", (struct eval_inputs){ 0 }, &result, &err);
    cr_assert_not_null(result.json, "%s", err.message);
    cr_expect_str_eq(stage_word(stage_gate(&result, "quality", "q"), "verdict"), "pass");
    cr_expect_str_eq(stage_word(stage_gate(&result, "quality", "base"), "reason"), "degenerate");
    cr_expect_eq(gate_replay(stage_path(&stage, "r"), &(struct replay_opts){ 0 }, &replayed, &err),
                 code, "%s", err.message);
    eval_result_release(&replayed);
    eval_result_release(&result);
    stage_close(&stage);
}

Test(report, an_existing_place_is_not_written_over)
{
    struct stage stage;
    struct eval_result result;
    struct err err = { 0 };
    stage_open(&stage, 300, 100, 0.9, TASK_CLASSIFICATION);
    cr_assert_eq(fs_mkdirs(stage_path(&stage, "r"), &err), OK);
    cr_expect_eq(stage_eval(&stage, "goals: [{id: q, metric: accuracy, at_least: 0.5}]\n", "r",
                            (struct eval_inputs){ 0 }, &result, &err),
                 CONFLICT);
    cr_expect_null(result.json);
    stage_close(&stage);
}
