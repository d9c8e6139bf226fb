/* Rows of a split or of a file of predictions behind one face. */
#include "eval/exam.h"

#include <math.h>
#include <string.h>

const char *exam_task_text(unsigned task)
{
    static const char *const texts[] = {
        [TASK_CLASSIFICATION] = "classification",
        [TASK_REGRESSION] = "regression",
        [TASK_TOKENS] = "tokens",
    };
    return texts[task];
}

void exam_of_dataset(struct exam *exam, const struct dataset *dataset, const struct split *split)
{
    const struct column *target = split ? split_column(split, dataset->target) : NULL;
    *exam = (struct exam){ .dataset = dataset,
                           .split = split,
                           .task = dataset->task,
                           .classes = dataset->classes,
                           .width = target && target->rank > 1 ? (int64_t)target->dim[1] : 1,
                           .name = dataset->path,
                           .class_names = dataset->class_names };
    if (!split) return;
    exam->n = (int64_t)split->rows;
    exam->split_name = split->name;
    exam->digest = split->digest;
}

/* What is asked, without what was answered: two candidates on the same rows have the same digest.
 */
static struct digest truth_digest(const struct predictions *p)
{
    struct sha256 sha;
    struct digest digest;
    size_t n = (size_t)p->n;
    int64_t shape[] = { p->task, p->n, p->width };
    sha256_begin(&sha);
    sha256_add(&sha, shape, sizeof shape);
    sha256_add(&sha, p->id, n * sizeof *p->id);
    if (p->label) sha256_add(&sha, p->label, n * sizeof *p->label);
    if (p->target) sha256_add(&sha, p->target, n * (size_t)p->width * sizeof *p->target);
    for (size_t c = 0; c < p->column_count; c++) {
        sha256_add(&sha, p->columns[c].name, strlen(p->columns[c].name) + 1);
        sha256_add(&sha, p->columns[c].value, n * sizeof(double));
    }
    sha256_end(&sha, &digest);
    return digest;
}

enum code exam_of_predictions(struct exam *exam, const struct predictions *predictions,
                              struct err *err)
{
    *exam = (struct exam){ .predictions = predictions,
                           .task = predictions->task,
                           .n = predictions->n,
                           .classes = predictions->classes,
                           .width = predictions->width,
                           .name = predictions->path,
                           .split_name = "predictions",
                           .digest = truth_digest(predictions) };
    if (predictions->label || predictions->target || predictions->nll) return OK;
    return err_set(err, DAMAGED, "'%s' has no column '%s'", predictions->path,
                   predictions->task == TASK_CLASSIFICATION ? "label" : "target");
}

static enum code join_shape(const struct exam *exam, const struct predictions *p, const char *what,
                            struct err *err)
{
    if (p->task != exam->task)
        return err_set(err, DAMAGED, "%s '%s' is for another task than '%s'", what, p->path,
                       exam->name);
    if (p->classes > exam->classes || (p->probability && p->classes != exam->classes))
        return err_set(err, DAMAGED, "%s '%s' has %lld classes, '%s' has %lld", what, p->path,
                       (long long)p->classes, exam->name, (long long)exam->classes);
    bool bytes = exam->predictions && exam->predictions->bytes,
         correct = exam->predictions && exam->predictions->correct;
    if (p->nll && ((bytes && !p->bytes) || (correct && !p->correct)))
        return err_set(err, DAMAGED, "%s '%s' has no column '%s', which '%s' has", what, p->path,
                       bytes && !p->bytes ? "bytes" : "correct", exam->name);
    if (p->width != exam->width)
        return err_set(err, DAMAGED, "%s '%s' has %lld numbers a row, '%s' has %lld", what, p->path,
                       (long long)p->width, exam->name, (long long)exam->width);
    char here[DIGEST_TEXT];
    if (p->data && exam->dataset && strcmp(p->data, digest_text(&exam->digest, here)) != 0)
        return err_set(err, DAMAGED, "%s '%s' is of other data (%.19s...) than split '%s' of '%s'",
                       what, p->path, p->data, exam->split_name, exam->name);
    return OK;
}

/* The id of row i of the exam. */
static int64_t exam_id(const struct exam *exam, int64_t i)
{
    return exam->dataset ? i : exam->predictions->id[i];
}

