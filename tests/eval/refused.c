/* What must not pass: suites that make no sense, and gates under which something is not there,
 * not a number or not enough. Each row with its exit code and message or reason. */
#include "tests/eval/stage.h"

static int refused_count; /* per process; each test prints its own */

#define GOAL "goals: [{id: q, metric: accuracy, at_least: 0.5}]\n"

struct suite_row {
    const char *text, *message;
};

static const struct suite_row suites[] = {
    { "goals: [{id: q, metric: acuracy, at_least: 0.5}]\n", "unknown metric 'acuracy'" },
    { "goals: [{id: q, metric: confusion, at_least: 0.5}]\n",
      "metric 'confusion' is a table and has no bar" },
    { "goals: [{id: q, metric: accuracy}]\n", "this gate has no rule" },
    { "goals: []\n", "'goals' must have at least one item" },
    { "guards: [{metric: accuracy, at_least: 0.5}]\n", "missing key 'goals' at the top level" },
    { "goals: [{metric: accuracy, at_least: 0.5}]\n", "missing key 'id' in goals.0" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, at_most: 0.9}]\n",
      "a gate has one rule, this one has at_least and at_most" },
    { "goals: [{id: q, metric: accuracy, at_most: 0.5}]\n",
      "'accuracy' is better when it is larger: 'at_most' does not guard it" },
    { "goals: [{id: q, metric: log_loss, at_least: 0.5}]\n",
      "'log_loss' is better when it is smaller: 'at_least' does not guard it" },
    { "goals: [{id: q, metric: accuracy, at_least: 91}]\n",
      "the bar of 'accuracy' must be from 0 to 1, got 91" },
    { "goals: [{id: q, metric: accuracy, at_least: -0.1}]\n",
      "the bar of 'accuracy' must be from 0 to 1, got -0.1" },
    { "goals: [{id: q, metric: accuracy, at_least: .nan}]\n",
      "the bar of 'accuracy' must be a number, got '.nan'" },
    { "goals: [{id: q, metric: accuracy, at_least: high}]\n",
      "the bar of 'accuracy' must be a number, got 'high'" },
    { "goals: [{id: q, metric: accuracy, at_least: \"0.9\"}]\n",
      "the bar of 'accuracy' must be a number, got '0.9'" },
    { "goals: [{id: q, metric: latency_p99, at_most: 2}]\n",
      "the bar of 'latency_p99' must be a time with its unit, like 2ms, got '2'" },
    { "goals: [{id: q, metric: latency_p99, at_most: 2MiB}]\n",
      "the bar of 'latency_p99' must be a time with its unit, like 2ms, got '2MiB'" },
    { "goals: [{id: q, metric: weights_bytes, at_most: 2ms}]\n",
      "the bar of 'weights_bytes' must be bytes, like 8MiB, got '2ms'" },
    { "goals: [{id: q, metric: accuracy, better_by: 0}]\n", "'better_by' needs a baseline" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, against: linear}]\n",
      "'at_least' looks at the model alone and has no baseline" },
    { "goals: [{id: q, metric: weights_bytes, not_worse_by: 0, against: linear}]\n",
      "'weights_bytes' is measured for the model alone: 'not_worse_by' does not fit" },
    { "goals: [{id: q, metric: mse, not_worse_by: 0, against: majority}]\n",
      "the baseline 'majority' is for classification" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, k: 3}]\n",
      "'k' does nothing for metric 'accuracy'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, batch: 4}]\n",
      "'batch' does nothing for metric 'accuracy'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, machine: any}]\n",
      "'machine' does nothing for metric 'accuracy'" },
    { "goals: [{id: q, metric: latency_p50, at_most: 1s, min_examples: 3}]\n",
      "'min_examples' does nothing for metric 'latency_p50'" },
    { "goals: [{id: q, metric: latency_p50, at_most: 1s, slice: {every: label}}]\n",
      "'latency_p50' is not measured by slices" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, slice: lefty}]\n",
      "unknown slice 'lefty'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, slice: {every: row}}]\n",
      "unknown word 'row' for goals.0.slice.every.of" },
    { GOAL "slices: [{name: all, where: {label: [1]}}]\n",
      "'all' is reserved and cannot name a slice" },
    { GOAL "slices: [{name: a, where: {label: [1]}}, {name: a, where: {label: [2]}}]\n",
      "two slices have the name 'a'" },
    { GOAL "slices: [{name: a, where: {column: g}}]\n", "this column selects nothing" },
    { GOAL "slices: [{name: a, where: {above: 1}}]\n", "above, below and equal need a column" },
    { GOAL "slices: [{name: a, where: {label: []}}]\n", "'label' must have at least one item" },
    { GOAL "slices: [{name: a, where: {label: [6]}}]\n", "label 6 is outside the classes 0 to 5" },
    { GOAL "slices: [{name: a, where: {column: age, above: 1}}]\n", "there is no column 'age'" },
    { GOAL "slices: [{name: a, where: {column: x, above: 1}}]\n",
      "column 'x' has more than one number a row" },
    { "goals: [{id: q, metric: mse, at_most: 1}]\n",
      "metric 'mse' does not fit the task of 't.h5': classification" },
    { "goals: [{id: q, metric: top_k, k: 6, at_least: 0.5}]\n",
      "every row is among the first 6 of 6 classes" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5}, {id: q, metric: ece, at_most: 0.5}]\n",
      "two gates have the id 'q'" },
    { GOAL "alpha: 0\n", "'alpha' must be from 0.0001 to 0.2, got 0" },
    { GOAL "alpha: 0.5\n", "'alpha' must be from 0.0001 to 0.2, got 0.5" },
    { GOAL "first: maybe\n", "unknown word 'maybe' for first" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, perturb: noisy}]\n",
      "unknown perturbation 'noisy'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, tolerate: -1}]\n",
      "'tolerate' must be at least 0, got -1" },
    { "goals: [{id: q, metric: accuracy, better_by: 0, against: nobody@1}]\n",
      "the suite compares with 'nobody@1', which was not given" },
};

