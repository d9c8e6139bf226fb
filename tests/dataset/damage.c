/* Damage: a flipped byte anywhere, a cut anywhere, in the file or its manifest, is noticed before
 * use and named; a remembered check is trusted only while nothing changed; failing calls leave old
 * or new. */
#include "dataset/blocks.h"
#include "tests/dataset/small.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { ROWS = 8000 };

static void flip(const char *path, uint64_t at)
{
    unsigned char byte;
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= (unsigned char)(1 << at % 8);
    cr_assert_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

Test(damage, a_flipped_byte_is_noticed_with_its_block_and_rows)
{
    struct small small;
    struct dataset dataset;
    struct err err = { 0 };
    char wanted[400];
    static unsigned char row[PIXELS];
    small_make(&small, ROWS, 0);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK, "%s", err.message);
    uint64_t bytes = dataset.bytes, blocks = blocks_count(bytes);
    uint64_t offset = split_column(dataset_split(&dataset, "train"), "image")->offset;
    dataset_close(&dataset);
    cr_assert_geq(blocks, 4);
    for (uint64_t at = 100; at < bytes; at += bytes / 60) {
        flip(small.path, at);
        uint64_t block = at / BLOCK_BYTES, begin = block * BLOCK_BYTES, end = begin + BLOCK_BYTES;
        enum code code = dataset_open(&dataset, small.path, &err);
        bool image = at >= offset && at < offset + (uint64_t)ROWS * PIXELS;
        if (!code && image) {
            uint64_t number = (at - offset) / PIXELS, last = (end - 1 - offset) / PIXELS;
            const struct column *column = split_column(dataset_split(&dataset, "train"), "image");
            snprintf(wanted, sizeof wanted,
                     "cannot read '%s': block %d of %d is damaged (/train/image rows %d to %d)",
                     small.path, (int)block, (int)blocks,
                     begin < offset ? 0 : (int)((begin - offset) / PIXELS),
                     (int)(last < ROWS ? last : ROWS - 1));
            code = dataset_read(&dataset, column, number, 1, row, &err);
            cr_expect_str_eq(err.message, wanted, "byte %d: %s", (int)at, err.message);
            int64_t ordinal = (int64_t)number;
            cr_expect_eq(dataset_gather(&dataset, column, &ordinal, 1, row, &err), DAMAGED);
            cr_expect_eq(dataset_check(&dataset, NULL, &err), DAMAGED);
            cr_expect_str_eq(err.message, wanted, "byte %d: %s", (int)at, err.message);
        } else if (!code) {
            code = dataset_check(&dataset, NULL, &err);
        }
        cr_expect_eq(code, DAMAGED, "byte %d", (int)at);
        cr_expect(strstr(err.message, small.path), "%s", err.message);
        dataset_close(&dataset);
        flip(small.path, at);
    }
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK, "%s", err.message);
    cr_expect_eq(dataset_check(&dataset, NULL, &err), OK, "%s", err.message);
    dataset_close(&dataset);
    small_release(&small);
}

Test(damage, every_cut_of_the_file_and_every_flip_in_the_manifest_is_noticed)
{
    struct small small;
    struct dataset dataset;
    struct err err = { 0 };
    struct arena arena = { 0 };
    struct bytes file, manifest;
    char path[160], wanted[400];
    small_make(&small, 50, 10);
    snprintf(path, sizeof path, "%s.json", small.path);
    cr_assert_eq(fs_read(&arena, &file, small.path, 1 << 22, &err), OK);
    cr_assert_eq(fs_read(&arena, &manifest, path, 1 << 22, &err), OK);
    for (size_t len = 0; len < file.len; len += 211) {
        cr_assert_eq(fs_publish_view(small.path, file.at, len, &err), OK);
        cr_expect_eq(dataset_open(&dataset, small.path, &err), DAMAGED, "cut to %zu", len);
        snprintf(wanted, sizeof wanted,
                 "cannot open dataset '%s': %zu bytes, but the manifest says %zu", small.path, len,
                 file.len);
        cr_expect_str_eq(err.message, wanted);
    }
    cr_assert_eq(fs_publish_view(small.path, file.at, file.len, &err), OK);
    for (size_t at = 0; at < manifest.len; at += 3) {
        flip(path, at);
        cr_expect_eq(dataset_open(&dataset, small.path, &err), DAMAGED, "manifest byte %zu", at);
        cr_expect(strstr(err.message, path) || strstr(err.message, small.path), "%s", err.message);
        flip(path, at);
    }
    for (size_t len = 0; len + 1 < manifest.len; len += 97) {
        cr_assert_eq(fs_publish_view(path, manifest.at, len, &err), OK);
        cr_expect_eq(dataset_open(&dataset, small.path, &err), DAMAGED, "manifest cut to %zu", len);
    }
    cr_assert_eq(fs_remove(path, &err), OK);
    cr_expect_eq(dataset_open(&dataset, small.path, &err), NOT_FOUND);
    cr_assert_eq(fs_remove(small.path, &err), OK);
    cr_expect_eq(dataset_open(&dataset, small.path, &err), NOT_FOUND);
    cr_expect(strstr(err.hint, "pawl data import idx"), "%s", err.hint);
    arena_release(&arena);
    small_release(&small);
}

static int hashed;

static ssize_t count_hashing(int fd, void *bytes, size_t len, off_t at)
{
    hashed += len == 65536;
    return fs_calls_real.pread(fd, bytes, len, at);
}

