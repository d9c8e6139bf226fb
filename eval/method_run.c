/* How each method answers a question. */
#include "eval/method_run.h"

#include "base/math.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* One-sided quantiles of alpha and of the power that `smallest` speaks of. */
static const double POWER = 0.8;

static double power_distance(double deviation, double alpha)
{
    return deviation * (math_normal_quantile(1 - alpha) + math_normal_quantile(POWER));
}

/* Rows that would decide if the value stayed and the bounds drew together like 1 / sqrt(n). */
static double rows_needed(const struct answer *answer, int64_t n, double bar)
{
    double away = answer->value - bar;
    double reach = away > 0 ? answer->value - answer->low : answer->high - answer->value;
    if (away == 0 || !isfinite(reach)) return 0;
    double needed = ceil((double)n * (reach / away) * (reach / away));
    return needed < 1e15 ? needed : 0;
}

static int64_t count_hits(const double *score, int64_t n)
{
    int64_t hits = 0;
    for (int64_t i = 0; i < n; i++) hits += score[i] == 1;
    return hits;
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
    int64_t n = sample->n, hits = count_hits(sample->score, n);
    double bar = question->bar < 0 ? 0 : question->bar > 1 ? 1 : question->bar;
    double at_or_above = math_binomial_tail(hits, n, bar),
           at_or_below = math_binomial_cdf(hits, n, bar);
    answer->value = (double)hits / (double)n;
    answer->low = stats_proportion_low(hits, n, question->alpha);
    answer->high = stats_proportion_high(hits, n, question->alpha);
    answer->p_pass = question->more ? at_or_above : at_or_below;
    answer->p_fail = question->more ? at_or_below : at_or_above;
    answer->needed = proportion_needed(answer->value, n, question);
    answer->smallest = power_distance(sqrt(bar * (1 - bar) / (double)n), question->alpha);
    return OK;
}

METHOD_RUN(run_mcnemar)
{
    (void)err;
    int64_t only = 0, other = 0; /* rows where only the candidate, only the baseline is right */
    for (int64_t i = 0; i < sample->n; i++) {
        only += sample->score[i] > sample->other[i];
        other += sample->score[i] < sample->other[i];
    }
    int64_t split = only + other;
    double n = (double)sample->n;
    answer->value = (double)(only - other) / n;
    if (split == 0) {
        answer->p_pass = answer->p_fail = 1;
        answer->low = -INFINITY;
        answer->high = INFINITY;
        return OK;
    }
    /* Given how many rows split them, the candidate's share is binomial; its exact bounds, scaled
     * back, lie on one side of 0 exactly when the test rejects. */
    double scale = (double)split / n;
    answer->low = scale * (2 * stats_proportion_low(only, split, question->alpha) - 1);
    answer->high = scale * (2 * stats_proportion_high(only, split, question->alpha) - 1);
    double at_or_above = math_binomial_tail(only, split, 0.5);
    double at_or_below = math_binomial_cdf(only, split, 0.5);
    answer->p_pass = question->more ? at_or_above : at_or_below;
    answer->p_fail = question->more ? at_or_below : at_or_above;
    struct question half = { .more = question->more, .bar = 0.5, .alpha = question->alpha };
    answer->needed = ceil(proportion_needed((double)only / (double)split, split, &half) / scale);
    answer->smallest = power_distance(sqrt(scale / n), question->alpha);
    return OK;
}

/* Fills an answer from a bootstrap distribution. */
static void answer_of(struct answer *answer, const struct bootstrap *bootstrap, int64_t n,
                      const struct question *question)
{
    answer->value = bootstrap->estimate;
    answer->degenerate = bootstrap->degenerate;
    answer->p_pass = answer->p_fail = 1;
    answer->low = -INFINITY;
    answer->high = INFINITY;
    if (bootstrap->degenerate) return;
    answer->low = bootstrap_bound(bootstrap, question->alpha);
    answer->high = bootstrap_bound(bootstrap, 1 - question->alpha);
    double below = bootstrap_level(bootstrap, question->bar);
    answer->p_pass = question->more ? below : 1 - below;
    answer->p_fail = question->more ? 1 - below : below;
    answer->needed = rows_needed(answer, n, question->bar);
    answer->smallest = power_distance(bootstrap->deviation, question->alpha);
}

/* The same for a biased statistic: both bounds reach as far as the farther quantile. */
static void answer_outer(struct answer *answer, const struct bootstrap *bootstrap, int64_t n,
                         const struct question *question)
{
    answer_of(answer, bootstrap, n, question);
    if (bootstrap->degenerate && bootstrap->deviation == 0) return;
    double reach = bootstrap_reach(bootstrap, question->alpha);
    double level = bootstrap_reach_level(bootstrap, question->bar);
    bool right = (answer->value >= question->bar) == question->more;
    answer->degenerate =
        false; /* an estimate below all resamples is this bias, not a lack of spread */
    answer->low = answer->value - reach;
    answer->high = answer->value + reach;
    answer->p_pass = right ? level : 1 - level;
    answer->p_fail = right ? 1 - level : level;
    answer->needed = rows_needed(answer, n, question->bar);
    answer->smallest = power_distance(bootstrap->deviation, question->alpha);
}

