/* Loading a version's model straight from the content store. */
#include "registry/weights.h"

#include "registry/oci.h"

/* The path of a layer's content, checked against its digest; NULL where the version has none. */
static enum code content_path(struct arena *arena, const char **path,
                              const struct registry *registry, const struct oci_version *version,
                              const char *name, struct err *err)
{
    const struct oci_layer *layer = oci_layer(version, name);
    *path = NULL;
    if (!layer) return OK;
    *path = store_path(arena, &registry->store, &layer->digest);
    return store_check(&registry->store, &layer->digest, NULL, err);
}

enum code registry_weights(const struct registry *registry, struct weights *weights,
                           const struct resolved *version, struct err *err)
{
    struct arena arena = { 0 };
    struct oci_version files;
    const char *model, *tensors, *profile;
    enum code code;
    if ((code = oci_read(registry, &files, &version->digest, err))) goto out;
    if ((code = content_path(&arena, &model, registry, &files, "model.json", err))) goto out;
    if ((code = content_path(&arena, &tensors, registry, &files, "model.safetensors", err)))
        goto out;
    if ((code = content_path(&arena, &profile, registry, &files, "profile.json", err))) goto out;
    if (!model || !tensors) {
        code = err_set(err, DAMAGED, "cannot use %s@%lld: it has no weights", version->model,
                       (long long)version->number);
        goto out;
    }
    if ((code = weights_load_files(weights, model, tensors, profile, err))) goto out;
    if (!digest_equal(&weights->digest, &version->model_digest)) {
        weights_release(weights);
        code = err_set(err, DAMAGED, "cannot use %s@%lld: its weights have another model digest",
                       version->model, (long long)version->number);
    }
out:
    arena_release(&arena);
    return code;
}
