/* The table of metrics: one row says what a metric is and how to compute it.
 *
 * Suites, gates, reports, the trainer's validation, help and tests loop over this table. The kind
 * of statistic decides which method may bound a metric (eval/method.h). Per-example metrics are a
 * function of one row's outputs and label; corpus metrics a function of many rows' outcomes, with
 * or without a list of picks, so that a resample costs no copies. Sums are f64 in index order.
 *
 * A row with an output that is not finite has no prediction (-1) and NaN for every score: nothing
 * is ever repaired here, so the gate sees it and fails. */
#ifndef PAWL_EVAL_METRIC_H
#define PAWL_EVAL_METRIC_H

#include "dataset/dataset.h"

enum statistic {
    STATISTIC_PROPORTION, /* mean of scores that are 0 or 1 */
    STATISTIC_MEAN,       /* mean of real scores */
    STATISTIC_RATIO,      /* a sum over rows by another: tokens, one class's precision */
    STATISTIC_RANK,       /* how well rows are ordered: the area under the ROC curve */
    STATISTIC_CORPUS,     /* a function of all rows together */
    STATISTIC_SYSTEM,     /* repeated measurements of this machine */
    STATISTIC_EXACT,      /* one number without sampling error */
    STATISTIC_DOCUMENT,   /* a table for the report; no gate can bound it */
    STATISTIC_COUNT
};

/* What a number is counted in; decides how a bar is written ("2ms", "8MiB") and shown. */
enum metric_unit { UNIT_NONE, UNIT_SECONDS, UNIT_BYTES, UNIT_PER_SECOND };

/* The task of a prediction file of a language model: rows of {nll, tokens, bytes, correct}. No
 * dataset has it. */
enum { TASK_TOKENS = TASK_REGRESSION + 1 };

/* Tasks that a metric fits, as bits of enum task. */
enum {
    FITS_CLASSIFICATION = 1 << TASK_CLASSIFICATION,
    FITS_REGRESSION = 1 << TASK_REGRESSION,
    FITS_TOKENS = 1 << TASK_TOKENS,
    FITS_ALL = FITS_CLASSIFICATION | FITS_REGRESSION
};

/* Columns of outcomes that a metric reads. */
enum {
    NEEDS_GUESSES = 1 << 0,       /* label, prediction */
    NEEDS_PROBABILITIES = 1 << 1, /* label, probability */
    NEEDS_TARGETS = 1 << 2,       /* target, predicted */
    NEEDS_TOKENS = 1 << 3,        /* nll, tokens */
    NEEDS_BYTES = 1 << 4,         /* bytes */
    NEEDS_CORRECT = 1 << 5,       /* correct */
    NEEDS_BASELINE = 1 << 6,      /* the same columns of a second subject */
    NEEDS_CONFIDENCE = 1 << 7     /* confidence */
};

/* One row as a per-example metric sees it. All outputs are finite. */
struct example {
    const float *output; /* [width] logits, or predictions */
    int64_t width;
    int32_t label;       /* classification */
    const float *target; /* [width], regression */
    double log_sum;      /* classification: log sum of e^output */
    int64_t k;           /* top_k: how many guesses count */
};

/* What became of many rows: columns of one subject. Those that a metric does not need (its `needs`)
 * may be NULL. */
struct outcomes {
    int64_t n, classes;
    const int32_t *label;      /* [n] */
    const int32_t *prediction; /* [n]; -1: none */
    const float *confidence;   /* [n]: probability of the prediction */
    const float *probability;  /* [n, classes] */
    int64_t width;
    const float *target, *predicted; /* [n, width] regression */
    /* tokens: sums over a document, or whatever a row is. nll in nats; correct: tokens whose first
     * guess was right */
    const double *nll, *tokens, *bytes, *correct; /* [n] */
    int32_t of_class;                             /* metrics with takes_class: which */
    double quantile;                              /* quantile_loss: which, in (0, 1) */
    const int32_t *order; /* set by the methods (metric_orders); NULL for callers */
};

/* A row's part in a ratio of sums. */
struct row_part {
    double above, below;
};

enum { METRIC_K = 5, METRIC_CLASS = 1, ECE_BINS = 15 };

