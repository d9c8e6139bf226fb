/* safetensors: what was written is read; headers that lie, overlap, leave holes or ask for the moon
 * are refused with the reason. */
#include "model/safetensors.h"
#include "tests/registry/shared_faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

static const float numbers[6] = { 0, 0.5f, -1, 1.5f, 2, 2.5f };
static const int64_t counts[2] = { -1, 7 };
static const uint16_t narrow = 0x3F80;

static const struct named_tensor tensors[] = {
    { "b.weight", DTYPE_F32, { 2, { 2, 3 } }, numbers },
    { "a.bias", DTYPE_I64, { 1, { 2 } }, counts },
    { "empty", DTYPE_U8, { 2, { 0, 4 } }, numbers },
    { "c", DTYPE_BF16, { 0, { 0 } }, &narrow },
};

static void open_place(char dir[64], char path[96])
{
    snprintf(dir, 64, "%s/pawl-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(dir));
    snprintf(path, 96, "%s/model.safetensors", dir);
}

static enum code read_back(const char *path, size_t *count, enum weights_variant *variant,
                           struct err *err)
{
    struct arena arena = { 0 };
    struct named_tensor *got;
    void *memory;
    enum code code = safetensors_read(&arena, &got, count, &memory, variant, path, err);
    cr_expect(!code || !memory);
    for (size_t i = 0; !code && i < *count && *count == 4; i++) {
        size_t j = 0;
        while (strcmp(tensors[j].name, got[i].name) != 0) j++;
        cr_expect(got[i].dtype == tensors[j].dtype && shape_equal(&got[i].shape, &tensors[j].shape),
                  "%s", got[i].name);
        cr_expect_arr_eq(got[i].data, tensors[j].data,
                         (size_t)shape_count(&got[i].shape) * dtype_size(got[i].dtype), "%s",
                         got[i].name);
        cr_expect(i == 0 || strcmp(got[i - 1].name, got[i].name) < 0);
    }
    block_free(memory);
    arena_release(&arena);
    return code;
}

Test(safetensors, what_is_written_is_read_and_equal_weights_give_equal_files)
{
    char dir[64], path[96];
    struct err err = { 0 };
    struct digest first, second, file;
    uint64_t size;
    size_t count;
    enum weights_variant variant;
    open_place(dir, path);
    for (int kept = WEIGHTS_RAW; kept <= WEIGHTS_EMA; kept++) {
        struct named_tensor turned[] = { tensors[3], tensors[1], tensors[0], tensors[2] };
        MUST(safetensors_write(path, tensors, 4, (enum weights_variant)kept, &first, &size, &err));
        MUST(read_back(path, &count, &variant, &err));
        cr_expect(count == 4 && (int)variant == kept);
        MUST(fs_digest(path, &file, NULL, &err));
        MUST(safetensors_write(path, turned, 4, (enum weights_variant)kept, &second, NULL, &err));
        cr_expect(digest_equal(&first, &second) && digest_equal(&first, &file));
    }
    MUST(safetensors_write(path, tensors, 0, WEIGHTS_RAW, NULL, NULL, &err));
    MUST(read_back(path, &count, &variant, &err));
    cr_expect_eq(count, 0);
    cr_expect_eq(fs_remove_tree(dir, NULL), OK);
}

#define F32_AT(shape, from, to)                                                                    \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

/* Headers over 16 bytes of data; `sound` ones are read. */
static const struct {
    const char *name, *header;
    bool sound;
} headers[] = {
    { "two tensors", "{\"a\":" F32_AT("[2]", 0, 8) ",\"b\":" F32_AT("[2]", 8, 16) "}", true },
    { "in another order", "{\"a\":" F32_AT("[2]", 8, 16) ",\"b\":" F32_AT("[2]", 0, 8) "}", true },
    { "other metadata", "{\"__metadata__\":{\"x\":\"y\"},\"a\":" F32_AT("[4]", 0, 16) "}   ",
      true },
    { "an empty tensor", "{\"a\":" F32_AT("[4]", 0, 16) ",\"e\":" F32_AT("[0]", 4, 4) "}", false },
    { "an empty one at a border",
      "{\"a\":" F32_AT("[4]", 0, 16) ",\"e\":" F32_AT("[0]", 16, 16) "}", true },
    { "a hole in front", "{\"a\":" F32_AT("[2]", 8, 16) "}", false },
    { "a hole between", "{\"a\":" F32_AT("[1]", 0, 4) ",\"b\":" F32_AT("[2]", 8, 16) "}", false },
    { "bytes behind", "{\"a\":" F32_AT("[2]", 0, 8) "}", false },
    { "an overlap", "{\"a\":" F32_AT("[3]", 0, 12) ",\"b\":" F32_AT("[2]", 8, 16) "}", false },
    { "the same place twice", "{\"a\":" F32_AT("[4]", 0, 16) ",\"b\":" F32_AT("[4]", 0, 16) "}",
      false },
    { "beyond the end", "{\"a\":" F32_AT("[5]", 0, 20) "}", false },
    { "from behind", "{\"a\":" F32_AT("[2]", 16, 8) "}", false },
    { "below zero", "{\"a\":" F32_AT("[6]", -8, 16) "}", false },
    { "more than the shape", "{\"a\":" F32_AT("[3]", 0, 16) "}", false },
    { "an end that lies", "{\"a\":" F32_AT("[2]", 0, 12) ",\"b\":" F32_AT("[2]", 8, 16) "}",
      false },
    { "an overflow", "{\"a\":" F32_AT("[4611686018427387904,4]", 0, 16) "}", false },
    { "an overflow of bytes", "{\"a\":" F32_AT("[4611686018427387908]", 0, 16) "}", false },
    { "a number too long", "{\"a\":" F32_AT("[99999999999999999999]", 0, 16) "}", false },
    { "a real offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,1.6e1]}}",
      false },
    { "three offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16,16]}}",
      false },
    { "no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", false },
    { "no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", false },
    { "a dimension below zero", "{\"a\":" F32_AT("[-4]", 0, 16) "}", false },
    { "a dimension that is text", "{\"a\":" F32_AT("[\"4\"]", 0, 16) "}", false },
    { "too many dimensions", "{\"a\":" F32_AT("[1,1,1,1,1,1,1,1,1,4]", 0, 16) "}", false },
    { "an unknown type", "{\"a\":{\"dtype\":\"F31\",\"shape\":[4],\"data_offsets\":[0,16]}}",
      false },
    { "no type", "{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", false },
    { "a type in lower case", "{\"a\":{\"dtype\":\"f32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
      false },
    { "one name twice", "{\"a\":" F32_AT("[2]", 0, 8) ",\"a\":" F32_AT("[2]", 8, 16) "}", false },
    { "an entry that is none", "{\"a\":[0,16]}", false },
    { "a list", "[1,2]", false },
    { "nothing", "", false },
    { "no JSON", "{\"a\":", false },
    { "two documents", "{}{}", false },
    { "a name with NUL", "{\"a\\u0000b\":" F32_AT("[4]", 0, 16) "}", false },
    { "metadata that is none", "{\"__metadata__\":3,\"a\":" F32_AT("[4]", 0, 16) "}", false },
    { "an unknown variant",
      "{\"__metadata__\":{\"variant\":\"both\"},\"a\":" F32_AT("[4]", 0, 16) "}", false },
};

static void write_raw(const char *path, uint64_t length, const char *header, size_t data)
{
    struct err err = { 0 };
    char bytes[1024] = { 0 };
    size_t len = strlen(header);
    cr_assert(8 + len + data <= sizeof bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, len);
    MUST(fs_publish_view(path, bytes, 8 + len + data, &err));
}

Test(safetensors, headers_that_lie_are_refused)
{
    char dir[64], path[96];
    size_t count;
    enum weights_variant variant;
    open_place(dir, path);
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct err err = { 0 };
        write_raw(path, strlen(headers[i].header), headers[i].header, 16);
        enum code code = read_back(path, &count, &variant, &err);
        cr_expect_eq(code, headers[i].sound ? OK : DAMAGED, "%s: %s", headers[i].name, err.message);
        cr_expect(!code || strstr(err.message, path), "%s: %s", headers[i].name, err.message);
    }
    static const uint64_t lengths[] = { 0,        1,          3,          200,       100000001,
                                        1u << 31, 1ull << 40, 1ull << 63, UINT64_MAX };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct err err = { 0 };
        write_raw(path, lengths[i], headers[0].header, 16);
        cr_expect_eq(read_back(path, &count, &variant, &err), DAMAGED, "length %llu",
                     (unsigned long long)lengths[i]);
    }
    cr_expect_eq(fs_remove_tree(dir, NULL), OK);
}

