/* What every bootstrap distribution has in common: its summary and the bounds read from it. */
#include "eval/stats_bootstrap.h"

#include "base/arena.h"
#include "base/math.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

int bootstrap_threads(int wanted)
{
    int threads = wanted > 0 ? wanted : omp_get_max_threads();
    return threads > THREADS_MOST ? THREADS_MOST : threads;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void jackknife_add(struct jackknife *jackknife, double left, double times)
{
    double away = jackknife->mean - left;
    jackknife->square += times * away * away;
    jackknife->cube += times * away * away * away;
}

double jackknife_acceleration(const struct jackknife *jackknife)
{
    double square = jackknife->square;
    return square > 0 ? jackknife->cube / (6 * square * sqrt(square)) : 0;
}

void bootstrap_summarise(struct bootstrap *bootstrap, double acceleration)
{
    int64_t count = bootstrap->count, below = 0, equal = 0;
    double *value = bootstrap->sorted, mean = 0, square = 0;
    bool finite = isfinite(bootstrap->estimate);
    for (int64_t b = 0; b < count; b++) finite = finite && isfinite(value[b]);
    bootstrap->degenerate = !finite;
    if (!finite) return;
    qsort(value, (size_t)count, sizeof *value, compare);
    for (int64_t b = 0; b < count; b++) {
        mean += value[b];
        below += value[b] < bootstrap->estimate;
        equal += value[b] == bootstrap->estimate;
    }
    mean /= (double)count;
    for (int64_t b = 0; b < count; b++) square += (value[b] - mean) * (value[b] - mean);
    bootstrap->deviation = sqrt(square / (double)(count - 1));
    double share = ((double)below + 0.5 * (double)equal) / (double)count;
    bootstrap->degenerate = value[0] == value[count - 1] || share <= 0 || share >= 1;
    bootstrap->bias = bootstrap->degenerate ? 0 : math_normal_quantile(share);
    bootstrap->acceleration = acceleration;
}

void bootstrap_release(struct bootstrap *bootstrap)
{
    block_free(bootstrap->sorted);
    *bootstrap = (struct bootstrap){ 0 };
}

/* Linear between order statistics, as numpy and SciPy do. */
static double quantile_of(const struct bootstrap *bootstrap, double share)
{
    double place = share * (double)(bootstrap->count - 1);
    int64_t below = (int64_t)floor(place);
    if (below >= bootstrap->count - 1) return bootstrap->sorted[bootstrap->count - 1];
    double rest = place - (double)below;
    return bootstrap->sorted[below] +
           rest * (bootstrap->sorted[below + 1] - bootstrap->sorted[below]);
}

double bootstrap_bound(const struct bootstrap *bootstrap, double level)
{
    double z = bootstrap->bias + math_normal_quantile(level);
    return quantile_of(bootstrap,
                       math_normal_cdf(bootstrap->bias + z / (1 - bootstrap->acceleration * z)));
}

double bootstrap_reach(const struct bootstrap *bootstrap, double alpha)
{
    double up = quantile_of(bootstrap, 1 - alpha) - bootstrap->estimate;
    double down = bootstrap->estimate - quantile_of(bootstrap, alpha);
    return up > down ? up : down;
}

double bootstrap_reach_level(const struct bootstrap *bootstrap, double at)
{
    double away = fabs(at - bootstrap->estimate);
    int64_t above = 0, below = 0;
    for (int64_t b = 0; b < bootstrap->count; b++) {
        above += bootstrap->sorted[b] >= bootstrap->estimate + away;
        below += bootstrap->sorted[b] <= bootstrap->estimate - away;
    }
    return ((double)(above > below ? above : below) + 0.5) / ((double)bootstrap->count + 1);
}

double bootstrap_level(const struct bootstrap *bootstrap, double at)
{
    int64_t below = 0, equal = 0;
    for (int64_t b = 0; b < bootstrap->count; b++) {
        below += bootstrap->sorted[b] < at;
        equal += bootstrap->sorted[b] == at;
    }
    /* Never 0 or 1: with `count` resamples nothing smaller can be told. */
    double share = ((double)below + 0.5 * (double)equal + 0.5) / ((double)bootstrap->count + 1);
    double z = math_normal_quantile(share) - bootstrap->bias;
    return math_normal_cdf(z / (1 + bootstrap->acceleration * z) - bootstrap->bias);
}
