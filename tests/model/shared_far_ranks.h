/* Far devices as ranks: their collectives go over a comm, so they give the bits of its sums. */
#ifndef PAWL_TESTS_MODEL_SHARED_FAR_RANKS_H
#define PAWL_TESTS_MODEL_SHARED_FAR_RANKS_H

#include "comm/comm.h"
#include "kernels/device.h"

struct far_ranks;

/* Makes the far device one of `ranks`. `late`: a collective is done only when a join needs it,
 * otherwise as soon as it may; `recorded`: recordings may hold collectives. Close before the
 * device. */
enum code far_ranks_open(struct far_ranks **ranks, struct device *far, int size, bool late,
                         bool recorded, struct err *err);
void far_ranks_close(struct far_ranks *ranks);

/* What the collectives go over; to be given before the first one is done. */
void far_ranks_over(struct far_ranks *ranks, struct comm *comm);

struct far_ranks_counts {
    int started;  /* groups handed to the device, one by one */
    int replayed; /* groups told of with replays */
    int done, joins;
};
struct far_ranks_counts far_ranks_counts(const struct far_ranks *ranks);

#endif
