/* What every row of the method table says, by formulas written down here once more: p-values by
 * adding up probabilities, rows that are needed by trying them, smallest numbers at n and n - 1. */
#include "base/arena.h"
#include "base/math.h"
#include "base/rng.h"
#include "eval/method_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static double choose(int n, int k)
{
    double ways = 1;
    for (int i = 1; i <= k; i++) ways *= (double)(n - k + i) / i;
    return ways;
}

/* P(low <= hits <= high) of n with chance p. */
static double between(int low, int high, int n, double p)
{
    double sum = 0;
    for (int k = low; k <= high; k++) sum += choose(n, k) * pow(p, k) * pow(1 - p, n - k);
    return sum;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-10 * fmax(1, fabs(b));
}

/* Whether n rows with this share of hits would exclude the bar on either side. */
static bool decides(double share, int n, double bar, bool more)
{
    int hits = (int)floor(share * n + 0.5);
    double low = stats_proportion_low(hits, n, 0.05), high = stats_proportion_high(hits, n, 0.05);
    return more ? low >= bar || high < bar : high <= bar || low > bar;
}

static struct answer ask(const struct demand *demand, struct sample sample)
{
    struct question question = question_of(demand, 0.05);
    struct answer answer;
    struct err err;
    sample.metric = demand->metric;
    if (!sample.path) sample.path = "x";
    if (!sample.resamples) sample.resamples = 400;
    sample.threads = 1;
    cr_assert_eq(method_ask(method_of(demand), &answer, &sample, &question, &err), OK);
    return answer;
}

enum { N = 2400 };
static double score[N], other[N];

/* 1 in the first `hits` of n, and the baseline 1 in those from `from` to `to`. */
static struct sample hits_of(int n, int hits, int from, int to)
{
    for (int i = 0; i < n; i++) {
        score[i] = i < hits;
        other[i] = i >= from && i < to;
    }
    return (struct sample){ .n = n, .score = score, .other = from < 0 ? NULL : other };
}

Test(method_bounds, proportions_by_adding_up)
{
    static const struct {
        int n, hits;
        double bar;
        bool more;
    } rows[] = {
        { 20, 18, 0.7, true },  { 20, 18, 0.95, true }, { 20, 18, 0.95, false },
        { 20, 18, 0.7, false }, { 12, 12, 0.9, true },  { 12, 0, 0.1, false },
        { 40, 31, 0.8, true },  { 40, 33, 0.8, false }, { 1, 1, 0.5, true },
        { 50, 30, 0.6, true },  { 30, 3, 0.3, true },   { 30, 3, 0.05, false },
    };
    double reach = math_normal_quantile(0.95) + math_normal_quantile(0.8);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int n = rows[i].n, hits = rows[i].hits;
        double bar = rows[i].bar, up = between(hits, n, n, bar), down = between(0, hits, n, bar);
        struct demand demand = { .metric = metric_find("accuracy"),
                                 .rule = rows[i].more ? RULE_AT_LEAST : RULE_AT_MOST,
                                 .bar = bar };
        struct answer a = ask(&demand, hits_of(n, hits, -1, -1));
        cr_expect(near(a.value, (double)hits / n), "%zu", i);
        cr_expect(near(a.p_pass, rows[i].more ? up : down), "%zu: %g", i, a.p_pass);
        cr_expect(near(a.p_fail, rows[i].more ? down : up), "%zu: %g", i, a.p_fail);
        cr_expect(near(a.smallest, reach * sqrt(bar * (1 - bar) / n)), "%zu: %g", i, a.smallest);
        cr_expect_eq(a.passes, a.p_pass <= 0.05, "%zu", i);
        if (a.value == bar) {
            cr_expect_eq(a.needed, 0, "%zu", i);
            continue;
        }
        int needed = (int)a.needed;
        cr_expect(needed >= n && decides(a.value, needed, bar, rows[i].more), "%zu: %d", i, needed);
        cr_expect(needed == n || !decides(a.value, needed - 1, bar, rows[i].more), "%zu: %d", i,
                  needed);
    }
}

