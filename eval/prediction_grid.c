/* Cells of a file of predictions: CSV and JSON lines are read whole, HDF5 column by column.
 *
 * Everything becomes f64 columns in the order of the file. Room is taken once, for as many rows as
 * there are lines (or as HDF5 says), so a file's own claim is never believed beyond its size. */
#include "eval/prediction_grid.h"

#include "base/str.h"
#include "dataset/csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t FILE_LIMIT = (size_t)8 << 30;
enum { COLUMN_LIMIT = 20000 };

void grid_release(struct grid *grid)
{
    block_free(grid->memory);
    arena_release(&grid->arena);
    *grid = (struct grid){ 0 };
}

int grid_find(const struct grid *grid, const char *name)
{
    for (size_t c = 0; c < grid->count; c++)
        if (strcmp(grid->names[c], name) == 0) return (int)c;
    return -1;
}

const char *grid_place(struct grid *grid, int64_t row)
{
    if (!grid->line)
        return arena_format(&grid->arena, "row %lld of '%s'", (long long)row, grid->path);
    return arena_format(&grid->arena, "row %lld (line %lld) of '%s'", (long long)row,
                        (long long)grid->line[row], grid->path);
}

enum code grid_room(struct grid *grid, size_t count, int64_t n, bool lines, struct err *err)
{
    if (count > COLUMN_LIMIT)
        return err_set(err, DAMAGED, "'%s' has %zu columns, at most %d can be read", grid->path,
                       count, COLUMN_LIMIT);
    size_t cells = (count + lines) * (size_t)n;
    TRY(block_alloc(&grid->memory, cells * sizeof(double) + 64, "predictions", err));
    double *at = grid->memory;
    grid->names = ARENA_ARRAY(&grid->arena, count + 1, const char *);
    grid->column = ARENA_ARRAY(&grid->arena, count + 1, double *);
    for (size_t c = 0; c < count; c++) grid->column[c] = at + c * (size_t)n;
    for (size_t i = 0; i < count * (size_t)n; i++) at[i] = NAN;
    if (lines) grid->line = (int64_t *)(void *)(at + count * (size_t)n);
    return OK;
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0) return true;
    return false;
}

/* The words that programs write for what is no number; anything else is a mistake of the file. */
static bool not_a_number(double *value, const char *text)
{
    static const char *const nans[] = { "", "nan", "NaN", "NAN", "NA", "null", NULL };
    static const char *const infinities[] = { "inf", "Inf", "+inf", "Infinity", NULL };
    static const char *const minus[] = { "-inf", "-Inf", "-Infinity", NULL };
    *value = is_one_of(text, infinities) ? INFINITY : is_one_of(text, minus) ? -INFINITY : NAN;
    return isinf(*value) || is_one_of(text, nans);
}

bool grid_number(double *value, const struct grid *grid, const char *column, const char *text)
{
    char *end;
    if (!text[strspn(text, "+-.0123456789eE \t")] && text[strspn(text, " \t")]) {
        *value = strtod(text, &end);
        return end != text && !end[strspn(end, " \t")];
    }
    if (not_a_number(value, text)) return true;
    bool named = strcmp(column, "label") == 0 || strcmp(column, "prediction") == 0;
    for (int64_t c = 0; named && grid->class_names && c < grid->classes; c++) {
        if (strcmp(grid->class_names[c], text) != 0) continue;
        *value = (double)c;
        return true;
    }
    return false;
}

static enum code wrong_text(struct grid *grid, const char *column, const char *text,
                            struct err *err)
{
    bool named = strcmp(column, "label") == 0 || strcmp(column, "prediction") == 0;
    return err_set(err, DAMAGED, "%s has '%.60s' in column '%.80s', which is no number%s",
                   grid_place(grid, grid->n), text, column,
                   named && grid->class_names ? " and no class" : "");
}

static enum code check_names(struct grid *grid, struct err *err)
{
    for (size_t c = 0; c < grid->count; c++) {
        if (!grid->names[c][0])
            return err_set(err, DAMAGED, "column %zu of '%s' has no name", c + 1, grid->path);
        for (size_t d = 0; d < c; d++)
            if (strcmp(grid->names[c], grid->names[d]) == 0)
                return err_set(err, DAMAGED, "'%s' has the column '%.80s' twice", grid->path,
                               grid->names[c]);
    }
    return OK;
}

static int64_t count_lines(const struct bytes *bytes)
{
    int64_t lines = 1;
    for (const char *c = bytes->at; (c = memchr(c, '\n', bytes->len - (size_t)(c - bytes->at)));)
        lines++, c++;
    return lines;
}

