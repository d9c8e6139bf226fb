/* Bundles: copied with their digests checked, renamed into place, compared byte for byte. */
#include "registry/bundle.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/image.h"

#include <string.h>

enum { BUNDLE_LIMIT = 1 << 20 };

static const struct {
    const char *name, *prefix;
} layouts[DEPLOY_LAYOUTS] = {
    [DEPLOY_FOLDER] = { .name = "folder", .prefix = "sha256-" },
    [DEPLOY_IMAGE] = { .name = "image", .prefix = "image-" },
};

enum deploy_layout deploy_layout_find(const char *name)
{
    int layout = 0;
    while (layout < DEPLOY_LAYOUTS && strcmp(layouts[layout].name, name) != 0) layout++;
    return (enum deploy_layout)layout;
}

char *bundle_name(struct arena *arena, enum deploy_layout layout, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    digest_text(digest, text);
    return arena_format(arena, "%s%s", layouts[layout].prefix, text + strlen("sha256:"));
}

/* The layout that a bundle's name says; DEPLOY_LAYOUTS for any other name. */
static enum deploy_layout layout_of(const char *name)
{
    int layout = 0;
    for (; layout < DEPLOY_LAYOUTS; layout++) {
        size_t len = strlen(layouts[layout].prefix);
        if (text_starts(name, layouts[layout].prefix) && strlen(name) == len + 64) break;
    }
    return (enum deploy_layout)layout;
}

bool bundle_is_name(const char *name)
{
    return layout_of(name) != DEPLOY_LAYOUTS;
}

static bool is_image(const char *path)
{
    return layout_of(path_base(path)) == DEPLOY_IMAGE;
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

static enum code write_folder(const char *dir, const struct registry *registry, const json_t *json,
                              const struct oci_version *files, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = OK;
    for (int i = 0; !code && i < files->layer_count; i++)
        code = store_copy(&registry->store, &files->layers[i].digest,
                          path_join(&arena, dir, files->layers[i].name), err);
    if (!code) code = json_publish(json, path_join(&arena, dir, "bundle.json"), err);
    arena_release(&arena);
    return code;
}

enum code bundle_write(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err)
{
    char temporary[1100];
    json_t *json = describe(registry, version, files);
    fs_temporary_name(temporary, sizeof temporary, path);
    enum code code = fs_mkdirs(temporary, err);
    if (!code)
        code = is_image(path) ? image_write(temporary, registry, json, files, err)
                              : write_folder(temporary, registry, json, files, err);
    if (!code) code = fs_sync_dir(temporary, err);
    if (!code) code = fs_publish_dir(temporary, path, err);
    if (code) fs_remove_tree(temporary, NULL);
    json_decref(json);
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
        code = fs_digest_own(path, &got, NULL, err);
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
    if (!code)
        code = json_object_get(*bundle, "image") ? image_check(path, *bundle, err)
                                                 : check_files(path, *bundle, err);
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
    if (!code && is_image(path) && json_object_del(got, "layout") + json_object_del(got, "image"))
        code = err_set(err, DAMAGED, "'%s/bundle.json' describes no image", path);
    if (!code && !json_equal(got, want))
        code = err_set(err, DAMAGED, "'%s/bundle.json' does not describe %s@%lld", path,
                       version->model, (long long)version->number);
    json_decref(got);
    json_decref(want);
    return code;
}

static enum code probe_folder(struct golden_result *result, const char *dir, const char *path,
                              const struct resolved *version, const char *device, struct err *err)
{
    struct arena arena = { 0 };
    struct weights weights;
    enum code code = weights_load(&weights, dir, false, err);
    if (code) return code;
    if (!digest_equal(&weights.digest, &version->model_digest))
        code = err_set(err, DAMAGED, "bundle '%s' holds another model than %s@%lld", path,
                       version->model, (long long)version->number);
    if (!code)
        code = golden_probe(result, path_join(&arena, dir, "sample.h5"), &weights, device, err);
    weights_release(&weights);
    arena_release(&arena);
    return code;
}

/* The layer's files as a runtime would see them. */
static enum code probe_image(struct golden_result *result, const char *path,
                             const struct resolved *version, const char *device, struct err *err)
{
    struct arena arena = { 0 };
    char temporary[1100];
    json_t *bundle = NULL;
    fs_temporary_name(temporary, sizeof temporary, path);
    enum code code = json_read(&bundle, path_join(&arena, path, "bundle.json"), BUNDLE_LIMIT,
                               "bundle/1", err);
    if (!code) code = fs_mkdirs(temporary, err);
    if (!code) code = image_unpack(path, bundle, temporary, err);
    if (!code) code = probe_folder(result, temporary, path, version, device, err);
    fs_remove_tree(temporary, NULL);
    json_decref(bundle);
    arena_release(&arena);
    return code;
}

enum code bundle_probe(struct golden_result *result, const char *path,
                       const struct resolved *version, const char *device, struct err *err)
{
    return is_image(path) ? probe_image(result, path, version, device, err)
                          : probe_folder(result, path, path, version, device, err);
}
