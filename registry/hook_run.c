/* One child process, waited for with a limit. */
#include "registry/hook.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int start(pid_t *pid, const struct command_run *run)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    const char *input = run->input ? run->input : "/dev/null";
    int reason = posix_spawn_file_actions_init(&files);
    if (reason) return reason;
    if ((reason = posix_spawnattr_init(&attributes))) {
        posix_spawn_file_actions_destroy(&files);
        return reason;
    }
    reason = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, input, O_RDONLY, 0);
    if (!reason) reason = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
    if (!reason) reason = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (!reason)
        reason = posix_spawn(pid, run->args[0], &files, &attributes,
                             (char *const *)(uintptr_t)run->args, run->environment);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return reason;
}

/* False when the time is over. */
static bool wait_for(pid_t pid, int *status, double seconds)
{
    double end = clock_monotonic() + seconds;
    struct timespec pause = { .tv_nsec = 2000000 };
    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        if (got == pid) return true;
        if (got < 0 && errno != EINTR) return false;
        if (clock_monotonic() >= end) return false;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 50000000) pause.tv_nsec *= 2;
    }
}

enum code command_run(const struct command_run *run, struct err *err)
{
    pid_t pid;
    int status = 0, reason = start(&pid, run);
    const char *name = run->args[0];
    for (size_t i = 1; run->args[i] && strcmp(name, "/bin/sh") == 0; i++)
        if (run->args[i][0] != '-') name = run->args[i]; /* the command rather than its shell */
    if (reason) return err_errno(err, IO, reason, "cannot start '%.120s'", name);
    if (!wait_for(pid, &status, run->timeout_s)) {
        kill(-pid, SIGKILL);
        waitpid(pid, &status, 0);
        return err_set(err, HOPELESS, "'%.120s' took longer than %d s", name, run->timeout_s);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return OK;
    if (WIFSIGNALED(status))
        return err_set(err, HOPELESS, "'%.120s' was ended by signal %d", name, WTERMSIG(status));
    return err_set(err, HOPELESS, "'%.120s' exited with %d", name, WEXITSTATUS(status));
}
