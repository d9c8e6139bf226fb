/* One step: the same numbers however the batch is cut, padding that counts for nothing, averages by
 * their formula, validation that can be stopped. */
#include "small.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A trainer with its first values, without a run. */
static void open_trainer(struct trainer *trainer, const struct experiment *experiment,
                         const char *device)
{
    static struct train_opts opts;
    struct err err = { 0 };
    opts.device = device;
    *trainer = (struct trainer){ .experiment = experiment, .opts = &opts };
    MUST(trainer_compile(trainer, &err));
    MUST(params_init(&trainer->params, experiment->seed, &err));
}

/* |a - b| / |b| over an arena. */
static double distance(const struct params *a, const struct params *b, enum params_arena arena)
{
    const float *left = a->memory[arena], *right = b->memory[arena];
    double square = 0, of = 0;
    for (int64_t i = 0; i < params_size(a, arena); i++) {
        double gap = (double)left[i] - (double)right[i];
        square += gap * gap;
        of += (double)right[i] * (double)right[i];
    }
    return of > 0 ? sqrt(square / of) : sqrt(square);
}

#define NO_NORM                                                                                    \
    "[{conv: {filters: 4}}, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 9}, layer_norm," \
    " gelu, {dense: 3}]"

/* k micro-batches against one whole batch, from the loader's batch `index` (2: the padded one). */
static void compare_cuts(struct small *small, const char *device, int64_t index, const char *extra)
{
    static const int cuts[] = { 16, 8, 4, 1 };
    struct experiment whole_experiment, cut_experiment;
    struct trainer whole, cut;
    struct batch batch;
    struct step_result a, b;
    struct err err = { 0 };
    const char *train = "  epochs: 1\n  batch: 32\n  last_batch: pad\n"
                        "  optimizer: {sgd: {lr: 0.5, momentum: 0.9}}\n";
    small_experiment(small, &whole_experiment, NO_NORM,
                     arena_format(&small->arena, "%s%s", train, extra));
    open_trainer(&whole, &whole_experiment, device);
    loader_seek(whole.loader, 0, (uint64_t)index);
    MUST(loader_next(whole.loader, &batch, &err));
    cr_assert_eq(batch.valid, index == 2 ? 21 : 32);
    MUST(step_run(&whole.step, &batch, 3, 0.5, &a, &err));
    for (size_t c = 0; c < sizeof cuts / sizeof *cuts; c++) {
        small_experiment(
            small, &cut_experiment, NO_NORM,
            arena_format(&small->arena, "%s  micro_batch: %d\n%s", train, cuts[c], extra));
        open_trainer(&cut, &cut_experiment, device);
        MUST(step_run(&cut.step, &batch, 3, 0.5, &b, &err));
        double gradient = distance(&cut.params, &whole.params, ARENA_GRADIENT);
        double moved = distance(&cut.params, &whole.params, ARENA_SLOT_0);
        double value = distance(&cut.params, &whole.params, ARENA_VALUE);
        cr_expect(gradient <= 1e-6 && moved <= 1e-6 && value <= 1e-6,
                  "%s, batch %d, cut to %d%s: gradient %g, momentum %g, weights %g", device,
                  (int)index, cuts[c], extra, gradient, moved, value);
        cr_expect(fabs(a.loss - b.loss) <= 1e-6 * a.loss, "loss %.9g and %.9g", a.loss, b.loss);
        cr_expect(fabs(a.gradient_norm - b.gradient_norm) <= 2e-6 * a.gradient_norm);
        trainer_release(&cut);
    }
    trainer_release(&whole);
}

Test(step, micro_batches_sum_to_the_whole_batch, .timeout = 120)
{
    static const char *const devices[] = { "ref", "cpu" };
    struct small small;
    small_open(&small);
    for (int d = 0; d < 2; d++)
        for (int64_t index = 0; index <= 2; index += 2) {
            compare_cuts(&small, devices[d], index, "");
            compare_cuts(&small, devices[d], index, "  clip: {norm: 0.1}\n");
        }
    small_close(&small);
}

/* A padded batch of 21 rows against a batch of 21, for the same rows. */
Test(step, padding_counts_for_nothing)
{
    struct small small;
    struct err err = { 0 };
    struct experiment padded_experiment, exact_experiment;
    struct trainer padded, exact;
    struct batch batch;
    struct step_result a, b;
    small_open(&small);
    small_experiment(&small, &padded_experiment, NO_NORM,
                     "  epochs: 1\n  batch: 32\n  last_batch: pad\n  optimizer: {sgd: {lr: 0.5}}");
    small_experiment(&small, &exact_experiment, NO_NORM,
                     "  epochs: 1\n  batch: 21\n  optimizer: {sgd: {lr: 0.5}}");
    open_trainer(&padded, &padded_experiment, "cpu");
    open_trainer(&exact, &exact_experiment, "cpu");
    loader_seek(padded.loader, 0, 2);
    MUST(loader_next(padded.loader, &batch, &err));
    MUST(step_run(&padded.step, &batch, 0, 0.5, &a, &err));
    MUST(step_run(&exact.step, &batch, 0, 0.5, &b, &err)); /* reads the first 21 rows alone */
    cr_expect(fabs(a.loss - b.loss) <= 1e-6 * b.loss, "%.9g and %.9g", a.loss, b.loss);
    cr_expect(distance(&padded.params, &exact.params, ARENA_VALUE) <= 1e-6, "weights %g",
              distance(&padded.params, &exact.params, ARENA_VALUE));
    trainer_release(&padded);
    trainer_release(&exact);
    small_close(&small);
}

