/* A deployed version as a plain OCI image: what a Kubernetes image volume mounts, and any image
 * tool copies to a registry of the network. Runtimes refuse OCI *artifacts*, as versions are, but
 * mount images (kubernetes KEP-4639), so the files of the bundle are the one layer of an image.
 *
 *   bundle.json          what a folder's bundle.json says, and {layout: "image", image: {manifest}}
 *   oci-layout, index.json, blobs/sha256/<manifest, config, layer>
 *
 * The layer is an uncompressed tar (tar.h) of the files and the folder's bundle.json: one version
 * gives the same bytes each time on one kind of machine. For this room. */
#ifndef PAWL_REGISTRY_IMAGE_H
#define PAWL_REGISTRY_IMAGE_H

#include "registry/bundle.h"

/* Fills the folder `dir`, which is there and empty. `bundle` (borrowed) is a folder's bundle.json;
 * the image's own has `layout` and `image` too. Content is hashed while it is copied. */
enum code image_write(const char *dir, const struct registry *registry, const json_t *bundle,
                      const struct oci_version *files, struct err *err);

/* Whether an image is what its bundle.json (`bundle`, borrowed) says: index, manifest, config, the
 * layer and each file in it. DAMAGED names what is wrong. */
enum code image_check(const char *dir, const json_t *bundle, struct err *err);

/* Unpacks the files of an image that was checked into the folder `to`, which is there and empty. */
enum code image_unpack(const char *dir, const json_t *bundle, const char *to, struct err *err);

#endif
