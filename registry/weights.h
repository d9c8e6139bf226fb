/* A version's model, straight from the content store. */
#ifndef PAWL_REGISTRY_WEIGHTS_H
#define PAWL_REGISTRY_WEIGHTS_H

#include "model/infer.h"
#include "registry/registry.h"

/* Loads the weights of a version; each file is hashed first, and the model digest of what was read
 * must be the version's. DAMAGED names what is wrong. The caller releases the weights. */
enum code registry_weights(const struct registry *registry, struct weights *weights,
                           const struct resolved *version, struct err *err);

#endif
