/* Writing and reading the image. Every name in it is fixed or a digest; the tar is read by the
 * strict reader, which makes no path from a name. */
#include "registry/image.h"

#include "registry/commit.h"
#include "registry/tar.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define CONFIG_TYPE   "application/vnd.oci.image.config.v1+json"
#define LAYER_TYPE    "application/vnd.oci.image.layer.v1.tar"
#define INDEX_TYPE    "application/vnd.oci.image.index.v1+json"

enum { SMALL_LIMIT = 1 << 20, PART = 1 << 20 };

static const char *blob_path(struct arena *arena, const char *dir, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    digest_text(digest, text);
    return arena_format(arena, "%s/blobs/sha256/%s", dir, text + strlen("sha256:"));
}

/* What Go calls this machine: images state it, and runtimes look at it. */
static const char *architecture(struct arena *arena)
{
    static const char *const names[][2] = { { "x86_64", "amd64" }, { "aarch64", "arm64" } };
    struct utsname machine;
    if (uname(&machine)) return "amd64";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i][0], machine.machine) == 0) return names[i][1];
    return arena_copy(arena, machine.machine);
}

static json_t *descriptor(const char *media_type, const struct digest *digest, uint64_t size)
{
    json_t *json = json_pack("{ss sI}", "mediaType", media_type, "size", (json_int_t)size);
    json_set_digest(json, "digest", digest);
    return json;
}

/* An image's config (opencontainers/image-spec, config.md): no time, so that the bytes follow from
 * the version alone. */
static json_t *config_json(struct arena *arena, const json_t *bundle, const struct digest *layer)
{
    char text[DIGEST_TEXT];
    return json_pack("{ss ss s{ss s[s]} s{s{sO sO}}}", "architecture", architecture(arena), "os",
                     "linux", "rootfs", "type", "layers", "diff_ids", digest_text(layer, text),
                     "config", "Labels", "pawl.model.digest",
                     json_object_get(bundle, "model_digest"), "pawl.version.digest",
                     json_object_get(bundle, "digest"));
}

static const char *tag_of(struct arena *arena, const json_t *bundle)
{
    return arena_format(arena, "v%lld",
                        (long long)json_integer_value(json_object_get(bundle, "number")));
}

static struct bytes index_text(struct arena *arena, const json_t *bundle,
                               const struct digest *manifest, uint64_t size)
{
    size_t len;
    json_t *row = descriptor(MANIFEST_TYPE, manifest, size);
    json_object_set_new(
        row, "annotations",
        json_pack("{ss}", "org.opencontainers.image.ref.name", tag_of(arena, bundle)));
    json_t *index = json_pack("{si ss s[o]}", "schemaVersion", 2, "mediaType", INDEX_TYPE,
                              "manifests", row);
    const char *text = json_canonical(arena, index, &len);
    json_decref(index);
    return (struct bytes){ .at = text, .len = len };
}

/* Publishes a document as a blob; its digest and size follow from it. */
static enum code put_blob(struct oci_layer *blob, struct arena *arena, const char *dir,
                          json_t *json, struct err *err)
{
    size_t len;
    const char *text = json_canonical(arena, json, &len);
    json_decref(json);
    *blob = (struct oci_layer){ .digest = digest_of(text, len), .size = len };
    return fs_publish(blob_path(arena, dir, &blob->digest), text, len, err);
}

static int by_name(const void *a, const void *b)
{
    const struct oci_layer *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* As json_publish writes a document: with a newline behind it. */
static enum code add_text(struct fs_writer *tar, const char *name, const json_t *json,
                          struct err *err)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = json_canonical(&arena, json, &len);
    text = arena_format(&arena, "%s\n", text);
    len++;
    enum code code = tar_header(tar, name, len, err);
    if (!code) code = fs_writer_add(tar, text, len, err);
    if (!code) code = tar_pad(tar, len, err);
    arena_release(&arena);
    return code;
}

static enum code fill_tar(struct fs_writer *tar, const struct registry *registry,
                          const json_t *bundle, const struct oci_version *files, struct err *err)
{
    struct oci_layer sorted[OCI_LAYERS];
    memcpy(sorted, files->layers, sizeof sorted);
    qsort(sorted, (size_t)files->layer_count, sizeof *sorted, by_name);
    TRY(add_text(tar, "bundle.json", bundle, err)); /* before the names of all other files */
    for (int i = 0; i < files->layer_count; i++) {
        TRY(tar_header(tar, sorted[i].name, sorted[i].size, err));
        TRY(store_pour(&registry->store, tar, &sorted[i].digest, sorted[i].size, err));
        TRY(tar_pad(tar, sorted[i].size, err));
    }
    return tar_end(tar, err);
}

