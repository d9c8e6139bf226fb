/* Files: the only place that opens anything for writing.
 *
 * Three kinds of file. *Published*: complete, fsynced, never modified afterwards. *Log*:
 * append-only, records complete or absent. *View*: can be rebuilt, may be deleted. Publishing is:
 * temporary in the same directory -> write -> fsync -> rename (or link, for exclusive creation) ->
 * fsync of the directory. After an fsync error that file is abandoned for good, never retried.
 *
 * Every system call goes through `fs_calls`, which tests replace to count calls and to fail call N.
 * Nothing here takes a lock: correctness rests on rename(2) and link(2) alone. */
#ifndef PAWL_BASE_FS_H
#define PAWL_BASE_FS_H

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* The system calls behind this file. A test may replace members between operations. */
struct fs_calls {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *bytes, size_t len, off_t at);
    ssize_t (*pwrite)(int fd, const void *bytes, size_t len, off_t at);
    ssize_t (*append)(int fd, const void *bytes, size_t len); /* write(2) on an O_APPEND file */
    int (*fsync)(int fd);
    int (*fstat)(int fd, struct stat *info);
    int (*stat)(const char *path, struct stat *info); /* lstat: links are not followed */
    int (*rename)(const char *from, const char *to);
    int (*link)(const char *from, const char *to);
    int (*symlink)(const char *target, const char *path);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
    int (*rmdir)(const char *path);
    int (*chmod)(const char *path, mode_t mode);
    int (*clone)(int to, int from); /* FICLONE: shares the blocks of a whole file */
};

extern struct fs_calls fs_calls;

/* The table of real system calls, to restore after a test or to delegate to. */
extern const struct fs_calls fs_calls_real;

struct bytes {
    const char *at; /* NUL-terminated one byte behind `len` */
    size_t len;
};

/* Reads a whole regular file of at most `limit` bytes into the arena. Fails with NOT_FOUND, with
 * DAMAGED when it is larger than `limit` or changes while it is read, or with IO. */
enum code fs_read(struct arena *arena, struct bytes *bytes, const char *path, size_t limit,
                  struct err *err);

/* Publishes `len` bytes at `path`: after OK the file is complete and durable, and on failure `path`
 * is what it was before. An existing file is replaced. */
enum code fs_publish(const char *path, const void *bytes, size_t len, struct err *err);

/* Replaces a view: like fs_publish without fsync (a lost view is rebuilt). */
enum code fs_publish_view(const char *path, const void *bytes, size_t len, struct err *err);

/* Creates `path` with this content if, and only if, no one else did: link(2) of a finished
 * temporary. *won says who did. An ambiguous reply is settled by link count and content, so the
 * content must be unique to the caller (a nonce). The file is left read-only (0444). */
enum code fs_create_exclusive(const char *path, const void *bytes, size_t len, bool *won,
                              struct err *err);

/* Creates `path`, readable and writable for its owner alone (0600) from its first byte on. CONFLICT
 * when it exists. For secrets. */
enum code fs_create_private(const char *path, const void *bytes, size_t len, struct err *err);

/* A file being written towards publication. Writes are buffered by the caller; the digest of all
 * appended bytes is kept. Either fs_writer_publish or fs_writer_abandon must follow; abandoning a
 * zeroed or finished writer does nothing. */
struct fs_writer {
    int fd; /* descriptor + 1, so that a zeroed writer is closed */
    uint64_t written;
    struct sha256 sha;
    char path[1024], temporary[1100];
};

/* Opens the temporary beside `path`; appends bytes. Fail with IO, after which only abandoning is
 * left. */
enum code fs_writer_open(struct fs_writer *writer, const char *path, struct err *err);
enum code fs_writer_add(struct fs_writer *writer, const void *bytes, size_t len, struct err *err);

/* Appends a whole file. Into a writer that has nothing yet the file system shares the blocks where
 * it can (Btrfs, XFS), and what was shared is read once for the digest; elsewhere each part is
 * read, written and hashed in one pass (copy_file_range would save nothing, as all bytes pass the
 * hash). NOT_FOUND, IO; USAGE for what is no regular file; DAMAGED when it gets shorter. */
enum code fs_writer_copy(struct fs_writer *writer, const char *path, struct err *err);

/* Publishes; `digest` (may be NULL) receives the SHA-256 of all bytes. With `exclusive`, an
 * existing `path` is left alone and *exclusive says whether ours went in (NULL: replace). */
enum code fs_writer_publish(struct fs_writer *writer, struct digest *digest, bool *exclusive,
                            struct err *err);
