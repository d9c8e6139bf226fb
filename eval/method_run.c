/* Methods without resampling: proportions, repeated measurements, exact numbers, trends. */
#include "eval/method_run.h"
#include "base/math.h"

#include <math.h>
#include <string.h>

/* Hits among the rows that count: all of a slice, or those below the line of a share. */
static int64_t count_hits(const struct sample *sample, const uint8_t *in, int64_t *n)
{
    double hits = 0, rows = 0;
    for (int64_t i = 0; i < sample->n; i++) {
        if (in && !in[i]) continue;
        struct row_part part = sample_part(sample, false, i);
        hits += part.above;
        rows += part.below;
    }
    *n = (int64_t)rows;
    return (int64_t)hits;
}

/* Whether n rows with this share of hits would decide. */
static bool proportion_decides(double share, double n, const struct question *question)
{
    int64_t rows = (int64_t)n, hits = (int64_t)floor(share * n + 0.5);
    double low = stats_proportion_low(hits, rows, question->alpha);
    double high = stats_proportion_high(hits, rows, question->alpha);
    return question->more ? low >= question->bar || high < question->bar
                          : high <= question->bar || low > question->bar;
}

static double proportion_needed(double share, int64_t n, const struct question *question)
{
    if (share == question->bar) return 0;
    double enough = (double)n;
    while (!proportion_decides(share, enough, question)) {
        enough *= 2;
        if (enough > 1e12) return 0;
    }
    double few = enough / 2 < (double)n ? (double)n : enough / 2;
    while (enough - few > 1) {
        double middle = floor((few + enough) / 2);
        if (proportion_decides(share, middle, question))
            enough = middle;
        else
            few = middle;
    }
    return enough;
}

METHOD_RUN(run_clopper_pearson)
{
    (void)err;
    int64_t n, hits = count_hits(sample, NULL, &n);
    if (n == 0) {
        answer_open(answer, NAN);
        return OK;
    }
    double bar = question->bar < 0 ? 0 : question->bar > 1 ? 1 : question->bar;
    double at_or_above = math_binomial_tail(hits, n, bar),
           at_or_below = math_binomial_cdf(hits, n, bar);
    answer_open(answer, (double)hits / (double)n);
    answer->degenerate = false;
    answer->low = stats_proportion_low(hits, n, question->alpha);
    answer->high = stats_proportion_high(hits, n, question->alpha);
    answer->p_pass = question->more ? at_or_above : at_or_below;
    answer->p_fail = question->more ? at_or_below : at_or_above;
    answer_power(answer, question, n, sqrt(bar * (1 - bar) / (double)n));
    /* In rows of the sample, of which n count. */
    answer->needed = ceil(proportion_needed(answer->value, n, question) * (double)sample->n /
                          (double)n);
    return OK;
}

/* Rows where only the candidate is right, and where only the baseline is. */
struct discordant {
    int64_t only, other;
};

static struct discordant count_discordant(const struct sample *sample)
{
    struct discordant found = { 0, 0 };
    for (int64_t i = 0; i < sample->n; i++) {
        bool candidate = sample_hit(sample, false, i), baseline = sample_hit(sample, true, i);
        found.only += candidate && !baseline;
        found.other += !candidate && baseline;
    }
    return found;
}

METHOD_RUN(run_mcnemar)
{
    (void)err;
    struct discordant found = count_discordant(sample);
    int64_t only = found.only, split = found.only + found.other;
    double n = (double)sample->n;
    answer_open(answer, (double)(only - found.other) / n);
    answer->degenerate = false;
    if (split == 0) return OK;
    /* Given how many rows split them, the candidate's share is binomial; its exact bounds, scaled
     * back, lie on one side of 0 exactly when the test rejects. */
    double scale = (double)split / n;
    answer->low = scale * (2 * stats_proportion_low(only, split, question->alpha) - 1);
    answer->high = scale * (2 * stats_proportion_high(only, split, question->alpha) - 1);
    double at_or_above = math_binomial_tail(only, split, 0.5);
    double at_or_below = math_binomial_cdf(only, split, 0.5);
    answer->p_pass = question->more ? at_or_above : at_or_below;
    answer->p_fail = question->more ? at_or_below : at_or_above;
    answer->check = question->more ? stats_mcnemar_mid_p(only, found.other)
                                   : stats_mcnemar_mid_p(found.other, only);
    answer_power(answer, question, sample->n, sqrt(scale / n));
    struct question half = { .more = question->more, .bar = 0.5, .alpha = question->alpha };
    answer->needed = ceil(proportion_needed((double)only / (double)split, split, &half) / scale);
    return OK;
}

