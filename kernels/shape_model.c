/* Shape rules of matrix products, of ops that move data, and of losses, optimizers and
 * quantising. */
#include "kernels/shape.h"

SHAPE_RULE(infer_linear)
{
    char x_text[SHAPE_TEXT], w_text[SHAPE_TEXT];
    const struct shape *x = &in[0].shape, *w = &in[1].shape;
    if (x->rank < 1) return shape_rank("linear", &in[0], 1, err);
    TRY(shape_rank("linear", &in[1], 2, err));
    TRY(shape_dtype("linear of another type", "weight", &in[1], DTYPE_BIT(in[0].dtype), err));
    if (attr->linear.act >= ACT_COUNT)
        return err_set(err, USAGE, "linear has an unknown activation");
    if (x->dim[x->rank - 1] != w->dim[1])
        return err_set(err, USAGE, "linear: weight %s does not go with the input %s",
                       shape_text(w, w_text), shape_text(x, x_text));
    if (shape_given(in, ins, 2)) TRY(shape_vector("linear", "bias", &in[2], w->dim[0], err));
    out[0] = (struct tensor){ .dtype = in[0].dtype, .shape = *x };
    out[0].shape.dim[x->rank - 1] = w->dim[0];
    *outs = 1;
    return OK;
}

static enum code axis_check(const char *op, int axis, const struct tensor *x, struct err *err)
{
    char text[SHAPE_TEXT];
    if (axis >= 0 && axis < x->shape.rank) return OK;
    return err_set(err, USAGE, "%s: axis %d is outside the shape %s", op, axis,
                   shape_text(&x->shape, text));
}

SHAPE_RULE(infer_concat)
{
    char first[SHAPE_TEXT], other[SHAPE_TEXT];
    int axis = attr->concat.axis;
    TRY(axis_check("concat", axis, &in[0], err));
    TRY(infer_same(attr, in, ins, out, outs, err));
    for (int i = 1; i < ins; i++) {
        struct shape expected = in[i].shape;
        if (axis < expected.rank) expected.dim[axis] = in[0].shape.dim[axis];
        if (!shape_equal(&expected, &in[0].shape) || in[i].dtype != in[0].dtype)
            return err_set(err, USAGE, "concat along axis %d: %s (%s) does not go with %s (%s)",
                           axis, shape_text(&in[i].shape, other), dtype_name(in[i].dtype),
                           shape_text(&in[0].shape, first), dtype_name(in[0].dtype));
        if (__builtin_add_overflow(out[0].shape.dim[axis], in[i].shape.dim[axis],
                                   &out[0].shape.dim[axis]))
            return err_set(err, USAGE, "concat: the sum of lengths is too large");
    }
    return OK;
}

/* `*outs` comes in with the number of equal parts. */
SHAPE_RULE(infer_split)
{
    (void)ins;
    char text[SHAPE_TEXT];
    int axis = attr->concat.axis, parts = *outs;
    TRY(axis_check("split", axis, &in[0], err));
    if (parts < 1 || parts > OP_OUTS || in[0].shape.dim[axis] % parts)
        return err_set(err, USAGE, "split: axis %d of %s does not divide into %d parts", axis,
                       shape_text(&in[0].shape, text), parts);
    for (int i = 0; i < parts; i++) {
        out[i] = (struct tensor){ .dtype = in[0].dtype, .shape = in[0].shape };
        out[i].shape.dim[axis] /= parts;
    }
    return OK;
}

SHAPE_RULE(infer_reshape)
{
    char from[SHAPE_TEXT], to[SHAPE_TEXT];
    struct shape shape = attr->reshape.shape;
    int free_dim = -1;
    int64_t total = shape_count(&in[0].shape), known = 1;
    bool sound = shape.rank >= 0 && shape.rank <= TENSOR_DIMS;
    if (sound && shape.rank > 0 && shape.dim[0] == 0)
        shape.dim[0] = in[0].shape.rank > 0 ? in[0].shape.dim[0] : 1;
    for (int i = 0; sound && i < shape.rank; i++) {
        if (shape.dim[i] == -1 && free_dim < 0)
            free_dim = i;
        else
            sound = shape.dim[i] > 0 && !__builtin_mul_overflow(known, shape.dim[i], &known);
    }
    if (sound && free_dim >= 0) {
        shape.dim[free_dim] = total / known;
        sound = total % known == 0;
    } else {
        sound = sound && known == total;
    }
    if (!sound)
        return err_set(err, USAGE, "reshape: %s does not hold the elements of %s",
                       shape_text(&attr->reshape.shape, to), shape_text(&in[0].shape, from));
    TRY(infer_same(attr, in, ins, out, outs, err));
    out[0].shape = shape;
    return OK;
}

