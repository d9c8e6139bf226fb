/* Shape rules: what they give, and that they refuse with the op's name and the shapes at fault. */
#include "kernels/op.h"

#include <criterion/criterion.h>
#include <string.h>

#define S(...)                                                                                     \
    {                                                                                              \
        .rank = (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), .dim = {              \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

struct rule {
    const char *name;
    enum op_kind op;
    union op_attr attr;
    struct shape in[OP_INS];
    int ins;
    enum dtype dtype[OP_INS];
    struct shape out;       /* of output 0, where it is accepted */
    const char *refused[2]; /* or what the message says */
};

/* clang-format off */
static const struct rule rules[] = {
    { "linear", OP_LINEAR, .in = { S(2, 3, 5), S(7, 5), S(7) }, .ins = 3, .out = S(2, 3, 7) },
    { "linear of other width", OP_LINEAR, .in = { S(2, 4), S(7, 5) }, .ins = 2,
      .refused = { "[7, 5]", "[2, 4]" } },
    { "linear of other type", OP_LINEAR, .in = { S(2, 5), S(7, 5) }, .ins = 2,
      .dtype = { DTYPE_F32, DTYPE_BF16 }, .refused = { "linear", "bf16" } },
    { "linear bias", OP_LINEAR, .in = { S(2, 5), S(7, 5), S(5) }, .ins = 3,
      .refused = { "[7]", "[5]" } },
    { "linear alone", OP_LINEAR, .in = { S(2, 5) }, .ins = 1, .refused = { "linear", "not 1" } },
    { "empty batch", OP_LINEAR, .in = { S(0, 5), S(7, 5) }, .ins = 2,
      .refused = { "linear", "[0, 5]" } },
    { "labels into linear", OP_LINEAR, .in = { S(2, 5), S(7, 5) }, .ins = 2,
      .dtype = { DTYPE_I32, DTYPE_I32 }, .refused = { "linear", "i32" } },
    { "conv2d", OP_CONV2D, .in = { S(2, 9, 8, 6), S(10, 3, 3, 3) }, .ins = 2,
      .attr.conv = { .stride = { 2, 1 }, .pad = { 1, 1, 0, 2 }, .groups = 2, .dilation = { 1, 2 } },
      .out = S(2, 5, 6, 10) },
    { "conv2d channels", OP_CONV2D, .in = { S(2, 9, 8, 6), S(10, 3, 3, 5) }, .ins = 2,
      .refused = { "[10, 3, 3, 5]", "[2, 9, 8, 6]" } },
    { "conv2d groups", OP_CONV2D, .in = { S(2, 9, 8, 6), S(10, 3, 3, 2) }, .ins = 2,
      .attr.conv.groups = 3, .refused = { "[10, 3, 3, 2]", "3 groups" } },
    { "conv2d too large", OP_CONV2D, .in = { S(2, 2, 8, 6), S(10, 3, 3, 6) }, .ins = 2,
      .refused = { "3 x 3", "[2, 2, 8, 6]" } },
    { "conv2d negative stride", OP_CONV2D, .in = { S(2, 9, 8, 6), S(10, 3, 3, 6) }, .ins = 2,
      .attr.conv.stride = { -1, 1 }, .refused = { "conv2d", "stride" } },
    { "conv2d of rows", OP_CONV2D, .in = { S(2, 9), S(10, 3, 3, 6) }, .ins = 2,
      .refused = { "conv2d", "[2, 9]" } },
    { "batch_norm", OP_BATCH_NORM, .in = { S(4, 3), S(4), S(3), S(3), S(3) }, .ins = 5,
      .refused = { "gamma", "[4]" } },
    { "bn_act_pool", OP_BN_ACT_POOL, .in = { S(2, 7, 5, 3), S(3), S(3), S(3), S(3) }, .ins = 5,
      .attr.norm.pool = 2, .out = S(2, 3, 2, 3) },
    { "bn_act_pool side", OP_BN_ACT_POOL, .in = { S(2, 40, 40, 3), S(3), S(3), S(3), S(3) },
      .ins = 5, .attr.norm.pool = 16, .refused = { "16 x 16", "255" } },
    { "max_pool", OP_MAX_POOL, .in = { S(2, 7, 9, 5) }, .ins = 1,
      .attr.pool = { .size = { 3, 2 }, .stride = { 2, 0 }, .pad = { 1, 1, 0, 1 } },
      .out = S(2, 4, 5, 5) },
    { "max_pool padding", OP_MAX_POOL, .in = { S(2, 7, 9, 5) }, .ins = 1,
      .attr.pool = { .size = { 2, 2 }, .pad = { 2, 0, 0, 0 } }, .refused = { "padding 2", "2" } },
    { "max_pool cells", OP_MAX_POOL, .in = { S(1, 40, 40, 1) }, .ins = 1,
      .attr.pool.size = { 16, 16 }, .refused = { "16 x 16", "255" } },
    { "add", OP_ADD, .in = { S(2, 3), S(3, 2) }, .ins = 2, .refused = { "[2, 3]", "[3, 2]" } },
    { "concat", OP_CONCAT, .in = { S(2, 3), S(2, 4), S(2, 1) }, .ins = 3, .attr.concat.axis = 1,
      .out = S(2, 8) },
    { "concat sides", OP_CONCAT, .in = { S(2, 3), S(3, 4) }, .ins = 2, .attr.concat.axis = 1,
      .refused = { "[3, 4]", "[2, 3]" } },
    { "concat axis", OP_CONCAT, .in = { S(2, 3) }, .ins = 1, .attr.concat.axis = 2,
      .refused = { "axis 2", "[2, 3]" } },
    { "reshape", OP_RESHAPE, .in = { S(4, 3, 5) }, .ins = 1,
      .attr.reshape.shape = S(0, -1), .out = S(4, 15) },
    { "reshape size", OP_RESHAPE, .in = { S(4, 3, 5) }, .ins = 1,
      .attr.reshape.shape = S(7, -1), .refused = { "[7, -1]", "[4, 3, 5]" } },
    { "reshape twice free", OP_RESHAPE, .in = { S(4, 3) }, .ins = 1,
      .attr.reshape.shape = S(-1, -1), .refused = { "[-1, -1]", "[4, 3]" } },
    { "reshape overflow", OP_RESHAPE, .in = { S(4, 3) }, .ins = 1,
      .attr.reshape.shape = S(INT64_MAX, INT64_MAX), .refused = { "reshape", "[4, 3]" } },
    { "permute", OP_PERMUTE, .in = { S(2, 3, 4) }, .ins = 1, .attr.permute.order = { 2, 0, 1 },
      .out = S(4, 2, 3) },
    { "permute twice", OP_PERMUTE, .in = { S(2, 3, 4) }, .ins = 1,
      .attr.permute.order = { 2, 0, 2 }, .refused = { "permute", "[2, 3, 4]" } },
    { "reduce_sum", OP_REDUCE_SUM, .in = { S(2, 3, 4) }, .ins = 1, .attr.reduce.axes = 5,
      .out = S(3) },
    { "reduce_sum axes", OP_REDUCE_SUM, .in = { S(2, 3) }, .ins = 1, .attr.reduce.axes = 4,
      .refused = { "0x4", "[2, 3]" } },
    { "dropout ordinals", OP_DROPOUT, .in = { S(2, 3), S(3) }, .ins = 2,
      .dtype = { DTYPE_F32, DTYPE_I64 }, .refused = { "[2]", "[3]" } },
    { "dropout rate", OP_DROPOUT, .in = { S(2, 3), S(2) }, .ins = 2, .attr.dropout.rate = 1.5f,
      .dtype = { DTYPE_F32, DTYPE_I64 }, .refused = { "1.5", "[0, 1]" } },
    { "softmax_xent labels", OP_SOFTMAX_XENT, .in = { S(4, 3), S(3) }, .ins = 2,
      .dtype = { DTYPE_F32, DTYPE_I32 }, .attr.loss.nominal = 4, .refused = { "[4]", "[3]" } },
    { "softmax_xent label type", OP_SOFTMAX_XENT, .in = { S(4, 3), S(4) }, .ins = 2,
      .attr.loss.nominal = 4, .refused = { "label", "f32" } },
    { "softmax_xent nominal", OP_SOFTMAX_XENT, .in = { S(4, 3), S(4) }, .ins = 2,
      .dtype = { DTYPE_F32, DTYPE_I32 }, .refused = { "softmax_xent", "not 0" } },
    { "huber delta", OP_HUBER, .in = { S(4, 3), S(4, 3) }, .ins = 2, .attr.loss.nominal = 4,
      .refused = { "huber", "delta" } },
    { "attention", OP_ATTENTION, .in = { S(2, 5, 4, 3), S(2, 7, 2, 3), S(2, 7, 2, 3) }, .ins = 3,
      .out = S(2, 5, 4, 3) },
    { "attention heads", OP_ATTENTION, .in = { S(2, 5, 3, 3), S(2, 7, 2, 3), S(2, 7, 2, 3) },
      .ins = 3, .refused = { "[2, 5, 3, 3]", "[2, 7, 2, 3]" } },
    { "attention past", OP_ATTENTION, .in = { S(2, 8, 2, 3), S(2, 7, 2, 3), S(2, 7, 2, 3) },
      .ins = 3, .attr.attention.causal = true, .refused = { "[2, 8, 2, 3]", "[2, 7, 2, 3]" } },
    { "embedding", OP_EMBEDDING, .in = { S(2, 5), S(11, 4) }, .ins = 2, .dtype = { DTYPE_I32 },
      .out = S(2, 5, 4) },
    { "quantize", OP_QUANTIZE, .in = { S(2, 5) }, .ins = 1, .attr.quantize.to = DTYPE_U8,
      .refused = { "quantize", "u8" } },
    { "sgd", OP_SGD, .in = { S(64), S(32) }, .ins = 2, .refused = { "[64]", "[32]" } },
    { "linear_bwd_data", OP_LINEAR_BWD_DATA, .in = { S(2, 7), S(7, 5) }, .ins = 2,
      .refused = { "linear_bwd_data", "shape rule" } },
};
/* clang-format on */

Test(rules, shapes_are_inferred_or_refused_with_the_reason)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const struct rule *rule = &rules[i];
        struct tensor in[OP_INS] = { 0 }, out[OP_OUTS] = { 0 };
        struct err err = { 0 };
        int outs = 0;
        for (int j = 0; j < rule->ins; j++)
            in[j] = (struct tensor){ .dtype = rule->dtype[j], .shape = rule->in[j] };
        enum code code = op_infer(rule->op, &rule->attr, in, rule->ins, out, &outs, &err);
        if (!rule->refused[0]) {
            char text[SHAPE_TEXT];
            cr_expect_eq(code, OK, "%s: %s", rule->name, err.message);
            cr_expect(shape_equal(&out[0].shape, &rule->out), "%s: %s", rule->name,
                      shape_text(&out[0].shape, text));
            continue;
        }
        cr_expect_eq(code, USAGE, "%s is accepted", rule->name);
        for (int j = 0; j < 2; j++)
            cr_expect_not_null(strstr(err.message, rule->refused[j]), "%s: %s", rule->name,
                               err.message);
    }
}

Test(rules, split_cuts_into_equal_parts_only)
{
    struct tensor in = { .shape = S(4, 6) }, out[OP_OUTS];
    struct err err = { 0 };
    int outs = 3;
    union op_attr attr = { .concat.axis = 1 };
    cr_assert_eq(op_infer(OP_SPLIT, &attr, &in, 1, out, &outs, &err), OK);
    cr_expect(outs == 3 && out[2].shape.dim[1] == 2);
    outs = 4;
    cr_expect_eq(op_infer(OP_SPLIT, &attr, &in, 1, out, &outs, &err), USAGE);
}
