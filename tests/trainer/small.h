/* A folder with a small dataset (pictures of 6x6 in three classes) and experiments on it. */
#ifndef PAWL_TESTS_TRAINER_SMALL_H
#define PAWL_TESTS_TRAINER_SMALL_H

#include "trainer/loop.h"

#include <criterion/criterion.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

struct small {
    char dir[64], data[96], yaml[96];
    struct arena arena;
};

/* Makes folder and dataset: 85 rows to train on, 23 to validate on. */
void small_open(struct small *small);
void small_close(struct small *small);

/* Writes an experiment with this model (lines of layers, or NULL: conv, relu, flatten, dense) and
 * these further keys of `train` (f32, one thread and every step logged unless they say otherwise),
 * and reads it. */
void small_experiment(struct small *small, struct experiment *experiment, const char *layers,
                      const char *train);

/* The path of something in the folder (arena). */
const char *small_path(struct small *small, const char *name);

/* Trains to the end of what `opts` asks for; its code. */
enum code small_train(struct small *small, const struct experiment *experiment,
                      struct train_opts *opts, struct train_result *result);

#endif
