/* Running subjects over a split, call by call. */
#include "eval/harness.h"

#include "base/math.h"
#include "eval/attack.h"
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

/* Rows of a call under a perturbation; NULL: as they are. */
static enum code change_rows(const struct scores *scores, const struct perturbing *perturbing,
                             struct attack *attack, void *stored, int64_t row, int64_t rows,
                             int threads, struct err *err)
{
    if (!perturbing) return OK;
    if (!perturbing->kind->adversarial) {
        perturb_rows(perturbing, stored, row, rows, threads);
        return OK;
    }
    const void *target = scores->label ? (const void *)(scores->label + row)
                                       : (const void *)(scores->target + row * scores->width);
    return attack_rows(attack, perturbing, stored, target, row, rows, err);
}

/* One subject: read, run, enter, call by call. */
static enum code run_model(struct scores *scores, struct subject *subject,
                           const struct weights *weights, const struct perturbing *perturbing,
                           const struct exam *exam, const struct harness_opts *opts,
                           struct err *err)
{
    const struct dataset *dataset = exam->dataset;
    const struct split *split = exam->split;
    struct infer *infer = NULL;
    struct attack attack = { 0 };
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
    bool hostile = perturbing && perturbing->kind->adversarial;
    if (hostile && (code = attack_open(&attack, weights, call, threads, err))) goto out;
    for (int64_t row = 0; row < scores->n; row += call) {
        int64_t rows = scores->n - row < call ? scores->n - row : call;
        if ((code = dataset_read(dataset, input, (uint64_t)row, (uint64_t)rows, memory, err)))
            goto out;
        if ((code = change_rows(scores, perturbing, &attack, memory, row, rows, threads, err)))
            goto out;
        if ((code = infer_run(infer, output, memory, rows, err))) goto out;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int64_t i = 0; i < rows; i++)
            scores_enter(scores, subject, row + i, output + i * outputs);
    }
out:
    attack_close(&attack);
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

/* Answers of another program, row by row; the exam's order is theirs. */
static enum code run_predictions(struct scores *scores, struct subject *subject,
                                 const struct predictions *predictions, struct err *err)
{
    struct arena arena = { 0 };
    int64_t classes = scores->classes, width = scores->width;
    (void)err;
    float *scratch = ARENA_ARRAY(&arena, classes + 1, float);
    for (int64_t i = 0; i < scores->n; i++) {
        if (predictions->nll)
            scores_enter_tokens(scores, subject, i, predictions);
        else if (scores->task == TASK_REGRESSION)
            scores_enter(scores, subject, i, predictions->predicted + i * width);
        else if (subject->hard)
            scores_enter_class(scores, subject, i, predictions->prediction[i]);
        else
            scores_enter_shares(scores, subject, i, predictions->probability + i * classes,
                                predictions->prediction[i], scratch);
    }
    arena_release(&arena);
    return OK;
}

/* The seed of a perturbation: it belongs to the rows, so that every model meets the same ones. */
static uint64_t condition_seed(const struct exam *exam)
{
    uint64_t seed = 0;
    for (int i = 0; i < 8; i++) seed |= (uint64_t)exam->digest.bytes[i] << (8 * i);
    return seed;
}

static enum code run_subject(struct scores *scores, size_t who, const struct suite *suite,
                             const struct exam *exam, const struct contestant *contestant,
                             const struct harness_opts *opts, struct err *err)
{
    for (size_t c = 0; c < scores->condition_count; c++) {
        struct subject *subject = scores_subject(scores, who, c);
        struct perturbing how;
        if (subject->missing) continue;
        if (c) {
            how = suite->perturbs[c - 1].how;
            perturb_begin(&how, exam->dataset, split_column(exam->split, exam->dataset->input),
                          condition_seed(exam));
        }
        if (contestant->predictions)
            TRY(run_predictions(scores, subject, contestant->predictions, err));
        else if (contestant->weights)
            TRY(run_model(scores, subject, contestant->weights, c ? &how : NULL, exam, opts, err));
        else
            TRY(run_majority(scores, subject, suite, exam->dataset, err));
    }
    return OK;
}