Test(refused, suites_that_make_no_sense_are_configuration_errors)
{
    struct stage stage;
    stage_open(&stage, 200, 60, 0.9, TASK_CLASSIFICATION);
    size_t count = sizeof suites / sizeof *suites;
    for (size_t i = 0; i < count; i++) {
        struct eval_result result;
        struct err err = { 0 };
        enum code code = stage_eval(&stage, suites[i].text, "r", (struct eval_inputs){ 0 }, &result,
                                    &err);
        cr_expect_eq(code, CONFIG, "row %zu: %d", i, code);
        const char *message = shown(&stage, err.message);
        cr_expect_str_eq(message, suites[i].message, "row %zu:\n  got  %s\n  want %s", i, message,
                         suites[i].message);
        cr_expect_not(fs_exists(stage_path(&stage, "r")), "row %zu left a report", i);
        eval_result_release(&result);
        refused_count++;
    }
    printf("refused suites: %d\n", refused_count);
    stage_close(&stage);
}

/* Gates that must not pass although nothing is wrong with any file. */
struct verdict_row {
    const char *name, *gate;
    float scale, shift; /* of the first output */
    const char *verdict, *reason;
};

static const struct verdict_row verdicts[] = {
    { "below", "metric: accuracy, at_least: 0.999", 1, 0, "fail", "bound" },
    { "at the bar", "metric: accuracy, at_least: 0.93", 1, 0, "inconclusive",
      "interval_covers_bar" },
    { "nan", "metric: accuracy, at_least: 0.1", NAN, 0, "fail", "not_finite" },
    { "nan loss", "metric: log_loss, at_most: 100", NAN, 0, "fail", "not_finite" },
    { "nan ece", "metric: ece, at_most: 1", NAN, 0, "fail", "not_finite" },
    { "nan by point", "metric: accuracy, at_least: 0.1, decide: point", NAN, 0, "fail",
      "not_finite" },
    { "infinite", "metric: accuracy, at_least: 0.1", 1, INFINITY, "fail", "not_finite" },
    { "some rows overflow", "metric: accuracy, at_least: 0.1", 3e38F, 0, "fail", "not_finite" },
    { "empty slice", "metric: accuracy, at_least: 0.1, slice: none", 1, 0, "fail", "empty_slice" },
    { "empty slice by point", "metric: accuracy, at_least: 0.1, slice: none, decide: point", 1, 0,
      "fail", "empty_slice" },
    { "few rows", "metric: log_loss, at_most: 100, slice: few", 1, 0, "inconclusive",
      "too_few_examples" },
    { "under min_examples", "metric: accuracy, at_least: 0.1, slice: few, min_examples: 90", 1, 0,
      "inconclusive", "below_min_examples" },
    { "no baseline", "metric: accuracy, against: new@prod, not_worse_by: 1", 1, 0, "inconclusive",
      "no_baseline" },
    { "itself", "metric: accuracy, against: same@1, better_by: 0", 1, 0, "inconclusive",
      "no_difference" },
    { "itself, margin", "metric: accuracy, against: same@1, not_worse_by: 0.0001", 1, 0,
      "inconclusive", "interval_covers_bar" },
    { "itself, loss", "metric: log_loss, against: same@1, not_worse_by: 0.1", 1, 0, "inconclusive",
      "degenerate" },
    { "worse than linear", "metric: accuracy, against: linear, better_by: 0", 0, 9, "fail",
      "bound" },
    { "too good to be true", "metric: accuracy, against: majority, gain_at_most: 0.01", 1, 0,
      "fail", "bound" },
    { "small margin", "metric: accuracy, against: majority, better_by: 0.999", 1, 0, "fail",
      "bound" },
    { "confident", "metric: ece, at_most: 0.001", 1, 0, "fail", "bound" },
    { "heavy", "metric: weights_bytes, at_most: 100B", 1, 0, "fail", "bound" },
    { "slow", "metric: latency_p50, at_most: 0.001us", 1, 0, "fail", "bound" },
    { "another machine", "metric: latency_p50, at_most: 100s, machine: Cray", 1, 0, "inconclusive",
      "other_machine" },
};

