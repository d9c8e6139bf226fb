/* Parameters: the arenas for values, running statistics, gradients, EMA and optimizer slots.
 *
 * Training, validation and EMA programs share one `params` in canonical layouts. All arenas of
 * trained parameters have the same segment table: 128-byte aligned segments in the order in which
 * backward completes their gradients, padded at the end. Everything is f32 on the device's
 * memory. */
#ifndef PAWL_MODEL_PARAMS_H
#define PAWL_MODEL_PARAMS_H

#include "kernels/device.h"
#include "model/checkpoint.h"
#include "model/graph.h"

enum params_arena {
    ARENA_VALUE,
    ARENA_GRADIENT,
    ARENA_EMA,
    ARENA_SLOT_0, /* momentum, or first moment */
    ARENA_SLOT_1, /* second moment */
    ARENA_STATE,  /* running statistics */
    ARENA_EMA_STATE,
    ARENA_COUNT
};

struct params {
    struct arena arena;
    struct device *device;
    struct parameter *items; /* as in the graph, in its order */
    int count;
    int64_t *offset;            /* elements, in the value arenas or (states) in the state arenas */
    struct segments segments;   /* of the arenas of trained parameters */
    struct segments states;     /* of the arenas of running statistics */
    float *memory[ARENA_COUNT]; /* NULL: not asked for */
};

/* Takes arenas for a graph's parameters: `arenas` has bit i set for each wanted params_arena (VALUE
 * and STATE always). NO_MEMORY. params_close accepts a zeroed struct. */
enum code params_open(struct params *params, const struct graph *graph, struct device *device,
                      uint32_t arenas, struct err *err);
void params_close(struct params *params);

/* The same table without any memory, for planning. */
void params_lay_out(struct params *params, const struct graph *graph, struct device *device);

/* First values: a pure function of (seed, parameter name, element). EMA begins as a copy. */
enum code params_init(struct params *params, uint64_t seed, struct err *err);

/* The memory of item `index` in an arena: device memory. */
float *params_at(const struct params *params, enum params_arena arena, int index);

/* The tensors of an arena by name, pointing into it: device memory, so a table over a copy of the
 * arenas is what a device with memory of its own needs here (trainer/save.c). Trained or states, as
 * the arena says. */
size_t params_tensors(const struct params *params, enum params_arena arena, struct arena *names,
                      struct named_tensor **tensors);

/* Fills an arena from tensors by name: every item must be there with its shape and as f32, unless
 * `partial` (warm start), which takes what matches and counts it in *taken (may be NULL). */
enum code params_load(struct params *params, enum params_arena arena,
                      const struct named_tensor *tensors, size_t count, bool partial, int *taken,
                      struct err *err);

/* Elements of an arena, padding included. */
int64_t params_size(const struct params *params, enum params_arena arena);

/* Number of trained numbers (without padding). */
int64_t params_trained(const struct params *params);

#endif
