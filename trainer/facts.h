/* The run's manifest: every input that decided the numbers, by digest (law 6). */
#ifndef PAWL_TRAINER_FACTS_H
#define PAWL_TRAINER_FACTS_H

#include "dataset/dataset.h"
#include "kernels/device.h"
#include "trainer/train.h"

/* run/1 for a start of this experiment on this dataset, device and number of ranks (new
 * reference). `dtype` is the compute type that was chosen. */
json_t *run_facts(const struct experiment *experiment, const struct dataset *dataset,
                  const struct device *device, enum dtype dtype, int ranks, const char *build);

/* A start that is to join a run. */
struct joining {
    const json_t *stored, *now;          /* the run's manifest; what run_facts says of this start */
    const struct run_progress *progress; /* of the run */
    const struct experiment *experiment;
    const char *dir;
    int64_t steps;      /* where this start would end */
    bool allow_inexact; /* other bits are accepted */
};

enum { INEXACT_TEXT = 400 };

/* Whether it may. CONFIG when the configuration or the data differ (the message names the keys),
 * when the end moved and the schedule does not permit it, or when device, threads, precision,
 * algorithms or (but under `determinism: world`) the number of ranks differ; these are accepted
 * with `allow_inexact` or `determinism: off`, and `inexact` then says what differs (else ""). */
enum code run_facts_match(char inexact[INEXACT_TEXT], const struct joining *joining,
                          struct err *err);

#endif
