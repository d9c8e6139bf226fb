/* The rows of one slice, gathered for a method (internal to eval/). */
#ifndef PAWL_EVAL_GATE_ROWS_H
#define PAWL_EVAL_GATE_ROWS_H

#include "eval/method.h"
#include "eval/scores.h"

/* Which rows: a slice of the suite, one label, or all. */
struct row_choice {
    const char *slice; /* "all" or a name; ignored for a label */
    int32_t label;     /* -1: by slice */
};

struct rows {
    void *memory;
    int64_t n;
    int32_t *index; /* [n] into the scores */
    double *score, *other;
    struct outcomes outcomes, others;
    bool finite, other_finite;
};

/* Gathers what a metric needs of the rows: scores, or outcomes for corpus metrics; of `baseline`
 * too unless it is NULL. `kind` is the column (scores_kind), -1 for corpus metrics. NO_MEMORY. */
enum code rows_gather(struct rows *rows, const struct scores *scores, struct row_choice choice,
                      int kind, const struct subject *subject, const struct subject *baseline,
                      struct err *err);
void rows_release(struct rows *rows);

/* What a bootstrap distribution is of, as text: metric, k, slice, subject and baseline (or
 * NULL). */
const char *resample_path(struct arena *arena, const struct metric *metric, int64_t k,
                          const char *slice, const char *subject, const char *baseline);

/* How many rows a choice has. */
int64_t rows_count(const struct scores *scores, struct row_choice choice);

#endif
