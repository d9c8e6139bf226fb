/* Running subjects over a split, call by call. */
#include "eval/harness.h"

#include "base/math.h"
#include "eval/harness_slices.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { CALL_ROWS = 4096 };

enum code harness_fits(const struct model_io *io, const struct dataset *dataset,
                       const struct split *split, const char *what, struct err *err)
{
    const struct column *column = split_column(split, dataset->input);
    struct shape row = { .rank = column->rank - 1 };
    for (int d = 1; d < column->rank; d++) row.dim[d - 1] = (int64_t)column->dim[d];
    char wanted[SHAPE_TEXT], there[SHAPE_TEXT];
    enum dtype dtype = column->type == H5_U8 ? DTYPE_U8 : DTYPE_F32;
    if (!shape_equal(&io->input, &row) || io->input_dtype != dtype)
        return err_set(err, CONFIG, "%s takes rows of %s %s, '%s' has %s %s", what,
                       dtype_name(io->input_dtype), shape_text(&io->input, wanted), dataset->path,
                       dtype_name(dtype), shape_text(&row, there));
    bool classes = dataset->task == TASK_CLASSIFICATION;
    if (io->classification != classes)
        return err_set(err, CONFIG, "%s is for %s, '%s' is for %s", what,
                       io->classification ? "classification" : "regression", dataset->path,
                       classes ? "classification" : "regression");
    const struct column *target = split_column(split, dataset->target);
    int64_t outputs = dataset->classes;
    if (!classes) {
        outputs = io->outputs; /* rows without targets can be predicted all the same */
        if (target) outputs = target->rank > 1 ? (int64_t)target->dim[1] : 1;
    }
    if (io->outputs != outputs)
        return err_set(err, CONFIG, "%s gives %lld outputs, '%s' has %lld %s", what,
                       (long long)io->outputs, dataset->path, (long long)outputs,
                       classes ? "classes" : "targets");
    return OK;
}

static enum code read_targets(struct scores *scores, const struct dataset *dataset,
                              const struct split *split, struct err *err)
{
    const struct column *target = split_column(split, dataset->target);
    bool classes = scores->task == TASK_CLASSIFICATION;
    if (target->type != (classes ? H5_I32 : H5_F32))
        return err_set(err, DAMAGED, "column '%s' of '%s' has another type than its task wants",
                       dataset->target, dataset->path);
    void *at = classes ? (void *)scores->label : (void *)scores->target;
    for (int64_t i = 0; i < scores->n; i++) scores->id[i] = i;
    TRY(dataset_read(dataset, target, 0, (uint64_t)scores->n, at, err));
    for (int64_t i = 0; classes && i < scores->n; i++)
        if (scores->label[i] < 0 || scores->label[i] >= scores->classes)
            return err_set(err, DAMAGED,
                           "'%s' has label %d in row %lld of split '%s', classes are "
                           "0 to %lld",
                           dataset->path, scores->label[i], (long long)i, split->name,
                           (long long)scores->classes - 1);
    for (int64_t i = 0; !classes && i < scores->n * scores->width; i++)
        if (!isfinite(scores->target[i]))
            return err_set(err, DAMAGED,
                           "'%s' has a target that is not finite in row %lld of split "
                           "'%s'",
                           dataset->path, (long long)(i / scores->width), split->name);
    return OK;
}

