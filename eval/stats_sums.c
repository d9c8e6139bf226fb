/* The bootstrap of functions of sums.
 *
 * When the units take few distinct values (0/1 scores, their differences) a resample is a
 * multinomial vector over the values, drawn with one binomial number each. Otherwise the sums are
 * taken over blocked draws (stats_draw.h) in eight lanes, whose order is fixed. */
#include "base/arena.h"
#include "base/rng.h"
#include "eval/stats_bootstrap.h"
#include "eval/stats_draw.h"

#include <string.h>

enum { LANES = 8, SLOTS = 4 * SUM_KINDS };

/* The distinct units in order of appearance, with how many there are of each. */
struct kinds {
    double part[SUM_KINDS][SUM_COLUMNS];
    int64_t share[SUM_KINDS];
    int count;
};

static uint64_t hash_of(const double *part, int columns)
{
    uint64_t hash = 0;
    for (int c = 0; c < columns; c++) {
        uint64_t bits;
        memcpy(&bits, &part[c], sizeof bits);
        hash = rng_mix(hash, bits);
    }
    return hash;
}

/* false when there are more than SUM_KINDS, or so many that they save nothing. */
static bool find_kinds(struct kinds *kinds, const struct sums_call *call)
{
    int16_t slot[SLOTS];
    size_t bytes = (size_t)call->columns * sizeof(double);
    for (int i = 0; i < SLOTS; i++) slot[i] = -1;
    kinds->count = 0;
    for (int64_t u = 0; u < call->units; u++) {
        const double *part = call->part + u * call->columns;
        uint64_t at = hash_of(part, call->columns) % SLOTS;
        while (slot[at] >= 0 && memcmp(kinds->part[slot[at]], part, bytes) != 0)
            at = (at + 1) % SLOTS;
        if (slot[at] < 0) {
            if (kinds->count == SUM_KINDS) return false;
            memcpy(kinds->part[kinds->count], part, bytes);
            kinds->share[kinds->count] = 0;
            slot[at] = (int16_t)kinds->count++;
        }
        kinds->share[slot[at]]++;
    }
    return kinds->count <= call->units / 4;
}

static void sum_kinds(double *sum, const struct kinds *kinds, const int64_t *count, int columns)
{
    for (int c = 0; c < columns; c++) {
        sum[c] = 0;
        for (int k = 0; k < kinds->count; k++) sum[c] += (double)count[k] * kinds->part[k][c];
    }
}

static void sum_units(double *sum, const struct sums_call *call)
{
    for (int c = 0; c < call->columns; c++) sum[c] = 0;
    for (int64_t u = 0; u < call->units; u++)
        for (int c = 0; c < call->columns; c++) sum[c] += call->part[u * call->columns + c];
}

static double left_out(const struct sums_call *call, const double *sum, const double *part)
{
    double rest[SUM_COLUMNS];
    for (int c = 0; c < call->columns; c++) rest[c] = sum[c] - part[c];
    return call->value(call->context, rest, (double)(call->units - 1));
}

/* The jackknife over units, or over kinds where there are few. */
static double accelerate(const struct sums_call *call, const struct kinds *kinds, const double *sum)
{
    struct jackknife jackknife = { 0 };
    int64_t count = kinds ? kinds->count : call->units;
    if (call->units < 2) return 0;
    for (int pass = 0; pass < 2; pass++) {
        double mean = 0;
        for (int64_t i = 0; i < count; i++) {
            const double *part = kinds ? kinds->part[i] : call->part + i * call->columns;
            double times = kinds ? (double)kinds->share[i] : 1, left = left_out(call, sum, part);
            mean += times * left;
            if (pass) jackknife_add(&jackknife, left, times);
        }
        if (!pass) jackknife.mean = mean / (double)call->units;
    }
    return jackknife_acceleration(&jackknife);
}

struct summing {
    double lane[LANES][SUM_COLUMNS];
    const double *part;
    int columns;
};

static void add_single(void *context, int64_t first, const uint16_t *index, int64_t count)
{
    struct summing *summing = context;
    const double *part = summing->part + first;
    double lane[LANES];
    int64_t i = 0;
    for (int l = 0; l < LANES; l++) lane[l] = summing->lane[l][0];
    for (; i + LANES <= count; i += LANES)
        for (int l = 0; l < LANES; l++) lane[l] += part[index[i + l]];
    for (int l = 0; i < count; i++, l++) lane[l] += part[index[i]];
    for (int l = 0; l < LANES; l++) summing->lane[l][0] = lane[l];
}

static void add_several(void *context, int64_t first, const uint16_t *index, int64_t count)
{
    struct summing *summing = context;
    const double *part = summing->part + first * summing->columns;
    for (int64_t i = 0; i < count; i++)
        for (int c = 0; c < summing->columns; c++)
            summing->lane[i % LANES][c] += part[index[i] * summing->columns + c];
}

static double resample_units(const struct sums_call *call, const struct drawer *drawer,
                             uint64_t resample)
{
    struct summing summing = { .part = call->part, .columns = call->columns };
    double sum[SUM_COLUMNS] = { 0 };
    drawer_run(drawer, resample, call->columns == 1 ? add_single : add_several, &summing);
    for (int l = 0; l < LANES; l++)
        for (int c = 0; c < call->columns; c++) sum[c] += summing.lane[l][c];
    return call->value(call->context, sum, (double)call->units);
}

static double resample_kinds(const struct sums_call *call, const struct kinds *kinds, uint64_t key,
                             uint64_t resample)
{
    int64_t count[SUM_KINDS];
    double sum[SUM_COLUMNS];
    struct words words = words_of(key, resample);
    words_multinomial(&words, count, kinds->share, kinds->count, call->units);
    sum_kinds(sum, kinds, count, call->columns);
    return call->value(call->context, sum, (double)call->units);
}

enum code bootstrap_sums(struct bootstrap *bootstrap, const struct sums_call *call,
                         const struct resample_opts *opts, struct err *err)
{
    struct kinds found;
    double sum[SUM_COLUMNS];
    void *memory = NULL;
    REQUIRE(call->units > 0 && call->columns >= 1 && call->columns <= SUM_COLUMNS);
    const struct kinds *kinds = find_kinds(&found, call) ? &found : NULL;
    if (kinds)
        sum_kinds(sum, kinds, kinds->share, call->columns);
    else
        sum_units(sum, call);
    *bootstrap = (struct bootstrap){ .count = opts->sparing && !kinds ? 0 : opts->count };
    bootstrap->estimate = call->value(call->context, sum, (double)call->units);
    bootstrap->degenerate = true;
    if (bootstrap->count == 0) return OK;
    REQUIRE(opts->count >= 2);
    TRY(block_alloc(&memory, (size_t)opts->count * sizeof(double), "resamples", err));
    bootstrap->sorted = memory;
    struct drawer drawer = { draw_best(), opts->key, call->units };
#pragma omp parallel for schedule(dynamic, 16) num_threads(bootstrap_threads(opts->threads))
    for (int64_t b = 0; b < opts->count; b++)
        bootstrap->sorted[b] = kinds ? resample_kinds(call, kinds, opts->key, (uint64_t)b)
                                     : resample_units(call, &drawer, (uint64_t)b);
    bootstrap_summarise(bootstrap, accelerate(call, kinds, sum));
    return OK;
}
