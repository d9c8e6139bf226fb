/* Taking away content that no entry names, while others add.
 *
 * The order: read what the journal reaches and who holds what → rename candidates to trash/ →
 * read again at once, and again after a wait → give back what is named or held now, remove the
 * rest. A writer holds content before it looks for it (store.h), so what it saw is given back, and
 * what it did not see it puts anew. A collector that ends in the middle leaves content in trash/,
 * where readers still find it and the next one goes on. Ages are measured in the file system's own
 * time, by the file that the collector makes first. Nothing that an entry names is taken, except
 * the weights of a retired version that no other version shares. Runs as the owner. */
#ifndef PAWL_REGISTRY_GC_H
#define PAWL_REGISTRY_GC_H

#include "registry/registry.h"

struct gc_opts {
    int64_t grace_s; /* content, holds and unfinished work that are younger stay */
    double wait_s;   /* between renaming and removing; longer than caches of names live */
    bool dry_run;    /* only say what would be taken */
};

/* *result is gc/1 {content, bytes, restored, young, held, leftovers, dry_run}: what was removed (or
 * would be), given back, left for its age or because somebody holds it, and unfinished work that
 * was cleared away. DAMAGED when the journal is: then nothing is touched. IO. */
enum code registry_gc(struct registry *registry, json_t **result, const struct gc_opts *opts,
                      struct err *err);

#endif
