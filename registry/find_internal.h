/* An expression as a tree of nodes. */
#ifndef PAWL_REGISTRY_FIND_INTERNAL_H
#define PAWL_REGISTRY_FIND_INTERNAL_H

#include "registry/find.h"

enum find_kind { FIND_OR, FIND_AND, FIND_NOT, FIND_COMPARE };
enum find_operator {
    FIND_EQUAL,
    FIND_UNEQUAL,
    FIND_LESS,
    FIND_AT_MOST,
    FIND_MORE,
    FIND_AT_LEAST,
    FIND_CONTAINS
};

struct find_node {
    enum find_kind kind;
    const struct find_node *left, *right; /* right: NULL under NOT */
    const char *field, *value;            /* of a comparison ... */
    enum find_operator op;
    bool is_number; /* the value is one: */
    double number;
    int position, value_position; /* where they stand, from 1 */
    int slot;                     /* of the field, given by whoever binds it */
};

enum { FIND_NODES = 64, FIND_EXPRESSION = 2000 };

struct find_tree {
    struct find_node nodes[FIND_NODES];
    int count;
    const struct find_node *root;
    const char *text;
};

/* Parses; texts go to the arena. USAGE with the position. */
enum code find_parse(struct find_tree *tree, struct arena *arena, const char *text,
                     struct err *err);

/* "cannot search 'TEXT': position N: WHAT". Returns USAGE. */
enum code find_wrong(const char *text, int position, struct err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
