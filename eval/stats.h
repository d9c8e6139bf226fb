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

/* A statistic over rows `pick` [n] of something (pick NULL: rows 0..n-1); `scratch` is this
 * thread's. */
struct statistic_call {
    double (*value)(const void *context, const int32_t *pick, int64_t n, double *scratch);
    const void *context;
    int64_t n;
    size_t scratch; /* numbers of scratch it wants */
};

struct resample_opts {
    uint64_t key;
    int64_t count; /* of resamples, at least 2 */
    int threads;   /* 0: all processors */
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

/* Draws and evaluates all resamples. The acceleration is the jackknife's: over single rows up to
 * JACKKNIFE_GROUPS of them, over as many equal groups (assigned by a keyed permutation) above.
 * NO_MEMORY. bootstrap_release accepts a zeroed struct. */
enum { JACKKNIFE_GROUPS = 1000 };
enum code bootstrap_run(struct bootstrap *bootstrap, const struct statistic_call *call,
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

/* Holm's step-down test (Scandinavian Journal of Statistics 6, 1979): rejected[i] says whether the
 * hypothesis with p[i] is rejected with familywise error alpha; level[i] is what its p was held to
 * (may be NULL). */
void stats_holm(bool *rejected, double *level, const double *p, size_t count, double alpha);

#endif
