/* Arenas as a list of chunks that grow geometrically, and the one counted allocator under them. */
#include "base/arena.h"

#include "base/poison.h"

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

_Noreturn void memory_refused(size_t size)
{
    fprintf(stderr, "pawl: out of memory: the system refused %zu bytes\n", size);
    abort();
}

static struct arena_chunk *chunk_new(size_t size)
{
    atomic_fetch_add(&allocations, 1);
    size_t header = round_up(sizeof(struct arena_chunk), ARENA_ALIGN);
    struct arena_chunk *chunk = calloc(1, header + size);
    if (!chunk) memory_refused(header + size);
    chunk->size = size;
    memory_forbid((char *)chunk + header, size);
    return chunk;
}

void *arena_take(struct arena *arena, size_t size)
{
    REQUIRE(size < SIZE_MAX / 2);
    size_t asked = size;
    size = round_up(size ? size : 1, ARENA_ALIGN) + POISON_GAP;
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
    memory_allow(at, asked);
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

/* Blocks from this size on are aligned to and asked to live in large pages: tensors are streamed,
 * and with small pages address translation costs up to half the time. */
enum { HUGE_PAGE = 2 << 20, HUGE_FROM = 8 << 20 };

static bool told_to_fail(void)
{
    uint_fast64_t left = atomic_load(&fail_countdown);
    while (left && !atomic_compare_exchange_weak(&fail_countdown, &left, left - 1)) {}
    return left == 1;
}

/* What lies just before a block: where the system's allocation begins. */
struct block_header {
    void *start;
};

/* calloc hands out untouched zero pages for large sizes, so memory that a run never reaches
 * (another program's activations) costs nothing. */
enum code block_alloc(void **block, size_t size, const char *what, struct err *err)
{
    *block = NULL;
    atomic_fetch_add(&allocations, 1);
    bool huge = size >= HUGE_FROM;
    size_t align = huge ? HUGE_PAGE : BLOCK_ALIGN, used = round_up(size ? size : 1, align);
    size_t room = used + align + BLOCK_ALIGN;
    char *start = NULL;
    if (used >= size && room > used && !told_to_fail()) start = calloc(1, room);
    if (!start)
        return err_set(err, NO_MEMORY, "cannot allocate %s: %zu bytes refused by the system", what,
                       size);
    struct block_header header = { .start = start };
    char *at = start + sizeof header;
    at += (align - (uintptr_t)at % align) % align;
    memcpy(at - sizeof header, &header, sizeof header);
    /* Only a wish: where the system has no large pages, small ones serve. */
    if (huge) madvise(at, used, MADV_HUGEPAGE);
    memory_forbid(at + used, room - used - (size_t)(at - start));
    *block = at;
    return OK;
}

void block_free(void *block)
{
    if (!block) return;
    struct block_header header;
    memcpy(&header, (char *)block - sizeof header, sizeof header);
    free(header.start);
}

uint64_t memory_allocations(void)
{
    return atomic_load(&allocations);
}

void memory_fail_after(uint64_t n)
{
    atomic_store(&fail_countdown, n);
}
