/* Reading, directories, logs and paths. Writing towards a final name is in fs_publish.c. */
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

enum code fs_pread(int fd, void *bytes, size_t len, uint64_t at, const char *path, struct err *err)
{
    char *to = bytes;
    while (len) {
        ssize_t got = fs_calls.pread(fd, to, len, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_errno(err, IO, errno, "cannot read '%s'", path);
        if (got == 0)
            return err_set(err, DAMAGED,
                           "cannot read '%s': it ends at byte %llu, %zu more expected", path,
                           (unsigned long long)at, len);
        to += got;
        at += (uint64_t)got;
        len -= (size_t)got;
    }
    return OK;
}

enum code fs_pwrite(int fd, const void *bytes, size_t len, uint64_t at, const char *path,
                    struct err *err)
{
    const char *from = bytes;
    while (len) {
        ssize_t put = fs_calls.pwrite(fd, from, len, (off_t)at);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return err_errno(err, IO, put ? errno : ENOSPC, "cannot write '%s'", path);
        from += put;
        at += (uint64_t)put;
        len -= (size_t)put;
    }
    return OK;
}

static enum code open_file(int *fd, const char *path, bool own, uint64_t *size, struct err *err)
{
    /* O_NONBLOCK: a FIFO in place of a file must not hang the open; it is refused just below. */
    int got = fs_calls.open(path, O_RDONLY | O_NONBLOCK | (own ? O_NOFOLLOW : 0), 0);
    if (got < 0 && own && errno == ELOOP)
        return err_set(err, DAMAGED, "cannot read '%s': it is a symbolic link", path);
    if (got < 0)
        return err_errno(err, errno == ENOENT ? NOT_FOUND : IO, errno, "cannot open '%s'", path);
    struct stat info;
    enum code code = OK;
    if (fs_calls.fstat(got, &info) != 0)
        code = err_errno(err, IO, errno, "cannot read '%s'", path);
    else if (!S_ISREG(info.st_mode))
        code = err_set(err, own ? DAMAGED : USAGE, "cannot read '%s': it is not a regular file",
                       path);
    if (code) {
        fs_calls.close(got);
        return code;
    }
    if (size) *size = (uint64_t)info.st_size;
    *fd = got;
    return OK;
}

enum code fs_open(int *fd, const char *path, uint64_t *size, struct err *err)
{
    return open_file(fd, path, false, size, err);
}

enum code fs_open_own(int *fd, const char *path, uint64_t *size, struct err *err)
{
    return open_file(fd, path, true, size, err);
}

enum code fs_create(int *fd, const char *path, struct err *err)
{
    *fd = fs_calls.open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (*fd < 0) return err_errno(err, IO, errno, "cannot create '%s'", path);
    return OK;
}

enum code fs_sync_fd(int fd, const char *path, struct err *err)
{
    if (fs_calls.fsync(fd) != 0) return err_errno(err, IO, errno, "cannot make '%s' durable", path);
    return OK;
}

void fs_close(int fd)
{
    if (fd >= 0) fs_calls.close(fd);
}

static enum code read_file(struct arena *arena, struct bytes *bytes, const char *path, bool own,
                           size_t limit, struct err *err)
{
    int fd = -1;
    uint64_t size = 0;
    TRY(open_file(&fd, path, own, &size, err));
    enum code code;
    if (size > limit) {
        code = err_set(err, DAMAGED, "cannot read '%s': %llu bytes, more than the limit of %zu",
                       path, (unsigned long long)size, limit);
    } else {
        char *at = arena_take(arena, (size_t)size + 1);
        code = fs_pread(fd, at, (size_t)size, 0, path, err);
        *bytes = (struct bytes){ .at = at, .len = (size_t)size };
    }
    fs_close(fd);
    return code;
}

enum code fs_read(struct arena *arena, struct bytes *bytes, const char *path, size_t limit,
                  struct err *err)
{
    return read_file(arena, bytes, path, false, limit, err);
}

enum code fs_read_own(struct arena *arena, struct bytes *bytes, const char *path, size_t limit,
                      struct err *err)
{
    return read_file(arena, bytes, path, true, limit, err);
}

enum code fs_log_open(int *fd, const char *path, struct err *err)
{
    *fd = fs_calls.open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (*fd < 0) return err_errno(err, IO, errno, "cannot open log '%s'", path);
    return OK;
}

enum code fs_append(int fd, const void *bytes, size_t len, const char *path, struct err *err)
{
    ssize_t put;
    do put = fs_calls.append(fd, bytes, len);
    while (put < 0 && errno == EINTR);
    if (put < 0) return err_errno(err, IO, errno, "cannot append to '%s'", path);
    if ((size_t)put != len)
        return err_errno(err, IO, ENOSPC, "cannot append to '%s': %zd of %zu bytes written", path,
                         put, len);
    return OK;
}

static enum code make_dir(const char *path, struct err *err)
{
    if (fs_calls.mkdir(path, 0755) == 0) return fs_sync_parent(path, err);
    int reason = errno;
    struct stat info;
    if (reason == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return OK;
    return err_errno(err, IO, reason, "cannot make directory '%s'", path);
}

enum code fs_mkdirs(const char *path, struct err *err)
{
    char part[1024];
    size_t len = strlen(path);
    if (len >= sizeof part)
        return err_set(err, USAGE, "cannot make directory '%.80s...': path too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (!fs_is_dir(part)) TRY(make_dir(part, err));
    }
    return OK;
}

enum code fs_mkdir_like(const char *path, struct err *err)
{
    struct arena arena = { 0 };
    struct stat parent;
    enum code code = fs_stat(path_dir(&arena, path), &parent, err);
    if (!code && fs_calls.mkdir(path, 0755) == 0) {
        if (fs_calls.chmod(path, parent.st_mode & 07777) != 0)
            code = err_errno(err, IO, errno, "cannot set the permissions of '%s'", path);
    } else if (!code && !(errno == EEXIST && fs_is_dir(path))) {
        code = err_errno(err, IO, errno, "cannot make directory '%s'", path);
    }
    if (!code) code = fs_sync_parent(path, err);
    arena_release(&arena);
    return code;
}

enum code fs_sync_dir(const char *path, struct err *err)
{
    int fd = fs_calls.open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return err_errno(err, IO, errno, "cannot open directory '%s'", path);
    enum code code = fs_sync_fd(fd, path, err);
    fs_calls.close(fd);
    return code;
}

enum code fs_sync_parent(const char *path, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = fs_sync_dir(path_dir(&arena, path), err);
    arena_release(&arena);
    return code;
}

enum code fs_remove(const char *path, struct err *err)
{
    if (fs_calls.unlink(path) == 0 || errno == ENOENT) return OK;
    return err_errno(err, IO, errno, "cannot remove '%s'", path);
}

enum code fs_remove_tree(const char *path, struct err *err)
{
    struct stat info;
    if (fs_calls.stat(path, &info) != 0) return OK;
    if (!S_ISDIR(info.st_mode)) return fs_remove(path, err);
    struct arena arena = { 0 };
    char **names;
    size_t count;
    enum code code = fs_list(&arena, &names, &count, path, err);
    for (size_t i = 0; !code && i < count; i++)
        code = fs_remove_tree(path_join(&arena, path, names[i]), err);
    if (!code && fs_calls.rmdir(path) != 0 && errno != ENOENT)
        code = err_errno(err, IO, errno, "cannot remove directory '%s'", path);
    arena_release(&arena);
    return code;
}

bool fs_exists(const char *path)
{
    struct stat info;
    return fs_calls.stat(path, &info) == 0;
}

bool fs_is_dir(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

enum code fs_stat(const char *path, struct stat *info, struct err *err)
{
    if (fs_calls.stat(path, info) == 0) return OK;
    return err_errno(err, errno == ENOENT ? NOT_FOUND : IO, errno, "cannot look at '%s'", path);
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum code fs_list(struct arena *arena, char ***names, size_t *count, const char *path,
                  struct err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return err_errno(err, errno == ENOENT ? NOT_FOUND : IO, errno, "cannot list '%s'", path);
    size_t used = 0, size = 16;
    char **list = ARENA_ARRAY(arena, size + 1, char *);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (used == size) {
            char **more = ARENA_ARRAY(arena, size * 2 + 1, char *);
            memcpy(more, list, used * sizeof *list);
            list = more;
            size *= 2;
        }
        list[used++] = arena_copy(arena, entry->d_name);
    }
    closedir(dir);
    qsort(list, used, sizeof *list, by_bytes);
    list[used] = NULL;
    *names = list;
    if (count) *count = used;
    return OK;
}

static enum code digest_file(const char *path, bool own, struct digest *digest, uint64_t *size,
                             struct err *err)
{
    enum { PART = 1 << 20 };
    int fd = -1;
    uint64_t total = 0;
    TRY(open_file(&fd, path, own, &total, err));
    struct sha256 sha;
    sha256_begin(&sha);
    void *part = NULL;
    enum code code = block_alloc(&part, PART, "a read buffer", err);
    for (uint64_t at = 0; !code && at < total; at += PART) {
        size_t len = total - at < PART ? (size_t)(total - at) : PART;
        code = fs_pread(fd, part, len, at, path, err);
        if (!code) sha256_add(&sha, part, len);
    }
    sha256_end(&sha, digest);
    block_free(part);
    fs_close(fd);
    if (size) *size = total;
    return code;
}

enum code fs_digest(const char *path, struct digest *digest, uint64_t *size, struct err *err)
{
    return digest_file(path, false, digest, size, err);
}

enum code fs_digest_own(const char *path, struct digest *digest, uint64_t *size, struct err *err)
{
    return digest_file(path, true, digest, size, err);
}

char *path_join(struct arena *arena, const char *dir, const char *name)
{
    if (name[0] == '/' || dir[0] == '\0' || strcmp(dir, ".") == 0) return arena_copy(arena, name);
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/') len--;
    return arena_format(arena, "%.*s%s%s", (int)len, dir, dir[len - 1] == '/' ? "" : "/", name);
}

char *path_dir(struct arena *arena, const char *path)
{
    const char *base = path_base(path);
    size_t len = (size_t)(base - path);
    if (len == 0) return arena_copy(arena, ".");
    while (len > 1 && path[len - 1] == '/') len--;
    return arena_copy_len(arena, path, len);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
