/* Score tests of two proportions, paired and independent.
 *
 * A score test estimates the variance under the hypothesis that is tested, so it keeps its level
 * where a Wald interval collapses (few or no discordant rows). Bounds are found by bisection: the
 * scores fall as the margin rises. */
#include "base/err.h"
#include "base/math.h"
#include "eval/stats.h"

#include <math.h>

enum { BISECTIONS = 60 };

double stats_tango_score(int64_t only, int64_t other, int64_t n, double margin)
{
    REQUIRE(n > 0 && only >= 0 && other >= 0 && only + other <= n);
    REQUIRE(margin >= -1 && margin <= 1);
    double rows = (double)n, b = (double)only, c = (double)other;
    /* The share that only the baseline gets right, by maximum likelihood under the margin. */
    double linear = -b - c + (2 * rows - b + c) * margin, constant = -c * margin * (1 - margin);
    double root = sqrt(fmax(0, linear * linear - 8 * rows * constant));
    double q = linear <= 0 ? (root - linear) / (4 * rows)
                           : -2 * constant / (root + linear); /* without cancellation */
    double variance = rows * (2 * q + margin * (1 - margin)), away = b - c - rows * margin;
    if (away == 0) return 0;
    return variance > 0 ? away / sqrt(variance) : away > 0 ? INFINITY : -INFINITY;
}

double stats_tango_bound(int64_t only, int64_t other, int64_t n, double z)
{
    double low = -1, high = 1;
    for (int step = 0; step < BISECTIONS; step++) {
        double middle = 0.5 * (low + high);
        if (stats_tango_score(only, other, n, middle) > z)
            low = middle;
        else
            high = middle;
    }
    return z > 0 ? low : high;
}

double stats_mcnemar_mid_p(int64_t only, int64_t other)
{
    int64_t split = only + other;
    if (split == 0) return 1;
    double beyond = math_binomial_tail(only + 1, split, 0.5);
    double at_least = math_binomial_tail(only, split, 0.5);
    return 0.5 * (beyond + at_least);
}

/* How the log likelihood of both samples changes with p2 when p1 = p2 + margin; falls in p2. */
static double likelihood_slope(const struct two_proportions *two, double p2, double margin)
{
    double slope = 0, p[2] = { p2 + margin, p2 };
    for (int i = 0; i < 2; i++) {
        double hits = (double)two->hits[i], misses = (double)two->n[i] - hits;
        if (hits > 0) slope += hits / p[i];
        if (misses > 0) slope -= misses / (1 - p[i]);
    }
    return slope;
}

double stats_independent_score(const struct two_proportions *two, double margin)
{
    REQUIRE(two->n[0] > 0 && two->n[1] > 0 && margin >= -1 && margin <= 1);
    double low = fmax(0, -margin), high = fmin(1, 1 - margin);
    for (int step = 0; step < BISECTIONS; step++) {
        double middle = 0.5 * (low + high);
        if (likelihood_slope(two, middle, margin) > 0)
            low = middle;
        else
            high = middle;
    }
    double p2 = 0.5 * (low + high), p1 = fmin(1, fmax(0, p2 + margin));
    double n1 = (double)two->n[0], n2 = (double)two->n[1], all = n1 + n2;
    double variance = (p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2) * all / (all - 1);
    double away = (double)two->hits[0] / n1 - (double)two->hits[1] / n2 - margin;
    if (away == 0) return 0;
    return variance > 0 ? away / sqrt(variance) : away > 0 ? INFINITY : -INFINITY;
}

double stats_independent_bound(const struct two_proportions *two, double z)
{
    double low = -1, high = 1;
    for (int step = 0; step < BISECTIONS; step++) {
        double middle = 0.5 * (low + high);
        if (stats_independent_score(two, middle) > z)
            low = middle;
        else
            high = middle;
    }
    return z > 0 ? low : high;
}
