/* Publishing: temporary -> write -> fsync -> rename or link -> fsync of the directory.
 *
 * The invariant: at every moment the final name shows either what was there before or the complete
 * new content, and after OK the new content survives a power cut. */
#include "base/fs.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

void random_bytes(void *bytes, size_t len)
{
    char *at = bytes;
    while (len) {
        ssize_t got = getrandom(at, len, 0);
        REQUIRE(got > 0 || errno == EINTR);
        if (got < 0) continue;
        at += got;
        len -= (size_t)got;
    }
}

void fs_temporary_name(char *temporary, size_t size, const char *path)
{
    uint64_t nonce[2];
    random_bytes(nonce, sizeof nonce);
    const char *base = path_base(path);
    int len = snprintf(temporary, size, "%.*s.%s.%016llx%016llx.tmp", (int)(base - path), path,
                       base, (unsigned long long)nonce[0], (unsigned long long)nonce[1]);
    REQUIRE(len > 0 && (size_t)len < size);
}

bool fs_is_temporary(const char *name)
{
    return name[0] == '.' && text_ends(name, ".tmp");
}

enum code fs_writer_open(struct fs_writer *writer, const char *path, struct err *err)
{
    memset(writer, 0, sizeof *writer);
    if (strlen(path) >= sizeof writer->path)
        return err_set(err, USAGE, "cannot write '%.80s...': path longer than %zu bytes", path,
                       sizeof writer->path - 1);
    snprintf(writer->path, sizeof writer->path, "%s", path);
    fs_temporary_name(writer->temporary, sizeof writer->temporary, path);
    int fd = fs_calls.open(writer->temporary, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd < 0) return err_errno(err, IO, errno, "cannot create '%s'", path);
    writer->fd = fd + 1;
    sha256_begin(&writer->sha);
    return OK;
}

enum code fs_writer_add(struct fs_writer *writer, const void *bytes, size_t len, struct err *err)
{
    TRY(fs_pwrite(writer->fd - 1, bytes, len, writer->written, writer->path, err));
    sha256_add(&writer->sha, bytes, len);
    writer->written += len;
    return OK;
}

/* Feeds `size` bytes of `fd` to the digest and, where they are not there yet, to the file. */
static enum code pour(struct fs_writer *writer, int fd, uint64_t size, bool cloned,
                      const char *path, struct err *err)
{
    enum { PART = 1 << 20 };
    void *part = NULL;
    enum code code = block_alloc(&part, PART, "a copy buffer", err);
    for (uint64_t at = 0; !code && at < size; at += PART) {
        size_t len = size - at < PART ? (size_t)(size - at) : PART;
        code = fs_pread(fd, part, len, at, path, err);
        if (!code && !cloned) code = fs_writer_add(writer, part, len, err);
        if (!code && cloned) sha256_add(&writer->sha, part, len);
    }
    block_free(part);
    return code;
}

enum code fs_writer_copy(struct fs_writer *writer, const char *path, struct err *err)
{
    int fd = -1, own = writer->fd - 1;
    uint64_t size = 0;
    struct stat info;
    enum code code = fs_open(&fd, path, &size, err);
    if (code) return code;
    bool cloned = !writer->written && size && fs_calls.clone(own, fd) == 0;
    if (cloned && fs_calls.fstat(own, &info) != 0)
        code = err_errno(err, IO, errno, "cannot copy '%s'", path);
    if (!code && cloned) size = (uint64_t)info.st_size; /* of the moment of the clone */
    if (!code) code = pour(writer, cloned ? own : fd, size, cloned, path, err);
    if (!code && cloned) writer->written = size;
    fs_close(fd);
    return code;
}

void fs_writer_abandon(struct fs_writer *writer)
{
    if (!writer->fd) return;
    fs_calls.close(writer->fd - 1);
    fs_calls.unlink(writer->temporary);
    sha256_drop(&writer->sha);
    writer->fd = 0;
}

/* link(2) may report failure although it succeeded (NFS): the temporary's link count decides. */
static enum code link_exclusive(const char *from, const char *to, bool *won, struct err *err)
{
    *won = fs_calls.link(from, to) == 0;
    if (*won) return OK;
    int reason = errno;
    struct stat mine, there;
    if (fs_calls.stat(from, &mine) == 0 && mine.st_nlink == 2 && fs_calls.stat(to, &there) == 0 &&
        there.st_ino == mine.st_ino && there.st_dev == mine.st_dev) {
        *won = true;
        return OK;
    }
    if (reason == EEXIST) return OK;
    return err_errno(err, IO, reason, "cannot create '%s'", to);
}

static enum code settle(struct fs_writer *writer, bool *exclusive, struct err *err)
{
    if (!exclusive) {
        if (fs_calls.rename(writer->temporary, writer->path) != 0)
            return err_errno(err, IO, errno, "cannot put '%s' in place", writer->path);
        return OK;
    }
    if (fs_calls.chmod(writer->temporary, 0444) != 0)
        return err_errno(err, IO, errno, "cannot make '%s' read-only", writer->path);
    enum code code = link_exclusive(writer->temporary, writer->path, exclusive, err);
    fs_calls.unlink(writer->temporary);
    return code;
}

