/* The launchers are rows of a table, in the order in which they are believed. */
#include "comm/launch.h"

#include "base/units.h"

#include <stdio.h>
#include <string.h>

struct launcher_row {
    enum launcher launcher;
    const char *name;        /* for messages */
    const char *rank, *size; /* variables; size NULL: MPI says */
    const char *only_with;   /* another variable without which the row does not count, or NULL */
};

static const struct launcher_row rows[] = {
    { LAUNCH_OPENMPI, "Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", NULL },
    { LAUNCH_PMIX, "PMIx", "PMIX_RANK", NULL, "PMIX_NAMESPACE" },
    { LAUNCH_PMI, "PMI", "PMI_RANK", "PMI_SIZE", NULL },
    { LAUNCH_SRUN, "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_ID" },
};

enum { MOST_RANKS = 1 << 20 };

static const char *look(const struct launch_opts *opts, const char *name)
{
    const char *text = opts->lookup ? opts->lookup(opts->context, name) : NULL;
    return text && *text ? text : NULL;
}

static bool read_count(int *value, const char *text)
{
    int64_t number;
    if (!text || !units_int(&number, text, NULL) || number < 0 || number > MOST_RANKS) return false;
    *value = (int)number;
    return true;
}

/* Whether the row's variables are there; a launcher that sets a half of them is not that one. */
static bool applies(const struct launcher_row *row, const struct launch_opts *opts)
{
    return look(opts, row->rank) && (!row->size || look(opts, row->size)) &&
           (!row->only_with || look(opts, row->only_with));
}

static enum code believe(struct placement *placement, const struct launcher_row *row,
                         const struct launch_opts *opts, struct err *err)
{
    const char *rank = look(opts, row->rank), *size = row->size ? look(opts, row->size) : NULL;
    placement->launcher = row->launcher;
    if (!read_count(&placement->rank, rank) || (size && !read_count(&placement->size, size)) ||
        (size && placement->rank >= placement->size)) {
        err_set(err, USAGE, "cannot tell which rank this is: %s=%.40s%s%s%s%.40s", row->rank, rank,
                size ? ", " : "", size ? row->size : "", size ? "=" : "", size ? size : "");
        return err_hint(err, "Say --no-launch-detection to train in this one process.");
    }
    const char *with = row->only_with ? row->only_with : "";
    snprintf(placement->evidence, sizeof placement->evidence, "%s: %s=%d%s%s%s%s%.40s%s", row->name,
             row->rank, placement->rank, size ? " of " : "", size ? row->size : "", size ? "=" : "",
             size ? size : "", *with ? ", with " : "", with);
    return OK;
}

/* The shell of a job with several tasks is none of them. */
static enum code refuse_batch_shell(const struct launch_opts *opts, struct err *err)
{
    int tasks = 0;
    const char *count = look(opts, "SLURM_NTASKS");
    if (!look(opts, "SLURM_JOB_ID") || look(opts, "SLURM_STEP_ID")) return OK;
    if (!read_count(&tasks, count) || tasks < 2) return OK;
    err_set(err, USAGE,
            "cannot train here: this is the shell of a job of %d tasks (SLURM_NTASKS=%d and no "
            "SLURM_STEP_ID), not one of them",
            tasks, tasks);
    return err_hint(err,
                    "Use `srun --mpi=pmix --ntasks=%d pawl train ...`; --no-launch-detection "
                    "trains in this one process.",
                    tasks);
}

static enum code take_parent(struct placement *placement, const struct launch_opts *opts,
                             struct err *err)
{
    for (size_t r = 0; r < sizeof rows / sizeof *rows - 1; r++) {
        if (opts->no_detection || !applies(&rows[r], opts)) continue;
        err_set(err, USAGE, "cannot start ranks: this is one already (%s=%s)", rows[r].rank,
                look(opts, rows[r].rank));
        return err_hint(err, "Leave --ranks out: the launcher has decided how many there are.");
    }
    placement->launcher = opts->ranks > 1 ? LAUNCH_PARENT : LAUNCH_ALONE;
    placement->size = opts->ranks;
    snprintf(placement->evidence, sizeof placement->evidence, "--ranks=%d", opts->ranks);
    return OK;
}

enum code launch_detect(struct placement *placement, const struct launch_opts *opts,
                        struct err *err)
{
    *placement = (struct placement){ .launcher = LAUNCH_ALONE, .size = 1 };
    if (opts->ranks < 0 || opts->ranks > MOST_RANKS)
        return err_set(err, USAGE, "cannot start %d ranks: expected 1 to %d", opts->ranks,
                       MOST_RANKS);
    if (opts->ranks) return take_parent(placement, opts, err);
    if (opts->no_detection) {
        snprintf(placement->evidence, sizeof placement->evidence, "--no-launch-detection");
        return OK;
    }
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (!applies(&rows[r], opts)) continue;
        placement->size = 0;
        TRY(believe(placement, &rows[r], opts, err));
        if (placement->size == 1) placement->launcher = LAUNCH_ALONE;
        return OK;
    }
    return refuse_batch_shell(opts, err);
}

const char *launch_describe(const struct placement *placement)
{
    static const char *const words[] = {
        [LAUNCH_ALONE] = "one process",
        [LAUNCH_PARENT] = "ranks started with mpirun",
        [LAUNCH_OPENMPI] = "a rank under Open MPI",
        [LAUNCH_PMIX] = "a rank under PMIx",
        [LAUNCH_PMI] = "a rank under PMI",
        [LAUNCH_SRUN] =
            "a rank under srun without PMIx; if MPI does not start, say srun --mpi=pmix",
    };
    return words[placement->launcher];
}

bool launch_has_peers(const struct placement *placement)
{
    return placement->launcher > LAUNCH_PARENT;
}
