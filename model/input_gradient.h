/* The gradient of a model's loss by its input, row by row: what adversarial evaluation needs.
 *
 * The model runs as in inference (running statistics, no dropout), forward and backward, on the CPU
 * in fixed tiles with one thread each, so that the gradient of a row is the same bits for any
 * number of rows and threads. It is taken behind normalisation, in units of the normalised input:
 * divided by the deviation it is the gradient by the stored numbers, and its sign is that one's. */
#ifndef PAWL_MODEL_INPUT_GRADIENT_H
#define PAWL_MODEL_INPUT_GRADIENT_H

#include "model/infer.h"

struct input_gradient; /* opaque: one compiled program per thread */

/* Compiles forward and backward; `threads` 0: all processors. The weights are copied; `*gradient`
 * is closed by input_gradient_close, which accepts NULL. USAGE when an op of the model has no
 * gradient. */
enum code input_gradient_open(struct input_gradient **gradient, const struct weights *weights,
                              int threads, struct err *err);
void input_gradient_close(struct input_gradient *gradient);

/* Numbers in one row of input. */
int64_t input_gradient_width(const struct input_gradient *gradient);

/* `rows` rows: `out` [rows, width] f32, input [rows, ...] raw as in the dataset, target [rows]
 * i32 or [rows, outputs] f32. Up to a positive factor that is the same for all rows. */
enum code input_gradient_run(struct input_gradient *gradient, float *out, const void *input,
                             const void *target, int64_t rows, struct err *err);

#endif
