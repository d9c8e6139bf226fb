/* Known answers for digests, random numbers and text distance; publishing under failing calls. */
#include "base/arena.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/str.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

Test(digest, sha256_of_abc_is_the_published_one)
{
    char text[DIGEST_TEXT];
    struct digest digest = digest_of("abc", 3), back;
    cr_expect_str_eq(digest_text(&digest, text),
                     "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_expect(digest_parse(&back, text) && digest_equal(&digest, &back));
    cr_expect_not(digest_parse(&back, "sha256:BA78"));
}

Test(digest, crc32c_of_rfc3720_vectors)
{
    unsigned char zeros[32] = { 0 };
    cr_expect_eq(crc32c(0, zeros, 32), 0x8A9136AAu);
    cr_expect_eq(crc32c(0, "123456789", 9), 0xE3069283u);
    cr_expect_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xE3069283u);
}

Test(rng, philox_known_answers_of_random123)
{
    struct philox zero = philox4x32(0, 0, 0);
    cr_expect_eq(zero.word[0], 0x6627E8D5u);
    cr_expect_eq(zero.word[1], 0xE169C58Du);
    cr_expect_eq(zero.word[2], 0xBC57AC4Cu);
    cr_expect_eq(zero.word[3], 0x9B00DBD8u);
    struct philox ones = philox4x32(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    cr_expect_eq(ones.word[0], 0x408F276Du);
    cr_expect_eq(ones.word[1], 0x41C83B0Eu);
    cr_expect_eq(ones.word[2], 0xA20BC7C6u);
    cr_expect_eq(ones.word[3], 0x6D5451FDu);
}

Test(rng, permutation_visits_every_index_once)
{
    static const uint64_t sizes[] = { 1, 2, 3, 17, 256, 1000, 4097 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        char seen[5000] = { 0 };
        for (uint64_t i = 0; i < sizes[s]; i++) {
            uint64_t image = rng_permute(7, sizes[s], i);
            cr_expect_lt(image, sizes[s], "size %llu", (unsigned long long)sizes[s]);
            cr_expect_not(seen[image], "size %llu index %llu", (unsigned long long)sizes[s],
                          (unsigned long long)i);
            seen[image] = 1;
        }
        static int64_t range[5000];
        uint64_t first = sizes[s] / 3;
        rng_permute_range(7, sizes[s], first, sizes[s] - first, range);
        for (uint64_t i = first; i < sizes[s]; i++)
            cr_expect_eq(range[i - first], (int64_t)rng_permute(7, sizes[s], i));
    }
}

Test(str, nearest_finds_what_was_meant)
{
    static const char *const keys[] = { "batch", "optimizer", "schedule", NULL };
    cr_expect_str_eq(text_nearest("optimiser", keys), "optimizer");
    cr_expect_str_eq(text_nearest("bacth", keys), "batch");
    cr_expect_null(text_nearest("zebra", keys));
}

static int fail_at, calls;

static int counted_fsync(int fd)
{
    if (++calls == fail_at) return errno = EIO, -1;
    return fs_calls_real.fsync(fd);
}

static int counted_rename(const char *from, const char *to)
{
    if (++calls == fail_at) return errno = ENOSPC, -1;
    return fs_calls_real.rename(from, to);
}

static ssize_t counted_pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    if (++calls == fail_at) return errno = ENOSPC, -1;
    return fs_calls_real.pwrite(fd, bytes, len, at);
}

Test(fs, publishing_shows_old_or_new_whatever_call_fails)
{
    char dir[] = "/tmp/pawl-test-XXXXXX", path[64];
    struct err err;
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
    cr_assert_eq(fs_publish(path, "old", 3, &err), OK);
    fs_calls.fsync = counted_fsync;
    fs_calls.rename = counted_rename;
    fs_calls.pwrite = counted_pwrite;
    enum code code;
    int n = 0;
    do {
        calls = 0;
        fail_at = ++n;
        code = fs_publish(path, "newer", 5, &err);
        struct arena arena = { 0 };
        struct bytes bytes;
        cr_assert_eq(fs_read(&arena, &bytes, path, 100, &err), OK);
        cr_expect(!strcmp(bytes.at, "newer") || (code && !strcmp(bytes.at, "old")), "call %d", n);
        char **names;
        size_t count;
        cr_assert_eq(fs_list(&arena, &names, &count, dir, &err), OK);
        cr_expect_eq(count, 1, "call %d leaves a temporary", n);
        arena_release(&arena);
    } while (code);
    cr_expect_eq(n, 5, "pwrite, fsync, rename and directory fsync were failed: %d", n);
    fs_calls = fs_calls_real;
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

Test(fs, exclusive_creation_has_one_winner)
{
    char dir[] = "/tmp/pawl-test-XXXXXX", path[64];
    struct err err;
    bool first, second;
    cr_assert(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/entry", dir);
    cr_assert_eq(fs_create_exclusive(path, "a", 1, &first, &err), OK);
    cr_assert_eq(fs_create_exclusive(path, "b", 1, &second, &err), OK);
    cr_expect(first && !second);
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

Test(json, canonical_form_is_sorted_and_compact)
{
    struct arena arena = { 0 };
    struct err err;
    json_t *json;
    cr_assert_eq(json_parse(&json, "{\"b\": 0.1, \"a\": [1, 2]}", 23, "x", &err), OK);
    cr_expect_str_eq(json_canonical(&arena, json, NULL), "{\"a\":[1,2],\"b\":0.10000000000000001}");
    json_decref(json);
    cr_expect_eq(json_parse(&json, "{\"a\":1,\"a\":2}", 13, "x", &err), DAMAGED);
    arena_release(&arena);
}
