/* Ranks whose devices sum among themselves train to the bits of ranks that sum in host memory: in
 * one pass, in several, over shards, with batch norm; and keep to host memory where they must. */
#include "small.h"

#include "tests/comm/threads.h"
#include "tests/kernels/shared_far.h"
#include "tests/model/shared_far_ranks.h"

#include <stdio.h>
#include <string.h>

enum { MOST = 4, STEPS = 4 };

#define COUPLED                                                                                    \
    "[{conv: {filters: 4}}, batch_norm, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 3}]"
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
};

/* Opened one after the other: HDF5 is for one thread at a time. */
struct crew {
    int ranks;
    bool far;
    struct trainer trainer[MOST];
    struct comm shape[MOST];
    struct train_opts opts[MOST];
    struct device device[MOST];
    struct far_ranks *far_ranks[MOST];
    struct step_result result[MOST][STEPS];
    char failed[MOST][480];
};

static void open_crew(struct crew *crew, const struct experiment *experiment, int ranks, int kind)
{
    struct err err = { 0 };
    memset(crew, 0, sizeof *crew);
    crew->ranks = ranks;
    crew->far = kind >= 0;
    for (int r = 0; r < ranks; r++) {
        struct device inner;
        crew->shape[r] = (struct comm){ .rank = r, .size = ranks, .processors = 1 };
        crew->opts[r] = (struct train_opts){ .device = "cpu", .comm = &crew->shape[r] };
        crew->trainer[r] = (struct trainer){ .experiment = experiment, .opts = &crew->opts[r] };
        if (crew->far) {
            MUST(device_open(&inner, "cpu", 1, &err));
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

static void take_steps(struct comm *comm, void *context)
{
    struct crew *crew = context;
    struct trainer *t = &crew->trainer[comm->rank];
    struct err err = { 0 };
    enum code code = OK;
    t->ranks.comm = comm;
    if (crew->far) far_ranks_over(crew->far_ranks[comm->rank], comm);
    for (int step = 0; step < STEPS && !code; step++) {
        struct batch batch;
        code = loader_next(t->loader, &batch, &err);
        if (!code)
            code = step_run(&t->step, &batch, step, 0.1, &crew->result[comm->rank][step], &err);
    }
    if (code) snprintf(crew->failed[comm->rank], sizeof crew->failed[0], "%s", err.message);
}

static void run_crew(struct crew *crew)
{
    threads_run(crew->ranks, 0, take_steps, crew);
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
            cr_expect(got->gradient_norm == want->gradient_norm && !got->skipped &&
                          got->loss - want->loss < 1e-14 && want->loss - got->loss < 1e-14,
                      "%s, rank %d, step %d: loss %.17g, norm %.17g; not %.17g, %.17g", what, r, s,
                      got->loss, got->gradient_norm, want->loss, want->gradient_norm);
        }
    }
}

Test(far_ranks, devices_that_sum_train_to_the_bits_of_sums_in_host_memory, .timeout = 120)
{
    static const int kinds[] = { FAR_PLAIN, FAR_QUEUE, FAR_QUEUE | FAR_LATE };
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
        run_crew(&near);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            open_crew(&far, &experiment, runs[i].ranks, kinds[k]);
            run_crew(&far);
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
