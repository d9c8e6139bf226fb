/* The op table: what every operation is, on every device.
 *
 * One row of `ops` says all that the rest of pawl needs to know about an op: arity, shape rule,
 * gradient, memory behaviour, cost, dtypes and tolerance. Names, dispatch, tests, benches, `plan`
 * and the docs loop over it. To add an op: one name in OPS, one row in op.c, one file in ref/ and
 * one in each device folder.
 *
 * Gradients are data, not code: a row lists the nodes to emit, each with its inputs named relative
 * to the forward node. What is saved for backward follows from that list. */
#ifndef PAWL_KERNELS_OP_H
#define PAWL_KERNELS_OP_H

#include "kernels/tensor.h"

/* The only place where ops are named. */
#define OPS(X)                                                                                     \
    X(LINEAR, "linear")                                                                            \
    X(LINEAR_BWD_DATA, "linear_bwd_data")                                                          \
    X(LINEAR_BWD_WEIGHT, "linear_bwd_weight")                                                      \
    X(CONV2D, "conv2d")                                                                            \
    X(CONV2D_BWD_DATA, "conv2d_bwd_data")                                                          \
    X(CONV2D_BWD_WEIGHT, "conv2d_bwd_weight")                                                      \
    X(BATCH_NORM, "batch_norm")                                                                    \
    X(BATCH_NORM_BWD, "batch_norm_bwd")                                                            \
    X(BATCH_NORM_INFER, "batch_norm_infer")                                                        \
    X(BATCH_NORM_INFER_BWD, "batch_norm_infer_bwd")                                                \
    X(BN_ACT_POOL, "bn_act_pool")                                                                  \
    X(BN_ACT_POOL_BWD, "bn_act_pool_bwd")                                                          \
    X(LAYER_NORM, "layer_norm")                                                                    \
    X(LAYER_NORM_BWD, "layer_norm_bwd")                                                            \
    X(RELU, "relu")                                                                                \
    X(RELU_BWD, "relu_bwd")                                                                        \
    X(GELU, "gelu")                                                                                \
    X(GELU_BWD, "gelu_bwd")                                                                        \
    X(SILU, "silu")                                                                                \
    X(SILU_BWD, "silu_bwd")                                                                        \
    X(TANH, "tanh")                                                                                \
    X(TANH_BWD, "tanh_bwd")                                                                        \
    X(SIGMOID, "sigmoid")                                                                          \
    X(SIGMOID_BWD, "sigmoid_bwd")                                                                  \
    X(MAX_POOL, "max_pool")                                                                        \
    X(MAX_POOL_BWD, "max_pool_bwd")                                                                \
    X(AVG_POOL, "avg_pool")                                                                        \
    X(AVG_POOL_BWD, "avg_pool_bwd")                                                                \
    X(GLOBAL_AVG_POOL, "global_avg_pool")                                                          \
    X(GLOBAL_AVG_POOL_BWD, "global_avg_pool_bwd")                                                  \
    X(ADD, "add")                                                                                  \
    X(MULTIPLY, "multiply")                                                                        \
    X(CONCAT, "concat")                                                                            \
    X(SPLIT, "split")                                                                              \
    X(RESHAPE, "reshape")                                                                          \
    X(PERMUTE, "permute")                                                                          \
    X(PERMUTE_BWD, "permute_bwd")                                                                  \
    X(REDUCE_SUM, "reduce_sum")                                                                    \
    X(REDUCE_SUM_BWD, "reduce_sum_bwd")                                                            \
    X(REDUCE_MEAN, "reduce_mean")                                                                  \
    X(REDUCE_MEAN_BWD, "reduce_mean_bwd")                                                          \
    X(CAST, "cast")                                                                                \
    X(CAST_BWD, "cast_bwd")                                                                        \
    X(REORDER, "reorder")                                                                          \
    X(DROPOUT, "dropout")                                                                          \
    X(DROPOUT_BWD, "dropout_bwd")                                                                  \
    X(NORMALIZE, "normalize")                                                                      \
    X(FLIP, "flip")                                                                                \
    X(PADDED_CROP, "padded_crop")                                                                  \
    X(SOFTMAX, "softmax")                                                                          \
    X(SOFTMAX_BWD, "softmax_bwd")                                                                  \
    X(SOFTMAX_XENT, "softmax_xent")                                                                \
    X(MSE, "mse")                                                                                  \
    X(HUBER, "huber")                                                                              \
    X(BCE, "bce")                                                                                  \
    X(EMBEDDING, "embedding")                                                                      \
    X(EMBEDDING_BWD, "embedding_bwd")                                                              \
    X(ATTENTION, "attention")                                                                      \
    X(ATTENTION_BWD, "attention_bwd")                                                              \
    X(QUANTIZE, "quantize")                                                                        \
    X(GRAD_NORM, "grad_norm")                                                                      \
    X(SGD, "sgd")                                                                                  \
    X(ADAMW, "adamw")                                                                              \
    X(EMA, "ema")                                                                                  \
    X(LOSS_SUM, "loss_sum")

