/* HDF5 over our driver: round trips, equal bytes for equal content, failing calls, damaged files
 * and the kinds of content that are refused (made here with the library itself). */
#include "base/h5.h"
#include "base/fs.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <hdf5.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 700, WIDTH = 9, LIMIT = 1 << 20 };

static const double reals[] = { 0.1, -1e300, 5e-324 };
static const char text[] = "shoes, na\xC3\xAFve";

static uint32_t table[ROWS][WIDTH];

static enum code fill(struct h5 *h5, struct err *err)
{
    static const uint64_t dim[] = { ROWS, WIDTH }, few[] = { 3 }, none[] = { 0, 4 };
    static const int64_t labels[] = { -1, INT64_MIN, INT64_MAX };
    static const float scalar = 0.25f;
    for (uint32_t i = 0; i < ROWS * WIDTH; i++) table[i / WIDTH][i % WIDTH] = i * 2654435761u;
    TRY(h5_begin(h5, "/train/x", H5_U32, 2, dim, err));
    TRY(h5_write(h5, "/train/label", H5_I64, 1, few, labels, err));
    TRY(h5_write(h5, "/scale", H5_F32, 0, NULL, &scalar, err));
    TRY(h5_write(h5, "/empty/deep/er", H5_U8, 2, none, NULL, err));
    TRY(h5_write_rows(h5, "/train/x", 300, ROWS - 300, table[300], err));
    TRY(h5_write_rows(h5, "/train/x", 0, 300, table, err));
    TRY(h5_set_text(h5, "/", "kind", text, err));
    TRY(h5_set_text(h5, "/train/x", "nothing", "", err));
    return h5_set_reals(h5, "/train/x", "mean", reals, 3, err);
}

static enum code write_file(const char *path, struct err *err)
{
    struct h5 h5;
    TRY(h5_create(&h5, path, err));
    enum code code = fill(&h5, err);
    if (!code) return h5_publish(&h5, err);
    h5_close(&h5);
    return code;
}

/* Reads everything and compares with what fill() wrote. `raw` says whether raw data was intact. */
static enum code read_file(const char *path, bool *raw, struct err *err)
{
    static uint32_t back[ROWS][WIDTH];
    struct arena arena = { 0 };
    struct h5 h5;
    struct h5_info info;
    char *kind, *nothing, **names;
    double *mean, label[3];
    float scale;
    size_t count, listed;
    TRY(h5_open(&h5, path, err));
    enum code code = h5_info(&h5, "/train/x", &info, err);
    if (!code) code = h5_read(&h5, "/train/x", H5_U32, back, sizeof back, err);
    if (!code) code = h5_read(&h5, "/train/label", H5_F64, label, sizeof label, err);
    if (!code) code = h5_read(&h5, "/scale", H5_F32, &scale, sizeof scale, err);
    if (!code) code = h5_list(&h5, &arena, &names, &listed, "/train", err);
    if (!code) code = h5_get_text(&h5, &arena, "/", "kind", &kind, err);
    if (!code) code = h5_get_text(&h5, &arena, "/train/x", "nothing", &nothing, err);
    if (!code) code = h5_get_reals(&h5, &arena, "/train/x", "mean", &mean, &count, err);
    if (!code) {
        cr_expect(info.type == H5_U32 && info.rank == 2 && info.dim[0] == ROWS &&
                  info.dim[1] == WIDTH && info.contiguous && info.offset % 4096 == 0 &&
                  !info.chunk_rows && !info.compressed);
        cr_expect(listed == 2 && !strcmp(names[0], "label") && !strcmp(names[1], "x"));
        cr_expect(!strcmp(kind, text) && !strcmp(nothing, ""));
        cr_expect(count == 3 && !memcmp(mean, reals, sizeof reals));
        *raw = !memcmp(back, table, sizeof back) && label[0] == -1 && label[2] == 0x1p63 &&
               scale == 0.25f;
    }
    h5_close(&h5);
    arena_release(&arena);
    return code;
}

static void make_dir(char dir[64])
{
    snprintf(dir, 64, "/tmp/pawl-test-XXXXXX");
    cr_assert(mkdtemp(dir));
}

static struct bytes content(struct arena *arena, const char *path)
{
    struct err err;
    struct bytes bytes;
    cr_assert_eq(fs_read(arena, &bytes, path, LIMIT, &err), OK, "%s", err.message);
    return bytes;
}