/* The gain is counted in the metric's good direction. */
static double gain_sign(const struct sample *sample)
{
    return sample->metric->higher ? 1 : -1;
}

static double mean_of(const void *context, const int32_t *pick, int64_t n, double *scratch)
{
    (void)scratch;
    const struct sample *sample = context;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += sample->score[pick ? pick[j] : j];
    return sum / (double)n;
}

static double mean_gain(const void *context, const int32_t *pick, int64_t n, double *scratch)
{
    (void)scratch;
    const struct sample *sample = context;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) {
        int64_t i = pick ? pick[j] : j;
        sum += sample->score[i] - sample->other[i];
    }
    return gain_sign(sample) * sum / (double)n;
}

static double corpus_of(const void *context, const int32_t *pick, int64_t n, double *scratch)
{
    const struct sample *sample = context;
    double value = sample->metric->corpus(sample->outcomes, pick, n, scratch);
    if (!sample->others) return value;
    return gain_sign(sample) * (value - sample->metric->corpus(sample->others, pick, n, scratch));
}

struct kept_distribution {
    const char *path;
    struct bootstrap bootstrap;
    struct kept_distribution *next;
};

void distributions_release(struct distributions *kept)
{
    for (struct kept_distribution *d = kept->first; d; d = d->next)
        bootstrap_release(&d->bootstrap);
    arena_release(&kept->arena);
    *kept = (struct distributions){ 0 };
}

static enum code resampled(struct answer *answer, const struct sample *sample,
                           const struct question *question, const struct statistic_call *call,
                           struct err *err)
{
    if (!sample->resamples) {
        struct arena arena = { 0 };
        double *scratch = ARENA_ARRAY(&arena, call->scratch + 1, double);
        *answer = (struct answer){ .value = call->value(call->context, NULL, call->n, scratch),
                                   .low = -INFINITY,
                                   .high = INFINITY,
                                   .p_pass = 1,
                                   .p_fail = 1,
                                   .degenerate = true };
        arena_release(&arena);
        return OK;
    }
    struct kept_distribution *found = sample->kept->first;
    while (found && strcmp(found->path, sample->path) != 0) found = found->next;
    if (!found) {
        struct resample_opts opts = { .key = rng_mix(sample->seed, rng_hash(sample->path)),
                                      .count = sample->resamples,
                                      .threads = sample->threads };
        struct bootstrap bootstrap;
        TRY(bootstrap_run(&bootstrap, call, &opts, err));
        found = ARENA_NEW(&sample->kept->arena, struct kept_distribution);
        *found = (struct kept_distribution){ arena_copy(&sample->kept->arena, sample->path),
                                             bootstrap, sample->kept->first };
        sample->kept->first = found;
    }
    if (sample->metric->biased)
        answer_outer(answer, &found->bootstrap, sample->n, question);
    else
        answer_of(answer, &found->bootstrap, sample->n, question);
    return OK;
}

METHOD_RUN(run_mean)
{
    struct statistic_call call = { .value = sample->other ? mean_gain : mean_of,
                                   .context = sample,
                                   .n = sample->n };
    return resampled(answer, sample, question, &call, err);
}

METHOD_RUN(run_corpus)
{
    struct statistic_call call = { .value = corpus_of,
                                   .context = sample,
                                   .n = sample->n,
                                   .scratch = metric_scratch(sample->outcomes->classes) };
    return resampled(answer, sample, question, &call, err);
}

METHOD_RUN(run_outer)
{
    REQUIRE(sample->metric->biased);
    return run_corpus(answer, sample, question, err);
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
    answer->value = stats_quantile(sample->measured, n, quantile);
    answer->low = stats_quantile_low(sample->measured, n, quantile, question->alpha);
    answer->high = stats_quantile_high(sample->measured, n, quantile, question->alpha);
    /* The quantile is at most the bar when enough of the distribution lies there, and likewise. */
    double below = math_binomial_tail(at_most, n, quantile);
    double not_below = math_binomial_cdf(at_most, n, quantile);
    double above = math_binomial_tail(at_least, n, 1 - quantile);
    double not_above = math_binomial_cdf(at_least, n, 1 - quantile);
    answer->p_pass = question->more ? above : below;
    answer->p_fail = question->more ? not_above : not_below;
    answer->degenerate = !isfinite(question->more ? answer->low : answer->high);
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
                               .p_fail = right ? 1 : 0 };
    return OK;
}
