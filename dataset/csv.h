/* Fields of a comma-separated text as of RFC 4180, one after the other, with their positions.
 *
 * Lines end with LF or CRLF, the last one with or without. A field in quotes may hold commas, line
 * ends and doubled quotes. The text is changed in place: each field becomes a C string. */
#ifndef PAWL_DATASET_CSV_H
#define PAWL_DATASET_CSV_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct csv {
    const char *path;       /* for messages */
    char *at, *end;         /* what is left; *end is writable */
    const char *line_start; /* of the line that `at` is in */
    int line;
};

struct csv_field {
    char *text;
    int line, column; /* of its first byte, from 1 */
    bool last;        /* of its record */
};

/* Begins with `len` bytes at `text`, behind which one more byte must be writable. A byte-order mark
 * is skipped. DAMAGED when the text holds a zero byte. */
enum code csv_begin(struct csv *csv, const char *path, char *text, size_t len, struct err *err);

/* Whether nothing but line ends is left. */
bool csv_at_end(const struct csv *csv);

/* The next field. DAMAGED, with position, for quotes that RFC 4180 does not allow. */
enum code csv_next(struct csv *csv, struct csv_field *field, struct err *err);

#endif
