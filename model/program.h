/* A program: a graph compiled for one device, ready to run again and again.
 *
 * Compiling runs the passes in their order: precision -> fuse -> layout -> prepare -> memory ->
 * bind. What the trainer wants in a step (norm, clip, optimizer) is appended to the graph before,
 * so a whole step is one program. Running takes no memory.
 *
 * On a device with memory of its own, inputs are copied into slots beside the runs (two, by turns),
 * and from the second run of a slot's recording on nothing but one launch is needed: all that
 * changes from step to step stands in the step block and in the slots (program_stage.c). */
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
    bool no_capture;  /* ablation: launch op by op where the device could replay a recording */
    bool reduce;      /* sum gradients and the block's loss and weight over the device's ranks, and
                       * take the mean of running statistics, before the graph's update */
    size_t bucket_bytes;            /* of such a sum (model/bucket.h); 0: 25 MiB */
    bool no_overlap;                /* ablation: sum after backward instead of beside it */
    const struct program *block_of; /* use the step block of that program, which outlives this one;
                                     * for the programs of one step. NULL: a block of its own */
};

enum { PROGRAM_LATE = 8 /* step blocks that may be asked for and not yet taken */ };

struct staging;
struct reduction;

/* A step block on its way to the host. */
struct late_block {
    struct device_slot slot;
    struct step_block block; /* where the host reaches the device's memory */
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
    bool shares_block;
    struct staging *staging;     /* NULL where the host reaches the device's memory */
    struct reduction *reduction; /* NULL: nothing is summed over ranks */
    struct late_block *late;     /* [PROGRAM_LATE], a ring; NULL before the first is asked for */
    int late_first, late_count;
};

/* Compiles `graph` (which is rewritten and must outlive the program) for `device`, with parameters
 * from `params` (may be NULL with plan_only). Fails with USAGE naming layer, op, dtype and shapes
 * when the device cannot run a node, or with NO_MEMORY naming the plan's largest values. */
enum code program_compile(struct program *program, struct graph *graph, struct device *device,
                          struct params *params, const struct program_opts *opts, struct err *err);
void program_close(struct program *program);

/* Points an input value at host memory of the right size, which every later run reads anew. On a
 * device with memory of its own a run has copied it when it returns; elsewhere it must stay until
 * the run is over. An input that no node reads is passed over. */
void program_input(struct program *program, int value, const void *memory);

/* Where a value lies, for reading results after a run through device->copy_out. */
const void *program_at(const struct program *program, int value);

/* Runs all nodes. On a device with a queue the run goes on after the return, and what failed in it
 * is reported by a later call. */
enum code program_run(struct program *program, struct err *err);

/* Sets what the host writes of the step block (STEP_BLOCK_HOST) for the runs from here on, without
 * waiting; what ops write is left. A program whose block is written so must be so before its first
 * run, and its block is set by copy_in only where no run is outstanding, for what ops write. */
enum code program_block_write(struct program *program, const struct step_block *block,
                              struct err *err);

/* Asks for the step block as the runs so far leave it, without waiting; at most PROGRAM_LATE may be
 * outstanding. program_block_take gives the oldest one asked for: with `wait` always, otherwise
 * *taken says whether it was there. */
enum code program_block_ask(struct program *program, struct err *err);
enum code program_block_take(struct program *program, struct step_block *block, bool wait,
                             bool *taken, struct err *err);

/* Adds the seconds that each node takes over `repeats` runs to seconds[count]; for profiles. */
enum code program_profile(struct program *program, int repeats, double *seconds, struct err *err);

#endif
