/* Laying one shaped tree over another: later wins.
 *
 * Maps merge, lists and scalars replace. The same alternative of a choice merges its options,
 * another one replaces it. A value that replaces another remembers where that one was set. */
#include "base/schema_internal.h"

#include <string.h>

/* "set in a.yaml:3" or "set in a.yaml:3, overridden by b.yaml:4"; defaults were set by no one. */
static const char *history(struct load *load, const struct node *node)
{
    if (node->is_default) return NULL;
    const char *place = place_text(load->arena, node->mark);
    if (node->overrides)
        return arena_format(load->arena, "%s, overridden by %s", node->overrides, place);
    return arena_format(load->arena, "set %s %s", node->mark.line ? "in" : "by", place);
}

static void replace(struct load *load, struct node *into, const struct node *from)
{
    struct node *next = into->next;
    const char *before = history(load, into);
    *into = *from;
    into->next = next;
    /* "set in a, overridden by b" and "set in c" join to one story; both begin with seven
     * letters. */
    if (before && from->overrides)
        into->overrides = arena_format(load->arena, "%s, overridden by %s", before,
                                       from->overrides + 7);
    else if (before)
        into->overrides = before;
}

/* The later file is the one that people look at for what is missing; an option is no such place. */
static void take_marks(struct node *into, const struct node *from)
{
    if (!from->mark.line && into->mark.line) return;
    into->mark = from->mark;
    into->key_mark = from->key_mark;
    into->is_default = into->is_default && from->is_default;
}

void merge_map(struct load *load, struct node *into, struct node *from)
{
    struct node *last = into->first;
    while (last && last->next) last = last->next;
    struct node *next;
    for (struct node *child = from->first; child; child = next) {
        next = child->next;
        struct node *old = node_child(into, child->key);
        if (old) {
            merge_value(load, old, child);
            continue;
        }
        child->next = NULL;
        if (last)
            last->next = child;
        else
            into->first = child;
        last = child;
        into->count++;
    }
    take_marks(into, from);
}

void merge_value(struct load *load, struct node *into, struct node *from)
{
    enum field_type type = from->field->type;
    bool whole = into->broken || from->broken || (type != FIELD_MAP && type != FIELD_CHOICE);
    if (whole) {
        replace(load, into, from);
    } else if (type == FIELD_MAP) {
        merge_map(load, into, from);
    } else if (strcmp(into->first->key, from->first->key) == 0) {
        merge_map(load, into->first, from->first);
        take_marks(into, from);
    } else {
        replace(load, into, from);
    }
}
