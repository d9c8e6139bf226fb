/* The CSV importer: a header line, then one row per record; all columns but the target are numbers.
 *
 * The text is read whole and its fields stay where they are; numbers go into one block of f32 that
 * is sized by the number of line ends, an upper bound of the rows. */
#include "base/fs.h"
#include "dataset/build.h"
#include "dataset/csv.h"
#include "dataset/import.h"
#include "dataset/source.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMN_LIMIT = 1 << 16, CLASS_LIMIT = 1 << 16, FIRST_BYTES = 1 << 20 };

static const char *const missing_words[] = { "", "NA", "NaN", "nan", "null", "NULL" };

struct import {
    const struct import_opts *opts;
    const char *path;
    struct arena arena;
    char *text; /* owned, `len` bytes and one more */
    size_t len;
    json_t *sources;
    struct csv csv;

    const char **names;               /* of the features, NULL-terminated */
    size_t columns, features, target; /* `target`: number of the target column */
    float *x;                         /* [rows, features], owned */
    float *y;                         /* [rows] of a regression, owned */
    int32_t *labels;                  /* [rows] of a classification, owned */
    struct csv_field *classes;        /* [rows] the target's field, owned */
    uint64_t rows, read;              /* kept; all */
    uint64_t *missing;                /* per column of the file */
    struct csv_field first_missing;
    size_t first_missing_column;
    const char **headers; /* all columns, NULL-terminated */
    const char *const *class_names;
    size_t class_count;
};

static enum code at_field(const struct import *import, const struct csv_field *field,
                          struct err *err)
{
    return err_at(err, import->path, field->line, field->column), DAMAGED;
}

/* Reads the whole content; gzip does not say how long it is, so the block grows. */
static enum code read_text(struct import *import, struct source *source, struct err *err)
{
    size_t size = source->gzip ? FIRST_BYTES : (size_t)source->size, got = 0;
    void *block;
    TRY(block_alloc(&block, size + 1, "the source's text", err));
    import->text = block;
    for (;;) {
        TRY(source_read(source, import->text + import->len, size - import->len, &got, err));
        import->len += got;
        if (import->len < size) return OK;
        char more;
        TRY(source_read(source, &more, 1, &got, err));
        if (!got) return OK;
        TRY(block_alloc(&block, size * 2 + 1, "the source's text", err));
        memcpy(block, import->text, size);
        block_free(import->text);
        import->text = block;
        import->text[import->len++] = more;
        size *= 2;
    }
}

static enum code read_source(struct import *import, struct err *err)
{
    struct source source;
    enum code code = source_open(&source, import->path, err);
    if (!code) code = read_text(import, &source, err);
    if (!code) json_array_append_new(import->sources, source_describe(&source));
    source_close(&source);
    return code;
}

static enum code check_header(struct import *import, const struct csv_field *field, size_t column,
                              struct err *err)
{
    if (!field->text[0]) {
        err_set(err, DAMAGED, "cannot import '%s': column %zu has no name", import->path,
                column + 1);
        return at_field(import, field, err);
    }
    for (size_t i = 0; i < column; i++) {
        if (strcmp(import->headers[i], field->text) != 0) continue;
        err_set(err, DAMAGED, "cannot import '%s': columns %zu and %zu are both named '%.80s'",
                import->path, i + 1, column + 1, field->text);
        return at_field(import, field, err);
    }
    return OK;
}

static enum code read_header(struct import *import, struct err *err)
{
    struct csv_field field = { 0 };
    if (csv_at_end(&import->csv)) {
        err_set(err, DAMAGED, "cannot import '%s': it is empty", import->path);
        return err_at(err, import->path, 1, 1), DAMAGED;
    }
    size_t limit = 2;
    for (const char *c = import->csv.at; *c && *c != '\n'; c++) limit += *c == ',';
    import->headers = ARENA_ARRAY(&import->arena, limit, const char *);
    while (!field.last) {
        TRY(csv_next(&import->csv, &field, err));
        TRY(check_header(import, &field, import->columns, err));
        if (import->columns + 2 > limit || import->columns == COLUMN_LIMIT) {
            err_set(err, DAMAGED,
                    "cannot import '%s': the header is not one line of at most %d names",
                    import->path, COLUMN_LIMIT);
            return at_field(import, &field, err);
        }
        import->headers[import->columns++] = field.text;
    }
    return OK;
}

