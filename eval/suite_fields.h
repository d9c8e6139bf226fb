/* The tables of keys of a suite's parts (internal to eval/). */
#ifndef PAWL_EVAL_SUITE_FIELDS_H
#define PAWL_EVAL_SUITE_FIELDS_H

#include "eval/suite.h"

/* One item of `goals` and of `guards`. */
extern const struct field suite_goal_item, suite_guard_item;

#endif
