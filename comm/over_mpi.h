/* A comm over MPI: one thread makes all MPI calls, the caller's thread watches it.
 *
 * Each exchange is posted to the comm thread, which starts it, polls it, and between exchanges
 * answers ranks that ask where this one stands. The caller waits with a time limit. When it passes,
 * all ranks are asked, the one that is behind (or silent) is named, the last exchanges are written
 * to a file, and the comm is broken: comm_close then aborts, and kills where the abort hangs. */
#ifndef PAWL_COMM_OVER_MPI_H
#define PAWL_COMM_OVER_MPI_H

#include "comm/comm.h"
#include "comm/mpi_module.h"

struct over_mpi_opts {
    double floor_s; /* shortest time limit; 0: 30 s. The limit is this or 5 x the longest wait */
    /* Where rank-NNNN.json goes when the limit passes; NULL: nowhere. Kept by the caller. */
    const char *report_dir;
    /* Whether this process was told to end (SIGTERM): a wait then lasts at most 5 s, or 5 x the
     * longest, since who sent it may have lost a rank. NULL: never. */
    bool (*ending)(void);
};

/* Loads the MPI module, initialises MPI and connects. NOT_FOUND without the module, DEVICE when MPI
 * fails. `comm` is zeroed on failure. */
enum code comm_over_mpi(struct comm *comm, const struct over_mpi_opts *opts, struct err *err);

/* The same over these calls (copied): what a test brings in place of the module's. */
enum code comm_over_calls(struct comm *comm, const struct mpi_calls *calls,
                          const struct over_mpi_opts *opts, struct err *err);

#endif
