/* The training loop's state, shared by its parts (internal to trainer/). */
#ifndef PAWL_TRAINER_LOOP_H
#define PAWL_TRAINER_LOOP_H

#include "kernels/algorithm.h"
#include "trainer/ranks.h"
#include "trainer/save.h"
#include "trainer/step.h"
#include "trainer/train.h"
#include "trainer/validate.h"

struct on_device;

struct trainer {
    bool plan_only; /* compile without taking memory */
    const struct experiment *experiment;
    const struct train_opts *opts;
    struct arena arena;
    struct dataset dataset;
    struct device device;
    struct algorithms algorithms; /* what device.algorithms points to, or zeroed */
    enum dtype dtype;
    json_t *model, *profile;
    float *class_weights;
    struct comm alone; /* where opts name no comm */
    struct ranks ranks;
    struct share share;       /* of each batch, this rank's */
    struct on_device *joined; /* NULL: sums are made in host memory */
    struct params params;
    struct step step;
    struct loader *loader;
    struct validator validator;
    bool validates;
    struct run run;
    struct saver *saver;

    int64_t epoch_steps, total_steps;
    int64_t number; /* optimizer steps done: the position, with epoch_steps */
    double loss, norm, rate;

    /* watching a metric to stop early */
    bool stopping_early, has_stop_best;
    double stop_best;
    int64_t waited;
    json_t *metrics; /* last validation, or NULL */
    int64_t last_validation, last_checkpoint;
    json_t *saves; /* list of {name, step, value?} that this run keeps */

    double started, began, last_log, last_status; /* started: with the command; began: to step */
    int64_t began_at, logged_at;
    double loss_sum; /* since the last step record */
    int64_t loss_count, skipped;
};

/* Whether this rank was asked to stop: a signal, the time limit. `context` is the trainer. */
bool trainer_asked(void *context);

/* start.c: what ranks say to each other; that, device and data; parameters and programs; all of
 * these, alone; then everything up to the first step, and resuming. */
enum code trainer_open_ranks(struct trainer *trainer, struct err *err);
enum code trainer_open(struct trainer *trainer, struct err *err);
enum code trainer_programs(struct trainer *trainer, struct err *err);
enum code trainer_compile(struct trainer *trainer, struct err *err);
/* The run directory, by its option or the experiment's name (arena). */
const char *trainer_run_dir(struct trainer *trainer);
enum code trainer_start(struct trainer *trainer, struct err *err);
void trainer_release(struct trainer *trainer);

/* device.c: opens the device; on cards with the other ranks, who all call this. */
enum code trainer_device(struct trainer *trainer, struct err *err);

/* algorithms.c: trainer_programs under the choices of the run, which are searched where it is new
 * (train_opts). Together: all ranks call it, with `mine` what became of them before; rank 0
 * chooses, the others compile what it chose. */
enum code trainer_choose_alone(struct trainer *trainer, struct err *err);
enum code trainer_choose_together(struct trainer *trainer, enum code mine, struct err *err);
/* The digest of the choices (new reference); NULL without. */
json_t *trainer_algorithms_fact(const struct trainer *trainer);
/* CONFIG when `stored`, of a checkpoint, is another digest than that of the choices. */
enum code trainer_algorithms_match(const struct trainer *trainer, const json_t *stored,
                                   struct err *err);

/* keep.c, for rank 0: checkpoints: begin one, note a finished one, remove what no longer counts;
 * name the best of those kept in the log. */
enum code trainer_checkpoint(struct trainer *trainer, struct err *err);
enum code trainer_settle(struct trainer *trainer, bool wait, struct err *err);
void trainer_note_best(struct trainer *trainer);
/* trainer/1 as it stands. New reference. */
json_t *trainer_state(const struct trainer *trainer);
enum code trainer_restore(struct trainer *trainer, const json_t *state, struct err *err);

/* progress.c: log, TensorBoard, status, live line; nothing on other ranks than the first.
 * `force` ignores the interval. */
void trainer_progress(struct trainer *trainer, bool force);
void trainer_note(struct trainer *trainer, json_t *record);
void trainer_status(struct trainer *trainer, const char *state);

#endif
