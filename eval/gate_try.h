/* Trying one gate: from its rows to an answer and a first verdict (internal to eval/). */
#ifndef PAWL_EVAL_GATE_TRY_H
#define PAWL_EVAL_GATE_TRY_H

#include "eval/gate.h"

/* What a gate demands of the method table. */
struct demand trial_demand(const struct gate *gate, bool clustered, bool overlapping);

/* The trials of a suite's gates, undecided, at the alpha of no look. */
void decision_expand(struct decision *decision, const struct suite *suite,
                     const struct scores *scores);

/* A gate on rows: passes by its bound, fails where something is missing, and is inconclusive until
 * Holm's test has spoken. NO_MEMORY. */
enum code try_quality(struct decision *decision, struct trial *trial, const struct suite *suite,
                      const struct scores *scores, const struct decide_opts *opts, struct err *err);

/* A gate on measurements of this machine. */
enum code try_measured(struct trial *trial, const struct scores *scores,
                       const struct decide_opts *opts, struct err *err);

#endif
