/* Bundles: copied with their digests checked, renamed into place, compared byte for byte. */
#include "registry/bundle.h"

#include "base/str.h"
#include "registry/commit.h"

#include <string.h>

enum { BUNDLE_LIMIT = 1 << 20 };

char *bundle_name(struct arena *arena, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    digest_text(digest, text);
    text[strlen("sha256")] = '-';
    return arena_copy(arena, text);
}

bool bundle_is_name(const char *name)
{
    return text_starts(name, "sha256-") && strlen(name) == DIGEST_TEXT - 1;
}

static json_t *describe(const struct registry *registry, const struct resolved *version,
                        const struct oci_version *files)
{
    json_t *list = json_array();
    for (int i = 0; i < files->layer_count; i++) {
        json_t *file = json_pack("{ss sI}", "name", files->layers[i].name, "size",
                                 (json_int_t)files->layers[i].size);
        json_set_digest(file, "digest", &files->layers[i].digest);
        json_array_append_new(list, file);
    }
    json_t *json = json_pack("{ss ss sI so}", "pawl", "bundle/1", "model", version->model, "number",
                             (json_int_t)version->number, "files", list);
    json_set_digest(json, "digest", &version->digest);
    json_set_digest(json, "model_digest", &version->model_digest);
    json_set_digest(json, "registry", &registry->id);
    return json;
}

enum code bundle_write(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err)
{
    struct arena arena = { 0 };
    char temporary[1100];
    json_t *json = describe(registry, version, files);
    fs_temporary_name(temporary, sizeof temporary, path);
    enum code code = fs_mkdirs(temporary, err);
    for (int i = 0; !code && i < files->layer_count; i++)
        code = store_copy(&registry->store, &files->layers[i].digest,
                          path_join(&arena, temporary, files->layers[i].name), err);
    if (!code) code = json_publish(json, path_join(&arena, temporary, "bundle.json"), err);
    if (!code) code = fs_sync_dir(temporary, err);
    if (!code) code = fs_publish_dir(temporary, path, err);
    if (code) fs_remove_tree(temporary, NULL);
    json_decref(json);
    arena_release(&arena);
    return code;
}

static enum code check_file(const char *dir, const json_t *file, struct err *err)
{
    struct arena arena = { 0 };
    const char *name = json_string_value(json_object_get(file, "name"));
    struct digest want, got;
    enum code code;
    if (!oci_knows(name) ||
        !digest_parse(&want, json_string_value(json_object_get(file, "digest")))) {
        code = err_set(err, DAMAGED, "bundle '%s' lists a file that no bundle has", dir);
    } else {
        const char *path = path_join(&arena, dir, name);
        code = fs_digest(path, &got, NULL, err);
        if (code == NOT_FOUND)
            code = err_set(err, DAMAGED, "'%s' is missing", path);
        else if (!code && !digest_equal(&got, &want))
            code = err_set(err, DAMAGED, "'%s' is damaged: its bytes have another digest", path);
    }
    arena_release(&arena);
    return code;
}

static enum code check_files(const char *path, const json_t *bundle, struct err *err)
{
    size_t i;
    json_t *file, *files;
    TRY(json_get_array(&files, bundle, "files", path, err));
    json_array_foreach(files, i, file) TRY(check_file(path, file, err));
    return OK;
}

enum code bundle_check_alone(json_t **bundle, const char *path, struct err *err)
{
    struct arena arena = { 0 };
    const char *name = path_join(&arena, path, "bundle.json");
    enum code code = json_read(bundle, name, BUNDLE_LIMIT, "bundle/1", err);
    if (code == NOT_FOUND) code = err_set(err, DAMAGED, "'%s' is missing", name);
    if (!code) code = check_files(path, *bundle, err);
    if (code) {
        json_decref(*bundle);
        *bundle = NULL;
    }
    arena_release(&arena);
    return code;
}

enum code bundle_check(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err)
{
    json_t *got = NULL, *want = describe(registry, version, files);
    enum code code = bundle_check_alone(&got, path, err);
    if (!code && !json_equal(got, want))
        code = err_set(err, DAMAGED, "'%s/bundle.json' does not describe %s@%lld", path,
                       version->model, (long long)version->number);
    json_decref(got);
    json_decref(want);
    return code;
}

enum code bundle_probe(struct golden_result *result, const char *path,
                       const struct resolved *version, const char *device, struct err *err)
{
    struct arena arena = { 0 };
    struct weights weights;
    enum code code = weights_load(&weights, path, false, err);
    if (code) return code;
    if (!digest_equal(&weights.digest, &version->model_digest))
        code = err_set(err, DAMAGED, "bundle '%s' holds another model than %s@%lld", path,
                       version->model, (long long)version->number);
    if (!code)
        code = golden_probe(result, path_join(&arena, path, "sample.h5"), &weights, device, err);
    weights_release(&weights);
    arena_release(&arena);
    return code;
}
