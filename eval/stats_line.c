/* Student's distribution, the slope of a trend, and sign flips. */
#include "base/err.h"
#include "base/math.h"
#include "base/rng.h"
#include "eval/stats_bootstrap.h"

#include <math.h>

double stats_t_cdf(double t, double freedom)
{
    REQUIRE(freedom > 0);
    if (isinf(t)) return t > 0;
    double tail = 0.5 * math_beta_cdf(freedom / (freedom + t * t), 0.5 * freedom, 0.5);
    return t > 0 ? 1 - tail : tail;
}

double stats_t_quantile(double p, double freedom)
{
    REQUIRE(p > 0 && p < 1 && freedom > 0);
    if (p == 0.5) return 0;
    double tail = p < 0.5 ? p : 1 - p;
    double x = math_beta_quantile(2 * tail, 0.5 * freedom, 0.5); /* freedom / (freedom + t^2) */
    double t = sqrt(freedom * (1 - x) / x);
    return p < 0.5 ? -t : t;
}

struct slope stats_slope(const double *value, int64_t n)
{
    REQUIRE(n >= 3);
    double middle = 0.5 * (double)(n - 1), mean = 0, square = 0, product = 0, rest = 0;
    for (int64_t i = 0; i < n; i++) mean += value[i];
    mean /= (double)n;
    for (int64_t i = 0; i < n; i++) {
        double x = (double)i - middle;
        square += x * x;
        product += x * (value[i] - mean);
    }
    double slope = product / square;
    for (int64_t i = 0; i < n; i++) {
        double away = value[i] - mean - slope * ((double)i - middle);
        rest += away * away;
    }
    return (struct slope){ slope, sqrt(rest / (double)(n - 2) / square) };
}

enum { LANES = 8, WORD_BITS = 32 };

/* The sum of part - bar over the rows that have a positive sign in one pattern. */
static double flipped(const double *part, int64_t n, double bar, uint64_t key, uint64_t pattern)
{
    static const double keep[2] = { 0, 1 };
    double lane[LANES] = { 0 }, sum = 0;
    for (int64_t at = 0; at < n; at += 4 * WORD_BITS) {
        struct philox signs = philox4x32(key, (uint64_t)at, pattern);
        int64_t here = n - at < 4 * WORD_BITS ? n - at : 4 * WORD_BITS;
        for (int64_t i = 0; i < here; i += LANES) {
            uint32_t bits = signs.word[i / WORD_BITS] >> (i % WORD_BITS);
            int64_t some = here - i < LANES ? here - i : LANES;
            for (int64_t l = 0; l < some; l++)
                lane[l] += (part[at + i + l] - bar) * keep[bits >> l & 1];
        }
    }
    for (int l = 0; l < LANES; l++) sum += lane[l];
    return sum;
}

double stats_sign_flip(const double *part, int64_t n, double bar, bool above,
                       const struct resample_opts *opts)
{
    double lane[LANES] = { 0 }, total = 0, sign = above ? 1 : -1;
    int64_t reached = 0;
    for (int64_t i = 0; i < n; i++) lane[i % LANES] += part[i] - bar;
    for (int l = 0; l < LANES; l++) total += lane[l];
    double observed = sign * total;
    /* Patterns that equal the observed sum up to rounding count as reaching it. */
    double least = observed - 1e-12 * fabs(observed);
    int threads = bootstrap_threads(opts->threads);
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : reached)
    for (int64_t b = 0; b < opts->count; b++)
        reached += sign * (2 * flipped(part, n, bar, opts->key, (uint64_t)b) - total) >= least;
    return ((double)reached + 1) / ((double)opts->count + 1);
}
