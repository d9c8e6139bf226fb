/* Batch statistics of one channel, shared by batch_norm and its fused form (internal to ref/). */
#ifndef PAWL_KERNELS_REF_NORM_H
#define PAWL_KERNELS_REF_NORM_H

#include "kernels/ref/ref.h"

/* One channel's normalisation: z = (x - mean) * rstd * gamma + beta. */
struct channel {
    struct sum mean, rstd;
    double gamma, beta;
};

/* Mean and 1 / sqrt(variance + eps) of channel c over all rows of input 0 ([.., C]), put into
 * outputs 1 and 2; running mean and variance (inputs 3 and 4) are moved towards them. */
struct channel channel_of_batch(const struct op_call *call, int64_t c);

/* x normalised (without gamma and beta), and with them. */
struct sum channel_hat(const struct channel *channel, double x);
struct sum channel_apply(const struct channel *channel, double x);

/* dx = gamma rstd (g - dbeta / n - hat dgamma / n) for the gradient g behind the affine part. */
struct sum channel_bwd(const struct channel *channel, double x, struct sum g,
                       const struct sum totals[2], double rows);

#endif
