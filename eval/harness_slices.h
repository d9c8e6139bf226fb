/* Slice membership (internal to eval/). */
#ifndef PAWL_EVAL_HARNESS_SLICES_H
#define PAWL_EVAL_HARNESS_SLICES_H

#include "eval/scores.h"

/* Fills the membership of every slice of the suite. */
enum code scores_slices(struct scores *scores, const struct suite *suite, const struct exam *exam,
                        struct err *err);

#endif
