/* One deployed version: what it must hold, writing it, checking it. For this room.
 *
 * As a folder it is the version's files and bundle.json, which is bundle/1 {digest, files: [{name,
 * digest, size}], model, model_digest, number, registry}: a function of the version and the
 * registry alone, so a bundle that is there can be compared byte for byte. As an image (image.h)
 * the same files are the layer of a plain OCI image. */
#ifndef PAWL_REGISTRY_BUNDLE_H
#define PAWL_REGISTRY_BUNDLE_H

#include "registry/deploy.h"
#include "registry/golden.h"
#include "registry/oci.h"

/* "sha256-<hex>" of a folder, "image-<hex>" of an image; whether a name in a deployment folder is a
 * bundle's. */
char *bundle_name(struct arena *arena, enum deploy_layout layout, const struct digest *digest);
bool bundle_is_name(const char *name);

/* Writes a complete bundle at `path`, which must not exist and whose name says the layout: files
 * copied from the store with their digests checked, the folder renamed into place last. CONFLICT
 * when somebody else was faster. */
enum code bundle_write(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err);

/* Whether `path` holds exactly what bundle_write would write. DAMAGED names the file. */
enum code bundle_check(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err);

/* Checks a bundle against its own bundle.json, which the caller owns then. */
enum code bundle_check_alone(json_t **bundle, const char *path, struct err *err);

/* Loads the model from the bundle, checks that it is the version's, and runs its golden rows. What
 * an image holds is unpacked beside it for that. */
enum code bundle_probe(struct golden_result *result, const char *path,
                       const struct resolved *version, const char *device, struct err *err);

#endif
