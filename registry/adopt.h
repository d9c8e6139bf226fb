/* Taking in what other tools put into a model's layout.
 *
 * models/NAME/ is a layout that any OCI client may write to: skopeo copies a version into it, umoci
 * tags and collects. None of that is the registry's history until an `adopt` entry says so. What is
 * foreign is what index.json or the folder has and the journal does not know; what the journal
 * knows and the layout no longer has (links, oci-layout, tags) is put right, because a layout
 * follows the journal. Nothing foreign is believed: each blob is hashed while it is copied into the
 * store, so that whoever holds the layout's file open cannot change it afterwards, and a version's
 * weights must have the model digest that its manifest states. */
#ifndef PAWL_REGISTRY_ADOPT_H
#define PAWL_REGISTRY_ADOPT_H

#include "registry/registry.h"

struct adopt_opts {
    const char *model; /* whose layout; NULL: all */
    bool dry_run;      /* only says what is foreign */
    const char *actor, *reason;
};

/* Adopts. A foreign version becomes the next number of its model, with the documents that came with
 * it; documents about a version that is here (a bundle, or any manifest whose subject it is) become
 * evidence of an entry; anything else is refused and stays where it lies, without its tag. *result
 * is adopt/1 {model or null, dry_run, foreign: [{model, what: "version" | "evidence" | "tag" |
 * "image" | "blob", tag or null, digest, done: "adopted" | "dropped" | "refused", number?,
 * reason?}], mended: [{message}]}. REFUSED when something was refused (*result is there all the
 * same). NOT_FOUND for no such layout, USAGE, DAMAGED, IO. */
enum code registry_adopt(struct registry *registry, json_t **result, const struct adopt_opts *opts,
                         struct err *err);

#endif