/* Both are in the order of ids: the first place where they part says what is missing. */
static enum code join_ids(const struct exam *exam, const struct predictions *p, const char *what,
                          struct err *err)
{
    for (int64_t i = 0; i < exam->n || i < p->n; i++) {
        bool missing = i >= p->n || (i < exam->n && p->id[i] > exam_id(exam, i));
        if (!missing && i < exam->n && p->id[i] == exam_id(exam, i)) continue;
        if (missing)
            return err_set(err, DAMAGED, "%s '%s' has nothing for row %lld of '%s'", what, p->path,
                           (long long)exam_id(exam, i), exam->name);
        return err_set(err, DAMAGED, "%s '%s' has row %lld, which '%s' has not", what, p->path,
                       (long long)p->id[i], exam->name);
    }
    return OK;
}

static enum code join_truth(const struct predictions *p, const int32_t *label, const float *target,
                            const char *what, const char *name, struct err *err)
{
    for (int64_t i = 0; p->label && label && i < p->n; i++)
        if (p->label[i] != label[i])
            return err_set(err, DAMAGED, "%s '%s' has label %d in row %lld, '%s' has %d", what,
                           p->path, p->label[i], (long long)p->id[i], name, label[i]);
    for (int64_t i = 0; p->target && target && i < p->n * p->width; i++)
        if (fabsf(p->target[i] - target[i]) > 1e-5F * fabsf(target[i]))
            return err_set(err, DAMAGED, "%s '%s' has target %g in row %lld, '%s' has %g", what,
                           p->path, (double)p->target[i], (long long)p->id[i / p->width], name,
                           (double)target[i]);
    return OK;
}

/* Two models are compared on the same tokens. */
static enum code join_tokens(const struct exam *exam, const struct predictions *p, const char *what,
                             struct err *err)
{
    for (int64_t i = 0; p->nll && i < p->n; i++)
        if (p->tokens[i] != exam->predictions->tokens[i])
            return err_set(err, DAMAGED, "%s '%s' has %g tokens in row %lld, '%s' has %g", what,
                           p->path, p->tokens[i], (long long)p->id[i], exam->name,
                           exam->predictions->tokens[i]);
    return OK;
}

enum code exam_join(const struct exam *exam, const struct predictions *predictions,
                    const char *what, struct err *err)
{
    void *memory = NULL;
    TRY(join_shape(exam, predictions, what, err));
    TRY(join_ids(exam, predictions, what, err));
    if (predictions->nll) return join_tokens(exam, predictions, what, err);
    if (!exam->dataset)
        return join_truth(predictions, exam->predictions->label, exam->predictions->target, what,
                          exam->name, err);
    size_t n = (size_t)exam->n, width = (size_t)exam->width;
    TRY(block_alloc(&memory, n * (8 + 4 * width) + 8, "labels", err));
    int64_t *id = memory;
    int32_t *label = exam->task == TASK_CLASSIFICATION ? (int32_t *)(void *)(id + n) : NULL;
    float *target = label ? NULL : (float *)(void *)(id + n);
    enum code code = exam_truth(exam, id, label, target, err);
    if (!code) code = join_truth(predictions, label, target, what, exam->name, err);
    block_free(memory);
    return code;
}

static enum code read_truth(const struct exam *exam, int32_t *label, float *target, struct err *err)
{
    const struct dataset *dataset = exam->dataset;
    const struct column *column = split_column(exam->split, dataset->target);
    bool classes = exam->task == TASK_CLASSIFICATION;
    if (!column || column->type != (classes ? H5_I32 : H5_F32))
        return err_set(err, DAMAGED, "column '%s' of '%s' has another type than its task wants",
                       dataset->target, dataset->path);
    void *at = classes ? (void *)label : (void *)target;
    TRY(dataset_read(dataset, column, 0, (uint64_t)exam->n, at, err));
    for (int64_t i = 0; classes && i < exam->n; i++)
        if (label[i] < 0 || label[i] >= exam->classes)
            return err_set(err, DAMAGED,
                           "'%s' has label %d in row %lld of split '%s', classes are "
                           "0 to %lld",
                           dataset->path, label[i], (long long)i, exam->split->name,
                           (long long)exam->classes - 1);
    for (int64_t i = 0; !classes && i < exam->n * exam->width; i++)
        if (!isfinite(target[i]))
            return err_set(err, DAMAGED,
                           "'%s' has a target that is not finite in row %lld of split "
                           "'%s'",
                           dataset->path, (long long)(i / exam->width), exam->split->name);
    return OK;
}

enum code exam_truth(const struct exam *exam, int64_t *id, int32_t *label, float *target,
                     struct err *err)
{
    size_t n = (size_t)exam->n;
    for (int64_t i = 0; i < exam->n; i++) id[i] = exam_id(exam, i);
    if (exam->dataset) return read_truth(exam, label, target, err);
    if (exam->task == TASK_CLASSIFICATION)
        memcpy(label, exam->predictions->label, n * sizeof *label);
    else if (target)
        memcpy(target, exam->predictions->target, n * (size_t)exam->width * sizeof *target);
    return OK;
}