/* Finds the target; the other columns are features. */
static enum code choose_columns(struct import *import, struct err *err)
{
    const char *target = import->opts->target;
    import->target = import->columns;
    import->names = ARENA_ARRAY(&import->arena, import->columns + 1, const char *);
    for (size_t i = 0; i < import->columns; i++) {
        if (strcmp(import->headers[i], target) == 0)
            import->target = i;
        else
            import->names[import->features++] = import->headers[i];
    }
    if (import->target == import->columns) {
        const char *nearest = text_nearest(target, import->headers);
        err_set(err, USAGE, "cannot import '%s': no column is named '%s'", import->path, target);
        if (nearest)
            err_hint(err, "Did you mean '%s'?", nearest);
        else
            err_hint(err, "The first column is '%s'.", import->headers[0]);
        return USAGE;
    }
    if (import->features) return OK;
    return err_set(err, USAGE, "cannot import '%s': it has no column beside the target '%s'",
                   import->path, target);
}

static enum code take_memory(struct import *import, struct err *err)
{
    void *x, *y, *labels, *classes;
    uint64_t limit = 1, bytes;
    for (const char *c = import->csv.at; c < import->csv.end; c++) limit += *c == '\n';
    if (__builtin_mul_overflow(limit, import->features * sizeof(float), &bytes)) bytes = SIZE_MAX;
    TRY(block_alloc(&x, bytes, "the table", err));
    import->x = x;
    TRY(block_alloc(&y, limit * sizeof(float), "the targets", err));
    import->y = y;
    TRY(block_alloc(&labels, limit * sizeof(int32_t), "the labels", err));
    import->labels = labels;
    TRY(block_alloc(&classes, limit * sizeof(struct csv_field), "the classes", err));
    import->classes = classes;
    import->missing = ARENA_ARRAY(&import->arena, import->columns, uint64_t);
    return OK;
}

static bool is_missing(const char *text)
{
    for (size_t i = 0; i < sizeof missing_words / sizeof *missing_words; i++)
        if (strcmp(text, missing_words[i]) == 0) return true;
    return false;
}

/* A decimal number and blanks; strtod alone would take hexadecimal digits and words too. */
static bool parse_number(double *value, const char *text)
{
    char *end;
    if (text[strspn(text, "+-.0123456789eE \t")]) return false;
    *value = strtod(text, &end);
    return end != text && !end[strspn(end, " \t")];
}

static enum code read_number(struct import *import, float *to, const struct csv_field *field,
                             size_t column, struct err *err)
{
    double value;
    const char *wrong = NULL;
    if (!parse_number(&value, field->text))
        wrong = "is not a number";
    else if (fabs(value) > (double)FLT_MAX)
        wrong = "does not fit into f32";
    if (wrong) {
        err_set(err, DAMAGED, "cannot import '%s': '%.60s' in column '%.80s' %s", import->path,
                field->text, import->headers[column], wrong);
        return at_field(import, field, err);
    }
    *to = (float)value;
    return OK;
}

static enum code ragged(const struct import *import, const struct csv_field *field, size_t fields,
                        struct err *err)
{
    if (fields < import->columns)
        err_set(err, DAMAGED, "cannot import '%s': the row ends before column '%.80s' (%zu of %zu)",
                import->path, import->headers[fields], fields + 1, import->columns);
    else
        err_set(err, DAMAGED, "cannot import '%s': the row goes on behind its last column '%.80s'",
                import->path, import->headers[import->columns - 1]);
    return at_field(import, field, err);
}