/* 30 rows only for the candidate, 12 only for the baseline, the others alike. */
Test(method_bounds, paired_proportions_by_adding_up)
{
    for (int less = 0; less < 2; less++) {
        struct demand demand = { .metric = metric_find("accuracy"),
                                 .rule = less ? RULE_GAIN_AT_MOST : RULE_BETTER_BY };
        struct answer a = ask(&demand, hits_of(300, 130, 30, 142));
        double scale = 42.0 / 300, tail = between(30, 42, 42, 0.5), rest = between(0, 30, 42, 0.5);
        cr_expect(near(a.value, 18.0 / 300));
        cr_expect(near(a.low, scale * (2 * stats_proportion_low(30, 42, 0.05) - 1)), "%g", a.low);
        cr_expect(near(a.high, scale * (2 * stats_proportion_high(30, 42, 0.05) - 1)));
        cr_expect(near(a.p_pass, less ? rest : tail) && near(a.p_fail, less ? tail : rest));
        double mid = between(less ? 12 : 30, 42, 42, 0.5) -
                     0.5 * between(less ? 12 : 30, less ? 12 : 30, 42, 0.5);
        cr_expect(near(a.check, mid), "%g, not %g", a.check, mid);
        double reach = math_normal_quantile(0.95) + math_normal_quantile(0.8);
        cr_expect(near(a.smallest, reach * sqrt(scale / 300)), "%g", a.smallest);
        int split = 42;
        while (!decides(30.0 / 42, split, 0.5, !less)) split++;
        cr_expect_eq(a.needed, ceil(split / scale), "%g", a.needed);
        /* 24 and 18 do not decide yet */
        a = ask(&demand, hits_of(300, 130, 24, 148));
        int more = (int)round(a.needed * scale);
        cr_expect(more > 42 && decides(24.0 / 42, more, 0.5, !less), "%d", more);
        cr_expect(!decides(24.0 / 42, more - 1, 0.5, !less), "%d", more);
        /* a margin: by the score, and the rows that the reach of its bound asks for */
        demand.bar = 0.02;
        a = ask(&demand, hits_of(300, 130, 30, 142));
        double z = math_normal_quantile(0.95), at = stats_tango_score(30, 12, 300, 0.02);
        double low = stats_tango_bound(30, 12, 300, z), high = stats_tango_bound(30, 12, 300, -z);
        cr_expect(near(a.low, low) && near(a.high, high));
        cr_expect(near(a.p_pass, math_normal_cdf(less ? at : -at)), "%g", a.p_pass);
        cr_expect(near(a.p_fail, math_normal_cdf(less ? -at : at)), "%g", a.p_fail);
        double wide = (a.value - low) / (a.value - 0.02);
        cr_expect_eq(a.needed, ceil(300 * wide * wide), "%g", a.needed);
        cr_expect(near(a.smallest, reach * sqrt((scale - a.value * a.value) / 300)));
        /* on the other side of the bar the other bound reaches for it */
        demand.bar = 0.2;
        a = ask(&demand, hits_of(300, 130, 30, 142));
        wide = (high - a.value) / (a.value - 0.2);
        cr_expect_eq(a.needed, ceil(300 * wide * wide), "%g", a.needed);
    }
}

/* 80 rows of which 60 are right beside 120 of which 72 are. */
Test(method_bounds, gaps_of_proportions_by_their_score)
{
    static uint8_t first[200], second[200];
    for (int i = 0; i < 200; i++) {
        first[i] = i < 80;
        second[i] = i >= 80;
        score[i] = i < 60 || (i >= 80 && i < 152);
    }
    struct sample sample = { .n = 200, .score = score, .first = first, .second = second };
    static const double bars[] = { 0.05, 0.1, 0.3 };
    double z = math_normal_quantile(0.95);
    for (int side = 0; side < 2; side++) {
        struct two_proportions two = { { 60, 72 }, { 80, 120 } };
        if (side) two = (struct two_proportions){ { 72, 60 }, { 120, 80 } };
        sample.first = side ? second : first;
        sample.second = side ? first : second;
        for (int b = 0; b < 3; b++) {
            double bar = bars[b], up = math_normal_cdf(-stats_independent_score(&two, bar)),
                   down = math_normal_cdf(-stats_independent_score(&two, -bar));
            struct demand demand = { .metric = metric_find("accuracy"),
                                     .rule = RULE_GAP,
                                     .bar = bar };
            struct answer a = ask(&demand, sample);
            double low = stats_independent_bound(&two, z), high = stats_independent_bound(&two, -z);
            cr_expect(near(a.value, side ? -0.15 : 0.15) && near(a.low, low) && near(a.high, high));
            cr_expect(near(a.p_pass, fmax(down, 1 - up)), "%d %g: %g", side, bar, a.p_pass);
            cr_expect(near(a.p_fail, fmin(1, 2 * fmin(up, 1 - down))), "%d %g: %g", side, bar,
                      a.p_fail);
            cr_expect_eq(a.passes, low >= -bar && high <= bar, "%d %g", side, bar);
            double away = a.value - (side ? -bar : bar);
            double reach = (away > 0 ? a.value - low : high - a.value) / away;
            cr_expect_eq(a.needed, ceil(200 * reach * reach), "%d %g: %g", side, bar, a.needed);
            double deviation = sqrt(0.75 * 0.25 / 80 + 0.6 * 0.4 / 120);
            cr_expect(near(a.smallest, deviation * (z + math_normal_quantile(0.8))));
        }
    }
}

