/* Programs that sum over ranks while they run: the same bits as gradients summed in host memory
 * between two programs, for each way of cutting, ordering and recording; and the cutting itself. */
#include "bench_model.h"

#include "model/bucket.h"
#include "tests/comm/threads.h"
#include "tests/kernels/shared_far.h"
#include "tests/model/shared_far_ranks.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

enum { ROUNDS = 5, MOST = 4, BATCH = 6 };

static const struct {
    const char *name;
    int kind;
    bool late, recorded, no_overlap;
    size_t bucket_bytes;
} ways[] = {
    { "plain", FAR_PLAIN, false, false, false, 0 },
    { "plain, late, small buckets", FAR_PLAIN, true, false, false, 256 },
    { "queue, early, small buckets", FAR_QUEUE, false, false, false, 64 },
    { "queue, late, small buckets", FAR_QUEUE | FAR_LATE, true, false, false, 256 },
    { "queue, late, one bucket", FAR_QUEUE, true, false, false, 0 },
    { "recorded, early", FAR_QUEUE, false, true, false, 256 },
    { "recorded, late", FAR_QUEUE | FAR_LATE, true, true, false, 256 },
    { "behind backward", FAR_QUEUE, false, false, true, 256 },
};

enum { WAYS = sizeof ways / sizeof *ways };

/* What a rank has at the end: parameters, statistics, the step block. */
struct outcome {
    float *values, *states;
    struct step_block block;
};

struct world {
    struct trial trial[MOST];
    struct graph update[MOST]; /* of the way over host memory */
    struct program update_program[MOST];
    bool host;
    char failed[MOST][480];
};

static int64_t rows_of(int rank, int ranks, int round)
{
    return (int64_t)round * ranks + rank;
}

/* One step in two programs: gradients, sums over ranks in host memory, update. */
static enum code step_over_host(struct world *world, struct comm *comm, struct err *err)
{
    struct trial *trial = &world->trial[comm->rank];
    struct params *params = &trial->params;
    struct step_block *block = trial->program.block;
    float *gradient = params->memory[ARENA_GRADIENT], *state = params->memory[ARENA_STATE];
    TRY(program_run(&trial->program, err));
    TRY(comm_sum_leaves(comm, gradient, &gradient, 1, params_size(params, ARENA_GRADIENT), err));
    TRY(comm_sum_leaves(comm, state, &state, 1, params_size(params, ARENA_STATE), err));
    for (int64_t i = 0; i < params_size(params, ARENA_STATE); i++)
        state[i] *= 1.0f / (float)comm->size;
    TRY(comm_all_reduce(comm, &block->loss_sum, 2, COMM_F64, COMM_SUM, err));
    return program_run(&world->update_program[comm->rank], err);
}

static void train(struct comm *comm, void *context)
{
    struct world *world = context;
    struct trial *trial = &world->trial[comm->rank];
    struct err err = { 0 };
    enum code code = OK;
    if (trial->ranks) far_ranks_over(trial->ranks, comm);
    for (int round = 0; round < ROUNDS && !code; round++) {
        trial_rows(trial, (uint64_t)rows_of(comm->rank, comm->size, round));
        code = world->host ? step_over_host(world, comm, &err) : program_run(&trial->program, &err);
    }
    /* acts of the far device meet the other ranks: done while they are there */
    if (!code && trial->device.wait) code = trial->device.wait(&trial->device, &err);
    if (code) snprintf(world->failed[comm->rank], sizeof world->failed[0], "%s", err.message);
}

static void open_update(struct world *world, int rank, int ranks)
{
    struct err err = { 0 };
    struct trial *trial = &world->trial[rank];
    graph_init(&world->update[rank], &trial->arena);
    append_update(&world->update[rank], &trial->params, (int64_t)BATCH * ranks);
    MUST(program_compile(&world->update_program[rank], &world->update[rank], &trial->device,
                         &trial->params, &(struct program_opts){ .block_of = &trial->program },
                         &err));
}

static void keep(struct outcome *outcome, struct trial *trial, struct arena *arena)
{
    struct err err = { 0 };
    static const enum params_arena arenas[] = { ARENA_VALUE, ARENA_STATE };
    float **to[] = { &outcome->values, &outcome->states };
    for (int i = 0; i < 2; i++) {
        size_t bytes = (size_t)params_size(&trial->params, arenas[i]) * sizeof(float);
        *to[i] = arena_take(arena, bytes + 1);
        MUST(trial->device.copy_out(&trial->device, *to[i], trial->params.memory[arenas[i]], bytes,
                                    &err));
    }
    MUST(trial->device.copy_out(&trial->device, &outcome->block, trial->program.block,
                                sizeof outcome->block, &err));
}

