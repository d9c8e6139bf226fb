/* Problems as people read them: message, place, source line, caret, notes.
 *
 * What comes from a file is shown without control characters, so that a file cannot write to the
 * terminal, and a long line is shown as a window around the caret. */
#include "base/problem.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_COLUMNS = 60, LINE_COLUMNS = 110, LINE_BEFORE = 40, LIST_ITEMS = 10 };

struct problem *problem_add(struct problems *problems, struct mark mark, const char *format, ...)
{
    struct problem *problem = ARENA_NEW(problems->arena, struct problem);
    problem->mark = mark;
    if (problems->count++ >= PROBLEMS_KEPT) return problem;

    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    REQUIRE(len >= 0);
    char *message = arena_take(problems->arena, (size_t)len + 1);
    vsnprintf(message, (size_t)len + 1, format, again);
    va_end(again);
    problem->message = message;

    if (problems->last)
        problems->last->next = problem;
    else
        problems->first = problem;
    problems->last = problem;
    return problem;
}

/* Adds code points [from, from + columns) of a line; what a terminal would act on becomes '?'. */
static void add_columns(struct str *out, const char *line, size_t len, int from, int columns)
{
    int column = 0;
    for (size_t i = 0; i < len && column < from + columns; column++) {
        uint32_t point = 0;
        size_t step = utf8_decode(&point, line + i, len - i);
        bool safe = step && point >= 0x20 && !(point >= 0x7F && point < 0xA0) && point != 0xFEFF &&
                    !(point >= 0x2028 && point <= 0x202E) && !(point >= 0x2066 && point <= 0x2069);
        if (column >= from) {
            if (safe)
                str_add_len(out, line + i, step);
            else
                str_add_char(out, point == '\t' ? ' ' : '?');
        }
        i += step ? step : 1;
    }
}

const char *text_shown(struct arena *arena, const char *text)
{
    struct str out = { 0 };
    size_t len = strlen(text);
    add_columns(&out, text, len, 0, SHOWN_COLUMNS);
    if (utf8_columns(text, len) > SHOWN_COLUMNS) str_add(&out, "...");
    const char *copy = arena_copy(arena, str_text(&out));
    str_release(&out);
    return copy;
}

const char *mark_text(struct arena *arena, struct mark mark)
{
    if (mark.line == 0) return arena_copy(arena, mark.file ? mark.file : "default");
    return arena_format(arena, "%s:%d:%d", mark.file, mark.line, mark.column);
}

static int digits(int line)
{
    int count = 1;
    for (; line >= 10; line /= 10) count++;
    return count;
}

/* Source line and caret with the hint behind it. */
static void print_source(const struct problem *problem, int gutter, struct str *out)
{
    const struct mark *mark = &problem->mark;
    size_t len = strcspn(mark->source, "\r\n");
    int columns = utf8_columns(mark->source, len), at = mark->column > 0 ? mark->column - 1 : 0;
    int from = columns > LINE_COLUMNS && at > LINE_BEFORE ? at - LINE_BEFORE : 0;

    str_addf(out, "%*s |\n", gutter, "");
    if (mark->line)
        str_addf(out, "%*d | ", gutter, mark->line);
    else
        str_addf(out, "%*s | ", gutter, "");
    if (from) str_add(out, "...");
    add_columns(out, mark->source, len, from, LINE_COLUMNS);
    if (columns > from + LINE_COLUMNS) str_add(out, "...");

    int width = mark->width > 0 ? mark->width : 1;
    if (at - from + width > LINE_COLUMNS) width = LINE_COLUMNS - (at - from);
    if (width < 1) width = 1;
    str_addf(out, "\n%*s | %*s", gutter, "", at - from + (from ? 3 : 0), "");
    for (int i = 0; i < width; i++) str_add_char(out, '^');
    if (problem->hint) str_addf(out, " %s", problem->hint);
    str_add_char(out, '\n');
}

/* The list behind "known here: ", cut after LIST_ITEMS. */
static void print_allowed(const char *allowed, int gutter, struct str *out)
{
    const char *end = allowed;
    for (int items = 0; items < LIST_ITEMS; items++) {
        end = strstr(end, ", ");
        if (!end) break;
        end += 2;
    }
    str_addf(out, "%*s = ", gutter, "");
    if (end)
        str_addf(out, "%.*s...\n", (int)(end - allowed), allowed);
    else
        str_addf(out, "%s\n", allowed);
}