static enum code csv_header(struct grid *grid, struct csv *csv, const struct bytes *bytes,
                            struct err *err)
{
    struct csv_field field = { 0 };
    struct csv ahead = *csv;
    size_t count = 0;
    /* Fields are changed in place but keep their length, so the header is read in one go. */
    const char **names = ARENA_ARRAY(&grid->arena, COLUMN_LIMIT + 1, const char *);
    while (!field.last) {
        TRY(csv_next(&ahead, &field, err));
        if (count <= COLUMN_LIMIT) names[count < COLUMN_LIMIT ? count : COLUMN_LIMIT] = field.text;
        count++;
    }
    *csv = ahead;
    TRY(grid_room(grid, count, count_lines(bytes), true, err));
    memcpy(grid->names, names, count * sizeof *names);
    grid->count = count;
    return check_names(grid, err);
}

static enum code csv_record(struct grid *grid, struct csv *csv, struct err *err)
{
    struct csv_field field = { 0 };
    int64_t row = grid->n;
    for (size_t c = 0; !field.last; c++) {
        TRY(csv_next(csv, &field, err));
        if (c == 0) grid->line[row] = field.line;
        if (c >= grid->count)
            return err_set(err, DAMAGED, "%s goes on behind its last column '%.80s'",
                           grid_place(grid, row), grid->names[grid->count - 1]);
        if (!grid_number(&grid->column[c][row], grid, grid->names[c], field.text))
            return wrong_text(grid, grid->names[c], field.text, err);
        if (field.last && c + 1 < grid->count)
            return err_set(err, DAMAGED, "%s ends before column '%.80s'", grid_place(grid, row),
                           grid->names[c + 1]);
    }
    grid->n++;
    return OK;
}

enum code grid_read_csv(struct grid *grid, struct err *err)
{
    struct bytes bytes;
    struct csv csv;
    TRY(fs_read(&grid->arena, &bytes, grid->path, FILE_LIMIT, err));
    TRY(csv_begin(&csv, grid->path, (char *)(uintptr_t)bytes.at, bytes.len, err));
    if (csv_at_end(&csv)) return err_set(err, DAMAGED, "'%s' is empty", grid->path);
    TRY(csv_header(grid, &csv, &bytes, err));
    while (!csv_at_end(&csv)) TRY(csv_record(grid, &csv, err));
    return OK;
}

/* The keys of the first line are the columns. */
static enum code json_header(struct grid *grid, const json_t *first, int64_t lines, struct err *err)
{
    const char *key;
    json_t *value;
    TRY(grid_room(grid, json_object_size(first), lines, true, err));
    json_object_foreach((json_t *)(uintptr_t)first, key, value)
        grid->names[grid->count++] = arena_copy(&grid->arena, key);
    return check_names(grid, err);
}

static enum code json_row(struct grid *grid, const json_t *row, struct err *err)
{
    const char *key;
    json_t *value;
    int64_t at = grid->n;
    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        int c = grid_find(grid, key);
        if (c < 0)
            return err_set(err, DAMAGED, "%s has '%.80s', which line 1 has not",
                           grid_place(grid, at), key);
        if (json_is_number(value))
            grid->column[c][at] = json_number_value(value);
        else if (json_is_string(value)) {
            if (!grid_number(&grid->column[c][at], grid, key, json_string_value(value)))
                return wrong_text(grid, key, json_string_value(value), err);
        } else if (!json_is_null(value))
            return err_set(err, DAMAGED, "%s has no number at '%.80s'", grid_place(grid, at), key);
    }
    for (size_t c = 0; json_object_size(row) < grid->count && c < grid->count; c++)
        if (!json_object_get(row, grid->names[c]))
            return err_set(err, DAMAGED, "%s has no '%.80s', which line 1 has",
                           grid_place(grid, at), grid->names[c]);
    grid->n++;
    return OK;
}

static enum code json_line(struct grid *grid, const char *text, size_t len, int64_t line,
                           const struct bytes *bytes, struct err *err)
{
    json_t *row = NULL;
    struct err inner;
    if (text[strspn(text, " \t\r")] == '\n' || len == 0) return OK;
    enum code code = json_parse(&row, text, len, grid->path, &inner);
    if (code)
        return err_set(err, code, "line %lld of '%s' is no JSON object: %.300s", (long long)line,
                       grid->path, inner.message);
    if (!json_is_object(row))
        code = err_set(err, DAMAGED, "line %lld of '%s' is no JSON object", (long long)line,
                       grid->path);
    if (!code && !grid->memory) code = json_header(grid, row, count_lines(bytes), err);
    if (!code) {
        grid->line[grid->n] = line;
        code = json_row(grid, row, err);
    }
    json_decref(row);
    return code;
}

enum code grid_read_json(struct grid *grid, struct err *err)
{
    struct bytes bytes;
    TRY(fs_read(&grid->arena, &bytes, grid->path, FILE_LIMIT, err));
    const char *at = bytes.at, *end = bytes.at + bytes.len;
    for (int64_t line = 1; at < end; line++) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((next ? next : end) - at);
        TRY(json_line(grid, at, len, line, &bytes, err));
        at = next ? next + 1 : end;
    }
    return grid->memory ? OK : err_set(err, DAMAGED, "'%s' is empty", grid->path);
}