static void run_world(struct world *world, struct outcome *outcome, const char *model, int ranks,
                      const struct trial_opts *opts, struct arena *arena)
{
    memset(world, 0, sizeof *world);
    world->host = !opts->far;
    for (int r = 0; r < ranks; r++) {
        trial_open(&world->trial[r], model, opts);
        if (world->host) open_update(world, r, ranks);
    }
    threads_run(ranks, 0, train, world);
    for (int r = 0; r < ranks; r++) {
        cr_assert(!world->failed[r][0], "rank %d: %s", r, world->failed[r]);
        keep(&outcome[r], &world->trial[r], arena);
    }
}

static void close_world(struct world *world, int ranks)
{
    for (int r = 0; r < ranks; r++) {
        if (world->host) program_close(&world->update_program[r]);
        trial_close(&world->trial[r]);
    }
}

static void compare(const struct outcome *got, const struct outcome *want,
                    const struct params *params, const char *what)
{
    cr_expect_arr_eq(got->values, want->values,
                     (size_t)params_size(params, ARENA_VALUE) * sizeof(float), "%s: parameters",
                     what);
    cr_expect_arr_eq(got->states, want->states,
                     (size_t)params_size(params, ARENA_STATE) * sizeof(float), "%s: statistics",
                     what);
    cr_expect(got->block.loss_sum == want->block.loss_sum &&
                  got->block.weight_sum == want->block.weight_sum &&
                  got->block.gradient_norm == want->block.gradient_norm,
              "%s: sums %.17g, %.17g, norm %.17g; not %.17g, %.17g, %.17g", what,
              got->block.loss_sum, got->block.weight_sum, got->block.gradient_norm,
              want->block.loss_sum, want->block.weight_sum, want->block.gradient_norm);
}

/* Every group was started (or told of at a replay) as often as the program ran, and done. */
static void check_counts(const struct trial *trial, int w, const char *what)
{
    struct far_ranks_counts counts = far_ranks_counts(trial->ranks);
    int per_run = (counts.started + counts.replayed) / (ways[w].recorded ? ROUNDS + 2 : ROUNDS);
    bool several = ways[w].bucket_bytes != 0;
    cr_expect(several ? per_run > 2 : per_run >= 1, "%s: %d groups a run", what, per_run);
    cr_expect_eq(counts.done, per_run * ROUNDS, "%s: %d groups done, %d a run", what, counts.done,
                 per_run);
    cr_expect_eq(counts.replayed, ways[w].recorded ? per_run * (ROUNDS - 1) : 0, "%s", what);
}

Test(ranks, programs_sum_while_they_run_to_the_bits_of_sums_in_host_memory, .timeout = 240)
{
    static const char *const models[] = { "cnn", "residual", "mlp" };
    static struct world near, far;
    for (int m = 0; m < 3; m++)
        for (int ranks = 2; ranks <= MOST; ranks += 2) {
            struct arena arena = { 0 };
            struct outcome want[MOST], got[MOST];
            struct trial_opts opts = { .device = "cpu", .batch = BATCH, .sum = true };
            run_world(&near, want, models[m], ranks, &opts, &arena);
            for (int w = 0; w < WAYS; w++) {
                char what[100];
                if ((m == 1 || ranks == 4) && (w + m) % 3) continue;
                opts = (struct trial_opts){ .device = "cpu",
                                            .batch = BATCH,
                                            .far = true,
                                            .kind = ways[w].kind,
                                            .ranks = ranks,
                                            .late = ways[w].late,
                                            .recorded = ways[w].recorded,
                                            .no_overlap = ways[w].no_overlap,
                                            .bucket_bytes = ways[w].bucket_bytes,
                                            .sum = true,
                                            .update = true };
                run_world(&far, got, models[m], ranks, &opts, &arena);
                for (int r = 0; r < ranks; r++) {
                    snprintf(what, sizeof what, "%s, %s, rank %d of %d", models[m], ways[w].name, r,
                             ranks);
                    compare(&got[r], &want[r], &far.trial[r].params, what);
                    check_counts(&far.trial[r], w, what);
                }
                close_world(&far, ranks);
            }
            close_world(&near, ranks);
            arena_release(&arena);
        }
}