Test(method_bounds, quantiles_and_exact_numbers_by_counting)
{
    static double measured[30];
    for (int i = 0; i < 30; i++) measured[i] = 1 + i / 2; /* in pairs */
    for (int more = 0; more < 2; more++) {
        for (double bar = 5.5; bar < 12; bar += 0.5) {
            struct demand demand = { .metric = metric_find("latency_p50"),
                                     .rule = more ? RULE_AT_LEAST : RULE_AT_MOST,
                                     .bar = bar };
            struct answer a = ask(&demand, (struct sample){ .n = 30, .measured = measured });
            int most = 0, least = 0;
            for (int i = 0; i < 30; i++) most += measured[i] <= bar, least += measured[i] >= bar;
            double below = between(most, 30, 30, 0.5), above = between(least, 30, 30, 0.5);
            cr_expect(near(a.p_pass, more ? above : below), "%g: %g", bar, a.p_pass);
            cr_expect(
                near(a.p_fail, more ? between(0, least, 30, 0.5) : between(0, most, 30, 0.5)));
            cr_expect_eq(a.passes, a.p_pass <= 0.05, "%g", bar);
            cr_expect(!a.degenerate && a.value == 8);
        }
        for (int at = -1; at < 2; at++) {
            struct demand demand = { .metric = metric_find("weights_bytes"),
                                     .rule = more ? RULE_AT_LEAST : RULE_AT_MOST,
                                     .bar = 1 + at };
            struct answer a = ask(&demand, (struct sample){ .n = 1, .measured = measured });
            bool right = more ? at <= 0 : at >= 0;
            cr_expect(a.passes == right && a.p_pass == !right && a.p_fail == right);
            cr_expect(a.value == 1 && a.low == 1 && a.high == 1 && isnan(a.check));
        }
    }
}