/* One record into place import->rows; *whole says whether nothing was missing in it. */
static enum code read_record(struct import *import, bool *whole, struct err *err)
{
    struct csv_field field = { 0 };
    float *x = import->x + import->rows * import->features;
    bool regression = import->opts->task == TASK_REGRESSION;
    size_t column = 0, feature = 0;
    *whole = true;
    for (; !field.last; column++) {
        TRY(csv_next(&import->csv, &field, err));
        if (column == import->columns) return ragged(import, &field, column, err);
        if (is_missing(field.text)) {
            if (!import->first_missing.text) {
                import->first_missing = field;
                import->first_missing_column = column;
            }
            import->missing[column]++;
            *whole = false;
            feature += column != import->target;
        } else if (column != import->target) {
            TRY(read_number(import, &x[feature++], &field, column, err));
        } else if (regression) {
            TRY(read_number(import, &import->y[import->rows], &field, column, err));
        }
        if (column == import->target) import->classes[import->rows] = field;
    }
    return column < import->columns ? ragged(import, &field, column, err) : OK;
}

static enum code refuse_missing(const struct import *import, struct err *err)
{
    size_t column = import->first_missing_column, others = 0;
    for (size_t i = 0; i < import->columns; i++) others += i != column && import->missing[i];
    err_set(err, DAMAGED, "cannot import '%s': column '%.80s' has no value in %llu of %llu rows",
            import->path, import->headers[column], (unsigned long long)import->missing[column],
            (unsigned long long)import->read);
    if (others && err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used,
                 ", and %zu more columns lack some", others);
    }
    err_hint(err, "Give `--drop-missing` to leave such rows out.");
    return at_field(import, &import->first_missing, err);
}

static enum code read_rows(struct import *import, struct err *err)
{
    while (!csv_at_end(&import->csv)) {
        bool whole;
        TRY(read_record(import, &whole, err));
        import->read++;
        import->rows += whole;
    }
    if (import->first_missing.text && !import->opts->drop_missing)
        return refuse_missing(import, err);
    if (import->rows) return OK;
    return err_set(err, DAMAGED, "cannot import '%s': no row %s", import->path,
                   import->read ? "is without missing values" : "follows the header");
}

static bool is_integer(const char *text)
{
    size_t sign = text[0] == '-' || text[0] == '+';
    return text[sign] && !text[sign + strspn(text + sign, "0123456789")];
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_number(const void *a, const void *b)
{
    double x = strtod(*(const char *const *)a, NULL), y = strtod(*(const char *const *)b, NULL);
    if (x == y) return by_text(a, b);
    return x < y ? -1 : 1;
}

/* The distinct values of the target: integers in the order of numbers, others bytewise. */
static enum code collect_classes(struct import *import, struct err *err)
{
    bool integers = true;
    double value;
    const char **texts = ARENA_ARRAY(&import->arena, import->rows, const char *);
    for (uint64_t i = 0; i < import->rows; i++) {
        const struct csv_field *field = &import->classes[i];
        texts[i] = field->text;
        bool integer = is_integer(texts[i]);
        integers = integers && integer;
        if (integer || !parse_number(&value, texts[i])) continue;
        err_set(err, USAGE, "cannot import '%s': '%.60s' in the target '%.80s' is no class",
                import->path, texts[i], import->opts->target);
        err_hint(err, "Give `--task regression` to learn numbers.");
        return err_at(err, import->path, field->line, field->column), USAGE;
    }
    qsort(texts, import->rows, sizeof *texts, integers ? by_number : by_text);
    size_t count = 0;
    for (uint64_t i = 0; i < import->rows; i++)
        if (!count || strcmp(texts[i], texts[count - 1]) != 0) texts[count++] = texts[i];
    import->class_names = texts;
    import->class_count = count;
    if (count >= 2 && count <= CLASS_LIMIT) return OK;
    return err_set(err, DAMAGED, "cannot import '%s': %zu classes in column '%s', expected 2 to %d",
                   import->path, count, import->opts->target, CLASS_LIMIT);
}

/* A class name and its number; sorted by name to be found again. */
struct class_name {
    const char *name;
    int32_t label;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct class_name *)a)->name, ((const struct class_name *)b)->name);
}

