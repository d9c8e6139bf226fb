/* What the far device puts off or records, in the order of the calls: of shared_far.c alone. */
#ifndef PAWL_TESTS_KERNELS_FAR_LIST_H
#define PAWL_TESTS_KERNELS_FAR_LIST_H

#include "kernels/device.h"

#include <stdlib.h>

/* An act, a copy (`to`), or a run. */
struct item {
    struct item *next;
    enum code (*act)(void *context, struct err *err);
    void *context;
    struct op_call call;
    void *to;
    const void *from;
    size_t size;
    void *data; /* owned bytes that `from` points to, or NULL */
};

struct list {
    struct item *first, **end;
};

static inline void list_open(struct list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

static inline void list_close(struct list *list)
{
    while (list->first) {
        struct item *item = list->first;
        list->first = item->next;
        free(item->data);
        free(item);
    }
}

static inline struct item *list_add(struct list *list, const struct item *from)
{
    struct item *item = malloc(sizeof *item);
    REQUIRE(item);
    *item = *from;
    item->next = NULL;
    *list->end = item;
    list->end = &item->next;
    return item;
}

#endif