Test(h5, what_is_written_is_read_and_a_second_later_gives_the_same_bytes)
{
    char dir[64], one[96], two[96];
    struct err err = { 0 };
    struct arena arena = { 0 };
    bool raw = false;
    make_dir(dir);
    snprintf(one, sizeof one, "%s/one.h5", dir);
    snprintf(two, sizeof two, "%s/two.h5", dir);
    cr_assert_eq(write_file(one, &err), OK, "%s", err.message);
    cr_expect_eq(read_file(one, &raw, &err), OK, "%s", err.message);
    cr_expect(raw);
    sleep(1);
    cr_assert_eq(write_file(two, &err), OK, "%s", err.message);
    struct bytes a = content(&arena, one), b = content(&arena, two);
    cr_expect(a.len == b.len && !memcmp(a.at, b.at, a.len));
    arena_release(&arena);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

/* Identifiers that the library holds open; equal before and after means that none was forgotten. */
static int open_identifiers(void)
{
    static const H5I_type_t types[] = { H5I_FILE,    H5I_GROUP, H5I_DATATYPE, H5I_DATASPACE,
                                        H5I_DATASET, H5I_ATTR,  H5I_VFL,      H5I_GENPROP_LST };
    int total = 0;
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        hsize_t count = 0;
        H5Inmembers(types[i], &count);
        total += (int)count;
    }
    return total;
}

static int calls, fail_at;
static bool for_good;