SHAPE_RULE(infer_permute)
{
    char text[SHAPE_TEXT];
    unsigned seen = 0;
    TRY(infer_same(attr, in, ins, out, outs, err));
    for (int i = 0; i < in[0].shape.rank; i++) {
        int from = attr->permute.order[i];
        if (from < 0 || from >= in[0].shape.rank || seen & 1u << from)
            return err_set(err, USAGE, "permute: the order is no permutation of the axes of %s",
                           shape_text(&in[0].shape, text));
        seen |= 1u << from;
        out[0].shape.dim[i] = in[0].shape.dim[from];
    }
    return OK;
}

SHAPE_RULE(infer_reduce)
{
    char text[SHAPE_TEXT];
    uint32_t axes = attr->reduce.axes;
    if (axes == 0 || axes >> in[0].shape.rank)
        return err_set(err, USAGE, "reduction over axes 0x%x is outside the shape %s",
                       (unsigned)axes, shape_text(&in[0].shape, text));
    TRY(infer_same(attr, in, ins, out, outs, err));
    out[0].shape = (struct shape){ .rank = 0 };
    for (int i = 0; i < in[0].shape.rank; i++)
        if (!(axes >> i & 1)) out[0].shape.dim[out[0].shape.rank++] = in[0].shape.dim[i];
    return OK;
}

/* loss and weight, one per row, and the gradient. */
static void loss_outputs(const struct tensor *prediction, int rows_rank, struct tensor *out,
                         int *outs)
{
    out[0] = (struct tensor){ .dtype = statistic_dtype(prediction->dtype),
                              .shape = prediction->shape };
    out[0].shape.rank = rows_rank;
    out[1] = out[0];
    out[2] = (struct tensor){ .dtype = prediction->dtype, .shape = prediction->shape };
    *outs = 3;
}

static enum code nominal_check(const char *op, const union op_attr *attr, struct err *err)
{
    if (attr->loss.nominal > 0) return OK;
    return err_set(err, USAGE, "%s needs a nominal number of examples, not %lld", op,
                   (long long)attr->loss.nominal);
}

SHAPE_RULE(infer_softmax_xent)
{
    TRY(nominal_check("softmax_xent", attr, err));
    int rank = in[0].shape.rank;
    if (rank < 2) return shape_rank("softmax_xent", &in[0], 2, err);
    struct tensor rows = in[0];
    rows.shape.rank--;
    TRY(shape_same("softmax_xent (one label per row)", &rows, &in[1], err));
    TRY(shape_dtype("softmax_xent", "label", &in[1], DTYPE_BIT(DTYPE_I32), err));
    if (shape_given(in, ins, 2))
        TRY(shape_vector("softmax_xent", "class weight", &in[2], in[0].shape.dim[rank - 1], err));
    if (shape_given(in, ins, 3) != shape_given(in, ins, 4))
        return err_set(err, USAGE, "softmax_xent needs a second label and its lambda together");
    if (shape_given(in, ins, 3)) {
        TRY(shape_same("softmax_xent (one second label per row)", &rows, &in[3], err));
        TRY(shape_dtype("softmax_xent", "second label", &in[3], DTYPE_BIT(DTYPE_I32), err));
        TRY(shape_same("softmax_xent (one lambda per row)", &rows, &in[4], err));
    }
    if (!(attr->loss.smoothing >= 0 && attr->loss.smoothing < 1))
        return err_set(err, USAGE, "softmax_xent: label smoothing %g is outside [0, 1)",
                       attr->loss.smoothing);
    loss_outputs(&in[0], rank - 1, out, outs);
    return OK;
}

