/* What the parts of registry_verify share. For files of this room. */
#ifndef PAWL_REGISTRY_VERIFY_H
#define PAWL_REGISTRY_VERIFY_H

#include "registry/registry.h"

struct verifying {
    struct arena arena;
    struct registry registry;
    const struct verify_opts *opts;
    json_t *problems, *notes;
    struct err first; /* the first problem */

    char **names; /* what lies in store/sha256, sorted */
    size_t name_count;
    bool *seen; /* [name_count]: something refers to it, and it was hashed */
    int64_t content;
    uint64_t bytes;

    struct digest *extra; /* content that report entries cite */
    size_t extra_count;
    struct digest *retired; /* manifests of versions whose weights may be gone */
    size_t retired_count;
    struct digest *bundles; /* of documents, as entries cite them */
    size_t bundle_count;
};

/* Records what is wrong (from `err`, or in words), or what is only worth knowing. */
void verify_problem(struct verifying *verifying, const struct err *err);
void verify_wrong(struct verifying *verifying, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void verify_note(struct verifying *verifying, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Reads what was added to the journal meanwhile. */
void verify_read_on(struct verifying *verifying);

/* Hashes everything that versions and reports refer to; checks each model's layout. */
void verify_content(struct verifying *verifying);
void verify_layouts(struct verifying *verifying);

/* Whether a version with this manifest was retired. */
bool verify_retired(const struct verifying *verifying, const struct digest *manifest);

/* Hashes one piece of content, once; false when it is missing or damaged. */
bool verify_blob(struct verifying *verifying, const struct digest *digest, const char *what);

#endif