Test(safetensors, every_cut_is_noticed_and_no_flip_in_the_header_crashes)
{
    char dir[64], path[96];
    struct arena arena = { 0 };
    struct bytes bytes;
    struct err err = { 0 };
    size_t count;
    enum weights_variant variant;
    open_place(dir, path);
    MUST(safetensors_write(path, tensors, 4, WEIGHTS_EMA, NULL, NULL, &err));
    MUST(fs_read(&arena, &bytes, path, 1 << 20, &err));
    char *copy = arena_copy_len(&arena, bytes.at, bytes.len);
    for (size_t len = 0; len < bytes.len; len++) {
        MUST(fs_publish_view(path, copy, len, &err));
        cr_expect_eq(read_back(path, &count, &variant, &err), DAMAGED, "cut at %zu", len);
    }
    int noticed = 0;
    for (size_t at = 0; at < bytes.len; at++)
        for (int bit = 0; bit < 8; bit++) {
            copy[at] = (char)(bytes.at[at] ^ 1 << bit);
            MUST(fs_publish_view(path, copy, bytes.len, &err));
            struct named_tensor *got;
            struct arena mine = { 0 };
            void *memory;
            enum code code = safetensors_read(&mine, &got, &count, &memory, &variant, path, &err);
            cr_expect(code == OK || code == DAMAGED, "flip at %zu: %s", at, err.message);
            noticed += code == DAMAGED;
            block_free(memory);
            arena_release(&mine);
            copy[at] = bytes.at[at];
        }
    cr_expect_gt(noticed, 1500);
    arena_release(&arena);
    cr_expect_eq(fs_remove_tree(dir, NULL), OK);
}

Test(safetensors, whatever_call_fails_there_is_a_whole_file_or_none)
{
    char dir[64], path[96];
    struct err err = { 0 };
    size_t count;
    enum weights_variant variant;
    open_place(dir, path);
    for (int at = 1, counted = 1; at <= counted; at++) {
        faults_begin(FAULT_ONCE, at);
        enum code code = safetensors_write(path, tensors, 4, WEIGHTS_RAW, NULL, NULL, &err);
        counted = faults_end();
        cr_expect(code != OK || at > counted, "call %d has no effect", at);
        if (fs_exists(path)) MUST(read_back(path, &count, &variant, &err));
        MUST(fs_remove(path, &err));
    }
    cr_expect_eq(fs_remove_tree(dir, NULL), OK);
}
