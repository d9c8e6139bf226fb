/* A copy whose blocks the file system shares has the bytes and the digest of the file, and one that
 * it will not share is copied. */
#include "base/fs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int clones, refusals, written;

/* What FICLONE does, on any file system: the same bytes, none of them through pwrite of ours. */
static int shared(int to, int from)
{
    char part[4096];
    off_t at = 0;
    ssize_t got;
    clones++;
    while ((got = pread(from, part, sizeof part, at)) > 0) {
        cr_assert_eq(pwrite(to, part, (size_t)got, at), got);
        at += got;
    }
    return 0;
}

static int refused(int to, int from)
{
    (void)to;
    (void)from;
    refusals++;
    errno = EOPNOTSUPP;
    return -1;
}

static ssize_t counted(int fd, const void *bytes, size_t len, off_t at)
{
    written += (int)len;
    return pwrite(fd, bytes, len, at);
}

Test(fs_clone, a_copy_is_the_file_whether_it_is_shared_or_not)
{
    static const size_t sizes[] = { 0, 1, 4095, (1 << 20) + 7 };
    char dir[] = "/tmp/pawl-clone-XXXXXX";
    struct arena arena = { 0 };
    struct err err;
    cr_assert(mkdtemp(dir));
    const char *from = path_join(&arena, dir, "from"), *to = path_join(&arena, dir, "to");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *bytes = arena_take(&arena, sizes[i] + 1);
        for (size_t b = 0; b < sizes[i]; b++) bytes[b] = (char)(b * 31 + b / 251);
        cr_assert_eq(fs_publish(from, bytes, sizes[i], &err), OK);
        struct digest want = digest_of(bytes, sizes[i]), got, there;
        for (int share = 0; share < 3; share++) { /* 2: behind something that is there already */
            struct fs_writer writer;
            uint64_t size;
            written = clones = refusals = 0;
            fs_calls.clone = share ? shared : refused;
            cr_assert_eq(fs_writer_open(&writer, to, &err), OK);
            if (share == 2) cr_assert_eq(fs_writer_add(&writer, "x", 1, &err), OK);
            fs_calls.pwrite = counted;
            cr_assert_eq(fs_writer_copy(&writer, from, &err), OK, "%s", err.message);
            cr_assert_eq(fs_writer_publish(&writer, &got, NULL, &err), OK);
            fs_calls = fs_calls_real;
            cr_assert_eq(fs_digest(to, &there, &size, &err), OK);
            cr_expect(digest_equal(&got, &there), "size %zu, share %d", sizes[i], share);
            cr_expect_eq(size, sizes[i] + (share == 2));
            if (share < 2) cr_expect(digest_equal(&got, &want));
            cr_expect_eq(written, share == 1 ? 0 : (int)sizes[i]);
            cr_expect_eq(clones, share == 1 && sizes[i]);
            cr_expect_eq(refusals, share == 0 && sizes[i]);
        }
    }
    struct fs_writer writer;
    cr_assert_eq(fs_writer_open(&writer, to, &err), OK);
    cr_expect_eq(fs_writer_copy(&writer, path_join(&arena, dir, "none"), &err), NOT_FOUND);
    cr_expect_neq(fs_writer_copy(&writer, dir, &err), OK);
    fs_writer_abandon(&writer);
    fs_remove_tree(dir, NULL);
    arena_release(&arena);
}
