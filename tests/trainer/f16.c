/* Training in f16 with a loss scale, on `ref` (no CPU that we know computes it): near f32 where
 * nothing overflows; overflows pass a step over and halve the scale, good steps double it; both
 * come back with a checkpoint; at its end the scale is for non_finite to judge. */
#include "small.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LAYERS                                                                                     \
    "[{conv: {filters: 4}}, batch_norm, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 3}]"
#define F16 "  precision: f16\n  batch: 16\n  optimizer: {adamw: {lr: 0.02}}\n"

static json_t *records_of(struct small *small, const char *kind)
{
    struct err err = { 0 };
    json_t *all, *chosen = json_array();
    MUST(run_log_read_all(&all, small_path(small, "run"), &err));
    for (size_t i = 0; i < json_array_size(all); i++) {
        json_t *record = json_array_get(all, i);
        if (strcmp(json_string_value(json_object_get(record, "kind")), kind) == 0)
            json_array_append(chosen, record);
    }
    json_decref(all);
    return chosen;
}

static double number_in(const json_t *records, size_t i, const char *key)
{
    const json_t *value = json_object_get(json_array_get(records, i), key);
    cr_assert(json_is_number(value), "%s", key);
    return json_number_value(value);
}

/* A run from the beginning; its code, words in small/run's log. */
static enum code train_anew(struct small *small, const struct experiment *experiment, int64_t stop,
                            struct train_result *result)
{
    struct err err = { 0 };
    struct train_opts opts = { .device = "ref", .stop_after = stop };
    MUST(fs_remove_tree(small_path(small, "run"), &err));
    return small_train(small, experiment, &opts, result);
}

static double mean_loss(const json_t *records, size_t from)
{
    double sum = 0;
    size_t count = json_array_size(records);
    for (size_t i = from; i < count; i++) sum += number_in(records, i, "loss");
    return sum / (double)(count - from);
}

/* Rounding to 11 bits moves single steps; over the second half the curves must not part. */
Test(f16, reaches_the_loss_of_f32, .timeout = 60)
{
    static const char *const models[] = { "[flatten, {dense: 9}, relu, {dense: 3}]", LAYERS };
    struct small small;
    small_open(&small);
    for (size_t m = 0; m < 2; m++) {
        double loss[2], first = 0;
        for (int narrow = 0; narrow < 2; narrow++) {
            struct experiment experiment;
            const char *keys = narrow ? F16 "  loss_scale: {dynamic: {start: 1024}}\n  epochs: 6\n"
                                      : "  batch: 16\n  optimizer: {adamw: {lr: 0.02}}\n"
                                        "  epochs: 6\n";
            small_experiment(&small, &experiment, models[m], keys);
            cr_assert_eq(train_anew(&small, &experiment, 0, NULL), OK);
            json_t *steps = records_of(&small, "step");
            cr_assert_eq(json_array_size(steps), 30);
            loss[narrow] = mean_loss(steps, 15);
            first = number_in(steps, 0, "loss");
            bool has = json_object_get(json_array_get(steps, 0), "loss_scale") != NULL;
            cr_expect(has == (narrow != 0), "only f16 has a loss scale");
            if (narrow) cr_expect(number_in(steps, 29, "skipped") <= 0);
            json_decref(steps);
        }
        cr_expect(loss[0] != loss[1], "f16 is not used");
        cr_expect(fabs(loss[0] - loss[1]) <= 0.02 * loss[0] && loss[1] < 0.8 * first,
                  "%s: %g in f32, %g in f16, from %g", models[m], loss[0], loss[1], first);
    }
    small_close(&small);
}

