/* The folder models/NAME/: its fixed file, its linked blobs, and index.json as a view. */
#include "registry/oci.h"

#include "registry/commit.h"

#include <stdlib.h>
#include <string.h>

const char oci_layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

char *oci_path(struct arena *arena, const struct registry *registry, const char *model,
               const char *name)
{
    return arena_format(arena, "%s/models/%s%s%s", registry->dir, model, *name ? "/" : "", name);
}

static enum code link_blob(const struct registry *registry, const char *model,
                           const struct digest *digest, struct err *err)
{
    struct arena arena = { 0 };
    bool made;
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    const char *to = oci_path(&arena, registry, model,
                              arena_format(&arena, "blobs/sha256/%s", hex));
    enum code code = store_link(&registry->store, digest, to, &made, err);
    arena_release(&arena);
    return code;
}

static const char *const folders[] = { "", "blobs", "blobs/sha256" };

enum { FOLDERS = sizeof folders / sizeof *folders };

enum code oci_check_layout(const struct registry *registry, const char *model, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = OK;
    for (size_t i = 0; !code && i < FOLDERS; i++) {
        struct stat info;
        const char *path = oci_path(&arena, registry, model, folders[i]);
        if (fs_stat(path, &info, NULL) == OK && !S_ISDIR(info.st_mode))
            code = err_set(err, DAMAGED, "'%s' is not a folder", path);
    }
    arena_release(&arena);
    return code;
}

enum code oci_make_layout(const struct registry *registry, const char *model, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = oci_check_layout(registry, model, err);
    for (size_t i = 0; !code && i < FOLDERS; i++)
        code = fs_mkdir_like(oci_path(&arena, registry, model, folders[i]), err);
    const char *fixed = oci_path(&arena, registry, model, "oci-layout");
    if (!code && !fs_exists(fixed))
        code = fs_publish(fixed, oci_layout_text, strlen(oci_layout_text), err);
    arena_release(&arena);
    return code;
}

enum code oci_place(const struct registry *registry, const char *model, const struct digest *digest,
                    const struct oci_version *version, struct err *err)
{
    TRY(oci_make_layout(registry, model, err));
    TRY(link_blob(registry, model, digest, err));
    TRY(link_blob(registry, model, &version->config.digest, err));
    for (int i = 0; i < version->layer_count; i++)
        TRY(link_blob(registry, model, &version->layers[i].digest, err));
    struct arena arena = { 0 };
    enum code code = fs_sync_dir(oci_path(&arena, registry, model, "blobs/sha256"), err);
    arena_release(&arena);
    return code;
}

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE    "application/vnd.oci.image.index.v1+json"

/* One descriptor per tag: OCI gives a tag no other place than this annotation. */
static enum code tag(json_t *manifests, const struct registry *registry,
                     const struct digest *digest, const char *media_type, const char *name,
                     struct err *err)
{
    uint64_t size;
    TRY(store_size(&registry->store, digest, &size, err));
    json_t *json = json_pack("{ss sI s{ss}}", "mediaType", media_type, "size", (json_int_t)size,
                             "annotations", "org.opencontainers.image.ref.name", name);
    if (strcmp(media_type, MANIFEST_TYPE) == 0)
        json_object_set_new(json, "artifactType",
                            json_string("application/vnd.cncf.model.manifest.v1+json"));
    json_set_digest(json, "digest", digest);
    json_array_append_new(manifests, json);
    return OK;
}

static bool listed(const struct model_line *model, int64_t number)
{
    if (number > (int64_t)model->version_count - OCI_INDEX_VERSIONS) return true;
    for (size_t c = 0; c < model->channel_count; c++)
        if (channel_now(&model->channels[c])->number == number) return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    const struct channel *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

/* A version, and the bundle of it and its evidence, which copies whole. */
static enum code tag_version(struct arena *arena, json_t *manifests,
                             const struct registry *registry, const struct version *version,
                             struct err *err)
{
    static const struct digest none;
    const char *name = arena_format(arena, "v%lld", (long long)version->number);
    TRY(tag(manifests, registry, &version->digest, MANIFEST_TYPE, name, err));
    if (digest_equal(&version->evidence, &none)) return OK;
    return tag(manifests, registry, &version->evidence, INDEX_TYPE,
               arena_format(arena, "%s-bundle", name), err);
}

/* Versions by number, then channels by name. */
static enum code tag_all(struct arena *arena, json_t *manifests, const struct registry *registry,
                         const struct model_line *model, struct err *err)
{
    for (size_t i = 0; i < model->version_count; i++) {
        const struct version *version = &model->versions[i];
        if (!listed(model, version->number)) continue;
        TRY(tag_version(arena, manifests, registry, version, err));
    }
    size_t count = model->channel_count;
    const struct channel **sorted = ARENA_ARRAY(arena, count, const struct channel *);
    for (size_t i = 0; i < count; i++) sorted[i] = &model->channels[i];
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 0; i < count; i++)
        TRY(tag(manifests, registry, &model_version(model, channel_now(sorted[i])->number)->digest,
                MANIFEST_TYPE, sorted[i]->name, err));
    return OK;
}

enum code oci_index_render(struct arena *arena, struct bytes *bytes,
                           const struct registry *registry, const struct model_line *model,
                           struct err *err)
{
    json_t *manifests = json_array();
    json_t *index = json_pack("{si ss sO}", "schemaVersion", 2, "mediaType", INDEX_TYPE,
                              "manifests", manifests);
    enum code code = tag_all(arena, manifests, registry, model, err);
    size_t len = 0;
    const char *text = code ? "" : json_canonical(arena, index, &len);
    *bytes = (struct bytes){ .at = text, .len = len };
    json_decref(manifests);
    json_decref(index);
    return code;
}

enum code oci_index_write(const struct registry *registry, const struct model_line *model,
                          struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    enum code code = oci_check_layout(registry, model->name, err);
    if (!code) code = oci_index_render(&arena, &bytes, registry, model, err);
    if (!code)
        code = fs_publish_view(oci_path(&arena, registry, model->name, "index.json"), bytes.at,
                               bytes.len, err);
    arena_release(&arena);
    return code;
}

int64_t oci_index_highest(const struct bytes *bytes)
{
    json_t *index = NULL, *manifest;
    size_t i;
    int64_t highest = 0;
    if (json_parse(&index, bytes->at, bytes->len, "index.json", NULL)) return 0;
    json_array_foreach(json_object_get(index, "manifests"), i, manifest)
    {
        const json_t *notes = json_object_get(manifest, "annotations");
        const char *name = json_string_value(
            json_object_get(notes, "org.opencontainers.image.ref.name"));
        if (!name || name[0] != 'v' || strspn(name + 1, "0123456789") != strlen(name + 1)) continue;
        int64_t number = strtoll(name + 1, NULL, 10);
        if (number > highest) highest = number;
    }
    json_decref(index);
    return highest;
}
