/* The run directory: what a training run leaves behind, and who may write into it.
 *
 * RUN/ holds config.yaml (effective, runnable again), manifest.json, algorithms.json (on devices
 * that have a choice), incarnations/NNNN.json, log-NNNN.jsonl, checkpoints/step-NNNNNNNNNN-NNNN/
 * and view/. Every start takes an incarnation number by exclusive creation and writes only files of
 * its own; a newer incarnation voids what an older one wrote behind the point from which it
 * resumed. */
#ifndef PAWL_TRAINER_RUN_H
#define PAWL_TRAINER_RUN_H

#include "base/json.h"
#include "kernels/algorithm.h"
#include "trainer/log.h"
#include "trainer/tensorboard.h"

#define RUN_ALGORITHMS "algorithms.json"

/* Facts about this start that cli/ read from the environment. */
struct launch {
    const char *job; /* scheduler's job id, or NULL */
    int64_t restart; /* its restart count */
    bool take_over;  /* --take-over */
};

struct run {
    struct arena arena;
    const char *dir;
    int incarnation;
    bool resuming;    /* the directory held a run before */
    json_t *manifest; /* run/1 as it stands in the directory */
    struct run_log log;
    struct tensorboard board;
};

/* Reads the manifest of an existing run; NOT_FOUND when DIR holds none (and only then: a manifest
 * that cannot be looked at is IO, so that a run is never begun over another). New reference. */
enum code run_manifest(json_t **manifest, const char *dir, struct err *err);

/* What a start has to say of the run (borrowed). */
struct run_contents {
    const json_t *manifest;              /* run/1 */
    const char *config;                  /* the text of config.yaml */
    const struct algorithms *algorithms; /* or NULL: there are none to choose from */
};

/* Takes the run: makes the directory with these contents or joins the existing one, in which only
 * algorithms that were changed are replaced. Fails with CONFLICT when another process holds the
 * run, with HOPELESS after three starts without progress. */
enum code run_take(struct run *run, const char *dir, const struct run_contents *contents,
                   const struct launch *launch, struct err *err);
void run_release(struct run *run);

/* Opens log and TensorBoard file of this incarnation and writes the first record. `resumed_step` is
 * 0 for a fresh start; `checkpoint` names what was resumed from, or NULL; `steps` is where the run
 * is to end and `schedule_end` (borrowed) the configuration that says so. */
struct run_opening {
    int64_t resumed_step, steps;
    const char *checkpoint;
    json_t *schedule_end;
};
enum code run_begin(struct run *run, const struct run_opening *opening, struct err *err);

/* The path for a checkpoint of this incarnation (run's arena). */
const char *run_checkpoint_path(struct run *run, int64_t step);

/* Step and incarnation of a checkpoint directory's name; false for other names. */
bool run_parse_checkpoint(const char *name, int64_t *step, int *incarnation);

/* Names of checkpoint directories, those to try first in front: newest incarnation, then highest
 * step. */
enum code run_checkpoints(struct arena *arena, char ***names, size_t *count, const char *dir,
                          struct err *err);

/* The directory of the run's best checkpoint (by the log's records), or of its newest where none is
 * best. NOT_FOUND when the run has none. */
enum code run_best(struct arena *arena, const char **path, const char *dir, struct err *err);

/* How far the log says that the run came. */
struct run_progress {
    bool finished;        /* the newest start reached the run's end */
    int64_t step;         /* of the newest record */
    int64_t steps;        /* where the newest start was to end; 0: it never began */
    json_t *schedule_end; /* the configuration of that end, or NULL */
    json_t *metrics;      /* of the newest validation, or NULL */
};
enum code run_progress_read(struct run_progress *progress, const char *dir, struct err *err);
void run_progress_release(struct run_progress *progress);

#endif
