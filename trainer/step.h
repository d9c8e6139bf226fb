/* One training step as programs: forward, backward, norm, clip, optimizer.
 *
 * With one micro-batch a step is one program. With several, gradients are summed by a program that
 * ends after backward (the first pass writes, later ones add) and an update program follows. */
#ifndef PAWL_TRAINER_STEP_H
#define PAWL_TRAINER_STEP_H

#include "dataset/loader.h"
#include "model/build.h"
#include "model/program.h"
#include "trainer/experiment.h"

struct step {
    struct arena arena;
    struct device *device;
    struct params *params;
    int64_t batch, micro, passes; /* passes = batch / micro */
    struct graph whole, first, more, update;
    struct program whole_program, first_program, more_program, update_program;
    struct step_block block; /* the host's copy */
    size_t row_bytes, target_bytes;
};

struct step_opts {
    const json_t *model;
    const json_t *augment; /* or NULL */
    enum dtype dtype;
    const float *class_weights; /* or NULL */
    const struct experiment *experiment;
    bool plan_only, no_fuse;
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
};

/* Runs one optimizer step on a batch. `number` is the optimizer step from 0, `time` the updates
 * made so far, `rate` the learning rate. */
enum code step_run(struct step *step, const struct batch *batch, int64_t number, int64_t time,
                   double rate, struct step_result *result, struct err *err);

/* Bytes by category for `plan`: activations and gradients as placed, workspace. */
struct step_memory {
    uint64_t activations, workspace;
};
struct step_memory step_memory(const struct step *step);

#endif
