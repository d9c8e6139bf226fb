/* Saving and opening checkpoints; the one definition of the model digest.
 *
 * Everything is written into a hidden directory beside the final one, each file fsynced, and the
 * directory is renamed last: a checkpoint that can be seen is complete. */
#include "model/checkpoint.h"
#include "model/checkpoint_internal.h"

#include "base/fs.h"
#include "base/h5.h"
#include "base/str.h"

#include <stdlib.h>
#include <string.h>

static const char *const variant_words[] = { [WEIGHTS_RAW] = "raw", [WEIGHTS_EMA] = "ema" };

enum h5_type checkpoint_storage(enum dtype dtype)
{
    static const enum h5_type storage[DTYPE_COUNT] = {
        [DTYPE_F32] = H5_F32, [DTYPE_BF16] = H5_U16, [DTYPE_F16] = H5_U16, [DTYPE_F64] = H5_F64,
        [DTYPE_I32] = H5_I32, [DTYPE_I64] = H5_I64,  [DTYPE_U8] = H5_U8,   [DTYPE_I8] = H5_U8,
    };
    return storage[dtype];
}

static size_t tensor_bytes(const struct named_tensor *tensor)
{
    return (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
}

static json_t *shape_json(const struct shape *shape)
{
    json_t *dims = json_array();
    for (int d = 0; d < shape->rank; d++) json_array_append_new(dims, json_integer(shape->dim[d]));
    return dims;
}

static json_t *digest_json(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return json_string(digest_text(digest, text));
}

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

struct digest model_digest(const json_t *model, enum weights_variant variant,
                           const struct named_tensor *tensors, size_t count)
{
    struct arena arena = { 0 };
    const struct named_tensor **sorted = ARENA_ARRAY(&arena, count, const struct named_tensor *);
    for (size_t i = 0; i < count; i++) sorted[i] = &tensors[i];
    qsort(sorted, count, sizeof *sorted, by_name);

    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        struct digest bytes = digest_of(sorted[i]->data, tensor_bytes(sorted[i]));
        json_array_append_new(list,
                              json_pack("[s,s,o,o]", sorted[i]->name, dtype_name(sorted[i]->dtype),
                                        shape_json(&sorted[i]->shape), digest_json(&bytes)));
    }
    struct digest description = json_digest(model);
    json_t *identity = json_pack("{s:o,s:s,s:o}", "model", digest_json(&description), "variant",
                                 variant_words[variant], "tensors", list);
    struct digest digest = json_digest(identity);
    json_decref(identity);
    arena_release(&arena);
    return digest;
}

/* The tensors that are the model: parameters and running statistics, or their EMA pair. */
static size_t model_tensors(struct arena *arena, struct named_tensor **tensors,
                            const struct tensor_group *groups, size_t group_count,
                            enum weights_variant variant)
{
    const char *wanted[2] = { variant == WEIGHTS_EMA ? "ema" : "param",
                              variant == WEIGHTS_EMA ? "ema_state" : "state" };
    size_t total = 0, used = 0;
    for (size_t g = 0; g < group_count; g++) total += groups[g].count;
    *tensors = ARENA_ARRAY(arena, total, struct named_tensor);
    for (size_t g = 0; g < group_count; g++) {
        if (strcmp(groups[g].name, wanted[0]) != 0 && strcmp(groups[g].name, wanted[1]) != 0)
            continue;
        for (size_t i = 0; i < groups[g].count; i++) (*tensors)[used++] = groups[g].tensors[i];
    }
    return used;
}

static enum code write_tensors(const char *path, const struct checkpoint_contents *contents,
                               json_t *listing, struct err *err)
{
    struct arena arena = { 0 };
    struct h5 h5 = { 0 };
    enum code code = h5_create(&h5, path, err);
    for (size_t g = 0; !code && g < contents->group_count; g++) {
        const struct tensor_group *group = &contents->groups[g];
        for (size_t i = 0; !code && i < group->count; i++) {
            const struct named_tensor *tensor = &group->tensors[i];
            char *name = arena_format(&arena, "/%s/%s", group->name, tensor->name);
            uint64_t dim[TENSOR_DIMS] = { 0 };
            for (int d = 0; d < tensor->shape.rank; d++) dim[d] = (uint64_t)tensor->shape.dim[d];
            code = h5_write(&h5, name, checkpoint_storage(tensor->dtype), tensor->shape.rank, dim,
                            tensor->data, err);
            struct digest bytes = digest_of(tensor->data, tensor_bytes(tensor));
            json_object_set_new(listing, name + 1,
                                json_pack("{s:s,s:o,s:o,s:[{s:s,s:s}]}", "dtype",
                                          dtype_name(tensor->dtype), "shape",
                                          shape_json(&tensor->shape), "digest", digest_json(&bytes),
                                          "pieces", "file", "state.h5", "dataset", name));
        }
    }
    if (!code) code = h5_publish(&h5, err);
    h5_close(&h5);
    arena_release(&arena);
    return code;
}