Test(refused, gates_that_must_not_pass)
{
    static const char *const parts[] = { "quality", "measured" };
    struct stage stage;
    stage_open(&stage, 2400, 1200, 0.93, TASK_CLASSIFICATION);
    size_t count = sizeof verdicts / sizeof *verdicts;
    for (size_t i = 0; i < count; i++) {
        const struct verdict_row *row = &verdicts[i];
        float scale[STAGE_CLASSES] = { row->scale, 1, 1, 1, 1, 1 };
        float shift[STAGE_CLASSES] = { row->shift };
        char text[400], out[16];
        struct weights weights;
        struct eval_result result;
        struct err err = { 0 };
        snprintf(text, sizeof text,
                 "slices:\n  - {name: none, where: {column: g, above: 1e6}}\n"
                 "  - {name: few, where: {column: g, below: 100}}\n"
                 "goals: [{id: q, %s}]\n",
                 row->gate);
        snprintf(out, sizeof out, "v%zu", i);
        stage_weights(&weights, STAGE_CLASSES, scale, shift);
        if (strstr(row->gate, "same@1")) stage.weights.digest = weights.digest;
        enum code code = stage_eval(&stage, text, out, (struct eval_inputs){ .weights = &weights },
                                    &result, &err);
        cr_assert_not_null(result.json, "%s: %s", row->name, err.message);
        bool measured = strstr(row->gate, "latency") || strstr(row->gate, "bytes");
        const json_t *gate = stage_gate(&result, parts[measured], "q");
        cr_expect_str_eq(stage_word(gate, "verdict"), row->verdict, "%s: %s", row->name,
                         stage_word(gate, "verdict"));
        cr_expect_str_eq(stage_word(gate, "reason"), row->reason, "%s: %s", row->name,
                         stage_word(gate, "reason"));
        cr_expect_eq(code, *row->verdict == 'f' ? GATE_FAILED : INCONCLUSIVE, "%s: %d", row->name,
                     code);
        struct eval_result replayed;
        cr_expect_eq(gate_replay(stage_path(&stage, out), &(struct replay_opts){ .threads = 1 },
                                 &replayed, &err),
                     code, "%s: replay: %s", row->name, err.message);
        eval_result_release(&replayed);
        eval_result_release(&result);
        weights_release(&weights);
        refused_count++;
    }
    printf("refused verdicts: %d\n", refused_count);
    stage_close(&stage);
}