SHAPE_RULE(infer_regression)
{
    (void)ins;
    TRY(nominal_check("a loss", attr, err));
    if (in[0].shape.rank < 1) return shape_rank("a loss", &in[0], 1, err);
    TRY(shape_same("a loss", &in[0], &in[1], err));
    loss_outputs(&in[0], 1, out, outs);
    return OK;
}

SHAPE_RULE(infer_huber)
{
    if (!(attr->loss.delta > 0))
        return err_set(err, USAGE, "huber needs a positive delta, not %g", attr->loss.delta);
    return infer_regression(attr, in, ins, out, outs, err);
}

SHAPE_RULE(infer_loss_sum)
{
    (void)attr, (void)ins, (void)out;
    TRY(shape_same("loss_sum", &in[0], &in[1], err));
    *outs = 0;
    return OK;
}

SHAPE_RULE(infer_embedding)
{
    (void)attr, (void)ins;
    char text[SHAPE_TEXT];
    TRY(shape_rank("embedding", &in[1], 2, err));
    TRY(shape_dtype("embedding", "table", &in[1],
                    DTYPE_BIT(DTYPE_F32) | DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_F16) |
                        DTYPE_BIT(DTYPE_F64),
                    err));
    if (in[0].shape.rank >= TENSOR_DIMS)
        return err_set(err, USAGE, "embedding: the index %s has too many dimensions",
                       shape_text(&in[0].shape, text));
    out[0] = (struct tensor){ .dtype = in[1].dtype, .shape = in[0].shape };
    out[0].shape.dim[out[0].shape.rank++] = in[1].shape.dim[1];
    *outs = 1;
    return OK;
}

SHAPE_RULE(infer_attention)
{
    char q_text[SHAPE_TEXT], k_text[SHAPE_TEXT];
    for (int i = 0; i < 3; i++) TRY(shape_rank("attention", &in[i], 4, err));
    TRY(shape_same("attention (key and value)", &in[1], &in[2], err));
    const int64_t *q = in[0].shape.dim, *k = in[1].shape.dim;
    if (q[0] != k[0] || q[2] % k[2] || q[3] != k[3] || (attr->attention.causal && q[1] > k[1]))
        return err_set(err, USAGE, "attention: query %s does not go with key %s",
                       shape_text(&in[0].shape, q_text), shape_text(&in[1].shape, k_text));
    TRY(infer_same(attr, in, ins, out, outs, err));
    out[1] = (struct tensor){ .dtype = statistic_dtype(in[0].dtype),
                              .shape = SHAPE(q[0], q[2], q[1]) };
    *outs = 2;
    return OK;
}

SHAPE_RULE(infer_quantize)
{
    (void)ins;
    if (attr->quantize.to != DTYPE_I8)
        return err_set(err, USAGE, "quantize to %s is not known, only to i8",
                       attr->quantize.to < DTYPE_COUNT ? dtype_name(attr->quantize.to) : "?");
    TRY(shape_rank("quantize", &in[0], 2, err));
    const int64_t *dim = in[0].shape.dim;
    out[0] = (struct tensor){ .dtype = DTYPE_I8, .shape = in[0].shape };
    out[1] = (struct tensor){ .dtype = DTYPE_I8, .shape = SHAPE(dim[1], dim[0]) };
    out[2] = (struct tensor){ .dtype = statistic_dtype(in[0].dtype), .shape = SHAPE(1) };
    *outs = 3;
    return OK;
}

/* Arenas of one length that are updated in place. */
SHAPE_RULE(infer_arena)
{
    (void)out;
    TRY(shape_rank("an arena op", &in[0], 1, err));
    for (int i = 1; i < ins; i++)
        if (shape_given(in, ins, i)) TRY(shape_same("an arena op", &in[0], &in[i], err));
    const struct segments *segments = attr->optimizer.segments;
    for (int64_t i = 0; segments && i < segments->count; i++)
        if (segments->at[i].offset < 0 || segments->at[i].count < 0 ||
            segments->at[i].offset > in[0].shape.dim[0] - segments->at[i].count)
            return err_set(err, USAGE, "segment '%s' reaches past the arena of %lld elements",
                           segments->at[i].name, (long long)in[0].shape.dim[0]);
    *outs = 0;
    return OK;
}
