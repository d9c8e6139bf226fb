/* Whole runs on a device with memory of its own: the same checkpoints, metrics and predictions, bit
 * for bit, as on the device inside; also resumed, with averages, in micro-batches and f16; and
 * steps that are handed over without waiting. */
#include "small.h"
#include "tests/kernels/shared_far.h"

#include <stdio.h>
#include <string.h>

#define LAYERS                                                                                     \
    "[{conv: {filters: 4}}, batch_norm, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 3}]"

static const struct {
    const char *name, *train;
} runs[] = {
    { "whole steps, averages",
      "  epochs: 2\n  batch: 16\n  optimizer: {adamw: {lr: 0.02}}\n  ema: {decay: 0.9}\n"
      "  clip: {norm: 1}\n  checkpoint: {every: 3st}" },
    { "micro-batches", "  epochs: 2\n  batch: 32\n  micro_batch: 8\n"
                       "  optimizer: {sgd: {lr: 0.1, momentum: 0.9}}\n  checkpoint: {every: 2st}" },
    { "f16", "  epochs: 2\n  batch: 16\n  micro_batch: 8\n  optimizer: {adamw: {lr: 0.02}}\n"
             "  precision: f16\n  loss_scale: {dynamic: {start: 4194304, growth_every: 2}}\n"
             "  checkpoint: {every: 2st}" },
};

static void open_far(struct device *far, const char *name, int kind)
{
    struct err err = { 0 };
    struct device inner;
    MUST(device_open(&inner, name, 1, &err));
    MUST(device_open_far(far, &inner, kind, &err));
}

/* Trains to the end, stopped once on the way where `stop` says so; the model digest. */
static struct digest train_on(struct small *small, const struct experiment *experiment,
                              const char *device, int kind, int64_t stop)
{
    struct err err = { 0 };
    struct train_result result = { 0 };
    MUST(fs_remove_tree(small_path(small, "run"), &err));
    for (int start = stop ? 0 : 1; start < 2; start++) {
        struct device far;
        struct train_opts opts = { .device = device, .stop_after = start ? 0 : stop };
        if (kind >= 0) {
            open_far(&far, device, kind);
            opts.opened = &far;
        }
        enum code code = small_train(small, experiment, &opts, &result);
        cr_assert_eq(code, start ? OK : STOPPED);
    }
    return result.digest;
}

Test(far, whole_runs_give_the_checkpoints_of_the_device_inside, .timeout = 120)
{
    struct small small;
    struct experiment experiment;
    small_open(&small);
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        static const char *const devices[] = { "ref", "cpu" };
        static const struct {
            int kind;
            int64_t stop;
        } ways[] = { { FAR_PLAIN, 0 },
                     { FAR_QUEUE, 3 },
                     { FAR_QUEUE | FAR_LATE, 0 },
                     { FAR_QUEUE | FAR_NO_RECORDING, 2 } };
        small_experiment(&small, &experiment, LAYERS, runs[r].train);
        for (int d = 0; d < (strcmp(runs[r].name, "f16") ? 2 : 1); d++) {
            struct digest near = train_on(&small, &experiment, devices[d], -1, 0);
            for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
                struct digest far = train_on(&small, &experiment, devices[d], ways[w].kind,
                                             ways[w].stop);
                cr_expect(digest_equal(&near, &far), "%s on %s, kind %d, stopped after %d",
                          runs[r].name, devices[d], ways[w].kind, (int)ways[w].stop);
            }
        }
    }
    small_close(&small);
}

/* A step with a row whose loss is NaN; one that begins with a state from elsewhere. */
enum { STEPS = 14, BAD = 6, SET = 10 };

#define PLAIN "[flatten, {dense: 9}, {dropout: 0.2}, relu, {dense: 3}]"
#define ADAMW "  epochs: 9\n  optimizer: {adamw: {lr: 0.02}}\n  ema: {decay: 0.9}\n"
#define F16                                                                                        \
    "  precision: f16\n  loss_scale: {dynamic: {start: 4194304, growth_every: 2}}\n"               \
    "  clip: {norm: 1}\n"

