/* The plan says what the run takes: the same arenas and programs, to the byte. */
#include "trainer/plan.h"
#include "small.h"

#include <string.h>

static int64_t member(const json_t *object, const char *key)
{
    cr_assert(json_is_integer(json_object_get(object, key)), "%s", key);
    return json_integer_value(json_object_get(object, key));
}

/* Bytes that the opened programs of a trainer hold. */
static void held(const struct trainer *t, int64_t *activations, int64_t *workspace)
{
    const struct program *programs[] = { &t->step.whole_program, &t->step.first_program,
                                         &t->step.more_program, &t->step.update_program };
    *activations = *workspace = 0;
    for (int p = 0; p < 4; p++) {
        cr_assert(!programs[p]->plan.bytes == !programs[p]->memory);
        cr_assert(!programs[p]->plan.workspace == !programs[p]->workspace);
        *activations += (int64_t)programs[p]->plan.bytes;
        *workspace += (int64_t)programs[p]->plan.workspace;
    }
}

Test(plan, memory_is_what_the_opened_run_holds)
{
    static const char *const trains[] = {
        "  epochs: 1\n  batch: 16\n  optimizer: {adamw: {lr: 0.1}}",
        ("  epochs: 1\n  batch: 16\n  micro_batch: 4\n  ema: {decay: 0.9}\n"
         "  optimizer: {sgd: {lr: 0.1, momentum: 0.9}}"),
        "  steps: 3\n  batch: 16\n  optimizer: {sgd: {lr: 0.1, momentum: 0}}",
    };
    static const int slots[] = { 2, 1, 0 };
    struct small small;
    small_open(&small);
    for (size_t i = 0; i < sizeof trains / sizeof *trains; i++) {
        struct err err = { 0 };
        struct experiment experiment;
        struct train_opts opts = { .device = "cpu" };
        json_t *plan;
        small_experiment(&small, &experiment,
                         "[{conv: {filters: 4}}, batch_norm, relu, flatten, {dense: {units: 3}}]",
                         trains[i]);
        MUST(plan_experiment(&plan, &experiment, &(struct plan_opts){ .device = "cpu" }, &err));
        struct trainer trainer = { .experiment = &experiment, .opts = &opts };
        MUST(trainer_compile(&trainer, &err));
        const json_t *memory = json_object_get(plan, "memory");
        int64_t activations, workspace, weights, states;
        held(&trainer, &activations, &workspace);
        weights = params_size(&trainer.params, ARENA_VALUE) * 4;
        states = params_size(&trainer.params, ARENA_STATE) * 4;
        int64_t average = trainer.params.memory[ARENA_EMA] ? weights + states : 0;
        cr_expect_eq(average != 0, i == 1);
        cr_expect_eq(member(memory, "weights"), weights);
        cr_expect_eq(member(memory, "gradients"), weights);
        cr_expect_eq(member(memory, "optimizer"), slots[i] * weights);
        cr_expect_eq(member(memory, "statistics"), states);
        cr_expect_eq(member(memory, "average"), average);
        cr_expect_eq(member(memory, "activations"), activations);
        cr_expect_eq(member(memory, "workspace"), workspace);
        int64_t saved = weights + slots[i] * weights + states + average;
        cr_expect_eq(member(memory, "checkpoint_snapshot"), saved);
        cr_expect_eq(member(plan, "checkpoint_bytes"), saved);
        int64_t sum = 0;
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)memory, name,
                            value) if (strcmp(name, "total") != 0) sum += json_integer_value(value);
        cr_expect_eq(member(memory, "total"), sum);
        cr_expect_eq(member(plan, "steps"), i == 2 ? 3 : 5);
        trainer_release(&trainer);
        json_decref(plan);
    }
    small_close(&small);
}

/* Counted by hand for [6, 6, 1] -> conv 4 x 3 x 3 -> relu -> 144 -> dense 3, batch 16. */
Test(plan, parameters_and_flops_are_those_counted_by_hand)
{
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    json_t *plan;
    double conv = 0, dense = 0;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 1\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}");
    MUST(plan_experiment(&plan, &experiment, &(struct plan_opts){ .device = "ref" }, &err));
    cr_expect_eq(member(plan, "trained"), 4 * 9 + 4 + 3 * 144 + 3);
    const json_t *nodes = json_object_get(plan, "nodes");
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        const json_t *node = json_array_get(nodes, i);
        const char *op = json_string_value(json_object_get(node, "op"));
        double flops = json_number_value(json_object_get(node, "flops"));
        if (strcmp(op, "conv2d") == 0) conv += flops;
        if (strcmp(op, "linear") == 0) dense += flops;
    }
    cr_expect_eq(dense, 16 * 2 * 3 * 144, "%g", dense);
    cr_expect_eq(conv, 16 * 2 * 36 * 4 * 9, "%g", conv);
    json_decref(plan);
    small_close(&small);
}
