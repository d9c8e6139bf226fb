/* Suites: what a model must show before it may be released.
 *
 * A `suite/1` document is checked by its table of keys (base/schema.h), then turned into the
 * *effective suite*: canonical JSON in which every gate has every member and nothing depends on
 * where files lie. Its digest is what seals, reports and policies carry. Gates are always decided
 * from this JSON, so a report can be replayed without the YAML that it came from. */
#ifndef PAWL_EVAL_SUITE_H
#define PAWL_EVAL_SUITE_H

#include "base/schema.h"
#include "eval/exam.h"
#include "eval/metric.h"
#include "eval/perturb.h"

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
    const char *column;                    /* NULL: none */
    double above, below, equal;            /* of the column; NaN: not stated */
    double above_quantile, below_quantile; /* the same, as shares of its rows in order */
    bool listed;                           /* only the rows that an index file names */
    const int64_t *rows; /* their ids, ascending; NULL in a suite that came from a report */
    size_t row_count;
};

/* A change of the rows under which gates may decide. */
struct suite_perturb {
    const char *name;
    struct perturbing how; /* kind and options; perturb_begin does the rest */
};

struct gate {
    const char *id, *why; /* why may be NULL */
    bool goal;
    const struct metric *metric;
    int64_t k;        /* 0 unless the metric takes it */
    int32_t of_class; /* metrics of one class: which; otherwise 1 */
    double q;         /* quantile_loss: which; otherwise 0.5 */
    enum rule rule;
    double bar;
    bool relative;       /* paired rules: the bar is a share of the baseline's value */
    const char *against; /* baseline as written, "anchor:DIGEST"; NULL: none */
    const char *slice;   /* "all" or a slice's name; NULL: every label by itself */
    const char *gap[2];  /* RULE_GAP: two slices, the second may be "rest"; NULL otherwise */
    const char *perturb; /* the rows are changed by it first; NULL: they are not */
    const char *over;    /* RULE_TREND: the channel that is looked back at; NULL otherwise */
    int64_t last;        /* RULE_TREND: how many versions, this one among them */
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
    const char *name, *split, *train_split; /* splits are NULL without a data section */
    double alpha;
    bool first_passes;   /* no baseline yet: pass instead of inconclusive */
    bool small_reported; /* below min_examples: shown, not counted */
    const char *cluster; /* column of what is drawn together; NULL: every row by itself */
    struct suite_perturb *perturbs;
    size_t perturb_count;
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

/* The split of the dataset that decides, as an exam. A split that is not there is a problem with
 * its place, and CONFIG; so is a training split that a baseline needs. */
enum code suite_exam(struct exam *exam, const struct suite *suite, const struct document *document,
                     const struct dataset *dataset, struct problems *problems, struct err *err);

/* Whether the suite fits the data: columns and rows are there, metrics are for its task, labels lie
 * within its classes, perturbations change such rows, baselines can be made. Problems with their
 * place, and CONFIG. */
enum code suite_fit(const struct suite *suite, const struct document *document,
                    const struct exam *exam, struct problems *problems, struct err *err);

/* The place of the baseline `name` in the document (its first `against`), and what it means there:
 * a REF whose path can be opened from here. */
const char *suite_baseline_ref(struct arena *arena, const struct document *document,
                               const char *name);

/* `against` of a gate in a document as the effective suite writes it; NULL: none. */
const char *against_text(struct arena *arena, const struct node *gate);

/* By name; NULL when there is none ("all" is none). */
const struct slice *suite_slice(const struct suite *suite, const char *name);

#endif
