/* The profile of a split (profile/1): what training data looked like, for normalisation, checks and
 * drift.
 *
 *   rows, classes: [count per class] | null, target {mean, deviation, low, high} | null
 *   columns [{name, mean, deviation, low, high, missing, histogram {low, high, below, counts,
 *   above}}]
 *
 * One column per channel of an image or feature of a table, all numbers in stored units, in f64;
 * the deviation is that of the population. A histogram has 32 equal bins over [low, high): [0, 256)
 * for u8, the training split's range for others (the last bin includes its end). */
#ifndef PAWL_DATASET_PROFILE_H
#define PAWL_DATASET_PROFILE_H

#include "dataset/table.h"

struct moments {
    double mean, deviation, low, high;
};

/* The moments of each channel or feature (the last dimension of the column) over some rows. */
struct moments *profile_moments(struct arena *arena, const struct table_column *column,
                                const uint64_t *rows, uint64_t count);

/* The document of one split; `train` are the training split's moments of the input. */
json_t *profile_build(const struct table *table, const struct table_split *split,
                      const struct moments *train);

#endif
