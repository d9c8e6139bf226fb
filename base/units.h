/* Numbers as people write them in files and on the command line.
 *
 * 1e-4 and 3_000 are numbers, 10k and 2M count in thousands, 64KiB, 2h, 5ep, 500st and 10Mtok have
 * units; yes, no, on and off are not booleans, and 010 is refused because YAML 1.1 read it as 8.
 * Each reader takes the whole text: false when it is anything else. `reason` (which may be NULL)
 * then receives a static text that says why, or NULL when the text is simply something else. */
#ifndef PAWL_BASE_UNITS_H
#define PAWL_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An amount of training. Steps and tokens are whole numbers, epochs may be fractions. */
struct span {
    double value;
    enum span_unit { SPAN_STEPS, SPAN_EPOCHS, SPAN_TOKENS } unit;
};

/* true | false, also True and TRUE as in the YAML 1.2 core schema. */
bool units_bool(bool *value, const char *text, const char **reason);

/* Whole numbers: 5, -3, 3_000, 10k, 1.5M, 1e6, 0x1F, 0o17. k, M, G, T are powers of 1000. */
bool units_int(int64_t *value, const char *text, const char **reason);

/* Numbers: 0.05, 1e-4, 3_000, 10k; inf, .inf and -.inf only with `infinite`; never NaN. */
bool units_real(double *value, const char *text, bool infinite, const char **reason);

/* Bytes: 4096, 64KiB, 8MiB, 1.5GiB (powers of 1024), 10kB, 5MB (powers of 1000), 7B. */
bool units_bytes(int64_t *value, const char *text, const char **reason);

/* Seconds: 10us, 2ms, 30s, 5min, 2h, 1d; a bare number is taken in `unit` (NULL: refused). */
bool units_time(double *seconds, const char *text, const char *unit, const char **reason);

/* Spans: 5ep, 0.5ep, 500st, 10ktok, 10Mtok; a bare number is taken in `unit` (NULL: refused). */
bool units_span(struct span *span, const char *text, const char *unit, const char **reason);

/* Null in any of its YAML spellings: null, Null, NULL, ~. */
bool units_null(const char *text);

enum { UNITS_TEXT = 40 };

/* For people: "1.50 MiB", "12.3 ms", "2 h 5 min". Return `text`. */
const char *units_bytes_text(char text[UNITS_TEXT], double bytes);
const char *units_time_text(char text[UNITS_TEXT], double seconds);

/* "5ep", "500st", "10000000tok": the one spelling that digests are taken over. Returns `text`. */
const char *units_span_text(char text[UNITS_TEXT], struct span span);

#endif
