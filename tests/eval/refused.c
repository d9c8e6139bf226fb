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
      "'tolerate' of a gate on 'accuracy' must be a number that is at least 0, got '-1'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.99, tolerate: 5}]\n",
      "no model could fail this gate: 'tolerate' moves its bar from 0.99 by 5" },
    { "goals: [{id: q, metric: log_loss, at_most: 0.3, tolerate: .inf}]\n",
      "'tolerate' of a gate on 'log_loss' must be a number that is at least 0, got '.inf'" },
    { "goals: [{id: q, metric: ece, at_most: 0.3, tolerate: 0.7}]\n",
      "no model could fail this gate: 'tolerate' moves its bar from 0.3 by 0.7" },
    { "goals: [{id: q, metric: accuracy, not_worse_by: 0.4, tolerate: 0.6, against: linear}]\n",
      "no model could fail this gate: 'tolerate' moves its bar from 0.4 by 0.6" },
    { "goals: [{id: q, metric: weights_bytes, at_most: 1KiB, tolerate: 1KiB}]\n",
      "'weights_bytes' has no noise to tolerate" },
    { "goals: [{id: q, metric: latency_p99, at_most: 2ms, tolerate: 1}]\n",
      "'tolerate' of a gate on 'latency_p99' must be a time with its unit, like 2ms, got '1'" },
    { "goals: [{id: q, metric: accuracy, not_worse_by: 5, against: linear}]\n",
      "'accuracy' lies between 0 and 1: no two models are 5 apart" },
    { "goals: [{id: q, metric: accuracy, better_by: 1, against: linear}]\n",
      "'accuracy' lies between 0 and 1: no two models are 1 apart" },
    { "goals: [{id: q, metric: mcc, gain_at_most: 2, against: linear}]\n",
      "'mcc' lies between -1 and 1: no two models are 2 apart" },
    { "goals: [{id: q, metric: accuracy, not_worse_by: 500%, against: linear}]\n",
      "'accuracy' never changes by 500% in this direction" },
    { "goals: [{id: q, metric: log_loss, better_by: 100%, against: linear}]\n",
      "'log_loss' never changes by 100% in this direction" },
    { "slices: [{name: low, where: {column: g, below: 9}}]\ngoals: [{id: q, metric: accuracy, gap: "
      "[low, rest], at_most: 1}]\n",
      "'accuracy' lies between 0 and 1: no two models are 1 apart" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, severity: warn}]\n",
      "no goal blocks: the suite would pass whatever the model does" },
    { "goals: [{id: q, metric: accuracy, better_by: 0, against: nobody@1}]\n",
      "the suite compares with 'nobody@1', which was not given" },
    { "goals: [{id: q, metric: accuracy, better_by: -2%, against: linear}]\n",
      "the margin of 'accuracy' must be a number from 0 or a share of the baseline like 2%, got "
      "'-2%'" },
    { "goals: [{id: q, metric: accuracy, better_by: much, against: linear}]\n",
      "the margin of 'accuracy' must be a number from 0 or a share of the baseline like 2%, got "
      "'much'" },
    { "goals: [{id: q, metric: accuracy, not_worse_by: %, against: linear}]\n",
      "a value cannot begin with this character" },
    { "goals: [{id: q, metric: accuracy, at_least: 50%}]\n",
      "the bar of 'accuracy' must be a number, got '50%'" },
    { "goals: [{id: q, metric: accuracy, better_by: .inf, against: linear}]\n",
      "the margin of 'accuracy' must be a number from 0 or a share of the baseline like 2%, got "
      "'.inf'" },
    { "goals: [{id: q, metric: accuracy, better_by: 0, against: {anchor: sha256:12}}]\n",
      "'sha256:12' is no digest" },
    { "goals: [{id: q, metric: accuracy, better_by: 0, against: {anchor: md5}}]\n",
      "'md5' is no digest" },
    { "goals: [{id: q, metric: accuracy, better_by: 0, against: {model: {}}}]\n",
      "missing key 'ref' in goals.0.against.model" },
    { "goals: [{id: q, metric: accuracy, better_by: 0, against: []}]\n",
      "'against' must be NAME or {NAME: {options}}, got a list" },
    { "goals: [{id: q, metric: accuracy, gap: [all, rest]}]\n", "a gap needs its bar" },
    { "goals: [{id: q, metric: accuracy, gap: [all], at_most: 0.1}]\n",
      "a gap is between two slices" },
    { "goals: [{id: q, metric: accuracy, gap: [], at_most: 0.1}]\n",
      "a gap is between two slices" },
    { "goals: [{id: q, metric: accuracy, gap: [lefty, rest], at_most: 0.1}]\n",
      "unknown slice 'lefty'" },
    { "goals: [{id: q, metric: accuracy, gap: [rest, all], at_most: 0.1}]\n",
      "a gap is between two slices" },
    { "goals: [{id: q, metric: accuracy, gap: [all, all], at_most: 0.1}]\n",
      "a gap is between two slices" },
    { "slices: [{name: low, where: {column: g, below: 9}}]\ngoals: [{id: q, metric: accuracy, gap: "
      "[low, rest], at_most: 2}]\n",
      "the bar of 'accuracy' must be from 0 to 1, got 2" },
    { "slices: [{name: low, where: {column: g, below: 9}}]\ngoals: [{id: q, metric: accuracy, gap: "
      "[low, rest], at_most: 0.1, at_least: 0.2}]\n",
      "a gate has one rule, this one has at_least and gap" },
    { "slices: [{name: low, where: {column: g, below: 9}}]\ngoals: [{id: q, metric: accuracy, gap: "
      "[low, rest], at_most: 0.1, slice: {every: label}}]\n",
      "a gap names its slices itself" },
    { "slices: [{name: low, where: {column: g, below: 9}}]\ngoals: [{id: q, metric: accuracy, gap: "
      "[low, rest], at_most: 0.1, against: linear}]\n",
      "'gap' looks at the model alone and has no baseline" },
    { "slices: [{name: low, where: {column: g, below: 9}}]\ngoals: [{id: q, metric: latency_p50, "
      "gap: [low, rest], at_most: 1s}]\n",
      "'latency_p50' is measured for the model alone: 'gap' does not fit" },
    { "goals: [{id: q, metric: accuracy, trend: 0}]\n",
      "a trend needs the channel it looks back at" },
    { "goals: [{id: q, metric: accuracy, trend: .nan, over: m@p}]\n",
      "'trend' must be a number, got '.nan'" },
    { "goals: [{id: q, metric: accuracy, trend: 0, over: m@p, last: 2}]\n",
      "'last' must be from 3 to 100, got 2" },
    { "goals: [{id: q, metric: accuracy, trend: 0, over: m@p, last: 101}]\n",
      "'last' must be from 3 to 100, got 101" },
    { "goals: [{id: q, metric: accuracy, trend: 0, over: m@p, slice: {every: label}}]\n",
      "a trend is looked at on one slice" },
    { "goals: [{id: q, metric: accuracy, trend: 0, over: m@p, at_least: 0.5}]\n",
      "a gate has one rule, this one has at_least and trend" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, over: m@p}]\n",
      "'over' does nothing for 'at_least'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, last: 5}]\n",
      "'last' does nothing for 'at_least'" },
    { "goals: [{id: q, metric: weights_bytes, trend: 0, over: m@p}]\n",
      "'weights_bytes' is measured for the model alone: 'trend' does not fit" },
    { "goals: [{id: q, metric: churn, at_most: 0.1}]\n", "'churn' needs 'against'" },
    { "goals: [{id: q, metric: churn, at_least: 0.1, against: linear}]\n",
      "'churn' is a distance: 'at_least' does not guard it" },
    { "goals: [{id: q, metric: robustness_drop, at_most: 0.1}]\n",
      "'robustness_drop' needs 'perturb'" },
    { "perturb: [{name: n, with: {feature_noise: 0.1}}]\ngoals: [{id: q, metric: robustness_drop, "
      "at_most: 0.1, perturb: n, against: linear}]\n",
      "'robustness_drop' compares the model with itself" },
    { "perturb: [{name: n, with: {feature_noise: 0.1}}]\ngoals: [{id: q, metric: latency_p50, "
      "at_most: 1s, perturb: n}]\n",
      "'latency_p50' is measured on the rows as they are" },
    { "perturb: [{name: noises, with: {feature_noise: 0.1}}]\ngoals: [{id: q, metric: accuracy, "
      "at_least: 0.5, perturb: noise}]\n",
      "unknown perturbation 'noise'" },
    { "perturb: [{name: n, with: {feature_noise: 0.1}}]\ngoals: [{id: q, metric: accuracy, trend: "
      "0, over: m@p, perturb: n}]\n",
      "a trend is looked at on clean rows" },
    { "goals: [{id: q, metric: f1, at_least: 0.5, class: 6}]\n",
      "class 6 is outside the classes 0 to 5" },
    { "goals: [{id: q, metric: f1, at_least: 0.5, class: -1}]\n",
      "'class' must be from 0 to 1000000, got -1" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, class: 1}]\n",
      "'class' does nothing for metric 'accuracy'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, q: 0.5}]\n",
      "'q' does nothing for metric 'accuracy'" },
    { "goals: [{id: q, metric: quantile_loss, at_most: 0.5, q: 1}]\n",
      "'q' must be from 0.001 to 0.999, got 1" },
    { "goals: [{id: q, metric: perplexity, at_most: 20}]\n",
      "metric 'perplexity' does not fit the task of 't.h5': classification" },
    { "goals: [{id: q, metric: r2, at_least: 0.5}]\n",
      "metric 'r2' does not fit the task of 't.h5': classification" },
    { "goals: [{id: q, metric: [accuracy], at_least: 0.5}]\n",
      "'metric' must be a text, got a list" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, decide: mean}]\n",
      "unknown word 'mean' for goals.0.decide" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, severity: none}]\n",
      "unknown word 'none' for goals.0.severity" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, min_examples: -1}]\n",
      "'min_examples' must be at least 0, got -1" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, min_examples: 1.5}]\n",
      "'min_examples' must be a whole number, got '1.5'" },
    { "goals: [{id: q, metric: accuracy, at_least: 0.5, at_least: 0.6}]\n",
      "duplicate key 'at_least'" },
    { "goals: [{id: q, metric: accuracy, at_leest: 0.5}]\n", "unknown key 'at_leest' in goals.0" },
    { "goals: [{id: q, metric: throughput, at_least: 5, batch: 0}]\n",
      "'batch' must be from 1 to 65536, got 0" },
    { "goals: [{id: q, metric: throughput, at_most: 5}]\n",
      "'throughput' is better when it is larger: 'at_most' does not guard it" },
    { "goals: [{id: q, metric: top_k, k: 0, at_least: 0.5}]\n",
      "'k' must be from 1 to 1000000, got 0" },
    { "goals: [{id: q, metric: top_k, k: 2.5, at_least: 0.5}]\n",
      "'k' must be a whole number, got '2.5'" },
    { GOAL "perturb: [{name: n, with: {feature_noise: {sigma: -1}}}]\n",
      "'sigma' must be from 0 to 10, got -1" },
    { GOAL "perturb: [{name: n, with: {gaussian_noise: 0.1}}]\n",
      "'gaussian_noise' does not change rows like those of 't.h5'" },
    { GOAL "perturb: [{name: n, with: {occlusion: 0.1}}]\n",
      "'occlusion' does not change rows like those of 't.h5'" },
    { GOAL "perturb: [{name: n, with: smoke}]\n", "unknown choice 'smoke' for perturb.0.with" },
    { GOAL "perturb: [{name: n, with: {missing: {rate: 2}}}]\n",
      "'rate' must be from 0 to 1, got 2" },
    { GOAL "perturb: [{name: n, with: {pgd: {steps: 0}}}]\n",
      "'steps' must be from 1 to 200, got 0" },
    { GOAL "perturb: [{name: n}]\n", "missing key 'with' in perturb.0" },
    { GOAL "perturb: [{name: clean, with: {missing: 0.1}}]\n",
      "'clean' is reserved and cannot name a perturbation" },
    { GOAL "perturb: [{name: n, with: {missing: 0.1}}, {name: n, with: {missing: 0.2}}]\n",
      "two perturbations have the name 'n'" },
    { GOAL "cluster: patient\n", "there is no column 'patient'" },
    { GOAL "cluster: x\n", "column 'x' has more than one number a row" },
    { GOAL "cluster: [g]\n", "'cluster' must be a text, got a list" },
    { GOAL "slices: [{name: rest, where: {label: [1]}}]\n",
      "'rest' is reserved and cannot name a slice" },
    { GOAL "slices: [{name: every, where: {label: [1]}}]\n",
      "'every' is reserved and cannot name a slice" },
    { GOAL "slices: [{name: A, where: {label: [1]}}]\n",
      "'name' must be a name of a-z, 0-9, '.', '_' and '-', got 'A'" },
    { GOAL "slices: [{name: a, where: {label: [-1]}}]\n",
      "'label.0' must be from 0 to 2147483647, got -1" },
    { GOAL "slices: [{name: a, where: {label: [1.5]}}]\n",
      "'label.0' must be a whole number, got '1.5'" },
    { GOAL "slices: [{name: a, where: {above_quantile: 0.5}}]\n",
      "above, below and equal need a column" },
    { GOAL "slices: [{name: a, where: {column: g, below_quantile: 1.5}}]\n",
      "'below_quantile' must be from 0 to 1, got 1.5" },
    { GOAL "slices: [{name: a, where: {column: g, above: .nan}}]\n",
      "'above' must be a number, got '.nan'" },
    { GOAL "slices: [{name: a, where: {}}]\n", "this slice selects nothing" },
    { GOAL "slices: [{name: a}]\n", "missing key 'where' in slices.0" },
    { GOAL "slices: [{where: {label: [1]}}]\n", "missing key 'name' in slices.0" },
    { GOAL "slices: [{name: a, where: {rows: nowhere.txt}}]\n",
      "cannot open 'nowhere.txt': no such file or directory" },
    { GOAL "slices: [{name: a, where: {rows: words.txt}}]\n",
      "line 2 of 'words.txt' is no row number" },
    { GOAL "slices: [{name: a, where: {rows: twice.txt}}]\n", "'twice.txt' names row 3 twice" },
    { GOAL "slices: [{name: a, where: {rows: beyond.txt}}]\n",
      "'beyond.txt' names row 60, which 't.h5' has not" },
    { GOAL "slices: [{name: a, where: {rows: empty.txt}}]\n", "'empty.txt' names no rows" },
    { GOAL "name: second\n", "duplicate key 'name'" },
    { GOAL "small_slices: drop\n", "unknown word 'drop' for small_slices" },
    { GOAL "guards: [{metric: accuracy}]\n", "this gate has no rule" },
    { GOAL "bound: 0.05\n", "unknown key 'bound' at the top level" },
};

Test(refused, suites_that_make_no_sense_are_configuration_errors)
{
    struct stage stage;
    stage_open(&stage, 200, 60, 0.9, TASK_CLASSIFICATION);
    size_t count = sizeof suites / sizeof *suites;
    static const char *const lists[][2] = { { "words.txt", "1\ntwo\n" },
                                            { "twice.txt", "3\n1\n3\n" },
                                            { "beyond.txt", "1\n60\n" },
                                            { "empty.txt", "# nothing\n" } };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        struct err err;
        cr_assert_eq(fs_publish_view(stage_path(&stage, lists[i][0]), lists[i][1],
                                     strlen(lists[i][1]), &err),
                     OK);
    }
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
    { "no baseline", "metric: accuracy, against: new@prod, not_worse_by: 0.9", 1, 0, "inconclusive",
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
