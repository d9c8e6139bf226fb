/* What keeps a gate from being decided by its numbers, each told by its own name, and the rows that
 * a gate is about: those of its choice, in index order, with their columns beside them. */
#include "tests/eval/bench.h"

/* What is missing or not a number, before any number is looked at. */
Test(gate_rules, what_is_not_there_is_said)
{
    enum {
        NONE,
        CANDIDATE_NAN,
        BASE_NAN,
        BOTH_NAN,
        NO_BASE,
        NO_NOISE,
        NO_BASE_NOISE,
        NO_SCORE,
        NO_BASE_SCORE,
        NO_ROWS,
        LABELS
    };
    static const struct {
        const char *what;
        int fault;
        bool first, noise;
        enum verdict verdict;
        enum reason reason;
    } rows[] = {
        { "all there", NONE, false, false, VERDICT_PASS, REASON_BOUND },
        { "under noise", NONE, false, true, VERDICT_PASS, REASON_BOUND },
        { "candidate", CANDIDATE_NAN, false, false, VERDICT_FAIL, REASON_NOT_FINITE },
        { "baseline", BASE_NAN, false, false, VERDICT_FAIL, REASON_BASELINE_NOT_FINITE },
        { "both", BOTH_NAN, false, false, VERDICT_FAIL, REASON_NOT_FINITE },
        { "no baseline yet", NO_BASE, false, false, VERDICT_INCONCLUSIVE, REASON_BASELINE },
        { "no baseline, first", NO_BASE, true, false, VERDICT_PASS, REASON_BASELINE },
        { "no condition", NO_NOISE, true, true, VERDICT_FAIL, REASON_CONDITION },
        { "baseline only clean", NO_BASE_NOISE, true, true, VERDICT_FAIL, REASON_CONDITION },
        { "no score", NO_SCORE, false, false, VERDICT_FAIL, REASON_MISSING },
        { "no score of the baseline", NO_BASE_SCORE, false, false, VERDICT_FAIL, REASON_MISSING },
        { "empty", NO_ROWS, false, false, VERDICT_FAIL, REASON_EMPTY },
        { "labels where there are none", LABELS, false, false, VERDICT_FAIL, REASON_MISSING },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(200);
        int fault = rows[i].fault;
        bool other = fault == BASE_NAN || fault == BOTH_NAN;
        set_hits(0, 180);
        set_hits(2, 180);
        struct gate *gate = add_gate("accuracy", RULE_BETTER_BY, 0);
        gate->perturb = rows[i].noise ? "noise" : NULL;
        bench.suite.first_passes = rows[i].first;
        if (fault == CANDIDATE_NAN || fault == BOTH_NAN) bench.score[0][0][7] = NAN;
        if (other) bench.score[1][0][8] = NAN;
        if (fault == NO_BASE) bench.subjects[1].missing = bench.subjects[3].missing = true;
        if (fault == NO_NOISE) bench.subjects[2].missing = true;
        if (fault == NO_BASE_NOISE) bench.subjects[3].missing = true;
        if (fault == NO_SCORE) bench.columns[0][0] = NULL;
        if (fault == NO_BASE_SCORE) bench.columns[1][0] = NULL;
        if (fault == NO_ROWS) memset(bench.in[0], 0, N);
        if (fault == NO_ROWS) gate->slice = "first";
        if (fault == LABELS) gate->slice = NULL;
        expect(rows[i].what, decide(0), rows[i].verdict, rows[i].reason);
        if (fault == CANDIDATE_NAN || other)
            cr_expect(isnan(bench.decision.trials[0].answer.value));
    }
    end();
}

