/* The end of a step that every device must decide alike: scale of the gradient, skip, the count of
 * updates, the next loss scale.
 *
 * Dynamic loss scaling: Micikevicius et al., "Mixed Precision Training" (2018), section 3.2, with
 * the factors of PyTorch's GradScaler: half on an overflow, double after `growth_every` steps
 * without. A loss that is not finite is not the scale's doing (losses are computed unscaled), so it
 * does not move the scale. Common C/C++ subset: CUDA kernels include this file too. */
#ifndef PAWL_KERNELS_STEP_END_H
#define PAWL_KERNELS_STEP_END_H

#include "base/rng.h"
#include "kernels/op.h"

#include <math.h>

/* The largest loss scale that growth leads to (that of NVIDIA's apex). */
#define LOSS_SCALE_MOST 16777216.0f

/* The part of a GRAD_NORM's attributes that it reads. */
struct step_rule {
    double nominal, clip;
    int64_t growth_every;
    float floor;
};

/* What a GRAD_NORM with these attributes goes by. */
static inline struct step_rule step_rule_of(const union op_attr *attr)
{
    struct step_rule rule;
    rule.nominal = (double)attr->optimizer.nominal;
    rule.clip = (double)attr->optimizer.clip_norm;
    rule.growth_every = attr->optimizer.growth_every;
    rule.floor = attr->optimizer.scale_floor;
    return rule;
}

/* A finite step: the update counts, and the scale may grow. */
RNG_INLINE void step_taken(struct step_block *block, struct step_rule rule)
{
    block->skip = STEP_TAKEN;
    block->optimizer_time++;
    block->good_steps++;
    if (rule.growth_every == 0 || block->good_steps < rule.growth_every) return;
    block->good_steps = 0;
    if (block->loss_scale * 2 <= LOSS_SCALE_MOST) block->loss_scale *= 2;
}

/* A step that is not finite: nothing counts, and the scale may be at fault (above its floor, and
 * where the loss itself is finite). */
RNG_INLINE void step_passed_over(struct step_block *block, struct step_rule rule, int loss_finite)
{
    block->skip = STEP_NOT_FINITE;
    block->gradient_scale = 0;
    block->good_steps = 0;
    if (rule.growth_every == 0 || !loss_finite || block->loss_scale <= rule.floor) return;
    float half = block->loss_scale / 2;
    block->skip = STEP_OVERFLOWED;
    block->loss_scale = half > rule.floor ? half : rule.floor;
}

/* `squares`: the sum of the squares of the scaled gradient's elements. */
RNG_INLINE void step_end(struct step_block *block, double squares, struct step_rule rule)
{
    double scale = rule.nominal / (block->weight_sum * (double)block->loss_scale);
    double norm = sqrt(squares) * scale;
    int loss_finite = isfinite(block->loss_sum) && isfinite(block->weight_sum);
    int finite = isfinite(norm) && loss_finite;
    if (rule.clip > 0 && norm > rule.clip) scale *= rule.clip / norm;
    block->gradient_norm = norm;
    block->gradient_scale = (float)scale;
    if (finite)
        step_taken(block, rule);
    else
        step_passed_over(block, rule, loss_finite);
}

#endif