/* One subject: read, run, enter, call by call. */
static enum code run_model(struct scores *scores, struct subject *subject,
                           const struct weights *weights, const struct dataset *dataset,
                           const struct split *split, const struct harness_opts *opts,
                           struct err *err)
{
    struct infer *infer = NULL;
    void *memory = NULL;
    const struct column *input = split_column(split, dataset->input);
    int64_t call = opts->call_rows > 0 ? opts->call_rows : CALL_ROWS;
    call = (call + INFER_TILE_CPU - 1) / INFER_TILE_CPU * INFER_TILE_CPU;
    int64_t outputs = scores->task == TASK_CLASSIFICATION ? scores->classes : scores->width;
    size_t in_bytes = (size_t)call * input->row_bytes;
    in_bytes = (in_bytes + 127) / 128 * 128;
    struct infer_opts how = { .device = opts->device, .threads = opts->threads };
    int threads = opts->threads > 0 ? opts->threads : omp_get_max_threads();
    const char *what = arena_format(&scores->arena, "the model of '%s'", subject->name);
    struct model_io io;
    enum code code = model_io_read(&io, weights->model, err);
    if (code) goto out;
    if ((code = harness_fits(&io, dataset, split, what, err))) goto out;
    if ((code = infer_open(&infer, weights, &how, err))) goto out;
    if ((code = block_alloc(&memory, in_bytes + (size_t)(call * outputs) * sizeof(float),
                            "rows of one call", err)))
        goto out;
    float *output = (float *)(void *)((char *)memory + in_bytes);
    for (int64_t row = 0; row < scores->n; row += call) {
        int64_t rows = scores->n - row < call ? scores->n - row : call;
        if ((code = dataset_read(dataset, input, (uint64_t)row, (uint64_t)rows, memory, err)))
            goto out;
        if ((code = infer_run(infer, output, memory, rows, err))) goto out;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t i = 0; i < rows; i++)
            scores_enter(scores, subject, row + i, output + i * outputs);
    }
out:
    block_free(memory);
    infer_close(infer);
    return code;
}

/* Always the same answer: the class frequencies of the training split, one added to each so that no
 * class is impossible. */
static enum code run_majority(struct scores *scores, struct subject *subject,
                              const struct suite *suite, const struct dataset *dataset,
                              struct err *err)
{
    const struct split *train = dataset_split(dataset, suite->train_split);
    if (!train)
        return err_set(err, CONFIG, "'%s' has no split '%s' to count classes in", dataset->path,
                       suite->train_split);
    struct arena arena = { 0 };
    int64_t *counts = ARENA_ARRAY(&arena, scores->classes, int64_t), all = 0;
    float *output = ARENA_ARRAY(&arena, scores->classes, float);
    enum code code = dataset_class_counts(dataset, train, counts, err);
    for (int64_t c = 0; !code && c < scores->classes; c++) all += counts[c] + 1;
    for (int64_t c = 0; !code && c < scores->classes; c++)
        output[c] = (float)math_log((double)(counts[c] + 1) / (double)all);
    for (int64_t i = 0; !code && i < scores->n; i++) scores_enter(scores, subject, i, output);
    arena_release(&arena);
    return code;
}

enum code harness_run(struct scores *scores, const struct suite *suite,
                      const struct dataset *dataset, const struct contestant *subjects,
                      const struct harness_opts *opts, struct err *err)
{
    *scores = (struct scores){ 0 };
    struct arena arena = { 0 };
    const struct split *split = dataset_split(dataset, suite->split);
    enum code code = OK;
    if (!split) {
        code = err_set(err, CONFIG, "'%s' has no split '%s'", dataset->path, suite->split);
        goto out;
    }
    const struct column *target = split_column(split, dataset->target);
    struct scores_shape shape = { .task = dataset->task,
                                  .n = (int64_t)split->rows,
                                  .classes = dataset->classes,
                                  .width = target->rank > 1 ? (int64_t)target->dim[1] : 1 };
    bool *missing = ARENA_ARRAY(&arena, suite->baseline_count + 1, bool);
    for (size_t b = 0; b < suite->baseline_count; b++) missing[b] = subjects[b + 1].missing;
    if ((code = scores_init(scores, suite, &shape, missing, err))) goto out;
    if ((code = read_targets(scores, dataset, split, err))) goto out;
    if ((code = scores_slices(scores, suite, dataset, split, err))) goto out;
    for (size_t s = 0; s < scores->subject_count && !code; s++) {
        struct subject *subject = &scores->subjects[s];
        if (subject->missing) continue;
        code = subjects[s].weights
                   ? run_model(scores, subject, subjects[s].weights, dataset, split, opts, err)
                   : run_majority(scores, subject, suite, dataset, err);
    }
    if (!code) code = harness_measure(scores, subjects[0].weights, dataset, split, opts, err);
out:
    if (code) scores_release(scores);
    arena_release(&arena);
    return code;
}
