/* Shape rules and operation counts behind the op table (internal to kernels/).
 *
 * A rule may count on what op_infer checked before it: the number of inputs, a known type of input
 * 0, and dimensions of at least 1. It reports USAGE with the op's name and the shapes. */
#ifndef PAWL_KERNELS_SHAPE_H
#define PAWL_KERNELS_SHAPE_H

#include "kernels/op.h"

#define SHAPE_RULE(name)                                                                           \
    enum code name(const union op_attr *attr, const struct tensor *in, int ins,                    \
                   struct tensor *out, int *outs, struct err *err)

SHAPE_RULE(infer_linear);
SHAPE_RULE(infer_conv2d);
SHAPE_RULE(infer_batch_norm);
SHAPE_RULE(infer_batch_norm_infer);
SHAPE_RULE(infer_bn_act_pool);
SHAPE_RULE(infer_layer_norm);
SHAPE_RULE(infer_same);
SHAPE_RULE(infer_pair);
SHAPE_RULE(infer_max_pool);
SHAPE_RULE(infer_avg_pool);
SHAPE_RULE(infer_global_avg_pool);
SHAPE_RULE(infer_concat);
SHAPE_RULE(infer_split);
SHAPE_RULE(infer_reshape);
SHAPE_RULE(infer_permute);
SHAPE_RULE(infer_reduce);
SHAPE_RULE(infer_cast);
SHAPE_RULE(infer_reorder);
SHAPE_RULE(infer_dropout);
SHAPE_RULE(infer_normalize);
SHAPE_RULE(infer_augment);
SHAPE_RULE(infer_softmax_xent);
SHAPE_RULE(infer_regression);
SHAPE_RULE(infer_huber);
SHAPE_RULE(infer_loss_sum);
SHAPE_RULE(infer_embedding);
SHAPE_RULE(infer_attention);
SHAPE_RULE(infer_quantize);
SHAPE_RULE(infer_arena);

#define FLOP_RULE(name)                                                                            \
    double name(const union op_attr *attr, const struct tensor *in, int ins,                       \
                const struct tensor *out, int outs)

FLOP_RULE(flops_linear);            /* in[0] x, in[1] w */
FLOP_RULE(flops_linear_bwd);        /* in[0] dy, in[1] w or x */
FLOP_RULE(flops_conv2d);            /* in[1] w, out[0] y */
FLOP_RULE(flops_conv2d_bwd_data);   /* in[0] dy, in[1] w */
FLOP_RULE(flops_conv2d_bwd_weight); /* in[0] dy, out[0] dw */
FLOP_RULE(flops_one);               /* one per element of input 0 */
FLOP_RULE(flops_few);               /* eight per element of input 0: norms, losses, optimizers */
FLOP_RULE(flops_pool);              /* cells of the window per output */
FLOP_RULE(flops_attention);         /* two products, half of them under a causal mask */
FLOP_RULE(flops_attention_bwd);     /* five products */

/* The type of statistics, losses and parameters beside activations of type `dtype`: f32, or f64
 * where all is f64 (ref). */
enum dtype statistic_dtype(enum dtype dtype);

/* USAGE unless both inputs have one shape; unless `tensor` has exactly `count` elements in one
 * dimension; unless its rank is `rank`. `what` names the tensor in the message. */
enum code shape_same(const char *op, const struct tensor *a, const struct tensor *b,
                     struct err *err);
enum code shape_vector(const char *op, const char *what, const struct tensor *tensor, int64_t count,
                       struct err *err);
enum code shape_rank(const char *op, const struct tensor *tensor, int rank, struct err *err);
enum code shape_dtype(const char *op, const char *what, const struct tensor *tensor,
                      uint32_t dtypes, struct err *err);

/* Whether an optional input was given. */
static inline bool shape_given(const struct tensor *in, int ins, int i)
{
    return i < ins && in[i].shape.rank >= 0;
}

#endif
