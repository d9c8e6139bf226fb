/* The columns of scores as one list (internal to eval/). */
#ifndef PAWL_EVAL_SCORES_COLUMNS_H
#define PAWL_EVAL_SCORES_COLUMNS_H

#include "eval/scores.h"

struct score_column {
    const char *name; /* path in scores.h5 */
    enum h5_type type;
    int64_t width; /* numbers per row */
    void *at;      /* its rows */
    bool matrix;   /* two dimensions in the file, even when width is 1 */
};

/* Returns where the column's rows lie from now on (`column->at` to leave them). */
typedef void *scores_visit(void *context, const struct score_column *column);

/* Visits every column of rows, in a fixed order: the one list that allocation, digest, writing and
 * reading go by. */
void scores_each_column(struct scores *scores, scores_visit visit, void *context);

/* "/candidate", "/baseline_1", ... */
const char *scores_group(struct arena *arena, size_t subject);

#endif
