/* Launch detection: which rank of how many this process is, from a snapshot of the environment.
 *
 * The first that applies: --ranks N, Open MPI's variables, PMIx or PMI, srun (only inside a step),
 * alone. What is believed is named, so that a wrong guess can be seen. The shell of a batch job has
 * SLURM_PROCID=0 and SLURM_NTASKS=4 and is no rank at all: it is refused, since a run that took it
 * for rank 0 of 4 would wait for the others for ever. */
#ifndef PAWL_COMM_LAUNCH_H
#define PAWL_COMM_LAUNCH_H

#include "base/err.h"

enum launcher {
    LAUNCH_ALONE,   /* one process, MPI is never initialised */
    LAUNCH_PARENT,  /* --ranks: this process starts mpirun and stays its parent */
    LAUNCH_OPENMPI, /* the rest: one of several, MPI connects them */
    LAUNCH_PMIX,
    LAUNCH_PMI,
    LAUNCH_SRUN
};

struct placement {
    enum launcher launcher;
    int rank, size;     /* size 0: MPI will say */
    char evidence[200]; /* one line for people; "" for alone without a launcher's trace */
};

struct launch_opts {
    int ranks;         /* of --ranks; 0: not given */
    bool no_detection; /* --no-launch-detection */
    /* the environment's snapshot: a variable's text, or NULL */
    const char *(*lookup)(const void *context, const char *name);
    const void *context;
};

/* Decides. A pure function of its arguments. USAGE for values that are no rank of any size, for
 * --ranks inside a launcher's rank, and in a batch shell, with the line to use instead. */
enum code launch_detect(struct placement *placement, const struct launch_opts *opts,
                        struct err *err);

/* What was decided, in words: "one process", "a rank under Open MPI". */
const char *launch_describe(const struct placement *placement);

/* Whether MPI is to connect this process with others. */
bool launch_has_peers(const struct placement *placement);

#endif
