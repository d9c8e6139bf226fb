/* Ranks and what they do together.
 *
 * A `comm` is alone (one rank; MPI is never initialised), over MPI (comm/over_mpi.h), or made by a
 * test from threads. A backend only moves bytes; every sum is made here, in a fixed binary tree
 * over the ranks' contributions in rank order. So the bits depend on neither the library's choice
 * of algorithm nor timing, and all ranks get the same ones: each part is summed by one rank.
 *
 * Every function but the queries is collective: all ranks call the same ones in the same order with
 * the same sizes. A failure to do so together (a peer gone, a time limit) is DEVICE; the comm is
 * then broken, and every later call fails with the same message. */
#ifndef PAWL_COMM_COMM_H
#define PAWL_COMM_COMM_H

#include "base/arena.h"

struct comm;
struct rank_mark; /* comm/mpi_module.h */

/* What an implementation brings; `bytes` is what goes to (or comes from) each rank. */
struct comm_backend {
    enum code (*all_to_all)(struct comm *comm, void *out, const void *in, size_t bytes,
                            struct err *err);
    enum code (*all_gather)(struct comm *comm, void *out, const void *in, size_t bytes,
                            struct err *err);
    enum code (*broadcast)(struct comm *comm, void *data, size_t bytes, int root, struct err *err);
    enum code (*barrier)(struct comm *comm, struct err *err);
    void (*close)(struct comm *comm);
    /* For a watch, from any thread; NULL where ranks cannot be asked. tell: what to answer, the
     * number of collectives that this rank's device has begun. ask: fills marks [size]; false when
     * that is not possible now. */
    void (*tell)(struct comm *comm, uint64_t device_begun);
    bool (*ask)(struct comm *comm, struct rank_mark *marks);
};

struct comm {
    int rank, size;
    int local_rank, local_size;         /* among those of this machine */
    int processors;                     /* this rank's share of the machine's */
    double patience_s;                  /* waits may last this long in any case; 0: as learned */
    const struct comm_backend *backend; /* NULL: alone */
    void *state;                        /* the backend's */
    void *stage;                        /* two halves of comm_stage_bytes; NULL: alone */
    size_t stage_bytes;                 /* of one half */
};

enum comm_type { COMM_F32, COMM_F64, COMM_I64, COMM_BF16 /* reduced as f32, rounded once */ };
enum comm_op { COMM_SUM, COMM_MAX };

/* One rank, with the processors that the process may run on. */
void comm_alone(struct comm *comm);

/* Takes the staging memory for a backend: for implementations; `bytes` 0 is 1 MiB a half. */
enum code comm_take_stage(struct comm *comm, size_t bytes, struct err *err);

/* Ends it. Over MPI: all ranks meet, then MPI is finalized; a broken one is aborted, and where that
 * hangs the process is killed. Accepts zeroes. */
void comm_close(struct comm *comm);

/* Replaces `data` [count] on every rank by the sum or maximum over all ranks, equal bits
 * everywhere. A maximum with a NaN is a NaN. */
enum code comm_all_reduce(struct comm *comm, void *data, int64_t count, enum comm_type type,
                          enum comm_op op, struct err *err);

/* The same for `in` [size, count], of which this rank receives its part, `out` [count]. */
enum code comm_reduce_scatter(struct comm *comm, void *out, const void *in, int64_t count,
                              enum comm_type type, enum comm_op op, struct err *err);

/* Sums f32 arrays of which every rank has `leaves` many, [count] each, into `out` [count] on every
 * rank: a binary tree over all of them in the order (rank, leaf), so that the same leaves give the
 * same bits however ranks share them. `out` may be one of this rank's leaves; leaves are scratch
 * afterwards. */
enum code comm_sum_leaves(struct comm *comm, float *out, float *const *leaf, int leaves,
                          int64_t count, struct err *err);

/* `out` [size, bytes] holds every rank's `in` [bytes]; all_to_all: rank r's part for this rank.
 * At most 1 GiB in all. Pieces of `in` and `out` must not overlap. */
enum code comm_all_gather(struct comm *comm, void *out, const void *in, size_t bytes,
                          struct err *err);
enum code comm_all_to_all(struct comm *comm, void *out, const void *in, size_t bytes,
                          struct err *err);

/* Rank `root`'s bytes become everybody's; any size. */
enum code comm_broadcast(struct comm *comm, void *data, size_t bytes, int root, struct err *err);

/* Returns when all have called it. */
enum code comm_barrier(struct comm *comm, struct err *err);

/* `flags` becomes the OR of all ranks' flags. */
enum code comm_agree(struct comm *comm, uint32_t *flags, struct err *err);

#endif