static const struct {
    const char *name, *device, *layers, *train;
} ahead[] = {
    { "whole steps", "cpu", LAYERS, ADAMW "  batch: 16" },
    { "not finite steps skipped", "cpu", LAYERS, ADAMW "  batch: 16\n  non_finite: skip" },
    { "micro-batches", "cpu", LAYERS, ADAMW "  batch: 32\n  micro_batch: 8\n  non_finite: skip" },
    { "shards", "cpu", PLAIN, ADAMW "  batch: 16\n  shards: 2\n  micro_batch: 4" },
    { "f16", "ref", LAYERS, ADAMW F16 "  batch: 16" },
    { "f16 in micro-batches", "ref", PLAIN, ADAMW F16 "  batch: 16\n  micro_batch: 4" },
};

/* The first steps, submitted ahead of what they did or taken one by one; the trainer stays open. */
static void take_steps(struct trainer *t, struct train_opts *opts, struct step_result *results)
{
    struct err err = { 0 };
    struct batch batch;
    static const struct step_state from_elsewhere = { .time = 100, .loss_scale = 2 };
    uint64_t waits = 0;
    int taken = 0;
    MUST(trainer_compile(t, &err));
    MUST(params_init(&t->params, t->experiment->seed, &err));
    cr_expect_eq(t->step.late, opts->opened != NULL);
    for (int i = 0; i < STEPS; i++) {
        int32_t labels[32];
        MUST(loader_next(t->loader, &batch, &err));
        memcpy(labels, batch.target, (size_t)t->experiment->batch * sizeof *labels);
        if (i == BAD) labels[3] = 7;
        batch.target = labels;
        while (i == SET && t->step.outstanding)
            MUST(step_collect(&t->step, &results[taken++], &err));
        if (i == SET) step_set_state(&t->step, &from_elsewhere);
        if (!opts->opened) {
            MUST(step_run(&t->step, &batch, i, 0.1, &results[i], &err));
            continue;
        }
        if (i == 4) waits = t->device.waits; /* recorded by then */
        if (t->step.outstanding == STEP_LATE) MUST(step_collect(&t->step, &results[taken++], &err));
        MUST(step_submit(&t->step, &batch, i, 0.1, &err));
    }
    if (opts->opened) cr_expect_eq(t->device.waits, waits, "the host waited for the device");
    while (t->step.outstanding) MUST(step_collect(&t->step, &results[taken++], &err));
}

static bool same(double a, double b)
{
    return a == b || (a != a && b != b);
}

static void compare_steps(struct trainer *near, struct trainer *far, const struct step_result *want,
                          const struct step_result *got, const char *name)
{
    static float numbers[4096];
    struct err err = { 0 };
    int updates = 100;
    for (int i = 0; i < STEPS; i++) {
        cr_expect(same(want[i].loss, got[i].loss) && want[i].overflowed == got[i].overflowed &&
                      same(want[i].gradient_norm, got[i].gradient_norm) &&
                      want[i].skipped == got[i].skipped,
                  "%s, step %d: loss %g, norm %g", name, i, got[i].loss, got[i].gradient_norm);
        updates += i >= SET && !want[i].skipped;
    }
    cr_expect(want[BAD].skipped && !want[BAD].overflowed, "%s", name);
    struct step_state a = step_state(&near->step), b = step_state(&far->step);
    cr_expect(a.time == updates && b.time == a.time && a.good_steps == b.good_steps &&
                  same(a.loss_scale, b.loss_scale),
              "%s: %lld and %lld updates, scale %g and %g", name, (long long)a.time,
              (long long)b.time, a.loss_scale, b.loss_scale);
    for (int arena = 0; arena < ARENA_COUNT; arena++) {
        const float *own = near->params.memory[arena];
        size_t bytes = (size_t)params_size(&near->params, (enum params_arena)arena) * sizeof *own;
        if (!own || !bytes) continue;
        cr_assert_leq(bytes, sizeof numbers);
        MUST(far->device.copy_out(&far->device, numbers, far->params.memory[arena], bytes, &err));
        cr_expect_arr_eq(numbers, own, bytes, "%s: arena %d", name, arena);
    }
}