static void print_one(const struct problem *problem, struct str *out)
{
    const struct mark *mark = &problem->mark;
    int gutter = digits(mark->line);
    str_addf(out, "error: %s\n", problem->message);
    if (mark->file && mark->line)
        str_addf(out, "%*s--> %s:%d:%d\n", gutter, "", mark->file, mark->line, mark->column);
    else if (mark->file)
        str_addf(out, "%*s--> %s\n", gutter, "", mark->file);
    if (mark->source)
        print_source(problem, gutter, out);
    else if (problem->hint)
        str_addf(out, "%*s = %s\n", gutter, "", problem->hint);
    if (problem->allowed) print_allowed(problem->allowed, gutter, out);
    if (problem->origin) str_addf(out, "%*s = %s\n", gutter, "", problem->origin);
}

void problems_print(const struct problems *problems, struct str *out)
{
    int shown = 0;
    for (const struct problem *p = problems->first; p; p = p->next, shown++) {
        if (shown) str_add_char(out, '\n');
        print_one(p, out);
    }
    if (problems->count > PROBLEMS_KEPT)
        str_addf(out, "\nand %d more problems\n", problems->count - PROBLEMS_KEPT);
}

/* "known here: a, b" -> ["a", "b"]; one entry where it is not a list of names. */
static json_t *allowed_json(const char *allowed)
{
    json_t *list = json_array();
    const char *at = strstr(allowed, ": ");
    at = at ? at + 2 : allowed;
    for (;;) {
        const char *end = strstr(at, ", ");
        size_t len = end ? (size_t)(end - at) : strlen(at);
        json_array_append_new(list, json_stringn(at, len));
        if (!end) return list;
        at = end + 2;
    }
}

/* A path need not be UTF-8, JSON must be. */
static void set_text(json_t *object, const char *key, const char *text)
{
    if (!text) return;
    json_t *value = json_string(text);
    struct str plain = { 0 };
    for (size_t i = 0, len = strlen(text), step; !value && i < len; i += step ? step : 1) {
        step = utf8_decode(NULL, text + i, len - i);
        if (step)
            str_add_len(&plain, text + i, step);
        else
            str_add_char(&plain, '?');
    }
    json_object_set_new(object, key, value ? value : json_string(str_text(&plain)));
    str_release(&plain);
}

json_t *problems_json(const struct problems *problems, enum code code)
{
    json_t *list = json_array();
    for (const struct problem *p = problems->first; p; p = p->next) {
        json_t *row = json_object(), *position = json_object();
        set_text(row, "message", p->message);
        set_text(row, "hint", p->hint);
        set_text(row, "origin", p->origin);
        set_text(row, "nearest", p->nearest);
        if (p->allowed) json_object_set_new(row, "allowed", allowed_json(p->allowed));
        set_text(position, "file", p->mark.file);
        json_object_set_new(position, "line", json_integer(p->mark.line));
        json_object_set_new(position, "column", json_integer(p->mark.column));
        json_object_set_new(row, "position", position);
        json_array_append_new(list, row);
    }
    json_t *json = json_object();
    set_text(json, "pawl", "error/1");
    set_text(json, "code", code_text(code));
    json_object_set_new(json, "problems", list);
    return json;
}

struct ranked {
    struct problem *problem;
    int file, order;
};

static int by_place(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int keys[][2] = { { x->file, y->file },
                      { x->problem->mark.line, y->problem->mark.line },
                      { x->problem->mark.column, y->problem->mark.column },
                      { x->order, y->order } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i][0] != keys[i][1]) return keys[i][0] < keys[i][1] ? -1 : 1;
    return 0;
}

static bool same_file(const struct problem *a, const struct problem *b)
{
    const char *x = a->mark.file, *y = b->mark.file;
    if (!a->mark.line && !b->mark.line && a->mark.source != b->mark.source) return false;
    return x == y || (x && y && strcmp(x, y) == 0);
}

static bool same_problem(const struct problem *a, const struct problem *b)
{
    return same_file(a, b) && a->mark.line == b->mark.line && a->mark.column == b->mark.column &&
           strcmp(a->message, b->message) == 0;
}

void problems_sort(struct problems *problems)
{
    struct ranked rows[PROBLEMS_KEPT];
    int count = 0;
    for (struct problem *p = problems->first; p; p = p->next, count++) {
        rows[count] = (struct ranked){ .problem = p, .file = count, .order = count };
        for (int i = 0; i < count; i++)
            if (same_file(p, rows[i].problem)) rows[count].file = rows[i].file;
    }
    qsort(rows, (size_t)count, sizeof *rows, by_place);
    problems->first = problems->last = NULL;
    for (int i = 0; i < count; i++) {
        struct problem *p = rows[i].problem;
        p->next = NULL;
        if (problems->last && same_problem(problems->last, p)) {
            problems->count--;
            continue;
        }
        if (problems->last)
            problems->last->next = p;
        else
            problems->first = p;
        problems->last = p;
    }
}