enum code fs_writer_publish(struct fs_writer *writer, struct digest *digest, bool *exclusive,
                            struct err *err)
{
    REQUIRE(writer->fd);
    enum code code = fs_sync_fd(writer->fd - 1, writer->path, err);
    if (code) {
        fs_writer_abandon(writer);
        return code;
    }
    struct digest unused;
    sha256_end(&writer->sha, digest ? digest : &unused);
    int closed = fs_calls.close(writer->fd - 1);
    writer->fd = 0;
    if (closed != 0) {
        code = err_errno(err, IO, errno, "cannot write '%s'", writer->path);
    } else {
        code = settle(writer, exclusive, err);
    }
    if (code) {
        fs_calls.unlink(writer->temporary);
        return code;
    }
    return fs_sync_parent(writer->path, err);
}

static enum code publish(const char *path, const void *bytes, size_t len, bool *exclusive,
                         struct err *err)
{
    struct fs_writer writer;
    TRY(fs_writer_open(&writer, path, err));
    enum code code = fs_writer_add(&writer, bytes, len, err);
    if (code) {
        fs_writer_abandon(&writer);
        return code;
    }
    return fs_writer_publish(&writer, NULL, exclusive, err);
}

enum code fs_publish(const char *path, const void *bytes, size_t len, struct err *err)
{
    return publish(path, bytes, len, NULL, err);
}

enum code fs_create_exclusive(const char *path, const void *bytes, size_t len, bool *won,
                              struct err *err)
{
    return publish(path, bytes, len, won, err);
}

enum code fs_create_private(const char *path, const void *bytes, size_t len, struct err *err)
{
    char temporary[1100];
    bool won = false;
    if (strlen(path) > 1000) return err_set(err, USAGE, "cannot write '%.80s...': long path", path);
    fs_temporary_name(temporary, sizeof temporary, path);
    int fd = fs_calls.open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0) return err_errno(err, IO, errno, "cannot create '%s'", path);
    enum code code = fs_pwrite(fd, bytes, len, 0, path, err);
    if (!code) code = fs_sync_fd(fd, path, err);
    if (fs_calls.close(fd) != 0 && !code)
        code = err_errno(err, IO, errno, "cannot write '%s'", path);
    if (!code) code = link_exclusive(temporary, path, &won, err);
    fs_calls.unlink(temporary);
    if (!code && !won) code = err_set(err, CONFLICT, "cannot write '%s': it exists already", path);
    return code ? code : fs_sync_parent(path, err);
}

enum code fs_publish_view(const char *path, const void *bytes, size_t len, struct err *err)
{
    char temporary[1100];
    if (strlen(path) > 1000) return err_set(err, USAGE, "cannot write '%.80s...': long path", path);
    fs_temporary_name(temporary, sizeof temporary, path);
    int fd = fs_calls.open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0) return err_errno(err, IO, errno, "cannot create '%s'", path);
    enum code code = fs_pwrite(fd, bytes, len, 0, path, err);
    if (fs_calls.close(fd) != 0 && !code)
        code = err_errno(err, IO, errno, "cannot write '%s'", path);
    if (!code && fs_calls.rename(temporary, path) != 0)
        code = err_errno(err, IO, errno, "cannot put '%s' in place", path);
    if (code) fs_calls.unlink(temporary);
    return code;
}

enum code fs_publish_dir(const char *from, const char *to, struct err *err)
{
    if (fs_exists(to)) return err_set(err, CONFLICT, "cannot publish '%s': it exists already", to);
    if (fs_calls.rename(from, to) != 0) {
        enum code code = errno == EEXIST || errno == ENOTEMPTY ? CONFLICT : IO;
        return err_errno(err, code, errno, "cannot put '%s' in place", to);
    }
    return fs_sync_parent(to, err);
}

enum code fs_replace(const char *from, const char *to, struct err *err)
{
    if (fs_calls.rename(from, to) != 0)
        return err_errno(err, IO, errno, "cannot put '%s' in place", to);
    return fs_sync_parent(to, err);
}

enum code fs_publish_link(const char *target, const char *path, struct err *err)
{
    char temporary[1100];
    if (strlen(path) > 1000) return err_set(err, USAGE, "cannot link '%.80s...': long path", path);
    fs_temporary_name(temporary, sizeof temporary, path);
    if (fs_calls.symlink(target, temporary) != 0)
        return err_errno(err, IO, errno, "cannot create link '%s'", path);
    enum code code = OK;
    if (fs_calls.rename(temporary, path) != 0)
        code = err_errno(err, IO, errno, "cannot put '%s' in place", path);
    if (code) fs_calls.unlink(temporary);
    return code ? code : fs_sync_parent(path, err);
}

enum code fs_set_mode(const char *path, mode_t mode, struct err *err)
{
    if (fs_calls.chmod(path, mode) == 0) return OK;
    return err_errno(err, IO, errno, "cannot set the permissions of '%s'", path);
}

enum code fs_protect(const char *path, struct err *err)
{
    if (fs_calls.chmod(path, 0444) == 0) return OK;
    return err_errno(err, IO, errno, "cannot make '%s' read-only", path);
}

enum code fs_link(const char *from, const char *to, bool *made, struct err *err)
{
    *made = fs_calls.link(from, to) == 0;
    if (*made || errno == EEXIST) return OK;
    return err_errno(err, IO, errno, "cannot link '%s' to '%s'", from, to);
}
