/* Suites: what a model must show before it may be released.
 *
 * A `suite/1` document is checked by its table of keys (base/schema.h), then turned into the
 * *effective suite*: canonical JSON in which every gate has every member and nothing depends on
 * where files lie. Its digest is what seals, reports and policies carry. Gates are always decided
 * from this JSON, so a report can be replayed without the YAML that it came from. */
#ifndef PAWL_EVAL_SUITE_H
#define PAWL_EVAL_SUITE_H

#include "base/schema.h"
#include "eval/metric.h"

enum rule {
    RULE_AT_LEAST,
    RULE_AT_MOST,
    RULE_NOT_WORSE_BY, /* against a baseline: gain >= -margin */
    RULE_BETTER_BY,    /* gain >= margin */
    RULE_GAIN_AT_MOST, /* gain <= margin: too good to be true */
    RULE_GAP,          /* |one slice - another| <= margin */
    RULE_TREND,        /* slope over the last promoted versions, in the good direction, >= bar */
    RULE_COUNT
};

/* The key of a rule ("at_least"); whether it compares with a baseline. */
const char *rule_text(enum rule rule);
bool rule_is_paired(enum rule rule);
/* Whether the number must not lie below the bar (otherwise: not above it). */
bool rule_wants_more(enum rule rule);

/* A part of the split: the rows for which everything stated holds. */
struct slice {
    const char *name;
    const int32_t *labels; /* NULL: any */
    size_t label_count;
    const char *column;         /* NULL: none */
    double above, below, equal; /* of the column; NaN: not stated */
};

struct gate {
    const char *id, *why; /* why may be NULL */
    bool goal;
    const struct metric *metric;
    int64_t k; /* 0 unless the metric takes it */
    enum rule rule;
    double bar;
    const char *against; /* baseline as written; NULL: none */
    const char *slice;   /* "all" or a slice's name; NULL: every label by itself */
    double tolerate;
    int64_t min_examples;
    bool warn, point;
    int64_t batch;       /* system metrics: rows per call; 0 otherwise */
    const char *machine; /* system metrics: "any" or the machine class it holds for; else NULL */
};

struct suite {
    struct arena arena;
    json_t *json; /* the effective suite */
    struct digest digest;
    const char *name, *split, *train_split; /* splits may be NULL: no data section */
    double alpha;
    bool first_passes;   /* no baseline yet: pass instead of inconclusive */
    bool small_reported; /* below min_examples: shown, not counted */
    struct slice *slices;
    size_t slice_count;
    struct gate *gates; /* goals first, then guards, as written */
    size_t gate_count;
    const char **baselines; /* distinct `against`, in order of appearance */
    size_t baseline_count;
};

extern const struct kind suite_kind;

/* The dataset that the suite names, joined so that it can be opened from here; NULL: none. */
const char *suite_data_file(struct arena *arena, const struct document *document);

/* The effective suite of a document, with its digest. What is wrong is added to `problems` with its
 * place (CONFIG): an unknown metric, a rule that does not fit, a slice that is not there. */
enum code suite_resolve(struct suite *suite, const struct document *document,
                        struct problems *problems, struct err *err);

/* Reads an effective suite that came from a file (`name` for messages). Takes a reference.
 * DAMAGED. */
enum code suite_parse(struct suite *suite, json_t *json, const char *name, struct err *err);
void suite_release(struct suite *suite);

/* Whether the suite fits the data: splits and columns are there, metrics are for its task, labels
 * lie within its classes. Problems with their place, and CONFIG. */
enum code suite_fit(const struct suite *suite, const struct document *document,
                    const struct dataset *dataset, struct problems *problems, struct err *err);

/* By name; NULL when there is none ("all" is none). */
const struct slice *suite_slice(const struct suite *suite, const char *name);

#endif
