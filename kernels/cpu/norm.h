/* What the batch norm kernels share: the cut of the workspace, statistics, and the join of parts.
 *
 * The workspace begins with constants per channel that all parts read, then one slice per part with
 * its sums (f64) and its conversion buffers. Parts are joined in index order. */
#ifndef PAWL_KERNELS_CPU_NORM_H
#define PAWL_KERNELS_CPU_NORM_H

#include "kernels/cpu/rows.h"

enum norm_constant {
    NORM_SCALE,
    NORM_RSTD,
    NORM_DY_MEAN,
    NORM_SLOPE,
    NORM_ZERO,
    NORM_ONE,
    NORM_CONSTANTS
};

/* One part's slice of the workspace. */
struct norm_slice {
    double *a, *b; /* [C]: mean and sum of squared deviations, or dbeta and dgamma */
    float *buffer;
};

/* Sets workspace_bytes and algorithm, with room for `floats` floats of buffers in each slice. */
void norm_prepare(const struct device *device, struct op_call *call, int64_t floats);

/* One of the constants per channel [C]; the sums that part `index` of `parts` works on. Both lie in
 * the call's workspace. */
float *norm_constant(const struct op_call *call, enum norm_constant which);
struct norm_slice norm_slice(const struct op_call *call, int index, int parts);

/* Channels of the call. */
int64_t norm_channels(const struct op_call *call);

/* Forward: statistics of input 0 over all its rows. Fills outputs mean and rstd, the running
 * values, and NORM_SCALE. */
void norm_statistics(struct device *device, struct op_call *call);

/* Clears the slice's sums. */
void norm_clear(const struct norm_slice *slice, int64_t channels);

/* Backward: joins the slices' dbeta and dgamma, stores them in outputs 2 and 1, and fills
 * NORM_SCALE, NORM_DY_MEAN and NORM_SLOPE for a batch of `rows` rows. */
void norm_join_gradients(struct device *device, struct op_call *call, const float *gamma,
                         const float *rstd, int64_t rows);

#endif
