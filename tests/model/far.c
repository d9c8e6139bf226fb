/* Programs on devices with memory of their own: the bits of the device inside, whatever is put off,
 * uploaded early or late, recorded or not; no waiting in between; late blocks. */
#include "bench_model.h"

#include "tests/kernels/shared_far.h"

#include <criterion/criterion.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

enum { ROUNDS = 6 };

static const struct {
    const char *name;
    int kind;
    bool no_capture;
} ways[] = {
    { "plain", FAR_PLAIN, false },
    { "recorded", FAR_QUEUE, false },
    { "recorded, late uploads", FAR_QUEUE | FAR_LATE, false },
    { "recording refused", FAR_QUEUE | FAR_NO_RECORDING, false },
    { "recording switched off", FAR_QUEUE | FAR_LATE, true },
    { "layouts of its own", FAR_PLAIN | FAR_LAYOUTS, false },
    { "layouts of its own, recorded", FAR_QUEUE | FAR_LAYOUTS, false },
};

enum { WAYS = sizeof ways / sizeof *ways };

/* Rounds on ever other rows, in the same host memory; losses and gradients of each. */
static void compare(struct trial *near, struct trial *far, const char *what)
{
    size_t bytes = (size_t)params_size(&near->params, ARENA_GRADIENT) * sizeof(float);
    for (int round = 0; round < ROUNDS; round++) {
        trial_rows(near, (uint64_t)round);
        trial_rows(far, (uint64_t)round);
        double a = trial_loss(near), b = trial_loss(far);
        cr_expect(a == b, "%s, round %d: losses %.17g and %.17g", what, round, a, b);
        cr_expect_arr_eq(trial_numbers(near, ARENA_GRADIENT), trial_numbers(far, ARENA_GRADIENT),
                         bytes, "%s, round %d: gradients", what, round);
    }
}

Test(far, programs_give_the_bits_of_the_device_inside)
{
    static const char *const models[] = { "cnn", "residual", "mlp", "mixed", "flat" };
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        for (int w = 0; w < WAYS; w++) {
            struct trial near, far;
            struct trial_opts opts = { .device = w == 1 ? "ref" : "cpu", .batch = 9 };
            char what[80];
            snprintf(what, sizeof what, "%s, %s on %s", models[m], ways[w].name, opts.device);
            trial_open(&near, models[m], &opts);
            opts.far = true;
            opts.kind = ways[w].kind;
            opts.no_capture = ways[w].no_capture;
            trial_open(&far, models[m], &opts);
            compare(&near, &far, what);
            struct far_counts counts = far_counts(&far.device);
            bool records = (opts.kind & FAR_QUEUE) && !opts.no_capture &&
                           !(opts.kind & FAR_NO_RECORDING);
            cr_expect_eq(counts.recordings, records ? 2 : 0, "%s", what);
            cr_expect_eq(counts.launches, records ? ROUNDS - 1 : 0, "%s", what);
            cr_expect_eq(counts.runs, (uint64_t)far.program.count * (records ? 1 : ROUNDS), "%s",
                         what);
            trial_close(&near);
            trial_close(&far);
        }
}

/* What the step block says of each round, read as it is made and read late. */
static void late_blocks(struct trial *trial, double *losses, int rounds)
{
    struct err err = { 0 };
    struct step_block block = trial->block, got;
    int taken = 0;
    bool there;
    uint64_t waits = trial->device.waits;
    for (int round = 0; round < rounds; round++) {
        trial_rows(trial, (uint64_t)round);
        block.step = round;
        block.micro_step = round % 3; /* sums begin anew at 0 */
        MUST(program_block_write(&trial->program, &block, &err));
        MUST(program_run(&trial->program, &err));
        MUST(program_block_ask(&trial->program, &err));
        MUST(program_block_take(&trial->program, &got, round - taken >= PROGRAM_LATE - 1, &there,
                                &err));
        if (!there) continue;
        cr_assert_eq(got.step, taken, "step %lld in place of %d", (long long)got.step, taken);
        losses[taken++] = got.loss_sum;
    }
    cr_expect_eq(trial->device.waits, waits, "the host waited");
    while (taken < rounds) {
        MUST(program_block_take(&trial->program, &got, true, &there, &err));
        cr_assert(there && got.step == taken);
        losses[taken++] = got.loss_sum;
    }
    MUST(program_block_take(&trial->program, &got, true, &there, &err));
    cr_expect(!there, "more blocks than were asked for");
}

/* The trial's graph with the sum of the losses behind it. */
static void open_summing(struct trial *trial, const struct trial_opts *opts)
{
    struct err err = { 0 };
    trial_open(trial, "mlp", opts);
    program_close(&trial->program);
    struct op_node sum = { .op = OP_LOSS_SUM,
                           .in = { trial->graph.loss, trial->graph.weight },
                           .ins = 2,
                           .layer = "loss" };
    graph_node(&trial->graph, &sum);
    MUST(program_compile(&trial->program, &trial->graph, &trial->device, &trial->params,
                         &(struct program_opts){ 0 }, &err));
    program_input(&trial->program, trial->graph.input, trial->input);
    program_input(&trial->program, trial->graph.target, trial->label);
    program_input(&trial->program, trial->graph.ordinal, trial->ordinal);
}

