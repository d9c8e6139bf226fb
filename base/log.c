/* Standard error as the one place for warnings and progress. */
#include "base/log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>

enum { PLAIN_INTERVAL_S = 10 };

static struct {
    enum log_level level;
    bool live, open; /* open: a live line stands on the terminal */
    double last;     /* when the last plain progress line was printed */
    char pending[256];
} state = { .level = LOG_NORMAL };

void log_setup(enum log_level level, bool live)
{
    state.level = level;
    state.live = live;
}

static void clear_live(void)
{
    if (state.open) fputs("\r\033[K", stderr);
    state.open = false;
}

void log_warn(const char *format, ...)
{
    clear_live();
    va_list args;
    va_start(args, format);
    fputs("warning: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void log_note(const char *format, ...)
{
    if (state.level == LOG_QUIET) return;
    clear_live();
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

void log_live(const char *format, ...)
{
    if (state.level == LOG_QUIET) return;
    va_list args;
    va_start(args, format);
    vsnprintf(state.pending, sizeof state.pending, format, args);
    va_end(args);
    double now = clock_monotonic();
    if (state.live) {
        fprintf(stderr, "\r\033[K%s", state.pending);
        fflush(stderr);
        state.open = true;
        state.pending[0] = '\0';
    } else if (now - state.last >= PLAIN_INTERVAL_S) {
        fprintf(stderr, "%s\n", state.pending);
        state.last = now;
        state.pending[0] = '\0';
    }
}

void log_live_end(void)
{
    if (state.open) fputc('\n', stderr);
    state.open = false;
    state.last = 0;
    state.pending[0] = '\0';
}
