/* Opening a checkpoint: every digest is checked before a byte is used. */
#include "base/fs.h"
#include "base/h5.h"
#include "model/checkpoint.h"
#include "model/checkpoint_internal.h"

#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_LIMIT = 64 << 20 };

/* The files that the manifest lists, each against its digest. */
static enum code check_files(struct checkpoint *checkpoint, const char *dir, struct err *err)
{
    json_t *files;
    TRY(json_get_object(&files, checkpoint->manifest, "files", dir, err));
    const char *name;
    json_t *value;
    json_object_foreach(files, name, value)
    {
        struct digest wanted, got;
        if (strchr(name, '/') || !digest_parse(&wanted, json_string_value(value)))
            return err_set(err, DAMAGED, "cannot use checkpoint '%s': bad entry for file '%s'", dir,
                           name);
        enum code code = fs_digest(path_join(&checkpoint->arena, dir, name), &got, NULL, err);
        if (code == NOT_FOUND)
            return err_set(err, DAMAGED, "cannot use checkpoint '%s': %s is missing", dir, name);
        if (code) return code;
        if (!digest_equal(&wanted, &got))
            return err_set(err, DAMAGED, "cannot use checkpoint '%s': %s does not match its digest",
                           dir, name);
    }
    return OK;
}

static enum code read_document(json_t **document, struct checkpoint *checkpoint, const char *dir,
                               const char *name, struct err *err)
{
    if (!json_object_get(json_object_get(checkpoint->manifest, "files"), name)) return OK;
    return json_read(document, path_join(&checkpoint->arena, dir, name), DOCUMENT_LIMIT, NULL, err);
}

static enum code describe(struct named_tensor *tensor, const json_t *entry, const char *dir,
                          struct err *err)
{
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *dims = json_object_get(entry, "shape");
    if (!dtype || !dtype_parse(&tensor->dtype, dtype) || !json_is_array(dims) ||
        json_array_size(dims) > TENSOR_DIMS)
        return err_set(err, DAMAGED, "cannot use checkpoint '%s': tensor '%s' is not described",
                       dir, tensor->name);
    tensor->shape.rank = (int)json_array_size(dims);
    for (int d = 0; d < tensor->shape.rank; d++) {
        int64_t dim = json_integer_value(json_array_get(dims, (size_t)d));
        if (dim < 0)
            return err_set(err, DAMAGED, "cannot use checkpoint '%s': tensor '%s' has size %lld",
                           dir, tensor->name, (long long)dim);
        tensor->shape.dim[d] = dim;
    }
    size_t bytes;
    if (!shape_bytes(&bytes, &tensor->shape, tensor->dtype, NULL)) return OK;
    return err_set(err, DAMAGED, "cannot use checkpoint '%s': tensor '%s' is too large", dir,
                   tensor->name);
}

static size_t tensor_room(const struct named_tensor *tensor)
{
    size_t bytes = (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
    return (bytes + 63) / 64 * 64;
}

/* A group is everything before the last slash: "param/conv.weight", "optimizer/m/conv.weight". */
static struct tensor_group *group_for(struct checkpoint *checkpoint, const char *path, size_t len)
{
    for (size_t g = 0; g < checkpoint->group_count; g++) {
        struct tensor_group *group = &checkpoint->groups[g];
        if (strlen(group->name) == len && memcmp(group->name, path, len) == 0) return group;
    }
    struct tensor_group *group = &checkpoint->groups[checkpoint->group_count++];
    group->name = arena_copy_len(&checkpoint->arena, path, len);
    return group;
}

/* Groups and descriptions from the manifest; bytes needed for all tensors, which state.h5 must
 * hold. */
static enum code list_tensors(struct checkpoint *checkpoint, const json_t *tensors, size_t *room,
                              const char *dir, struct err *err)
{
    struct stat info;
    TRY(fs_stat(path_join(&checkpoint->arena, dir, "state.h5"), &info, err));
    size_t left = (size_t)info.st_size, total = json_object_size(tensors);
    checkpoint->groups = ARENA_ARRAY(&checkpoint->arena, total, struct tensor_group);
    struct named_tensor **lists = ARENA_ARRAY(&checkpoint->arena, total, struct named_tensor *);
    const char *path;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)tensors, path, entry)
    {
        const char *slash = strrchr(path, '/');
        if (!slash || slash == path)
            return err_set(err, DAMAGED, "cannot use checkpoint '%s': tensor '%s' has no group",
                           dir, path);
        struct tensor_group *group = group_for(checkpoint, path, (size_t)(slash - path));
        size_t g = (size_t)(group - checkpoint->groups);
        if (!lists[g]) {
            lists[g] = ARENA_ARRAY(&checkpoint->arena, total, struct named_tensor);
            group->tensors = lists[g];
        }
        struct named_tensor *tensor = &lists[g][group->count++];
        tensor->name = arena_copy(&checkpoint->arena, slash + 1);
        TRY(describe(tensor, entry, dir, err));
        size_t bytes = (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
        if (bytes > left)
            return err_set(err, DAMAGED,
                           "cannot use checkpoint '%s': state.h5 cannot hold tensor '%s'", dir,
                           path);
        left -= bytes;
        *room += tensor_room(tensor);
    }
    return OK;
}

