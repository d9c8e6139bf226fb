/* A stage for evaluation tests: a table whose columns are the logits of a model that copies
 * them, so that every output is known from the CSV. Column `g` counts 0, 1, 2, ... and is for
 * slices. */
#ifndef PAWL_TESTS_EVAL_STAGE_H
#define PAWL_TESTS_EVAL_STAGE_H

#include "base/fs.h"
#include "base/rng.h"
#include "dataset/import.h"
#include "eval/report.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STAGE_CLASSES = 6, STAGE_FEATURES = STAGE_CLASSES + 1 };

struct stage {
    struct arena arena;
    char dir[64];
    struct dataset dataset;
    struct weights weights, other; /* other: logits damped, so often another answer */
};

/* 0..1 for (row, what). */
static inline double stage_draw(uint64_t row, uint64_t what)
{
    return (double)(rng_mix(row + 1, what) >> 11) * 0x1p-53;
}

/* Writes `rows` rows with labels 0..5 in turn; about `right` of them have their largest logit at
 * the label. For regression the label is a number and only x0 is predicted. */
static inline void stage_csv(struct str *csv, int rows, double right, enum task task)
{
    str_add(csv, "x0,x1,x2,x3,x4,x5,g,y\n");
    for (int r = 0; r < rows; r++) {
        int label = r % STAGE_CLASSES, guess = label;
        if (stage_draw((uint64_t)r, 1) >= right) guess = (label + 1 + r % 5) % STAGE_CLASSES;
        for (int c = 0; c < STAGE_CLASSES; c++) {
            double logit = 2 * stage_draw((uint64_t)r, 10 + (uint64_t)c) - 1;
            if (c == guess) logit += 2.2;
            str_addf(csv, "%.4f,", logit);
        }
        if (task == TASK_REGRESSION)
            str_addf(csv, "%d,%.4f\n", r, stage_draw((uint64_t)r, 3));
        else
            str_addf(csv, "%d,c%d\n", r, label);
    }
}

/* y = W x + b with W = scale * identity on the first `outputs` features. */
static inline void stage_weights(struct weights *weights, int outputs, const float *scale,
                                 const float *shift)
{
    static const char classes[] = ", \"classes\": [\"c0\", \"c1\", \"c2\", \"c3\", \"c4\", \"c5\"]";
    struct str text = { 0 };
    struct err err = { 0 };
    *weights = (struct weights){ 0 };
    str_addf(&text,
             "{\"pawl\": \"model/1\", \"task\": \"%s\", \"input\": {\"column\": \"x\", \"dtype\": "
             "\"f32\", \"shape\": [%d]}, \"outputs\": %d, \"layers\": [{\"dense\": {\"units\": %d, "
             "\"bias\": \"with\"}}], \"loss\": {\"%s\": {%s}}%s}",
             outputs > 1 ? "classification" : "regression", STAGE_FEATURES, outputs, outputs,
             outputs > 1 ? "cross_entropy" : "mse",
             outputs > 1 ? "\"balance\": false, \"label_smoothing\": 0" : "",
             outputs > 1 ? classes : "");
    cr_assert_eq(json_parse(&weights->model, text.at, text.len, "model", &err), OK, "%s",
                 err.message);
    str_release(&text);
    weights->count = 2;
    weights->tensors = ARENA_ARRAY(&weights->arena, 2, struct named_tensor);
    float *w = ARENA_ARRAY(&weights->arena, outputs * STAGE_FEATURES, float);
    float *b = ARENA_ARRAY(&weights->arena, outputs, float);
    for (int o = 0; o < outputs; o++) {
        w[o * STAGE_FEATURES + o] = scale ? scale[o] : 1;
        b[o] = shift ? shift[o] : 0;
    }
    weights->tensors[0] = (struct named_tensor){ "dense_1.bias", DTYPE_F32, SHAPE(outputs), b };
    weights->tensors[1] = (struct named_tensor){ "dense_1.weight", DTYPE_F32,
                                                 SHAPE(outputs, STAGE_FEATURES), w };
    weights->digest = model_digest(weights->model, WEIGHTS_RAW, weights->tensors, 2);
}

static inline const char *stage_path(struct stage *stage, const char *name)
{
    return path_join(&stage->arena, stage->dir, name);
}

