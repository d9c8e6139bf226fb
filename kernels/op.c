/* The op table: the one row of every op.
 *
 * `help` names inputs and outputs in their order; optional ones have a question mark, updated
 * inputs a star. Sizes: N rows, C channels or classes, I and O features in and out, K filters,
 * g groups, H x W image, B batch, T and S lengths of query and key, h heads, D head width, P
 * elements of an arena. gamma, beta, mean, rstd, bias, loss and weight are f32 (f64 where all is).
 *
 * Backward ops ignore `act` of linear and conv: fusing an activation comes after backward, and only
 * where the gradient needs the activation's output alone. `direct` tolerances are in units of f32
 * roundoff times the magnitude sum: kernels add in f32 blocks of at most some hundred terms, whose
 * rounding errors grow like the square root of the block; exact ops have 0. */
#include "kernels/shape.h"

#include <string.h>

#define FLOATS                                                                                     \
    (DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_F16) | DTYPE_BIT(DTYPE_F64))
#define WIDE   (DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_F64))
#define LABELS (DTYPE_BIT(DTYPE_I32) | DTYPE_BIT(DTYPE_I64))
#define ANY    ((1u << DTYPE_COUNT) - 1)

/* The fixed part of one backward node: its op, how many values it takes and how many it gives. */
#define NODE(kind, takes, gives) .present = true, .op = OP_##kind, .ins = (takes), .outs = (gives)

/* y = f(x) with a gradient from dy and one of x and y. */
#define ACTIVATION_FROM(value, kind)                                                               \
    .ins = 1, .outs = 1, .infer = infer_same, .in_place = true, .flops = flops_one,                \
    .dtypes = FLOATS, .tolerance = { .direct = 8 },                                                \
    .backward = { { NODE(kind, 2, 1), .in = { G_GRAD(0), value }, .out = { 0 } } }
#define ACTIVATION_BWD                                                                             \
    .ins = 2, .outs = 1, .in_place = true, .flops = flops_one, .dtypes = FLOATS,                   \
    .tolerance = { .direct = 8 }

/* A loss gives its own gradient: backward hands output 2 on. */
#define LOSS(rule)                                                                                 \
    .outs = 3, .infer = (rule), .reads_block = true, .flops = flops_few, .dtypes = FLOATS,         \
    .tolerance = { .direct = 16 },                                                                 \
    .backward = { { NODE(COUNT, 1, 1), .in = { G_OUT(2) }, .out = { 0 } } }

