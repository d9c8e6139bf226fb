/* The bootstrap of statistics of weighted rows.
 *
 * A resample is how often each row counts, so rows are never copied and what was sorted once stays
 * sorted. Rows that are alike to the statistic can be handed over as one with its share. */
#include "base/arena.h"
#include "base/rng.h"
#include "eval/stats_bootstrap.h"
#include "eval/stats_draw.h"

#include <omp.h>
#include <string.h>

/* One thread's room. */
struct bench {
    int32_t *weight; /* [rows] */
    int32_t *drawn;  /* [units] of clusters */
    int64_t *count;  /* [rows] of shares */
    double *scratch;
};

struct room {
    double *left;   /* [groups] jackknife values */
    int32_t *group; /* [units] */
    int64_t units, groups;
    struct bench benches[THREADS_MOST];
};

/* Each unit's group, by a keyed permutation: the order of rows (often sorted by label) must not
 * matter. */
static void assign_groups(struct room *room, uint64_t key)
{
    uint64_t units = (uint64_t)room->units, groups = (uint64_t)room->groups;
    for (uint64_t i = 0; i < units; i++) {
        uint64_t place = groups == units ? i : rng_permute(key, units, i);
        room->group[i] = (int32_t)(place % groups);
    }
}

static void add_counts(void *context, int64_t first, const uint16_t *index, int64_t count)
{
    int32_t *weight = (int32_t *)context + first;
    for (int64_t i = 0; i < count; i++) weight[index[i]]++;
}

static void spread(const struct weights_call *call, struct bench *bench)
{
    for (int64_t r = 0; r < call->rows; r++) bench->weight[r] = bench->drawn[call->cluster[r]];
}

static double resample(const struct weights_call *call, const struct drawer *drawer,
                       struct bench *bench, uint64_t number)
{
    int32_t *drawn = call->cluster ? bench->drawn : bench->weight;
    if (call->share) {
        struct words words = words_of(drawer->key, number);
        words_multinomial(&words, bench->count, call->share, call->rows, drawer->units);
        for (int64_t r = 0; r < call->rows; r++) bench->weight[r] = (int32_t)bench->count[r];
    } else {
        memset(drawn, 0, (size_t)drawer->units * sizeof *drawn);
        drawer_run(drawer, number, add_counts, drawn);
    }
    if (call->cluster) spread(call, bench);
    return call->value(call->context, bench->weight, bench->scratch);
}

/* All rows but those of a group; for shares, all but one of the rows that are alike. */
static double without(const struct weights_call *call, const struct room *room, struct bench *bench,
                      int64_t g)
{
    for (int64_t r = 0; r < call->rows; r++) {
        int64_t unit = call->cluster ? call->cluster[r] : r;
        bench->weight[r] = call->share ? (int32_t)call->share[r] - (r == g)
                                       : room->group[unit] != g;
    }
    return call->value(call->context, bench->weight, bench->scratch);
}

static size_t padded(size_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

/* Divides one block. With shares each row is a group of its own. */
static enum code take(void **memory, struct room *room, const struct weights_call *call,
                      int64_t count, int threads, struct err *err)
{
    size_t weight = padded((size_t)call->rows * sizeof(int32_t));
    size_t drawn = padded((size_t)room->units * sizeof(int32_t));
    size_t counts = call->share ? padded((size_t)call->rows * sizeof(int64_t)) : 0;
    size_t scratch = padded((call->scratch + 1) * sizeof(double));
    size_t shared = padded((size_t)(count + room->groups) * sizeof(double));
    size_t group = call->share ? 0 : drawn, each = weight + counts + scratch;
    if (call->cluster) each += drawn;
    TRY(block_alloc(memory, shared + group + each * (size_t)threads, "resamples", err));
    char *at = *memory;
    room->left = (double *)*memory + count;
    room->group = (int32_t *)(void *)(at + shared);
    at += shared + group;
    for (int t = 0; t < threads; t++) {
        struct bench *bench = &room->benches[t];
        bench->scratch = (double *)(void *)at;
        bench->count = (int64_t *)(void *)(at + scratch);
        bench->weight = (int32_t *)(void *)(at + scratch + counts);
        bench->drawn = (int32_t *)(void *)(at + scratch + counts + weight);
        at += each;
    }
    return OK;
}

static double accelerate(const struct weights_call *call, const struct room *room)
{
    struct jackknife jackknife = { 0 };
    double times = 0;
    if (room->groups < 2) return 0;
    for (int64_t g = 0; g < room->groups; g++) {
        double share = call->share ? (double)call->share[g] : 1;
        jackknife.mean += share * room->left[g];
        times += share;
    }
    jackknife.mean /= times;
    for (int64_t g = 0; g < room->groups; g++)
        jackknife_add(&jackknife, room->left[g], call->share ? (double)call->share[g] : 1);
    return jackknife_acceleration(&jackknife);
}

enum code bootstrap_weights(struct bootstrap *bootstrap, const struct weights_call *call,
                            const struct resample_opts *opts, struct err *err)
{
    struct room room = { .units = call->cluster ? call->clusters : call->rows };
    bool spared = opts->count < 2 || (opts->sparing && !call->share);
    int threads = spared ? 1 : bootstrap_threads(opts->threads);
    int64_t count = spared ? 0 : opts->count, drawn = room.units;
    void *memory = NULL;
    REQUIRE(call->rows > 0 && call->rows < INT32_MAX && !(call->share && call->cluster));
    for (int64_t r = 0; call->share && r < call->rows; r++) drawn += call->share[r] - 1;
    room.groups = call->share || room.units < JACKKNIFE_GROUPS ? room.units : JACKKNIFE_GROUPS;
    if (call->percentile || spared) room.groups = 0;
    *bootstrap = (struct bootstrap){ .count = count };
    TRY(take(&memory, &room, call, count, threads, err));
    bootstrap->sorted = memory;
    int32_t *once = call->share ? room.benches[0].weight : NULL;
    for (int64_t r = 0; once && r < call->rows; r++) once[r] = (int32_t)call->share[r];
    bootstrap->estimate = call->value(call->context, once, room.benches[0].scratch);
    bootstrap->degenerate = true;
    if (count == 0) return OK;
    if (!call->share && room.groups) assign_groups(&room, rng_mix(opts->key, 0x6A61636B));
    struct drawer drawer = { draw_best(), opts->key, drawn };
#pragma omp parallel num_threads(threads)
    {
        struct bench *bench = &room.benches[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 16)
        for (int64_t b = 0; b < count; b++)
            bootstrap->sorted[b] = resample(call, &drawer, bench, (uint64_t)b);
#pragma omp for schedule(dynamic, 16)
        for (int64_t g = 0; g < room.groups; g++)
            room.left[g] = room.groups > 1 ? without(call, &room, bench, g) : 0;
    }
    bootstrap_summarise(bootstrap, accelerate(call, &room));
    return OK;
}
