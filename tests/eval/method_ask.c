/* What method_ask decides and refuses to decide, and the table that it goes by. */
#include "eval/method.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(method_ask, every_row_of_the_table_serves_some_demand)
{
    bool *used = calloc(method_count, sizeof *used);
    for (size_t m = 0; m < metric_count; m++) {
        for (int kind = 0; kind < RULE_COUNT * 16; kind++) {
            struct demand demand = { .metric = &metrics[m],
                                     .rule = (enum rule)(kind / 16),
                                     .bar = kind % 2 ? 0.01 : 0,
                                     .relative = kind / 2 % 2,
                                     .clustered = kind / 4 % 2,
                                     .overlapping = kind / 8 % 2 };
            const struct method *method = method_of(&demand);
            bool ruled = rule_is_paired(demand.rule);
            bool system = metrics[m].statistic == STATISTIC_SYSTEM ||
                          metrics[m].statistic == STATISTIC_EXACT;
            bool none = metrics[m].statistic == STATISTIC_DOCUMENT ||
                        (system && demand.rule != RULE_AT_LEAST && demand.rule != RULE_AT_MOST &&
                         demand.rule != RULE_TREND) ||
                        (system && demand.clustered && demand.rule != RULE_TREND) ||
                        (metrics[m].drop && demand.rule == RULE_GAP);
            cr_expect_eq(method == NULL, none, "%s, %s, %d", metrics[m].name,
                         rule_text(demand.rule), kind % 16);
            if (!method) continue;
            used[method - methods] = true;
            bool trend = demand.rule == RULE_TREND;
            cr_expect(trend || method->clustered == demand.clustered);
            cr_expect(trend || method->paired == (ruled || metrics[m].drop));
        }
    }
    for (size_t i = 0; i < method_count; i++)
        cr_expect(used[i], "%s is never used", methods[i].name);
    free(used);
}