/* Writes one small document and notes its digest in the manifest. */
static enum code write_document(struct arena *arena, const char *dir, const char *name,
                                json_t *document, json_t *files, struct err *err)
{
    if (!document) return OK;
    const char *path = path_join(arena, dir, name);
    TRY(json_publish(document, path, err));
    struct digest digest;
    TRY(fs_digest(path, &digest, NULL, err));
    json_object_set_new(files, name, digest_json(&digest));
    return OK;
}

static enum code write_parts(struct arena *arena, const char *dir,
                             const struct checkpoint_contents *contents, json_t *manifest,
                             struct err *err)
{
    json_t *files = json_object_get(manifest, "files");
    const char *state = path_join(arena, dir, "state.h5");
    TRY(write_tensors(state, contents, json_object_get(manifest, "tensors"), err));
    struct digest digest;
    TRY(fs_digest(state, &digest, NULL, err));
    json_object_set_new(files, "state.h5", digest_json(&digest));
    TRY(write_document(arena, dir, "model.json", contents->model, files, err));
    TRY(write_document(arena, dir, "profile.json", contents->profile, files, err));
    TRY(write_document(arena, dir, "trainer.json", contents->trainer, files, err));
    return json_publish_checked(manifest, path_join(arena, dir, "manifest.json"), err);
}

static uint64_t directory_bytes(struct arena *arena, const char *dir)
{
    char **names;
    struct err unused;
    uint64_t total = 0;
    if (fs_list(arena, &names, NULL, dir, &unused)) return 0;
    for (; *names; names++) {
        struct stat info;
        if (!fs_stat(path_join(arena, dir, *names), &info, &unused))
            total += (uint64_t)info.st_size;
    }
    return total;
}

enum code checkpoint_save(const char *dir, const struct checkpoint_contents *contents,
                          struct digest *digest, uint64_t *bytes, struct err *err)
{
    if (fs_exists(dir)) return err_set(err, CONFLICT, "cannot save '%s': it exists already", dir);
    struct arena arena = { 0 };
    struct named_tensor *tensors;
    size_t count = model_tensors(&arena, &tensors, contents->groups, contents->group_count,
                                 contents->variant);
    struct digest identity = model_digest(contents->model, contents->variant, tensors, count);
    json_t *manifest = json_pack("{s:s,s:o,s:s,s:{},s:{}}", "pawl", "checkpoint/1", "model_digest",
                                 digest_json(&identity), "variant",
                                 variant_words[contents->variant], "files", "tensors");
    if (contents->facts) json_object_set(manifest, "facts", contents->facts);

    char temporary[1100];
    fs_temporary_name(temporary, sizeof temporary, dir);
    enum code code;
    if ((code = fs_mkdirs(temporary, err))) goto out;
    if ((code = write_parts(&arena, temporary, contents, manifest, err))) goto out;
    if (bytes) *bytes = directory_bytes(&arena, temporary);
    code = fs_publish_dir(temporary, dir, err);
out:
    if (code) {
        /* in place, but perhaps not for good: as if it had never been */
        if (code != CONFLICT && fs_exists(dir)) fs_replace(dir, temporary, NULL);
        fs_remove_tree(temporary, NULL);
    }
    if (digest) *digest = identity;
    json_decref(manifest);
    arena_release(&arena);
    return code;
}

uint64_t checkpoint_tensor_bytes(const struct checkpoint_contents *contents)
{
    uint64_t total = 0;
    for (size_t g = 0; g < contents->group_count; g++)
        for (size_t i = 0; i < contents->groups[g].count; i++)
            total += tensor_bytes(&contents->groups[g].tensors[i]);
    return total;
}