/* Each method at its smallest number and one below. */
Test(method_bounds, smallest_numbers_are_enough)
{
    static int64_t cluster[N];
    static uint8_t first[N], second[N], both[N];
    static const struct {
        const char *metric, *method;
        enum rule rule;
        double bar;
        bool relative, clustered, overlapping;
        int least, rows; /* rows for each unit */
    } rows[] = {
        { "accuracy", "tango", RULE_BETTER_BY, 0.1, false, false, false, 200, 1 },
        { "accuracy", "bca_paired", RULE_BETTER_BY, 0.1, true, false, false, 1000, 1 },
        { "accuracy", "miettinen_nurminen", RULE_GAP, 0.1, false, false, false, 50, 2 },
        { "accuracy", "bca_gap", RULE_GAP, 0.1, false, false, true, 1000, 2 },
        { "accuracy", "bca_clusters", RULE_AT_LEAST, 0.1, false, true, false, 50, 3 },
        { "accuracy", "bca_clusters_paired", RULE_BETTER_BY, 0.1, false, true, false, 50, 3 },
        { "log_loss", "bca", RULE_AT_MOST, 1, false, false, false, 1000, 1 },
        { "log_loss", "bca_paired", RULE_BETTER_BY, 0.1, false, false, false, 1000, 1 },
        { "log_loss", "bca_gap", RULE_GAP, 0.1, false, false, false, 1000, 2 },
        { "latency_p50", "order_statistic", RULE_AT_MOST, 1, false, false, false, 5, 1 },
        { "accuracy", "trend_t", RULE_TREND, 0, false, false, false, 5, 1 },
    };
    for (uint64_t i = 0; i < N; i++) {
        cluster[i] = (int64_t)(i / 3) * 7 - 100;
        first[i] = i % 2 == 0;
        second[i] = i % 2;
        both[i] = i % 2 || i == 0; /* row 0 is on both sides */
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct demand demand = { .metric = metric_find(rows[i].metric),
                                 .rule = rows[i].rule,
                                 .bar = rows[i].bar,
                                 .relative = rows[i].relative,
                                 .clustered = rows[i].clustered,
                                 .overlapping = rows[i].overlapping };
        const struct method *method = method_of(&demand);
        bool share = strcmp(rows[i].metric, "accuracy") == 0 && rows[i].rule != RULE_TREND;
        cr_assert_str_eq(method->name, rows[i].method);
        cr_expect_eq(method->smallest_n, rows[i].least, "%s", method->name);
        for (uint64_t r = 0; r < N; r++) {
            score[r] = (double)(rng_mix(3, r) >> 11) * 0x1p-53;
            other[r] = (double)(rng_mix(4, r) >> 11) * 0x1p-53;
            if (share) score[r] = score[r] < 0.8, other[r] = other[r] < 0.7;
        }
        for (int missing = 0; missing < 2; missing++) {
            bool gap = rows[i].rule == RULE_GAP;
            struct sample sample = { .n = (rows[i].least - missing) * rows[i].rows,
                                     .score = score,
                                     .other = rule_is_paired(rows[i].rule) ? other : NULL,
                                     .measured = score,
                                     .trend = score,
                                     .cluster = rows[i].clustered ? cluster : NULL,
                                     .first = gap ? first : NULL,
                                     .second = gap ? rows[i].overlapping ? both : second : NULL };
            if (rows[i].rule == RULE_TREND) sample.score = NULL;
            if (method->statistic == STATISTIC_SYSTEM) sample.score = NULL;
            struct answer a = ask(&demand, sample);
            cr_expect_eq(a.few, missing, "%zu: %s of %d", i, method->name, missing);
            cr_expect_eq(a.count, rows[i].least - missing, "%zu: %g", i, a.count);
            if (missing) cr_expect(a.needed == rows[i].least && a.degenerate && !a.passes);
            cr_expect(!isnan(a.value), "%s", method->name);
        }
    }
}

/* Dense numbers in the order of the ids. */
Test(method_bounds, clusters_are_numbered_in_the_order_of_their_ids)
{
    static const int64_t ids[] = { 9, -4, 9, 1LL << 40, 0, -4, 3, 9 };
    static const int32_t want[] = { 3, 0, 3, 4, 1, 0, 2, 3 };
    int32_t index[8];
    int64_t clusters = 0;
    struct err err;
    struct sample sample = { .n = 8, .cluster = ids };
    cr_assert_eq(cluster_numbers(index, &clusters, &sample, &err), OK);
    cr_expect_eq(clusters, 5);
    for (int i = 0; i < 8; i++) cr_expect_eq(index[i], want[i], "%d", i);
}

