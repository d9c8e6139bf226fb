/* Which rows of every batch a rank computes, and in what pieces.
 *
 * A batch of `train.batch` rows is cut into `train.shards` logical shards. Where their number is a
 * multiple of the ranks, each rank computes whole shards, one after the other at one shape; that is
 * what makes results independent of the number of ranks. Where it is not, and no op couples rows,
 * each rank takes an equal run of rows. */
#ifndef PAWL_TRAINER_SHARE_H
#define PAWL_TRAINER_SHARE_H

#include "trainer/experiment.h"

struct share {
    int64_t first, rows; /* of each batch */
    int shards;          /* the whole batch is computed in so many pieces */
    int groups;          /* how many of them are this rank's */
    int64_t group_rows;  /* of each; rows = groups * group_rows */
    int64_t micro;       /* rows computed at a time; divides group_rows */
    bool apart;          /* gradients of each are kept apart until all ranks' are summed (world) */
};

/* Cuts. `couples`: an op of the model takes statistics over rows. A pure function of its arguments.
 * CONFIG, with the value to set, when the ranks cannot share the shards or the rows equally. */
enum code share_of(struct share *share, const struct experiment *experiment, int rank, int ranks,
                   bool couples, struct err *err);

#endif