static bool is_scalar_column(const struct column *column)
{
    uint64_t numbers = 1;
    for (int d = 1; d < column->rank; d++) numbers *= column->dim[d];
    return numbers == 1;
}

/* The number of an input feature, or -1. */
static int64_t feature_of(const struct exam *exam, const char *name)
{
    const struct dataset *dataset = exam->dataset;
    for (size_t f = 0; dataset->feature_names && f < dataset->constants; f++)
        if (strcmp(dataset->feature_names[f], name) == 0) return (int64_t)f;
    return -1;
}

enum exam_column exam_has(const struct exam *exam, const char *name)
{
    const struct column *column = exam->split ? split_column(exam->split, name) : NULL;
    if (column && is_scalar_column(column)) return EXAM_COLUMN;
    if (exam->dataset && feature_of(exam, name) >= 0) return EXAM_COLUMN;
    if (exam->predictions && predictions_column(exam->predictions, name)) return EXAM_COLUMN;
    return column ? EXAM_WIDE_COLUMN : EXAM_NO_COLUMN;
}

const char *exam_columns(struct arena *arena, const struct exam *exam)
{
    struct str names = { 0 };
    const struct dataset *dataset = exam->dataset;
    const struct predictions *predictions = exam->predictions;
#define ADD(name) str_addf(&names, "%s%s", names.len ? ", " : "columns: ", name)
    for (size_t i = 0; exam->split && i < exam->split->column_count; i++)
        if (is_scalar_column(&exam->split->columns[i])) ADD(exam->split->columns[i].name);
    for (size_t i = 0; dataset && dataset->feature_names && i < dataset->constants; i++)
        ADD(dataset->feature_names[i]);
    for (size_t i = 0; predictions && i < predictions->column_count; i++)
        ADD(predictions->columns[i].name);
#undef ADD
    const char *text = arena_copy(arena, names.len ? str_text(&names) : "there are none");
    str_release(&names);
    return text;
}

/* Numbers of any stored type, one out of each row. */
static void convert(double *out, const void *memory, const struct column *column, uint64_t rows,
                    uint64_t at)
{
    size_t size = h5_type_size(column->type);
    for (uint64_t i = 0; i < rows; i++) {
        const char *from = (const char *)memory + i * column->row_bytes + at * size;
        union {
            uint8_t u8;
            uint16_t u16;
            uint32_t u32;
            int32_t i32;
            int64_t i64;
            uint64_t u64;
            float f32;
            double f64;
        } number;
        memcpy(&number, from, size);
        const double as[H5_TYPE_COUNT] = {
            [H5_U8] = number.u8,           [H5_U16] = number.u16,
            [H5_U32] = number.u32,         [H5_I32] = number.i32,
            [H5_I64] = (double)number.i64, [H5_U64] = (double)number.u64,
            [H5_F32] = (double)number.f32, [H5_F64] = number.f64,
        };
        out[i] = as[column->type];
    }
}

enum { COLUMN_ROWS = 8192 };

static enum code read_numbers(const struct exam *exam, double *out, const struct column *column,
                              uint64_t at, struct err *err)
{
    void *memory = NULL;
    uint64_t rows = exam->split->rows;
    TRY(block_alloc(&memory, (size_t)(COLUMN_ROWS * column->row_bytes) + 1, "a column", err));
    enum code code = OK;
    for (uint64_t row = 0; row < rows && !code; row += COLUMN_ROWS) {
        uint64_t some = rows - row < COLUMN_ROWS ? rows - row : COLUMN_ROWS;
        code = dataset_read(exam->dataset, column, row, some, memory, err);
        if (!code) convert(out + row, memory, column, some, at);
    }
    block_free(memory);
    return code;
}

enum code exam_numbers(const struct exam *exam, double *out, const char *name, struct err *err)
{
    const struct column *column = exam->split ? split_column(exam->split, name) : NULL;
    if (column && is_scalar_column(column)) return read_numbers(exam, out, column, 0, err);
    int64_t feature = exam->dataset ? feature_of(exam, name) : -1;
    if (feature >= 0)
        return read_numbers(exam, out, split_column(exam->split, exam->dataset->input),
                            (uint64_t)feature, err);
    const double *value = exam->predictions ? predictions_column(exam->predictions, name) : NULL;
    if (!value) return err_set(err, CONFIG, "'%s' has no column '%s'", exam->name, name);
    memcpy(out, value, (size_t)exam->n * sizeof *out);
    return OK;
}
