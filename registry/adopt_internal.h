/* What finding foreign things and taking them in share. For files of this room. */
#ifndef PAWL_REGISTRY_ADOPT_INTERNAL_H
#define PAWL_REGISTRY_ADOPT_INTERNAL_H

#include "registry/adopt.h"
#include "registry/oci.h"
#include "registry/reach.h"

enum foreign_kind {
    FOREIGN_VERSION,  /* a manifest such as registry_add makes */
    FOREIGN_BUNDLE,   /* an index of a version and documents about it */
    FOREIGN_REFERRER, /* a manifest whose subject is a version */
    FOREIGN_TAG,      /* known content under a name that is not the journal's */
    FOREIGN_IMAGE,    /* something else */
    FOREIGN_KINDS
};

struct foreign {
    struct digest digest;
    const char *tag; /* NULL: none */
    enum foreign_kind kind;
    struct digest about; /* the version that a bundle or a referrer is about */
    const char *type;    /* artifact type, or media type */
    json_t *json;        /* the manifest or index; NULL where it is not there */
    const char *why;     /* of an image: why it is refused */
};

/* One layout that is looked through. */
struct adopting {
    struct arena arena;
    struct registry *registry;
    const struct adopt_opts *opts;
    const char *model;
    const struct model_line *line; /* NULL: no version of it is known */
    struct foreign *list;
    size_t count;
    struct reach known;   /* digests that earlier entries adopted */
    struct reach covered; /* digests that something in `list` names */
    json_t *rows;         /* the answer's `foreign` */
    size_t refused;
    struct err first; /* the first refusal */
};

/* Where a blob lies in the layout. In the arena. */
const char *adopt_blob_path(struct adopting *adopting, const struct digest *digest);

/* Fills `list` with what the layout has and the journal does not know. */
enum code adopt_find(struct adopting *adopting, struct err *err);

/* Adds a row to the answer; `number` 0 and `reason` NULL are left out. */
void adopt_say(struct adopting *adopting, const struct foreign *foreign, const char *done,
               int64_t number, const char *reason);

/* Takes in one version, with a bundle of documents (NULL: they are made here); *number is what it
 * got. Documents about a version that is here; *new says whether there was something to say. */
enum code adopt_version(struct adopting *adopting, int64_t *number, const struct foreign *foreign,
                        const struct digest *bundle, struct err *err);
enum code adopt_evidence(struct adopting *adopting, const struct foreign *foreign, struct err *err);

#endif
