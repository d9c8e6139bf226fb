/* The content store: store/sha256/<hex>, each file named by the SHA-256 of its bytes.
 *
 * Content is written once, fsynced before it has its name, read-only from then on, and shared by
 * all models. Putting what is there already re-hashes what is there: a damaged file is never taken
 * for the new one. Reading checks the digest before it hands out a byte.
 *
 * Before anybody looks whether content exists, staging/hold.<hex> says that it is about to be
 * relied on. The collector (gc.h) renames content away first and reads the holds afterwards, so
 * that whoever saw the content has a hold that is seen, and whoever did not puts it anew. */
#ifndef PAWL_REGISTRY_STORE_H
#define PAWL_REGISTRY_STORE_H

#include "base/fs.h"

struct store {
    char dir[900];     /* .../store/sha256 */
    char staging[900]; /* unfinished content, on the same file system */
};

/* Sets the folders; nothing is opened. USAGE when a path is too long. */
enum code store_init(struct store *store, const char *dir, const char *staging, struct err *err);

/* The path of content, in the arena; where it lies now (the collector may have it aside for the
 * moment; the path above when it is nowhere). */
char *store_path(struct arena *arena, const struct store *store, const struct digest *digest);
char *store_locate(struct arena *arena, const struct store *store, const struct digest *digest);

/* Links content at `to`; *made says whether the name is new. Its size. A collector may have content
 * aside for a moment: what is nowhere is looked for again for a short while. DAMAGED when it stays
 * missing. */
enum code store_link(const struct store *store, const struct digest *digest, const char *to,
                     bool *made, struct err *err);
enum code store_size(const struct store *store, const struct digest *digest, uint64_t *size,
                     struct err *err);

/* The path of content's hold, and of where the collector puts it aside. */
char *store_hold_path(struct arena *arena, const struct store *store, const struct digest *digest);
char *store_trash_path(struct arena *arena, const struct store *store, const struct digest *digest);

/* Puts bytes from memory; their digest is returned. */
enum code store_put(const struct store *store, struct digest *digest, const void *bytes, size_t len,
                    struct err *err);

/* Puts a copy of a file, hashed while it is copied; digest and size are returned (size may be
 * NULL). */
enum code store_put_file(const struct store *store, struct digest *digest, uint64_t *size,
                         const char *path, struct err *err);

/* Gives a finished, fsynced file on the same file system its name in the store by a hard link.
 * `digest` is what its writer hashed; the file becomes read-only. */
enum code store_adopt(const struct store *store, const char *path, const struct digest *digest,
                      struct err *err);

/* Reads content of at most `limit` bytes into the arena. DAMAGED when its digest is another or it
 * is missing. */
enum code store_read(const struct store *store, struct arena *arena, struct bytes *bytes,
                     const struct digest *digest, size_t limit, struct err *err);

/* Appends content of `size` bytes to a writer, hashed on the way. DAMAGED when it is not what it
 * should be; what was appended is then of no use. */
enum code store_pour(const struct store *store, struct fs_writer *writer,
                     const struct digest *digest, uint64_t size, struct err *err);

/* Publishes a verified copy at `path`, read-only. DAMAGED when the content is not what it should
 * be; `path` is then removed. */
enum code store_copy(const struct store *store, const struct digest *digest, const char *path,
                     struct err *err);

/* Hashes content. DAMAGED when it is missing or its bytes have another digest; `size` may be
 * NULL. */
enum code store_check(const struct store *store, const struct digest *digest, uint64_t *size,
                      struct err *err);

#endif
