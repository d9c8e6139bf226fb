/* Cutting the gradient arena into buckets, so that ranks sum one while backward makes the next.
 *
 * A bucket is a contiguous part of the arena together with the node after which nothing writes it
 * any more. Segments stand about in the order in which backward completes them (model/params.h); a
 * parameter that is used twice completes with its last use, wherever it stands. */
#ifndef PAWL_MODEL_BUCKET_H
#define PAWL_MODEL_BUCKET_H

#include "model/params.h"

struct bucket {
    int64_t first, count; /* numbers of the arena */
    int after;            /* index of the node that completes it */
};

struct bucket_opts {
    size_t bytes; /* from this size on a bucket is closed; 0: 25 MiB */
    int ranks;    /* sizes are multiples of ranks * 16 bytes */
};

/* The last node that writes the gradient of each segment of params' table: `complete` has room for
 * all. 0 where no node does: that part stays as it is. */
void bucket_completion(int *complete, const struct graph *graph, const struct params *params);

/* Cuts: buckets in arena order, the first at 0, each beginning where the one before ends, closed at
 * the first end of a segment that makes it large enough; then down to a multiple, so that a few
 * numbers of that segment may fall to the next bucket. The last goes up to a multiple, beyond the
 * table's size. A pure function of its arguments; returns how many there are (arena). */
int bucket_cut(struct bucket **buckets, const struct segments *segments, const int *complete,
               const struct bucket_opts *opts, struct arena *arena);

#endif