Test(far, blocks_are_written_and_read_late_without_waiting)
{
    enum { STEPS = 23 };
    double want[STEPS], got[STEPS];
    struct trial near, far;
    struct trial_opts opts = { .device = "ref", .batch = 9 };
    open_summing(&near, &opts);
    late_blocks(&near, want, STEPS);
    trial_close(&near);
    for (int round = 1; round < STEPS; round++)
        cr_expect(round % 3 == 0 || want[round] > want[round - 1], "sums must grow");
    for (int w = 0; w < WAYS; w++) {
        if (!(ways[w].kind & FAR_QUEUE)) continue;
        opts.far = true;
        opts.kind = ways[w].kind;
        open_summing(&far, &opts);
        late_blocks(&far, got, STEPS);
        cr_expect_arr_eq(got, want, sizeof want, "%s", ways[w].name);
        trial_close(&far);
    }
}

/* A second program over the trial's device and parameters. */
static void open_second(struct program *program, struct graph *graph, struct trial *trial,
                        const struct program *block_of)
{
    struct err err = { 0 };
    graph_init(graph, &trial->arena);
    struct build_opts build = { .batch = trial->batch, .training = true, .loss = true };
    MUST(model_build(graph, trial->model, &build, &err));
    MUST(program_compile(program, graph, &trial->device, &trial->params,
                         &(struct program_opts){ .block_of = block_of }, &err));
}

Test(far, programs_of_one_step_share_a_block)
{
    struct err err = { 0 };
    struct trial trial;
    struct graph graph;
    struct program other;
    struct step_block got;
    trial_open(&trial, "mlp",
               &(struct trial_opts){ .device = "ref", .far = true, .kind = FAR_QUEUE, .batch = 4 });
    open_second(&other, &graph, &trial, &trial.program);
    cr_expect_eq(trial.program.block, other.block);
    program_close(&other); /* leaves the block to the first */
    trial.block.step = 17;
    MUST(trial.device.copy_in(&trial.device, trial.program.block, &trial.block, sizeof trial.block,
                              &err));
    MUST(trial.device.copy_out(&trial.device, &got, trial.program.block, sizeof got, &err));
    cr_expect_eq(got.step, 17);
    trial_close(&trial);
}

Test(far, what_fails_in_a_run_is_reported_by_the_next_wait)
{
    struct trial trial;
    struct err err = { 0 };
    struct step_block got;
    bool there;
    struct trial_opts opts = { .device = "ref", .far = true, .batch = 4 };
    opts.kind = FAR_QUEUE | FAR_FAILS;
    trial_open(&trial, "mlp", &opts);
    MUST(program_run(&trial.program, &err));
    MUST(program_block_ask(&trial.program, &err));
    cr_expect_eq(program_block_take(&trial.program, &got, true, &there, &err), DEVICE);
    cr_expect(strstr(err.message, "cannot run normalize"), "%s", err.message);
    cr_expect_eq(trial.device.wait(&trial.device, &err), DEVICE);
    cr_expect_eq(trial.device.waits, 1);
    trial_close(&trial);
    opts.kind = FAR_FAILS; /* without a queue a run reports itself */
    trial_open(&trial, "mlp", &opts);
    cr_expect_eq(program_run(&trial.program, &err), DEVICE);
    trial_close(&trial);
}

/* Every allocation of a compilation refused in turn; that of the activations names the largest. */
Test(far, no_memory_names_the_largest_values)
{
    bool named = false;
    struct trial trial;
    trial_open(&trial, "cnn", &(struct trial_opts){ .device = "cpu", .batch = 64 });
    for (uint64_t n = 1; n < 200 && !named; n++) {
        struct arena arena = { 0 };
        struct graph graph;
        struct program program;
        struct err err = { 0 };
        graph_init(&graph, &arena);
        struct build_opts build = { .batch = 64, .training = true, .loss = true };
        MUST(model_build(&graph, trial.model, &build, &err));
        memory_fail_after(n);
        enum code code = program_compile(&program, &graph, &trial.device, &trial.params,
                                         &(struct program_opts){ 0 }, &err);
        memory_fail_after(0);
        if (code) {
            cr_expect_eq(code, NO_MEMORY);
            if (strstr(err.message, "activations")) {
                named = true;
                cr_expect(strstr(err.hint, "conv") && strstr(err.hint, "[64, 11, 9, 6]") &&
                              strstr(err.hint, "MiB"),
                          "%s", err.hint);
            }
        } else {
            program_close(&program);
        }
        arena_release(&arena);
    }
    cr_expect(named, "no allocation was that of the activations");
    trial_close(&trial);
}
