/* The bootstrap with BCa bounds, for any statistic of rows.
 *
 * Which rows a resample holds is a function of key and resample alone (eval/simd/draw.h). Each
 * resample is one thread's and its value has a place of its own, so threads change nothing. */
#include "eval/stats.h"

#include "base/arena.h"
#include "base/math.h"
#include "base/rng.h"
#include "eval/simd/draw.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>

typedef void draw_rows(int32_t *pick, int64_t n, uint64_t key, uint64_t resample);

static draw_rows *best_draw(void)
{
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx512 ? draw_avx512 : avx2 ? draw_avx2 : draw_plain;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* One thread's room: picks and scratch. */
struct bench {
    int32_t *pick;
    double *scratch;
};

/* Each row's group, by a keyed permutation: the order of rows (often sorted by label) must not
 * matter. */
static void assign_groups(int32_t *group, int64_t n, int64_t groups, uint64_t key)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t place = groups == n ? (uint64_t)i : rng_permute(key, (uint64_t)n, (uint64_t)i);
        group[i] = (int32_t)(place % (uint64_t)groups);
    }
}

static double without(const struct statistic_call *call, const struct bench *bench,
                      const int32_t *group, int64_t g)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < call->n; i++)
        if (group[i] != g) bench->pick[kept++] = (int32_t)i;
    return call->value(call->context, bench->pick, kept, bench->scratch);
}

static double acceleration(const double *left, int64_t groups)
{
    double mean = 0, square = 0, cube = 0;
    for (int64_t g = 0; g < groups; g++) mean += left[g];
    mean /= (double)groups;
    for (int64_t g = 0; g < groups; g++) {
        double away = mean - left[g];
        square += away * away;
        cube += away * away * away;
    }
    return square > 0 ? cube / (6 * square * sqrt(square)) : 0;
}

static void summarise(struct bootstrap *bootstrap, const double *left, int64_t groups)
{
    int64_t count = bootstrap->count, below = 0, equal = 0;
    double *value = bootstrap->sorted, mean = 0, square = 0;
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
    bootstrap->degenerate = value[0] == value[count - 1] || share <= 0 || share >= 1 ||
                            !isfinite(bootstrap->deviation);
    bootstrap->bias = bootstrap->degenerate ? 0 : math_normal_quantile(share);
    bootstrap->acceleration = acceleration(left, groups);
}

enum { THREADS_MOST = 256 };

struct room {
    double *left;   /* [groups] jackknife values */
    int32_t *group; /* [n] */
    struct bench benches[THREADS_MOST];
};

static enum code take(struct bootstrap *bootstrap, struct room *room, int64_t groups,
                      const struct statistic_call *call, int threads, struct err *err)
{
    size_t picks = ((size_t)call->n + DRAW_BLOCK - 1) / DRAW_BLOCK * DRAW_BLOCK * sizeof(int32_t);
    size_t scratch = (call->scratch + 15) / 8 * 8 * sizeof(double);
    size_t shared = (size_t)(bootstrap->count + groups + 8) * sizeof(double);
    size_t size = shared + picks + (picks + scratch) * (size_t)threads;
    void *memory = NULL;
    TRY(block_alloc(&memory, size, "resamples", err));
    char *at = memory;
    bootstrap->sorted = memory;
    room->left = bootstrap->sorted + bootstrap->count;
    at += shared;
    for (int t = 0; t < threads; t++, at += scratch)
        room->benches[t].scratch = (double *)(void *)at;
    for (int t = 0; t < threads; t++, at += picks) room->benches[t].pick = (int32_t *)(void *)at;
    room->group = (int32_t *)(void *)at;
    return OK;
}

enum code bootstrap_run(struct bootstrap *bootstrap, const struct statistic_call *call,
                        const struct resample_opts *opts, struct err *err)
{
    struct room room;
    draw_rows *draw = best_draw();
    int threads = opts->threads > 0 ? opts->threads : omp_get_max_threads();
    if (threads > THREADS_MOST) threads = THREADS_MOST;
    REQUIRE(call->n > 0 && call->n < INT32_MAX && opts->count >= 2);
    int64_t groups = call->n < JACKKNIFE_GROUPS ? call->n : JACKKNIFE_GROUPS;
    *bootstrap = (struct bootstrap){ .count = opts->count };
    TRY(take(bootstrap, &room, groups, call, threads, err));
    bootstrap->estimate = call->value(call->context, NULL, call->n, room.benches[0].scratch);
    assign_groups(room.group, call->n, groups, rng_mix(opts->key, 0x6A61636B));
#pragma omp parallel num_threads(threads)
    {
        struct bench *bench = &room.benches[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 16)
        for (int64_t b = 0; b < opts->count; b++) {
            draw(bench->pick, call->n, opts->key, (uint64_t)b);
            bootstrap->sorted[b] = call->value(call->context, bench->pick, call->n, bench->scratch);
        }
#pragma omp for schedule(dynamic, 16)
        for (int64_t g = 0; g < groups; g++)
            room.left[g] = groups > 1 ? without(call, bench, room.group, g) : 0;
    }
    summarise(bootstrap, room.left, groups);
    return OK;
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