enum op_kind {
#define X(name, text) OP_##name,
    OPS(X)
#undef X
        OP_COUNT
};

enum { OP_INS = 8, OP_OUTS = 8, OP_GRADIENTS = 4 };

enum activation { ACT_NONE, ACT_RELU, ACT_GELU, ACT_SILU, ACT_TANH, ACT_SIGMOID, ACT_COUNT };

/* One run of the parameter arena that belongs to one parameter; the optimizer walks these. */
struct segment {
    int64_t offset, count; /* in elements of the arena, offset 128-byte aligned */
    bool decay;            /* decoupled weight decay applies */
    float rate;            /* factor on the learning rate */
    const char *name;
};

struct segments {
    const struct segment *at;
    int64_t count;
    int64_t size; /* elements of the whole arena, padding included */
};

/* Attributes of a node, by op (backward ops use their forward op's member). */
union op_attr {
    struct {
        enum activation act;
    } linear;
    struct {
        int stride[2], dilation[2]; /* h, w; 0 means 1 */
        int pad[4];                 /* top, bottom, left, right */
        int groups;                 /* 0 means 1 */
        enum activation act;
    } conv;
    struct {
        float eps, momentum; /* running = (1 - momentum) * running + momentum * batch */
        enum activation act; /* BN_ACT_POOL only */
        int pool;            /* BN_ACT_POOL only: side and stride of a max pool, 1: none */
    } norm;
    struct {
        int size[2], stride[2], pad[4];
        bool count_padding; /* avg_pool: padded cells count in the mean */
    } pool;
    struct {
        int axis;
    } concat; /* SPLIT too */
    struct {
        struct shape shape; /* dim -1 at most once: inferred; dim[0] 0: copied from the input */
    } reshape;
    struct {
        int order[TENSOR_DIMS]; /* out.dim[i] = in.dim[order[i]] */
    } permute;
    struct {
        uint32_t axes; /* bit i: reduce dimension i */
    } reduce;
    struct {
        enum dtype to;
    } cast; /* NORMALIZE too */
    struct {
        uint32_t layout;
        uint64_t bytes;
    } reorder;
    struct {
        float rate;
        uint64_t path; /* rng_hash of the layer's path */
    } dropout;
    struct {
        uint64_t path;
        int pad; /* PADDED_CROP: zero padding on each side before cropping back to H x W */
        float probability; /* FLIP */
    } augment;
    struct {
        double smoothing; /* softmax_xent */
        double delta;     /* huber */
        int64_t nominal;  /* examples in a whole step: gradients are scaled by 1 / nominal */
        int ignore_index; /* label that counts as absent: weight 0; no such label: -1. Any other
                           * label outside the classes makes its row NaN, which the guards see */
    } loss;
    struct {
        bool causal;
        float scale; /* 0: 1 / sqrt(head width) */
    } attention;
    struct {
        enum dtype to; /* quantize: I8, symmetric per tensor */
    } quantize;
    struct {
        const struct segments *segments; /* NULL: the whole arena as one, without decay */
        float momentum, beta1, beta2, eps, weight_decay;
        bool nesterov;
        float decay; /* EMA: ema = decay * ema + (1 - decay) * value */
        /* 0 means none. GRAD_NORM folds clip_norm into the block's gradient_scale; the optimizers
         * hold each scaled gradient element to [-clip_value, clip_value]. */
        float clip_norm, clip_value;
        int64_t nominal; /* GRAD_NORM: loss.nominal of the step's losses */
        /* GRAD_NORM: finite steps until the loss scale doubles; 0: it stays as it is. */
        int64_t growth_every;
        float scale_floor; /* GRAD_NORM: the loss scale is not halved below it */
    } optimizer;
};

/* Scalars that change from step to step live in memory that kernels read through a pointer, so that
 * a captured step needs no new arguments. On the device, one for all programs of a step. The host
 * writes the members before gradient_scale at every step; those from there on the ops write, so
 * that what one step leaves for the next need not be known to the host in between. */
struct step_block {
    uint64_t seed;
    int64_t step;       /* optimizer step, from 0 */
    int64_t micro_step; /* within the step */
    int64_t valid_rows; /* rows of the batch that are real; the rest is padding (weight 0) */
    float rate;         /* learning rate of this step */