/* `rows` rows, `test` of them in split test, the others in train. */
static inline void stage_open(struct stage *stage, int rows, int test, double right, enum task task)
{
    static const float damped[] = { 1, 1, 0.2F, 0.9F, 1, 1 };
    struct str csv = { 0 };
    struct err err = { 0 };
    *stage = (struct stage){ .dir = "/tmp/pawl-test-XXXXXX" };
    cr_assert(mkdtemp(stage->dir));
    stage_csv(&csv, rows, right, task);
    const char *source = stage_path(stage, "t.csv");
    cr_assert_eq(fs_publish_view(source, csv.at, csv.len, &err), OK);
    str_release(&csv);
    struct import_opts opts = { .sources = &source,
                                .count = 1,
                                .out = stage_path(stage, "t.h5"),
                                .target = "y",
                                .task = task,
                                .test = (uint64_t)test };
    cr_assert_eq(import_csv(&opts, &err), OK, "%s", err.message);
    cr_assert_eq(dataset_open(&stage->dataset, opts.out, &err), OK, "%s", err.message);
    int outputs = task == TASK_CLASSIFICATION ? STAGE_CLASSES : 1;
    stage_weights(&stage->weights, outputs, NULL, NULL);
    stage_weights(&stage->other, outputs, damped, NULL);
}

static inline void stage_close(struct stage *stage)
{
    struct err err;
    weights_release(&stage->weights);
    weights_release(&stage->other);
    dataset_close(&stage->dataset);
    cr_expect_eq(fs_remove_tree(stage->dir, &err), OK);
    arena_release(&stage->arena);
}

/* Loads a suite from text whose first lines are filled in. */
static inline enum code stage_suite(struct stage *stage, struct document *document,
                                    struct problems *problems, const char *rest, struct err *err)
{
    struct str text = { 0 };
    str_addf(&text, "pawl: suite/1\nname: trial\ndata: {file: t.h5}\n%s", rest);
    const char *path = stage_path(stage, "suite.yaml");
    cr_assert_eq(fs_publish_view(path, text.at, text.len, err), OK);
    str_release(&text);
    const struct kind *const kinds[] = { &suite_kind, NULL };
    *problems = (struct problems){ .arena = &stage->arena };
    return document_load(document, &stage->arena, path, kinds, NULL, problems, err);
}

/* Evaluates the candidate under a suite, `linear` and `team/x@1` being stage->other and
 * `team/new@prod` missing; the report goes to `out` (relative). */
static inline enum code stage_eval(struct stage *stage, const char *rest, const char *out,
                                   struct eval_inputs inputs, struct eval_result *result,
                                   struct err *err)
{
    struct document document;
    struct problems problems;
    *result = (struct eval_result){ 0 };
    enum code code = stage_suite(stage, &document, &problems, rest, err);
    if (code) return code;
    struct eval_baseline baselines[] = {
        { .name = "linear", .weights = &stage->other },
        { .name = "x@1", .ref = "x@1", .weights = &stage->other },
        { .name = "same@1", .weights = &stage->weights },
        { .name = "new@prod", .missing = true },
    };
    inputs.document = &document;
    inputs.problems = &problems;
    inputs.dataset = &stage->dataset;
    inputs.model = "trial@1";
    if (!inputs.weights && !inputs.predictions) inputs.weights = &stage->weights;
    inputs.baselines = baselines;
    inputs.baseline_count = 4;
    if (!inputs.threads) inputs.threads = 2;
    code = eval_run(&inputs, stage_path(stage, out), result, err);
    if (code == CONFIG && problems.first)
        snprintf(err->message, sizeof err->message, "%.400s", problems.first->message);
    return code;
}

static inline const json_t *stage_gate(const struct eval_result *result, const char *part,
                                       const char *id)
{
    size_t index;
    json_t *gate;
    const json_t *gates = json_object_get(json_object_get(result->json, part), "gates");
    json_array_foreach(gates, index, gate)
    {
        if (strcmp(json_string_value(json_object_get(gate, "id")), id) == 0) return gate;
    }
    cr_assert_fail("no gate %s in %s", id, part);
    return NULL;
}

static inline const char *stage_word(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "(none)";
}

/* The message with the stage's directory taken out. */
static inline const char *shown(struct stage *stage, const char *message)
{
    struct str text = { 0 };
    size_t len = strlen(stage->dir);
    while (*message) {
        if (strncmp(message, stage->dir, len) == 0 && message[len] == '/')
            message += len + 1;
        else
            str_add_char(&text, *message++);
    }
    const char *copy = arena_copy(&stage->arena, str_text(&text));
    str_release(&text);
    return copy;
}

#endif
