/* One tar file with deterministic bytes, and a reader that takes nothing else.
 *
 * Written: ustar headers (POSIX.1-2017, pax utility, "ustar Interchange Format") of regular files
 * with mode 0444 and no owner, time 0, names in ascending order, a pax record `size` where the
 * octal field is too short, two zero blocks at the end. Read: the same, bit for bit in what
 * matters: any other type (links, devices, folders, sparse files), any name that the caller does
 * not expect, a repeated name, a size beyond the file or bytes behind the end are DAMAGED. The
 * reader never makes a path from a name. */
#ifndef PAWL_REGISTRY_TAR_H
#define PAWL_REGISTRY_TAR_H

#include "base/fs.h"

enum { TAR_NAME = 100 };

/* Appends a file's header; its `size` bytes follow through fs_writer_add, then tar_pad. Names must
 * come in ascending order. tar_end finishes the file. */
enum code tar_header(struct fs_writer *writer, const char *name, uint64_t size, struct err *err);
enum code tar_pad(struct fs_writer *writer, uint64_t size, struct err *err);
enum code tar_end(struct fs_writer *writer, struct err *err);

struct tar_member {
    char name[TAR_NAME + 1];
    uint64_t at, size; /* of its bytes in the file */
};

struct tar {
    int fd; /* + 1: zeroed means closed */
    const char *path;
    struct tar_member *members; /* in ascending order */
    size_t count;
};

/* Opens a tar and reads all headers; `expects` says whether a name may be there. At most `limit`
 * members. `path` is borrowed. DAMAGED, NOT_FOUND, IO. tar_close accepts a zeroed struct. */
enum code tar_open(struct tar *tar, struct arena *arena, const char *path, size_t limit,
                   bool (*expects)(const char *name), struct err *err);
void tar_close(struct tar *tar);

/* The member of this name, or NULL; its bytes, of at most `limit`, in the arena. */
const struct tar_member *tar_find(const struct tar *tar, const char *name);
enum code tar_read(const struct tar *tar, struct arena *arena, struct bytes *bytes,
                   const struct tar_member *member, size_t limit, struct err *err);

#endif
