/* Sums over ranks inside a program (internal to model/).
 *
 * The gradient arena goes bucket by bucket, each started right after the node that completes it;
 * with the last one go the step block's loss and weight sums. Running statistics become their mean
 * over the ranks after the last node that updates them. The first node that reads a whole arena
 * comes behind all of it. The same graph gives the same order on every rank. */
#ifndef PAWL_MODEL_REDUCTION_H
#define PAWL_MODEL_REDUCTION_H

#include "model/program.h"

/* Plans for the compiled and bound program; `opts` as given to program_compile. */
void reduction_plan(struct program *program, const struct params *params,
                    const struct program_opts *opts);

/* To be called before node `n` is launched, and with n == count at the end: starts what the nodes
 * before have completed, joins where `n` needs it. */
enum code reduction_step(struct program *program, int n, struct err *err);

/* A recording of the program was launched. */
void reduction_replayed(struct program *program);

#endif
