/* Launch detection is a table: an environment, what --ranks says, and what comes out. */
#include "comm/launch.h"

#include <criterion/criterion.h>
#include <string.h>

struct row {
    const char *name;
    const char *environment[10]; /* name, text, ... */
    int ranks;
    bool no_detection;
    enum code code;
    enum launcher launcher;
    int rank, size;
    const char *says; /* in the evidence or in message or hint */
};

#define OMPI(rank, size) "OMPI_COMM_WORLD_RANK", rank, "OMPI_COMM_WORLD_SIZE", size

static const struct row rows[] = {
    { "nothing set", { 0 }, .launcher = LAUNCH_ALONE, .size = 1, .says = "" },
    { "mpirun",
      { OMPI("3", "4") },
      .launcher = LAUNCH_OPENMPI,
      .rank = 3,
      .size = 4,
      .says = "OMPI_COMM_WORLD_RANK=3 of OMPI_COMM_WORLD_SIZE=4" },
    { "mpirun -np 1",
      { OMPI("0", "1") },
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "OMPI_COMM_WORLD_SIZE=1" },
    { "mpirun in a batch job: the SLURM ranks are its daemon's",
      { OMPI("3", "4"), "SLURM_PROCID", "1", "SLURM_STEP_NUM_TASKS", "2", "SLURM_STEP_ID", "0" },
      .launcher = LAUNCH_OPENMPI,
      .rank = 3,
      .size = 4,
      .says = "Open MPI" },
    { "srun --mpi=pmix",
      { "PMIX_RANK", "2", "PMIX_NAMESPACE", "slurm.7.0", "SLURM_PROCID", "2", "SLURM_STEP_ID",
        "0" },
      .launcher = LAUNCH_PMIX,
      .rank = 2,
      .size = 0,
      .says = "PMIX_NAMESPACE" },
    { "a PMIx rank without its namespace",
      { "PMIX_RANK", "2" },
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "" },
    { "PMI",
      { "PMI_RANK", "1", "PMI_SIZE", "2" },
      .launcher = LAUNCH_PMI,
      .rank = 1,
      .size = 2,
      .says = "PMI_RANK=1" },
    { "srun",
      { "SLURM_PROCID", "5", "SLURM_STEP_NUM_TASKS", "8", "SLURM_STEP_ID", "0", "SLURM_JOB_ID",
        "9" },
      .launcher = LAUNCH_SRUN,
      .rank = 5,
      .size = 8,
      .says = "SLURM_STEP_ID" },
    { "srun with one task",
      { "SLURM_PROCID", "0", "SLURM_STEP_NUM_TASKS", "1", "SLURM_STEP_ID", "0", "SLURM_NTASKS",
        "4" },
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "SLURM_STEP_NUM_TASKS=1" },
    { "the batch shell of four tasks",
      { "SLURM_PROCID", "0", "SLURM_NTASKS", "4", "SLURM_JOB_ID", "9", "SLURM_LOCALID", "0" },
      .code = USAGE,
      .says = "srun --mpi=pmix --ntasks=4 pawl train" },
    { "the batch shell of one task",
      { "SLURM_PROCID", "0", "SLURM_NTASKS", "1", "SLURM_JOB_ID", "9" },
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "" },
    { "the batch shell, detection off",
      { "SLURM_PROCID", "0", "SLURM_NTASKS", "4", "SLURM_JOB_ID", "9" },
      .no_detection = true,
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "--no-launch-detection" },
    { "mpirun, detection off",
      { OMPI("3", "4") },
      .no_detection = true,
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "--no-launch-detection" },
    { "--ranks", { 0 }, .ranks = 4, .launcher = LAUNCH_PARENT, .size = 4, .says = "--ranks=4" },
    { "--ranks 1", { 0 }, .ranks = 1, .launcher = LAUNCH_ALONE, .size = 1, .says = "--ranks=1" },
    { "--ranks in a batch shell",
      { "SLURM_NTASKS", "4", "SLURM_JOB_ID", "9" },
      .ranks = 2,
      .launcher = LAUNCH_PARENT,
      .size = 2,
      .says = "--ranks=2" },
    { "--ranks in a rank",
      { OMPI("0", "2") },
      .ranks = 4,
      .code = USAGE,
      .says = "Leave --ranks out" },
    { "no number", { OMPI("x", "4") }, .code = USAGE, .says = "OMPI_COMM_WORLD_RANK=x" },
    { "a rank beyond the size", { OMPI("4", "4") }, .code = USAGE, .says = "WORLD_SIZE=4" },
    { "a negative rank", { "PMI_RANK", "-1", "PMI_SIZE", "2" }, .code = USAGE, .says = "PMI_RANK" },
    { "no size", { "OMPI_COMM_WORLD_RANK", "1" }, .launcher = LAUNCH_ALONE, .size = 1, .says = "" },
    { "Kubeflow's torch variables name nodes, not ranks",
      { "RANK", "1", "WORLD_SIZE", "2" },
      .launcher = LAUNCH_ALONE,
      .size = 1,
      .says = "" },
};

static const char *look(const void *context, const char *name)
{
    const char *const *pair = context;
    for (; *pair; pair += 2)
        if (strcmp(*pair, name) == 0) return pair[1];
    return NULL;
}

Test(launch, each_environment_is_read_as_its_launcher_means_it)
{
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        const struct row *row = &rows[r];
        struct placement found;
        struct err err = { 0 };
        struct launch_opts opts = { .ranks = row->ranks,
                                    .no_detection = row->no_detection,
                                    .lookup = look,
                                    .context = row->environment };
        enum code code = launch_detect(&found, &opts, &err);
        cr_expect_eq(code, row->code, "%s: %s", row->name, err.message);
        if (code) {
            cr_expect(strstr(err.message, row->says) || strstr(err.hint, row->says), "%s: '%s' %s",
                      row->name, err.message, err.hint);
            continue;
        }
        cr_expect_eq(found.launcher, row->launcher, "%s: %d", row->name, (int)found.launcher);
        cr_expect(found.rank == row->rank && found.size == row->size, "%s: %d of %d", row->name,
                  found.rank, found.size);
        cr_expect(strstr(found.evidence, row->says), "%s: '%s'", row->name, found.evidence);
        cr_expect(*row->says || !*found.evidence, "%s: '%s'", row->name, found.evidence);
    }
}
