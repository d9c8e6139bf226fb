/* Scores: what every subject did on every row, enough to decide all gates again.
 *
 * Subject 0 is the candidate, the others are baselines in the suite's order. scores.h5 holds
 * exactly this; pawl gate reads it back and recomputes the report's numbers from nothing else. */
#ifndef PAWL_EVAL_SCORES_H
#define PAWL_EVAL_SCORES_H

#include "eval/suite.h"

/* A per-example metric whose score is kept for every row. */
struct score_kind {
    const struct metric *metric;
    int64_t k; /* 0 unless the metric takes it */
};

struct membership {
    const char *name;
    uint8_t *in; /* [n] 1: the row belongs to the slice */
};

/* What there is of a subject under a condition. */
enum presence {
    SUBJECT_WHOLE,
    SUBJECT_HARD,   /* classes without probabilities: whether they are right, nothing else */
    SUBJECT_MISSING /* nothing: a baseline that there is not yet, or no answers under it */
};

struct subject {
    const char *name;      /* "candidate", or the baseline as the suite writes it */
    const char *condition; /* "clean", or a perturbation of the suite */
    bool missing, hard;    /* SUBJECT_MISSING, SUBJECT_HARD */
    double **score;        /* [kinds][n]; NaN where an output was not finite; NULL: not held */
    /* classification */
    int32_t *prediction;      /* [n]; -1: none */
    float *label_probability; /* [n] */
    float *confidence;        /* [n] */
    float *probability;       /* [n, classes]; NULL unless scores->probabilities */
    /* regression */
    float *predicted; /* [n, width] */
    /* TASK_TOKENS: sums over each row; bytes, correct: NULL unless the shape says so */
    double *nll, *tokens, *bytes, *correct; /* [n] */
};

/* Repeated measurements of one system metric, in the order in which they were taken. */
struct measurement {
    const struct metric *metric;
    int64_t batch; /* 0 unless the metric takes it */
    int64_t count;
    double *sample;
};

struct scores {
    struct arena arena;
    void *memory; /* all columns */
    enum task task;
    int64_t n, classes, width; /* width: regression targets per row */
    int64_t *id;               /* [n] row numbers in the split, distinct */
    int32_t *label;            /* [n] classification */
    float *target;             /* [n, width] regression */
    int64_t *cluster;          /* [n] which rows belong together; NULL: none */
    bool probabilities;        /* a gate's metric needs all of them */
    bool clusters, bytes, correct;
    struct score_kind *kinds;
    size_t kind_count;
    struct membership *slices; /* the suite's, in its order */
    size_t slice_count;
    const char **conditions; /* "clean", then the suite's perturbations */
    size_t condition_count;
    struct subject *subjects; /* [conditions][subjects] */
    size_t subject_count;     /* under one condition: the candidate and its baselines */
    struct measurement *measurements;
    size_t measurement_count;
};

struct scores_shape {
    enum task task;
    int64_t n, classes, width;
    bool clusters;       /* rows belong to clusters */
    bool bytes, correct; /* TASK_TOKENS: these columns are there */
};

/* Takes room for all columns that the suite wants: every per-example metric of the task, top_k
 * for each k that a gate names, all probabilities where a gate's metric needs them. `presence`
 * [conditions][subjects] says what there is (NULL: everything, whole). NO_MEMORY. */
enum code scores_init(struct scores *scores, const struct suite *suite,
                      const struct scores_shape *shape, const enum presence *presence,
                      struct err *err);
void scores_release(struct scores *scores);

/* Enters row `row` of a subject from its outputs [classes or width]; label or target of the row
 * must be there already. Safe from several threads for different rows. */
void scores_enter(struct scores *scores, struct subject *subject, int64_t row, const float *output);

/* The same from what another program predicted: the probabilities of all classes, and which class
 * it chose (-1: no answer), with `scratch` [classes]; the class alone, for SUBJECT_HARD; the sums
 * of a row of tokens. */
void scores_enter_shares(struct scores *scores, struct subject *subject, int64_t row,
                         const float *share, int32_t prediction, float *scratch);
void scores_enter_class(struct scores *scores, struct subject *subject, int64_t row,
                        int32_t prediction);
void scores_enter_tokens(struct scores *scores, struct subject *subject, int64_t row,
                         const struct predictions *predictions);

/* A subject under a condition, both by number; by the name of the condition (NULL: clean), NULL
 * when there is none. */
struct subject *scores_subject(const struct scores *scores, size_t subject, size_t condition);
struct subject *scores_under(const struct scores *scores, size_t subject, const char *condition);

/* The column of a metric, or -1. */
int scores_kind(const struct scores *scores, const struct metric *metric, int64_t k);
const struct measurement *scores_measurement(const struct scores *scores,
                                             const struct metric *metric, int64_t batch);

/* SHA-256 over all columns of rows (not the measurements), by name, type, dimensions and
 * little-endian bytes: what `quality` rests on. And over the measurements. */
struct digest scores_digest(const struct scores *scores);
struct digest scores_measured_digest(const struct scores *scores);

/* Publishes scores.h5. */
enum code scores_write(const struct scores *scores, const char *path, struct err *err);

/* Reads and checks scores.h5 against the suite: lengths, ranges, doubled ids, unknown or missing
 * columns are DAMAGED, with row and reason. A score that is not a number is legal: gates fail on
 * it. */
enum code scores_read(struct scores *scores, const struct suite *suite, const char *path,
                      struct err *err);

#endif
