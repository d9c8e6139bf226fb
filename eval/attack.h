/* Adversarial rows: the smallest change within epsilon that the model's own gradient suggests.
 *
 * FGSM: Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples" (ICLR 2015),
 * one step of epsilon along the sign of the gradient of the loss. PGD: Madry et al., "Towards deep
 * learning models resistant to adversarial attacks" (ICLR 2018), from a random point near the row
 * (seeded by the row), many steps, each brought back to within epsilon. Pixels stay whole numbers
 * from 0 to 255, since the model is fed nothing else. Every model is attacked through itself. */
#ifndef PAWL_EVAL_ATTACK_H
#define PAWL_EVAL_ATTACK_H

#include "eval/perturb.h"
#include "model/input_gradient.h"

struct attack {
    struct input_gradient *gradient;
    void *memory;
    int64_t room; /* rows that it has memory for */
    int threads;
};

/* Prepares to attack a model, up to `rows` rows at a time. attack_close accepts a zeroed struct. */
enum code attack_open(struct attack *attack, const struct weights *weights, int64_t rows,
                      int threads, struct err *err);
void attack_close(struct attack *attack);

/* Changes `rows` stored rows in place, the first being row `first` of the split, with their targets
 * ([rows] i32 or [rows, outputs] f32). */
enum code attack_rows(struct attack *attack, const struct perturbing *perturbing, void *stored,
                      const void *target, int64_t first, int64_t rows, struct err *err);

#endif
