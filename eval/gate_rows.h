/* The rows that one gate or value is about, gathered for a method (internal to eval/). */
#ifndef PAWL_EVAL_GATE_ROWS_H
#define PAWL_EVAL_GATE_ROWS_H

#include "eval/method.h"
#include "eval/scores.h"

/* Which rows: a slice of the suite, one label, all, or both sides of a gap. */
struct row_choice {
    const char *slice;      /* "all" or a name; ignored for a label */
    int32_t label;          /* -1: by slice */
    const char *const *gap; /* two slices, the second may be "rest"; NULL: no gap */
};

/* What is asked of the rows. */
struct row_question {
    const struct metric *metric;
    int64_t k;
    int32_t of_class;
    double q;
    const struct subject *subject;
    const struct subject *other; /* the baseline, or the same model on clean rows; NULL: none */
};

/* Columns of the chosen rows, in index order. All rows together are not copied: their columns are
 * those of the scores. */
struct rows {
    void *memory;
    int64_t n;
    const double *score, *other;
    struct outcomes outcomes, others;
    const int64_t *cluster;        /* NULL: every row by itself */
    const uint8_t *first, *second; /* a gap: which side a row is on; else NULL */
    int64_t sides[2];              /* rows of each */
    bool overlapping;              /* a row is on both */
    bool held, other_held;         /* the subject has what the metric needs */
    bool finite, other_finite;
};

/* Gathers what a metric needs of the rows. NO_MEMORY. */
enum code rows_gather(struct rows *rows, const struct scores *scores,
                      const struct row_choice *choice, const struct row_question *question,
                      struct err *err);
void rows_release(struct rows *rows);

/* The sample of gathered rows; the caller adds what is about resampling. */
struct sample rows_sample(const struct rows *rows, const struct row_question *question);

/* What a bootstrap distribution is of, as text: metric with its options, rows, subject, condition
 * and the other subject (or NULL). */
const char *resample_path(struct arena *arena, const struct row_question *question,
                          const char *rows);

/* How many rows a choice has; of a gap: of both sides. */
int64_t rows_count(const struct scores *scores, const struct row_choice *choice);
/* Their places in the scores, ascending, into `place` (room for all rows); how many. */
int64_t rows_list(int64_t *place, const struct scores *scores, const struct row_choice *choice);

#endif
