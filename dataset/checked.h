/* The view NAME.h5.checked: a clean `data check` is remembered while the file stays what it was. */
#ifndef PAWL_DATASET_CHECKED_H
#define PAWL_DATASET_CHECKED_H

#include "dataset/dataset.h"

/* Whether the file that is open was verified whole before and has not changed since. */
bool checked_recall(const struct dataset *dataset);

/* Remembers a clean result. A failure costs only time later, so there is none to report. A file
 * that changed less than 0.1 s ago is not remembered: a later change could bear the same times. */
void checked_remember(const struct dataset *dataset);

#endif
