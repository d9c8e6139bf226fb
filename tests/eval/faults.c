/* Every system call and every large allocation behind an evaluation fails once: afterwards there
 * is a whole report or none, no litter, and an error that says what happened. */
#include "tests/eval/stage.h"

#include "base/h5.h"
#include "eval/predict.h"

#include <errno.h>

static int fail_at, calls; /* what the replaced calls count */

static bool fails(void)
{
    if (++calls != fail_at) return false;
    errno = EIO;
    return true;
}

#define FAILING(type, name, args, pass)                                                            \
    static type failing_##name args                                                                \
    {                                                                                              \
        return fails() ? (type)-1 : fs_calls_real.name pass;                                       \
    }

FAILING(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode))
FAILING(ssize_t, pread, (int fd, void *bytes, size_t len, off_t at), (fd, bytes, len, at))
FAILING(ssize_t, pwrite, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at))
FAILING(int, fsync, (int fd), (fd))
FAILING(int, rename, (const char *from, const char *to), (from, to))
FAILING(int, mkdir, (const char *path, mode_t mode), (path, mode))

static void begin_failing(int at)
{
    fail_at = at;
    calls = 0;
    fs_calls.open = failing_open;
    fs_calls.pread = failing_pread;
    fs_calls.pwrite = failing_pwrite;
    fs_calls.fsync = failing_fsync;
    fs_calls.rename = failing_rename;
    fs_calls.mkdir = failing_mkdir;
}

static int end_failing(void)
{
    fs_calls = fs_calls_real;
    return calls;
}

static bool is_verdict(enum code code)
{
    return code == OK || code == GATE_FAILED || code == INCONCLUSIVE;
}

/* A report that is there is sound; nothing else is left behind. */
static void expect_whole_or_nothing(struct stage *stage, enum code code, const struct err *err,
                                    const char *what, int at)
{
    const char *out = stage_path(stage, "r");
    struct eval_result replayed;
    struct err ignored = { 0 };
    char **names;
    size_t count;
    cr_expect(is_verdict(code) || code == IO || code == NO_MEMORY || code == DAMAGED,
              "%s %d: code %d %s", what, at, code, err->message);
    cr_expect(is_verdict(code) || err->message[0], "%s %d: no message", what, at);
    if (fs_exists(out)) {
        code = gate_replay(out, &(struct replay_opts){ .threads = 1 }, &replayed, &ignored);
        cr_expect(is_verdict(code), "%s %d: the report is not whole: %s", what, at,
                  ignored.message);
        eval_result_release(&replayed);
    } else {
        cr_expect_not(is_verdict(code), "%s %d: a verdict without a report", what, at);
    }
    cr_assert_eq(fs_list(&stage->arena, &names, &count, stage->dir, &ignored), OK);
    for (size_t i = 0; i < count; i++)
        cr_expect_not(text_ends(names[i], ".tmp"), "%s %d left '%s'", what, at, names[i]);
    cr_assert_eq(fs_remove_tree(out, &ignored), OK);
}

static const char suite[] = "goals: [{id: q, metric: accuracy, at_least: 0.5}]\n"
                            "guards: [{metric: accuracy, against: majority, better_by: 0}]\n";

struct prepared {
    struct stage stage;
    struct document document;
    struct problems problems;
    struct eval_inputs inputs;
};

static void prepare(struct prepared *prepared)
{
    struct err err = { 0 };
    stage_open(&prepared->stage, 400, 130, 0.9, TASK_CLASSIFICATION);
    cr_assert_eq(
        stage_suite(&prepared->stage, &prepared->document, &prepared->problems, suite, &err), OK,
        "%s", err.message);
    prepared->inputs = (struct eval_inputs){ .document = &prepared->document,
                                             .problems = &prepared->problems,
                                             .dataset = &prepared->stage.dataset,
                                             .model = "trial@1",
                                             .weights = &prepared->stage.weights,
                                             .threads = 1 };
}

Test(faults, a_failing_call_leaves_a_whole_report_or_none)
{
    struct prepared prepared;
    prepare(&prepared);
    struct stage *stage = &prepared.stage;
    const char *out = stage_path(stage, "r");
    int total = 1, failed = 0;
    for (int at = 0; at <= total; at++) {
        struct eval_result result;
        struct err err = { 0 };
        begin_failing(at);
        enum code code = eval_run(&prepared.inputs, out, &result, &err);
        int count = end_failing();
        if (at == 0) {
            cr_assert_eq(code, OK, "%s", err.message);
            total = count;
        }
        failed += !is_verdict(code);
        eval_result_release(&result);
        expect_whole_or_nothing(stage, code, &err, "call", at);
    }
    /* Reading the processor's name and finding rows for the page's pictures may fail. */
    cr_expect(total > 40 && failed > total * 3 / 4, "%d of %d calls were noticed", failed, total);
    stage_close(stage);
}

Test(faults, a_failing_allocation_leaves_no_report)
{
    struct prepared prepared;
    prepare(&prepared);
    struct stage *stage = &prepared.stage;
    const char *out = stage_path(stage, "r");
    int failed = 0;
    for (uint64_t at = 1; at < 200; at++) {
        struct eval_result result;
        struct err err = { 0 };
        memory_fail_after(at);
        enum code code = eval_run(&prepared.inputs, out, &result, &err);
        memory_fail_after(0);
        eval_result_release(&result);
        expect_whole_or_nothing(stage, code, &err, "allocation", (int)at);
        if (code == OK) break;
        cr_expect_eq(code, NO_MEMORY, "allocation %d: %d %s", (int)at, code, err.message);
        failed++;
    }
    cr_expect_gt(failed, 5, "only %d allocations", failed);
    stage_close(stage);
}

