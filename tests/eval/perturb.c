/* Perturbations: what each does to a row, the same bits for any call and thread, attacks along the
 * gradient that the arithmetic gives, and gates on changed rows. */
#include "tests/eval/stage.h"

#include "eval/attack.h"

enum { ROWS = 40, SIDE = 12, COUNT = SIDE * SIDE };

struct canvas {
    double mean[COUNT], deviation[COUNT];
    struct dataset dataset;
    struct column image, table;
    uint8_t pixel[ROWS * COUNT];
    float number[ROWS * COUNT];
};

static void canvas_fill(struct canvas *canvas)
{
    for (int i = 0; i < COUNT; i++) canvas->mean[i] = 60, canvas->deviation[i] = 2;
    canvas->dataset = (struct dataset){ .mean = canvas->mean, .deviation = canvas->deviation };
    canvas->image = (struct column){ .type = H5_U8, .rank = 4, .dim = { ROWS, SIDE, SIDE, 1 } };
    canvas->table = (struct column){ .type = H5_F32, .rank = 2, .dim = { ROWS, COUNT } };
    for (int i = 0; i < ROWS * COUNT; i++) {
        canvas->pixel[i] = (uint8_t)(100 + rng_mix((uint64_t)i, 7) % 50);
        canvas->number[i] = (float)(canvas->pixel[i]) / 10;
    }
}

/* Changes all rows in calls of `call` rows. */
static void change(struct canvas *canvas, const char *with, bool image, int call, int threads)
{
    struct perturbing how;
    struct err err = { 0 };
    json_t *json = NULL;
    cr_assert_eq(json_parse(&json, with, strlen(with), "with", &err), OK, "%s", err.message);
    cr_assert_eq(perturb_read(&how, json, "test", &err), OK, "%s", err.message);
    json_decref(json);
    canvas_fill(canvas);
    perturb_begin(&how, &canvas->dataset, image ? &canvas->image : &canvas->table, 11);
    for (int row = 0; row < ROWS; row += call) {
        int rows = ROWS - row < call ? ROWS - row : call;
        void *at = image ? (void *)(canvas->pixel + row * COUNT)
                         : (void *)(canvas->number + row * COUNT);
        perturb_rows(&how, at, row, rows, threads);
    }
}

struct kind_row {
    const char *with;
    bool image;
    double mean_low, mean_high, spread_low,
        spread_high;                  /* of the changes, in pixels or deviations */
    double changed_low, changed_high; /* share of numbers that changed */
};

static const struct kind_row kinds[] = {
    { "{\"gaussian_noise\": {\"sigma\": 0.05}}", true, -0.6, 0.6, 12.2, 13.3, 0.93, 1 },
    { "{\"blur\": {\"sigma\": 1.5}}", true, -0.6, 0.6, 10, 16, 0.9, 1 },
    { "{\"brightness\": {\"add\": 0.2}}", true, 51, 51, 0, 0, 1, 1 },
    { "{\"contrast\": {\"factor\": 0.5}}", true, -0.3, 0.3, 6.5, 8, 0.9, 1 },
    { "{\"occlusion\": {\"size\": 0.5}}", true, -20, -14, 0, 60, 0.25, 0.25 },
    { "{\"shift\": {\"pixels\": 3}}", true, -1, 1, 15, 22, 0.8, 1 },
    { "{\"feature_noise\": {\"sigma\": 0.5}}", false, -0.03, 0.03, 0.48, 0.52, 0.99, 1 },
    { "{\"missing\": {\"rate\": 0.25}}", false, 0, 12, 0, 12, 0.23, 0.27 },
};

Test(perturb, kinds_change_rows_as_they_say)
{
    struct canvas *was = calloc(1, sizeof *was), *is = calloc(1, sizeof *is);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const struct kind_row *row = &kinds[k];
        double sum = 0, square = 0, changed = 0, n = ROWS * COUNT;
        canvas_fill(was);
        change(is, row->with, row->image, ROWS, 2);
        for (int i = 0; i < ROWS * COUNT; i++) {
            double by = row->image ? is->pixel[i] - was->pixel[i]
                                   : (double)(is->number[i] - was->number[i]) / 2;
            sum += by;
            square += by * by;
            changed += by != 0;
        }
        double mean = sum / n, spread = sqrt(square / n - mean * mean);
        cr_expect(mean >= row->mean_low && mean <= row->mean_high, "%s: mean %g", row->with, mean);
        cr_expect(spread >= row->spread_low && spread <= row->spread_high + 1e-9, "%s: spread %g",
                  row->with, spread);
        cr_expect(changed / n >= row->changed_low && changed / n <= row->changed_high,
                  "%s: changed %g", row->with, changed / n);
    }
    free(was);
    free(is);
}

/* All kinds together, in calls of several sizes and on several threads; the digest was taken once
 * and holds on every machine. */
Test(perturb, rows_are_the_same_bits_for_any_call_and_thread)
{
    static const int calls[][2] = { { ROWS, 1 }, { 1, 1 }, { 7, 2 }, { 16, 3 } };
    struct canvas *canvas = calloc(1, sizeof *canvas);
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++) {
        struct sha256 sha;
        struct digest digest;
        char text[DIGEST_TEXT];
        sha256_begin(&sha);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            change(canvas, kinds[k].with, kinds[k].image, calls[c][0], calls[c][1]);
            sha256_add(&sha, canvas->pixel, sizeof canvas->pixel);
            sha256_add(&sha, canvas->number, sizeof canvas->number);
        }
        sha256_end(&sha, &digest);
        cr_expect_str_eq(digest_text(&digest, text),
                         "sha256:cc54639493915164f76c512e61d2aab67c4b4a231b6f37a28d2ec34ce5a930b4",
                         "%d rows, %d threads: %s", calls[c][0], calls[c][1], text);
    }
    free(canvas);
}

