/* Content by digest: every way in ends in one link(2), every way out in one comparison. */
#include "registry/store.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum code store_init(struct store *store, const char *dir, const char *staging, struct err *err)
{
    int len = snprintf(store->dir, sizeof store->dir, "%s", dir);
    int more = snprintf(store->staging, sizeof store->staging, "%s", staging);
    if (len < 0 || more < 0 || (size_t)len >= sizeof store->dir ||
        (size_t)more >= sizeof store->staging)
        return err_set(err, USAGE, "cannot use '%.80s...': path longer than %zu bytes", dir,
                       sizeof store->dir - 1);
    return OK;
}

char *store_path(struct arena *arena, const struct store *store, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return arena_format(arena, "%s/%s", store->dir, digest_text(digest, text) + strlen("sha256:"));
}

static const char *hex_of(const struct digest *digest, char text[DIGEST_TEXT])
{
    return digest_text(digest, text) + strlen("sha256:");
}

char *store_hold_path(struct arena *arena, const struct store *store, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return arena_format(arena, "%s/hold.%s", store->staging, hex_of(digest, text));
}

char *store_trash_path(struct arena *arena, const struct store *store, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return arena_format(arena, "%s/trash/%s", path_dir(arena, store->staging),
                        hex_of(digest, text));
}

char *store_locate(struct arena *arena, const struct store *store, const struct digest *digest)
{
    char *path = store_path(arena, store, digest);
    if (fs_exists(path)) return path;
    char *aside = store_trash_path(arena, store, digest);
    return fs_exists(aside) ? aside : path;
}

/* One try at what needs content at a path; NOT_FOUND: it was moved meanwhile. */
typedef enum code with_content(void *context, const char *path, struct err *err);

/* Tries until the content is at one of its two places; a rename between them takes no time. */
static enum code with(const struct store *store, const struct digest *digest, with_content *act,
                      void *context, struct err *err)
{
    enum { TRIES = 50, PAUSE_NS = 2000000 };
    const struct timespec pause = { .tv_nsec = PAUSE_NS };
    struct arena arena = { 0 };
    enum code code = NOT_FOUND;
    for (int i = 0; i < TRIES && code == NOT_FOUND; i++) {
        if (i) nanosleep(&pause, NULL);
        code = act(context, store_locate(&arena, store, digest), err);
    }
    if (code == NOT_FOUND)
        code = err_set(err, DAMAGED, "content '%s' is missing", store_path(&arena, store, digest));
    arena_release(&arena);
    return code;
}

struct linking {
    const char *to;
    bool *made;
};

static enum code link_once(void *context, const char *path, struct err *err)
{
    struct linking *linking = context;
    enum code code = fs_link(path, linking->to, linking->made, err);
    return code && !fs_exists(path) ? NOT_FOUND : code;
}

enum code store_link(const struct store *store, const struct digest *digest, const char *to,
                     bool *made, struct err *err)
{
    struct linking linking = { to, made };
    return with(store, digest, link_once, &linking, err);
}

static enum code size_once(void *context, const char *path, struct err *err)
{
    struct stat info;
    uint64_t *size = context;
    enum code code = fs_stat(path, &info, err);
    if (!code) *size = (uint64_t)info.st_size;
    return code;
}

enum code store_size(const struct store *store, const struct digest *digest, uint64_t *size,
                     struct err *err)
{
    return with(store, digest, size_once, size, err);
}

/* A fresh time matters, not durability: after a power cut nobody is at work any more. */
static enum code hold(const struct store *store, const struct digest *digest, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = fs_publish_view(store_hold_path(&arena, store, digest), "", 0, err);
    arena_release(&arena);
    return code;
}

static enum code wrong_content(const char *path, struct err *err)
{
    err_set(err, DAMAGED, "content '%s' is damaged: its bytes have another digest", path);
    err_hint(err, "Run `pawl registry verify` to see what depends on it.");
    return DAMAGED;
}

struct checking {
    const struct digest *digest;
    uint64_t *size;
};

static enum code check_once(void *context, const char *path, struct err *err)
{
    struct checking *checking = context;
    struct digest got;
    TRY(fs_digest_own(path, &got, checking->size, err));
    return digest_equal(&got, checking->digest) ? OK : wrong_content(path, err);
}

enum code store_check(const struct store *store, const struct digest *digest, uint64_t *size,
                      struct err *err)
{
    struct checking checking = { digest, size };
    return with(store, digest, check_once, &checking, err);
}

enum code store_adopt(const struct store *store, const char *path, const struct digest *digest,
                      struct err *err)
{
    struct arena arena = { 0 };
    const char *to = store_path(&arena, store, digest);
    bool made = false;
    enum code code = hold(store, digest, err);
    if (!code && fs_exists(to)) {
        code = store_check(store, digest, NULL, err);
    } else if (!code) {
        code = fs_protect(path, err);
        if (!code) code = fs_link(path, to, &made, err);
        if (!code && !made) code = store_check(store, digest, NULL, err);
    }
    if (!code) code = fs_sync_dir(store->dir, err);
    arena_release(&arena);
    return code;
}

