/* Ranks whose devices sum among themselves train to the bits of ranks that sum in host memory: in
 * one pass, in several, over shards, with batch norm, in f16; read at once or late, then without
 * waiting; and keep to host memory where they must. */
#include "small.h"

#include "tests/comm/threads.h"
#include "tests/kernels/shared_far.h"
#include "tests/model/shared_far_ranks.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 4, STEPS = 8 };

enum {
    BAD = 5,        /* a step with a row whose loss is NaN */
    AHEAD = 1 << 11 /* with a kind: steps are handed over and read later, where they can be */
};

#define COUPLED                                                                                    \
    "[{conv: {filters: 4}}, batch_norm, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 3}]"
#define F16   "precision: f16\n  loss_scale: {dynamic: {start: 4194304, growth_every: 2}}\n  "
#define PLAIN "[{conv: {filters: 4}}, relu, {dropout: 0.2}, flatten, {dense: 9}, gelu, {dense: 3}]"

static const struct {
    const char *name, *layers, *keys;
    int ranks;
    bool summed; /* by the devices */
} runs[] = {
    { "one pass", COUPLED, "batch: 16\n  shards: 2", 2, true },
    { "one pass, four ranks", COUPLED, "batch: 16\n  shards: 4", 4, true },
    { "three passes", COUPLED, "batch: 24\n  shards: 2\n  micro_batch: 4", 2, true },
    { "two passes", PLAIN, "batch: 16\n  micro_batch: 4", 2, true },
    { "shards of two passes", PLAIN, "batch: 32\n  shards: 4\n  micro_batch: 4", 2, true },
    { "shards with statistics", COUPLED, "batch: 16\n  shards: 4", 2, false },
    { "world", COUPLED, "batch: 16\n  shards: 4", 2, false },
    { "f16", PLAIN, F16 "batch: 16", 2, true },
    { "f16, two passes", PLAIN, F16 "batch: 16\n  micro_batch: 4", 2, true },
};

/* Opened one after the other: HDF5 is for one thread at a time. */
struct crew {
    int ranks;
    bool far;
    bool late;            /* steps are handed over and read later */
    uint64_t waits[MOST]; /* from the first step handed over to the last */
    int heard[MOST];      /* late: the step after which a stop request was heard */
    struct trainer trainer[MOST];
    struct comm shape[MOST];
    struct train_opts opts[MOST];
    struct device device[MOST];
    struct far_ranks *far_ranks[MOST];
    struct step_result result[MOST][STEPS];
    char failed[MOST][520];
};

static void open_crew(struct crew *crew, const struct experiment *experiment, int ranks, int kind)
{
    const char *name = experiment->precision == PRECISION_F16 ? "ref" : "cpu";
    struct err err = { 0 };
    memset(crew, 0, sizeof *crew);
    crew->ranks = ranks;
    crew->far = kind >= 0;
    for (int r = 0; r < ranks; r++) {
        struct device inner;
        crew->shape[r] = (struct comm){ .rank = r, .size = ranks, .processors = 1 };
        crew->opts[r] = (struct train_opts){ .device = name, .comm = &crew->shape[r] };
        crew->trainer[r] = (struct trainer){ .experiment = experiment, .opts = &crew->opts[r] };
        if (crew->far) {
            MUST(device_open(&inner, name, 1, &err));
            MUST(device_open_far(&crew->device[r], &inner, kind, &err));
            MUST(far_ranks_open(&crew->far_ranks[r], &crew->device[r], ranks, r % 2, true, &err));
            crew->opts[r].opened = &crew->device[r];
        }
        MUST(trainer_compile(&crew->trainer[r], &err));
        MUST(params_init(&crew->trainer[r].params, experiment->seed, &err));
    }
}

static void close_crew(struct crew *crew)
{
    for (int r = 0; r < crew->ranks; r++) {
        trainer_release(&crew->trainer[r]);
        if (crew->far) far_ranks_close(crew->far_ranks[r]);
    }
}

/* Rank 1 asks to stop from the begin of a step on. */
static bool asked_after(void *context)
{
    const struct trainer *t = context;
    return t->ranks.comm->rank == 1 && t->number >= 2;
}

