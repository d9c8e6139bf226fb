/* Training: one experiment, one run directory, from wherever it stands to its end.
 *
 * A new directory starts; an unfinished run of the same configuration resumes from its newest
 * verified checkpoint, bit for bit; a finished one says so. What it needs to know of the world
 * (environment, working directory) is handed in. */
#ifndef PAWL_TRAINER_TRAIN_H
#define PAWL_TRAINER_TRAIN_H

#include "comm/comm.h"
#include "dataset/dataset.h"
#include "model/infer.h"
#include "trainer/experiment.h"
#include "trainer/run.h"

struct train_opts {
    const char *run;             /* directory; NULL: runs/NAME */
    const char *device;          /* "cuda", "cpu", "ref"; NULL or "auto": the best there is */
    const struct device *opened; /* this device instead of a named one; closed by train */
    const struct weights
        *warm;         /* whose weights to begin with where name and shape agree, or NULL */
    const char *build; /* version and commit of this binary, for the manifest */
    struct launch launch;
    struct comm *comm;    /* the ranks that train together; NULL: alone */
    bool share_device;    /* several ranks of this machine may use one device, in turns */
    bool record_sums;     /* sums over ranks may be part of recorded steps */
    double rank_floor_s;  /* shortest time limit of what devices sum; 0: 30 s */
    double time_limit_s;  /* 0: none; then a checkpoint and STOPPED */
    int64_t stop_after;   /* steps of this incarnation after which to stop as if asked; 0: none */
    int64_t kill_at_step; /* for drills: SIGKILL to this process after this step; 0: none */
    bool allow_inexact;   /* resume although device, threads, libraries or algorithms differ */
    const char
        *algorithms; /* with which choices of algorithms a new run begins: the file of another
                             * run; NULL: none. A run that is there has its own */
    bool no_tune;    /* ablation: the device's first answers, nothing searched */
    bool install_signals;
};

struct train_result {
    char run[1024];        /* the run directory */
    char checkpoint[1100]; /* its best checkpoint (its newest where none is best) */
    struct digest digest;  /* model digest of that checkpoint */
    bool already_done;     /* the run was finished before: nothing was computed */
    bool resumed;
    int64_t step;               /* optimizer steps done */
    double loss;                /* of the last step logged */
    double seconds, rows_per_s; /* of this start */
    json_t *metrics;            /* of that checkpoint, or NULL; the caller decrefs */
};

/* Trains; with a comm, all its ranks call this. Rank 0 alone writes into the run, and only its
 * result has a checkpoint and metrics; the code is the same on all of them. Fails with CONFIG
 * (also: another configuration in that directory, with the changed keys), CONFLICT (held),
 * DAMAGED, HOPELESS (non-finite loss, no progress), STOPPED (75: stopped on request, a complete
 * checkpoint is there), IO, NO_MEMORY. */
enum code train(struct train_result *result, const struct experiment *experiment,
                const struct train_opts *opts, struct err *err);

/* model.json for an experiment on a dataset (new reference); for `plan` and tests too. */
enum code train_model(json_t **model, const struct experiment *experiment,
                      const struct dataset *dataset, struct err *err);

#endif
