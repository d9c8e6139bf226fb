/* Reader and writer of safetensors, strict on both sides.
 *
 * The writer is canonical (sorted names, fixed padding), so that equal weights give equal files and
 * the content store keeps one copy. */
#include "model/safetensors.h"

#include "base/fs.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100 * 1000 * 1000, LENGTH_BYTES = 8, HEADER_ALIGN = 8 };

/* safetensors spells dtypes in its own way */
static const char *const dtype_words[DTYPE_COUNT] = {
    [DTYPE_F32] = "F32", [DTYPE_BF16] = "BF16", [DTYPE_F16] = "F16", [DTYPE_F64] = "F64",
    [DTYPE_I32] = "I32", [DTYPE_I64] = "I64",   [DTYPE_U8] = "U8",   [DTYPE_I8] = "I8",
};

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static size_t tensor_bytes(const struct named_tensor *tensor)
{
    return (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
}

static json_t *header_of(const struct named_tensor *tensors, size_t count,
                         enum weights_variant variant)
{
    json_t *header = json_object();
    json_object_set_new(
        header, "__metadata__",
        json_pack("{s:s,s:s}", "format", "pt", "variant", variant == WEIGHTS_EMA ? "ema" : "raw"));
    json_int_t at = 0;
    for (size_t i = 0; i < count; i++) {
        json_t *shape = json_array();
        for (int d = 0; d < tensors[i].shape.rank; d++)
            json_array_append_new(shape, json_integer(tensors[i].shape.dim[d]));
        json_int_t end = at + (json_int_t)tensor_bytes(&tensors[i]);
        json_object_set_new(header, tensors[i].name,
                            json_pack("{s:s,s:o,s:[I,I]}", "dtype", dtype_words[tensors[i].dtype],
                                      "shape", shape, "data_offsets", at, end));
        at = end;
    }
    return header;
}

static enum code write_all(struct fs_writer *writer, struct named_tensor *sorted, size_t count,
                           enum weights_variant variant, struct err *err)
{
    struct arena arena = { 0 };
    json_t *json = header_of(sorted, count, variant);
    size_t len;
    char *text = json_canonical(&arena, json, &len);
    json_decref(json);
    struct str header = { 0 };
    str_add_len(&header, text, len);
    while (header.len % HEADER_ALIGN) str_add_char(&header, ' ');
    uint64_t length = header.len;

    enum code code = fs_writer_add(writer, &length, LENGTH_BYTES, err);
    if (!code) code = fs_writer_add(writer, header.at, header.len, err);
    for (size_t i = 0; !code && i < count; i++)
        code = fs_writer_add(writer, sorted[i].data, tensor_bytes(&sorted[i]), err);
    str_release(&header);
    arena_release(&arena);
    return code;
}

enum code safetensors_write(const char *path, const struct named_tensor *tensors, size_t count,
                            enum weights_variant variant, struct digest *digest, uint64_t *size,
                            struct err *err)
{
    struct arena arena = { 0 };
    struct named_tensor *sorted = ARENA_ARRAY(&arena, count, struct named_tensor);
    if (count) memcpy(sorted, tensors, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, by_name);

    struct fs_writer writer = { 0 };
    enum code code;
    if ((code = fs_writer_open(&writer, path, err))) goto out;
    if ((code = write_all(&writer, sorted, count, variant, err))) goto out;
    if (size) *size = writer.written;
    code = fs_writer_publish(&writer, digest, NULL, err);
out:
    fs_writer_abandon(&writer);
    arena_release(&arena);
    return code;
}

/* What the reader carries while it goes through the header. */
struct reader {
    struct arena *arena;
    const char *path;
    const char *data; /* the buffer behind the header */
    uint64_t size;    /* bytes in it */
    enum weights_variant variant;
    struct err *err;
};

static enum code read_shape(struct reader *in, struct named_tensor *tensor, const json_t *dims)
{
    size_t rank = json_array_size(dims);
    if (!json_is_array(dims) || rank > TENSOR_DIMS)
        return err_set(in->err, DAMAGED,
                       "cannot read '%s': tensor '%s' has no shape of at most %d "
                       "dimensions",
                       in->path, tensor->name, TENSOR_DIMS);
    tensor->shape.rank = (int)rank;
    for (size_t d = 0; d < rank; d++) {
        json_t *dim = json_array_get(dims, d);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return err_set(in->err, DAMAGED,
                           "cannot read '%s': tensor '%s' has a dimension that "
                           "is not a count",
                           in->path, tensor->name);
        tensor->shape.dim[d] = json_integer_value(dim);
    }
    return OK;
}

static enum code read_entry(struct reader *in, struct named_tensor *tensor, const char *name,
                            const json_t *entry)
{
    tensor->name = arena_copy(in->arena, name);
    const char *word = json_string_value(json_object_get(entry, "dtype"));
    int dtype = 0;
    while (dtype < DTYPE_COUNT && (!word || strcmp(dtype_words[dtype], word) != 0)) dtype++;
    if (dtype == DTYPE_COUNT)
        return err_set(in->err, DAMAGED, "cannot read '%s': tensor '%s' has unknown dtype '%s'",
                       in->path, name, word ? word : "none");
    tensor->dtype = (enum dtype)dtype;
    TRY(read_shape(in, tensor, json_object_get(entry, "shape")));

    size_t bytes;
    if (shape_bytes(&bytes, &tensor->shape, tensor->dtype, NULL))
        return err_set(in->err, DAMAGED, "cannot read '%s': tensor '%s' is too large", in->path,
                       name);
    json_t *offsets = json_object_get(entry, "data_offsets");
    json_t *low = json_array_get(offsets, 0), *high = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(low) || !json_is_integer(high))
        return err_set(in->err, DAMAGED, "cannot read '%s': tensor '%s' has no data_offsets",
                       in->path, name);
    json_int_t begin = json_integer_value(low), end = json_integer_value(high);
    if (begin < 0 || end < begin || (uint64_t)end > in->size || (uint64_t)(end - begin) != bytes)
        return err_set(in->err, DAMAGED,
                       "cannot read '%s': tensor '%s' lies at bytes %lld to %lld of %llu, but its "
                       "shape needs %zu",
                       in->path, name, (long long)begin, (long long)end,
                       (unsigned long long)in->size, bytes);
    tensor->data = in->data + begin;
    return OK;
}