    /* GRAD_NORM writes these (kernels/step_end.h), before the updates of its step. */
    float gradient_scale;   /* unscale, true / nominal count, clip, in one */
    double gradient_norm;   /* before clipping */
    uint32_t skip;          /* enum step_skip */
    float loss_scale;       /* read by the losses; for the next step from GRAD_NORM on */
    int64_t good_steps;     /* finite ones since the loss scale last changed or was passed over */
    int64_t optimizer_time; /* updates made; the step's own is counted unless it is skipped */

    double loss_sum, weight_sum; /* LOSS_SUM adds; zeroed when micro_step is 0 */
};

/* Why a step changed nothing. */
enum step_skip {
    STEP_TAKEN, /* it did */
    STEP_NOT_FINITE,
    STEP_OVERFLOWED /* the gradient alone was not finite; the loss scale was halved for it */
};

/* Bytes of a step block that the host writes. */
enum { STEP_BLOCK_HOST = offsetof(struct step_block, gradient_scale) };

/* Where a value of a gradient node comes from, relative to the forward node. */
enum gradient_source { FROM_NONE, FROM_IN, FROM_OUT, FROM_GRAD };

struct gradient_value {
    enum gradient_source from;
    int index;
};

#define G_IN(i)                                                                                    \
    {                                                                                              \
        FROM_IN, (i)                                                                               \
    }
#define G_OUT(i)                                                                                   \
    {                                                                                              \
        FROM_OUT, (i)                                                                              \
    }
#define G_GRAD(i)                                                                                  \
    {                                                                                              \
        FROM_GRAD, (i)                                                                             \
    }

/* One node that backward emits. With `op` OP_COUNT nothing runs: the gradient *is* in[0]. The node
 * keeps the forward node's attributes. out[j] is the gradient of forward input out[j] (-1: none);
 * it has that input's shape. A node none of whose results is wanted is not emitted. Values that the
 * forward node does not have (an absent optional, a variadic's unused places) are absent here too,
 * trailing ones are dropped; where only some gradients of a variadic's outputs exist, the others
 * are zeros. The output of REDUCE_*_BWD, RESHAPE, SPLIT and all backward ops has the shape it was
 * given; kernels read sizes from tensors, never from attributes meant for forward. */
struct gradient {
    bool present;
    enum op_kind op;
    struct gradient_value in[OP_INS];
    int ins;
    int out[OP_OUTS];
    int outs;
};

/* Law 2: |got - ref| <= c * u * s + output rounding, with s the sum of magnitudes of the terms. */
struct tolerance {
    double direct, winograd, tf32;
};

struct op {
    const char *name;
    int ins, optional_ins; /* most inputs; how many of the last may be absent */
    int outs, optional_outs;
    bool variadic; /* CONCAT: 1..OP_INS inputs; SPLIT: 1..OP_OUTS outputs */

    /* Output shapes and dtypes from inputs; reports USAGE with both shapes in the message. Backward
     * ops have none: their outputs take the shape of what they are gradients of. An output that
     * does not exist under these attributes gets rank -1. SPLIT alone reads *outs: the number of
     * equal parts. */
    enum code (*infer)(const union op_attr *attr, const struct tensor *in, int ins,
                       struct tensor *out, int *outs, struct err *err);

    struct gradient backward[OP_GRADIENTS]; /* ends with !present */

    bool view;            /* output 0 is input 0 under another shape */
    bool in_place;        /* output 0 may overwrite input 0 */
    uint32_t updates;     /* bit i: input i is read and written (running statistics, parameters) */
    uint32_t accumulates; /* bit i: output i can be added to what is there (beta = 1) */
    bool random;          /* reads seed and step from the block and ordinals from an input */
    bool couples_rows;    /* a row's result depends on other rows of the batch */
    bool reads_block;     /* needs the step block */
    bool reference_only;  /* exists on `ref` alone so far */

    /* Floating-point operations, and bytes moved beyond reading inputs and writing outputs once
     * (NULL: none). */
    double (*flops)(const union op_attr *attr, const struct tensor *in, int ins,
                    const struct tensor *out, int outs);

    uint32_t dtypes; /* bits of the dtypes that input 0 may have */
    struct tolerance tolerance;
    const char *help; /* one line: what it computes, with its inputs and outputs */
};

extern const struct op ops[OP_COUNT];

/* Runs a row's shape rule with the checks before it: arity, non-empty dimensions, type of input 0,
 * sizes that can be addressed (outputs too). Outputs come back without data; all of them, so a
 * program drops the optional ones that nobody reads. Fails with USAGE. */
enum code op_infer(enum op_kind op, const union op_attr *attr, const struct tensor *in, int ins,
                   struct tensor *out, int *outs, struct err *err);

/* The op of a name; OP_COUNT when there is none. */
enum op_kind op_find(const char *name);

#endif