/* What there will be of every subject under every condition. */
static enum presence *expect(struct arena *arena, const struct suite *suite,
                             const struct contestant *subjects)
{
    size_t count = 1 + suite->baseline_count, all = count * (1 + suite->perturb_count);
    enum presence *presence = ARENA_ARRAY(arena, all, enum presence);
    for (size_t i = 0; i < all; i++) {
        const struct contestant *subject = &subjects[i % count];
        const struct predictions *p = subject->predictions;
        if (subject->missing || (p && i >= count))
            presence[i] = SUBJECT_MISSING;
        else if (p && p->task == TASK_CLASSIFICATION && !p->probability)
            presence[i] = SUBJECT_HARD;
    }
    return presence;
}

/* Which rows belong together: whole numbers of a column. */
static enum code read_clusters(struct scores *scores, const struct suite *suite,
                               const struct exam *exam, struct err *err)
{
    void *memory = NULL;
    if (!suite->cluster) return OK;
    TRY(block_alloc(&memory, (size_t)scores->n * sizeof(double) + 8, "a column", err));
    double *number = memory;
    enum code code = exam_numbers(exam, number, suite->cluster, err);
    for (int64_t i = 0; i < scores->n && !code; i++) {
        if (number[i] == floor(number[i]) && fabs(number[i]) <= 9e15)
            scores->cluster[i] = (int64_t)number[i];
        else
            code = err_set(err, DAMAGED,
                           "'%s' has %g in row %lld of column '%s': clusters are "
                           "whole numbers",
                           exam->name, number[i], (long long)scores->id[i], suite->cluster);
    }
    block_free(memory);
    return code;
}

/* `subjects` may be NULL: there is nothing to join. */
static enum code read_rows(struct scores *scores, const struct suite *suite,
                           const struct exam *exam, const struct contestant *subjects,
                           struct err *err)
{
    for (size_t s = 0; s < scores->subject_count; s++)
        if (subjects && subjects[s].predictions)
            TRY(exam_join(exam, subjects[s].predictions, s ? "baseline predictions" : "predictions",
                          err));
    TRY(exam_truth(exam, scores->id, scores->label, scores->target, err));
    TRY(read_clusters(scores, suite, exam, err));
    return scores_slices(scores, suite, exam, err);
}

static struct scores_shape shape_of(const struct suite *suite, const struct exam *exam)
{
    const struct predictions *p = exam->predictions;
    return (struct scores_shape){ .task = exam->task,
                                  .n = exam->n,
                                  .classes = exam->classes,
                                  .width = exam->width,
                                  .clusters = suite->cluster != NULL,
                                  .bytes = p && p->bytes,
                                  .correct = p && p->correct };
}

enum code harness_rows(struct scores *scores, const struct suite *suite, const struct exam *exam,
                       struct err *err)
{
    struct scores_shape shape = shape_of(suite, exam);
    struct arena arena = { 0 };
    size_t all = (1 + suite->baseline_count) * (1 + suite->perturb_count);
    enum presence *none = ARENA_ARRAY(&arena, all, enum presence);
    for (size_t i = 0; i < all; i++) none[i] = SUBJECT_MISSING;
    *scores = (struct scores){ 0 };
    enum code code = scores_init(scores, suite, &shape, none, err);
    if (!code) code = read_rows(scores, suite, exam, NULL, err);
    if (code) scores_release(scores);
    arena_release(&arena);
    return code;
}

enum code harness_run(struct scores *scores, const struct suite *suite, const struct exam *exam,
                      const struct contestant *subjects, const struct harness_opts *opts,
                      struct err *err)
{
    struct arena arena = { 0 };
    struct scores_shape shape = shape_of(suite, exam);
    *scores = (struct scores){ 0 };
    enum code code = scores_init(scores, suite, &shape, expect(&arena, suite, subjects), err);
    if (!code) code = read_rows(scores, suite, exam, subjects, err);
    for (size_t s = 0; s < scores->subject_count && !code; s++)
        code = run_subject(scores, s, suite, exam, &subjects[s], opts, err);
    if (!code && subjects[0].weights)
        code = harness_measure(scores, subjects[0].weights, exam->dataset, exam->split, opts, err);
    if (code) scores_release(scores);
    arena_release(&arena);
    return code;
}