/* Opens and reads one row; says how many parts of blocks were hashed for it. */
static enum code open_and_read(const char *path, int *parts, struct err *err)
{
    struct dataset dataset;
    unsigned char row[PIXELS];
    hashed = 0;
    fs_calls.pread = count_hashing;
    enum code code = dataset_open(&dataset, path, err);
    if (!code) {
        const struct split *train = dataset_split(&dataset, "train");
        code = dataset_read(&dataset, split_column(train, "image"), ROWS / 2, 1, row, err);
        dataset_close(&dataset);
    }
    fs_calls = fs_calls_real;
    *parts = hashed;
    return code;
}

Test(damage, a_clean_check_is_remembered_until_anything_differs)
{
    struct small small;
    struct dataset dataset;
    struct err err = { 0 };
    uint64_t bytes;
    int parts;
    char view[160];
    small_make(&small, ROWS, 0);
    snprintf(view, sizeof view, "%s.checked", small.path);
    cr_expect_eq(open_and_read(small.path, &parts, &err), OK, "%s", err.message);
    cr_expect_gt(parts, 0, "blocks are hashed at their first touch");
    usleep(150000);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK);
    cr_expect_eq(dataset_check(&dataset, &bytes, &err), OK);
    cr_expect_eq(bytes, dataset.bytes);
    dataset_close(&dataset);
    cr_assert(fs_exists(view));
    cr_expect_eq(open_and_read(small.path, &parts, &err), OK);
    cr_expect_eq(parts, 0, "nothing is hashed again");
    flip(view, 20);
    cr_expect_eq(open_and_read(small.path, &parts, &err), OK);
    cr_expect_gt(parts, 0, "a damaged view is ignored");
    flip(view, 20);
    flip(small.path, 1800000); /* the row that is read lies in this block */
    cr_expect_eq(open_and_read(small.path, &parts, &err), DAMAGED,
                 "a changed file is hashed again");
    flip(small.path, 1800000);
    cr_expect_eq(open_and_read(small.path, &parts, &err), OK);
    cr_expect_gt(parts, 0, "its times differ, so it is not trusted");
    small_release(&small);
}

static int calls, fail_at;

static bool fails(int number)
{
    if (++calls != fail_at) return false;
    errno = number;
    return true;
}

static int failing_open(const char *path, int flags, mode_t mode)
{
    return fails(EMFILE) ? -1 : fs_calls_real.open(path, flags, mode);
}

static ssize_t failing_pread(int fd, void *bytes, size_t len, off_t at)
{
    return fails(EIO) ? -1 : fs_calls_real.pread(fd, bytes, len, at);
}

static ssize_t failing_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    return fails(ENOSPC) ? -1 : fs_calls_real.pwrite(fd, bytes, len, at);
}

static int failing_fsync(int fd)
{
    return fails(EIO) ? -1 : fs_calls_real.fsync(fd);
}

static int failing_rename(const char *from, const char *to)
{
    return fails(EIO) ? -1 : fs_calls_real.rename(from, to);
}

static int failing_link(const char *from, const char *to)
{
    return fails(EMLINK) ? -1 : fs_calls_real.link(from, to);
}

static enum code import_failing(const struct small *small, int n, bool replace, struct err *err)
{
    const char *sources[] = { small->dir };
    struct import_opts opts = { .sources = sources,
                                .count = 1,
                                .out = small->path,
                                .validate = replace ? 7 : 0,
                                .replace = replace };
    calls = 0;
    fail_at = n;
    fs_calls.open = failing_open;
    fs_calls.pread = failing_pread;
    fs_calls.pwrite = failing_pwrite;
    fs_calls.fsync = failing_fsync;
    fs_calls.rename = failing_rename;
    fs_calls.link = failing_link;
    enum code code = import_idx(&opts, err);
    fs_calls = fs_calls_real;
    return code;
}

Test(damage, an_import_leaves_none_old_or_new_whatever_call_fails)
{
    for (int replace = 0; replace < 2; replace++) {
        enum code code;
        int n = 0, made;
        do {
            struct small small;
            struct dataset dataset;
            struct err err = { 0 };
            struct arena arena = { 0 };
            char **names, manifest[160];
            size_t count;
            small_make(&small, 60, 0);
            snprintf(manifest, sizeof manifest, "%s.json", small.path);
            for (int i = 0; i < 2 && !replace; i++)
                cr_assert_eq(fs_remove(i ? manifest : small.path, &err), OK);
            code = import_failing(&small, ++n, replace, &err);
            made = calls;
            cr_expect(code == OK || err.message[0], "call %d", n);
            enum code opened = dataset_open(&dataset, small.path, &(struct err){ 0 });
            cr_expect(opened == OK || (code && opened == NOT_FOUND), "call %d: %s, then %s", n,
                      err.message, code_text(opened));
            if (!opened) {
                cr_expect_eq(dataset_check(&dataset, NULL, &err), OK, "call %d", n);
                cr_expect(code || dataset.split_count == (replace ? 2 : 1), "call %d", n);
                dataset_close(&dataset);
            }
            cr_assert_eq(fs_list(&arena, &names, &count, small.dir, &err), OK);
            for (size_t i = 0; i < count; i++)
                cr_expect_not(text_ends(names[i], ".tmp"), "call %d leaves %s", n, names[i]);
            cr_expect_eq(import_failing(&small, 0, replace, &err), OK, "again after call %d: %s", n,
                         err.message);
            arena_release(&arena);
            small_release(&small);
        } while (n <= made && n < 300);
        cr_expect(n > 20 && n < 300 && !code, "%d calls were failed", n);
    }
}
