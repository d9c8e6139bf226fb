/* Versions and their evidence as one file, for places without a way to the registry.
 *
 * The file is a tar (tar.h) that is at the same time an OCI image layout, so skopeo reads it as
 * `oci-archive:FILE:NAME-vN`:
 *
 *   blobs/sha256/<hex>             all content of the versions and of their reports
 *   index.json, oci-layout
 *   pawl/bundle.json               export/1 {registry, head {seq, digest}, versions: [{model,
 *                                  number, entry, reports: [entry...]}]}
 *   pawl/entries/0000000002.json   the journal's own files for these
 *
 * The same versions from the same head give the same bytes. Channels and approvals stay behind. */
#ifndef PAWL_REGISTRY_EXPORT_H
#define PAWL_REGISTRY_EXPORT_H

#include "registry/registry.h"

struct exported {
    size_t versions, blobs;
    uint64_t bytes;
    struct digest digest; /* of the file */
};

/* Writes the versions that `refs` (NULL-terminated) mean. Every byte is checked on its way. DAMAGED
 * (content), NOT_FOUND, USAGE, IO; on failure `path` is what it was. */
enum code registry_export(struct registry *registry, struct exported *exported, const char *path,
                          const char *const *refs, struct err *err);

struct import_opts {
    const char *path;
    const char *as; /* the model's name here; NULL: as it was. USAGE with several models */
    const char *actor, *reason;
};

/* Takes in what registry_export wrote: each version as the next number of its model (or the number
 * that it has here), its reports as evidence of elsewhere, which promote does not count. The entry
 * names the origin {registry, head, model, number, entry}. The file's entries must be whole, its
 * content must be what its names say, and the weights must have the model digest. *result is
 * import/1 {versions: [{model, number, digest, existed, evidence}]}. Importing again changes
 * nothing. DAMAGED, USAGE, NOT_FOUND, IO. */
enum code registry_import(struct registry *registry, json_t **result,
                          const struct import_opts *opts, struct err *err);

/* What such a file may hold, by name; the most members and the limit of bundle.json. */
bool export_expects(const char *name);
enum { EXPORT_MEMBERS = 1 << 20, EXPORT_DOCUMENT = 64 << 20 };

#endif
