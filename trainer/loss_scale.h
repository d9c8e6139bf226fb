/* The loss scale of f16 training: its rows of the configuration.
 *
 * f16 has no numbers below 2^-24, where many gradients lie; so losses are multiplied by a factor
 * and gradients divided by it, in f32, before anything looks at them. What the scale becomes from
 * step to step is decided on the device (kernels/step_end.h). */
#ifndef PAWL_TRAINER_LOSS_SCALE_H
#define PAWL_TRAINER_LOSS_SCALE_H

#include "base/schema.h"

extern const struct choice loss_scale_choices[];

struct loss_scale {
    double start;
    double floor;         /* it is not halved below this */
    int64_t growth_every; /* finite steps until it doubles; 0: it stays as it is */
};

/* Reads the choice node; NULL: dynamic, with the defaults of its rows. CONFIG at the position of a
 * floor above the start. */
enum code loss_scale_read(struct loss_scale *scale, const struct node *choice, struct err *err);

#endif