Test(faults, predictions_hold_what_the_model_says)
{
    struct stage stage;
    struct err err = { 0 };
    struct h5 h5 = { 0 };
    uint64_t rows = 0;
    stage_open(&stage, 900, 300, 0.9, TASK_CLASSIFICATION);
    const char *out = stage_path(&stage, "p.h5");
    struct predict_opts opts = { .split = "test", .threads = 2, .call_rows = 64 };
    cr_assert_eq(predict(out, &stage.weights, &stage.dataset, &opts, &rows, &err), OK, "%s",
                 err.message);
    cr_expect_eq(rows, 300);
    static float share[300][STAGE_CLASSES], x[300][STAGE_FEATURES];
    int32_t prediction[300], label[300], stored[300];
    const struct split *split = dataset_split(&stage.dataset, "test");
    cr_assert_eq(dataset_read(&stage.dataset, split_column(split, "x"), 0, 300, x, &err), OK);
    cr_assert_eq(dataset_read(&stage.dataset, split_column(split, "label"), 0, 300, stored, &err),
                 OK);
    cr_assert_eq(h5_open(&h5, out, &err), OK, "%s", err.message);
    cr_assert_eq(h5_read(&h5, "/probability", H5_F32, share, sizeof share, &err), OK);
    cr_assert_eq(h5_read(&h5, "/prediction", H5_I32, prediction, sizeof prediction, &err), OK);
    cr_assert_eq(h5_read(&h5, "/label", H5_I32, label, sizeof label, &err), OK);
    for (int i = 0; i < 300; i++) {
        double sum = 0;
        int best = 0;
        for (int c = 0; c < STAGE_CLASSES; c++) {
            sum += exp((double)x[i][c]);
            if (x[i][c] > x[i][best]) best = c;
        }
        cr_expect_eq(prediction[i], best, "row %d", i);
        cr_expect_eq(label[i], stored[i], "row %d", i);
        for (int c = 0; c < STAGE_CLASSES; c++)
            cr_expect_lt(fabs((double)share[i][c] - exp((double)x[i][c]) / sum), 1e-6, "row %d", i);
    }
    h5_close(&h5);
    opts.split = "none";
    cr_expect_eq(predict(out, &stage.weights, &stage.dataset, &opts, &rows, &err), CONFIG);
    stage_close(&stage);
}

/* What a model must be for this data, each with its message. */
Test(faults, a_model_that_does_not_fit_the_data_is_refused)
{
    static const struct {
        const char *key, *value, *message;
    } rows[] = {
        { "outputs", "5", "the model of 'candidate' gives 5 outputs, 't.h5' has 6 classes" },
        { "task", "\"regression\"",
          "the model of 'candidate' is for regression, 't.h5' is for classification" },
    };
    struct stage stage;
    stage_open(&stage, 400, 130, 0.9, TASK_CLASSIFICATION);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct eval_result result;
        struct err err = { 0 };
        json_t *kept = json_deep_copy(stage.weights.model);
        json_object_set_new(stage.weights.model, rows[i].key,
                            json_loads(rows[i].value, JSON_DECODE_ANY, NULL));
        enum code code = stage_eval(&stage, suite, "r", (struct eval_inputs){ 0 }, &result, &err);
        cr_expect_eq(code, CONFIG, "%zu: %d %s", i, code, err.message);
        cr_expect_str_eq(shown(&stage, err.message), rows[i].message, "%zu: %s", i, err.message);
        json_decref(stage.weights.model);
        stage.weights.model = kept;
        eval_result_release(&result);
    }
    stage_close(&stage);
}

Test(faults, the_suite_digest_is_about_what_is_decided_not_where_files_lie)
{
    static const char *const texts[] = {
        "goals: [{id: q, metric: accuracy, at_least: 0.5}]\n",
        "alpha: 0.05\ngoals:\n  - id: q\n    metric: accuracy\n    at_least: 5e-1\n",
        "goals: [{id: q, metric: accuracy, at_least: 0.51}]\n",
        "goals: [{id: q, metric: accuracy, at_least: 0.5, tolerate: 0.01}]\n",
        "goals: [{id: q, metric: accuracy, at_least: 0.5, why: so}]\n",
    };
    struct digest first = { 0 };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct stage stage;
        struct document document;
        struct problems problems;
        struct suite resolved, parsed;
        struct err err = { 0 };
        stage_open(&stage, 40, 10, 0.9, TASK_CLASSIFICATION);
        cr_assert_eq(stage_suite(&stage, &document, &problems, texts[i], &err), OK);
        cr_assert_eq(suite_resolve(&resolved, &document, &problems, &err), OK, "%s", err.message);
        cr_assert_eq(suite_parse(&parsed, resolved.json, "suite", &err), OK, "%s", err.message);
        cr_expect(digest_equal(&parsed.digest, &resolved.digest));
        if (i == 0) first = resolved.digest;
        cr_expect_eq(digest_equal(&first, &resolved.digest), i < 2, "row %zu", i);
        suite_release(&parsed);
        suite_release(&resolved);
        stage_close(&stage);
    }
}