METHOD_RUN(run_tango)
{
    (void)err;
    struct discordant found = count_discordant(sample);
    double n = (double)sample->n, z = math_normal_quantile(1 - question->alpha);
    double bar = fmin(1, fmax(-1, question->bar));
    answer_open(answer, (double)(found.only - found.other) / n);
    answer->degenerate = false;
    answer->low = stats_tango_bound(found.only, found.other, sample->n, z);
    answer->high = stats_tango_bound(found.only, found.other, sample->n, -z);
    answer_p(answer, question,
             math_normal_cdf(-stats_tango_score(found.only, found.other, sample->n, bar)), 0);
    double split = (double)(found.only + found.other) / n;
    answer_power(answer, question, sample->n,
                 sqrt(fmax(0, split - answer->value * answer->value) / n));
    return OK;
}

METHOD_RUN(run_miettinen_nurminen)
{
    (void)err;
    struct two_proportions two;
    two.hits[0] = count_hits(sample, sample->first, &two.n[0]);
    two.hits[1] = count_hits(sample, sample->second, &two.n[1]);
    if (two.n[0] == 0 || two.n[1] == 0) {
        answer_open(answer, NAN);
        return OK;
    }
    double z = math_normal_quantile(1 - question->alpha);
    double bar = fmin(1, fmax(-1, question->bar)), variance = 0, share[2];
    for (int i = 0; i < 2; i++) {
        share[i] = (double)two.hits[i] / (double)two.n[i];
        variance += share[i] * (1 - share[i]) / (double)two.n[i];
    }
    answer_open(answer, share[0] - share[1]);
    answer->degenerate = false;
    answer->low = stats_independent_bound(&two, z);
    answer->high = stats_independent_bound(&two, -z);
    answer_p(answer, question, math_normal_cdf(-stats_independent_score(&two, bar)),
             question->both ? math_normal_cdf(-stats_independent_score(&two, -bar)) : 0);
    answer_power(answer, question, sample->n, sqrt(variance));
    return OK;
}

METHOD_RUN(run_quantile)
{
    (void)err;
    int64_t n = sample->n, at_most = 0, at_least = 0;
    double quantile = sample->metric->quantile;
    for (int64_t i = 0; i < n; i++) {
        at_most += sample->measured[i] <= question->bar;
        at_least += sample->measured[i] >= question->bar;
    }
    answer_open(answer, stats_quantile(sample->measured, n, quantile));
    answer->low = stats_quantile_low(sample->measured, n, quantile, question->alpha);
    answer->high = stats_quantile_high(sample->measured, n, quantile, question->alpha);
    /* The quantile is at most the bar when enough of the distribution lies there, and likewise. */
    double below = math_binomial_tail(at_most, n, quantile);
    double not_below = math_binomial_cdf(at_most, n, quantile);
    double above = math_binomial_tail(at_least, n, 1 - quantile);
    double not_above = math_binomial_cdf(at_least, n, 1 - quantile);
    answer->p_pass = question->more ? above : below;
    answer->p_fail = question->more ? not_above : not_below;
    answer->degenerate = isinf(question->more ? answer->low : answer->high);
    return OK;
}

METHOD_RUN(run_exact)
{
    (void)err;
    double value = sample->measured[0];
    bool right = question->more ? value >= question->bar : value <= question->bar;
    *answer = (struct answer){ .value = value,
                               .low = value,
                               .high = value,
                               .p_pass = right ? 0 : 1,
                               .p_fail = right ? 1 : 0,
                               .check = NAN };
    return OK;
}

METHOD_RUN(run_trend)
{
    (void)err;
    answer_open(answer, NAN);
    if (sample->n < 3) return OK;
    struct slope slope = stats_slope(sample->trend, sample->n);
    double freedom = (double)(sample->n - 2), sign = method_sign(sample->metric);
    answer->value = sign * slope.slope;
    if (!(slope.error > 0) || !isfinite(slope.slope)) return OK;
    double reach = stats_t_quantile(1 - question->alpha, freedom) * slope.error;
    answer->degenerate = false;
    answer->low = answer->value - reach;
    answer->high = answer->value + reach;
    answer_p(answer, question, stats_t_cdf((question->bar - answer->value) / slope.error, freedom),
             0);
    return OK;
}
