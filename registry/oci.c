/* Manifests: one table says which files a version has and what OCI clients are told about them. */
#include "registry/oci.h"

#include "registry/commit.h"

#include <string.h>

#define MODELPACK     "application/vnd.cncf.model."
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define ARTIFACT_TYPE MODELPACK "manifest.v1+json"
#define CONFIG_TYPE   MODELPACK "config.v1+json"
#define FILEPATH      "org.cncf.model.filepath"
#define NOTE_DIGEST   "pawl.model.digest"
#define NOTE_VARIANT  "pawl.model.variant"

static const struct {
    const char *name, *media_type;
} files[] = {
    { "model.safetensors", MODELPACK "weight.v1.raw" },
    { "model.json", MODELPACK "weight.config.v1.raw" },
    { "profile.json", MODELPACK "dataset.v1.raw" }, /* what the training data looked like */
    { "sample.h5", MODELPACK "dataset.v1.raw" },    /* golden rows */
};

enum { FILES = sizeof files / sizeof *files };

static const char *const variants[] = { [WEIGHTS_RAW] = "raw", [WEIGHTS_EMA] = "ema" };

static int file_of(const char *name)
{
    for (int i = 0; i < FILES; i++)
        if (name && strcmp(files[i].name, name) == 0) return i;
    return -1;
}

bool oci_knows(const char *name)
{
    return file_of(name) >= 0;
}

bool oci_is_weights(const char *name)
{
    return strcmp(name, "model.safetensors") == 0 || strcmp(name, "model.onnx") == 0;
}

static json_t *descriptor(const char *media_type, const struct oci_layer *layer)
{
    json_t *json = json_pack("{ss sI}", "mediaType", media_type, "size", (json_int_t)layer->size);
    json_set_digest(json, "digest", &layer->digest);
    return json;
}

static json_t *layer_json(const struct oci_layer *layer)
{
    int file = file_of(layer->name);
    REQUIRE(file >= 0);
    json_t *json = descriptor(files[file].media_type, layer);
    json_object_set_new(
        json, "annotations",
        json_pack("{ss ss}", FILEPATH, layer->name, "org.opencontainers.image.title", layer->name));
    return json;
}

static json_t *config_json(const struct oci_version *version, const char *model)
{
    json_t *ids = json_array();
    char text[DIGEST_TEXT];
    for (int i = 0; i < version->layer_count; i++)
        json_array_append_new(ids, json_string(digest_text(&version->layers[i].digest, text)));
    return json_pack("{s{ss} s{ss} s{ss so}}", "descriptor", "name", model, "config", "format",
                     "safetensors", "modelfs", "type", "layers", "diffIds", ids);
}

static json_t *manifest_json(const struct oci_version *version)
{
    json_t *layers = json_array(), *notes = json_object();
    for (int i = 0; i < version->layer_count; i++)
        json_array_append_new(layers, layer_json(&version->layers[i]));
    json_set_digest(notes, NOTE_DIGEST, &version->model_digest);
    json_object_set_new(notes, NOTE_VARIANT, json_string(variants[version->variant]));
    return json_pack("{si ss ss so so so}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE,
                     "artifactType", ARTIFACT_TYPE, "config",
                     descriptor(CONFIG_TYPE, &version->config), "layers", layers, "annotations",
                     notes);
}

static enum code put_json(const struct registry *registry, struct oci_layer *layer, json_t *json,
                          struct err *err)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = json_canonical(&arena, json, &len);
    layer->size = len;
    enum code code = store_put(&registry->store, &layer->digest, text, len, err);
    json_decref(json);
    arena_release(&arena);
    return code;
}

enum code oci_put(const struct registry *registry, struct oci_version *version,
                  struct digest *digest, const char *model, struct err *err)
{
    struct oci_layer manifest = { 0 };
    TRY(put_json(registry, &version->config, config_json(version, model), err));
    TRY(put_json(registry, &manifest, manifest_json(version), err));
    *digest = manifest.digest;
    return OK;
}

static enum code read_descriptor(struct oci_layer *layer, const json_t *json, const char *type,
                                 const char *name, struct err *err)
{
    const char *media_type;
    int64_t size;
    TRY(json_get_text(&media_type, json, "mediaType", name, err));
    TRY(json_get_digest(&layer->digest, json, "digest", name, err));
    TRY(json_get_int(&size, json, "size", name, err));
    layer->size = (uint64_t)size;
    if (size >= 0 && strcmp(media_type, type) == 0) return OK;
    return err_set(err, DAMAGED, "cannot use manifest '%s': media type '%.80s' is not %s", name,
                   media_type, type);
}

static enum code read_layers(struct oci_version *version, const json_t *list, const char *name,
                             struct err *err)
{
    size_t count = json_array_size(list);
    if (count == 0 || count > OCI_LAYERS)
        return err_set(err, DAMAGED, "cannot use manifest '%s': it has %zu layers", name, count);
    for (size_t i = 0; i < count; i++) {
        const json_t *json = json_array_get(list, i);
        const json_t *notes = json_object_get(json, "annotations");
        int file = file_of(json_string_value(json_object_get(notes, FILEPATH)));
        if (file < 0 || oci_layer(version, files[file].name))
            return err_set(err, DAMAGED,
                           "cannot use manifest '%s': layer %zu has an unknown or repeated name",
                           name, i + 1);
        struct oci_layer *layer = &version->layers[version->layer_count];
        TRY(read_descriptor(layer, json, files[file].media_type, name, err));
        layer->name = files[file].name;
        version->layer_count++;
    }
    return OK;
}

static enum code read_manifest(struct oci_version *version, const json_t *json, const char *name,
                               struct err *err)
{
    const char *type, *variant;
    json_t *config, *layers, *notes;
    TRY(json_get_text(&type, json, "artifactType", name, err));
    TRY(json_get_object(&config, json, "config", name, err));
    TRY(json_get_array(&layers, json, "layers", name, err));
    TRY(json_get_object(&notes, json, "annotations", name, err));
    TRY(json_get_digest(&version->model_digest, notes, NOTE_DIGEST, name, err));
    TRY(json_get_text(&variant, notes, NOTE_VARIANT, name, err));
    bool ema = strcmp(variant, variants[WEIGHTS_EMA]) == 0;
    if (strcmp(type, ARTIFACT_TYPE) != 0 || (!ema && strcmp(variant, variants[WEIGHTS_RAW]) != 0))
        return err_set(err, DAMAGED, "cannot use manifest '%s': it is no version's manifest", name);
    version->variant = ema ? WEIGHTS_EMA : WEIGHTS_RAW;
    TRY(read_descriptor(&version->config, config, CONFIG_TYPE, name, err));
    return read_layers(version, layers, name, err);
}

enum code oci_read(const struct registry *registry, struct oci_version *version,
                   const struct digest *digest, struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    json_t *json = NULL;
    char name[DIGEST_TEXT];
    memset(version, 0, sizeof *version);
    digest_text(digest, name);
    enum code code = store_read(&registry->store, &arena, &bytes, digest, OCI_MANIFEST_LIMIT, err);
    if (!code) code = json_parse(&json, bytes.at, bytes.len, name, err);
    if (!code) code = read_manifest(version, json, name, err);
    json_decref(json);
    arena_release(&arena);
    return code;
}

const struct oci_layer *oci_layer(const struct oci_version *version, const char *name)
{
    for (int i = 0; i < version->layer_count; i++)
        if (strcmp(version->layers[i].name, name) == 0) return &version->layers[i];
    return NULL;
}
