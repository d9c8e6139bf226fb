/* Verdicts at their boundaries, from scores made by hand: a bound exactly at the bar, a p-value
 * exactly at alpha, exactly min_examples rows, the levels of Holm's test and the sizes of its
 * families. What is expected comes from closed formulas or from counting, never from a run. */
#include "tests/eval/bench.h"

/* 180 of 200 are right. The bound may touch the bar, the p-value may touch alpha. */
Test(gate_rules, equality_passes_at_the_bound_and_fails_at_alpha)
{
    double low = stats_proportion_low(180, 200, 0.05), high = stats_proportion_high(180, 200, 0.05);
    const struct {
        const char *what;
        enum rule rule;
        double bar, alpha;
        bool warn;
        enum verdict verdict;
    } rows[] = {
        { "low at the bar", RULE_AT_LEAST, low, 0.05, false, VERDICT_PASS },
        { "low under the bar", RULE_AT_LEAST, nextafter(low, 1), 0.05, false,
          VERDICT_INCONCLUSIVE },
        { "high at the bar", RULE_AT_MOST, high, 0.05, false, VERDICT_PASS },
        { "high over the bar", RULE_AT_MOST, nextafter(high, 0), 0.05, false,
          VERDICT_INCONCLUSIVE },
        { "p at alpha", RULE_AT_LEAST, 0.93, math_binomial_cdf(180, 200, 0.93), false,
          VERDICT_FAIL },
        { "p over alpha", RULE_AT_LEAST, 0.93, nextafter(math_binomial_cdf(180, 200, 0.93), 0),
          false, VERDICT_INCONCLUSIVE },
        { "p at alpha, at most", RULE_AT_MOST, 0.87, math_binomial_tail(180, 200, 0.87), false,
          VERDICT_FAIL },
        { "p over alpha, at most", RULE_AT_MOST, 0.87,
          nextafter(math_binomial_tail(180, 200, 0.87), 0), false, VERDICT_INCONCLUSIVE },
        { "a warning at alpha", RULE_AT_LEAST, 0.93, math_binomial_cdf(180, 200, 0.93), true,
          VERDICT_FAIL },
        { "a warning over alpha", RULE_AT_LEAST, 0.93,
          nextafter(math_binomial_cdf(180, 200, 0.93), 0), true, VERDICT_INCONCLUSIVE },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(200);
        set_hits(0, 180);
        bench.suite.alpha = rows[i].alpha;
        add_gate("accuracy", rows[i].rule, rows[i].bar)->warn = rows[i].warn;
        const struct trial *trial = decide(0);
        expect(rows[i].what, trial, rows[i].verdict,
               rows[i].verdict == VERDICT_INCONCLUSIVE ? REASON_COVERS : REASON_BOUND);
        cr_expect_eq(trial->level, rows[i].alpha, "%s: %g", rows[i].what, trial->level);
        /* where nothing counts nothing has passed */
        cr_expect_eq(bench.decision.verdict, rows[i].warn ? VERDICT_INCONCLUSIVE : rows[i].verdict,
                     "%s", rows[i].what);
        cr_expect_eq(trial->counts, !rows[i].warn);
        cr_expect(trial->n == 200 && trial->label == -1 && !trial->measured);
    }
    end();
}

