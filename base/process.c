/* Reading /proc/PID/stat: "pid (command) state ...", where the command may hold anything; and the
 * most resident memory, which /proc/self/clear_refs sets back to what is resident. */
#include "base/process.h"

#include "base/fs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { STAT_TEXT = 1024, STATUS_TEXT = 8192 };

/* What follows the command in `text`; NULL where it cannot be read. */
static const char *read_stat(int64_t pid, char text[STAT_TEXT])
{
    char path[64];
    int fd;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (fs_open(&fd, path, NULL, NULL)) return NULL;
    ssize_t len = fs_calls.pread(fd, text, STAT_TEXT - 1, 0);
    fs_close(fd);
    if (len <= 0) return NULL;
    text[len] = '\0';
    return strrchr(text, ')');
}

bool process_runs(int64_t pid)
{
    char text[STAT_TEXT];
    if (kill((pid_t)pid, 0) != 0 && errno == ESRCH) return false;
    const char *at = read_stat(pid, text);
    return !at || at[1] != ' ' || (at[2] != 'Z' && at[2] != 'X');
}

int64_t process_started(int64_t pid)
{
    char text[STAT_TEXT];
    const char *at = read_stat(pid, text);
    long long value;
    for (int field = 2; at && field < 22; field++) at = strchr(at + 1, ' '); /* it is field 22 */
    return at && sscanf(at, " %lld", &value) == 1 ? value : -1;
}

bool process_peak_reset(void)
{
    static const char path[] = "/proc/self/clear_refs";
    int fd;
    if (fs_log_open(&fd, path, NULL)) return false;
    bool reset = fs_append(fd, "5", 1, path, NULL) == OK;
    fs_close(fd);
    return reset;
}

uint64_t process_peak(void)
{
    char text[STATUS_TEXT];
    unsigned long long kib;
    int fd;
    if (fs_open(&fd, "/proc/self/status", NULL, NULL)) return 0;
    ssize_t len = fs_calls.pread(fd, text, sizeof text - 1, 0);
    fs_close(fd);
    text[len > 0 ? len : 0] = '\0';
    const char *at = strstr(text, "VmHWM:");
    return at && sscanf(at, "VmHWM: %llu kB", &kib) == 1 ? kib << 10 : 0;
}