/* Hands one step over, having taken in what one of before did. */
static enum code step_late(struct crew *crew, struct trainer *t, const struct batch *batch,
                           int number, struct err *err)
{
    int rank = t->ranks.comm->rank;
    struct step_result *results = crew->result[rank];
    if (t->step.outstanding == STEP_LATE)
        TRY(step_collect(&t->step, &results[number - STEP_LATE], err));
    TRY(step_submit(&t->step, batch, number, 0.1, err));
    if (number == 0) crew->waits[rank] = t->device.waits;
    if (!crew->heard[rank] && t->ranks.heard & RANKS_STOP) crew->heard[rank] = number;
    if (number < STEPS - 1) return OK;
    crew->waits[rank] = t->device.waits - crew->waits[rank];
    while (t->step.outstanding)
        TRY(step_collect(&t->step, &results[STEPS - t->step.outstanding], err));
    return OK;
}

static void take_steps(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    enum code code = OK;
    t->ranks.comm = comm;
    t->ranks.asked = asked_after;
    if (crew->far) far_ranks_over(crew->far_ranks[comm->rank], comm);
    for (int step = 0; step < STEPS && !code; step++) {
        struct batch batch;
        int32_t labels[32];
        t->number = step;
        if ((code = loader_next(t->loader, &batch, &err))) break;
        memcpy(labels, batch.target, (size_t)t->share.rows * sizeof *labels);
        if (step == BAD && comm->rank == 0) labels[3] = 7;
        batch.target = labels;
        if (crew->late)
            code = step_late(crew, t, &batch, step, &err);
        else
            code = step_run(&t->step, &batch, step, 0.1, &crew->result[comm->rank][step], &err);
    }
    if (code) snprintf(crew->failed[comm->rank], sizeof crew->failed[0], "%s", err.message);
}

static void run_crew(struct crew *crew, void (*body)(struct comm *comm, void *context))
{
    threads_run(crew->ranks, 0, body, crew);
    for (int r = 0; r < crew->ranks; r++)
        cr_assert_str_empty(crew->failed[r], "rank %d: %s", r, crew->failed[r]);
}

static void compare(struct crew *far, struct crew *near, const char *what)
{
    static const enum params_arena arenas[] = { ARENA_VALUE, ARENA_SLOT_0, ARENA_SLOT_1,
                                                ARENA_STATE, ARENA_EMA,    ARENA_EMA_STATE };
    static float numbers[4096];
    struct err err = { 0 };
    for (int r = 0; r < far->ranks; r++) {
        struct params *params = &far->trainer[r].params;
        struct device *device = &far->trainer[r].device;
        for (size_t a = 0; a < sizeof arenas / sizeof *arenas; a++) {
            size_t bytes = (size_t)params_size(params, arenas[a]) * sizeof(float);
            if (!params->memory[arenas[a]] || !bytes) continue;
            cr_assert_leq(bytes, sizeof numbers);
            MUST(device->copy_out(device, numbers, params->memory[arenas[a]], bytes, &err));
            cr_expect(memcmp(numbers, near->trainer[r].params.memory[arenas[a]], bytes) == 0,
                      "%s, rank %d of %d: arena %d", what, r, far->ranks, (int)arenas[a]);
        }
        for (int s = 0; s < STEPS; s++) {
            const struct step_result *got = &far->result[r][s], *want = &near->result[r][s];
            bool bad = s == BAD; /* there neither number is one */
            cr_expect(bad == (isnan(got->loss) != 0) && got->skipped == want->skipped &&
                          got->overflowed == want->overflowed &&
                          (bad || (got->gradient_norm == want->gradient_norm) ||
                           (want->overflowed && !isfinite(got->gradient_norm))) &&
                          (bad || fabs(got->loss - want->loss) < 1e-14),
                      "%s, rank %d, step %d: loss %.17g, norm %.17g; not %.17g, %.17g", what, r, s,
                      got->loss, got->gradient_norm, want->loss, want->gradient_norm);
        }
        struct step_state a = step_state(&near->trainer[r].step),
                          b = step_state(&far->trainer[r].step);
        cr_expect(a.time == b.time && a.good_steps == b.good_steps &&
                      fabs(a.loss_scale - b.loss_scale) <= 0 && a.time < STEPS,
                  "%s: %lld and %lld updates", what, (long long)a.time, (long long)b.time);
        cr_expect_eq(far->waits[r], 0, "%s: the host waited %d times", what, (int)far->waits[r]);
        if (far->late) cr_expect_eq(far->heard[r], 2, "%s: heard at %d", what, far->heard[r]);
    }
}

