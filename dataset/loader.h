/* Loader: batches of raw rows in an order that is a pure function of (seed, epoch, index).
 *
 * Prefetch threads fill a ring of buffers with pread; the position is two integers, so resuming is
 * O(1) and the order does not depend on threads or ranks. All memory is taken at open: depth + 1
 * batches, and the targets of the whole split when they are at most 64 MiB. Padding has ordinal
 * 0. */
#ifndef PAWL_DATASET_LOADER_H
#define PAWL_DATASET_LOADER_H

#include "dataset/dataset.h"

struct loader_opts {
    const char *split;
    int64_t batch; /* rows per batch, of all ranks together */
    int64_t first; /* this rank delivers rows [first, first + rows) of every batch */
    int64_t rows;  /* 0: to the batch's end */
    uint64_t seed;
    bool shuffle;  /* else in file order */
    bool pad_last; /* deliver the last short batch, padded with row 0; else drop it */
    int threads;   /* prefetch threads; 0: 1 */
    int depth;     /* batches in flight; 0: 4 */
};

struct batch {
    const void *input;      /* [rows, ...] as stored */
    const void *target;     /* [rows] i32 labels or [rows, targets] f32 */
    const int64_t *ordinal; /* [rows] row numbers in the split */
    int64_t valid;          /* of these rows are real; the rest is padding */
    uint64_t epoch, index;  /* position of this batch: index counts batches within the epoch */
};

struct loader; /* opaque */

/* Opens at (epoch 0, index 0). `*loader` is closed by loader_close, which accepts NULL. The dataset
 * must outlive it. USAGE when the split is missing or smaller than one batch (with pad_last:
 * empty). */
enum code loader_open(struct loader **loader, const struct dataset *dataset,
                      const struct loader_opts *opts, struct err *err);
void loader_close(struct loader *loader);

/* Bytes of the buffers that the loader took: ring of batches and held targets. */
uint64_t loader_bytes(const struct loader *loader);

/* Batches in one epoch. */
uint64_t loader_batches(const struct loader *loader);

/* Goes to a position; what was prefetched is dropped. */
void loader_seek(struct loader *loader, uint64_t epoch, uint64_t index);

/* The next batch, across epoch ends without pause. Valid until the next call. DAMAGED or IO from
 * the prefetch threads come out here, in the order of batches, with file, block and rows; the same
 * one comes out again until loader_seek. */
enum code loader_next(struct loader *loader, struct batch *batch, struct err *err);

#endif
