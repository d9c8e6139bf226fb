/* What the journal reaches: a set of digests. For files of this room.
 *
 * An entry reaches every digest that stands anywhere in it, whether it names content or not, so
 * that a kind of entry which is added later is never collected by mistake; a manifest or an index
 * among that content reaches what it lists. Only the weights of a retired version are let go. */
#ifndef PAWL_REGISTRY_REACH_H
#define PAWL_REGISTRY_REACH_H

#include "registry/registry.h"

struct reach {
    struct arena arena;
    struct digest *slots; /* open addressing; a slot of zeros is free */
    size_t size, count;
    struct digest *retired;   /* manifests whose weights are let go */
    struct digest *manifests; /* of versions */
    size_t retired_count, manifest_count, followed, checked;
    struct digest *order; /* in the order of their discovery [count] */
    struct head head;     /* the last entry that was read */
};

/* Adds a digest; true when it is new. Whether one is there. */
bool reach_add(struct reach *reach, const struct digest *digest);
bool reach_has(const struct reach *reach, const struct digest *digest);

/* Adds all digests in a document, keys included. */
void reach_json(struct reach *reach, json_t *json);

/* Reads on in the journal from where the set stands and adds what the new entries reach. A zeroed
 * set begins with entry 1. DAMAGED when the chain is, or content that may be a manifest, or when a
 * version has none; IO. */
enum code reach_read(struct reach *reach, const struct registry *registry, struct err *err);

/* Gives the memory back. Accepts a zeroed struct. */
void reach_release(struct reach *reach);

#endif
