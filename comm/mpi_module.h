/* The MPI module: pawl_mpi.so, loaded when ranks are asked for.
 *
 * Only comm/mpi includes mpi.h. The module's entry fills a table of functions, all of which are
 * called by one thread (MPI_THREAD_FUNNELED). They start one collective and look after it; sums,
 * time limits and naming who is late are pawl's own, in comm/comm.c and comm/over_mpi.c. */
#ifndef PAWL_COMM_MPI_MODULE_H
#define PAWL_COMM_MPI_MODULE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define MODULE_MPI_FILE  "pawl_mpi.so"
#define MODULE_MPI_ENTRY "pawl_mpi_open"

enum { MPI_LIBRARY_TEXT = 160 };

struct mpi_place {
    int rank, size, local_rank, local_size;
    int processors; /* of this machine that its ranks may run on, divided among them; at least 1 */
};

enum exchange { EXCHANGE_NONE, ALL_TO_ALL, ALL_GATHER, BROADCAST, BARRIER, EXCHANGE_COUNT };

struct exchange_request {
    enum exchange what;
    void *out; /* BROADCAST: data in and out */
    const void *in;
    size_t bytes; /* to or from each rank */
    int root;
};

/* Where a rank stands; what it answers when another asks. */
struct rank_mark {
    uint64_t begun;  /* exchanges begun */
    uint32_t what;   /* the one it is in, or EXCHANGE_NONE: it computes */
    uint32_t heard;  /* 0 in an answer that never came */
    uint64_t device; /* collectives that its device has begun (comm/on_device.h) */
};

struct mpi_calls {
    char made_with[MPI_LIBRARY_TEXT];
    void *state;
    /* Initialises MPI; `place` says who this is. DEVICE. */
    enum code (*init)(struct mpi_calls *calls, struct mpi_place *place, struct err *err);
    /* Starts an exchange; asks whether it is done. One at a time. DEVICE. */
    enum code (*begin)(struct mpi_calls *calls, const struct exchange_request *request,
                       struct err *err);
    enum code (*test)(struct mpi_calls *calls, bool *done, struct err *err);
    /* Answers those who asked where this rank stands; never waits. */
    void (*answer)(struct mpi_calls *calls, const struct rank_mark *mine);
    /* Asks all; `marks` [size] is filled with what comes within `seconds`. */
    void (*ask)(struct mpi_calls *calls, struct rank_mark *marks, const struct rank_mark *mine,
                double seconds);
    /* Ends all ranks, this one included; may hang. */
    void (*abort)(struct mpi_calls *calls);
    enum code (*finalize)(struct mpi_calls *calls, struct err *err);
};

/* What both sides must agree on. */
struct mpi_contract {
    const char *version; /* of pawl */
    uint32_t calls, request, mark, err;
};

/* This side's contract. */
static inline struct mpi_contract mpi_contract_here(void)
{
    return (struct mpi_contract){ .version = PAWL_VERSION,
                                  .calls = sizeof(struct mpi_calls),
                                  .request = sizeof(struct exchange_request),
                                  .mark = sizeof(struct rank_mark),
                                  .err = sizeof(struct err) };
}

/* The entry: fills `calls` and its `made_with`, initialises nothing. USAGE when the contracts
 * differ. */
typedef enum code module_mpi_open(struct mpi_calls *calls, const struct mpi_contract *contract,
                                  struct err *err);

/* Loads the module and calls its entry. NOT_FOUND without the module, DEVICE when the MPI library
 * cannot be loaded, USAGE when it is of another build. */
enum code mpi_module_load(struct mpi_calls *calls, struct err *err);

#endif