/* Too few rows are told from too few clusters; point gates ask for neither. */
Test(gate_rules, rows_and_clusters_are_too_few_by_their_own_names)
{
    static const struct {
        const char *what, *metric;
        int n, per_cluster;
        bool point, constant;
        enum verdict verdict;
        enum reason reason;
    } rows[] = {
        { "rows", "log_loss", 200, 0, false, false, VERDICT_INCONCLUSIVE, REASON_FEW },
        { "clusters", "log_loss", 196, 4, false, false, VERDICT_INCONCLUSIVE, REASON_CLUSTERS },
        { "enough clusters", "log_loss", 200, 4, false, false, VERDICT_PASS, REASON_BOUND },
        { "rows as clusters", "log_loss", 49, 1, false, false, VERDICT_INCONCLUSIVE, REASON_FEW },
        { "point", "log_loss", 200, 0, true, false, VERDICT_PASS, REASON_POINT },
        { "no spread", "log_loss", 200, 4, false, true, VERDICT_INCONCLUSIVE, REASON_DEGENERATE },
        { "no spread, point", "log_loss", 200, 4, true, true, VERDICT_PASS, REASON_POINT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(rows[i].n);
        for (int r = 0; r < N; r++) {
            if (rows[i].per_cluster) bench.cluster[r] = r / rows[i].per_cluster;
            if (rows[i].constant) bench.score[0][1][r] = 0.5;
        }
        if (rows[i].per_cluster) bench.scores.cluster = bench.cluster;
        add_gate(rows[i].metric, RULE_AT_MOST, 0.7)->point = rows[i].point;
        const struct trial *trial = decide(0);
        expect(rows[i].what, trial, rows[i].verdict, rows[i].reason);
        bool few = rows[i].reason == REASON_FEW || rows[i].reason == REASON_CLUSTERS;
        if (few)
            cr_expect_eq(trial->answer.needed, rows[i].per_cluster ? 50 : 1000, "%s", rows[i].what);
    }
    end();
}

/* No row tells them apart: open, whatever is asked. A margin of its own decides as always. */
Test(gate_rules, models_that_are_alike_are_not_better)
{
    for (int margin = 0; margin < 2; margin++) {
        begin(200);
        add_gate("accuracy", RULE_NOT_WORSE_BY, margin ? 0.1 : 0);
        const struct trial *trial = decide(0);
        expect("alike", trial, margin ? VERDICT_PASS : VERDICT_INCONCLUSIVE,
               margin ? REASON_BOUND : REASON_ALIKE);
        set_hits(0, 101);
        expect("one better", decide(0), margin ? VERDICT_PASS : VERDICT_INCONCLUSIVE,
               margin ? REASON_BOUND : REASON_COVERS);
    }
    end();
}

Test(gate_rules, measurements_count_on_their_machine)
{
    static const struct {
        const char *what, *wanted, *machine;
        int samples;
        double bar;
        bool point;
        enum verdict verdict;
        enum reason reason;
    } rows[] = {
        { "any", "any", NULL, 40, 9, false, VERDICT_PASS, REASON_BOUND },
        { "unsaid", NULL, "small", 40, 9, false, VERDICT_PASS, REASON_BOUND },
        { "the same", "small", "small", 40, 9, false, VERDICT_PASS, REASON_BOUND },
        { "another", "small", "large", 40, 9, false, VERDICT_INCONCLUSIVE, REASON_MACHINE },
        { "unknown", "small", NULL, 40, 9, false, VERDICT_INCONCLUSIVE, REASON_MACHINE },
        { "too slow", "any", NULL, 40, 1.1, false, VERDICT_FAIL, REASON_BOUND },
        { "few", "any", NULL, 4, 9, false, VERDICT_INCONCLUSIVE, REASON_SAMPLES },
        { "five of five below", "any", NULL, 5, 9, false, VERDICT_PASS, REASON_BOUND },
        { "few, point", "any", NULL, 4, 9, true, VERDICT_PASS, REASON_POINT },
        { "none", "any", NULL, 0, 9, false, VERDICT_FAIL, REASON_MISSING },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin(200);
        struct gate *gate = add_gate("latency_p50", RULE_AT_MOST, rows[i].bar);
        gate->machine = rows[i].wanted;
        gate->point = rows[i].point;
        bench.opts.machine = rows[i].machine;
        bench.measured[0] = (struct measurement){ gate->metric, 0, rows[i].samples,
                                                  bench.sample[0] };
        bench.scores.measurement_count = 1;
        for (int s = 0; s < 40; s++) bench.sample[0][s] = 1 + (double)(s * 7 % 40) / 10;
        const struct trial *trial = decide(0);
        expect(rows[i].what, trial, rows[i].verdict, rows[i].reason);
        if (rows[i].samples) cr_expect_eq(trial->n, rows[i].samples, "%s", rows[i].what);
        gate->batch = 8; /* nobody measured that */
        expect(rows[i].what, decide(0), VERDICT_FAIL, REASON_MISSING);
    }
    end();
}

/* {every: label} makes one trial for each label, each on its own rows. */
Test(gate_rules, every_label_is_a_trial)
{
    begin(200);
    set_hits(0, 180);
    bench.scores.classes = 3;
    add_gate("accuracy", RULE_AT_LEAST, 0.5)->slice = NULL;
    add_gate("accuracy", RULE_AT_LEAST, 0.5)->id = "h";
    decide(3);
    cr_assert_eq(bench.decision.count, 4);
    static const char *const ids[] = { "g/label=0", "g/label=1", "g/label=2", "h" };
    static const int64_t n[] = { 67, 67, 66, 200 };
    for (int i = 0; i < 4; i++) {
        const struct trial *trial = &bench.decision.trials[i];
        cr_expect_str_eq(trial->id, ids[i]);
        cr_expect_str_eq(trial->slice, i < 3 ? ids[i] + 2 : "all");
        cr_expect(trial->n == n[i] && trial->label == (i < 3 ? i : -1), "%d", i);
        int hits = i < 3 ? 60 : 180;
        cr_expect(fabs(trial->answer.value - (double)hits / (double)n[i]) < 1e-15, "%d", i);
    }
    end();
}

/* Rows are those of the choice, in index order, with their columns beside them. */
Test(gate_rules, rows_are_gathered_in_index_order)
{
    static const char *const disjoint[2] = { "first", "rest" }, *const common[2] = { "first",
                                                                                     "second" };
    static const struct {
        const char *what;
        struct row_choice choice;
    } rows[] = {
        { "all", { "all", -1, NULL } },    { "slice", { "second", -1, NULL } },
        { "label", { NULL, 2, NULL } },    { "first label", { NULL, 0, NULL } },
        { "rest", { "x", -1, disjoint } }, { "overlap", { "x", -1, common } },
    };
    for (size_t c = 0; c < sizeof rows / sizeof *rows; c++) {
        begin(200);
        bench.scores.cluster = bench.cluster;
        for (int i = 0; i < N; i++) bench.score[0][1][i] = i, bench.score[1][1][i] = -i;
        const struct row_choice *choice = &rows[c].choice;
        struct row_question question = { .metric = bench.kinds[1].metric,
                                         .subject = &bench.subjects[0],
                                         .other = &bench.subjects[1] };
        struct rows got;
        struct err err;
        int64_t place[N], n = 0, sides[2] = { 0, 0 }, both = 0;
        int64_t listed = rows_list(place, &bench.scores, choice);
        cr_assert_eq(rows_gather(&got, &bench.scores, choice, &question, &err), OK);
        for (int i = 0; i < 200; i++) {
            bool a = bench.in[0][i], b = choice->gap == disjoint ? !a : bench.in[1][i];
            bool in = choice->gap          ? a || b
                      : choice->label >= 0 ? bench.label[i] == choice->label
                      : c == 1             ? bench.in[1][i]
                                           : true;
            if (!in) continue;
            cr_assert(n < listed && place[n] == i, "%s: row %d", rows[c].what, i);
            cr_assert(got.score[n] == i && got.other[n] == -i && got.cluster[n] == i / 4, "%s",
                      rows[c].what);
            if (choice->gap) cr_assert(got.first[n] == a && got.second[n] == b, "%s", rows[c].what);
            sides[0] += choice->gap && a;
            sides[1] += choice->gap && b;
            both += choice->gap && a && b;
            n++;
        }
        cr_expect(listed == n && got.n == n && rows_count(&bench.scores, choice) == n, "%s",
                  rows[c].what);
        cr_expect(!choice->gap || (got.sides[0] == sides[0] && got.sides[1] == sides[1]), "%s",
                  rows[c].what);
        cr_expect(got.overlapping == (both > 0) && got.finite && got.other_finite && got.held &&
                      got.other_held,
                  "%s", rows[c].what);
        cr_expect_eq(got.first != NULL, choice->gap != NULL);
        rows_release(&got);
    }
}

/* What keeps two distributions from being taken for one another. */
Test(gate_rules, paths_tell_apart_what_is_resampled)
{
    begin(200);
    struct arena arena = { 0 };
    static const struct {
        const char *metric, *path;
        int condition;
        bool other;
    } rows[] = {
        { "accuracy", "accuracy/3/all/candidate", 0, false },
        { "accuracy", "accuracy/3/all/candidate/noise", 1, false },
        { "accuracy", "accuracy/3/all/candidate/noise/base", 1, true },
        { "precision", "precision/3/all/candidate/class=2/base", 0, true },
        { "quantile_loss", "quantile_loss/3/all/candidate/q=0.25", 0, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct row_question question = { .metric = metric_find(rows[i].metric),
                                         .k = 3,
                                         .of_class = 2,
                                         .q = 0.25,
                                         .subject = &bench.subjects[2 * rows[i].condition],
                                         .other = rows[i].other ? &bench.subjects[1] : NULL };
        cr_expect_str_eq(resample_path(&arena, &question, "all"), rows[i].path);
    }
    arena_release(&arena);
}

/* Words, codes and the seed. */
Test(gate_rules, verdicts_have_their_words_codes_and_seed)
{
    cr_expect_str_eq(verdict_text(VERDICT_PASS), "pass");
    cr_expect_str_eq(verdict_text(VERDICT_FAIL), "fail");
    cr_expect_str_eq(verdict_text(VERDICT_INCONCLUSIVE), "inconclusive");
    cr_expect_eq(verdict_code(VERDICT_PASS), OK);
    cr_expect_eq(verdict_code(VERDICT_FAIL), GATE_FAILED);
    cr_expect_eq(verdict_code(VERDICT_INCONCLUSIVE), INCONCLUSIVE);
    cr_expect_str_eq(reason_word(REASON_SMALL), "below_min_examples");
    cr_expect_str_eq(reason_text(REASON_EMPTY), "the slice has no rows");
    struct digest parts[3] = { digest_of("suite", 5), digest_of("data", 4), digest_of("model", 5) };
    struct digest whole = digest_of(parts, sizeof parts);
    uint64_t seed = decision_seed(&parts[0], &parts[1], &parts[2]);
    for (int i = 0; i < 8; i++) cr_expect_eq(seed >> (8 * i) & 255, whole.bytes[i], "byte %d", i);
    cr_expect_eq(decision_alpha(0.5, 39), ldexp(0.5, -39));
    cr_expect_eq(decision_alpha(0.5, 40), ldexp(0.5, -40));
    cr_expect_eq(decision_alpha(0.5, 41), ldexp(0.5, -40));
}