/* From a scale that is too large by far: halved once a step until it fits, nothing else moves. */
Test(f16, overflows_halve_the_scale_and_good_steps_double_it, .timeout = 60)
{
    enum { STEPS = 25, START = 1 << 23 };
    struct small small;
    struct experiment experiment;
    small_open(&small);
    small_experiment(&small, &experiment, LAYERS,
                     F16 "  loss_scale: {dynamic: {start: 8388608, growth_every: 4}}\n"
                         "  epochs: 5\n");
    cr_assert_eq(train_anew(&small, &experiment, 0, NULL), OK);
    json_t *steps = records_of(&small, "step");
    cr_assert_eq(json_array_size(steps), STEPS);
    double scale = START, skipped = 0, good = 0;
    int grown = 0;
    for (size_t i = 0; i < STEPS; i++) {
        bool over = number_in(steps, i, "skipped") > skipped;
        bool grows = !over && good >= 3; /* the fourth good step in a row */
        scale *= over ? 0.5 : grows ? 2 : 1;
        good = over || grows ? 0 : good + 1;
        grown += grows;
        skipped += over;
        cr_expect(fabs(number_in(steps, i, "loss_scale") - scale) <= 0, "step %zu: %g, not %g",
                  i + 1, number_in(steps, i, "loss_scale"), scale);
        cr_expect(fabs(number_in(steps, i, "skipped") - skipped) <= 0);
    }
    cr_expect(skipped >= 3 && skipped < 15 && grown >= 2, "%g skipped, %d times grown", skipped,
              grown);
    json_t *alarms = records_of(&small, "alarm");
    cr_expect_eq(json_array_size(alarms), 0);
    json_decref(alarms);
    json_decref(steps);
    small_close(&small);
}

/* trainer.json of the newest checkpoint. New reference. */
static json_t *newest_state(struct small *small, struct digest *digest)
{
    struct err err = { 0 };
    char **names;
    size_t count;
    struct checkpoint checkpoint;
    MUST(run_checkpoints(&small->arena, &names, &count, small_path(small, "run"), &err));
    cr_assert(count > 0);
    const char *path = arena_format(&small->arena, "%s/checkpoints/%s", small_path(small, "run"),
                                    names[0]);
    MUST(checkpoint_open(&checkpoint, path, &err));
    json_t *state = json_deep_copy(checkpoint.trainer);
    *digest = checkpoint.model_digest;
    checkpoint_close(&checkpoint);
    json_object_del(state, "saves"); /* names have the number of the start */
    return state;
}

Test(f16, a_resumed_run_has_the_scale_and_the_bits_of_one_that_was_not_stopped, .timeout = 60)
{
    static const int stops[] = { 1, 3, 8 }; /* amid overflows, behind them, between growths */
    struct small small;
    struct experiment experiment;
    struct digest want, got;
    small_open(&small);
    small_experiment(&small, &experiment, LAYERS,
                     F16 "  loss_scale: {dynamic: {start: 1048576, growth_every: 5}}\n"
                         "  epochs: 3\n  checkpoint: {keep: {last: 9}}\n");
    cr_assert_eq(train_anew(&small, &experiment, 0, NULL), OK);
    json_t *whole = newest_state(&small, &want);
    int64_t time = json_integer_value(json_object_get(whole, "time"));
    cr_expect(time > 5 && time < 15, "%d updates", (int)time);
    for (size_t s = 0; s < sizeof stops / sizeof *stops; s++) {
        struct train_opts opts = { .device = "ref" };
        cr_assert_eq(train_anew(&small, &experiment, stops[s], NULL), STOPPED);
        cr_assert_eq(small_train(&small, &experiment, &opts, NULL), OK);
        json_t *state = newest_state(&small, &got);
        cr_expect(json_equal(state, whole) && digest_equal(&want, &got), "stopped after %d",
                  stops[s]);
        json_decref(state);
    }
    json_decref(whole);
    small_close(&small);
}

static enum code train_and_tell(struct small *small, const struct experiment *experiment,
                                struct err *why)
{
    struct err err = { 0 };
    struct train_result result;
    struct train_opts opts = { .device = "ref", .run = small_path(small, "run") };
    MUST(fs_remove_tree(opts.run, &err));
    enum code code = train(&result, experiment, &opts, why);
    json_decref(result.metrics);
    return code;
}

