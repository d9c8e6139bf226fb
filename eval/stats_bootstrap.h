/* What the two kinds of bootstrap share (internal to eval/). */
#ifndef PAWL_EVAL_STATS_BOOTSTRAP_H
#define PAWL_EVAL_STATS_BOOTSTRAP_H

#include "eval/stats.h"

enum { THREADS_MOST = 256 };

/* How many threads to use; 0: all processors. */
int bootstrap_threads(int wanted);

/* Third moments of leave-one-out values around their mean. */
struct jackknife {
    double mean; /* set before adding */
    double square, cube;
};
/* Adds a leave-one-out value that occurs `times` times. */
void jackknife_add(struct jackknife *jackknife, double left, double times);
double jackknife_acceleration(const struct jackknife *jackknife);

/* Sorts the values and fills bias, deviation and degenerate. A value that is not finite makes the
 * whole distribution degenerate. */
void bootstrap_summarise(struct bootstrap *bootstrap, double acceleration);

#endif
