/* A model under test: its graph, parameters and program on one device, with made-up rows. */
#ifndef PAWL_TESTS_MODEL_BENCH_MODEL_H
#define PAWL_TESTS_MODEL_BENCH_MODEL_H

#include "model/build.h"
#include "model/program.h"

/* Ready-made models by name: "cnn", "residual", "mlp", "mixed". */
const char *model_text(const char *name);

struct trial {
    struct arena arena;
    json_t *model;
    struct model_io io;
    struct device device;
    struct graph graph;
    struct params params;
    struct program program;
    void *input;
    int32_t *label;
    int64_t *ordinal;
    int64_t batch;
};

struct trial_opts {
    const char *device; /* "ref" or "cpu" */
    int64_t batch;
    bool no_fuse, no_reuse, accumulate, inference;
    enum dtype dtype;
};

/* Builds, initialises (seed 1) and compiles; fails the test on any error. */
void trial_open(struct trial *trial, const char *model, const struct trial_opts *opts);
void trial_close(struct trial *trial);

/* Runs once and returns the mean loss. */
double trial_loss(struct trial *trial);

#endif
