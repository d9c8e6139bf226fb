/* Model description and weights from a checkpoint or a bundle, with the model digest recomputed. */
#include "base/fs.h"
#include "model/infer.h"
#include "model/safetensors.h"

#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_LIMIT = 64 << 20 };

static int by_name(const void *a, const void *b)
{
    const struct named_tensor *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static void take_group(struct weights *weights, const struct checkpoint *checkpoint,
                       const char *name)
{
    const struct tensor_group *group = checkpoint_group(checkpoint, name);
    for (size_t i = 0; group && i < group->count; i++) {
        struct named_tensor *tensor = &weights->tensors[weights->count++];
        *tensor = group->tensors[i];
        tensor->name = arena_copy(&weights->arena, group->tensors[i].name);
    }
}

static enum code from_checkpoint(struct weights *weights, const char *dir, bool raw,
                                 struct err *err)
{
    struct checkpoint checkpoint;
    TRY(checkpoint_open(&checkpoint, dir, err));
    size_t total = 0;
    for (size_t g = 0; g < checkpoint.group_count; g++) total += checkpoint.groups[g].count;
    weights->tensors = ARENA_ARRAY(&weights->arena, total, struct named_tensor);
    weights->variant = raw ? WEIGHTS_RAW : checkpoint.variant;
    bool ema = weights->variant == WEIGHTS_EMA;
    take_group(weights, &checkpoint, ema ? "ema" : "param");
    take_group(weights, &checkpoint, ema ? "ema_state" : "state");
    weights->model = json_incref(checkpoint.model);
    weights->profile = json_incref(checkpoint.profile);
    weights->memory = checkpoint.memory; /* the tensors' bytes go over to us */
    checkpoint.memory = NULL;
    checkpoint_close(&checkpoint);
    return OK;
}

static enum code from_files(struct weights *weights, const char *model, const char *safetensors,
                            const char *profile, struct err *err)
{
    TRY(json_read(&weights->model, model, DOCUMENT_LIMIT, "model/1", err));
    if (profile) TRY(json_read(&weights->profile, profile, DOCUMENT_LIMIT, NULL, err));
    return safetensors_read(&weights->arena, &weights->tensors, &weights->count, &weights->memory,
                            &weights->variant, safetensors, err);
}

static enum code from_bundle(struct weights *weights, const char *dir, struct err *err)
{
    struct arena *arena = &weights->arena;
    const char *profile = path_join(arena, dir, "profile.json");
    return from_files(weights, path_join(arena, dir, "model.json"),
                      path_join(arena, dir, "model.safetensors"),
                      fs_exists(profile) ? profile : NULL, err);
}

/* Sorts, and takes the model digest of what was read. */
static enum code finish(struct weights *weights, enum code code)
{
    if (code) {
        weights_release(weights);
        return code;
    }
    qsort(weights->tensors, weights->count, sizeof *weights->tensors, by_name);
    weights->digest = model_digest(weights->model, weights->variant, weights->tensors,
                                   weights->count);
    return OK;
}

enum code weights_load_files(struct weights *weights, const char *model, const char *safetensors,
                             const char *profile, struct err *err)
{
    memset(weights, 0, sizeof *weights);
    return finish(weights, from_files(weights, model, safetensors, profile, err));
}

enum code weights_load(struct weights *weights, const char *dir, bool raw, struct err *err)
{
    memset(weights, 0, sizeof *weights);
    if (!fs_is_dir(dir))
        return err_set(err, NOT_FOUND, "cannot open model '%s': no such directory", dir);
    bool bundle = fs_exists(path_join(&weights->arena, dir, "model.safetensors"));
    return finish(weights, bundle ? from_bundle(weights, dir, err)
                                  : from_checkpoint(weights, dir, raw, err));
}

void weights_release(struct weights *weights)
{
    json_decref(weights->model);
    json_decref(weights->profile);
    block_free(weights->memory);
    arena_release(&weights->arena);
    memset(weights, 0, sizeof *weights);
}