struct metric {
    const char *name;
    const char *help;
    enum statistic statistic;
    enum metric_unit unit;
    unsigned fits;       /* FITS_... */
    unsigned needs;      /* NEEDS_... when there is no stored score */
    bool higher;         /* larger is better */
    bool biased;         /* CORPUS: larger on few rows than on many, so resampling adds bias */
    bool drop;           /* the second subject's mean less the first's (robustness_drop) */
    bool share;          /* RATIO of 0/1 parts: given the rows below the line, a proportion */
    bool takes_k;        /* the gate key `k` applies (default METRIC_K) */
    bool takes_batch;    /* the gate keys `batch` and `machine` apply */
    bool takes_class;    /* the gate key `class` applies (default 1, the positive class of two) */
    bool takes_quantile; /* the gate key `q` applies (default 0.5) */
    double quantile;     /* SYSTEM: which order statistic of the samples is the value */
    int64_t samples;     /* SYSTEM: how many are taken */
    /* PROPORTION, MEAN: what is stored for each row */
    double (*score)(const struct example *example);
    /* PROPORTION, MEAN, RATIO without a stored score: a row's part above and below the line */
    struct row_part (*row)(const struct outcomes *outcomes, int64_t row);
    /* RATIO: from the ratio of the sums to the value; NULL: the ratio is the value */
    double (*finish)(double ratio);
    /* CORPUS, RANK: over rows that count `weight` times each (NULL: once); `scratch` holds
     * metric_scratch() numbers */
    double (*corpus)(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
    bool by_cells; /* CORPUS: depends on label and prediction only */
    /* the lists that `corpus` and RANK want in outcomes->order (metric_orders) */
    enum metric_order { ORDER_NONE, ORDER_CLASSES, ORDER_CONFIDENCE } order;
};

/* The table, in the order of documentation; the row with this name, or NULL. */
extern const struct metric metrics[];
extern const size_t metric_count;
const struct metric *metric_find(const char *name);

/* What values a metric can have; `words` after "must be". */
struct metric_range {
    double low, high;
    const char *words;
};
struct metric_range metric_range(const struct metric *metric);

/* Names that fit a task, for messages: "accuracy, top_k, ...". Arena-owned. */
const char *metric_names(struct arena *arena, enum task task);
const char *statistic_text(enum statistic statistic);

/* What is derived from one row of logits: prediction (the first of the largest), its probability
 * and the label's (NaN for label -1), in f64 by base/math. false, and -1 and NaN, when an output is
 * not finite. */
struct guess {
    int32_t prediction;
    double label_probability, confidence, log_sum;
};
bool guess_of(struct guess *guess, const float *output, int64_t width, int32_t label);
/* The probability of a class with this output; NaN when there is no guess. */
float guess_probability(const struct guess *guess, float output);

/* Whether all columns that the metric reads are there: of one subject, or of two where it needs a
 * baseline (`others` may be NULL otherwise). Metrics with a stored score need none. */
bool metric_has_columns(const struct metric *metric, const struct outcomes *outcomes,
                        const struct outcomes *others);

/* f64 numbers of scratch that a corpus metric needs for these outcomes. */
size_t metric_scratch(const struct outcomes *outcomes);

/* Lists of rows that a metric wants sorted, each of `outcomes->n` int32_t: one per class by falling
 * probability (only class 1 of two), or one by rising confidence; equal ones in index order. How
 * many lists, and filling them (`order` [lists][n]). NO_MEMORY. */
int64_t metric_order_lists(const struct metric *metric, const struct outcomes *outcomes);
enum code metric_orders(const struct metric *metric, int32_t *order,
                        const struct outcomes *outcomes, struct err *err);

/* The value of a metric without a stored score over rows, of a second subject too where it needs
 * one (churn, robustness_drop). NaN where it is not defined: nothing below the line, one class
 * only, a column missing. NO_MEMORY. */
enum code metric_value(const struct metric *metric, double *value, const struct outcomes *outcomes,
                       const struct outcomes *others, struct err *err);

/* The value of a quality metric over rows: `outputs` [n, k] are logits (then `targets` are int32_t
 * [n]) or predictions (then float [n, k]). NaN when a row is not finite. This is how the trainer
 * computes its validation metrics. Fails with USAGE when the metric has no such value or n is 0,
 * DAMAGED when a label lies outside [0, k), NO_MEMORY. */
enum code metric_of_rows(const struct metric *metric, double *value, const float *outputs,
                         const void *targets, int64_t n, int64_t k, struct err *err);

#endif
