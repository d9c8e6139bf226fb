/* Memory that nobody may touch, where the address sanitizer is there to see it.
 *
 * An arena hands out pieces of one allocation, so the sanitizer alone would take a step beyond a
 * piece for one into the next. With these marks it stops there. Otherwise they do nothing. */
#ifndef PAWL_BASE_POISON_H
#define PAWL_BASE_POISON_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONS 1
#endif
#endif

#ifdef POISONS
#include <sanitizer/asan_interface.h>
enum { POISON_GAP = 16 /* bytes between two pieces that stay forbidden */ };
#else
enum { POISON_GAP = 0 };
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* Forbids `size` bytes. They keep their values and may be freed. */
static inline void memory_forbid(const void *at, size_t size)
{
    ASAN_POISON_MEMORY_REGION(at, size);
}

/* Allows `size` forbidden bytes. */
static inline void memory_allow(const void *at, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(at, size);
}

#endif
