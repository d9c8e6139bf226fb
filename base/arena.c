/* Arenas as a list of chunks that grow geometrically, and the one counted allocator under them. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CHUNK_FIRST = 8192, CHUNK_LIMIT = 1 << 20, ARENA_ALIGN = 16, BLOCK_ALIGN = 128 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size, used; /* bytes behind this header */
};

_Static_assert(sizeof(struct arena_chunk) % 8 == 0, "payload must stay aligned");

static atomic_uint_fast64_t allocations;
static atomic_uint_fast64_t fail_countdown;

static size_t round_up(size_t size, size_t to)
{
    return (size + to - 1) / to * to;
}

static struct arena_chunk *chunk_new(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    size_t header = round_up(sizeof(struct arena_chunk), ARENA_ALIGN);
    struct arena_chunk *chunk = calloc(1, header + size);
    if (!chunk) {
        fprintf(stderr, "pawl: out of memory: the system refused %zu bytes\n", header + size);
        abort();
    }
    chunk->size = size;
    return chunk;
}

void *arena_take(struct arena *arena, size_t size)
{
    REQUIRE(size < SIZE_MAX / 2);
    size = round_up(size ? size : 1, ARENA_ALIGN);
    struct arena_chunk *head = arena->head;
    if (!head || head->size - head->used < size) {
        size_t next = head ? head->size * 2 : CHUNK_FIRST;
        if (next > CHUNK_LIMIT) next = CHUNK_LIMIT;
        struct arena_chunk *chunk = chunk_new(size > next ? size : next);
        chunk->next = head;
        arena->head = head = chunk;
    }
    char *base = (char *)head + round_up(sizeof *head, ARENA_ALIGN);
    void *at = base + head->used;
    head->used += size;
    return at;
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    REQUIRE(!__builtin_mul_overflow(count, size, &total));
    return arena_take(arena, total);
}

char *arena_copy_len(struct arena *arena, const void *bytes, size_t len)
{
    char *at = arena_take(arena, len + 1);
    if (len) memcpy(at, bytes, len);
    return at;
}

char *arena_copy(struct arena *arena, const char *text)
{
    return arena_copy_len(arena, text, strlen(text));
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    REQUIRE(len >= 0);
    char *at = arena_take(arena, (size_t)len + 1);
    vsnprintf(at, (size_t)len + 1, format, again);
    va_end(again);
    return at;
}

void arena_release(struct arena *arena)
{
    for (struct arena_chunk *chunk = arena->head; chunk;) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    arena->head = NULL;
}

/* Blocks from this size on are aligned to and asked to live in large pages: tensors are streamed, and
 * with small pages address translation costs up to half the time. */
enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 8 << 20 };

static bool told_to_fail(void)
{
    uint_fast64_t left = atomic_load(&fail_countdown);
    while (left && !atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {}
    return left == 1;
}

enum code block_alloc(void **block, size_t size, const char *what, struct err *err)
{
    *block = NULL;
    atomic_fetch_add(&allocations, 1);
    size_t used = round_up(size ? size : 1, BLOCK_ALIGN);
    bool huge = used >= HUGE_FROM && used >= size;
    size_t rounded = huge ? round_up(used, HUGE_PAGE) : used;
    if (rounded >= size && !told_to_fail())
        *block = aligned_alloc(huge ? HUGE_PAGE : BLOCK_ALIGN, rounded);
    /* Only a wish: where the system has no large pages, small ones serve. */
    if (huge && *block) madvise(*block, rounded, MADV_HUGEPAGE);
    if (!*block)
        return err_set(err, NO_MEMORY, "cannot allocate %s: %zu bytes refused by the system", what,
                       size);
    memset(*block, 0, used);
    return OK;
}

void block_free(void *block)
{
    free(block);
}

uint64_t memory_allocations(void)
{
    return atomic_load(&allocations);
}

void memory_fail_after(uint64_t n)
{
    atomic_store(&fail_countdown, n);
}
