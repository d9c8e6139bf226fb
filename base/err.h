/* How a function says that it failed.
 *
 * Three kinds of failure are kept apart. A bug aborts (REQUIRE, on in release builds too). An
 * operating error returns a code and fills `struct err` once, where the subject is known. Only
 * `cli/` prints and exits; the exit code of each code is a column of the one table in err.c.
 *
 * A message is lower case, has no full stop, quotes its subject and gives the value and the reason:
 * "cannot open checkpoint 'a/b': no such file". The hint is a sentence of its own. */
#ifndef PAWL_BASE_ERR_H
#define PAWL_BASE_ERR_H

#include <stdbool.h>

/* name, text, exit code */
#define CODES(X)                                                                                   \
    X(OK, "ok", 0)                                                                                 \
    X(IO, "i/o error", 1)                                                                          \
    X(NO_MEMORY, "out of memory", 1)                                                               \
    X(DEVICE, "device error", 1)                                                                   \
    X(USAGE, "usage", 2)                                                                           \
    X(CONFIG, "configuration", 2)                                                                  \
    X(NOT_FOUND, "not found", 2)                                                                   \
    X(GATE_FAILED, "gate failed", 3)                                                               \
    X(INCONCLUSIVE, "inconclusive", 4)                                                             \
    X(REFUSED, "refused by policy", 5)                                                             \
    X(DAMAGED, "damaged data", 6)                                                                  \
    X(CONFLICT, "conflict", 7)                                                                     \
    X(HOPELESS, "would fail again", 8)                                                             \
    X(STOPPED, "stopped on request", 75)

enum code {
#define X(name, text, exit) name,
    CODES(X)
#undef X
        CODE_COUNT
};

struct err {
    enum code code;
    char message[480];
    char hint[320];
    char file[256]; /* position in a text file, or empty */
    int line, column;
};

/* The text and the process exit code of a code. */
const char *code_text(enum code code);
int code_exit(enum code code);

/* Fills `err` (which may be NULL) and returns `code`, so that a failure is one line at its place.
 * A second call overwrites message, hint and position. */
enum code err_set(struct err *err, enum code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Like err_set, and appends ": " and the text of the errno value `number`. ENOSPC, EDQUOT and
 * ENOMEM keep `code`; ENOENT keeps it too: the caller knows whether absence is damage. */
enum code err_errno(struct err *err, enum code code, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds the sentence that says what to do. Returns err->code. */
enum code err_hint(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds the position in a text file (line and column count from 1). Returns err->code. */
enum code err_at(struct err *err, const char *file, int line, int column);

/* Hands a failure on to the caller. For functions that hold nothing: one with an `out:` label
 * writes `if ((code = f(..., err))) goto out;` instead. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        enum code try_ = (call);                                                                   \
        if (try_ != OK) return try_;                                                               \
    } while (0)

/* A condition that only a bug can break. Prints file, line and text, then aborts. */
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) require_failed(#condition, __FILE__, __LINE__);                          \
    } while (0)

/* What REQUIRE calls: prints and aborts. */
__attribute__((noreturn)) void require_failed(const char *condition, const char *file, int line);

#endif
