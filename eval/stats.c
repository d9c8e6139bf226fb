/* Exact bounds of proportions, order statistics, and Holm's correction. */
#include "eval/stats.h"

#include "base/arena.h"
#include "base/math.h"

#include <math.h>
#include <stdlib.h>

double stats_proportion_low(int64_t hits, int64_t n, double alpha)
{
    REQUIRE(hits >= 0 && hits <= n && n > 0);
    return hits == 0 ? 0 : math_beta_quantile(alpha, (double)hits, (double)(n - hits + 1));
}

double stats_proportion_high(int64_t hits, int64_t n, double alpha)
{
    /* The bound of the complement, which keeps its digits where the share is near 1. */
    return 1 - stats_proportion_low(n - hits, n, alpha);
}

double stats_quantile(const double *sorted, int64_t n, double quantile)
{
    /* The smallest sample with at least that share at or below it; the middle of a median. */
    double place = quantile * (double)n;
    int64_t rank = (int64_t)floor(place);
    if ((double)rank == place && quantile == 0.5) return 0.5 * (sorted[rank - 1] + sorted[rank]);
    if ((double)rank < place) rank++;
    return sorted[rank > n ? n - 1 : rank - 1];
}

double stats_quantile_high(const double *sorted, int64_t n, double quantile, double alpha)
{
    /* The least r with P(X_(r) >= q) = P(Bin(n, q) <= r - 1) >= 1 - alpha. */
    int64_t low = 1, high = n + 1;
    while (low < high) {
        int64_t r = low + (high - low) / 2;
        if (math_binomial_tail(r, n, quantile) <= alpha)
            high = r;
        else
            low = r + 1;
    }
    return low > n ? INFINITY : sorted[low - 1];
}

double stats_quantile_low(const double *sorted, int64_t n, double quantile, double alpha)
{
    /* The largest r with P(X_(r) <= q) = P(Bin(n, q) >= r) >= 1 - alpha. */
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t r = low + (high - low + 1) / 2;
        if (math_binomial_cdf(r - 1, n, quantile) <= alpha)
            low = r;
        else
            high = r - 1;
    }
    return low == 0 ? -INFINITY : sorted[low - 1];
}

struct ranked_p {
    double p;
    size_t at;
};

/* Ties in index order. */
static int compare_p(const void *a, const void *b)
{
    const struct ranked_p *x = a, *y = b;
    if (x->p != y->p) return x->p < y->p ? -1 : 1;
    return x->at < y->at ? -1 : x->at > y->at;
}

void stats_holm(bool *rejected, double *level, const double *p, size_t count, double alpha)
{
    struct arena arena = { 0 };
    struct ranked_p *ranked = ARENA_ARRAY(&arena, count + 1, struct ranked_p);
    bool open = true;
    for (size_t i = 0; i < count; i++) ranked[i] = (struct ranked_p){ p[i], i };
    qsort(ranked, count, sizeof *ranked, compare_p);
    for (size_t step = 0; step < count; step++) {
        double held = alpha / (double)(count - step);
        open = open && ranked[step].p <= held;
        rejected[ranked[step].at] = open;
        if (level) level[ranked[step].at] = held;
    }
    arena_release(&arena);
}
