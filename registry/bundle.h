/* One deployed version as a folder: what it must hold, writing it, checking it. For this room.
 *
 * bundle.json is bundle/1 {digest, files: [{name, digest, size}], model, model_digest, number,
 * registry}. It is a function of the version and the registry alone, so a bundle that is there can
 * be compared byte for byte. */
#ifndef PAWL_REGISTRY_BUNDLE_H
#define PAWL_REGISTRY_BUNDLE_H

#include "registry/golden.h"
#include "registry/oci.h"

/* "sha256-<hex>"; whether a name in a deployment folder is a bundle's. */
char *bundle_name(struct arena *arena, const struct digest *digest);
bool bundle_is_name(const char *name);

/* Writes a complete bundle at `path`, which must not exist: files copied from the store with their
 * digests checked, the folder renamed into place last. CONFLICT when somebody else was faster. */
enum code bundle_write(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err);

/* Whether `path` holds exactly what bundle_write would write. DAMAGED names the file. */
enum code bundle_check(const char *path, const struct registry *registry,
                       const struct resolved *version, const struct oci_version *files,
                       struct err *err);

/* Checks a bundle against its own bundle.json, which the caller owns then. */
enum code bundle_check_alone(json_t **bundle, const char *path, struct err *err);

/* Loads the model from the bundle, checks that it is the version's, and runs its golden rows. */
enum code bundle_probe(struct golden_result *result, const char *path,
                       const struct resolved *version, const char *device, struct err *err);

#endif
