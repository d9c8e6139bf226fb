/* One training step as programs: forward, backward, norm, clip, optimizer.
 *
 * Computed in one piece by one rank a step is one program. Otherwise gradients are summed by a
 * program that ends after backward (the first pass writes, later ones add), then over the ranks,
 * and an update program follows on every rank. On devices that sum among themselves the last pass
 * does all three in one program (model/program.h, reduce). Losses are scaled by the rows of the
 * whole batch, so sums over passes, shards and ranks need no further factor. Running statistics of
 * a batch in several shards begin each at the step's first value; their mean is the new one. */
#ifndef PAWL_TRAINER_STEP_H
#define PAWL_TRAINER_STEP_H

#include "dataset/loader.h"
#include "model/build.h"
#include "model/program.h"
#include "trainer/experiment.h"
#include "trainer/ranks.h"
#include "trainer/share.h"

enum { STEP_LATE = 4 /* steps that may be submitted and not yet collected */ };

struct step {
    struct arena arena;
    struct device *device;
    struct params *params;
    struct ranks *ranks; /* NULL: alone */
    struct share share;
    int64_t batch, micro, passes; /* passes = rows of a shard / micro */
    bool whole_step;              /* one program */
    bool late;                    /* what a step did may be read later: step_submit */
    int64_t submitted;            /* steps, since the step was opened */
    int outstanding;              /* of them not yet collected */
    bool summed;                  /* by the devices, in the program of the last pass */
    const struct batch *pending;  /* of which that pass is still to run */
    struct graph whole, first, more, update;
    struct program whole_program, first_program, more_program, update_program;
    struct step_block block; /* the host's copy */
    bool begun;              /* late: the device has what its block begins with */
    size_t row_bytes, target_bytes;

    /* of this rank's shards */
    int leaves;                   /* gradients, loss and weight sums that are kept apart */
    float *gradient, **leaf;      /* [leaves, gradients]; NULL: the device's own arena is it */
    float *state_before, **state; /* running statistics: at the step's begin; of each shard */
    double *sums, *all_sums;      /* [leaves, 2] and one; of all ranks */
    double norm;                  /* of the step before: equal on all ranks */
    double norms[STEP_LATE];      /* late: of step number i at i % STEP_LATE, once collected */
};

/* Passes of this rank in a step. */
static inline int64_t step_passes(const struct step *step)
{
    return step->passes * step->share.groups;
}

/* The program whose step block all of them use. */
static inline struct program *step_owner(const struct step *step)
{
    const struct program *owner = step->whole_step || step->summed ? &step->whole_program
                                                                   : &step->first_program;
    return (struct program *)(uintptr_t)owner;
}

/* Numbers that ranks join in a step, for ranks_open. */
int step_numbers(const struct share *share);

struct step_opts {
    struct ranks *ranks;       /* NULL: alone */
    const struct share *share; /* NULL: the whole batch is this rank's */
    const json_t *model;
    const json_t *augment; /* or NULL */
    enum dtype dtype;
    const float *class_weights; /* or NULL */
    const struct experiment *experiment;
    bool plan_only, no_fuse, no_capture;
};

/* The arenas of params that an experiment needs. */
uint32_t step_arenas(const struct experiment *experiment);

/* Opens the parameters of a model (no values yet) as the step will bind them; with `plan_only` the
 * table alone, without memory. */
enum code step_params(struct params *params, const json_t *model,
                      const struct experiment *experiment, struct device *device, bool plan_only,
                      struct err *err);

/* Compiles. `params` comes from step_params and outlives the step. step_close accepts zeroes. */
enum code step_open(struct step *step, struct params *params, const struct step_opts *opts,
                    struct err *err);
void step_close(struct step *step);

/* What a step did. */
struct step_result {
    double loss;          /* weighted mean over the batch */
    double gradient_norm; /* before clipping */
    bool skipped;         /* loss or gradient was not finite: nothing was updated */
    bool overflowed;      /* skipped, and the loss scale was halved for it */
};

/* What one step leaves for the next beside parameters: the device's, as of the newest step whose
 * result is known. step_set_state is for a step none of whose results are outstanding. */
struct step_state {
    int64_t time;       /* updates made */
    int64_t good_steps; /* finite ones since the loss scale changed */
    double loss_scale;
};
struct step_state step_state(const struct step *step);
void step_set_state(struct step *step, const struct step_state *state);

/* The first half: gradients of this rank's rows, without the others. `number` is the optimizer step
 * from 0, `rate` the learning rate. */
enum code step_compute(struct step *step, const struct batch *batch, int64_t number, double rate,
                       struct err *err);

/* The second half, with all ranks: joins them with `mine` (what became of this rank's first half,
 * or of its batch), sums, updates. HOPELESS when ranks no longer hold the same weights. */
enum code step_finish(struct step *step, enum code mine, struct step_result *result,
                      struct err *err);

/* Both halves. */
enum code step_run(struct step *step, const struct batch *batch, int64_t number, double rate,
                   struct step_result *result, struct err *err);

/* The program that computes the gradients, for `plan`. */
const struct program *step_program(const struct step *step);

/* For steps that are `late` (on a device with a queue, where nothing of a step passes through host
 * memory: alone, or ranks whose devices sum among themselves): submits one without waiting for the
 * device. At most STEP_LATE may be outstanding; step_collect waits for the oldest and gives what it
 * did. Not to be mixed with the halves above. With ranks all of them submit together, and each
 * collects when it likes. A step that is not finite changes nothing, whoever hears of it when. */
enum code step_submit(struct step *step, const struct batch *batch, int64_t number, double rate,
                      struct err *err);
enum code step_collect(struct step *step, struct step_result *result, struct err *err);

/* Bytes by category for `plan`: activations and gradients as placed; workspace with the shards'
 * gradients. */
struct step_memory {
    uint64_t activations, workspace;
};
struct step_memory step_memory(const struct step *step);

#endif