/* `decide: point` and `tolerate` move or touch the bar, which the value may equal. */
Test(gate_rules, points_may_equal_the_bar_that_tolerance_moved)
{
    static const struct {
        const char *what;
        enum rule rule;
        int hits;
        double bar, tolerate;
        bool passes;
    } rows[] = {
        { "at the bar", RULE_AT_LEAST, 150, 0.75, 0, true },
        { "one below", RULE_AT_LEAST, 149, 0.75, 0, false },
        { "most at the bar", RULE_AT_MOST, 150, 0.75, 0, true },
        { "most one above", RULE_AT_MOST, 151, 0.75, 0, false },
        { "tolerated", RULE_AT_LEAST, 125, 0.75, 0.125, true },
        { "one below what is tolerated", RULE_AT_LEAST, 124, 0.75, 0.125, false },
        { "most tolerated", RULE_AT_MOST, 175, 0.75, 0.125, true },
        { "one above what is tolerated", RULE_AT_MOST, 176, 0.75, 0.125, false },
        { "a loss at its bar", RULE_NOT_WORSE_BY, 50, 0.25, 0, true },
        { "a loss one beyond", RULE_NOT_WORSE_BY, 49, 0.25, 0, false },
        { "a gain at its bar", RULE_BETTER_BY, 150, 0.25, 0, true },
        { "a gain one short", RULE_BETTER_BY, 149, 0.25, 0, false },
        { "too good at its bar", RULE_GAIN_AT_MOST, 150, 0.25, 0, true },
        { "too good by one", RULE_GAIN_AT_MOST, 151, 0.25, 0, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(200);
        set_hits(0, rows[i].hits);
        struct gate *gate = add_gate("accuracy", rows[i].rule, rows[i].bar);
        gate->tolerate = rows[i].tolerate;
        gate->point = true;
        const struct trial *trial = decide(0);
        expect(rows[i].what, trial, rows[i].passes ? VERDICT_PASS : VERDICT_FAIL, REASON_POINT);
        cr_expect(trial->level == 0 && bench.decision.families[0] == 0, "%s", rows[i].what);
    }
    end();
}

/* A gap is right on either side up to its bar: 60 rows in one slice against 80 in the other. */
Test(gate_rules, gaps_count_both_sides)
{
    for (int side = 0; side < 2; side++) {
        for (int hits = 44; hits <= 46; hits++) {
            begin(200);
            for (int i = 0; i < N; i++) {
                bench.in[1][i] = i >= 60 && i < 140;
                bench.score[0][0][i] = i < hits || (i >= 60 && i < 100);
            }
            struct gate *gate = add_gate("accuracy", RULE_GAP, 0.25);
            gate->gap[0] = side ? "second" : "first";
            gate->gap[1] = side ? "first" : "second";
            gate->slice = "first - second";
            gate->point = true;
            const struct trial *trial = decide(0);
            double gap = hits / 60.0 - 0.5;
            cr_expect(fabs(trial->answer.value - (side ? -gap : gap)) < 1e-15);
            expect("gap", trial, hits <= 45 ? VERDICT_PASS : VERDICT_FAIL, REASON_POINT);
            cr_expect(trial->n == 140 && trial->sides[side] == 60 && trial->sides[!side] == 80);
            cr_expect_str_eq(trial->slice, side ? "second - first" : "first - second");
            gate->min_examples = 60; /* of the smaller slice */
            expect("enough", decide(0), hits <= 45 ? VERDICT_PASS : VERDICT_FAIL, REASON_POINT);
            gate->min_examples = 61;
            expect("few", decide(0), VERDICT_INCONCLUSIVE, REASON_SMALL);
        }
    }
    end();
}

Test(gate_rules, min_examples_may_be_reached_exactly)
{
    for (int kind = 0; kind < 4; kind++) {
        bool reported = kind & 1, goal = kind & 2;
        begin(200);
        set_hits(0, 200);
        bench.suite.small_reported = reported;
        struct gate *gate = add_gate("accuracy", RULE_AT_LEAST, 0.5);
        gate->slice = "first";
        gate->min_examples = 60;
        gate->goal = goal;
        const struct trial *trial = decide(0);
        expect("enough", trial, VERDICT_PASS, REASON_BOUND);
        cr_expect(trial->n == 60 && trial->counts && trial->level == 0.05);
        gate->min_examples = 61;
        trial = decide(0);
        expect("few", trial, VERDICT_INCONCLUSIVE, REASON_SMALL);
        cr_expect(trial->answer.needed == 61 && trial->level == 0);
        cr_expect_eq(trial->counts, goal || !reported, "a goal must have a verdict");
        cr_expect_eq(bench.decision.verdict, VERDICT_INCONCLUSIVE);
        add_gate("accuracy", RULE_AT_LEAST, 0.5);
        (void)decide(0);
        cr_expect_eq(bench.decision.verdict,
                     reported && !goal ? VERDICT_PASS : VERDICT_INCONCLUSIVE);
    }
    end();
}

/* The k-th look halves alpha: in the end too few resamples lie beyond the bound to speak of one. */
Test(gate_rules, late_looks_have_too_few_resamples)
{
    static const int looks[] = { 1, 10, 11, 40 };
    for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
        begin(N);
        bench.scores.cluster = bench.cluster;
        bench.opts.look = looks[i];
        add_gate("log_loss", RULE_AT_MOST, 2);
        bool enough = looks[i] <= 10;
        expect("look", decide(0), enough ? VERDICT_PASS : VERDICT_INCONCLUSIVE,
               enough ? REASON_BOUND : REASON_COARSE);
    }
    end();
}

/* Three quality gates and one measured share alpha 3 : 1; the smallest p is held to a third of its
 * share, the next one to a half, the last to all of it. What cannot be used keeps its place. */