/* The defining properties, for many sizes: contiguous from 0 to past the end, multiples, none but
 * the last smaller than asked for by more than a multiple, complete. */
static void check_buckets(const struct segments *segments, const int *complete,
                          const struct bucket_opts *opts)
{
    struct arena arena = { 0 };
    struct bucket *buckets;
    int count = bucket_cut(&buckets, segments, complete, opts, &arena);
    int64_t at = 0, unit = (int64_t)opts->ranks * 4;
    for (int b = 0; b < count; b++) {
        const struct bucket *bucket = &buckets[b];
        cr_expect_eq(bucket->first, at, "bucket %d begins at %lld, not %lld", b,
                     (long long)bucket->first, (long long)at);
        cr_expect(bucket->count > 0 && bucket->count % unit == 0, "bucket %d has %lld numbers", b,
                  (long long)bucket->count);
        cr_expect(b == count - 1 || (bucket->count + unit) * 4 > (int64_t)opts->bytes);
        for (int64_t s = 0; s < segments->count; s++)
            for (int64_t i = 0; i < segments->at[s].count; i++) {
                int64_t number = segments->at[s].offset + i;
                if (number >= bucket->first && number < bucket->first + bucket->count)
                    cr_expect(bucket->after >= complete[s]);
            }
        at += bucket->count;
    }
    cr_expect(at >= segments->size && at - segments->size < unit);
    arena_release(&arena);
}

Test(ranks, buckets_cover_the_arena_in_multiples_and_wait_for_their_last_writer)
{
    static const int sizes[] = { 1, 40, 7, 640, 3, 1000, 33, 64, 5 };
    enum { SEGMENTS = sizeof sizes / sizeof *sizes };
    struct segment at[SEGMENTS];
    struct segments segments = { .at = at, .count = SEGMENTS };
    int complete[SEGMENTS] = { 9, 12, 14, 30 /* used twice */, 17, 19, 21, 22, 25 };
    for (int s = 0; s < SEGMENTS; s++) {
        at[s] = (struct segment){ .offset = segments.size, .count = sizes[s], .name = "w" };
        segments.size += (sizes[s] + 31) / 32 * 32;
    }
    for (int ranks = 1; ranks <= 9; ranks++)
        for (size_t bytes = 64; bytes < 20000; bytes = bytes * 3 + 4)
            check_buckets(&segments, complete,
                          &(struct bucket_opts){ .bytes = bytes, .ranks = ranks });

    struct arena arena = { 0 };
    struct bucket *buckets; /* 32 and 64 numbers, then 32 + 640 with the late one, ... */
    struct bucket_opts small = { .bytes = 256, .ranks = 2 };
    int count = bucket_cut(&buckets, &segments, complete, &small, &arena);
    static const struct bucket want[] = { { 0, 96, 12 },    { 96, 672, 30 },  { 768, 1056, 19 },
                                          { 1824, 64, 21 }, { 1888, 64, 22 }, { 1952, 32, 25 } };
    cr_assert_eq(count, 6, "%d buckets", count);
    for (int b = 0; b < count; b++)
        cr_expect(memcmp(&buckets[b], &want[b], sizeof want[b]) == 0, "bucket %d: %lld, %lld, %d",
                  b, (long long)buckets[b].first, (long long)buckets[b].count, buckets[b].after);
    arena_release(&arena);
}

/* By the graph: nothing behind the node said to complete a segment writes it, and it does. */
Test(ranks, a_segment_completes_with_the_last_node_that_writes_its_gradient)
{
    struct trial trial;
    trial_open(&trial, "residual", &(struct trial_opts){ .device = "ref", .batch = 2 });
    const struct segments *segments = &trial.params.segments;
    int *complete = ARENA_ARRAY(&trial.arena, segments->count, int);
    bucket_completion(complete, &trial.graph, &trial.params);
    for (int64_t s = 0; s < segments->count; s++) {
        const float *from = trial.params.memory[ARENA_GRADIENT] + segments->at[s].offset;
        int last = -1;
        for (int n = 0; n < trial.program.count; n++)
            for (int o = 0; o < trial.program.calls[n].outs; o++)
                if (trial.program.calls[n].out[o].data == from) last = n;
        cr_expect_eq(complete[s], last, "%s: node %d, not %d", segments->at[s].name, complete[s],
                     last);
        cr_expect(s == 0 || complete[s] >= complete[s - 1], "order of %s", segments->at[s].name);
    }
    trial_close(&trial);
}