enum code store_put(const struct store *store, struct digest *digest, const void *bytes, size_t len,
                    struct err *err)
{
    struct arena arena = { 0 };
    *digest = digest_of(bytes, len);
    const char *path = store_path(&arena, store, digest);
    bool made = false;
    enum code code = hold(store, digest, err);
    if (!code && !fs_exists(path)) code = fs_create_exclusive(path, bytes, len, &made, err);
    if (!code && !made) code = store_check(store, digest, NULL, err);
    if (!code && !made) code = fs_sync_dir(store->dir, err);
    arena_release(&arena);
    return code;
}

enum code store_put_file(const struct store *store, struct digest *digest, uint64_t *size,
                         const char *path, struct err *err)
{
    struct arena arena = { 0 };
    struct fs_writer writer = { 0 };
    uint64_t nonce[2];
    random_bytes(nonce, sizeof nonce);
    const char *staged = arena_format(&arena, "%s/content.%016llx%016llx", store->staging,
                                      (unsigned long long)nonce[0], (unsigned long long)nonce[1]);
    enum code code = fs_writer_open(&writer, staged, err);
    if (code) goto out;
    if ((code = fs_writer_copy(&writer, path, err))) goto out;
    if (size) *size = writer.written;
    if ((code = fs_writer_publish(&writer, digest, NULL, err))) goto out;
    code = store_adopt(store, staged, digest, err);
out:
    fs_writer_abandon(&writer);
    fs_remove(staged, NULL);
    arena_release(&arena);
    return code;
}

struct reading {
    struct arena *arena;
    struct bytes *bytes;
    const struct digest *digest;
    size_t limit;
};

static enum code read_once(void *context, const char *path, struct err *err)
{
    struct reading *reading = context;
    TRY(fs_read_own(reading->arena, reading->bytes, path, reading->limit, err));
    struct digest got = digest_of(reading->bytes->at, reading->bytes->len);
    return digest_equal(&got, reading->digest) ? OK : wrong_content(path, err);
}

enum code store_read(const struct store *store, struct arena *arena, struct bytes *bytes,
                     const struct digest *digest, size_t limit, struct err *err)
{
    struct reading reading = { arena, bytes, digest, limit };
    return with(store, digest, read_once, &reading, err);
}

enum code store_copy(const struct store *store, const struct digest *digest, const char *path,
                     struct err *err)
{
    struct arena arena = { 0 };
    struct fs_writer writer = { 0 };
    struct digest got;
    struct stat info;
    const char *from = store_locate(&arena, store, digest);
    enum code code = fs_stat(from, &info, NULL);
    if (!code && !S_ISREG(info.st_mode))
        code = err_set(err, DAMAGED, "content '%s' is not a regular file", from);
    if (code == DAMAGED) goto out;
    code = fs_writer_open(&writer, path, err);
    if (code) goto out;
    code = fs_writer_copy(&writer, from, err);
    if (code == NOT_FOUND) code = err_set(err, DAMAGED, "content '%s' is missing", from);
    if (code) goto out;
    if ((code = fs_writer_publish(&writer, &got, NULL, err))) goto out;
    if (!digest_equal(&got, digest)) {
        fs_remove(path, NULL);
        code = wrong_content(from, err);
    }
    if (!code) code = fs_protect(path, err);
out:
    fs_writer_abandon(&writer);
    arena_release(&arena);
    return code;
}

enum code store_pour(const struct store *store, struct fs_writer *writer,
                     const struct digest *digest, uint64_t size, struct err *err)
{
    enum { PART = 1 << 20 };
    struct arena arena = { 0 };
    struct sha256 sha;
    struct digest got;
    int fd = -1;
    uint64_t there = 0;
    void *part = NULL;
    const char *from = store_locate(&arena, store, digest);
    sha256_begin(&sha);
    enum code code = block_alloc(&part, PART, "a copy buffer", err);
    if (!code) code = fs_open_own(&fd, from, &there, err);
    if (code == NOT_FOUND) code = err_set(err, DAMAGED, "content '%s' is missing", from);
    if (!code && there != size) code = wrong_content(from, err);
    for (uint64_t at = 0; !code && at < size; at += PART) {
        size_t len = size - at < PART ? (size_t)(size - at) : PART;
        code = fs_pread(fd, part, len, at, from, err);
        if (!code) sha256_add(&sha, part, len);
        if (!code) code = fs_writer_add(writer, part, len, err);
    }
    sha256_end(&sha, &got);
    if (!code && !digest_equal(&got, digest)) code = wrong_content(from, err);
    fs_close(fd);
    block_free(part);
    arena_release(&arena);
    return code;
}
