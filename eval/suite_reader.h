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

/* Whether `name` is in the list of named things under `key` ("slices", "perturb"); otherwise a
 * problem at `node` that says which there are. */
bool reader_named(struct reader *reader, const char *key, const char *what,
                  const struct node *node);

#endif
