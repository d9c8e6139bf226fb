/* The table of system calls under base/fs: the real ones, and the copy that tests may change. */
#include "base/fs.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int real_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int real_clone(int to, int from)
{
    return ioctl(to, FICLONE, from);
}

static int real_stat(const char *path, struct stat *info)
{
    return lstat(path, info);
}

#define REAL_CALLS                                                                                 \
    {                                                                                              \
        .open = real_open, .close = close, .pread = pread, .pwrite = pwrite, .append = write,      \
        .fsync = fsync, .fstat = fstat, .stat = real_stat, .rename = rename, .link = link,         \
        .symlink = symlink, .unlink = unlink, .mkdir = mkdir, .rmdir = rmdir, .chmod = chmod,      \
        .clone = real_clone,                                                                       \
    }

const struct fs_calls fs_calls_real = REAL_CALLS;
struct fs_calls fs_calls = REAL_CALLS;