/* The stage's model copies features into logits, so the gradient by feature j is the softmax less 1
 * at the label: along its sign the label's feature goes down, the others up, and column g, which
 * has no weight, stays. */
Test(perturb, fgsm_follows_the_gradient_of_the_loss)
{
    struct stage stage;
    stage_open(&stage, 400, 200, 0.9, TASK_CLASSIFICATION);
    const struct split *split = dataset_split(&stage.dataset, "test");
    const struct column *input = split_column(split, stage.dataset.input);
    float was[200 * STAGE_FEATURES], is[200 * STAGE_FEATURES];
    int32_t label[200];
    struct err err = { 0 };
    struct attack attack;
    struct perturbing how;
    json_t *with = json_pack("{s:{s:f}}", "fgsm", "epsilon", 0.25);
    cr_assert_eq(perturb_read(&how, with, "test", &err), OK);
    json_decref(with);
    cr_assert_eq(dataset_read(&stage.dataset, input, 0, 200, was, &err), OK);
    cr_assert_eq(dataset_read(&stage.dataset, split_column(split, "label"), 0, 200, label, &err),
                 OK);
    perturb_begin(&how, &stage.dataset, input, 3);
    cr_assert_eq(attack_open(&attack, &stage.weights, 200, 2, &err), OK, "%s", err.message);
    memcpy(is, was, sizeof is);
    cr_assert_eq(attack_rows(&attack, &how, is, label, 0, 200, &err), OK, "%s", err.message);
    attack_close(&attack);
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < STAGE_FEATURES; j++) {
            double by = (double)(is[i * STAGE_FEATURES + j] - was[i * STAGE_FEATURES + j]);
            double want = 0.25 * stage.dataset.deviation[j];
            if (j == label[i]) want = -want;
            if (j == STAGE_CLASSES) want = 0;
            cr_assert_float_eq(by, want, 1e-5, "row %d feature %d: %g, not %g", i, j, by, want);
        }
    }
    stage_close(&stage);
}

#define HARD                                                                                       \
    "perturb:\n"                                                                                   \
    "  - {name: noisy, with: {feature_noise: {sigma: 0.3}}}\n"                                     \
    "  - {name: gone, with: {missing: 0.2}}\n"                                                     \
    "  - {name: hostile, with: {fgsm: {epsilon: 0.4}}}\n"                                          \
    "  - {name: worse, with: {pgd: {epsilon: 0.4, steps: 8, step: 0.1}}}\n"                        \
    "goals: [{id: clean, metric: accuracy, at_least: 0.85}]\n"                                     \
    "guards:\n"                                                                                    \
    "  - {id: noise, metric: accuracy, perturb: noisy, at_least: 0.6}\n"                           \
    "  - {id: noise-gain, metric: accuracy, perturb: noisy, against: linear, not_worse_by: 0.2}\n" \
    "  - {id: drop, metric: robustness_drop, perturb: gone, at_most: 0.6}\n"                       \
    "  - {id: attack, metric: accuracy, perturb: hostile, at_least: 0.85, severity: warn}\n"

static double value_under(const struct eval_result *result, const char *condition)
{
    size_t index;
    json_t *value;
    json_array_foreach(json_object_get(json_object_get(result->json, "quality"), "values"), index,
                       value)
    {
        if (strcmp(stage_word(value, "condition"), condition) == 0 &&
            strcmp(stage_word(value, "metric"), "accuracy") == 0 &&
            strcmp(stage_word(value, "slice"), "all") == 0 &&
            strcmp(stage_word(value, "subject"), "candidate") == 0)
            return json_number_value(json_object_get(value, "value"));
    }
    return NAN;
}

/* Calls and threads change nothing of `quality`, perturbed and attacked rows included. */
Test(perturb, gates_decide_on_changed_rows_and_replay)
{
    static const struct {
        int64_t call;
        int threads;
    } ways[] = { { 0, 2 }, { 64, 1 } };
    struct stage stage;
    stage_open(&stage, 2200, 1100, 0.95, TASK_CLASSIFICATION);
    struct digest first;
    for (size_t w = 0; w < sizeof ways / sizeof *ways; w++) {
        struct eval_result result, again;
        struct err err = { 0 };
        const char *out = arena_format(&stage.arena, "r%zu", w);
        struct eval_inputs inputs = { .call_rows = ways[w].call, .threads = ways[w].threads };
        enum code code = stage_eval(&stage, HARD, out, inputs, &result, &err);
        cr_assert_eq(code, OK, "%d: %s", code, err.message);
        struct digest quality = json_digest(json_object_get(result.json, "quality"));
        if (w == 0) first = quality;
        cr_expect(digest_equal(&quality, &first), "way %zu", w);
        double clean = value_under(&result, "clean"), hostile = value_under(&result, "hostile"),
               worse = value_under(&result, "worse"), noisy = value_under(&result, "noisy");
        cr_expect(noisy < clean && hostile < clean - 0.1 && worse <= hostile + 0.02,
                  "clean %g, noisy %g, hostile %g, worse %g", clean, noisy, hostile, worse);
        cr_expect_str_eq(stage_word(stage_gate(&result, "quality", "attack"), "verdict"), "fail");
        if (w == 0)
            cr_expect_eq(gate_replay(stage_path(&stage, out), &(struct replay_opts){ .threads = 1 },
                                     &again, &err),
                         OK, "%s", err.message);
        if (w == 0) eval_result_release(&again);
        eval_result_release(&result);
    }
    stage_close(&stage);
}
