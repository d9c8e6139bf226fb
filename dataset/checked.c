/* Remembering a clean check by what the kernel says of the file. Nothing here can make a damaged
 * file pass as long as ctime moves on change, which no user can prevent. */
#include "dataset/checked.h"

#include "base/clock.h"
#include "base/fs.h"

#include <math.h>

enum { VIEW_LIMIT = 4096 };

static const double settle_s = 0.1;

static json_int_t nanoseconds(struct timespec time)
{
    return (json_int_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* What must be the same for the result to hold; NULL when the file cannot be looked at. */
static json_t *identity(const struct dataset *dataset, double *age_s)
{
    struct stat info;
    char digest[DIGEST_TEXT];
    if (fs_calls.fstat(dataset->fd - 1, &info) != 0) return NULL;
    *age_s = clock_wall() - (double)nanoseconds(info.st_ctim) * 1e-9;
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:s}", "pawl", "checked/1", "device",
                     (json_int_t)info.st_dev, "inode", (json_int_t)info.st_ino, "bytes",
                     (json_int_t)info.st_size, "mtime", nanoseconds(info.st_mtim), "ctime",
                     nanoseconds(info.st_ctim), "manifest", digest_text(&dataset->digest, digest));
}

bool checked_recall(const struct dataset *dataset)
{
    struct arena arena = { 0 };
    struct err unused;
    double age_s;
    json_t *view = NULL, *now = identity(dataset, &age_s);
    const char *path = arena_format(&arena, "%s.checked", dataset->path);
    bool same = now && json_read(&view, path, VIEW_LIMIT, "checked/1", &unused) == OK &&
                json_equal(view, now);
    json_decref(view);
    json_decref(now);
    arena_release(&arena);
    return same;
}

void checked_remember(const struct dataset *dataset)
{
    struct arena arena = { 0 };
    struct err unused;
    size_t len;
    double age_s;
    json_t *now = identity(dataset, &age_s);
    if (now && age_s > settle_s) {
        const char *text = json_canonical(&arena, now, &len);
        const char *path = arena_format(&arena, "%s.checked", dataset->path);
        (void)fs_publish_view(path, text, len, &unused);
    }
    json_decref(now);
    arena_release(&arena);
}
