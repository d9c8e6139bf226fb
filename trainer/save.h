/* Saving checkpoints behind the training loop's back.
 *
 * save_begin copies the arenas (that is all that the loop waits for); a writer thread publishes the
 * checkpoint and then removes those that no longer count. The loop learns of it through
 * save_poll. */
#ifndef PAWL_TRAINER_SAVE_H
#define PAWL_TRAINER_SAVE_H

#include "model/params.h"
#include "trainer/experiment.h"
#include "trainer/run.h"

struct saver; /* opaque */

struct saver_opts {
    const json_t *model;
    const json_t *profile; /* or NULL */
    const struct experiment *experiment;
};

/* Takes memory for one snapshot of `params` and starts the writer thread. */
enum code saver_open(struct saver **saver, struct params *params, const struct saver_opts *opts,
                     struct err *err);
/* Waits for what is being written. Accepts NULL. */
void saver_close(struct saver *saver);

/* Begins a checkpoint at `path`; waits for an earlier one first. `trainer` is trainer/1, `facts`
 * the manifest's facts (references are taken over). */
enum code saver_begin(struct saver *saver, const char *path, int64_t step, json_t *trainer,
                      json_t *facts, struct err *err);

struct saved {
    const char *path; /* valid until the next saver_begin */
    int64_t step;
    struct digest digest;
    uint64_t bytes;
    double seconds;
    enum code code; /* of the write; `err` has the reason */
    struct err err;
};

/* Waits until nothing is being written, at most `seconds`; whether that came. */
bool saver_idle(struct saver *saver, double seconds);

/* Whether a checkpoint was finished since the last call; with `wait`, waits for it. */
bool saver_poll(struct saver *saver, struct saved *saved, bool wait);

/* Loads a checkpoint's tensors into params and its optimizer slots. DAMAGED when one is missing. */
enum code saver_load(struct params *params, const struct checkpoint *checkpoint,
                     const struct experiment *experiment, struct err *err);

#endif