static enum code read_tensors(struct checkpoint *checkpoint, const char *dir, struct err *err)
{
    struct h5 h5 = { 0 };
    enum code code = h5_open(&h5, path_join(&checkpoint->arena, dir, "state.h5"), err);
    char *at = checkpoint->memory;
    for (size_t g = 0; !code && g < checkpoint->group_count; g++) {
        struct tensor_group *group = &checkpoint->groups[g];
        for (size_t i = 0; !code && i < group->count; i++) {
            /* the list was made here, so writing through it is sound */
            struct named_tensor *tensor = (struct named_tensor *)(uintptr_t)&group->tensors[i];
            char *name = arena_format(&checkpoint->arena, "/%s/%s", group->name, tensor->name);
            size_t bytes = (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
            code = h5_read(&h5, name, checkpoint_storage(tensor->dtype), at, bytes, err);
            tensor->data = at;
            at += tensor_room(tensor);
        }
    }
    h5_close(&h5);
    if (code == NOT_FOUND) /* the manifest promised it */
        return err_set(err, DAMAGED, "cannot use checkpoint '%s': a tensor is missing in state.h5",
                       dir);
    return code;
}

static enum code check_identity(struct checkpoint *checkpoint, const char *dir, struct err *err)
{
    const char *variant;
    TRY(json_get_text(&variant, checkpoint->manifest, "variant", dir, err));
    checkpoint->variant = strcmp(variant, "ema") == 0 ? WEIGHTS_EMA : WEIGHTS_RAW;
    if (checkpoint->variant == WEIGHTS_RAW && strcmp(variant, "raw") != 0)
        return err_set(err, DAMAGED, "cannot use checkpoint '%s': unknown variant '%s'", dir,
                       variant);
    TRY(json_get_digest(&checkpoint->model_digest, checkpoint->manifest, "model_digest", dir, err));

    bool ema = checkpoint->variant == WEIGHTS_EMA;
    const struct tensor_group *parts[2] = { checkpoint_group(checkpoint, ema ? "ema" : "param"),
                                            checkpoint_group(checkpoint,
                                                             ema ? "ema_state" : "state") };
    size_t count = (parts[0] ? parts[0]->count : 0) + (parts[1] ? parts[1]->count : 0), used = 0;
    struct named_tensor *all = ARENA_ARRAY(&checkpoint->arena, count, struct named_tensor);
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; parts[p] && i < parts[p]->count; i++) all[used++] = parts[p]->tensors[i];
    struct digest got = model_digest(checkpoint->model, checkpoint->variant, all, count);
    if (digest_equal(&got, &checkpoint->model_digest)) return OK;
    return err_set(err, DAMAGED,
                   "cannot use checkpoint '%s': its tensors are not those of its "
                   "model digest",
                   dir);
}

static enum code open_parts(struct checkpoint *checkpoint, const char *dir, struct err *err)
{
    struct arena *arena = &checkpoint->arena;
    enum code code = json_read_checked(&checkpoint->manifest,
                                       path_join(arena, dir, "manifest.json"), DOCUMENT_LIMIT,
                                       "checkpoint/1", err);
    if (code == NOT_FOUND && fs_is_dir(dir))
        return err_set(err, DAMAGED, "cannot use checkpoint '%s': manifest.json is missing", dir);
    if (code) return code;
    TRY(check_files(checkpoint, dir, err));
    TRY(read_document(&checkpoint->model, checkpoint, dir, "model.json", err));
    TRY(read_document(&checkpoint->profile, checkpoint, dir, "profile.json", err));
    TRY(read_document(&checkpoint->trainer, checkpoint, dir, "trainer.json", err));
    if (!checkpoint->model ||
        !json_object_get(json_object_get(checkpoint->manifest, "files"), "state.h5"))
        return err_set(err, DAMAGED, "cannot use checkpoint '%s': it has no model", dir);
    json_t *tensors;
    size_t room = 0;
    TRY(json_get_object(&tensors, checkpoint->manifest, "tensors", dir, err));
    TRY(list_tensors(checkpoint, tensors, &room, dir, err));
    TRY(block_alloc(&checkpoint->memory, room, "a checkpoint", err));
    TRY(read_tensors(checkpoint, dir, err));
    return check_identity(checkpoint, dir, err);
}

enum code checkpoint_open(struct checkpoint *checkpoint, const char *dir, struct err *err)
{
    memset(checkpoint, 0, sizeof *checkpoint);
    enum code code = open_parts(checkpoint, dir, err);
    if (code) checkpoint_close(checkpoint);
    return code;
}

void checkpoint_close(struct checkpoint *checkpoint)
{
    json_decref(checkpoint->model);
    json_decref(checkpoint->profile);
    json_decref(checkpoint->trainer);
    json_decref(checkpoint->manifest);
    block_free(checkpoint->memory);
    arena_release(&checkpoint->arena);
    memset(checkpoint, 0, sizeof *checkpoint);
}

const struct tensor_group *checkpoint_group(const struct checkpoint *checkpoint, const char *name)
{
    for (size_t g = 0; g < checkpoint->group_count; g++)
        if (strcmp(checkpoint->groups[g].name, name) == 0) return &checkpoint->groups[g];
    return NULL;
}
