/* Bounds and p-values: the statistics behind the gate methods.
 *
 * Everything is a pure function of its arguments: resamples are drawn by Philox at (key, resample,
 * position), each resample's value is written to its own place, and all elementary functions are
 * base/math's, so the bits depend neither on the number of threads nor on the machine. */
#ifndef PAWL_EVAL_STATS_H
#define PAWL_EVAL_STATS_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* The release of these methods that a report names; a later release keeps the earlier ones. */
#define STATS_VERSION "stats/1"

/* Exact one-sided bounds of a proportion with `hits` of `n` at level alpha: Clopper and Pearson,
 * Biometrika 26 (1934). */
double stats_proportion_low(int64_t hits, int64_t n, double alpha);
double stats_proportion_high(int64_t hits, int64_t n, double alpha);

struct resample_opts {
    uint64_t key;
    int64_t count; /* of resamples, at least 2 */
    int threads;   /* 0: all processors */
    /* Draw by counts of alike units or not at all: a distribution without resamples (count 0) has
     * its estimate only, and is degenerate. */
    bool sparing;
};

/* A bootstrap distribution with what the BCa bounds need: Efron, "Better bootstrap confidence
 * intervals" (JASA 82, 1987). */
struct bootstrap {
    double estimate;
    double *sorted; /* [count] values of the resamples, ascending */
    int64_t count;
    double bias, acceleration; /* z0 and a */
    double deviation;          /* standard deviation of the resamples */
    bool degenerate;           /* no spread, or the estimate lies outside all resamples */
};

/* A function of sums over units (rows, or clusters): each unit has `columns` numbers, a resample is
 * `units` units drawn with replacement. Means, ratios and their differences are such functions, and
 * a resample costs one pass over the units at most. */
enum { SUM_COLUMNS = 4 };
struct sums_call {
    double (*value)(const void *context, const double *sum, double units);
    const void *context;
    const double *part; /* [units, columns] */
    int64_t units;
    int columns; /* 1 to SUM_COLUMNS */
};

/* Draws and evaluates all resamples; with count 0 in `opts` only the estimate is filled. Up to
 * SUM_KINDS distinct units are drawn as counts, exactly and in time that does not grow with the
 * units. The acceleration is the full jackknife's. NO_MEMORY. bootstrap_release accepts a zeroed
 * struct. */
enum { SUM_KINDS = 64 };
enum code bootstrap_sums(struct bootstrap *bootstrap, const struct sums_call *call,
                         const struct resample_opts *opts, struct err *err);

/* A statistic of weighted rows: `weight` [rows] says how often each row counts (NULL: once each);
 * `scratch` is this thread's. What is drawn are rows, or clusters of rows. */
struct weights_call {
    double (*value)(const void *context, const int32_t *weight, double *scratch);
    const void *context;
    int64_t rows;
    size_t scratch;         /* numbers of scratch it wants */
    const int64_t *share;   /* [rows] how many alike rows a row stands for; NULL: 1 each */
    const int32_t *cluster; /* [rows] 0 .. clusters - 1; NULL: none. Not together with share */
    int64_t clusters;
    bool percentile; /* no acceleration is wanted: the jackknife is left out */
};

/* Likewise. The acceleration is the jackknife's: over single units up to JACKKNIFE_GROUPS of them,
 * over as many equal groups (assigned by a keyed permutation) above. */
enum { JACKKNIFE_GROUPS = 1000 };
enum code bootstrap_weights(struct bootstrap *bootstrap, const struct weights_call *call,
                            const struct resample_opts *opts, struct err *err);
void bootstrap_release(struct bootstrap *bootstrap);

/* The BCa bound below which the truth lies with confidence `level` (0.05: a lower bound, 0.95: an
 * upper one). */
double bootstrap_bound(const struct bootstrap *bootstrap, double level);
/* The level at which that bound is `at`: a one-sided p-value for "the truth is at most `at`". */
double bootstrap_level(const struct bootstrap *bootstrap, double at);

/* The half-width of an interval around the estimate that reaches the farther of the two
 * quantiles at alpha, and the alpha at which it reaches as far as `at`. For statistics whose
 * resamples are biased to one side by as much as the estimate itself may be: the bias widens
 * both sides instead of moving the interval. */
double bootstrap_reach(const struct bootstrap *bootstrap, double alpha);
double bootstrap_reach_level(const struct bootstrap *bootstrap, double at);

/* A quantile of independent samples by order statistics: the value and one-sided bounds at alpha.
 * `sorted` ascending. An infinite bound: too few samples for this quantile and level. */
double stats_quantile(const double *sorted, int64_t n, double quantile);
double stats_quantile_low(const double *sorted, int64_t n, double quantile, double alpha);
double stats_quantile_high(const double *sorted, int64_t n, double quantile, double alpha);

/* Paired proportions: of n rows, `only` are right for the candidate alone and `other` for the
 * baseline alone. Tango's score statistic for "the difference is `margin`" (Statistics in Medicine
 * 17, 1998), approximately standard normal, falling with the margin; and the difference at which it
 * is z. */
double stats_tango_score(int64_t only, int64_t other, int64_t n, double margin);
double stats_tango_bound(int64_t only, int64_t other, int64_t n, double z);

/* McNemar's mid-p for "the candidate is not better" (Fagerland, Lydersen, Laake, BMC Medical
 * Research Methodology 13, 2013): half of the observed table's probability counts. */
double stats_mcnemar_mid_p(int64_t only, int64_t other);

/* Two independent proportions: Miettinen and Nurminen's score statistic for "p1 - p2 is `margin`"
 * (Statistics in Medicine 4, 1985), and the difference at which it is z. */
struct two_proportions {
    int64_t hits[2], n[2];
};
double stats_independent_score(const struct two_proportions *two, double margin);
double stats_independent_bound(const struct two_proportions *two, double z);

/* The area under the ROC curve with each row's part in it: DeLong, DeLong, Clarke-Pearson
 * (Biometrics 44, 1988), in n log n (Sun and Xu, IEEE Signal Processing Letters 21, 2014).
 * `part` [n] is added to: the sum of squares is the variance (with the factors m / (m - 1) of
 * DeLong's covariances), the differences of two models' parts give that of their difference.
 * `order` holds the rows by falling score. NaN when all rows are of one kind. */
struct rank_rows {
    const float *score;   /* row i's is score[i * stride] */
    const int32_t *order; /* [n] */
    const int32_t *label; /* [n] */
    int64_t n, stride;
    int32_t positive; /* the label of positives */
};
double stats_auc(double *part, const struct rank_rows *rows, double weight);

/* Student's t distribution with `freedom` degrees. */
double stats_t_cdf(double t, double freedom);
double stats_t_quantile(double p, double freedom);

/* The least-squares slope of value against 0, 1, 2, ... with its standard error (n >= 3). */
struct slope {
    double slope, error;
};
struct slope stats_slope(const double *value, int64_t n);

/* A permutation test by sign flips: the share of sign patterns (1 + those that reach the observed
 * sum) / (1 + count) for the mean of `part` - `bar`. Small: the mean lies above the bar (below it,
 * when `above` is false). Assumes that parts are as likely above as below their mean by the same
 * amount. */
double stats_sign_flip(const double *part, int64_t n, double bar, bool above,
                       const struct resample_opts *opts);

/* Holm's step-down test (Scandinavian Journal of Statistics 6, 1979): rejected[i] says whether the
 * hypothesis with p[i] is rejected with familywise error alpha; level[i] is what its p was held to
 * (may be NULL). */
void stats_holm(bool *rejected, double *level, const double *p, size_t count, double alpha);

#endif
