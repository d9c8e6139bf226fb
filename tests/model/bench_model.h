/* A model under test: its graph, parameters and program on one device, with made-up rows. */
#ifndef PAWL_TESTS_MODEL_BENCH_MODEL_H
#define PAWL_TESTS_MODEL_BENCH_MODEL_H

#include "model/build.h"
#include "model/program.h"

/* Ready-made models by name: "cnn", "residual", "mlp", "mixed", "flat". */
const char *model_text(const char *name);

struct far_ranks;

struct trial {
    struct arena arena;
    json_t *model;
    struct model_io io;
    struct device device;
    struct far_ranks *ranks;
    struct graph graph;
    struct params params;
    struct program program;
    struct step_block block; /* what the device's block begins with */
    void *input;
    int32_t *label;
    int64_t *ordinal;
    int64_t batch;
};

struct trial_opts {
    const char *device;                                        /* "ref" or "cpu" */
    enum code (*open)(struct device *device, struct err *err); /* in place of a named one */
    bool far;            /* wrapped in a device with memory of its own */
    int kind;            /* bits of far_kind */
    int ranks;           /* of them the far device is one; its program sums over them */
    bool late, recorded; /* as in far_ranks_open */
    size_t bucket_bytes;
    bool no_overlap;
    bool sum;    /* the losses, before backward */
    bool update; /* norm and SGD behind backward; for the rows of all ranks */
    bool no_capture;
    const struct program *block_of;
    int64_t batch;
    bool no_fuse, no_reuse, accumulate, inference;
    enum dtype dtype;
};

/* Builds, initialises (seed 1) and compiles; fails the test on any error. */
void trial_open(struct trial *trial, const char *model, const struct trial_opts *opts);
void trial_close(struct trial *trial);

/* Norm, clip and SGD over whole arenas; `nominal` rows. */
void append_update(struct graph *graph, const struct params *params, int64_t nominal);

/* Other rows, labels and ordinals, by number; in the memory that the program was told of. */
void trial_rows(struct trial *trial, uint64_t number);

/* Runs once and returns the mean loss. */
double trial_loss(struct trial *trial);

/* An arena of parameters on the host (arena). */
const float *trial_numbers(struct trial *trial, enum params_arena arena);

#endif