static int by_place(const void *a, const void *b)
{
    const struct named_tensor *left = a, *right = b;
    uintptr_t l = (uintptr_t)left->data, r = (uintptr_t)right->data;
    if (l != r) return l < r ? -1 : 1;
    size_t ls = tensor_bytes(left), rs = tensor_bytes(right);
    return ls < rs ? -1 : ls > rs;
}

/* No holes and no overlaps: in order of place, each tensor begins where the last one ended. */
static enum code check_places(struct reader *in, struct named_tensor *tensors, size_t count)
{
    qsort(tensors, count, sizeof *tensors, by_place);
    const char *at = in->data;
    for (size_t i = 0; i < count; i++) {
        if ((const char *)tensors[i].data != at)
            return err_set(in->err, DAMAGED, "cannot read '%s': hole or overlap before tensor '%s'",
                           in->path, tensors[i].name);
        at += tensor_bytes(&tensors[i]);
    }
    if (at != in->data + in->size)
        return err_set(in->err, DAMAGED, "cannot read '%s': %llu bytes belong to no tensor",
                       in->path, (unsigned long long)(in->data + in->size - at));
    qsort(tensors, count, sizeof *tensors, by_name);
    return OK;
}

static enum code read_metadata(struct reader *in, const json_t *metadata)
{
    const json_t *variant = json_object_get(metadata, "variant");
    const char *word = variant ? json_string_value(variant) : "raw";
    if (json_is_object(metadata) && word && strcmp(word, "ema") == 0)
        in->variant = WEIGHTS_EMA;
    else if (!json_is_object(metadata) || !word || strcmp(word, "raw") != 0)
        return err_set(in->err, DAMAGED, "cannot read '%s': its metadata is not understood",
                       in->path);
    return OK;
}

static enum code read_header(struct reader *in, struct named_tensor **tensors, size_t *count,
                             const char *text, size_t len)
{
    json_t *header;
    if (len == 0 || text[0] != '{')
        return err_set(in->err, DAMAGED, "cannot read '%s': the header is no JSON object",
                       in->path);
    TRY(json_parse(&header, text, len, in->path, in->err));
    *tensors = ARENA_ARRAY(in->arena, json_object_size(header), struct named_tensor);
    *count = 0;
    enum code code = OK;
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if ((code = read_metadata(in, entry))) break;
            continue;
        }
        code = read_entry(in, &(*tensors)[*count], name, entry);
        if (code) break;
        ++*count;
    }
    json_decref(header);
    return code ? code : check_places(in, *tensors, *count);
}

enum code safetensors_read(struct arena *arena, struct named_tensor **tensors, size_t *count,
                           void **memory, enum weights_variant *variant, const char *path,
                           struct err *err)
{
    *memory = NULL;
    int fd = -1;
    uint64_t size, length = 0;
    enum code code = fs_open(&fd, path, &size, err);
    if (code) goto out;
    if ((code = block_alloc(memory, (size_t)size, "a safetensors file", err))) goto out;
    if ((code = fs_pread(fd, *memory, (size_t)size, 0, path, err))) goto out;
    if (size >= LENGTH_BYTES) memcpy(&length, *memory, LENGTH_BYTES);
    if (size < LENGTH_BYTES || length > HEADER_LIMIT || length > size - LENGTH_BYTES) {
        code = err_set(err, DAMAGED, "cannot read '%s': header of %llu bytes in a file of %llu",
                       path, (unsigned long long)length, (unsigned long long)size);
        goto out;
    }
    const char *text = (const char *)*memory + LENGTH_BYTES;
    struct reader in = { .arena = arena,
                         .path = path,
                         .data = text + length,
                         .size = size - LENGTH_BYTES - length,
                         .err = err };
    code = read_header(&in, tensors, count, text, (size_t)length);
    *variant = in.variant;
out:
    fs_close(fd);
    if (code) {
        block_free(*memory);
        *memory = NULL;
    }
    return code;
}