/* Rank 1 comes to other norms than the rest: with what all of them know late, all stop. */
static void drift(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    struct step_result result;
    struct batch batch;
    enum code code = OK;
    int steps = 0;
    t->ranks.comm = comm;
    far_ranks_over(crew->far_ranks[comm->rank], comm);
    for (; steps < STEPS && !code; steps++) {
        code = loader_next(t->loader, &batch, &err);
        if (!code && t->step.outstanding == STEP_LATE) code = step_collect(&t->step, &result, &err);
        if (comm->rank == 1) t->step.norms[0] = nextafter(t->step.norms[0], 1e9);
        if (!code) code = step_submit(&t->step, &batch, steps, 0.1, &err);
    }
    struct err unused;
    while (t->step.outstanding && !step_collect(&t->step, &result, &unused)) continue;
    if (code != HOPELESS || !strstr(err.message, "no longer hold the same weights"))
        snprintf(crew->failed[comm->rank], sizeof crew->failed[0], "%d steps: %s", steps,
                 err.message);
}

Test(far_ranks, weights_that_drift_apart_are_noticed_late_too)
{
    static struct crew crew;
    struct small small;
    struct experiment experiment;
    small_open(&small);
    small_experiment(&small, &experiment, runs[0].layers,
                     "  epochs: 9\n  batch: 16\n  shards: 2\n  optimizer: {sgd: {lr: 0.1}}\n");
    open_crew(&crew, &experiment, 2, FAR_QUEUE);
    run_crew(&crew, drift);
    close_crew(&crew);
    small_close(&small);
}

Test(far_ranks, devices_that_sum_train_to_the_bits_of_sums_in_host_memory, .timeout = 120)
{
    static const int kinds[] = { FAR_PLAIN, FAR_QUEUE, FAR_QUEUE | FAR_LATE, FAR_QUEUE | AHEAD,
                                 FAR_QUEUE | FAR_LATE | AHEAD };
    static struct crew near, far;
    struct small small;
    small_open(&small);
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct experiment experiment;
        const char *keys = arena_format(&small.arena,
                                        "  epochs: 9\n  %s\n  optimizer: {adamw: {lr: 0.1}}\n"
                                        "  ema: {decay: 0.9}\n  clip: {norm: 1}\n",
                                        runs[i].keys);
        small_experiment(&small, &experiment, runs[i].layers, keys);
        if (strcmp(runs[i].name, "world") == 0) experiment.determinism = DETERMINISM_WORLD;
        if (strcmp(runs[i].name, "world") == 0) experiment.threads_per_shard = 1;
        open_crew(&near, &experiment, runs[i].ranks, -1);
        run_crew(&near, take_steps);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            open_crew(&far, &experiment, runs[i].ranks, kinds[k]);
            far.late = kinds[k] & AHEAD && far.trainer[0].step.late;
            cr_expect_eq(far.trainer[0].step.late, kinds[k] & FAR_QUEUE && runs[i].summed, "%s",
                         runs[i].name);
            run_crew(&far, take_steps);
            compare(&far, &near, runs[i].name);
            struct far_ranks_counts counts = far_ranks_counts(far.far_ranks[0]);
            cr_expect_eq(counts.done > 0, runs[i].summed, "%s: %d sums by the device", runs[i].name,
                         counts.done);
            cr_expect(!runs[i].summed || counts.done % STEPS == 0, "%s: %d sums", runs[i].name,
                      counts.done);
            close_crew(&far);
        }
        close_crew(&near);
    }
    small_close(&small);
}
