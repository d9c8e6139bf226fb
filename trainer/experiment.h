/* The experiment file: data, model, training, and where results go.
 *
 * The tables here drive parsing, help, schema and `--set`; experiment_read turns the effective
 * document into one plain struct that the rest of the trainer reads. */
#ifndef PAWL_TRAINER_EXPERIMENT_H
#define PAWL_TRAINER_EXPERIMENT_H

#include "base/schema.h"
#include "trainer/loss_scale.h"
#include "trainer/optimizer.h"
#include "trainer/schedule.h"

/* `experiment/1`, for document_load. */
extern const struct kind experiment_kind;

enum precision { PRECISION_AUTO, PRECISION_F32, PRECISION_TF32, PRECISION_BF16, PRECISION_F16 };
enum determinism { DETERMINISM_RUN, DETERMINISM_WORLD, DETERMINISM_OFF };
enum non_finite { NON_FINITE_STOP, NON_FINITE_SKIP };

/* A metric to watch and which way is better. */
struct watched {
    const char *metric; /* of eval's table, or "loss" */
    bool larger_is_better;
};

struct experiment {
    const struct document *document;
    struct digest digest; /* configuration digest */
    const char *name;

    const char *data;                         /* path of the dataset, openable from here */
    const char *train_split, *validate_split; /* validate_split NULL: no validation */
    const struct node *augment;               /* list, or NULL */
    const struct node *model;                 /* the model section */
    const char *init;                         /* REF of a warm start, or NULL */

    int64_t epochs, steps;      /* one of them is 0 */
    int64_t batch, micro_batch; /* micro_batch 0: chosen */
    int64_t shards;             /* divides batch; micro_batch divides batch / shards */
    bool pad_last;
    struct optimizer optimizer;
    struct schedule schedule;
    enum precision precision;
    struct loss_scale loss_scale; /* 1 and fixed unless f16 */
    enum determinism determinism;
    enum non_finite non_finite;
    double clip_norm, clip_value; /* 0: none */
    double ema_decay;             /* 0: none */
    uint64_t seed;
    int threads;           /* 0: all processors, or this rank's share of them */
    int threads_per_shard; /* instead, under determinism: world */

    struct span validate_every, checkpoint_every;
    struct watched best;
    int64_t keep_best, keep_last;
    bool early_stop;
    struct watched stop_by;
    int64_t patience; /* validations without improvement */
    double least_gain;
    double log_every_s;

    const char *suite;                                        /* path, or NULL */
    const char *registry, *registry_model, *registry_channel; /* or NULL */
    const char *deploy, *deploy_layout; /* path, or NULL; "folder" | "image" */
};

/* Reads the effective document. The document must outlive the result. Fails with CONFIG at the
 * position of what contradicts something else (both epochs and steps, a batch that micro_batch does
 * not divide, ...). */
enum code experiment_read(struct experiment *experiment, struct arena *arena,
                          const struct document *document, struct err *err);

#endif
