/* The `linear` baseline: one dense layer, trained by the ordinary trainer on the suite's training
 * split.
 *
 * It is an ordinary run under runs/baselines/, named by what it depends on, so it is trained
 * once. */
#ifndef PAWL_WORKFLOW_LINEAR_H
#define PAWL_WORKFLOW_LINEAR_H

#include "model/infer.h"

struct linear_request {
    const char *data;   /* path of the dataset */
    const char *split;  /* its training split */
    const char *folder; /* NULL: "runs/baselines" */
};

/* Trains (or finds) the baseline and loads its weights; the caller releases them. *skipped says
 * that it was there already. Fails as `train` does. */
enum code linear_baseline(struct weights *weights, bool *skipped,
                          const struct linear_request *request, struct err *err);

#endif
