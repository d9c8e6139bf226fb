/* The passes, each one file and one function `graph -> graph`. Their order is fixed in program.c:
 * backward, precision, fuse, layout, prepare, memory plan, bind (build comes before, in
 * build.h). */
#ifndef PAWL_MODEL_PASSES_H
#define PAWL_MODEL_PASSES_H

#include "kernels/device.h"
#include "model/graph.h"

/* Appends the nodes that compute every parameter's gradient, from the op table's gradient recipes.
 * Gradients of a value with several readers are summed. With `accumulate`, parameter gradients are
 * added to what the gradient arena holds. With `input_gradient` the gradient of the graph's input
 * (behind normalisation) is computed too and its value returned in *input_gradient; else pass NULL.
 * The graph must have a loss. */
enum code pass_backward(struct graph *graph, bool accumulate, int *input_gradient, struct err *err);

/* Computes in `dtype` (F32: nothing to do) where the device does so: activations and matrix
 * operands become `dtype` with casts at the borders; parameters, statistics, losses and parameter
 * gradients stay f32. */
enum code pass_precision(struct graph *graph, const struct device *device, enum dtype dtype,
                         struct err *err);

/* Joins nodes where the device supports the joined op: activation into linear and conv2d, and
 * batch_norm + activation + max_pool, forward and backward. */
enum code pass_fuse(struct graph *graph, const struct device *device, struct err *err);

struct params;

/* Folds batch_norm_infer into the convolution or linear before it: new weights and bias, computed
 * in f64 from those in `params`, become constants of this inference graph. */
enum code pass_fold(struct graph *graph, const struct params *params, struct err *err);

/* Drops optional outputs that nobody reads (the index of a max_pool without a backward pass). */
void pass_trim(struct graph *graph);

/* Asks the device for the layouts that each node wants and inserts reorders. */
enum code pass_layout(struct graph *graph, struct device *device, struct err *err);

/* Where each value lies: offsets in one arena, by lifetimes. Values with roles that live elsewhere
 * have offset UINT64_MAX. */
struct memory_plan {
    uint64_t *offset;                /* per value */
    uint64_t bytes;                  /* of the arena */
    uint64_t workspace;              /* largest workspace of a node, one for all */
    uint64_t activations, gradients; /* sums of what would be needed without sharing, for `plan` */
};

/* First-fit by decreasing size over lifetimes; views and in-place results share their root. With
 * `no_reuse` every value has memory of its own. */
void pass_memory(struct graph *graph, const struct op_call *calls, bool no_reuse,
                 struct arena *arena, struct memory_plan *plan);

#endif
