/* REF: the one way to name a model on the command line and in suites.
 *
 * A text without '@' is a path: a run directory (meaning its best checkpoint), a checkpoint or a
 * bundle. With '@' it is a version of a registry: NAME@7, NAME@sha256:..., NAME@CHANNEL. */
#ifndef PAWL_WORKFLOW_REF_H
#define PAWL_WORKFLOW_REF_H

#include "model/infer.h"
#include "registry/registry.h"

struct ref {
    const char *text; /* as given */
    bool in_registry;
    const char *path;         /* of the directory, for paths */
    struct registry registry; /* open, for versions */
    struct resolved version;
    struct digest model_digest; /* set by ref_load */
    struct arena arena;
};

/* Resolves. `registry` is the registry's directory, or NULL where none was named: then a version is
 * USAGE with the ways to name one. */
enum code ref_open(struct ref *ref, const char *text, const char *registry, struct err *err);
/* The version of any model that has this model digest ("sha256:..."); NOT_FOUND when the registry
 * has none. */
enum code ref_open_model(struct ref *ref, const char *digest, const char *registry,
                         struct err *err);
void ref_close(struct ref *ref);

/* Whether a REF that could not be found names a channel of a known model that nobody has moved yet:
 * then there is no such version so far. Anything else (another registry, model or number) is a
 * mistake. */
bool ref_is_empty_channel(const char *text, const char *registry);

/* Loads the model that it means. `raw`: the raw weights even where a run kept an EMA; USAGE where
 * only the average is there (a version or a bundle of one). */
enum code ref_load(struct ref *ref, struct weights *weights, bool raw, struct err *err);

/* "fashion@7" or the path. */
const char *ref_name(const struct ref *ref, char *text, size_t size);

#endif
