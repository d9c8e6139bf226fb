/* Memory by phase: take as you go, give everything back at once.
 *
 * An arena serves small objects that live as long as a phase (the process, a run, one command).
 * Takes are zeroed, aligned to 16 bytes and never fail: when the system refuses a few kilobytes the
 * process aborts with a message, which is clean because published files are never half written.
 * Large blocks (tensors, column buffers) come from block_alloc, which reports NO_MEMORY. Both go
 * through one counted entry, so that tests can assert that a training step allocates nothing and
 * can make an allocation fail. */
#ifndef PAWL_BASE_ARENA_H
#define PAWL_BASE_ARENA_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *head; /* newest chunk; NULL until the first take */
};

/* Takes `size` zeroed bytes; size 0 gives a valid unique pointer. A zeroed arena is ready to
 * use. */
void *arena_take(struct arena *arena, size_t size);

/* Takes `count` objects of `size` zeroed bytes; a product that overflows is a bug. */
void *arena_array(struct arena *arena, size_t count, size_t size);

/* Copies a string, or `len` bytes and a final NUL. */
char *arena_copy(struct arena *arena, const char *text);
char *arena_copy_len(struct arena *arena, const void *bytes, size_t len);

/* Formats into the arena. */
char *arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Gives everything back. The arena can be used again. A zeroed arena is accepted. */
void arena_release(struct arena *arena);

#define ARENA_NEW(arena, type) ((type *)arena_take((arena), sizeof(type)))
#define ARENA_ARRAY(arena, count, type)                                                            \
    ((type *)arena_array((arena), (size_t)(count), sizeof(type)))

/* Allocates one large zeroed block aligned to 128 bytes (size rounded up to 128).
 * Fails with NO_MEMORY; `what` names the block in the message. block_free accepts NULL. */
enum code block_alloc(void **block, size_t size, const char *what, struct err *err);
void block_free(void *block);

/* Says that the system refused `size` bytes and aborts: the end of every small allocation that
 * fails. */
__attribute__((noreturn)) void memory_refused(size_t size);

/* Number of allocations made by pawl's own code since the process began (all threads). */
uint64_t memory_allocations(void);

/* Makes the n-th next block_alloc fail (1 = the next one; 0 = none). For tests. */
void memory_fail_after(uint64_t n);

#endif
