/* The cases that every device and every gradient recipe is held to: forward ops with attributes,
 * shapes and kinds of values. Backward ops are reached through the recipes of their forward ops, so
 * that the recipes are tested with them. */
#ifndef PAWL_TESTS_KERNELS_CASES_H
#define PAWL_TESTS_KERNELS_CASES_H

#include "kernels/device.h"

/* What an input holds, one character per input ('-': absent):
 *   of the computing type   x within [-2, 2)  X within [-30, 30)  w within [-1, 1)
 *                           s spread out: no two alike, none near 0 (bf16: equal or well apart)
 *   f32 (f64 when computing in f64)
 *                           p within [-1, 1)  g, v, c around 1 (scales, variances, class weights)
 *                           t, m within [0, 1) (targets, shares)  y small and positive
 *   integers                l i32 below the last dimension of input 0   i i32 below the first
 *                           dimension of input 1   o i64 ordinals   u u8 */
struct op_case {
    const char *name;
    enum op_kind op;
    const char *kinds;
    struct shape in[OP_INS];
    union op_attr attr;
    int parts;     /* SPLIT: equal parts */
    int64_t valid; /* rows that are real; 0: all */
};

extern const struct op_case op_cases[];
extern const int op_case_count;

/* The case as a call with tensors in the arena: inputs filled (the same for the same seed), output
 * shapes by the shape rule. `block` becomes the call's step block. */
void case_forward(struct op_call *call, const struct op_case *test, enum dtype dtype, uint64_t seed,
                  struct step_block *block, struct arena *arena);

/* Fills `cotangent[j]` at random for each output whose gradient a recipe of the op asks for; the
 * others get rank -1. Returns whether there is any. */
bool case_cotangents(struct tensor cotangent[OP_OUTS], const struct op_call *forward, uint64_t seed,
                     struct arena *arena);

/* Recipe `r` of a forward call that has run, as a call of its own whose outputs are new. False when
 * there is no such recipe, when nothing it gives is wanted (integers), or when it is a hand-over
 * (`op` OP_COUNT; the value then stands in back->in[0]). */
bool case_backward(struct op_call *back, const struct op_call *forward, const char *kinds, int r,
                   const struct tensor cotangent[OP_OUTS], struct arena *arena);

/* Memory for a tensor's elements, zeroed. */
void tensor_take(struct tensor *tensor, struct arena *arena);

/* Prepares, gives the call its workspace from the arena, runs and releases; fails the test on any
 * error. */
void call_once(struct device *device, struct op_call *call, struct arena *arena);

bool dtype_is_float(enum dtype dtype);

#endif