Test(step, averages_follow_their_formula_and_a_skipped_step_changes_nothing)
{
    enum { STEPS = 4, DECAY = 9 /* tenths */ };
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct trainer trainer;
    small_open(&small);
    small_experiment(&small, &experiment,
                     "[{conv: {filters: 4}}, batch_norm, relu, flatten, {dense: {units: 3}}]",
                     "  epochs: 1\n  batch: 16\n  optimizer: {adamw: {lr: 0.05}}\n"
                     "  ema: {decay: 0.9}\n  non_finite: skip");
    open_trainer(&trainer, &experiment, "cpu");
    static const enum params_arena from[] = { ARENA_VALUE, ARENA_STATE },
                                   into[] = { ARENA_EMA, ARENA_EMA_STATE };
    double *want[2];
    for (int a = 0; a < 2; a++) {
        int64_t size = params_size(&trainer.params, from[a]);
        want[a] = ARENA_ARRAY(&small.arena, size, double);
        for (int64_t i = 0; i < size; i++) want[a][i] = (double)trainer.params.memory[from[a]][i];
    }
    struct batch batch;
    struct step_result result;
    for (int step = 0; step < STEPS; step++) {
        MUST(loader_next(trainer.loader, &batch, &err));
        MUST(step_run(&trainer.step, &batch, step, 0.05, &result, &err));
        cr_assert(!result.skipped);
        for (int a = 0; a < 2; a++)
            for (int64_t i = 0; i < params_size(&trainer.params, from[a]); i++) {
                want[a][i] = want[a][i] * 0.9 + (double)trainer.params.memory[from[a]][i] * 0.1;
                double got = (double)trainer.params.memory[into[a]][i];
                cr_assert(fabs(got - want[a][i]) <= 1e-6 * fmax(1, fabs(want[a][i])),
                          "step %d, arena %d, %lld: %g, not %g", step, a, (long long)i, got,
                          want[a][i]);
            }
    }
    static const enum params_arena all[] = { ARENA_VALUE, ARENA_EMA, ARENA_SLOT_0, ARENA_SLOT_1 };
    float *before[4];
    for (int a = 0; a < 4; a++)
        before[a] = (float *)(void *)arena_copy_len(&small.arena, trainer.params.memory[all[a]],
                                                    (size_t)params_size(&trainer.params, all[a]) *
                                                        sizeof(float));
    int32_t labels[16];
    memcpy(labels, batch.target, sizeof labels);
    labels[5] = 7; /* no such class: this row's loss is NaN */
    batch.target = labels;
    MUST(step_run(&trainer.step, &batch, STEPS, 0.05, &result, &err));
    cr_expect(result.skipped);
    for (int a = 0; a < 4; a++)
        cr_expect_arr_eq(trainer.params.memory[all[a]], before[a],
                         (size_t)params_size(&trainer.params, all[a]) * sizeof(float), "arena %d",
                         a);
    trainer_release(&trainer);
    small_close(&small);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static bool at_once(void *context)
{
    (void)context;
    return true;
}

Test(step, validation_stops_when_asked_and_gives_the_same_numbers_each_time)
{
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct trainer trainer;
    json_t *first, *second;
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 1\n  batch: 16\n  optimizer: {sgd: {lr: 0.05}}");
    open_trainer(&trainer, &experiment, "cpu");
    MUST(validator_run(&trainer.validator, &first, never, NULL, &err));
    cr_expect_eq(validator_run(&trainer.validator, &second, at_once, NULL, &err), STOPPED);
    MUST(validator_run(&trainer.validator, &second, never, NULL, &err));
    cr_expect(json_equal(first, second));
    const char *const *names = validator_metrics(true);
    for (int i = 0; names[i]; i++)
        cr_expect(json_is_real(json_object_get(first, names[i])), "%s", names[i]);
    json_decref(first);
    json_decref(second);
    /* a model whose numbers are gone has no metrics, and says so */
    trainer.params.memory[ARENA_VALUE][0] = NAN;
    for (int64_t i = 0; i < params_size(&trainer.params, ARENA_VALUE); i++)
        trainer.params.memory[ARENA_VALUE][i] = NAN;
    MUST(validator_run(&trainer.validator, &first, never, NULL, &err));
    cr_expect(json_is_null(json_object_get(first, "loss")));
    json_decref(first);
    trainer_release(&trainer);
    small_close(&small);
}