static enum code number_classes(struct import *import, struct err *err)
{
    if (import->opts->class_names) {
        import->class_names = import->opts->class_names;
        import->class_count = import->opts->class_count;
    } else {
        TRY(collect_classes(import, err));
    }
    struct class_name *classes = ARENA_ARRAY(&import->arena, import->class_count,
                                             struct class_name);
    for (size_t i = 0; i < import->class_count; i++)
        classes[i] = (struct class_name){ import->class_names[i], (int32_t)i };
    qsort(classes, import->class_count, sizeof *classes, by_name);
    for (uint64_t i = 0; i < import->rows; i++) {
        const struct csv_field *field = &import->classes[i];
        struct class_name key = { .name = field->text };
        const struct class_name *found = bsearch(&key, classes, import->class_count,
                                                 sizeof *classes, by_name);
        if (found) {
            import->labels[i] = found->label;
            continue;
        }
        err_set(err, DAMAGED,
                "cannot import '%s': '%.60s' in the target '%.80s' is not one of the %zu "
                "classes",
                import->path, field->text, import->opts->target, import->class_count);
        return at_field(import, field, err);
    }
    return OK;
}

/* Missing counts of the features alone, in their order. */
static const uint64_t *missing_of_features(struct import *import)
{
    uint64_t *missing = ARENA_ARRAY(&import->arena, import->features, uint64_t);
    for (size_t i = 0, f = 0; i < import->columns; i++)
        if (i != import->target) missing[f++] = import->missing[i];
    return missing;
}

static enum code build(struct import *import, struct err *err)
{
    const struct import_opts *opts = import->opts;
    bool regression = opts->task == TASK_REGRESSION;
    struct table_column x = { .name = "x",
                              .type = H5_F32,
                              .rank = 2,
                              .dim = { import->rows, import->features },
                              .data = import->x };
    struct table_column target = {
        .name = "label", .type = H5_I32, .rank = 1, .dim = { import->rows }, .data = import->labels
    };
    if (regression)
        target = (struct table_column){ .name = "target",
                                        .type = H5_F32,
                                        .rank = 2,
                                        .dim = { import->rows, 1 },
                                        .data = import->y };
    struct table table = {
        .importer = "csv",
        .task = opts->task,
        .sources = import->sources,
        .class_names = regression ? NULL : import->class_names,
        .class_count = regression ? 0 : import->class_count,
        .feature_names = import->names,
        .missing = missing_of_features(import),
    };
    const struct {
        const char *name;
        uint64_t count;
    } splits[] = { { "train", 0 }, { "validate", opts->validate }, { "test", opts->test } };
    for (size_t i = 0; i < SPLIT_LIMIT; i++)
        if (i == 0 || splits[i].count)
            table.splits[table.split_count++] = (struct table_split){
                .name = splits[i].name, .count = splits[i].count, .input = &x, .target = &target
            };
    TRY(table_draw(table.splits, table.split_count, &import->arena, import->rows, opts->seed, err));
    return build_dataset(&table, opts, err);
}

static enum code run(struct import *import, struct err *err)
{
    const struct import_opts *opts = import->opts;
    if (opts->count != 1)
        return err_set(err, USAGE, "cannot import %zu CSV files: one table is one file",
                       opts->count);
    if (!opts->target)
        return err_set(err, USAGE, "cannot import '%s': no target column given", opts->sources[0]);
    import->path = opts->sources[0];
    TRY(read_source(import, err));
    TRY(csv_begin(&import->csv, import->path, import->text, import->len, err));
    TRY(read_header(import, err));
    TRY(choose_columns(import, err));
    TRY(take_memory(import, err));
    TRY(read_rows(import, err));
    if (opts->task == TASK_CLASSIFICATION) TRY(number_classes(import, err));
    return build(import, err);
}

enum code import_csv(const struct import_opts *opts, struct err *err)
{
    struct import import = { .opts = opts, .sources = json_array() };
    enum code code = run(&import, err);
    block_free(import.text);
    block_free(import.x);
    block_free(import.y);
    block_free(import.labels);
    block_free(import.classes);
    json_decref(import.sources);
    arena_release(&import.arena);
    return code;
}
