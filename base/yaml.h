/* YAML trees that remember where every value was written.
 *
 * libyaml hands over text; what it means is decided in base/schema.h. Limits come before parsing:
 * 1 MiB, 64 levels, 100,000 nodes, 64 KiB per scalar. Tags, aliases, tabs, NUL, non-UTF-8,
 * duplicate keys and empty mappings are refused with position and reason. */
#ifndef PAWL_BASE_YAML_H
#define PAWL_BASE_YAML_H

#include "base/arena.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

/* Where a value was written. line 0: not in a file (`file` is then "--set" or "default"). */
struct mark {
    const char *file;
    int line, column; /* from 1 */
    int width;        /* columns that a caret line underlines, at least 1 */
};

enum node_kind { NODE_SCALAR, NODE_MAP, NODE_LIST };

/* One value. Children of a map carry their key. Arena-owned, immutable once loaded. */
struct node {
    enum node_kind kind;
    const char *key;       /* in a map: the key; otherwise NULL */
    struct mark key_mark;  /* where the key stands */
    struct mark mark;      /* where the value stands */
    const char *text;      /* scalar text; NULL for maps and lists */
    bool quoted;           /* 'text' or "text": never a number, boolean or null */
    bool is_default;       /* filled in from a table, not written by anyone */
    const char *overrides; /* "set in base.yaml:12" of the value that this one replaced, or NULL */
    struct node *first, *next; /* children, siblings */
    size_t count;              /* number of children */
};

/* Parses one file (or `text` named `name`). On failure `err` has message, hint and position. */
enum code yaml_read(struct node **root, struct arena *arena, const char *path, struct err *err);
enum code yaml_parse(struct node **root, struct arena *arena, const char *text, size_t len,
                     const char *name, struct err *err);

/* The child with this key, or NULL. */
struct node *node_child(const struct node *map, const char *key);

#endif
