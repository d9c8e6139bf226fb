/* Error codes as one table, and the functions that fill `struct err`.
 *
 * Texts name what users and files say, and end up on terminals and in documents: they are made
 * printable here. Nothing here allocates, so that running out of memory can be reported too. */
#include "base/err.h"

#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    int exit;
} codes[CODE_COUNT] = {
#define X(name, words, status) [name] = { .text = (words), .exit = (status) },
    CODES(X)
#undef X
};

const char *code_text(enum code code)
{
    return codes[code].text;
}

int code_exit(enum code code)
{
    return codes[code].exit;
}

__attribute__((format(printf, 3, 0))) static void fill(struct err *err, enum code code,
                                                       const char *format, va_list args)
{
    memset(err, 0, sizeof *err);
    err->code = code;
    vsnprintf(err->message, sizeof err->message, format, args);
    utf8_make_printable(err->message);
}

enum code err_set(struct err *err, enum code code, const char *format, ...)
{
    if (!err) return code;
    va_list args;
    va_start(args, format);
    fill(err, code, format, args);
    va_end(args);
    return code;
}

enum code err_errno(struct err *err, enum code code, int number, const char *format, ...)
{
    if (!err) return code;
    va_list args;
    va_start(args, format);
    fill(err, code, format, args);
    va_end(args);

    char reason[128];
    const char *text = strerror_r(number, reason, sizeof reason);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", text);
    for (char *c = err->message + used; *c; c++)
        if (*c >= 'A' && *c <= 'Z' && c[1] >= 'a' && c[1] <= 'z') *c = (char)(*c - 'A' + 'a');
    return code;
}

enum code err_hint(struct err *err, const char *format, ...)
{
    if (!err) return OK;
    va_list args;
    va_start(args, format);
    vsnprintf(err->hint, sizeof err->hint, format, args);
    utf8_make_printable(err->hint);
    va_end(args);
    return err->code;
}

enum code err_at(struct err *err, const char *file, int line, int column)
{
    if (!err) return OK;
    snprintf(err->file, sizeof err->file, "%s", file);
    utf8_make_printable(err->file);
    err->line = line;
    err->column = column;
    return err->code;
}

void require_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "pawl: bug: '%s' does not hold at %s:%d\n", condition, file, line);
    abort();
}
