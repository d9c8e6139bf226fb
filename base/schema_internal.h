/* Inside the schema engine: how a document becomes an effective tree.
 *
 * compose (schema_load) reads each file and *shapes* it by the tables (schema_shape: unknown keys
 * go, choices get one shape), so that *merge* (schema_merge) knows what is a choice; overrides are
 * shaped and merged like one more file (schema_override). Then defaults are filled in, references
 * are put in place (schema_substitute) and values are checked (schema_check). Every step adds
 * problems and goes on; a node with a problem is `broken` and is not complained about twice. */
#ifndef PAWL_BASE_SCHEMA_INTERNAL_H
#define PAWL_BASE_SCHEMA_INTERNAL_H

#include "base/schema.h"

/* One load of a document. */
struct load {
    struct arena *arena;
    struct problems *problems;
    const struct kind *kind; /* what the first file says it is; decides which table is used */
    bool fragment;           /* a part alone: nothing required, no defaults */
    bool incomplete;         /* a file could not be read or parsed: what is missing is not known */
    const char *path;        /* of the first file */
    struct mark kind_mark;   /* of its first key */
    const struct document_opts *opts;
    struct node *root;  /* the tree so far */
    struct node *file;  /* the file being shaped, for suggestions */
    size_t substituted; /* bytes put in place of ${...}, limited like a file */
    int files;
};

/* The way to a value from the root; lives on the C stack. */
struct trail {
    const struct trail *up;
    const char *key; /* NULL: item `index` of a list */
    size_t index;
};

/* "train.optimizer.adamw" (NULL and the root: ""); "'epochs'" or "'layers.2'" for messages. */
const char *trail_path(struct arena *arena, const struct trail *trail);
const char *trail_subject(struct arena *arena, const struct trail *trail);

/* The row of a key, or NULL. `fields` may be NULL. */
const struct field *field_find(const struct field *fields, const char *key);

/* The alternative that a shaped choice node holds. */
const struct choice *node_alternative(const struct node *node);

/* Whether the row holds one scalar. */
bool field_is_scalar(const struct field *field);

/* The default of a row as YAML text, with `{}` for a map that is there by its rows' defaults. */
const char *field_fallback(const struct field *field);

/* "a whole number", "a time such as 30s or 2h", ... */
const char *field_expects(struct arena *arena, const struct field *field);

/* "at least 1", "above 0 and at most 10 ep"; NULL when any value is allowed. */
const char *field_range(struct arena *arena, const struct field *field);

/* NULL-terminated names, sorted; joined with ", " behind a prefix. */
const char **field_names(struct arena *arena, const struct field *fields);
const char **choice_names(struct arena *arena, const struct choice *choices);
const char *names_joined(struct arena *arena, const char *prefix, const char *const *names);

/* Problems about names, with nearest, allowed and where else the name is known. Return the name
 * that was probably meant, or NULL. */
const char *unknown_key(struct load *load, struct mark mark, const struct field *fields,
                        const struct trail *trail, const char *key);
const char *unknown_choice(struct load *load, struct mark mark, const struct choice *choices,
                           const struct trail *trail, const char *name);

/* Up to `size` dotted sections below `fields` that know `key` (as key or alternative); the
 * count. */
int sections_with(struct arena *arena, const char **sections, int size, const struct field *fields,
                  const char *key);

/* Adds where the value came from, when it replaced another. Returns `problem`. */
struct problem *with_origin(struct load *load, struct problem *problem, const struct node *node);

/* "base.yaml:12", "--set" or "default". */
const char *place_text(struct arena *arena, struct mark mark);

/* Brings a raw tree into the shape of its row; unknown keys are reported and unlinked. */
void shape_map(struct load *load, struct node *node, const struct field *fields,
               const struct trail *trail);
void shape_value(struct load *load, struct node *node, const struct field *field,
                 const struct trail *trail);

/* Lays `from` over `into`; both shaped. merge_map is for the members of the root or of options. */
void merge_map(struct load *load, struct node *into, struct node *from);
void merge_value(struct load *load, struct node *into, struct node *from);

/* Applies --unset and --set to load->root. */
void apply_overrides(struct load *load);

/* Fills in defaults and reports missing keys; checks all values (after substitution). */
void fill_map(struct load *load, struct node *map, const struct field *fields,
              const struct trail *trail);
void check_map(struct load *load, struct node *map, const struct trail *trail);

/* Replaces ${env:} and ${ref:} in the whole tree; ${env:} alone in one scalar. */
void substitute_tree(struct load *load, struct node *root);
void substitute_environment(struct load *load, struct node *node);

/* The path without links in its directories, "." and "..", from the root of the file system. */
const char *path_absolute(struct arena *arena, const char *path);

/* The path `to` as it reads from directory `dir` (both relative to the working directory). */
const char *path_from(struct arena *arena, const char *dir, const char *to);

/* What of a value counts: a row's effect under that of what holds it. */
enum affects effect_below(enum affects above, const struct field *field);

#endif