/* The layer's name is its digest, which is known when it is written. */
static enum code put_layer(struct oci_layer *layer, struct arena *arena, const char *dir,
                           const struct registry *registry, const json_t *bundle,
                           const struct oci_version *files, struct err *err)
{
    struct fs_writer tar = { 0 };
    const char *staged = path_join(arena, dir, "blobs/layer");
    enum code code = fs_writer_open(&tar, staged, err);
    if (!code) code = fill_tar(&tar, registry, bundle, files, err);
    layer->size = tar.written;
    if (!code) code = fs_writer_publish(&tar, &layer->digest, NULL, err);
    fs_writer_abandon(&tar);
    return code ? code : fs_replace(staged, blob_path(arena, dir, &layer->digest), err);
}

enum code image_write(const char *dir, const struct registry *registry, const json_t *bundle,
                      const struct oci_version *files, struct err *err)
{
    struct arena arena = { 0 };
    struct oci_layer layer = { 0 }, config = { 0 }, manifest = { 0 };
    enum code code = fs_mkdirs(path_join(&arena, dir, "blobs/sha256"), err);
    if (!code) code = put_layer(&layer, &arena, dir, registry, bundle, files, err);
    if (!code)
        code = put_blob(&config, &arena, dir, config_json(&arena, bundle, &layer.digest), err);
    if (!code)
        code = put_blob(&manifest, &arena, dir,
                        json_pack("{si ss so s[o]}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE,
                                  "config", descriptor(CONFIG_TYPE, &config.digest, config.size),
                                  "layers", descriptor(LAYER_TYPE, &layer.digest, layer.size)),
                        err);
    struct bytes index = index_text(&arena, bundle, &manifest.digest, manifest.size);
    if (!code) code = fs_publish(path_join(&arena, dir, "index.json"), index.at, index.len, err);
    if (!code)
        code = fs_publish(path_join(&arena, dir, "oci-layout"), oci_layout_text,
                          strlen(oci_layout_text), err);
    json_t *own = json_copy((json_t *)(uintptr_t)bundle), *image = json_object();
    json_set_digest(image, "manifest", &manifest.digest);
    json_object_set_new(own, "layout", json_string("image"));
    json_object_set_new(own, "image", image);
    if (!code) code = json_publish(own, path_join(&arena, dir, "bundle.json"), err);
    json_decref(own);
    arena_release(&arena);
    return code;
}

static enum code wrong(const char *dir, const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "image '%s' is damaged: %s", dir, what);
}

static enum code read_text(struct bytes *bytes, struct arena *arena, const char *dir,
                           const char *path, struct err *err)
{
    enum code code = fs_read_own(arena, bytes, path, SMALL_LIMIT, err);
    return code == NOT_FOUND ? wrong(dir, arena_format(arena, "'%s' is missing", path), err) : code;
}

/* A document among the blobs, whose bytes have the digest that `cited` states. */
static enum code read_blob(json_t **json, uint64_t *size, struct arena *arena, const char *dir,
                           const json_t *cited, struct err *err)
{
    struct digest want;
    struct bytes bytes;
    if (!digest_parse(&want, json_string_value(cited)))
        return wrong(dir, "it cites a blob by no digest", err);
    const char *path = blob_path(arena, dir, &want);
    TRY(read_text(&bytes, arena, dir, path, err));
    struct digest got = digest_of(bytes.at, bytes.len);
    if (!digest_equal(&got, &want)) return wrong(dir, "a blob's bytes have another digest", err);
    *size = bytes.len;
    return json_parse(json, bytes.at, bytes.len, path, err);
}

static bool in_layer(const char *name)
{
    return strcmp(name, "bundle.json") == 0 || oci_knows(name);
}

/* Feeds a member of the tar to a hash and, where there is one, to a writer. */
static enum code pour(const struct tar *tar, const struct tar_member *member, struct digest *digest,
                      struct fs_writer *writer, struct err *err)
{
    struct sha256 sha;
    void *part = NULL;
    sha256_begin(&sha);
    enum code code = block_alloc(&part, PART, "a copy buffer", err);
    for (uint64_t at = 0; !code && at < member->size; at += PART) {
        size_t len = member->size - at < PART ? (size_t)(member->size - at) : PART;
        code = fs_pread(tar->fd - 1, part, len, member->at + at, tar->path, err);
        if (!code) sha256_add(&sha, part, len);
        if (!code && writer) code = fs_writer_add(writer, part, len, err);
    }
    sha256_end(&sha, digest);
    block_free(part);
    return code;
}

/* Each file that bundle.json names is in the layer, with the bytes that it states; with `to` it is
 * unpacked there. */
