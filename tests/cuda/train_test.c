/* Training on the card: the loss curve is that of the CPU, a stopped run resumes to the same bits.
 *
 * Without arguments a small model on 6x6 pictures; `demo` adds the curve of
 * configs/fashion-cnn.yaml over 200 steps (from the root of the source tree). One line per check;
 * exits 0, 1 when one fails, 77 with the reason when there is no device. */
#include "small.h"
#include "tests/cuda/open.h"
#include "tests/cuda/report.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 10 };

/* A model to follow: the picture's band with the number of its class is brighter. */
struct curve {
    const struct experiment *experiment;
    struct shape input;
    int64_t classes;
    int steps;
    double rate;
};

static void make_batch(const struct curve *curve, struct batch *batch, uint8_t *pixels,
                       int32_t *labels, int64_t *ordinals, int64_t step)
{
    int64_t rows = curve->experiment->batch, size = shape_count(&curve->input);
    for (int64_t r = 0; r < rows; r++) {
        uint64_t row = (uint64_t)(step * rows + r);
        ordinals[r] = (int64_t)row;
        labels[r] = (int32_t)(rng_mix(5, row) % (uint64_t)curve->classes);
        for (int64_t p = 0; p < size; p++)
            pixels[r * size + p] = (uint8_t)(rng_mix(row, (uint64_t)p) % 150 +
                                             (p * curve->classes / size == labels[r] ? 100 : 0));
    }
    *batch =
        (struct batch){ .input = pixels, .target = labels, .ordinal = ordinals, .valid = rows };
}

/* The losses of `steps` steps on a device, which is closed. */
static void follow(const struct curve *curve, struct device *device, enum dtype dtype,
                   double *losses)
{
    struct err err = { 0 };
    struct arena arena = { 0 };
    struct params params;
    struct step step;
    struct batch batch;
    struct step_result result;
    json_t *model;
    double mean = 127.5, deviation = 73.6;
    const struct experiment *e = curve->experiment;
    struct model_facts facts = { .input_dtype = DTYPE_U8,
                                 .input = curve->input,
                                 .column = "image",
                                 .classification = true,
                                 .outputs = curve->classes,
                                 .mean = &mean,
                                 .deviation = &deviation,
                                 .constants = 1 };
    int64_t size = e->batch * shape_count(&curve->input);
    uint8_t *pixels = ARENA_ARRAY(&arena, size, uint8_t);
    int32_t *labels = ARENA_ARRAY(&arena, e->batch, int32_t);
    int64_t *ordinals = ARENA_ARRAY(&arena, e->batch, int64_t);
    MUST(model_describe(&model, e->model, &facts, &err));
    MUST(step_params(&params, model, e, device, false, &err));
    MUST(params_init(&params, 1, &err));
    json_t *augment = e->augment ? node_json(e->augment) : NULL;
    struct step_opts opts = { .model = model, .augment = augment, .dtype = dtype, .experiment = e };
    MUST(step_open(&step, &params, &opts, &err));
    for (int s = 0; s < curve->steps; s++) {
        make_batch(curve, &batch, pixels, labels, ordinals, s);
        MUST(step_run(&step, &batch, s, curve->rate, &result, &err));
        losses[s] = result.loss;
    }
    step_close(&step);
    params_close(&params);
    device_close(device);
    json_decref(model);
    json_decref(augment);
    arena_release(&arena);
}

/* Means over windows: rounding grows from step to step, the curve must not move. */
static void compare(const struct curve *curve, const double *card, const double *cpu, double share,
                    const char *what)
{
    double worst = 0, first = 0, last = 0;
    for (int from = 0; from + WINDOW <= curve->steps; from += WINDOW) {
        double a = 0, b = 0;
        for (int s = from; s < from + WINDOW; s++) a += card[s] / WINDOW, b += cpu[s] / WINDOW;
        worst = fmax(worst, fabs(a - b) / (share * b + 0.02));
        if (from == 0) first = b;
        last = a;
    }
    double start = fabs(card[0] - cpu[0]) / cpu[0];
    report(worst <= 1 && last < first && isfinite(worst),
           "%s, %d steps: loss %.4f to %.4f, first step off by %.2g, windows at %.2f of the bound",
           what, curve->steps, first, last, start, worst);
}