Test(gate_rules, holm_is_over_two_families_that_share_alpha)
{
    begin(200);
    set_hits(0, 100);
    bench.suite.alpha = 0.04;
    add_gate("accuracy", RULE_AT_LEAST, 0.7);
    add_gate("accuracy", RULE_AT_LEAST, 0.55);
    struct gate *empty = add_gate("accuracy", RULE_AT_LEAST, 0.5);
    empty->min_examples = 201;
    add_gate("accuracy", RULE_AT_LEAST, 0.9)->warn = true;
    add_gate("accuracy", RULE_AT_LEAST, 0.9)->point = true;
    struct gate *speed = add_gate("latency_p50", RULE_AT_MOST, 2.5);
    add_gate("weights_bytes", RULE_AT_MOST, 100);
    speed->machine = "any";
    bench.measured[0] = (struct measurement){ speed->metric, 0, 40, bench.sample[0] };
    bench.measured[1] = (struct measurement){ bench.gates[6].metric, 0, 1, bench.sample[1] };
    bench.scores.measurement_count = 2;
    for (int i = 0; i < 40; i++) bench.sample[0][i] = 1 + (double)(i * 7 % 40) / 10;
    bench.sample[1][0] = 100;
    const struct trial *trials = decide(6) - 6;
    cr_expect(bench.decision.families[0] == 3 && bench.decision.families[1] == 1);
    cr_expect_eq(bench.decision.alpha, 0.04);
    expect("far", &trials[0], VERDICT_FAIL, REASON_BOUND);
    expect("near", &trials[1], VERDICT_INCONCLUSIVE, REASON_COVERS);
    expect("small", &trials[2], VERDICT_INCONCLUSIVE, REASON_SMALL);
    expect("warning", &trials[3], VERDICT_FAIL, REASON_BOUND);
    expect("point", &trials[4], VERDICT_FAIL, REASON_POINT);
    expect("measured", &trials[5], VERDICT_INCONCLUSIVE, REASON_COVERS);
    expect("exact, at the bar", &trials[6], VERDICT_PASS, REASON_BOUND);
    static const double levels[] = { 0.01, 0.015, 0, 0.04, 0, 0.01, 0 };
    for (int i = 0; i < 7; i++) {
        cr_expect(fabs(trials[i].level - levels[i]) < 1e-15, "%d: %g", i, trials[i].level);
        cr_expect(trials[i].measured == (i > 4) && trials[i].counts == (i != 3), "%d", i);
    }
    bench.sample[1][0] = 101;
    expect("exact, over the bar", decide(6), VERDICT_FAIL, REASON_BOUND);
    end();
}

/* 20 resamples for each gate in each tail, between 2,000 and 200,000; looks halve alpha. */
Test(gate_rules, resamples_follow_alpha_and_the_number_of_gates)
{
    static const struct {
        double alpha;
        int64_t look;
        size_t gates;
        int64_t resamples;
        bool point;
    } rows[] = {
        { 0.05, 0, 1, 2000, false },     { 0.04, 0, 5, 2500, false },
        { 0.01, 0, 1, 2000, false },     { 0.0099, 0, 1, 2021, false },
        { 0.04, 2, 1, 2000, false },     { 0.04, 3, 1, 4000, false },
        { 0.0001, 0, 1, 200000, false }, { 0.0001, 0, 2, 200000, false },
        { 0.001, 0, 3, 20000, true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(200);
        bench.suite.alpha = rows[i].alpha;
        bench.opts.look = rows[i].look;
        for (size_t g = 0; g < rows[i].gates; g++)
            add_gate("accuracy", RULE_AT_LEAST, 0.5)->point = rows[i].point;
        decide(0);
        cr_expect_eq(bench.decision.resamples, rows[i].resamples, "%zu: %lld", i,
                     (long long)bench.decision.resamples);
        cr_expect_eq(bench.decision.alpha, ldexp(rows[i].alpha, -(int)rows[i].look), "%zu", i);
    }
    end();
}

/* One failure outweighs what is open, and only gates that count speak. */
Test(gate_rules, the_worst_gate_that_counts_decides)
{
    static const struct {
        double bars[3];
        int warn;
        enum verdict verdict;
    } rows[] = {
        { { 0.5, 0.5, 0.5 }, -1, VERDICT_PASS },
        { { 0.5, 0.9, 0.5 }, -1, VERDICT_INCONCLUSIVE },
        { { 0.9, 0.99, 0.5 }, -1, VERDICT_FAIL },
        { { 0.99, 0.9, 0.5 }, -1, VERDICT_FAIL },
        { { 0.5, 0.99, 0.9 }, 1, VERDICT_INCONCLUSIVE },
        { { 0.5, 0.5, 0.9 }, 2, VERDICT_PASS },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(200);
        set_hits(0, 180);
        for (int g = 0; g < 3; g++)
            add_gate("accuracy", RULE_AT_LEAST, rows[i].bars[g])->warn = g == rows[i].warn;
        decide(2);
        cr_expect_eq(bench.decision.verdict, rows[i].verdict, "%zu", i);
    }
    end();
}
