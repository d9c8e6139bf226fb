/* The run's manifest: every input that decided the numbers, by digest (law 6). */
#ifndef PAWL_TRAINER_FACTS_H
#define PAWL_TRAINER_FACTS_H

#include "dataset/dataset.h"
#include "kernels/device.h"
#include "trainer/train.h"

/* run/1 for a start of this experiment on this dataset and device (new reference). `dtype` is the
 * compute type that was chosen. */
json_t *run_facts(const struct experiment *experiment, const struct dataset *dataset,
                  const struct device *device, enum dtype dtype, const char *build);

/* Compares a run's stored manifest with this start's. CONFIG when the configuration or the data
 * differ (the hint names the keys), or when device, threads or binary differ and `allow_inexact` is
 * not set. *extends is set when only the end of the schedule moved and may move. */
enum code run_facts_match(bool *extends, const json_t *stored, const json_t *now,
                          const struct experiment *experiment, bool allow_inexact, const char *dir,
                          struct err *err);

#endif
