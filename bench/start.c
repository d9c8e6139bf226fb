/* Time from process start to the end of the first training step.
 *
 *   bench_start PAWL EXPERIMENT [RUNS]
 *
 * Starts `PAWL train EXPERIMENT --kill-at-step 1` in a fresh run directory, RUNS times (default
 * 7). */
#include "base/clock.h"
#include "base/fs.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

enum { MOST_RUNS = 101 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Seconds of one start; negative when the process did not get to its first step. */
static double start_once(const char *pawl, const char *experiment, const char *run)
{
    char run_option[1200];
    snprintf(run_option, sizeof run_option, "--run=%s", run);
    const char *args[] = { "pawl", "train", experiment, run_option, "--quiet", "--kill-at-step=1",
                           NULL };
    fs_remove_tree(run, NULL);
    double begin = clock_monotonic();
    pid_t pid;
    int status;
    if (posix_spawn(&pid, pawl, NULL, NULL, (char *const *)(uintptr_t)args, environ)) return -1;
    if (waitpid(pid, &status, 0) < 0) return -1;
    double seconds = clock_monotonic() - begin;
    fs_remove_tree(run, NULL);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? seconds : -1;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: bench_start PAWL EXPERIMENT [RUNS]\n");
        return 2;
    }
    long runs = argc > 3 ? strtol(argv[3], NULL, 10) : 7;
    if (runs < 1 || runs > MOST_RUNS) runs = 7;
    double seconds[MOST_RUNS];
    char run[] = "/tmp/pawl-bench-start-XXXXXX";
    if (!mkdtemp(run)) return 1;
    for (long r = 0; r < runs; r++) {
        seconds[r] = start_once(argv[1], argv[2], run);
        if (seconds[r] >= 0) continue;
        fprintf(stderr, "`pawl train` did not get to its first step\n");
        return 1;
    }
    qsort(seconds, (size_t)runs, sizeof *seconds, by_value);
    printf("start to first step: median %.1f ms, fastest %.1f, slowest %.1f (%ld runs)\n",
           seconds[runs / 2] * 1e3, seconds[0] * 1e3, seconds[runs - 1] * 1e3, runs);
    return 0;
}