/* Prospects: by the normal distribution on either side of one or two bars. */
Test(method_bounds, prospects_by_the_normal_distribution)
{
    double z = math_normal_quantile(0.95);
    static const struct {
        enum rule rule;
        double bar, truth, deviation;
        int64_t n;
    } rows[] = {
        { RULE_AT_MOST, 1, 0.95, 2, 4000 }, { RULE_AT_LEAST, 1, 1.05, 2, 4000 },
        { RULE_AT_MOST, 1, 1.05, 2, 4000 }, { RULE_GAP, 0.2, 0.02, 2, 4000 },
        { RULE_GAP, 0.2, -0.1, 2, 4000 },   { RULE_GAP, 0.01, 0, 2, 4000 },
        { RULE_AT_LEAST, 1, 1, 0, 4000 },   { RULE_AT_LEAST, 1, 0.99, 0, 4000 },
        { RULE_AT_MOST, 1, 1, 0, 4000 },    { RULE_GAP, 0.2, -0.2, 0, 4000 },
        { RULE_GAP, 0.2, 0.21, 0, 4000 },   { RULE_AT_LEAST, 1, 2, 2, 999 },
        { RULE_AT_LEAST, 1, 2, 2, 1000 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct demand demand = { .metric = metric_find("log_loss"),
                                 .rule = rows[i].rule,
                                 .bar = rows[i].bar };
        const struct method *method = method_of(&demand);
        struct question question = question_of(&demand, 0.05);
        struct outlook outlook = { rows[i].n, rows[i].truth, rows[i].deviation };
        struct prospect got = method_prospect(method, &question, &outlook);
        double error = rows[i].deviation / sqrt((double)rows[i].n), low = -INFINITY,
               high = INFINITY;
        if (rows[i].rule != RULE_AT_LEAST) high = rows[i].bar - z * error;
        if (rows[i].rule == RULE_AT_LEAST) low = rows[i].bar + z * error;
        if (rows[i].rule == RULE_GAP) low = -high;
        double want = low <= high && rows[i].truth >= low && rows[i].truth <= high;
        if (error > 0)
            want = low > high ? 0
                              : math_normal_cdf((high - rows[i].truth) / error) -
                                    math_normal_cdf((low - rows[i].truth) / error);
        if (rows[i].n < 1000) want = 0;
        cr_expect(near(got.chance, want), "%zu: %g, not %g", i, got.chance, want);
        if (error == 0 || rows[i].n < 1000) continue;
        if (isfinite(got.smallest)) {
            outlook.truth = rows[i].rule == RULE_AT_LEAST ? rows[i].bar + got.smallest
                                                          : rows[i].bar - got.smallest;
            double there = method_prospect(method, &question, &outlook).chance;
            cr_expect(fabs(there - 0.8) < 1e-6, "%zu: %g", i, there);
        }
        cr_expect_eq(isfinite(got.smallest), i != 5, "%zu", i);
        outlook.truth = rows[i].truth;
        if (i == 2) cr_expect_eq(got.needed, 0, "on the wrong side: never");
        if (got.needed == 0) continue;
        outlook.n = (int64_t)got.needed;
        cr_expect(method_prospect(method, &question, &outlook).chance >= 0.8, "%zu", i);
        outlook.n--;
        cr_expect(method_prospect(method, &question, &outlook).chance < 0.8, "%zu", i);
    }
}

/* Prospects of a proportion by adding up, at most as well as at least; and what is not known. */
Test(method_bounds, prospects_of_proportions_by_adding_up)
{
    for (int more = 0; more < 2; more++) {
        struct demand demand = { .metric = metric_find("accuracy"),
                                 .rule = more ? RULE_AT_LEAST : RULE_AT_MOST,
                                 .bar = 0.8 };
        const struct method *method = method_of(&demand);
        struct question question = question_of(&demand, 0.05);
        struct outlook outlook = { 50, more ? 0.93 : 0.6, 0 };
        double want = 0;
        for (int k = 0; k <= 50; k++) {
            bool passes = more ? stats_proportion_low(k, 50, 0.05) >= 0.8
                               : stats_proportion_high(k, 50, 0.05) <= 0.8;
            if (passes) want += between(k, k, 50, outlook.truth);
        }
        struct prospect got = method_prospect(method, &question, &outlook);
        cr_expect(near(got.chance, want), "%d: %g, not %g", more, got.chance, want);
        outlook.truth = more ? 0.8 + got.smallest : 0.8 - got.smallest;
        double there = method_prospect(method, &question, &outlook).chance;
        cr_expect(fabs(there - 0.8) < 1e-6, "%d: %g", more, there);
    }
    for (int at = -1; at < 2; at++) {
        for (int more = 0; more < 2; more++) {
            struct demand exact = { .metric = metric_find("weights_bytes"),
                                    .rule = more ? RULE_AT_LEAST : RULE_AT_MOST,
                                    .bar = 8 };
            struct question question = question_of(&exact, 0.05);
            struct outlook outlook = { 1, 8 + at, 0 };
            struct prospect got = method_prospect(method_of(&exact), &question, &outlook);
            cr_expect_eq(got.chance, more ? at >= 0 : at <= 0);
            cr_expect(isnan(got.smallest) && got.needed == 0);
        }
    }
    struct demand system = { .metric = metric_find("latency_p50"), .rule = RULE_AT_MOST, .bar = 8 };
    struct question question = question_of(&system, 0.05);
    struct outlook outlook = { 30, 1, 1 };
    struct prospect got = method_prospect(method_of(&system), &question, &outlook);
    cr_expect(isnan(got.chance) && isnan(got.smallest) && got.needed == 0);
}
