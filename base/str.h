/* A growing byte buffer for building text, and small helpers on strings.
 *
 * A zeroed `struct str` is an empty, valid buffer. `at` is always NUL-terminated once anything was
 * added; before that it is NULL (use str_text for a printable pointer). */
#ifndef PAWL_BASE_STR_H
#define PAWL_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct str {
    char *at;
    size_t len, size;
};

/* Appends a string, bytes, one character, or a formatted text. */
void str_add(struct str *str, const char *text);
void str_add_len(struct str *str, const void *bytes, size_t len);
void str_add_char(struct str *str, char c);
void str_addf(struct str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text so far; "" for an empty buffer. Valid until the next call that adds. */
const char *str_text(const struct str *str);

/* Empties the buffer and keeps its memory; gives the memory back. */
void str_clear(struct str *str);
void str_release(struct str *str);

/* Whether `text` begins or ends with the given part. */
bool text_starts(const char *text, const char *part);
bool text_ends(const char *text, const char *part);

/* Damerau-Levenshtein distance (optimal string alignment), for did-you-mean.
 * Texts longer than 63 bytes count as far away (returns 1000). */
int text_distance(const char *a, const char *b);

/* The candidate nearest to `text`, or NULL when none is near enough to be meant (distance above a
 * third of the length, at least 1). `candidates` ends with NULL. */
const char *text_nearest(const char *text, const char *const *candidates);

#endif