static bool fails(int number)
{
    calls++;
    if (calls != fail_at && !(for_good && calls > fail_at)) return false;
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

static int failing_close(int fd)
{
    int result = fs_calls_real.close(fd);
    return fails(EIO) ? -1 : result;
}

static void start_failing(int n, bool good)
{
    calls = 0;
    fail_at = n;
    for_good = good;
    fs_calls.open = failing_open;
    fs_calls.pread = failing_pread;
    fs_calls.pwrite = failing_pwrite;
    fs_calls.fsync = failing_fsync;
    fs_calls.rename = failing_rename;
    fs_calls.close = failing_close;
}

Test(h5, writing_shows_old_or_new_whatever_call_fails)
{
    char dir[64], path[96];
    struct err err;
    int identifiers = open_identifiers();
    make_dir(dir);
    snprintf(path, sizeof path, "%s/file.h5", dir);
    for (int good = 0; good < 2; good++) {
        enum code code;
        int n = 0;
        do {
            cr_assert_eq(fs_publish(path, "old", 3, &err), OK);
            start_failing(++n, good);
            code = write_file(path, &err);
            fs_calls = fs_calls_real;
            struct arena arena = { 0 };
            struct bytes now = content(&arena, path);
            char **names;
            size_t count;
            bool raw = false;
            cr_assert_eq(fs_list(&arena, &names, &count, dir, &(struct err){ 0 }), OK);
            cr_expect_eq(count, 1, "call %d leaves a temporary", n);
            cr_expect_eq(code ? code : IO, IO, "call %d: %s", n, code_text(code));
            cr_expect(!code || strstr(err.message, "file.h5") || strstr(err.message, dir),
                      "call %d: '%s'", n, err.message);
            bool is_new = now.len > 3;
            if (is_new)
                cr_expect(read_file(path, &raw, &(struct err){ 0 }) == OK && raw, "call %d", n);
            else
                cr_expect(code && !strcmp(now.at, "old"), "call %d: wrong success", n);
            arena_release(&arena);
        } while (code && n < 200);
        cr_expect(n > 10 && n < 200, "only %d calls were failed", n);
    }
    cr_expect_eq(open_identifiers(), identifiers);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

Test(h5, reading_fails_cleanly_whatever_call_fails)
{
    char dir[64], path[96];
    struct err err;
    bool raw;
    int identifiers = open_identifiers();
    make_dir(dir);
    snprintf(path, sizeof path, "%s/file.h5", dir);
    cr_assert_eq(write_file(path, &err), OK);
    enum code code;
    int n = 0;
    do {
        raw = false;
        start_failing(++n, false);
        code = read_file(path, &raw, &err);
        int made = calls;
        fs_calls = fs_calls_real;
        cr_expect_eq(code ? code : IO, IO, "call %d: %s %s", n, code_text(code), err.message);
        cr_expect(code || raw, "call %d: wrong success", n);
        if (made < n) break;
    } while (n < 1000);
    cr_expect(n > 5 && n < 1000 && code == OK, "%d calls", n);
    cr_expect_eq(open_identifiers(), identifiers);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

Test(h5, truncated_and_flipped_files_are_damaged_and_never_crash)
{
    char dir[64], path[96];
    struct err err;
    struct arena arena = { 0 };
    bool raw;
    int identifiers = open_identifiers();
    make_dir(dir);
    snprintf(path, sizeof path, "%s/file.h5", dir);
    cr_assert_eq(write_file(path, &err), OK);
    struct bytes whole = content(&arena, path);
    char *bytes = arena_copy_len(&arena, whole.at, whole.len);
    int damaged = 0;
    for (size_t len = 0; len < whole.len; len += len < 6000 ? 37 : 1999) {
        cr_assert_eq(fs_publish_view(path, bytes, len, &err), OK);
        cr_expect_eq(read_file(path, &raw, &err), DAMAGED, "cut to %zu bytes", len);
        cr_expect(strstr(err.message, path), "%s", err.message);
    }
    for (size_t at = 0; at < whole.len; at += at < 8192 ? 1 : 997) {
        bytes[at] = (char)(bytes[at] ^ 1 << at % 8);
        cr_assert_eq(fs_publish_view(path, bytes, whole.len, &err), OK);
        enum code code = read_file(path, &raw, &err);
        cr_expect(code == OK || code == DAMAGED, "byte %zu: %s", at, code_text(code));
        damaged += code == DAMAGED;
        bytes[at] = (char)(bytes[at] ^ 1 << at % 8);
    }
    cr_expect_gt(damaged, 500, "metadata is checked: %d flips noticed", damaged);
    arena_release(&arena);
    cr_expect_eq(open_identifiers(), identifiers);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

/* A file made with the library itself that holds what we refuse. */
static void make_foreign(const char *path, const char *elsewhere)
{
    hsize_t dim = 4;
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    hid_t space = H5Screate_simple(1, &dim, NULL), plan = H5Pcreate(H5P_DATASET_CREATE);
    hid_t other = H5Pcreate(H5P_DATASET_CREATE);
    hid_t plain = H5Dcreate2(file, "plain", H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT,
                             H5P_DEFAULT);
    H5Lcreate_external(elsewhere, "/train/x", file, "external", H5P_DEFAULT, H5P_DEFAULT);
    H5Lcreate_soft("/plain", file, "soft", H5P_DEFAULT, H5P_DEFAULT);
    H5Pset_external(plan, "/etc/passwd", 0, 16);
    hid_t outside = H5Dcreate2(file, "storage", H5T_STD_I32LE, space, H5P_DEFAULT, plan,
                               H5P_DEFAULT);
    H5Pset_virtual(other, space, elsewhere, "/train/x", space);
    hid_t virtual = H5Dcreate2(file, "virtual", H5T_STD_I32LE, space, H5P_DEFAULT, other,
                               H5P_DEFAULT);
    hid_t big = H5Dcreate2(file, "big-endian", H5T_STD_I32BE, space, H5P_DEFAULT, H5P_DEFAULT,
                           H5P_DEFAULT);
    H5Dclose(plain), H5Dclose(outside), H5Dclose(virtual), H5Dclose(big);
    H5Pclose(plan), H5Pclose(other), H5Sclose(space), H5Fclose(file);
}

Test(h5, links_and_storage_that_lead_elsewhere_are_refused)
{
    static const struct {
        const char *name;
        enum code code;
        const char *reason;
    } rows[] = {
        { "/plain", OK, "" },
        { "/absent", NOT_FOUND, "cannot find '/absent'" },
        { "/external", DAMAGED, "link to elsewhere" },
        { "/external/x", DAMAGED, "link to elsewhere" },
        { "/soft", DAMAGED, "link to elsewhere" },
        { "/storage", DAMAGED, "outside this file" },
        { "/virtual", DAMAGED, "outside this file" },
        { "/big-endian", DAMAGED, "its type is not one of" },
        { "plain", USAGE, "not a path from the root" },
    };
    char dir[64], path[96], elsewhere[96];
    struct err err;
    struct h5 h5;
    struct h5_info info;
    int32_t data[4];
    make_dir(dir);
    snprintf(path, sizeof path, "%s/foreign.h5", dir);
    snprintf(elsewhere, sizeof elsewhere, "%s/else.h5", dir);
    cr_assert_eq(write_file(elsewhere, &err), OK);
    make_foreign(path, elsewhere);
    cr_assert_eq(h5_open(&h5, path, &err), OK, "%s", err.message);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memset(&err, 0, sizeof err);
        cr_expect_eq(h5_info(&h5, rows[i].name, &info, &err), rows[i].code, "%s", rows[i].name);
        cr_expect(strstr(err.message, rows[i].reason), "%s: '%s'", rows[i].name, err.message);
        enum code code = h5_read(&h5, rows[i].name, H5_I32, data, sizeof data, &err);
        cr_expect_eq(code, rows[i].code, "reading %s", rows[i].name);
    }
    h5_close(&h5);
    cr_expect_eq(h5_open(&h5, "/tmp/pawl-no-such-file.h5", &err), NOT_FOUND);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}
