/* Ranks as threads of one process, for tests: a comm whose backend copies between them. */
#ifndef PAWL_TESTS_COMM_THREADS_H
#define PAWL_TESTS_COMM_THREADS_H

#include "comm/comm.h"

/* Runs `body` on `ranks` threads, each with its comm, and returns when all are done. `stage` is the
 * staging size of each (0: as over MPI; a small one makes many blocks). */
void threads_run(int ranks, size_t stage, void (*body)(struct comm *comm, void *context),
                 void *context);

#endif
