/* Making a registry whole again from what is sound in it.
 *
 * Journal and content are the truth; registry.json, layouts, links and views follow from them and
 * are written again. What lies in a layout with the right digest stands in for content that the
 * store lost. Entries that are gone cannot be made again: where something proves that there were
 * more than the journal holds, nothing is touched unless the loss is accepted. Then what cannot
 * follow the last sound entry is moved to trash/lost.NONCE/, a `recover` entry names the lost
 * range, and only after that are the views that knew of it overwritten; staging/repair.json
 * carries an accepted loss over an interruption. */
#ifndef PAWL_REGISTRY_REPAIR_H
#define PAWL_REGISTRY_REPAIR_H

#include "registry/registry.h"

struct repair_opts {
    bool accept_loss;
    const char *actor, *reason; /* of the recover entry */
    const struct key *key;      /* signs it where the registry has keys; borrowed, or NULL */
};

/* Repairs the registry in `dir`. *result is repair/1 {done, left, lost}: what was mended, what
 * could not be (lists of {message}), and the lost range {from, to, digest} or null. DAMAGED when
 * entries are lost and that was not accepted (then *result is NULL), or when something is left.
 * REFUSED when the key may not accept a loss. NOT_FOUND, IO. */
enum code registry_repair(const char *dir, json_t **result, const struct repair_opts *opts,
                          struct err *err);

#endif