static enum code each_file(const struct tar *tar, const char *dir, const json_t *bundle,
                           const char *to, struct err *err)
{
    struct arena arena = { 0 };
    const json_t *files = json_object_get(bundle, "files");
    enum code code = tar->count == json_array_size(files) + 1
                         ? OK
                         : wrong(dir, "its layer does not hold the files of its bundle", err);
    for (size_t i = 0; !code && i < json_array_size(files); i++) {
        struct digest want, got;
        struct fs_writer writer = { 0 };
        const json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "name"));
        const struct tar_member *member = name ? tar_find(tar, name) : NULL;
        if (!member || !oci_knows(name) ||
            !digest_parse(&want, json_string_value(json_object_get(file, "digest")))) {
            code = wrong(dir, "its layer lacks a file of its bundle", err);
            break;
        }
        if (to) code = fs_writer_open(&writer, path_join(&arena, to, name), err);
        if (!code) code = pour(tar, member, &got, to ? &writer : NULL, err);
        if (!code && to) code = fs_writer_publish(&writer, NULL, NULL, err);
        fs_writer_abandon(&writer);
        if (!code && !digest_equal(&got, &want))
            code = wrong(dir, arena_format(&arena, "'%s' in its layer has another digest", name),
                         err);
    }
    arena_release(&arena);
    return code;
}

static enum code open_layer(struct tar *tar, struct arena *arena, const char *dir,
                            const json_t *manifest, struct err *err)
{
    struct digest layer;
    const json_t *row = json_array_get(json_object_get(manifest, "layers"), 0);
    memset(tar, 0, sizeof *tar);
    if (!digest_parse(&layer, json_string_value(json_object_get(row, "digest"))))
        return wrong(dir, "its manifest has no layer", err);
    const char *path = blob_path(arena, dir, &layer);
    enum code code = tar_open(tar, arena, path, OCI_LAYERS + 1, in_layer, err);
    return code == NOT_FOUND ? wrong(dir, "its layer is missing", err) : code;
}

/* The layer as a whole and its config; the files in it are each_file's to check. */
static enum code check_parts(struct arena *arena, const char *dir, const json_t *manifest,
                             const struct tar *tar, struct err *err)
{
    json_t *config = NULL;
    struct digest got, want, stated;
    uint64_t size;
    const json_t *layer = json_array_get(json_object_get(manifest, "layers"), 0);
    TRY(fs_digest_own(tar->path, &got, NULL, err));
    digest_parse(&want, json_string_value(json_object_get(layer, "digest")));
    if (!digest_equal(&got, &want)) return wrong(dir, "its layer's bytes have another digest", err);
    TRY(read_blob(&config, &size, arena, dir,
                  json_object_get(json_object_get(manifest, "config"), "digest"), err));
    const json_t *ids = json_object_get(json_object_get(config, "rootfs"), "diff_ids");
    bool same = digest_parse(&stated, json_string_value(json_array_get(ids, 0))) &&
                digest_equal(&stated, &want);
    json_decref(config);
    return same ? OK : wrong(dir, "its config names another layer", err);
}

static enum code check_fixed(struct arena *arena, const char *dir, const json_t *bundle,
                             uint64_t size, struct err *err)
{
    struct bytes got;
    struct digest manifest;
    const json_t *image = json_object_get(bundle, "image");
    TRY(read_text(&got, arena, dir, path_join(arena, dir, "oci-layout"), err));
    if (got.len != strlen(oci_layout_text) || memcmp(got.at, oci_layout_text, got.len) != 0)
        return wrong(dir, "'oci-layout' is not what it must be", err);
    digest_parse(&manifest, json_string_value(json_object_get(image, "manifest")));
    struct bytes want = index_text(arena, bundle, &manifest, size);
    TRY(read_text(&got, arena, dir, path_join(arena, dir, "index.json"), err));
    if (got.len == want.len && memcmp(got.at, want.at, got.len) == 0) return OK;
    return wrong(dir, "'index.json' does not name its image", err);
}

static enum code read_manifest(json_t **manifest, uint64_t *size, struct arena *arena,
                               const char *dir, const json_t *bundle, struct err *err)
{
    const json_t *image = json_object_get(bundle, "image");
    *manifest = NULL;
    return read_blob(manifest, size, arena, dir, json_object_get(image, "manifest"), err);
}

enum code image_check(const char *dir, const json_t *bundle, struct err *err)
{
    struct arena arena = { 0 };
    struct tar tar = { 0 };
    json_t *manifest;
    uint64_t size = 0;
    enum code code = read_manifest(&manifest, &size, &arena, dir, bundle, err);
    if (!code) code = check_fixed(&arena, dir, bundle, size, err);
    if (!code) code = open_layer(&tar, &arena, dir, manifest, err);
    if (!code) code = check_parts(&arena, dir, manifest, &tar, err);
    if (!code) code = each_file(&tar, dir, bundle, NULL, err);
    tar_close(&tar);
    json_decref(manifest);
    arena_release(&arena);
    return code;
}

enum code image_unpack(const char *dir, const json_t *bundle, const char *to, struct err *err)
{
    struct arena arena = { 0 };
    struct tar tar = { 0 };
    json_t *manifest;
    uint64_t size = 0;
    enum code code = read_manifest(&manifest, &size, &arena, dir, bundle, err);
    if (!code) code = open_layer(&tar, &arena, dir, manifest, err);
    if (!code) code = each_file(&tar, dir, bundle, to, err);
    tar_close(&tar);
    json_decref(manifest);
    arena_release(&arena);
    return code;
}
