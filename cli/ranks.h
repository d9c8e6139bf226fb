/* `pawl train --ranks N`: this process starts mpirun, stays its parent, and answers for the ranks.
 *
 * mpirun's own way with signals and exit codes loses both: SIGTERM to it kills the ranks within a
 * second, and what it exits with is not what they said. So the parent turns a request to stop into
 * SIGUSR1, which mpirun hands on, and each rank leaves its code in a file that the parent reads. */
#ifndef PAWL_CLI_RANKS_H
#define PAWL_CLI_RANKS_H

#include "cli/command.h"

/* Runs this command on `ranks` ranks of this machine and waits for them; the result is rank 0's.
 * NOT_FOUND without mpirun; DEVICE when a rank ended without a word; STOPPED. */
enum code ranks_run(struct invocation *in, int ranks, struct err *err);

/* For a rank: whether such a parent listens. */
bool ranks_have_parent(const struct invocation *in);

/* For a rank with a parent: says that it can be asked to stop from now on. */
enum code ranks_say_started(const struct invocation *in, int rank, struct err *err);

/* For a rank with a parent: leaves what it came to; `err` says why where `code` is a failure. */
enum code ranks_say_ended(const struct invocation *in, int rank, enum code code,
                          const struct err *why, struct err *err);

#endif
