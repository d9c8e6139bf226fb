/* UTF-8, one code point at a time: what the YAML reader and the caret lines count columns with.
 *
 * Strict as in RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef PAWL_BASE_UTF8_H
#define PAWL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes the code point at `text`, of which `len` bytes may be read. Returns its length in bytes,
 * or 0 when the bytes are not UTF-8 or `len` is 0. `point` may be NULL. */
size_t utf8_decode(uint32_t *point, const char *text, size_t len);

/* Whether all `len` bytes are UTF-8. */
bool utf8_valid(const char *text, size_t len);

/* Columns taken by `len` bytes: code points, a byte that is not UTF-8 counting as one. */
int utf8_columns(const char *text, size_t len);

/* Makes a text safe to show on a terminal and to put into a document: control characters other than
 * line feed and tab, and bytes that are not UTF-8, become '?'. */
void utf8_make_printable(char *text);

#endif
