/* The harness: runs subjects over a split and measures the candidate.
 *
 * Rows go through model/infer.h in calls that begin at multiples of the tile, so outputs are the
 * same bits for any number of threads and any size of call. Baselines see the same rows. */
#ifndef PAWL_EVAL_HARNESS_H
#define PAWL_EVAL_HARNESS_H

#include "eval/scores.h"
#include "model/infer.h"

/* What a subject is made of. */
struct contestant {
    const struct weights *weights;         /* a model that is run, or NULL */
    const struct predictions *predictions; /* what was predicted elsewhere, or NULL */
    bool missing; /* a baseline that there is not yet. None of the three: the majority baseline */
};

struct harness_opts {
    const char *device; /* NULL: "cpu" */
    int threads;        /* 0: all processors */
    int64_t call_rows;  /* rows per call, rounded up to the tile; 0: 4096. Changes no result. */
};

/* Fills `scores` for subjects[0] (the candidate) and the suite's baselines in its order, under
 * every condition, and takes the measurements that gates name. CONFIG when a model does not fit
 * the data, DAMAGED when a label lies outside the classes (with its row) or predictions are not
 * of these rows, and what reading and running can give. Predictions have no answers under
 * perturbations. */
enum code harness_run(struct scores *scores, const struct suite *suite, const struct exam *exam,
                      const struct contestant *subjects, const struct harness_opts *opts,
                      struct err *err);

/* Room for everything that harness_run fills, with ids, truth, clusters and slices only: for what
 * can be said before anything is predicted. */
enum code harness_rows(struct scores *scores, const struct suite *suite, const struct exam *exam,
                       struct err *err);

/* Whether a model takes this dataset's rows and gives outputs for its task; CONFIG with both
 * shapes. `what` names the model in the message. */
enum code harness_fits(const struct model_io *io, const struct dataset *dataset,
                       const struct split *split, const char *what, struct err *err);

/* Takes all measurements in `scores` of one model over rows of the split. */
enum code harness_measure(struct scores *scores, const struct weights *weights,
                          const struct dataset *dataset, const struct split *split,
                          const struct harness_opts *opts, struct err *err);

/* The class of this machine, for `machine:` of system gates: "<processor>, <n> threads". */
const char *machine_class(struct arena *arena, int threads);

#endif
