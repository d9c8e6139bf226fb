/* Versions as OCI artifacts: each models/NAME/ is a valid image layout with CNCF ModelPack types.
 *
 * A version is a manifest (artifactType application/vnd.cncf.model.manifest.v1+json) over a config
 * and the files of a bundle as raw layers. Neither the version's number nor any time is in it, so
 * that the same content always has the same digest. Blobs are hard links into the store; index.json
 * is a view with the tags vN (the newest 100, and those that channels hold) and the channels'
 * names. Sources: opencontainers/image-spec (image-layout.md, manifest.md), modelpack/model-spec
 * (spec.md, config.md, schema/config-schema.json). */
#ifndef PAWL_REGISTRY_OCI_H
#define PAWL_REGISTRY_OCI_H

#include "model/checkpoint.h"
#include "registry/registry.h"

enum { OCI_LAYERS = 8, OCI_INDEX_VERSIONS = 100, OCI_MANIFEST_LIMIT = 1 << 20 };

/* The one byte sequence that a layout's oci-layout file may hold. */
extern const char oci_layout_text[];

/* One file of a version; `name` is one of the names that a bundle may hold. */
struct oci_layer {
    const char *name;
    struct digest digest;
    uint64_t size;
};

struct oci_version {
    struct oci_layer config, layers[OCI_LAYERS]; /* config.name is NULL */
    int layer_count;
    struct digest model_digest;
    enum weights_variant variant;
};

/* Whether a version may hold a file of this name. */
bool oci_knows(const char *name);

/* Whether a file of this name is what retiring a version lets go. */
bool oci_is_weights(const char *name);

/* Puts config and manifest of a version into the store; `version` comes with its layers, model
 * digest and variant, and gets its config. *digest is the manifest's, the version's digest. */
enum code oci_put(const struct registry *registry, struct oci_version *version,
                  struct digest *digest, const char *model, struct err *err);

/* Reads a manifest back, checked by its digest. Layer names point to constants. DAMAGED when it is
 * no manifest of ours: unknown or repeated names, wrong types. */
enum code oci_read(const struct registry *registry, struct oci_version *version,
                   const struct digest *digest, struct err *err);

/* The layer with this name, or NULL. */
const struct oci_layer *oci_layer(const struct oci_version *version, const char *name);

/* "DIR/models/NAME/PART" (PART may be empty), in the arena. */
char *oci_path(struct arena *arena, const struct registry *registry, const char *model,
               const char *part);

/* Whether the folders of models/NAME/, where they are there, are folders themselves: DAMAGED for a
 * link to one, through which links would be made elsewhere. */
enum code oci_check_layout(const struct registry *registry, const char *model, struct err *err);

/* Makes models/NAME/ a layout without blobs. What is there stays. */
enum code oci_make_layout(const struct registry *registry, const char *model, struct err *err);

/* Makes models/NAME/ a layout, and links a version's blobs into it. What is there stays. */
enum code oci_place(const struct registry *registry, const char *model, const struct digest *digest,
                    const struct oci_version *version, struct err *err);

/* The index.json that the state demands, and writing it. */
enum code oci_index_render(struct arena *arena, struct bytes *bytes,
                           const struct registry *registry, const struct model_line *model,
                           struct err *err);
/* The highest version that an index.json has a tag for; 0 for none or no index. */
int64_t oci_index_highest(const struct bytes *bytes);
enum code oci_index_write(const struct registry *registry, const struct model_line *model,
                          struct err *err);

#endif
