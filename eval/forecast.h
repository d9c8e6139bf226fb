/* What a suite could decide with this much data, before there is a model: `pawl eval SUITE --plan`.
 *
 * Each gate becomes a line: how many rows it will have, the distance from its bar that it sees with
 * a chance of 80 %, and, where the truth is assumed, the chance that it passes and the rows that it
 * would need. The chance that the whole suite passes for a model that is truly that good is the
 * product over blocking gates, as if they were independent: gates on common rows pass together more
 * often than that. */
#ifndef PAWL_EVAL_FORECAST_H
#define PAWL_EVAL_FORECAST_H

#include "eval/suite.h"

/* What is taken to be true of a gate's number. */
struct assumption {
    const char *what; /* the id of a gate, or a metric (for gates without a baseline) */
    double value;     /* of the metric; of the gain for gates with a baseline */
};

struct forecast_opts {
    const struct assumption *assumed;
    size_t assumed_count;
    const json_t *like;  /* report/1 of a model that is taken to be typical, or NULL */
    double disagreement; /* share of rows on which two models differ, where nothing tells; 0: 0.1 */
};

/* forecast/1 {suite, rows, alpha, disagreement, gates: [{id, demand, method, guarantee, n,
 * smallest_n, truth, deviation, chance, smallest_effect, needed_n}], chance}; null for what is
 * not known. New reference. CONFIG when an assumption fits no gate, DAMAGED, IO, NO_MEMORY. */
enum code forecast(json_t **json, const struct suite *suite, const struct exam *exam,
                   const struct forecast_opts *opts, struct err *err);

/* For a terminal. */
void forecast_text(struct str *out, const json_t *json);

#endif
