/* Tables of keys: one row drives the parser, `config explain`, the JSON Schema, `--set`, the manual
 * and the tests.
 *
 * A room describes its part of a document as `static const struct field` rows. document_load reads
 * a file, composes what it extends, applies overrides, checks everything against the rows and
 * collects *all* problems; what it returns is the effective tree: every row has a value (written or
 * default), choices are in one shape, and each node knows where it came from. */
#ifndef PAWL_BASE_SCHEMA_H
#define PAWL_BASE_SCHEMA_H

#include "base/json.h"
#include "base/problem.h"
#include "base/str.h"
#include "base/units.h"
#include "base/yaml.h"

#include <stdint.h>

enum field_type {
    FIELD_END = 0, /* a zeroed row ends a table */
    FIELD_BOOL,    /* true | false */
    FIELD_INT,     /* 5, 3_000, 10k, 2M (powers of 1000) */
    FIELD_REAL,    /* 0.05, 1e-4; infinities only where `infinite` */
    FIELD_TEXT,    /* any text */
    FIELD_NAME,    /* [a-z0-9][a-z0-9._-]{0,63} */
    FIELD_PATH,    /* relative to the file that states it (or to the working directory for --set) */
    FIELD_BYTES,   /* 64KiB, 8MiB, 4096 -> integer bytes */
    FIELD_TIME,    /* 2ms, 30s, 5min, 2h -> real seconds */
    FIELD_SPAN,    /* 5ep, 500st, 10Mtok, or a bare number in `unit` -> struct span */
    FIELD_WORD,    /* one of `words` */
    FIELD_MAP,     /* a map described by `fields` */
    FIELD_LIST,    /* a list whose items are described by `item` */
    FIELD_CHOICE,  /* NAME or {NAME: {options}}: one of `choices` */
    FIELD_ANY,     /* a scalar of any type (slice predicates); read with node_text and friends */
    FIELD_REF,     /* a model: a path (no '@'), or NAME@7, NAME@CHANNEL, NAME@sha256:... */
};

enum affects {
    AFFECTS_MATH = 0,     /* the numbers: part of the configuration digest */
    AFFECTS_SCHEDULE_END, /* may grow on resume where the schedule permits */
    AFFECTS_PLACE,        /* paths, registry, cadence, threads */
};
/* FIELD_PATH is always a place. A map, list or choice that is no AFFECTS_MATH decides for all that
 * lies below it. */

struct choice;

struct field {
    const char *key;
    enum field_type type;
    bool required;
    bool infinite; /* FIELD_REAL: inf is allowed */
    bool nonempty; /* FIELD_LIST: at least one item */
    bool low_open; /* the lower end of the range is excluded */
    /* Allowed range, both ends included; both 0: no range. `high` below `low`, or INFINITY: no
     * upper end; both 0 with low_open: anything above 0. In the unit of the value (seconds,
     * bytes). */
    double low, high;
    const char *unit; /* of a bare number: "ep", "st", "s", "B"; for help otherwise */
    /* Default as YAML text; NULL: absent when not written, except that a map of which some row has
     * a default and none is required is there as if `{}` were written. */
    const char *fallback;
    const char *since;   /* version that introduced it, e.g. "0.1" */
    const char *help;    /* one sentence */
    const char *example; /* a value as YAML text */
    enum affects affects;
    const char *const *words;     /* FIELD_WORD: NULL-terminated */
    const struct field *fields;   /* FIELD_MAP */
    const struct field *item;     /* FIELD_LIST: one row (its key is ignored) */
    const struct choice *choices; /* FIELD_CHOICE: ends with a zeroed row */
};

/* One alternative of a choice. `fields` NULL: it takes no options. */
struct choice {
    const char *name;
    const char *help;
    const struct field *fields;
    /* `{NAME: value}` with a scalar or list stands for `{NAME: {shorthand: value}}`. */
    const char *shorthand;
    /* A bare text that is no alternative's name stands for `{NAME: text}` of this row. */
    bool plain;
    const void *detail; /* the owning room's part of the row (how to build a layer, ...) */
};

/* A kind of document: "experiment/1" and the table of its top-level keys ("pawl" not among
 * them). */
struct kind {
    const char *name;
    int version;
    const char *help;
    const struct field *fields;
    bool no_environment; /* ${env:NAME} is refused (suites, policies) */
};

