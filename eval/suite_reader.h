/* What reading a suite's document needs everywhere (internal to eval/). */
#ifndef PAWL_EVAL_SUITE_READER_H
#define PAWL_EVAL_SUITE_READER_H

#include "eval/suite.h"

struct reader {
    struct arena *arena;
    struct problems *problems;
    const struct node *root;
    json_t *ids; /* object: ids taken so far */
};

/* A problem at the place of a value. */
struct problem *reader_refuse(struct reader *reader, const struct node *node, const char *message);

/* Appends one gate with every member to `gates`; nothing is added when there was a problem. */
void reader_gate(struct reader *reader, json_t *gates, const struct node *gate, bool goal);

/* The bar of a gate, in the metric's unit, or its margin, which may be a share of the baseline
 * (`relative`). NaN after a problem. */
double reader_bar(struct reader *reader, bool *relative, const struct node *limit,
                  const struct metric *metric, enum rule rule);

/* What a gate tolerates, in the metric's unit: by so much its bar moves (0: a share of a baseline
 * that nobody knows yet). 0 after a problem. */
double reader_tolerance(struct reader *reader, const struct node *gate, const struct metric *metric,
                        enum rule rule, double bar);

/* Whether `name` is in the list of named things under `key` ("slices", "perturb"); otherwise a
 * problem at `node` that says which there are. */
bool reader_named(struct reader *reader, const char *key, const char *what,
                  const struct node *node);

#endif