/* Packed by hand: one row is read as one sentence. */
/* clang-format off */
const struct op ops[OP_COUNT] = {
    /* Matrix products and convolutions. */
    [OP_LINEAR] = {
        .name = "linear", .ins = 3, .optional_ins = 1, .outs = 1, .infer = infer_linear,
        .backward = { { NODE(LINEAR_BWD_DATA, 2, 1), .in = { G_GRAD(0), G_IN(1) }, .out = { 0 } },
                      { NODE(LINEAR_BWD_WEIGHT, 2, 2), .in = { G_GRAD(0), G_IN(0) },
                        .out = { 1, 2 } } },
        .flops = flops_linear, .dtypes = FLOATS, .tolerance = { .direct = 16, .tf32 = 16400 },
        .help = "x [.., I], w [O, I], bias? [O] -> y [.., O] = act(x w' + bias)" },
    [OP_LINEAR_BWD_DATA] = {
        .name = "linear_bwd_data", .ins = 2, .outs = 1, .flops = flops_linear_bwd,
        .dtypes = FLOATS, .tolerance = { .direct = 16, .tf32 = 16400 },
        .help = "dy [.., O], w [O, I] -> dx [.., I] = dy w" },
    [OP_LINEAR_BWD_WEIGHT] = {
        .name = "linear_bwd_weight", .ins = 2, .outs = 2, .optional_outs = 1, .accumulates = 3,
        .flops = flops_linear_bwd, .dtypes = FLOATS, .tolerance = { .direct = 32, .tf32 = 16416 },
        .help = "dy [.., O], x [.., I] -> dw [O, I] = dy' x, dbias? [O] = sum of dy over rows" },
    [OP_CONV2D] = {
        .name = "conv2d", .ins = 3, .optional_ins = 1, .outs = 1, .infer = infer_conv2d,
        .backward = { { NODE(CONV2D_BWD_DATA, 2, 1), .in = { G_GRAD(0), G_IN(1) }, .out = { 0 } },
                      { NODE(CONV2D_BWD_WEIGHT, 2, 2), .in = { G_GRAD(0), G_IN(0) },
                        .out = { 1, 2 } } },
        .flops = flops_conv2d, .dtypes = FLOATS,
        .tolerance = { .direct = 16, .winograd = 256, .tf32 = 16400 },
        .help = "x [N, H, W, C], w [K, R, S, C/g], bias? [K] -> y [N, H', W', K] = act(x * w + "
                "bias), a correlation" },
    [OP_CONV2D_BWD_DATA] = {
        .name = "conv2d_bwd_data", .ins = 2, .outs = 1, .flops = flops_conv2d_bwd_data,
        .dtypes = FLOATS, .tolerance = { .direct = 16, .winograd = 256, .tf32 = 16400 },
        .help = "dy [N, H', W', K], w [K, R, S, C/g] -> dx [N, H, W, C]" },
    [OP_CONV2D_BWD_WEIGHT] = {
        .name = "conv2d_bwd_weight", .ins = 2, .outs = 2, .optional_outs = 1, .accumulates = 3,
        .flops = flops_conv2d_bwd_weight, .dtypes = FLOATS,
        .tolerance = { .direct = 32, .winograd = 256, .tf32 = 16416 },
        .help = "dy [N, H', W', K], x [N, H, W, C] -> dw [K, R, S, C/g], dbias? [K]" },

    /* Normalisation. */
    [OP_BATCH_NORM] = {
        .name = "batch_norm", .ins = 5, .outs = 3, .infer = infer_batch_norm,
        .backward = { { NODE(BATCH_NORM_BWD, 5, 3),
                        .in = { G_GRAD(0), G_IN(0), G_IN(1), G_OUT(1), G_OUT(2) },
                        .out = { 0, 1, 2 } } },
        .updates = 1u << 3 | 1u << 4, .couples_rows = true, .flops = flops_few, .dtypes = FLOATS,
        .tolerance = { .direct = 32 },
        .help = "x [.., C], gamma [C], beta [C], running mean* [C], running variance* [C] -> y "
                "[.., C], mean [C], rstd [C]; running variance takes the unbiased one" },
    [OP_BATCH_NORM_BWD] = {
        .name = "batch_norm_bwd", .ins = 5, .outs = 3, .accumulates = 1u << 1 | 1u << 2,
        .couples_rows = true, .flops = flops_few, .dtypes = FLOATS, .tolerance = { .direct = 32 },
        .help = "dy [.., C], x [.., C], gamma [C], mean [C], rstd [C] -> dx [.., C], dgamma [C], "
                "dbeta [C]" },
    [OP_BATCH_NORM_INFER] = {
        .name = "batch_norm_infer", .ins = 5, .outs = 1, .infer = infer_batch_norm_infer,
        .backward = { { NODE(BATCH_NORM_INFER_BWD, 5, 3),
                        .in = { G_GRAD(0), G_IN(0), G_IN(1), G_IN(3), G_IN(4) },
                        .out = { 0, 1, 2 } } },
        .in_place = true, .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "x [.., C], gamma [C], beta [C], mean [C], variance [C] -> y [.., C]" },
    [OP_BATCH_NORM_INFER_BWD] = {
        .name = "batch_norm_infer_bwd", .ins = 5, .outs = 3, .accumulates = 1u << 1 | 1u << 2,
        .flops = flops_few, .dtypes = FLOATS, .tolerance = { .direct = 32 },
        .help = "dy [.., C], x [.., C], gamma [C], mean [C], variance [C] -> dx [.., C], dgamma "
                "[C], dbeta [C]" },
    [OP_BN_ACT_POOL] = {
        .name = "bn_act_pool", .ins = 5, .outs = 4, .optional_outs = 1, .infer = infer_bn_act_pool,
        .backward = { { NODE(BN_ACT_POOL_BWD, 7, 3),
                        .in = { G_GRAD(0), G_IN(0), G_IN(1), G_IN(2), G_OUT(1), G_OUT(2),
                                G_OUT(3) },
                        .out = { 0, 1, 2 } } },
        .updates = 1u << 3 | 1u << 4, .couples_rows = true, .flops = flops_few, .dtypes = FLOATS,
        .tolerance = { .direct = 32 },
        .help = "x [N, H, W, C], gamma [C], beta [C], running mean* [C], running variance* [C] "
                "-> y [N, H/p, W/p, C], mean [C], rstd [C], index? u8: batch_norm, act, max_pool "
                "of side p; index as in max_pool, over the activated values, absent when p is 1" },
    [OP_BN_ACT_POOL_BWD] = {
        .name = "bn_act_pool_bwd", .ins = 7, .optional_ins = 1, .outs = 3,
        .accumulates = 1u << 1 | 1u << 2, .couples_rows = true, .flops = flops_few,
        .dtypes = FLOATS, .tolerance = { .direct = 32 },
        .help = "dy [N, H/p, W/p, C], x [N, H, W, C], gamma [C], beta [C], mean [C], rstd [C], "
                "index? u8 -> dx [N, H, W, C], dgamma [C], dbeta [C]" },
    [OP_LAYER_NORM] = {
        .name = "layer_norm", .ins = 3, .optional_ins = 1, .outs = 3, .infer = infer_layer_norm,
        .backward = { { NODE(LAYER_NORM_BWD, 5, 3),
                        .in = { G_GRAD(0), G_IN(0), G_IN(1), G_OUT(1), G_OUT(2) },
                        .out = { 0, 1, 2 } } },
        .flops = flops_few, .dtypes = FLOATS, .tolerance = { .direct = 32 },
        .help = "x [.., C], gamma [C], beta? [C] -> y [.., C], mean [..], rstd [..]" },
    [OP_LAYER_NORM_BWD] = {
        .name = "layer_norm_bwd", .ins = 5, .outs = 3, .optional_outs = 1,
        .accumulates = 1u << 1 | 1u << 2, .flops = flops_few, .dtypes = FLOATS,
        .tolerance = { .direct = 32 },
        .help = "dy [.., C], x [.., C], gamma [C], mean [..], rstd [..] -> dx [.., C], dgamma "
                "[C], dbeta? [C]" },

    /* Activations, element by element. */
    [OP_RELU] = {
        .name = "relu", .ins = 1, .outs = 1, .infer = infer_same,
        .backward = { { NODE(RELU_BWD, 2, 1), .in = { G_GRAD(0), G_OUT(0) }, .out = { 0 } } },
        .in_place = true, .flops = flops_one, .dtypes = FLOATS,
        .help = "x -> y = max(x, 0); NaN stays" },
    [OP_RELU_BWD] = {
        .name = "relu_bwd", .ins = 2, .outs = 1, .in_place = true, .flops = flops_one,
        .dtypes = FLOATS,
        .help = "dy, y -> dx = dy where y > 0, else 0" },
    [OP_GELU] = {
        .name = "gelu", ACTIVATION_FROM(G_IN(0), GELU_BWD),
        .help = "x -> y = x (1 + erf(x / sqrt(2))) / 2" },
    [OP_GELU_BWD] = {
        .name = "gelu_bwd", ACTIVATION_BWD,
        .help = "dy, x -> dx" },
    [OP_SILU] = {
        .name = "silu", ACTIVATION_FROM(G_IN(0), SILU_BWD),
        .help = "x -> y = x sigmoid(x)" },
    [OP_SILU_BWD] = {
        .name = "silu_bwd", ACTIVATION_BWD,
        .help = "dy, x -> dx" },
    [OP_TANH] = {
        .name = "tanh", ACTIVATION_FROM(G_OUT(0), TANH_BWD),
        .help = "x -> y = tanh(x)" },
    [OP_TANH_BWD] = {
        .name = "tanh_bwd", ACTIVATION_BWD,
        .help = "dy, y -> dx = dy (1 - y^2)" },
    [OP_SIGMOID] = {
        .name = "sigmoid", ACTIVATION_FROM(G_OUT(0), SIGMOID_BWD),
        .help = "x -> y = 1 / (1 + exp(-x))" },
    [OP_SIGMOID_BWD] = {
        .name = "sigmoid_bwd", ACTIVATION_BWD,
        .help = "dy, y -> dx = dy y (1 - y)" },

    /* Pooling. */
    [OP_MAX_POOL] = {
        .name = "max_pool", .ins = 1, .outs = 2, .optional_outs = 1, .infer = infer_max_pool,
        .backward = { { NODE(MAX_POOL_BWD, 2, 1), .in = { G_GRAD(0), G_OUT(1) }, .out = { 0 } } },
        .flops = flops_pool, .dtypes = FLOATS,
        .help = "x [N, H, W, C] -> y [N, H', W', C], index? u8: row-major position of the "
                "maximum within its window, the first of equal ones; padding never wins" },
    [OP_MAX_POOL_BWD] = {
        .name = "max_pool_bwd", .ins = 2, .outs = 1, .flops = flops_one, .dtypes = FLOATS,
        .tolerance = { .direct = 8 },
        .help = "dy [N, H', W', C], index u8 -> dx [N, H, W, C]" },
    [OP_AVG_POOL] = {
        .name = "avg_pool", .ins = 1, .outs = 1, .infer = infer_avg_pool,
        .backward = { { NODE(AVG_POOL_BWD, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .flops = flops_pool, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "x [N, H, W, C] -> y [N, H', W', C]: mean over the window's real cells, or over "
                "all with count_padding" },
    [OP_AVG_POOL_BWD] = {
        .name = "avg_pool_bwd", .ins = 1, .outs = 1, .flops = flops_one, .dtypes = FLOATS,
        .tolerance = { .direct = 16 },
        .help = "dy [N, H', W', C] -> dx [N, H, W, C]" },
    [OP_GLOBAL_AVG_POOL] = {
        .name = "global_avg_pool", .ins = 1, .outs = 1, .infer = infer_global_avg_pool,
        .backward = { { NODE(GLOBAL_AVG_POOL_BWD, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "x [N, H, W, C] -> y [N, C]" },
    [OP_GLOBAL_AVG_POOL_BWD] = {
        .name = "global_avg_pool_bwd", .ins = 1, .outs = 1, .flops = flops_one, .dtypes = FLOATS,
        .tolerance = { .direct = 4 },
        .help = "dy [N, C] -> dx [N, H, W, C]" },

    /* Joining, cutting, moving. */
    [OP_ADD] = {
        .name = "add", .ins = 2, .outs = 1, .infer = infer_pair,
        .backward = { { NODE(COUNT, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } },
                      { NODE(COUNT, 1, 1), .in = { G_GRAD(0) }, .out = { 1 } } },
        .in_place = true, .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 2 },
        .help = "a, b of one shape -> y = a + b" },
    [OP_MULTIPLY] = {
        .name = "multiply", .ins = 2, .outs = 1, .infer = infer_pair,
        .backward = { { NODE(MULTIPLY, 2, 1), .in = { G_GRAD(0), G_IN(1) }, .out = { 0 } },
                      { NODE(MULTIPLY, 2, 1), .in = { G_GRAD(0), G_IN(0) }, .out = { 1 } } },
        .in_place = true, .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 2 },
        .help = "a, b of one shape -> y = a b" },
    [OP_CONCAT] = {
        .name = "concat", .ins = OP_INS, .optional_ins = OP_INS - 1, .outs = 1, .variadic = true,
        .infer = infer_concat,
        .backward = { { NODE(SPLIT, 1, OP_OUTS), .in = { G_GRAD(0) },
                        .out = { 0, 1, 2, 3, 4, 5, 6, 7 } } },
        .dtypes = ANY,
        .help = "1 to 8 inputs alike but for the axis -> y joined along it" },
    [OP_SPLIT] = {
        .name = "split", .ins = 1, .outs = OP_OUTS, .optional_outs = OP_OUTS - 1, .variadic = true,
        .infer = infer_split,
        .backward = { { NODE(CONCAT, OP_INS, 1),
                        .in = { G_GRAD(0), G_GRAD(1), G_GRAD(2), G_GRAD(3), G_GRAD(4), G_GRAD(5),
                                G_GRAD(6), G_GRAD(7) }, .out = { 0 } } },
        .dtypes = ANY,
        .help = "x -> 1 to 8 parts along the axis (equal ones when the shape rule decides)" },
    [OP_RESHAPE] = {
        .name = "reshape", .ins = 1, .outs = 1, .infer = infer_reshape,
        .backward = { { NODE(RESHAPE, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .view = true, .in_place = true, .dtypes = ANY,
        .help = "x -> the same elements under the shape of y" },
    [OP_PERMUTE] = {
        .name = "permute", .ins = 1, .outs = 1, .infer = infer_permute,
        .backward = { { NODE(PERMUTE_BWD, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .dtypes = ANY,
        .help = "x -> y with its axes in the given order" },
    [OP_PERMUTE_BWD] = {
        .name = "permute_bwd", .ins = 1, .outs = 1, .dtypes = ANY,
        .help = "dy -> dx with the axes back in place" },
    [OP_REDUCE_SUM] = {
        .name = "reduce_sum", .ins = 1, .outs = 1, .infer = infer_reduce,
        .backward = { { NODE(REDUCE_SUM_BWD, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "x -> y without the reduced axes" },
    [OP_REDUCE_SUM_BWD] = {
        .name = "reduce_sum_bwd", .ins = 1, .outs = 1, .flops = flops_one, .dtypes = FLOATS,
        .help = "dy -> dx, repeated along the reduced axes" },
    [OP_REDUCE_MEAN] = {
        .name = "reduce_mean", .ins = 1, .outs = 1, .infer = infer_reduce,
        .backward = { { NODE(REDUCE_MEAN_BWD, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "x -> y without the reduced axes" },
    [OP_REDUCE_MEAN_BWD] = {
        .name = "reduce_mean_bwd", .ins = 1, .outs = 1, .flops = flops_one, .dtypes = FLOATS,
        .tolerance = { .direct = 4 },
        .help = "dy -> dx, repeated along the reduced axes and divided by their count" },
    [OP_CAST] = {
        .name = "cast", .ins = 1, .outs = 1, .infer = infer_cast,
        .backward = { { NODE(CAST_BWD, 1, 1), .in = { G_GRAD(0) }, .out = { 0 } } },
        .dtypes = ANY,
        .help = "x -> y of another type: to nearest even; integers hold to their range" },
    [OP_CAST_BWD] = {
        .name = "cast_bwd", .ins = 1, .outs = 1, .dtypes = FLOATS,
        .help = "dy -> dx of the type of x" },
    [OP_REORDER] = {
        .name = "reorder", .ins = 1, .outs = 1, .infer = infer_reorder, .dtypes = ANY,
        .help = "x -> the same tensor in another layout of the device" },

    /* What runs on input rows, and what draws random numbers. */
    [OP_DROPOUT] = {
        .name = "dropout", .ins = 2, .outs = 1, .infer = infer_dropout,
        .backward = { { NODE(DROPOUT_BWD, 2, 1), .in = { G_GRAD(0), G_IN(1) }, .out = { 0 } } },
        .in_place = true, .random = true, .reads_block = true, .flops = flops_one,
        .dtypes = FLOATS, .tolerance = { .direct = 4 },
        .help = "x [N, ..], ordinal i64 [N] -> y = x / (1 - rate) where kept, else 0" },
    [OP_DROPOUT_BWD] = {
        .name = "dropout_bwd", .ins = 2, .outs = 1, .in_place = true, .random = true,
        .reads_block = true, .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 4 },
        .help = "dy [N, ..], ordinal i64 [N] -> dx = dy / (1 - rate) where x was kept, else 0" },
    [OP_NORMALIZE] = {
        .name = "normalize", .ins = 3, .outs = 1, .infer = infer_normalize, .flops = flops_one,
        .dtypes = FLOATS | DTYPE_BIT(DTYPE_U8), .tolerance = { .direct = 4 },
        .help = "x [.., C] u8 or float, scale [C], shift [C] -> y [.., C] = x scale + shift, of "
                "type cast.to" },
    [OP_FLIP] = {
        .name = "flip", .ins = 2, .outs = 1, .infer = infer_augment, .random = true,
        .reads_block = true, .dtypes = FLOATS | DTYPE_BIT(DTYPE_U8),
        .help = "x [N, H, W, C], ordinal i64 [N] -> y: some samples mirrored left to right" },
    [OP_PADDED_CROP] = {
        .name = "padded_crop", .ins = 2, .outs = 1, .infer = infer_augment, .random = true,
        .reads_block = true, .dtypes = FLOATS | DTYPE_BIT(DTYPE_U8),
        .help = "x [N, H, W, C], ordinal i64 [N] -> y: each sample shifted by up to pad cells, "
                "zeros moving in" },

    /* Softmax and losses. */
    [OP_SOFTMAX] = {
        .name = "softmax", .ins = 1, .outs = 1, .infer = infer_same,
        .backward = { { NODE(SOFTMAX_BWD, 2, 1), .in = { G_GRAD(0), G_OUT(0) }, .out = { 0 } } },
        .in_place = true, .flops = flops_few, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "x [.., C] -> y [.., C] over the last axis" },
    [OP_SOFTMAX_BWD] = {
        .name = "softmax_bwd", .ins = 2, .outs = 1, .in_place = true, .flops = flops_few,
        .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "dy [.., C], y [.., C] -> dx [.., C]" },
    [OP_SOFTMAX_XENT] = {
        .name = "softmax_xent", .ins = 5, .optional_ins = 3, LOSS(infer_softmax_xent),
        .help = "logits [.., C], label i32 [..], class weight? [C], second label? i32 [..], "
                "lambda? [..] -> loss [..], weight [..], dlogits [.., C]" },
    [OP_MSE] = {
        .name = "mse", .ins = 2, LOSS(infer_regression),
        .help = "prediction [N, ..], target [N, ..] -> loss [N] = mean of (p - t)^2, weight [N], "
                "dprediction [N, ..]" },
    [OP_HUBER] = {
        .name = "huber", .ins = 2, LOSS(infer_huber),
        .help = "prediction [N, ..], target [N, ..] -> loss [N] = mean of d^2/2 or delta (|d| - "
                "delta/2), weight [N], dprediction [N, ..]" },
    [OP_BCE] = {
        .name = "bce", .ins = 2, LOSS(infer_regression),
        .help = "logit [N, ..], target [N, ..] in [0, 1] -> loss [N] = mean of binary "
                "cross-entropies, weight [N], dlogit [N, ..]" },

    /* Known to the reference alone so far. */
    [OP_EMBEDDING] = {
        .name = "embedding", .ins = 2, .outs = 1, .infer = infer_embedding,
        .backward = { { NODE(EMBEDDING_BWD, 2, 1), .in = { G_GRAD(0), G_IN(0) }, .out = { 1 } } },
        .reference_only = true, .dtypes = LABELS,
        .help = "index [..], table [V, C] -> y [.., C]; an index outside the table gives NaN" },
    [OP_EMBEDDING_BWD] = {
        .name = "embedding_bwd", .ins = 2, .outs = 1, .accumulates = 1, .reference_only = true,
        .flops = flops_one, .dtypes = FLOATS, .tolerance = { .direct = 16 },
        .help = "dy [.., C], index [..] -> dtable [V, C]" },
    [OP_ATTENTION] = {
        .name = "attention", .ins = 3, .outs = 2, .infer = infer_attention,
        .backward = { { NODE(ATTENTION_BWD, 6, 3),
                        .in = { G_GRAD(0), G_IN(0), G_IN(1), G_IN(2), G_OUT(0), G_OUT(1) },
                        .out = { 0, 1, 2 } } },
        .reference_only = true, .flops = flops_attention, .dtypes = FLOATS,
        .tolerance = { .direct = 32, .tf32 = 32800 },
        .help = "q [B, T, h, D], k [B, S, h/n, D], v [B, S, h/n, D] -> y [B, T, h, D], "
                "log-sum-exp [B, h, T]; causal: query t sees keys up to t + S - T" },
    [OP_ATTENTION_BWD] = {
        .name = "attention_bwd", .ins = 6, .outs = 3, .reference_only = true,
        .flops = flops_attention_bwd, .dtypes = FLOATS,
        .tolerance = { .direct = 32, .tf32 = 32800 },
        .help = "dy, q, k, v, y, log-sum-exp -> dq, dk, dv" },
    [OP_QUANTIZE] = {
        .name = "quantize", .ins = 1, .outs = 3, .infer = infer_quantize, .couples_rows = true,
        .reference_only = true, .flops = flops_one, .dtypes = FLOATS,
        .help = "x [N, C] -> data i8 [N, C] = x 127 / amax to nearest even, transpose i8 [C, N], "
                "amax [1]" },

    /* The end of a step: these read and write arenas and the step block. */
    [OP_GRAD_NORM] = {
        .name = "grad_norm", .ins = 1, .outs = 0, .infer = infer_arena, .reads_block = true,
        .flops = flops_one, .dtypes = WIDE, .tolerance = { .direct = 16 },
        .help = "gradient [P] -> block: gradient_norm = |gradient| nominal / (weight_sum "
                "loss_scale), gradient_scale, skip; counts the update; next loss_scale" },
    [OP_SGD] = {
        .name = "sgd", .ins = 3, .optional_ins = 1, .outs = 0, .infer = infer_arena,
        .updates = 1u << 0 | 1u << 2, .reads_block = true, .flops = flops_few, .dtypes = WIDE,
        .tolerance = { .direct = 8 },
        .help = "parameter* [P], gradient [P], momentum*? [P]; weight decay joins the gradient" },
    [OP_ADAMW] = {
        .name = "adamw", .ins = 4, .outs = 0, .infer = infer_arena,
        .updates = 1u << 0 | 1u << 2 | 1u << 3, .reads_block = true, .flops = flops_few,
        .dtypes = WIDE, .tolerance = { .direct = 16 },
        .help = "parameter* [P], gradient [P], first moment* [P], second moment* [P]; weight "
                "decay is decoupled" },
    [OP_EMA] = {
        .name = "ema", .ins = 2, .outs = 0, .infer = infer_arena, .updates = 1u << 0,
        .reads_block = true, .flops = flops_one, .dtypes = WIDE, .tolerance = { .direct = 4 },
        .help = "average* [P], parameter [P]: average = decay average + (1 - decay) parameter" },
    [OP_LOSS_SUM] = {
        .name = "loss_sum", .ins = 2, .outs = 0, .infer = infer_loss_sum, .reads_block = true,
        .flops = flops_one, .dtypes = WIDE, .tolerance = { .direct = 16 },
        .help = "loss [..], weight [..] -> block: loss_sum and weight_sum, begun anew at "
                "micro-step 0" },
};
/* clang-format on */

static enum code inputs_check(const struct op *op, const struct tensor *in, int ins,
                              struct err *err)
{
    char text[SHAPE_TEXT];
    size_t bytes;
    int least = op->ins - op->optional_ins;
    if (ins < least || ins > op->ins)
        return err_set(err, USAGE, "%s takes %d to %d inputs, not %d", op->name, least, op->ins,
                       ins);
    for (int i = 0; i < ins; i++) {
        const struct shape *shape = &in[i].shape;
        if (shape->rank < 0 && i >= least && !op->variadic) continue;
        if (shape->rank < 0 || shape->rank > TENSOR_DIMS)
            return err_set(err, USAGE, "%s: input %d is missing", op->name, i);
        for (int d = 0; d < shape->rank; d++)
            if (shape->dim[d] < 1)
                return err_set(err, USAGE, "%s: input %d has the empty shape %s", op->name, i,
                               shape_text(shape, text));
        TRY(shape_bytes(&bytes, shape, in[i].dtype, err));
    }
    return shape_dtype(op->name, "first input", &in[0], op->dtypes, err);
}

enum code op_infer(enum op_kind kind, const union op_attr *attr, const struct tensor *in, int ins,
                   struct tensor *out, int *outs, struct err *err)
{
    size_t bytes;
    const struct op *op = &ops[kind];
    if (!op->infer)
        return err_set(err, USAGE,
                       "%s has no shape rule: its outputs are gradients and take their "
                       "shapes from what they belong to",
                       op->name);
    TRY(inputs_check(op, in, ins, err));
    TRY(op->infer(attr, in, ins, out, outs, err));
    for (int i = 0; i < *outs; i++)
        if (out[i].shape.rank >= 0) TRY(shape_bytes(&bytes, &out[i].shape, out[i].dtype, err));
    return OK;
}

enum op_kind op_find(const char *name)
{
    int kind = 0;
    while (kind < OP_COUNT && strcmp(ops[kind].name, name) != 0) kind++;
    return (enum op_kind)kind;
}