void fs_writer_abandon(struct fs_writer *writer);

/* Reads and writes exactly `len` bytes at an offset; a short file is DAMAGED. */
enum code fs_pread(int fd, void *bytes, size_t len, uint64_t at, const char *path, struct err *err);
enum code fs_pwrite(int fd, const void *bytes, size_t len, uint64_t at, const char *path,
                    struct err *err);

/* Opens for reading; the caller closes with fs_close. `size` may be NULL. Only regular files. */
enum code fs_open(int *fd, const char *path, uint64_t *size, struct err *err);

/* The same, for what lies in a folder that programs of ours alone write (a registry): a symbolic
 * link in place of the file is not followed, and it is DAMAGED as any other thing that is no
 * regular file. */
enum code fs_open_own(int *fd, const char *path, uint64_t *size, struct err *err);
enum code fs_read_own(struct arena *arena, struct bytes *bytes, const char *path, size_t limit,
                      struct err *err);
enum code fs_digest_own(const char *path, struct digest *digest, uint64_t *size, struct err *err);

/* Opens a new file for reading and writing at random places (the HDF5 driver's way in). The file
 * must not exist. The caller fsyncs with fs_sync_fd and closes. */
enum code fs_create(int *fd, const char *path, struct err *err);
enum code fs_sync_fd(int fd, const char *path, struct err *err);
void fs_close(int fd);

/* Opens a log for appending (created when missing); each fs_append is one write(2), retried only
 * when nothing of it was written; a torn record is left for readers to drop. */
enum code fs_log_open(int *fd, const char *path, struct err *err);
enum code fs_append(int fd, const void *bytes, size_t len, const char *path, struct err *err);

/* Directories. fs_mkdirs makes all missing parents; fs_sync_dir makes names durable;
 * fs_sync_parent does so for the directory that holds `path`. */
enum code fs_mkdirs(const char *path, struct err *err);
enum code fs_sync_dir(const char *path, struct err *err);
enum code fs_sync_parent(const char *path, struct err *err);

/* Makes one directory with its parent's permission bits (setgid, sticky, group write), for folders
 * that several users share, and makes its name durable. An existing directory is fine. */
enum code fs_mkdir_like(const char *path, struct err *err);

/* Renames a finished, fsynced directory (or file) into place and syncs the parent. `to` must not
 * exist; otherwise CONFLICT. */
enum code fs_publish_dir(const char *from, const char *to, struct err *err);

/* Renames within one file system and syncs the parent of `to`; replaces. */
enum code fs_replace(const char *from, const char *to, struct err *err);

/* Points the symbolic link `path` to `target`: a new link is renamed over the old one, so that a
 * reader finds one or the other; then syncs the parent. */
enum code fs_publish_link(const char *target, const char *path, struct err *err);

/* Sets permission bits; makes a finished file read-only (0444). */
enum code fs_set_mode(const char *path, mode_t mode, struct err *err);
enum code fs_protect(const char *path, struct err *err);

/* Hard link; *made says whether it is new (an existing name is not an error). */
enum code fs_link(const char *from, const char *to, bool *made, struct err *err);

/* Removes a file, or a directory tree without following links. Missing is fine. */
enum code fs_remove(const char *path, struct err *err);
enum code fs_remove_tree(const char *path, struct err *err);

/* What lies at a path (links are not followed). */
bool fs_exists(const char *path);
bool fs_is_dir(const char *path);
enum code fs_stat(const char *path, struct stat *info, struct err *err);

/* The names in a directory, sorted bytewise, without "." and ".."; NULL-terminated. */
enum code fs_list(struct arena *arena, char ***names, size_t *count, const char *path,
                  struct err *err);

/* SHA-256 and size of a whole file, streamed. `size` may be NULL. */
enum code fs_digest(const char *path, struct digest *digest, uint64_t *size, struct err *err);

/* A unique name in the directory of `path`: ".<name>.<random>.tmp". */
void fs_temporary_name(char *temporary, size_t size, const char *path);
/* Whether a name (without folder) is such a one: unfinished work, perhaps of a writer at work. */
bool fs_is_temporary(const char *name);

/* Joins with one slash; `dir` "" or "." gives `name`, an absolute `name` gives itself. */
char *path_join(struct arena *arena, const char *dir, const char *name);

/* The directory part ("." when there is none) and the last component. */
char *path_dir(struct arena *arena, const char *path);
const char *path_base(const char *path);

/* Fills `bytes` with random bits from the system. */
void random_bytes(void *bytes, size_t len);

#endif
