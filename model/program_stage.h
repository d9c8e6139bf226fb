/* What a program has on a device whose memory the host cannot reach (internal to model/).
 *
 * Constants are copied once. Inputs lie in slots: a run fills the slot that the run before the last
 * one used, while the last one goes on. Each slot has a recording of the whole program. */
#ifndef PAWL_MODEL_PROGRAM_STAGE_H
#define PAWL_MODEL_PROGRAM_STAGE_H

#include "model/program.h"

/* Takes slots and constants; `capture`: record where the device can. NO_MEMORY, DEVICE. */
enum code staging_open(struct program *program, bool capture, struct err *err);
/* Also what late blocks hold; accepts a program without any. */
void staging_close(struct program *program);

/* Where a constant lies in device memory. */
void *staging_constant(const struct staging *staging, int value);

/* As program_input. */
void staging_input(struct staging *staging, int value, const void *memory);

/* Fills the next slot and points the calls at it, without running. */
enum code staging_bind(struct program *program, struct err *err);

/* As program_run. */
enum code staging_run(struct program *program, struct err *err);

/* Launches every call on what it is bound to. */
enum code program_launch(struct program *program, struct err *err);

#endif
