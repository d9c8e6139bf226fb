/* A registry with small real models to work on: shared by tests and helper programs. */
#ifndef PAWL_TESTS_REGISTRY_SHARED_SUPPORT_H
#define PAWL_TESTS_REGISTRY_SHARED_SUPPORT_H

#include "registry/deploy.h"
#include "registry/registry.h"

enum { SUPPORT_INPUTS = 4, SUPPORT_OUTPUTS = 3, SUPPORT_ROWS = 5 };

struct support {
    char dir[64]; /* a fresh folder; the registry is DIR/registry */
    char path[80];
    struct arena arena;
    struct registry registry;
    struct err err;
};

/* fsync that does nothing: for tests that do not count it. */
int support_no_fsync(int fd);

/* Makes the folder and an open registry in it; takes both away. */
enum code support_open(struct support *support);
void support_close(struct support *support);

/* Golden inputs [SUPPORT_ROWS, SUPPORT_INPUTS]; the weights and bias of the model with this
 * seed. */
void support_inputs(float *input);
void support_weights(float *weight, float *bias, int seed);

/* Saves a checkpoint of one dense layer whose weights follow from `seed`. */
enum code support_checkpoint(const char *dir, int seed, struct err *err);

/* Makes such a checkpoint under DIR/checkpoints/ (once per seed) and adds it to `model`. */
enum code support_add(struct registry *registry, struct added *added, const char *dir,
                      const char *model, int seed, struct err *err);

/* Writes a report directory under DIR/reports/ and records it about a version. `suite` and
 * `verdict` name it; its digest follows from both and the version. */
enum code support_report(struct registry *registry, int64_t *seq, const char *dir,
                         const char *model, int64_t number, const char *suite, const char *verdict,
                         struct err *err);

/* Promotes with an actor and a reason. */
enum code support_promote(struct registry *registry, struct moved *moved, const char *model,
                          int64_t number, const char *channel, struct err *err);

#endif
