/* Problems: everything that is wrong with a text file, each with its place, collected and shown at
 * once instead of one per run.
 *
 * A problem says what is wrong (message), what was probably meant (hint), what is allowed, and
 * where the value came from. Printed for people with the source line and a caret, or as an error/1
 * document for machines. */
#ifndef PAWL_BASE_PROBLEM_H
#define PAWL_BASE_PROBLEM_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

/* Where a value was written. line 0: not in a file (`file` is then "--set" or "default"). */
struct mark {
    const char *file;
    int line, column;   /* from 1; columns are code points */
    int width;          /* columns that a caret line underlines, at least 1 */
    const char *source; /* that line as written, up to a line feed or NUL; NULL: nothing to show */
};

/* One thing that is wrong with a document. Texts are arena-owned. */
struct problem {
    const char *message; /* "unknown key 'optimiser' in train" */
    const char *hint;    /* "did you mean 'optimizer'?" or NULL */
    const char *allowed; /* "known here: batch, checkpoint" (all of them) or NULL */
    const char *origin;  /* "set in base.yaml:12, overridden by --set" or NULL */
    const char *nearest; /* the key or value that was probably meant, or NULL */
    struct mark mark;
    struct problem *next;
};

/* The first PROBLEMS_KEPT are kept; `count` counts all. */
enum { PROBLEMS_KEPT = 200 };

struct problems {
    struct arena *arena;
    struct problem *first, *last;
    int count;
};

/* Adds a problem at a mark; the returned row's other members may be filled in. */
struct problem *problem_add(struct problems *problems, struct mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Orders by file (in order of appearance), line and column, and drops exact repetitions. */
void problems_sort(struct problems *problems);

/* All problems with source line and caret, for people; as an error/1 document (new reference). */
void problems_print(const struct problems *problems, struct str *out);
json_t *problems_json(const struct problems *problems, enum code code);

/* "exp.yaml:12:3" of a place, for messages; "--set" or "default" when it is not in a file. */
const char *mark_text(struct arena *arena, struct mark mark);

/* A text from a file as it may stand in a message: control characters replaced, at most 60 columns
 * and then "...". */
const char *text_shown(struct arena *arena, const char *text);

#endif