Test(f16, a_scale_that_cannot_fall_leaves_the_step_to_non_finite, .timeout = 60)
{
    static const struct {
        const char *scale, *message;
    } rows[] = {
        { "{dynamic: {start: 16777216, floor: 8388608}}", "at step 2 (rate 0.02, loss scale at its "
                                                          "floor of 8388608)" },
        { "{fixed: 16777216}", "at step 1 (rate 0.02, fixed loss scale 16777216)" },
    };
    struct small small;
    struct err err = { 0 };
    small_open(&small);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct experiment experiment;
        char **names;
        size_t count;
        const char *keys = arena_format(&small.arena, F16 "  epochs: 1\n  loss_scale: %s\n",
                                        rows[r].scale);
        small_experiment(&small, &experiment, LAYERS, keys);
        cr_expect_eq(train_and_tell(&small, &experiment, &err), HOPELESS);
        cr_expect(strstr(err.message, "the gradient is not finite") &&
                      strstr(err.message, rows[r].message) && strstr(err.hint, "loss scale"),
                  "%s", err.message);
        MUST(run_checkpoints(&small.arena, &names, &count, small_path(&small, "run"), &err));
        cr_expect_eq(count, 0);
        small_experiment(&small, &experiment, LAYERS,
                         arena_format(&small.arena, "%s  non_finite: skip\n", keys));
        cr_expect_eq(train_and_tell(&small, &experiment, &err), OK, "%s", err.message);
        json_t *steps = records_of(&small, "step");
        cr_expect(number_in(steps, json_array_size(steps) - 1, "skipped") >= 5);
        json_decref(steps);
    }
    small_close(&small);
}

static enum code read_keys(struct small *small, struct experiment *experiment, const char *keys,
                           struct err *why)
{
    struct err err = { 0 };
    static const struct kind *const kinds[] = { &experiment_kind, NULL };
    struct problems problems = { 0 };
    struct document *document = ARENA_NEW(&small->arena, struct document);
    const char *text = arena_format(&small->arena,
                                    "pawl: experiment/1\nname: small\ndata: {file: data.h5}\n"
                                    "model: {layers: [flatten, {dense: 3}]}\n"
                                    "train: {epochs: 1, optimizer: {sgd: {lr: 1}}, %s}\n",
                                    keys);
    MUST(fs_publish_view(small->yaml, text, strlen(text), &err));
    MUST(document_load(document, &small->arena, small->yaml, kinds, NULL, &problems, &err));
    return experiment_read(experiment, &small->arena, document, why);
}

Test(f16, keys_are_read_and_those_that_do_nothing_refused)
{
    static const struct {
        const char *keys;
        double start, floor;
        int64_t growth_every;
        const char *refused;
    } rows[] = {
        { "precision: f16", 65536, 1, 2000, NULL },
        { "precision: f16, loss_scale: dynamic", 65536, 1, 2000, NULL },
        { "precision: f16, loss_scale: {dynamic: {growth_every: 7, floor: 0.5}}", 65536, 0.5, 7,
          NULL },
        { "precision: f16, loss_scale: {fixed: 128}", 128, 0, 0, NULL },
        { "precision: f32", 1, 0, 0, NULL },
        { "precision: bf16, loss_scale: dynamic", 0, 0, 0, "without `precision: f16`" },
        { "precision: f16, loss_scale: {dynamic: {start: 8, floor: 9}}", 0, 0, 0, "above start" },
    };
    struct small small;
    struct err err = { 0 };
    struct experiment experiment;
    small_open(&small);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        enum code code = read_keys(&small, &experiment, rows[r].keys, &err);
        cr_expect_eq(code, rows[r].refused ? CONFIG : OK, "%s", rows[r].keys);
        if (rows[r].refused)
            cr_expect(strstr(err.message, rows[r].refused) && err.line > 0, "%s", err.message);
        const struct loss_scale *got = &experiment.loss_scale;
        cr_expect(code || (fabs(got->start - rows[r].start) <= 0 &&
                           fabs(got->floor - rows[r].floor) <= 0 &&
                           got->growth_every == rows[r].growth_every),
                  "%s", rows[r].keys);
    }
    small_experiment(&small, &experiment, NULL, F16 "  epochs: 1\n");
    struct train_opts opts = { .device = "cpu" };
    struct trainer trainer = { .experiment = &experiment, .opts = &opts };
    cr_expect_eq(trainer_compile(&trainer, &err), CONFIG);
    cr_expect(strstr(err.message, "no fast f16") && strstr(err.hint, "CUDA"), "%s", err.message);
    trainer_release(&trainer);
    small_close(&small);
}
