/* Validation while training: a program of its own over the trainer's parameters.
 *
 * Metrics come from eval's table, computed over all rows of the split at once. */
#ifndef PAWL_TRAINER_VALIDATE_H
#define PAWL_TRAINER_VALIDATE_H

#include "dataset/loader.h"
#include "model/program.h"

struct validator {
    struct arena arena;
    struct device *device;
    struct graph graph;
    struct program program;
    struct loader *loader;
    const struct split *split;
    int64_t tile, rows, outputs;
    bool classification;
    float *output;       /* [rows, outputs] */
    void *target;        /* [rows] or [rows, outputs] */
    size_t target_bytes; /* per row */
};

struct validator_opts {
    const json_t *model;
    const char *split;
    bool average;   /* over the EMA weights */
    bool plan_only; /* compile alone */
};

/* Compiles over `params`. All memory is taken here. */
enum code validator_open(struct validator *validator, const struct dataset *dataset,
                         struct params *params, const struct validator_opts *opts, struct err *err);
void validator_close(struct validator *validator);

/* The names of the metrics that validator_run computes for a task, "loss" among them;
 * NULL-terminated. */
const char *const *validator_metrics(bool classification);

/* Runs over the whole split and returns its metrics as {name: value} (new reference); null where a
 * value is not finite. `stop` is asked between tiles: when it says so, STOPPED is returned. */
enum code validator_run(struct validator *validator, json_t **values, bool (*stop)(void *context),
                        void *context, struct err *err);

#endif
