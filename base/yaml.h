/* YAML trees that remember where every value was written.
 *
 * libyaml hands over text; what it means is decided in base/schema.h. Limits come before parsing:
 * 1 MiB, 64 levels, 100,000 nodes, 64 KiB per scalar. Tags, anchors, aliases, tabs, NUL, other
 * control characters, non-UTF-8, duplicate keys, keys and items without a value and second
 * documents are refused with position and reason. */
#ifndef PAWL_BASE_YAML_H
#define PAWL_BASE_YAML_H

#include "base/arena.h"
#include "base/err.h"
#include "base/problem.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    YAML_BYTES = 1 << 20,    /* largest file */
    YAML_LEVELS = 64,        /* deepest nesting of maps and lists */
    YAML_NODES = 100000,     /* most values, keys not counted */
    YAML_SCALAR = 64 * 1024, /* longest scalar, in bytes */
};

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

struct field; /* base/schema.h */

/* One value. Children of a map carry their key. Arena-owned, immutable once loaded. */
struct node {
    enum node_kind kind;
    const char *key;      /* in a map: the key; otherwise NULL */
    struct mark key_mark; /* where the key stands */
    struct mark mark;     /* where the value stands */
    const char *text;     /* scalar text; NULL for maps and lists */
    bool quoted;          /* 'text' or "text": never a number, boolean or null */
    bool is_default;      /* filled in from a table, not written by anyone */
    bool broken;          /* a problem was reported here: nothing more is said about it */
    bool resolved; /* ${...} in `text` was put in place: what it says now is not looked at again */
    const char *overrides; /* "set in base.yaml:12" of the value that this one replaced, or NULL */
    const struct field *field; /* the row that describes it; NULL before a schema saw it */
    const char *base; /* FIELD_PATH, FIELD_REF: the directory that a relative path starts from */
    struct node *first, *next; /* children, siblings */
    size_t count;              /* number of children */
};

/* Parses one file (or `text` named `name`). On failure `err` has message, hint and position of the
 * first problem: CONFIG, or NOT_FOUND and IO for a file that cannot be read. */
enum code yaml_read(struct node **root, struct arena *arena, const char *path, struct err *err);
enum code yaml_parse(struct node **root, struct arena *arena, const char *text, size_t len,
                     const char *name, struct err *err);

/* Like yaml_parse, and collects every problem. Where reading could go on after them, *root is the
 * tree without duplicate keys and with `broken` nodes; otherwise it is NULL. */
void yaml_collect(struct node **root, struct problems *problems, const char *text, size_t len,
                  const char *name);

/* The child with this key, or NULL. */
struct node *node_child(const struct node *map, const char *key);

#endif
