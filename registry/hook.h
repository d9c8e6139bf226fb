/* Programs that are told: after channels moved, and after a deployment was swapped in.
 *
 * Hooks are the executable files of a folder that belongs to whoever runs them, never of the
 * registry, which others may write to. They follow the journal: DIR/spool/<registry>.json says up
 * to which entry moves were spooled; each later promote and rollback, by whomever, becomes one file
 * per hook in DIR/spool/ before any hook runs. A hook gets the entry on its standard input; its
 * file goes when it exits with 0 and is tried again otherwise, so it is called at least once, in
 * the order of the journal. */
#ifndef PAWL_REGISTRY_HOOK_H
#define PAWL_REGISTRY_HOOK_H

#include "registry/registry.h"

enum { HOOK_TIMEOUT_S = 60 };

struct hook_opts {
    const char *dir;
    char *const *environment; /* for the programs */
    int64_t after; /* a folder that was never used begins behind this entry; -1: behind the last */
    int timeout_s; /* 0: HOOK_TIMEOUT_S */
};

/* Spools what moved since the last time and calls the hooks. *result is hooks/1 {spooled, called,
 * failed: [{hook, seq, reason}], pending}. A hook that fails is no failure. DAMAGED (journal,
 * state), NOT_FOUND (folder), IO. */
enum code registry_hooks(struct registry *registry, json_t **result, const struct hook_opts *opts,
                         struct err *err);

struct command_run {
    const char *const *args; /* NULL-terminated, args[0] is the path */
    const char *input;       /* a file for standard input; NULL: empty */
    char *const *environment;
    int timeout_s;
};

/* Runs a program to its end, its output on standard error; it is ended with its children when it
 * takes too long. HOPELESS says how it failed; IO when it could not be started. */
enum code command_run(const struct command_run *run, struct err *err);

#endif