Test(method_ask, a_demand_makes_its_question)
{
    static const struct {
        const char *metric;
        enum rule rule;
        double bar, tolerate;
        bool relative, more, both;
        double at, scale;
    } rows[] = {
        { "accuracy", RULE_AT_LEAST, 0.9, 0.02, false, true, false, 0.88, 0 },
        { "log_loss", RULE_AT_MOST, 0.4, 0.1, false, false, false, 0.5, 0 },
        { "accuracy", RULE_NOT_WORSE_BY, 0.005, 0.001, false, true, false, -0.006, 0 },
        { "accuracy", RULE_BETTER_BY, 0.02, 0, false, true, false, 0.02, 0 },
        { "accuracy", RULE_GAIN_AT_MOST, 0.15, 0, false, false, false, 0.15, 0 },
        { "accuracy", RULE_NOT_WORSE_BY, 0.01, 0, true, true, false, 0, 0.99 },
        { "log_loss", RULE_NOT_WORSE_BY, 0.01, 0, true, true, false, 0, 1.01 },
        { "accuracy", RULE_BETTER_BY, 0.02, 0, true, true, false, 0, 1.02 },
        { "log_loss", RULE_BETTER_BY, 0.02, 0, true, true, false, 0, 0.98 },
        { "log_loss", RULE_GAIN_AT_MOST, 0.5, 0.01, true, false, false, 0.01, 0.5 },
        { "accuracy", RULE_GAP, 0.1, 0.02, false, false, true, 0.12, 0 },
        { "accuracy", RULE_TREND, -0.001, 0, false, true, false, -0.001, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct demand demand = { .metric = metric_find(rows[i].metric),
                                 .rule = rows[i].rule,
                                 .bar = rows[i].bar,
                                 .tolerate = rows[i].tolerate,
                                 .relative = rows[i].relative };
        struct question question = question_of(&demand, 0.05);
        cr_expect_eq(question.more, rows[i].more, "%zu", i);
        cr_expect_eq(question.both, rows[i].both, "%zu", i);
        cr_expect(fabs(question.bar - rows[i].at) < 1e-15, "%zu: %g", i, question.bar);
        cr_expect(fabs(question.scale - rows[i].scale) < 1e-15, "%zu: %g", i, question.scale);
    }
}

enum { ROWS = 1200 };

/* Scores that are right in a share of rows, in a fixed pattern. */
static void fill_scores(double *score, double share, uint64_t salt)
{
    for (uint64_t i = 0; i < ROWS; i++)
        score[i] = (double)(rng_mix(salt, i) >> 11) * 0x1p-53 < share;
}

Test(method_ask, a_relative_margin_weighs_the_baseline)
{
    static double score[ROWS], other[ROWS];
    fill_scores(score, 0.9, 1);
    fill_scores(other, 0.8, 2);
    struct demand demand = {
        .metric = metric_find("accuracy"), .rule = RULE_BETTER_BY, .bar = 0.05, .relative = true
    };
    const struct method *method = method_of(&demand);
    struct question question = question_of(&demand, 0.05);
    struct sample sample = { .metric = demand.metric,
                             .n = ROWS,
                             .score = score,
                             .other = other,
                             .path = "x",
                             .resamples = 2000 };
    struct answer answer;
    struct err err;
    double own = 0, base = 0;
    for (int i = 0; i < ROWS; i++) own += score[i] / ROWS, base += other[i] / ROWS;
    cr_assert_eq(method_ask(method, &answer, &sample, &question, &err), OK);
    cr_expect(fabs(answer.value - (own - 1.05 * base)) < 1e-12, "%g", answer.value);
    cr_expect(answer.passes && answer.low > 0 && answer.p_pass < 0.05);
    /* The same scores against themselves are 5 % short. */
    sample.other = score;
    sample.path = "y";
    cr_assert_eq(method_ask(method, &answer, &sample, &question, &err), OK);
    cr_expect(!answer.passes && answer.high < 0 && answer.p_fail < 0.05);
}

Test(method_ask, gaps_are_two_sided)
{
    static double score[ROWS];
    static uint8_t first[ROWS], second[ROWS];
    for (int i = 0; i < ROWS; i++) first[i] = i % 2 == 0, second[i] = i % 2 == 1;
    const struct metric *accuracy = metric_find("accuracy");
    for (int overlap = 0; overlap < 2; overlap++) {
        fill_scores(score, 0.9, 3);
        struct demand demand = {
            .metric = accuracy, .rule = RULE_GAP, .bar = 0.1, .overlapping = overlap
        };
        const struct method *method = method_of(&demand);
        struct sample sample = { .metric = accuracy,
                                 .n = ROWS,
                                 .score = score,
                                 .first = first,
                                 .second = second,
                                 .path = overlap ? "o" : "d",
                                 .resamples = 2000 };
        struct answer forward, backward;
        struct err err;
        cr_expect_str_eq(method->name, overlap ? "bca_gap" : "miettinen_nurminen");
        struct question question = question_of(&demand, 0.05);
        /* bca_gap wants 1,000 rows in the smaller slice: asked directly here. */
        cr_assert_eq(method->run(&forward, &sample, &question, &err), OK);
        sample.first = second;
        sample.second = first;
        cr_assert_eq(method->run(&backward, &sample, &question, &err), OK);
        cr_expect(fabs(forward.value + backward.value) < 1e-12);
        cr_expect(forward.low > -0.1 && forward.high < 0.1);
        cr_expect(forward.p_pass < 0.05 && backward.p_pass < 0.05 && forward.p_fail == 1);
        double limit = overlap ? 0.005 : 1e-9;
        cr_expect(fabs(forward.low + backward.high) < limit, "%g %g", forward.low, backward.high);
        /* A gap that is certainly larger fails on either side. */
        question.bar = 0.0001;
        for (int i = 0; i < ROWS; i++) score[i] = i % 2 == 0 ? 1 : score[i];
        sample.path = "larger";
        for (int side = 0; side < 2; side++) {
            sample.first = side ? first : second;
            sample.second = side ? second : first;
            sample.path = side ? "larger" : "smaller";
            cr_assert_eq(method->run(&forward, &sample, &question, &err), OK);
            cr_expect(forward.p_fail < 0.001 && forward.p_pass > 0.9, "%d: %g", side,
                      forward.p_fail);
        }
    }
}

enum fault { FINE, NO_ROWS, BROKEN, BROKEN_OTHER, NO_SCORES, NO_OTHER, CONSTANT, ALIKE, FEW_ROWS };

/* One sample that something is wrong with. */
static struct sample faulty_sample(enum fault fault)
{
    static double score[ROWS], other[ROWS], broken[ROWS], constant[ROWS];
    fill_scores(score, 0.9, 4);
    fill_scores(other, 0.85, 5);
    for (int i = 0; i < ROWS; i++) {
        broken[i] = i == 700 ? NAN : score[i];
        constant[i] = 0.25;
    }
    struct sample sample = { .n = ROWS, .score = score, .other = other };
    if (fault == NO_ROWS) sample.n = 0;
    if (fault == FEW_ROWS) sample.n = 49;
    if (fault == BROKEN) sample.score = broken;
    if (fault == BROKEN_OTHER) sample.other = broken;
    if (fault == NO_SCORES) sample.score = NULL;
    if (fault == NO_OTHER) sample.other = NULL;
    if (fault == CONSTANT) sample.score = constant;
    if (fault == ALIKE) sample.other = score;
    return sample;
}

static void expect_undecided(const char *name, const struct demand *demand, struct sample *sample,
                             bool few, bool value)
{
    struct question question = question_of(demand, 0.05);
    struct answer answer;
    struct err err;
    sample->metric = demand->metric;
    sample->path = name;
    sample->resamples = 2000;
    cr_assert_eq(method_ask(method_of(demand), &answer, sample, &question, &err), OK);
    cr_expect_eq(answer.few, few, "%s", name);
    cr_expect_eq(!isnan(answer.value), value, "%s: %g", name, answer.value);
    cr_expect(answer.degenerate && !answer.passes && answer.p_pass == 1 && answer.p_fail == 1, "%s",
              name);
    if (few) cr_expect(answer.needed > 0 && isinf(answer.low), "%s", name);
}

Test(method_ask, what_cannot_be_decided_is_said)
{
    static const struct {
        const char *name, *metric;
        enum rule rule;
        double bar;
        enum fault fault;
        bool few, value;
    } rows[] = {
        { "no rows", "accuracy", RULE_AT_LEAST, 0, NO_ROWS, false, false },
        { "not a number", "accuracy", RULE_AT_LEAST, 0, BROKEN, false, false },
        { "baseline not a number", "log_loss", RULE_BETTER_BY, 0.1, BROKEN_OTHER, false, false },
        { "no scores", "accuracy", RULE_AT_LEAST, 0, NO_SCORES, false, false },
        { "no baseline", "accuracy", RULE_BETTER_BY, 0, NO_OTHER, false, false },
        { "no spread", "log_loss", RULE_NOT_WORSE_BY, 0.1, ALIKE, false, true },
        { "few rows", "log_loss", RULE_BETTER_BY, 0.1, FEW_ROWS, true, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct demand demand = { .metric = metric_find(rows[i].metric),
                                 .rule = rows[i].rule,
                                 .bar = rows[i].bar };
        struct sample sample = faulty_sample(rows[i].fault);
        if (!rule_is_paired(demand.rule)) sample.other = NULL;
        expect_undecided(rows[i].name, &demand, &sample, rows[i].few, rows[i].value);
    }
    struct demand lone = { .metric = metric_find("log_loss"), .rule = RULE_AT_MOST, .bar = 1 };
    struct sample sample = faulty_sample(CONSTANT);
    sample.other = NULL;
    expect_undecided("constant", &lone, &sample, false, true);
    static const struct outcomes nothing = { .n = ROWS, .classes = 3 };
    static const char *const metrics_of[] = { "macro_f1", "roc_auc", "perplexity", "r2", "ece" };
    for (size_t m = 0; m < sizeof metrics_of / sizeof *metrics_of; m++) {
        struct demand demand = { .metric = metric_find(metrics_of[m]), .rule = RULE_AT_LEAST };
        sample = (struct sample){ .n = ROWS, .outcomes = &nothing };
        expect_undecided(metrics_of[m], &demand, &sample, false, false);
    }
}

Test(method_ask, clusters_are_counted_and_never_ignored)
{
    static int64_t cluster[ROWS], few_clusters[ROWS];
    struct demand demand = {
        .metric = metric_find("accuracy"), .rule = RULE_AT_LEAST, .bar = 0.5, .clustered = true
    };
    for (int i = 0; i < ROWS; i++) {
        cluster[i] = i / 20;
        few_clusters[i] = i / 50;
    }
    struct sample sample = faulty_sample(FINE);
    sample.other = NULL;
    sample.cluster = few_clusters;
    expect_undecided("few clusters", &demand, &sample, true, true);
    demand.clustered = false;
    sample.cluster = cluster;
    expect_undecided("clusters where the method has none", &demand, &sample, false, false);
    demand.clustered = true;
    sample.cluster = NULL;
    expect_undecided("none where the method wants them", &demand, &sample, false, false);
    /* A lone cluster as large as all others together makes the bounds much wider. */
    struct question question = question_of(&demand, 0.05);
    struct answer even, uneven;
    struct err err;
    sample.cluster = cluster;
    sample.path = "even";
    cr_assert_eq(method_ask(method_of(&demand), &even, &sample, &question, &err), OK);
    cr_expect(even.passes && !even.few && even.count == 60);
    for (int i = 0; i < ROWS; i++) cluster[i] = i % 2 ? -7 : (int64_t)1 << 40 | i / 20;
    sample.path = "uneven";
    cr_assert_eq(method_ask(method_of(&demand), &uneven, &sample, &question, &err), OK);
    cr_expect(uneven.count == 61 && uneven.value == even.value);
}

/* Rows of a rare class: 10 have the label, 12 the prediction, one has both. */
static void rare_outcomes(struct outcomes *outcomes)
{
    static int32_t label[ROWS], prediction[ROWS];
    static float probability[2 * ROWS];
    for (uint64_t i = 0; i < ROWS; i++) {
        label[i] = i % 120 == 0;
        prediction[i] = i % 100 == 0;
        probability[2 * i + 1] = (float)(rng_mix(6, i) >> 40) * 0x1p-24f;
        probability[2 * i] = 1 - probability[2 * i + 1];
    }
    *outcomes = (struct outcomes){ .n = ROWS,
                                   .classes = 2,
                                   .label = label,
                                   .prediction = prediction,
                                   .probability = probability };
}

/* Ratios need enough rows below the line, areas enough rows of both kinds and, where the bar is
 * near 1, more. Shares of one class are exact with any number. */
Test(method_ask, rare_classes_are_too_few)
{
    static const struct {
        const char *metric;
        int32_t of_class;
        double bar;
        bool few;
        double count;
    } rows[] = {
        { "f1", 1, 0.01, true, 11 },     { "f1", 0, 0.01, false, ROWS },
        { "recall", 1, 0.01, false, 0 }, { "precision", 1, 0.01, false, 0 },
        { "roc_auc", 1, 0.5, true, 10 },
    };
    struct outcomes outcomes;
    rare_outcomes(&outcomes);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct demand demand = { .metric = metric_find(rows[i].metric),
                                 .rule = RULE_AT_LEAST,
                                 .bar = rows[i].bar };
        struct sample sample = { .metric = demand.metric,
                                 .n = ROWS,
                                 .outcomes = &outcomes,
                                 .path = rows[i].metric,
                                 .resamples = 1000 };
        struct question question = question_of(&demand, 0.05);
        struct answer answer;
        struct err err;
        outcomes.of_class = rows[i].of_class;
        cr_assert_eq(method_ask(method_of(&demand), &answer, &sample, &question, &err), OK);
        cr_expect_eq(answer.few, rows[i].few, "%s", rows[i].metric);
        if (rows[i].few) cr_expect_eq(answer.count, rows[i].count, "%g", answer.count);
        cr_expect(!isnan(answer.value), "%s", rows[i].metric);
    }
}

/* 100 rows of either kind bound an area at a bar of 0.85, not at 0.95, which wants 10 / 0.05. */
Test(method_ask, areas_near_one_need_more_rows)
{
    static int32_t label[200];
    static float probability[400];
    for (uint64_t i = 0; i < 200; i++) {
        label[i] = i < 100;
        probability[2 * i + 1] = (i < 100 ? 0.5f : 0.0f) + (float)(rng_mix(6, i) >> 40) * 0x1p-25f;
        probability[2 * i] = 1 - probability[2 * i + 1];
    }
    probability[1] = 0.25f;
    struct outcomes outcomes = {
        .n = 200, .classes = 2, .label = label, .probability = probability
    };
    for (int near = 0; near < 2; near++) {
        struct demand demand = { .metric = metric_find("roc_auc"),
                                 .rule = RULE_AT_LEAST,
                                 .bar = near ? 0.95 : 0.85 };
        struct sample sample = { .metric = demand.metric, .n = 200, .outcomes = &outcomes };
        struct question question = question_of(&demand, 0.05);
        struct answer answer;
        struct err err;
        cr_assert_eq(method_ask(method_of(&demand), &answer, &sample, &question, &err), OK);
        cr_expect_eq(answer.few, near, "%d", near);
        cr_expect_eq(answer.passes, !near);
        if (near) cr_expect_eq(answer.needed, 400, "%g", answer.needed);
    }
}

/* An answer is a function of scores and seed alone: not of threads, nor of what was kept. */
Test(method_ask, answers_do_not_depend_on_threads)
{
    static double score[ROWS], other[ROWS];
    static int32_t label[ROWS], prediction[ROWS];
    static float confidence[ROWS];
    for (uint64_t i = 0; i < ROWS; i++) {
        score[i] = (double)(rng_mix(7, i) >> 40) * 0x1p-24;
        other[i] = (double)(rng_mix(8, i) >> 40) * 0x1p-24;
        label[i] = (int32_t)(rng_mix(9, i) % 3);
        prediction[i] = rng_mix(10, i) % 4 ? label[i] : (int32_t)(rng_mix(11, i) % 3);
        confidence[i] = (float)(0.4 + 0.5 * score[i]);
    }
    struct outcomes outcomes = {
        .n = ROWS, .classes = 3, .label = label, .prediction = prediction, .confidence = confidence
    };
    static const char *const names[] = { "mae", "macro_f1", "ece" };
    for (size_t m = 0; m < 3; m++) {
        struct demand demand = { .metric = metric_find(names[m]),
                                 .rule = RULE_AT_MOST,
                                 .bar = 0.5 };
        if (m == 0) demand.rule = RULE_NOT_WORSE_BY;
        struct question question = question_of(&demand, 0.05);
        struct answer first = { 0 }, again;
        for (int threads = 1; threads < 6; threads += 2) {
            struct sample sample = { .metric = demand.metric,
                                     .n = ROWS,
                                     .path = names[m],
                                     .seed = 3,
                                     .resamples = 500,
                                     .threads = threads };
            if (m == 0)
                sample.score = score, sample.other = other;
            else
                sample.outcomes = &outcomes;
            struct err err;
            cr_assert_eq(method_ask(method_of(&demand), &again, &sample, &question, &err), OK);
            if (threads == 1) first = again;
            cr_expect(again.low == first.low && again.high == first.high &&
                          again.p_pass == first.p_pass && again.p_fail == first.p_fail &&
                          !(again.check != first.check && !isnan(first.check)),
                      "%s with %d threads", names[m], threads);
            cr_expect_eq(isnan(again.check), m != 0, "%s", names[m]);
        }
    }
}

/* Where no room is left, what was drawn is let go: the same answer comes again, and a sample that
 * is sparing gets its bounds without a draw. Nothing kept at all: it gets the value alone. */
Test(method_ask, distributions_let_go_come_again_as_they_were)
{
    enum { N = 1500 };
    static double score[N];
    const struct metric *metric = metric_find("log_loss");
    const struct method *method = method_for(metric, RULE_AT_MOST, 0);
    struct question question = { .bar = 0.52, .alpha = 0.05 };
    struct answer first, again, spared, alone;
    struct distributions kept = { .bytes = (size_t)64 << 20 }, none = { 0 };
    struct err err;
    for (int i = 0; i < N; i++) score[i] = (double)(rng_mix(9, (uint64_t)i) >> 11) * 0x1p-53;
    struct sample sample = { .metric = metric,
                             .n = N,
                             .score = score,
                             .kept = &kept,
                             .path = "p",
                             .resamples = 500,
                             .threads = 1 };
    cr_assert_eq(method_ask(method, &first, &sample, &question, &err), OK);
    cr_expect_eq(kept.bytes, (size_t)64 << 20, "%zu bytes are held", kept.bytes);
    cr_assert_eq(method_ask(method, &again, &sample, &question, &err), OK);
    sample.sparing = true;
    cr_assert_eq(method_ask(method, &spared, &sample, &question, &err), OK);
    sample.kept = &none;
    cr_assert_eq(method_ask(method, &alone, &sample, &question, &err), OK);
    cr_expect(first.low < first.value && first.value < first.high);
    cr_expect(again.low == first.low && again.high == first.high && again.p_pass == first.p_pass);
    cr_expect(spared.low == first.low && spared.high == first.high && !spared.spared);
    cr_expect(alone.value == first.value && alone.spared && isinf(alone.low) && !alone.passes);
    distributions_release(&kept);
    distributions_release(&none);
}

Test(method_ask, the_manual_names_every_metric_and_method)
{
    static char text[1 << 16];
    FILE *file = fopen(PAWL_SOURCE_DIR "/docs/metrics.md", "r");
    cr_assert_not_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    cr_assert(fclose(file) == 0 && size > 0 && size < sizeof text - 1);
    for (size_t i = 0; i < metric_count + method_count; i++) {
        const char *name = i < metric_count ? metrics[i].name : methods[i - metric_count].name;
        char quoted[80];
        snprintf(quoted, sizeof quoted, "`%s`", name);
        cr_expect_not_null(strstr(text, quoted), "docs/metrics.md does not name %s", name);
    }
}
