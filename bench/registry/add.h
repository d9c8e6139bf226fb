/* How fast content goes in, beside cp and sha256sum. For bench/registry.c. */
#ifndef PAWL_BENCH_REGISTRY_ADD_H
#define PAWL_BENCH_REGISTRY_ADD_H

#include "registry/registry.h"

/* Puts a file of `mebibytes` into the registry's store, and adds a checkpoint with one layer of
 * that size; prints both beside `tee COPY | sha256sum` and `cp; sha256sum` over the same bytes,
 * each fsynced, in one run. `dir` takes the files. */
void time_add(struct registry *registry, const char *dir, int mebibytes);

#endif
