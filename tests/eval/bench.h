/* A bench for verdicts: a suite and scores made by hand, so that each number is known beforehand. A
 * candidate and one baseline "base", clean and under "noise"; gates are added one by one. */
#ifndef PAWL_TESTS_EVAL_BENCH_H
#define PAWL_TESTS_EVAL_BENCH_H

#include "base/math.h"
#include "eval/gate.h"
#include "eval/gate_rows.h"
#include "eval/gate_try.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 400, GATES = 8 };

/* A suite and scores of a candidate and one baseline "base", clean and under "noise". */
struct bench {
    struct suite suite;
    struct scores scores;
    struct gate gates[GATES];
    struct score_kind kinds[2]; /* accuracy, log_loss */
    double score[4][2][N];      /* [condition, subject][kind][row] */
    double *columns[4][2];
    struct subject subjects[4];
    const char *conditions[2];
    struct membership slices[2];
    uint8_t in[2][N];
    int64_t cluster[N];
    int32_t label[N];
    struct measurement measured[2];
    double sample[2][64];
    struct decide_opts opts;
    struct decision decision;
};

static struct bench bench;

/* Every subject is right in its first `hits` rows and its losses are 0.25, 0.5, 0.75, 0.25, ... */
static inline void set_hits(size_t subject, int hits)
{
    for (int i = 0; i < N; i++) {
        bench.score[subject][0][i] = i < hits;
        bench.score[subject][1][i] = 0.25 * (1 + i % 3);
    }
}

static inline void begin(int n)
{
    decision_release(&bench.decision);
    memset(&bench, 0, sizeof bench);
    struct scores *scores = &bench.scores;
    bench.kinds[0] = (struct score_kind){ metric_find("accuracy"), 0 };
    bench.kinds[1] = (struct score_kind){ metric_find("log_loss"), 0 };
    bench.conditions[0] = "clean";
    bench.conditions[1] = "noise";
    for (size_t s = 0; s < 4; s++) {
        for (size_t k = 0; k < 2; k++) bench.columns[s][k] = bench.score[s][k];
        bench.subjects[s] = (struct subject){ .name = s % 2 ? "base" : "candidate",
                                              .condition = bench.conditions[s / 2],
                                              .score = bench.columns[s] };
        set_hits(s, n / 2);
    }
    for (int i = 0; i < N; i++) {
        bench.cluster[i] = i / 4;
        bench.label[i] = i % 3;
        bench.in[0][i] = i < 60;
        bench.in[1][i] = i >= 40 && i < 140;
    }
    bench.slices[0] = (struct membership){ "first", bench.in[0] };
    bench.slices[1] = (struct membership){ "second", bench.in[1] };
    *scores = (struct scores){ .task = TASK_CLASSIFICATION,
                               .n = n,
                               .label = bench.label,
                               .kinds = bench.kinds,
                               .kind_count = 2,
                               .slices = bench.slices,
                               .slice_count = 2,
                               .conditions = bench.conditions,
                               .condition_count = 2,
                               .subjects = bench.subjects,
                               .subject_count = 2,
                               .measurements = bench.measured };
    bench.suite = (struct suite){ .alpha = 0.05, .gates = bench.gates };
    bench.opts = (struct decide_opts){ .seed = 7, .threads = 1 };
}

static inline struct gate *add_gate(const char *metric, enum rule rule, double bar)
{
    struct gate *gate = &bench.gates[bench.suite.gate_count++];
    *gate = (struct gate){ .id = "g",
                           .metric = metric_find(metric),
                           .of_class = 1,
                           .q = 0.5,
                           .rule = rule,
                           .bar = bar,
                           .slice = "all",
                           .against = rule_is_paired(rule) ? "base" : NULL };
    cr_assert_not_null(gate->metric, "%s", metric);
    return gate;
}

static inline const struct trial *decide(size_t at)
{
    struct err err;
    decision_release(&bench.decision);
    cr_assert_eq(decision_make(&bench.decision, &bench.suite, &bench.scores, &bench.opts, &err),
                 OK);
    cr_assert(bench.decision.count > at);
    return &bench.decision.trials[at];
}

static inline void expect(const char *what, const struct trial *trial, enum verdict verdict,
                          enum reason reason)
{
    cr_expect(trial->verdict == verdict && trial->reason == reason, "%s: %s, %s", what,
              verdict_text(trial->verdict), reason_word(trial->reason));
}

static inline void end(void)
{
    decision_release(&bench.decision);
}

#endif
