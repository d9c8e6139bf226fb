/* The SHA-256 tree over a dataset's file: one leaf per block of 1 MiB, the root over all leaves.
 *
 * A block is read and hashed whole the first time that something in it is needed; an atomic bitmap
 * remembers it. Two threads may hash the same block at once, which costs time and changes
 * nothing. */
#ifndef PAWL_DATASET_BLOCKS_H
#define PAWL_DATASET_BLOCKS_H

#include "base/arena.h"
#include "base/digest.h"

#include <stdbool.h>
#include <stdint.h>

enum { BLOCK_BYTES = 1 << 20 };

struct blocks;

/* How many blocks a file of that size has (an empty file has none). */
uint64_t blocks_count(uint64_t bytes);

/* Hashes a whole file into `leaf[blocks_count(bytes)]`. IO, or DAMAGED when it is shorter. */
enum code blocks_hash(struct digest *leaf, int fd, uint64_t bytes, const char *path,
                      struct err *err);

/* The root: SHA-256 of the leaves' bytes in order. */
struct digest blocks_root(const struct digest *leaf, uint64_t count);

/* Nothing is verified yet. `leaf` and `path` must outlive the result, which lives in the arena. */
struct blocks *blocks_new(struct arena *arena, int fd, uint64_t bytes, const char *path,
                          const struct digest *leaf);

/* Verifies the blocks that hold bytes [at, at + len) unless that was done before. Safe from several
 * threads. DAMAGED fills `bad` (may be NULL) with the block's number. */
enum code blocks_touch(struct blocks *blocks, uint64_t at, uint64_t len, uint64_t *bad,
                       struct err *err);

/* Whether there is nothing left to verify. */
bool blocks_done(const struct blocks *blocks);

/* Takes all blocks as verified; takes none as verified. */
void blocks_trust(struct blocks *blocks);
void blocks_forget(struct blocks *blocks);

#endif
