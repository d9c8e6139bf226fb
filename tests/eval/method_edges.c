/* Methods where numbers are fewest or all the same: what formulas say there, written down again. */
#include "eval/method.h"
#include "eval/stats.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* P(at least half of n fair coins show heads). */
static double half_or_more(int n)
{
    double ways = 1, sum = 0;
    for (int k = 0; k <= n; k++) {
        if (2 * k >= n) sum += ways;
        ways = ways * (n - k) / (k + 1);
    }
    return sum / exp2(n);
}

/* A sum of exactly 0 is reached by as many patterns as the coins say, not by all. */
Test(method_edges, sign_flips_of_a_sum_of_zero)
{
    enum { COUNT = 20000, N = 10 };
    static const double units[] = { 1, 0.1, 1e-7 };
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        double x[N], want = half_or_more(N);
        for (int i = 0; i < N; i++) x[i] = i % 2 ? units[u] : -units[u];
        struct resample_opts opts = { 3, COUNT, 1, false };
        for (int above = 0; above < 2; above++) {
            double p = stats_sign_flip(x, N, 0, above, &opts);
            cr_expect(fabs(p - want) < 4 * sqrt(want * (1 - want) / COUNT), "unit %g: %g, not %g",
                      units[u], p, want);
        }
    }
}

/* The share of pairs that a row wins, as DeLong's placements are defined. */
static double placement(const float *score, const int32_t *label, int n, int row)
{
    double won = 0, pairs = 0;
    for (int i = 0; i < n; i++) {
        if (label[i] == label[row]) continue;
        double ahead = label[row] ? (double)score[row] - (double)score[i]
                                  : (double)score[i] - (double)score[row];
        won += ahead > 0 ? 1 : ahead == 0 ? 0.5 : 0;
        pairs++;
    }
    return won / pairs;
}

static double sum_of_squares(const float *score, const int32_t *label, int n, int kind, double area)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        if (label[i] == kind) sum += pow(placement(score, label, n, i) - area, 2);
    return sum;
}

/* Two of a kind have a variance, one has none: its part is then counted as it is. */
Test(method_edges, areas_of_one_and_two_rows_of_a_kind)
{
    enum { N = 6 };
    static const float score[N] = { 0.9f, 0.8f, 0.7f, 0.6f, 0.5f, 0.4f };
    static const int32_t order[N] = { 0, 1, 2, 3, 4, 5 };
    static const int32_t labels[][N] = {
        { 1, 0, 1, 1, 0, 1 }, { 0, 1, 0, 0, 1, 0 }, { 0, 0, 1, 0, 0, 0 }, { 1, 1, 1, 0, 1, 1 }
    };
    for (size_t c = 0; c < sizeof labels / sizeof *labels; c++) {
        const int32_t *label = labels[c];
        struct rank_rows rows = { score, order, label, N, 1, 1 };
        double part[N] = { 0 }, count[2] = { 0, 0 }, area = 0, variance = 0, want = 0;
        for (int i = 0; i < N; i++) count[label[i]]++;
        for (int i = 0; i < N; i++)
            if (label[i]) area += placement(score, label, N, i) / count[1];
        cr_expect(fabs(stats_auc(part, &rows, 1) - area) < 1e-15, "case %zu", c);
        for (int i = 0; i < N; i++) variance += part[i] * part[i];
        bool few = count[0] < 2 || count[1] < 2;
        for (int kind = 0; kind < 2; kind++)
            want += sum_of_squares(score, label, N, kind, area) /
                    (few ? count[kind] * count[kind] : count[kind] * (count[kind] - 1));
        cr_expect(fabs(variance - want) < 1e-15, "case %zu: %g, not %g", c, variance, want);
    }
    static const int32_t same[N] = { 1, 1, 1, 1, 1, 1 }, none[N] = { 0 };
    struct rank_rows all = { score, order, same, N, 1, 1 }, no = { score, order, none, N, 1, 1 };
    cr_expect(isnan(stats_auc(NULL, &all, 1)) && isnan(stats_auc(NULL, &no, 1)));
}

/* Rows that are all alike have resamples without spread: no bound, whatever the bar. */
Test(method_edges, alike_rows_decide_nothing)
{
    enum { N = 1200 };
    static const char *const names[] = { "ece", "macro_f1", "log_loss", "perplexity" };
    static int32_t label[N], prediction[N];
    static float confidence[N];
    static double score[N], tokens[N], nll[N];
    for (int i = 0; i < N; i++) {
        label[i] = prediction[i] = i % 2;
        confidence[i] = 0.9f;
        score[i] = 0.25, tokens[i] = 2, nll[i] = 3;
    }
    struct outcomes outcomes = { .n = N,
                                 .classes = 2,
                                 .label = label,
                                 .prediction = prediction,
                                 .confidence = confidence,
                                 .nll = nll,
                                 .tokens = tokens };
    for (size_t m = 0; m < sizeof names / sizeof *names; m++) {
        const struct metric *metric = metric_find(names[m]);
        struct demand demand = { .metric = metric,
                                 .rule = metric->higher ? RULE_AT_LEAST : RULE_AT_MOST,
                                 .bar = metric->higher ? 0.1 : 30 };
        struct question question = question_of(&demand, 0.05);
        struct sample sample = { .metric = metric,
                                 .n = N,
                                 .outcomes = &outcomes,
                                 .score = score,
                                 .path = "x",
                                 .resamples = 400,
                                 .threads = 1 };
        struct answer answer;
        struct err err;
        cr_assert_eq(method_ask(method_of(&demand), &answer, &sample, &question, &err), OK);
        cr_expect(answer.degenerate && !answer.passes && !answer.few, "%s", names[m]);
        cr_expect(isfinite(answer.value) && isinf(answer.low) && isinf(answer.high), "%s",
                  names[m]);
        cr_expect(answer.p_pass == 1 && answer.p_fail == 1, "%s", names[m]);
    }
}
