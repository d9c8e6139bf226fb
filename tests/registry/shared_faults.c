/* One wrapper per system call; the counter decides which one goes wrong. */
#include "tests/registry/shared_faults.h"

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static enum fault fault;
static int fault_at, calls;

static bool kills(void)
{
    return fault == FAULT_KILL_BEFORE || fault == FAULT_KILL_AFTER;
}

/* Whether this call must fail (errno is set) or, for a kill before it, never happen. */
static bool goes_wrong(bool mutating)
{
    if (kills() && !mutating) return false;
    calls++;
    if (fault == FAULT_KILL_BEFORE && calls == fault_at) _exit(FAULT_EXIT);
    if (!(fault == FAULT_ONCE && calls == fault_at) &&
        !(fault == FAULT_FOR_GOOD && calls >= fault_at))
        return false;
    errno = calls % 2 ? EIO : ENOSPC;
    return true;
}

static long done(long result)
{
    if (fault == FAULT_KILL_AFTER && calls == fault_at) _exit(FAULT_EXIT);
    return result;
}

static int faulty_open(const char *path, int flags, mode_t mode)
{
    bool mutating = flags & O_CREAT;
    if (goes_wrong(mutating)) return -1;
    int fd = fs_calls_real.open(path, flags, mode);
    return mutating ? (int)done(fd) : fd;
}

static ssize_t faulty_pread(int fd, void *bytes, size_t len, off_t at)
{
    return goes_wrong(false) ? -1 : fs_calls_real.pread(fd, bytes, len, at);
}

static ssize_t faulty_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return goes_wrong(true) ? -1 : done(fs_calls_real.pwrite(fd, bytes, len, at));
}

static ssize_t faulty_append(int fd, const void *bytes, size_t len)
{
    return goes_wrong(true) ? -1 : done(fs_calls_real.append(fd, bytes, len));
}

static int faulty_fsync(int fd)
{
    (void)fd; /* these tests end processes, not machines: nothing need reach the disk */
    return goes_wrong(true) ? -1 : (int)done(0);
}

static int faulty_fstat(int fd, struct stat *info)
{
    return goes_wrong(false) ? -1 : fs_calls_real.fstat(fd, info);
}

static int faulty_stat(const char *path, struct stat *info)
{
    return goes_wrong(false) ? -1 : fs_calls_real.stat(path, info);
}

static int faulty_rename(const char *from, const char *to)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.rename(from, to));
}

static int faulty_link(const char *from, const char *to)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.link(from, to));
}

static int faulty_symlink(const char *target, const char *path)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.symlink(target, path));
}

static int faulty_unlink(const char *path)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.unlink(path));
}

static int faulty_mkdir(const char *path, mode_t mode)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.mkdir(path, mode));
}

static int faulty_rmdir(const char *path)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.rmdir(path));
}

static int faulty_chmod(const char *path, mode_t mode)
{
    return goes_wrong(true) ? -1 : (int)done(fs_calls_real.chmod(path, mode));
}

/* As on a file system that shares nothing: the copy then goes through the calls above. */
static int no_clone(int to, int from)
{
    (void)to;
    (void)from;
    errno = EOPNOTSUPP;
    return -1;
}

void faults_begin(enum fault kind, int at)
{
    fault = kind;
    fault_at = at;
    calls = 0;
    fs_calls = (struct fs_calls){
        .open = faulty_open,
        .close = fs_calls_real.close,
        .pread = faulty_pread,
        .pwrite = faulty_pwrite,
        .append = faulty_append,
        .fsync = faulty_fsync,
        .fstat = faulty_fstat,
        .stat = faulty_stat,
        .rename = faulty_rename,
        .link = faulty_link,
        .symlink = faulty_symlink,
        .unlink = faulty_unlink,
        .mkdir = faulty_mkdir,
        .rmdir = faulty_rmdir,
        .chmod = faulty_chmod,
        .clone = no_clone,
    };
}

int faults_end(void)
{
    fs_calls = fs_calls_real;
    return calls;
}