static void hold_curve(const struct curve *curve, const char *name)
{
    struct err err = { 0 };
    struct device device;
    char what[80];
    double *cpu = calloc((size_t)curve->steps, sizeof *cpu);
    double *card = calloc((size_t)curve->steps, sizeof *card);
    cr_assert(cpu && card);
    MUST(device_open(&device, "cpu", 0, &err));
    follow(curve, &device, DTYPE_F32, cpu);
    static const struct {
        enum dtype dtype;
        double share;
    } rows[] = { { DTYPE_F32, 0.03 }, { DTYPE_BF16, 0.1 }, { DTYPE_F16, 0.05 } };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct experiment experiment = *curve->experiment;
        struct curve here = *curve;
        if (rows[r].dtype == DTYPE_F16)
            experiment.loss_scale =
                (struct loss_scale){ .start = 1024, .floor = 1, .growth_every = 2000 };
        here.experiment = &experiment;
        MUST(card_open(&device, &err));
        follow(&here, &device, rows[r].dtype, card);
        snprintf(what, sizeof what, "%s in %s against the CPU in f32", name,
                 dtype_name(rows[r].dtype));
        compare(curve, card, cpu, rows[r].share, what);
    }
    free(cpu);
    free(card);
}

static struct digest train_on_card(struct small *small, const struct experiment *experiment,
                                   int64_t stop)
{
    struct err err = { 0 };
    struct train_result result = { 0 };
    MUST(fs_remove_tree(small_path(small, "run"), &err));
    for (int start = stop ? 0 : 1; start < 2; start++) {
        struct device device;
        struct train_opts opts = { .opened = &device, .stop_after = start ? 0 : stop };
        MUST(card_open(&device, &err));
        enum code code = small_train(small, experiment, &opts, &result);
        cr_assert(code == (start ? OK : STOPPED));
    }
    return result.digest;
}

#define LAYERS                                                                                     \
    "[{conv: {filters: 4}}, batch_norm, relu, {max_pool: 2}, {dropout: 0.2}, flatten, {dense: 3}]"

static void hold_resume(struct small *small)
{
    static const char *const precisions[] = { "f32", "bf16", "f16" };
    struct experiment experiment;
    for (int p = 0; p < 3; p++) {
        /* f16 begins with overflows */
        const char *keys = arena_format(
            &small->arena,
            "  epochs: 3\n  batch: 16\n  optimizer: {adamw: {lr: 0.02}}\n  precision: %s\n"
            "  ema: {decay: 0.9}\n  clip: {norm: 1}\n  checkpoint: {every: 3st}\n%s",
            precisions[p],
            p == 2 ? "  loss_scale: {dynamic: {start: 4194304, growth_every: 5}}" : "");
        small_experiment(small, &experiment, LAYERS, keys);
        struct digest straight = train_on_card(small, &experiment, 0);
        bool same = true;
        for (int64_t stop = 2; stop <= 7; stop += 5) {
            struct digest resumed = train_on_card(small, &experiment, stop);
            same &= digest_equal(&straight, &resumed);
        }
        report(same, "a run in %s, stopped and resumed: the same checkpoint to the bit",
               precisions[p]);
    }
}

static void hold_demo(struct arena *arena)
{
    static const struct kind *const kinds[] = { &experiment_kind, NULL };
    struct err err = { 0 };
    struct document document;
    struct problems problems = { .arena = arena };
    struct experiment experiment;
    MUST(document_load(&document, arena, "configs/fashion-cnn.yaml", kinds, NULL, &problems, &err));
    MUST(experiment_read(&experiment, arena, &document, &err));
    struct curve curve = { &experiment, SHAPE(28, 28, 1), 10, 200, 2e-3 };
    hold_curve(&curve, "the demo's model");
}

int main(int argc, char **argv)
{
    struct device device;
    struct err err = { 0 };
    struct small small;
    struct experiment experiment;
    if (card_open(&device, &err)) {
        printf("SKIPPED: %s\n", err.message);
        return 77;
    }
    printf("%s\n", device.description);
    device_close(&device);
    small_open(&small);
    small_experiment(&small, &experiment, LAYERS,
                     "  epochs: 1\n  batch: 16\n  optimizer: {adamw: {lr: 0.01}}\n");
    struct curve curve = { &experiment, SHAPE(6, 6, 1), 3, 60, 0.01 };
    hold_curve(&curve, "a small model");
    hold_resume(&small);
    if (argc > 1 && strcmp(argv[1], "demo") == 0) hold_demo(&small.arena);
    small_close(&small);
    printf("%d checks failed\n", report_failures());
    return report_failures() ? 1 : 0;
}
