/* What the columns of a file of predictions mean, and whether they make sense.
 *
 * Every row is checked before anything is scored: a file either is sound from its first row to its
 * last, or there is no verdict at all. */
#include "eval/predictions.h"

#include "eval/prediction_grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 48 };
static const double SUM_TOLERANCE = 1e-3;             /* of probabilities with few digits */
static const double WHOLE_LIMIT = 9007199254740992.0; /* 2^53 */

/* Columns that belong together: NAME alone, or NAME_0, NAME_1, ... */
struct family {
    int64_t width; /* 0: there are none */
    const double **column;
};

/* A row of the file and its id, for sorting. */
struct place {
    int64_t id, row;
};

/* A file being understood. */
struct reading {
    struct grid grid;
    struct predictions *out;
    struct place *order; /* [n] by id */
    bool *used;          /* per column */
    struct family label, target, prediction, probability;
    struct family tokens[4]; /* nll, tokens, bytes, correct */
    struct err *err;
};

static enum code bad_row(struct reading *r, int64_t row, const char *reason)
{
    return err_set(r->err, DAMAGED, "%s %s", grid_place(&r->grid, row), reason);
}

/* The column `stem` (where one alone makes sense), else stem_0, stem_1, ... */
static void find_family(struct reading *r, struct family *family, const char *stem, bool alone)
{
    char name[NAME_ROOM];
    int at = alone ? grid_find(&r->grid, stem) : -1;
    bool numbered = at < 0;
    family->column = ARENA_ARRAY(&r->grid.arena, r->grid.count + 1, const double *);
    do {
        if (numbered) {
            snprintf(name, sizeof name, "%s_%lld", stem, (long long)family->width);
            at = grid_find(&r->grid, name);
        }
        if (at < 0) return;
        r->used[at] = true;
        family->column[family->width++] = r->grid.column[at];
    } while (numbered);
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static enum code order_rows(struct reading *r)
{
    int at = grid_find(&r->grid, "id");
    if (at < 0) return err_set(r->err, DAMAGED, "'%s' has no column 'id'", r->grid.path);
    r->used[at] = true;
    for (int64_t i = 0; i < r->grid.n; i++) {
        double id = r->grid.column[at][i];
        if (isnan(id)) return bad_row(r, i, "has no id");
        if (fabs(id) > WHOLE_LIMIT || id != floor(id))
            return bad_row(r, i, "has an id that is no whole number");
        r->order[i] = (struct place){ (int64_t)id, i };
    }
    qsort(r->order, (size_t)r->grid.n, sizeof *r->order, compare_places);
    for (int64_t i = 1; i < r->grid.n; i++) {
        if (r->order[i].id != r->order[i - 1].id) continue;
        const char *first = grid_place(&r->grid, r->order[i - 1].row);
        return err_set(r->err, DAMAGED, "%s has the id %lld, which %s has, too",
                       grid_place(&r->grid, r->order[i].row), (long long)r->order[i].id, first);
    }
    return OK;
}

static const char *const token_names[] = { "nll", "tokens", "bytes", "correct" };

/* Rows of a language model: sums over documents. */
static enum code find_tokens(struct reading *r, const struct predictions_opts *opts)
{
    for (size_t i = 0; i < 4; i++) find_family(r, &r->tokens[i], token_names[i], true);
    if (r->tokens[0].width != 1 || r->tokens[1].width != 1)
        return err_set(r->err, DAMAGED, "'%s' has 'nll', but no column 'tokens'", r->grid.path);
    if (opts && opts->dataset)
        return err_set(r->err, DAMAGED, "'%s' has tokens, '%s' is for another task", r->grid.path,
                       opts->dataset->path);
    r->out->task = (enum task)TASK_TOKENS;
    r->out->width = 1;
    return OK;
}

/* What the file is about, by its columns. */
static enum code find_task(struct reading *r, const struct predictions_opts *opts)
{
    struct predictions *out = r->out;
    if (grid_find(&r->grid, "nll") >= 0) return find_tokens(r, opts);
    find_family(r, &r->label, "label", true);
    find_family(r, &r->target, "target", true);
    find_family(r, &r->prediction, "prediction", true);
    find_family(r, &r->probability, "p", false);
    bool classes = r->label.width || r->probability.width, numbers = r->target.width;
    if (classes && numbers)
        return err_set(r->err, DAMAGED, "'%s' has columns of classes and of targets", out->path);
    if (!r->prediction.width && !r->probability.width)
        return err_set(r->err, DAMAGED, "'%s' has neither 'prediction' nor 'p_0'", out->path);
    if (r->label.width > 1 || (classes && r->prediction.width > 1))
        return err_set(r->err, DAMAGED, "'%s' has more than one class a row", out->path);
    bool known = opts && opts->dataset;
    if (!classes && !numbers && !known) {
        err_set(r->err, DAMAGED, "'%s' has neither 'label' nor 'target'", out->path);
        return err_hint(r->err, "Without data in the suite the file must hold the truth, too.");
    }
    out->task = known ? opts->dataset->task : classes ? TASK_CLASSIFICATION : TASK_REGRESSION;
    if (classes && out->task == TASK_REGRESSION)
        return err_set(r->err, DAMAGED, "'%s' has classes, '%s' is for regression", out->path,
                       opts->dataset->path);
    if (numbers && out->task == TASK_CLASSIFICATION)
        return err_set(r->err, DAMAGED, "'%s' has targets, '%s' is for classification", out->path,
                       opts->dataset->path);
    out->width = out->task == TASK_REGRESSION ? r->prediction.width : 1;
    if (numbers && r->target.width != out->width)
        return err_set(r->err, DAMAGED, "'%s' has %lld targets and %lld predictions a row",
                       out->path, (long long)r->target.width, (long long)out->width);
    return OK;
}

/* The classes: as many as probabilities, as the dataset says, or as occur. */
static enum code count_classes(struct reading *r, const struct predictions_opts *opts)
{
    struct predictions *out = r->out;
    if (out->task != TASK_CLASSIFICATION) return OK;
    out->classes = r->probability.width;
    if (opts && opts->dataset) {
        if (out->classes && out->classes != opts->dataset->classes)
            return err_set(r->err, DAMAGED,
                           "'%s' has %lld probabilities a row, '%s' has %lld "
                           "classes",
                           out->path, (long long)out->classes, opts->dataset->path,
                           (long long)opts->dataset->classes);
        out->classes = opts->dataset->classes;
    }
    if (out->classes == 1) return err_set(r->err, DAMAGED, "'%s' has one class only", out->path);
    const double *columns[] = { r->label.width ? r->label.column[0] : NULL,
                                r->prediction.width ? r->prediction.column[0] : NULL };
    if (out->classes) return OK;
    for (size_t c = 0; c < 2; c++)
        for (int64_t i = 0; columns[c] && i < r->grid.n; i++)
            if (columns[c][i] >= (double)out->classes && columns[c][i] < 1e6)
                out->classes = (int64_t)columns[c][i] + 1;
    if (out->classes < 2) out->classes = 2;
    return OK;
}

static enum code take_room(struct reading *r)
{
    struct predictions *out = r->out;
    size_t n = (size_t)r->grid.n, further = 0, tokens = 0;
    for (size_t i = 0; i < 4; i++) tokens += r->tokens[i].width > 0;
    for (size_t c = 0; c < r->grid.count; c++) further += !r->used[c];
    bool classes = out->task == TASK_CLASSIFICATION;
    size_t wide = classes ? (size_t)r->probability.width : 2 * (size_t)out->width;
    size_t bytes = n * ((1 + further + tokens) * 8 + 8 + wide * 4) + 64;
    TRY(block_alloc(&out->memory, bytes, "predictions", r->err));
    out->n = r->grid.n;
    out->id = out->memory;
    double *value = (double *)(void *)(out->id + n);
    out->columns = ARENA_ARRAY(&out->arena, further + 1, struct prediction_column);
    for (size_t c = 0; c < r->grid.count; c++) {
        if (r->used[c]) continue;
        out->columns[out->column_count++] =
            (struct prediction_column){ arena_copy(&out->arena, r->grid.names[c]), value };
        value += n;
    }
    double **token[] = { &out->nll, &out->tokens, &out->bytes, &out->correct };
    for (size_t i = 0; i < 4; i++) {
        if (!r->tokens[i].width) continue;
        *token[i] = value;
        value += n;
    }
    int32_t *word = (int32_t *)(void *)value;
    if (tokens) return OK;
    if (classes) {
        out->label = r->label.width ? word : NULL;
        out->prediction = word + n;
        out->probability = r->probability.width ? (float *)(void *)(word + 2 * n) : NULL;
    } else {
        out->predicted = (float *)(void *)word;
        out->target = r->target.width ? out->predicted + n * (size_t)out->width : NULL;
    }
    return OK;
}

/* A class in [0, classes). */
static enum code read_class(struct reading *r, int32_t *class, double value, const char *what,
                            int64_t row)
{
    char reason[160];
    if (value >= 0 && value < (double)r->out->classes && value == floor(value)) {
        *class = (int32_t)value;
        return OK;
    }
    if (isnan(value))
        snprintf(reason, sizeof reason, "has no %s", what);
    else
        snprintf(reason, sizeof reason, "has %s %g, classes are 0 to %lld", what, value,
                 (long long)r->out->classes - 1);
    return bad_row(r, row, reason);
}

/* Probabilities of one row, and the class that has the largest one. All of a row that holds
 * something else than finite numbers becomes NaN: the model had no answer. */
static enum code read_shares(struct reading *r, float *share, int32_t *best, int64_t row)
{
    int64_t width = r->probability.width;
    char reason[160];
    double sum = 0;
    bool finite = true;
    *best = 0;
    for (int64_t c = 0; c < width; c++) {
        double p = r->probability.column[c][row];
        finite = finite && isfinite(p);
        if (finite && !(p >= -1e-9 && p <= 1 + SUM_TOLERANCE)) {
            snprintf(reason, sizeof reason, "has the probability %g for class %lld", p,
                     (long long)c);
            return bad_row(r, row, reason);
        }
        sum += p;
        share[c] = (float)(p < 0 ? 0 : p);
        if (share[c] > share[*best]) *best = (int32_t)c;
    }
    if (finite && fabs(sum - 1) > SUM_TOLERANCE) {
        snprintf(reason, sizeof reason, "has probabilities that add up to %.6g, not 1", sum);
        return bad_row(r, row, reason);
    }
    for (int64_t c = 0; !finite && c < width; c++) share[c] = NAN;
    if (!finite) *best = -1;
    return OK;
}

static enum code read_answer(struct reading *r, int64_t at, int64_t row)
{
    struct predictions *out = r->out;
    int32_t best = -1;
    float *share = NULL;
    if (out->probability) {
        share = out->probability + at * out->classes;
        TRY(read_shares(r, share, &best, row));
    }
    out->prediction[at] = best;
    if (!r->prediction.width || (share && best < 0)) return OK;
    double stated = r->prediction.column[0][row];
    if (!share && (stated == -1 || !isfinite(stated))) return OK; /* no answer */
    TRY(read_class(r, &out->prediction[at], stated, "prediction", row));
    if (!share || share[out->prediction[at]] == share[best]) return OK;
    char reason[160];
    snprintf(reason, sizeof reason, "predicts class %d, but class %d has a larger probability",
             out->prediction[at], best);
    bad_row(r, row, reason);
    err_hint(r->err, "Leave the column 'prediction' out, or the probabilities.");
    return DAMAGED;
}

static enum code read_numbers(struct reading *r, int64_t at, int64_t row)
{
    struct predictions *out = r->out;
    for (int64_t j = 0; j < out->width; j++) {
        out->predicted[at * out->width + j] = (float)r->prediction.column[j][row];
        if (!out->target) continue;
        double target = r->target.column[j][row];
        if (!isfinite((float)target))
            return bad_row(r, row, isnan(target) ? "has no target" : "has a target beyond f32");
        out->target[at * out->width + j] = (float)target;
    }
    return OK;
}

/* Sums cannot be negative, and no more tokens can be right than there are. A loss that is not a
 * number is legal: gates fail on it. */
static enum code read_tokens(struct reading *r, int64_t at, int64_t row)
{
    struct predictions *out = r->out;
    double *const to[] = { out->nll, out->tokens, out->bytes, out->correct };
    char reason[160];
    for (size_t i = 0; i < 4; i++) {
        if (!to[i]) continue;
        double value = r->tokens[i].column[0][row];
        bool fine = value >= 0 && (i == 0 || (isfinite(value) && value <= WHOLE_LIMIT));
        if (i == 0 && !isfinite(value)) fine = true;
        if (i == 3 && value > out->tokens[at]) fine = false;
        if (!fine) {
            snprintf(reason, sizeof reason, "has %g in column '%s'", value, token_names[i]);
            return bad_row(r, row, reason);
        }
        to[i][at] = i == 0 && !isfinite(value) ? NAN : value;
    }
    return OK;
}

static enum code fill_rows(struct reading *r)
{
    struct predictions *out = r->out;
    for (int64_t at = 0; at < out->n; at++) {
        int64_t row = r->order[at].row;
        out->id[at] = r->order[at].id;
        if (out->nll) {
            TRY(read_tokens(r, at, row));
        } else if (out->task == TASK_REGRESSION) {
            TRY(read_numbers(r, at, row));
        } else {
            if (out->label)
                TRY(read_class(r, &out->label[at], r->label.column[0][row], "label", row));
            TRY(read_answer(r, at, row));
        }
        size_t further = 0;
        for (size_t c = 0; c < r->grid.count; c++)
            if (!r->used[c]) out->columns[further++].value[at] = r->grid.column[c][row];
    }
    return OK;
}

static void add_bytes(struct sha256 *sha, const char *name, const void *at, size_t bytes)
{
    if (!at) return;
    sha256_add(sha, name, strlen(name) + 1);
    sha256_add(sha, at, bytes);
}

/* Over the content in the order of ids, whatever the format and the order of the file. */
static void take_digest(struct predictions *out)
{
    struct sha256 sha;
    size_t n = (size_t)out->n, wide = n * (size_t)out->width * 4;
    int64_t shape[] = { out->task, out->n, out->classes, out->width };
    sha256_begin(&sha);
    add_bytes(&sha, "predictions/1", shape, sizeof shape);
    add_bytes(&sha, "id", out->id, n * 8);
    add_bytes(&sha, "label", out->label, n * 4);
    add_bytes(&sha, "target", out->target, wide);
    add_bytes(&sha, "prediction", out->prediction, n * 4);
    add_bytes(&sha, "probability", out->probability, n * (size_t)out->classes * 4);
    add_bytes(&sha, "predicted", out->predicted, wide);
    const double *const tokens[] = { out->nll, out->tokens, out->bytes, out->correct };
    for (size_t i = 0; i < 4; i++) add_bytes(&sha, token_names[i], tokens[i], n * 8);
    for (size_t c = 0; c < out->column_count; c++)
        add_bytes(&sha, out->columns[c].name, out->columns[c].value, n * 8);
    sha256_end(&sha, &out->digest);
}

static int compare_columns(const void *a, const void *b)
{
    const struct prediction_column *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static enum code understand(struct reading *r, const struct predictions_opts *opts)
{
    void *memory = NULL;
    size_t n = (size_t)r->grid.n;
    r->used = ARENA_ARRAY(&r->grid.arena, r->grid.count + 1, bool);
    TRY(block_alloc(&memory, n * sizeof *r->order + 8, "row numbers", r->err));
    r->order = memory;
    enum code code = order_rows(r);
    if (!code) code = find_task(r, opts);
    if (!code) code = count_classes(r, opts);
    if (!code) code = take_room(r);
    if (!code) code = fill_rows(r);
    block_free(memory);
    if (code) return code;
    qsort(r->out->columns, r->out->column_count, sizeof *r->out->columns, compare_columns);
    take_digest(r->out);
    return OK;
}

/* HDF5 begins with its signature, a line of JSON with a brace; everything else is CSV. */
static enum code read_grid(struct grid *grid, struct err *err)
{
    int fd;
    uint64_t size;
    char head[64] = { 0 };
    TRY(fs_open(&fd, grid->path, &size, err));
    enum code code = fs_pread(fd, head, size < 63 ? (size_t)size : 63, 0, grid->path, err);
    fs_close(fd);
    if (code) return code;
    if (memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0) return grid_read_h5(grid, err);
    return head[strspn(head, " \t\r\n")] == '{' ? grid_read_json(grid, err)
                                                : grid_read_csv(grid, err);
}

enum code predictions_read(struct predictions *predictions, const char *path,
                           const struct predictions_opts *opts, struct err *err)
{
    struct reading reading = { .out = predictions, .err = err };
    *predictions = (struct predictions){ 0 };
    predictions->path = arena_copy(&predictions->arena, path);
    reading.grid.path = predictions->path;
    if (opts && opts->dataset) {
        reading.grid.class_names = (const char *const *)opts->dataset->class_names;
        reading.grid.classes = opts->dataset->classes;
    }
    enum code code = read_grid(&reading.grid, err);
    if (!code) code = understand(&reading, opts);
    if (!code && reading.grid.data)
        predictions->data = arena_copy(&predictions->arena, reading.grid.data);
    grid_release(&reading.grid);
    if (code) predictions_release(predictions);
    return code;
}

void predictions_release(struct predictions *predictions)
{
    block_free(predictions->memory);
    arena_release(&predictions->arena);
    *predictions = (struct predictions){ 0 };
}

const double *predictions_column(const struct predictions *predictions, const char *name)
{
    for (size_t c = 0; c < predictions->column_count; c++)
        if (strcmp(predictions->columns[c].name, name) == 0) return predictions->columns[c].value;
    return NULL;
}