Test(far, steps_are_handed_over_without_waiting_and_do_the_same, .timeout = 60)
{
    static const int kinds[] = { FAR_QUEUE, FAR_QUEUE | FAR_LATE, FAR_QUEUE | FAR_NO_RECORDING };
    struct small small;
    struct experiment experiment;
    small_open(&small);
    for (size_t r = 0; r < sizeof ahead / sizeof *ahead; r++) {
        struct step_result want[STEPS], got[STEPS];
        struct train_opts opts = { .device = ahead[r].device };
        small_experiment(&small, &experiment, ahead[r].layers, ahead[r].train);
        struct trainer near = { .experiment = &experiment, .opts = &opts };
        take_steps(&near, &opts, want);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            struct device device;
            struct train_opts far_opts = { .device = ahead[r].device, .opened = &device };
            struct trainer far = { .experiment = &experiment, .opts = &far_opts };
            open_far(&device, ahead[r].device, kinds[k]);
            take_steps(&far, &far_opts, got);
            compare_steps(&near, &far, want, got, ahead[r].name);
            trainer_release(&far);
        }
        if (strstr(ahead[r].train, "f16"))
            cr_expect(want[0].overflowed && step_state(&near.step).time > 100, "%s", ahead[r].name);
        trainer_release(&near);
    }
    small_close(&small);
}

/* The first updates make the weights enormous: within four steps the loss is not finite. */
Test(far, a_loss_that_is_not_finite_ends_a_run_before_anything_is_saved)
{
    struct small small;
    struct experiment experiment;
    struct err err = { 0 };
    struct device far;
    small_open(&small);
    small_experiment(&small, &experiment,
                     "[flatten, {dense: 9}, {dense: 9}, {dense: 9}, {dense: 9}, {dense: 3}]",
                     "  epochs: 2\n  batch: 16\n  optimizer: {sgd: {lr: 1000}}\n"
                     "  checkpoint: {every: 4st}");
    int64_t alarms[2] = { 0, 0 };
    for (int late = 0; late < 2; late++) {
        struct train_opts opts = { .device = "cpu" };
        struct train_result result = { 0 };
        json_t *records;
        char **names;
        size_t count;
        MUST(fs_remove_tree(small_path(&small, "run"), &err));
        if (late) {
            open_far(&far, "cpu", FAR_QUEUE);
            opts.opened = &far;
        }
        cr_expect_eq(small_train(&small, &experiment, &opts, &result), HOPELESS);
        MUST(run_log_read_all(&records, small_path(&small, "run"), &err));
        for (size_t i = 0; i < json_array_size(records); i++) {
            const json_t *record = json_array_get(records, i);
            const char *kind = json_string_value(json_object_get(record, "kind"));
            if (strcmp(kind, "alarm") == 0)
                alarms[late] = json_integer_value(json_object_get(record, "step"));
        }
        cr_expect(alarms[late] > 1 && alarms[late] <= 4, "step %d", (int)alarms[late]);
        MUST(run_checkpoints(&small.arena, &names, &count, small_path(&small, "run"), &err));
        cr_expect_eq(count, 0, "late %d", late);
        json_decref(records);
    }
    cr_expect_eq(alarms[0], alarms[1]);
    small_close(&small);
}

