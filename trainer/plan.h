/* The plan: what an experiment would take, before anything runs.
 *
 * The programs are compiled as for training, without memory: shapes, parameters, FLOPs, memory by
 * category and the implementation of each node are those of the run to come, not estimates. */
#ifndef PAWL_TRAINER_PLAN_H
#define PAWL_TRAINER_PLAN_H

#include "base/str.h"
#include "trainer/train.h"

struct plan_opts {
    const char *device;
    const char *algorithms; /* a run's file of choices; NULL: the device's first answers */
    int ranks;              /* of one machine, planned for the first; 0: 1 */
};

/* plan/1 (new reference). Fails as training would before its first step. */
enum code plan_experiment(json_t **plan, const struct experiment *experiment,
                          const struct plan_opts *opts, struct err *err);

/* The same for people. */
void plan_print(const json_t *plan, struct str *out);

#endif
