/* Notes for people while something runs: warnings and progress lines on standard error.
 *
 * Libraries report failures through `struct err`; this is for what is not a failure. cli/ sets the
 * level and whether the terminal can take a live line. */
#ifndef PAWL_BASE_LOG_H
#define PAWL_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_QUIET, LOG_NORMAL, LOG_VERBOSE };

/* Called once by cli/ before any thread starts. */
void log_setup(enum log_level level, bool live);

/* "warning: ..." and plain lines; a line feed is added. A live line is cleared first. */
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Replaces the live line on a terminal; otherwise prints at most one line every ten seconds.
 * log_live_end leaves the last state standing as a line. */
void log_live(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_live_end(void);

#endif
