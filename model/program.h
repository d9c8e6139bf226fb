/* A program: a graph compiled for one device, ready to run again and again.
 *
 * Compiling runs the passes in their order: precision -> fuse -> layout -> prepare -> memory ->
 * bind. What the trainer wants in a step (norm, clip, optimizer) is appended to the graph before,
 * so a whole step is one program. Running takes no memory. */
#ifndef PAWL_MODEL_PROGRAM_H
#define PAWL_MODEL_PROGRAM_H

#include "model/params.h"
#include "model/passes.h"

struct program_opts {
    enum dtype dtype; /* compute type; DTYPE_F32 is 0 */
    bool average;     /* bind to the averaged weights and statistics (EMA) */
    bool no_fuse;     /* ablation: leave nodes as they were built */
    bool no_reuse;    /* ablation: every value its own memory (also for debugging) */
    bool plan_only;   /* stop before memory is taken and bound: for `pawl plan` */
};

struct program {
    struct arena arena;
    struct graph *graph;
    struct device *device;
    struct op_call *calls; /* one per node of the graph */
    int count;
    struct memory_plan plan;
    void *memory, *workspace;
    struct step_block *block; /* in device memory */
};

/* Compiles `graph` (which is rewritten and must outlive the program) for `device`, with parameters
 * from `params` (may be NULL with plan_only). Fails with USAGE naming layer, op, dtype and shapes
 * when the device cannot run a node or keeps memory that the host cannot reach, or with
 * NO_MEMORY. */
enum code program_compile(struct program *program, struct graph *graph, struct device *device,
                          struct params *params, const struct program_opts *opts, struct err *err);
void program_close(struct program *program);

/* Points an input value at memory (device memory; on CPUs any host memory of the right size). */
void program_input(struct program *program, int value, const void *memory);

/* Where a value lies, for reading results after a run (device memory). */
const void *program_at(const struct program *program, int value);

/* Runs all nodes. */
enum code program_run(struct program *program, struct err *err);

/* Adds the seconds that each node takes over `repeats` runs to seconds[count]; for profiles. */
enum code program_profile(struct program *program, int repeats, double *seconds, struct err *err);

#endif
