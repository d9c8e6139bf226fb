/* Predictions that some program wrote: what `eval --predictions` reads instead of running a model.
 *
 * CSV with a header line, JSON lines with the same names, or HDF5 (a file of `pawl predict`, or
 * columns of these names in the root group); the kind is known from the bytes, not from the name.
 *
 *   classification  id, [label,] prediction             or  id, [label,] p_0, ..., p_k [,
 * prediction]
 *   regression      id, [target,] prediction            or  target_0, ..., prediction_0, ...
 *   tokens          id, nll, tokens [, bytes] [, correct]   sums over each row (a document), in
 * nats
 *
 * Every other column of numbers may be used by slices and `cluster:`. Rows are put in the order of
 * their ids, so the digest and every result are the same for any order and any of the formats. */
#ifndef PAWL_EVAL_PREDICTIONS_H
#define PAWL_EVAL_PREDICTIONS_H

#include "eval/metric.h"

/* A column beyond those that say what was predicted. NaN where the file has no value. */
struct prediction_column {
    const char *name;
    double *value; /* [n] */
};

struct predictions {
    struct arena arena;
    void *memory;
    const char *path;
    enum task task;
    int64_t n;
    int64_t classes;     /* probabilities per row, or 1 + the largest class that occurs; else 0 */
    int64_t width;       /* numbers per row of a regression, else 1 */
    int64_t *id;         /* [n] ascending, distinct */
    int32_t *label;      /* [n]; NULL: the file has no labels */
    float *target;       /* [n, width]; NULL: no targets */
    int32_t *prediction; /* [n]; -1: none. Classification */
    float *probability;  /* [n, classes]; NULL: only the classes are known */
    float *predicted;    /* [n, width]; regression */
    double *nll, *tokens, *bytes, *correct; /* [n] TASK_TOKENS; the last two may be NULL */
    struct prediction_column *columns;
    size_t column_count;
    struct digest digest; /* of the content, in the order of ids */
    const char *data;     /* digest of the split that it states, or NULL */
};

struct predictions_opts {
    const struct dataset *dataset; /* task and class names that hold for the file; NULL: its own */
};

/* Reads and checks a file. NOT_FOUND, IO, NO_MEMORY, or DAMAGED with row and reason: a missing or
 * doubled id, a label outside the classes, probabilities that are no distribution, a row that is
 * cut short, text where a number belongs. A prediction that is not a finite number is legal: gates
 * fail on it. `opts` may be NULL. */
enum code predictions_read(struct predictions *predictions, const char *path,
                           const struct predictions_opts *opts, struct err *err);
void predictions_release(struct predictions *predictions);

/* One of the further columns, or NULL. */
const double *predictions_column(const struct predictions *predictions, const char *name);

#endif