/* The kind part/1: a fragment that other files extend. Any kind may extend it. Where it is among
 * the accepted kinds (`config check`), a part is checked alone, by the table of the kind among them
 * that knows most of its keys; nothing is required then and no defaults are filled in. */
extern const struct kind part_kind;

struct document_opts {
    const char *const *set;   /* "train.seed=2", NULL-terminated; NULL: none */
    const char *const *unset; /* "train.clip"; taken away before anything is set */
    /* looks up a variable in the snapshot of the environment; NULL: ${env:} is refused */
    const char *(*environment)(const void *context, const char *name);
    const void *environment_context;
};

struct document {
    const struct kind *kind;
    const char *path;  /* as given */
    struct node *root; /* the effective tree */
};

/* Loads, composes, overrides and checks. `kinds` (NULL-terminated) are the kinds accepted here;
 * `opts` may be NULL. A zeroed `problems` collects what is wrong, in order of place (its arena is
 * set to `arena`); if there is anything the result is CONFIG, `err` sums up and there is no tree. A
 * file that cannot be read is NOT_FOUND or IO.
 *
 * Composition: what `extends` names (a path or a list, relative to the file) comes first, later
 * files win, maps merge, lists replace; the same alternative of a choice merges its options,
 * another one replaces it. Inside scalars, `${env:NAME}` and `${ref:path.to.key}` are replaced and
 * `$${` stands for a plain `${`; `"${env:N}"`, in quotes because YAML wants them inside { }, is
 * what N holds, a number too. In --set, items of a list are addressed by number (from 0) and
 * alternatives by name; the value is YAML where the row is a map, list or choice, and the text as
 * it is otherwise. */
enum code document_load(struct document *document, struct arena *arena, const char *path,
                        const struct kind *const *kinds, const struct document_opts *opts,
                        struct problems *problems, struct err *err);

/* Canonical JSON of the effective values that affect `what` (AFFECTS_MATH: the identity), without
 * origins, comments or places. New reference. */
json_t *document_values(const struct document *document, enum affects what);
/* All effective values, whatever they affect. New reference. */
json_t *document_json(const struct document *document);
/* The same for one node of an effective tree. New reference. */
json_t *node_json(const struct node *node);
/* SHA-256 of document_values(AFFECTS_MATH): the configuration digest. */
struct digest document_digest(const struct document *document);

/* The effective document as YAML that can be run again, origins as comments. Paths are rewritten so
 * that they hold when the text is saved in directory `dir`. */
void document_render(const struct document *document, const char *dir, struct str *out);

/* JSON Schema (draft 2020-12) of a kind. New reference. */
json_t *schema_json(const struct kind *kind);

/* What `config explain KEY` prints: of a value, a section, a choice or an alternative; "" is the
 * whole kind. Numbers of list items may be left out. False when there is no such key: then `out`
 * says so with what was probably meant, and `nearest` (may be NULL) is the nearest component or
 * NULL. */
bool schema_explain(const struct kind *kind, const char *path, struct str *out,
                    const char **nearest);

/* Reading an effective tree. `path` is dotted ("train.batch"; list items by number); the schema has
 * checked types, so a mismatch here is a bug. node_at gives NULL for what is absent. */
const struct node *node_at(const struct node *node, const char *path);
bool node_has(const struct node *node, const char *path);
int64_t node_int(const struct node *node, const char *path); /* FIELD_INT, FIELD_BYTES */
double node_real(const struct node *node, const char *path); /* FIELD_REAL, _TIME, _INT, _BYTES */
bool node_bool(const struct node *node, const char *path);
/* FIELD_ANY: whether it is a number, and which. */
bool node_number(const struct node *node, const char *path, double *value);
const char *node_text(const struct node *node, const char *path);
/* A path relative to the file that states it, joined so that it can be opened from here. A
 * FIELD_REF with '@' is given as it is. */
const char *node_path(struct arena *arena, const struct node *node, const char *path);
size_t node_count(const struct node *node, const char *path); /* items of a list; 0 when absent */
/* A choice: its name, and its options map (never NULL; empty for an alternative without options).
 * `path` NULL means the node itself. */
const char *node_choice(const struct node *node, const char *path);
/* The row of a choice by name; NULL when there is none. */
const struct choice *choice_find(const struct choice *choices, const char *name);
const struct node *node_options(const struct node *node, const char *path);

/* FIELD_SPAN: a bare number has the unit of its row. */
struct span node_span(const struct node *node, const char *path);

#endif