/* The trained model over rows that do not fill the last tile. */
Test(far, predictions_are_those_of_the_device_inside)
{
    enum { ROWS = 41, OUTPUTS = 3, TILE = 16 };
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    struct train_result result = { 0 };
    struct weights weights;
    unsigned char rows[ROWS * 36];
    float near[ROWS * OUTPUTS], far[ROWS * OUTPUTS];
    struct device device;
    struct infer *infer;
    small_open(&small);
    small_experiment(&small, &experiment, LAYERS,
                     "  epochs: 1\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}");
    cr_assert_eq(small_train(&small, &experiment, &(struct train_opts){ 0 }, &result), OK);
    MUST(weights_load(&weights, result.checkpoint, false, &err));
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (unsigned char)(i * 37 % 251);
    MUST(infer_open(&infer, &weights, &(struct infer_opts){ .tile = TILE, .threads = 1 }, &err));
    MUST(infer_run(infer, near, rows, ROWS, &err));
    infer_close(infer);
    for (int kind = FAR_PLAIN; kind <= (FAR_QUEUE | FAR_LATE); kind++) {
        if (kind == FAR_LATE) continue;
        memset(far, 0, sizeof far);
        open_far(&device, "cpu", kind);
        struct infer_opts opts = { .tile = TILE, .threads = 3, .opened = &device };
        MUST(infer_open(&infer, &weights, &opts, &err));
        for (int again = 0; again < 2; again++) {
            MUST(infer_run(infer, far, rows, ROWS, &err));
            cr_expect_arr_eq(far, near, sizeof near, "kind %d", kind);
        }
        infer_close(infer);
    }
    weights_release(&weights);
    small_close(&small);
}

Test(far, tf32_reaches_the_device_or_is_refused)
{
    struct small small;
    struct experiment experiment;
    struct err err = { 0 };
    struct device device, inner;
    struct train_opts opts = { .opened = &device };
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 1\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}");
    for (int card = 0; card < 2; card++) {
        static const enum precision asked[] = { PRECISION_TF32, PRECISION_F32 };
        for (int p = 0; p < 2; p++) {
            struct trainer trainer = { .experiment = &experiment, .opts = &opts };
            MUST(device_open(&inner, "cpu", 1, &err));
            inner.fast_tf32 = card;
            MUST(device_open_far(&device, &inner, FAR_PLAIN, &err));
            experiment.precision = asked[p];
            enum code code = trainer_compile(&trainer, &err);
            cr_expect_eq(code, card || p ? OK : CONFIG, "card %d, precision %d", card, p);
            cr_expect(code || trainer.device.tf32 == (p == 0));
            if (code) cr_expect(strstr(err.message, "tf32") && err.hint[0]);
            trainer_release(&trainer);
        }
    }
    small_close(&small);
}

/* The bits of a row depend on its tile, so the default tile is checked by its size alone. */
Test(far, auto_says_why_it_takes_the_cpu_and_a_named_device_is_never_replaced)
{
    struct small small;
    struct experiment experiment;
    struct err err = { 0 };
    struct train_opts opts = { .device = "auto" };
    small_open(&small);
    small_experiment(&small, &experiment, NULL,
                     "  epochs: 1\n  batch: 16\n  optimizer: {sgd: {lr: 0.1}}");
    struct device card;
    bool there = device_open(&card, "cuda", 1, &err) == OK;
    if (there) device_close(&card);
    struct trainer trainer = { .experiment = &experiment, .opts = &opts };
    MUST(trainer_compile(&trainer, &err));
    cr_expect_str_eq(trainer.device.name, there ? "cuda" : "cpu");
    trainer_release(&trainer);
    opts.device = "cuda";
    trainer = (struct trainer){ .experiment = &experiment, .opts = &opts };
    enum code code = trainer_compile(&trainer, &err);
    cr_expect(there ? code == OK : code == NOT_FOUND || code == DEVICE, "%s", err.message);
    if (code) cr_expect(strstr(err.message, "cuda") && err.hint[0], "%s", err.message);
    trainer_release(&trainer);
    small_close(&small);
}
