/* Checks that the shape rules share, and the rules of ops that keep or lightly change a shape. */
#include "kernels/shape.h"

#include "kernels/window.h"

enum dtype statistic_dtype(enum dtype dtype)
{
    return dtype == DTYPE_F64 ? DTYPE_F64 : DTYPE_F32;
}

enum code shape_same(const char *op, const struct tensor *a, const struct tensor *b,
                     struct err *err)
{
    char left[SHAPE_TEXT], right[SHAPE_TEXT];
    if (shape_equal(&a->shape, &b->shape)) return OK;
    return err_set(err, USAGE, "%s needs inputs of one shape, not %s and %s", op,
                   shape_text(&a->shape, left), shape_text(&b->shape, right));
}

enum code shape_vector(const char *op, const char *what, const struct tensor *tensor, int64_t count,
                       struct err *err)
{
    char text[SHAPE_TEXT];
    if (tensor->shape.rank == 1 && tensor->shape.dim[0] == count) return OK;
    return err_set(err, USAGE, "%s needs a %s of shape [%lld], not %s", op, what, (long long)count,
                   shape_text(&tensor->shape, text));
}

enum code shape_rank(const char *op, const struct tensor *tensor, int rank, struct err *err)
{
    char text[SHAPE_TEXT];
    if (tensor->shape.rank == rank) return OK;
    return err_set(err, USAGE, "%s needs an input of %d dimensions, not %s", op, rank,
                   shape_text(&tensor->shape, text));
}

enum code shape_dtype(const char *op, const char *what, const struct tensor *tensor,
                      uint32_t dtypes, struct err *err)
{
    if (dtypes & DTYPE_BIT(tensor->dtype)) return OK;
    return err_set(err, USAGE, "%s does not take a %s of type %s", op, what,
                   dtype_name(tensor->dtype));
}

SHAPE_RULE(infer_same)
{
    (void)attr, (void)ins, (void)err;
    out[0] = (struct tensor){ .dtype = in[0].dtype, .shape = in[0].shape };
    *outs = 1;
    return OK;
}

SHAPE_RULE(infer_pair)
{
    TRY(shape_same("an elementwise op", &in[0], &in[1], err));
    TRY(shape_dtype("an elementwise op of another type", "second input", &in[1],
                    DTYPE_BIT(in[0].dtype), err));
    return infer_same(attr, in, ins, out, outs, err);
}

SHAPE_RULE(infer_cast)
{
    TRY(infer_same(attr, in, ins, out, outs, err));
    if (attr->cast.to >= DTYPE_COUNT)
        return err_set(err, USAGE, "cast to type number %d, which does not exist",
                       (int)attr->cast.to);
    out[0].dtype = attr->cast.to;
    return OK;
}

SHAPE_RULE(infer_reorder)
{
    TRY(infer_same(attr, in, ins, out, outs, err));
    out[0].layout = attr->reorder.layout;
    return OK;
}

SHAPE_RULE(infer_dropout)
{
    TRY(shape_vector("dropout", "sample ordinal", &in[1], in[0].shape.dim[0], err));
    TRY(shape_dtype("dropout", "sample ordinal", &in[1], DTYPE_BIT(DTYPE_I64), err));
    if (!(attr->dropout.rate >= 0 && attr->dropout.rate <= 1))
        return err_set(err, USAGE, "dropout rate %g is outside [0, 1]", (double)attr->dropout.rate);
    return infer_same(attr, in, ins, out, outs, err);
}

SHAPE_RULE(infer_augment)
{
    TRY(shape_rank("an image augmentation", &in[0], 4, err));
    TRY(shape_vector("an image augmentation", "sample ordinal", &in[1], in[0].shape.dim[0], err));
    TRY(shape_dtype("an image augmentation", "sample ordinal", &in[1], DTYPE_BIT(DTYPE_I64), err));
    if (attr->augment.pad < 0 || attr->augment.pad > UINT16_MAX)
        return err_set(err, USAGE, "padding %d of a crop is outside [0, %d]", attr->augment.pad,
                       UINT16_MAX);
    if (!(attr->augment.probability >= 0 && attr->augment.probability <= 1))
        return err_set(err, USAGE, "flip probability %g is outside [0, 1]",
                       (double)attr->augment.probability);
    return infer_same(attr, in, ins, out, outs, err);
}

SHAPE_RULE(infer_normalize)
{
    const struct shape *x = &in[0].shape;
    if (x->rank < 1) return shape_rank("normalize", &in[0], 1, err);
    int64_t channels = x->dim[x->rank - 1];
    TRY(shape_vector("normalize", "scale", &in[1], channels, err));
    TRY(shape_vector("normalize", "shift", &in[2], channels, err));
    return infer_cast(attr, in, ins, out, outs, err);
}

/* Window sizes that make sense and fit, whoever uses the window. */
static enum code window_check(const char *op, const struct window *window, const struct tensor *x,
                              struct err *err)
{
    char text[SHAPE_TEXT];
    for (int axis = 0; axis < 2; axis++) {
        const int64_t *pad = window->pad + 2 * axis;
        if (window->stride[axis] < 1 || window->dilation[axis] < 1 || window->size[axis] < 1 ||
            pad[0] < 0 || pad[1] < 0)
            return err_set(err, USAGE,
                           "%s has a size, stride, dilation or padding that is out of range", op);
        if (window->out[axis] < 1)
            return err_set(err, USAGE, "%s: a window of %lld x %lld does not fit the input %s", op,
                           (long long)window->size[0], (long long)window->size[1],
                           shape_text(&x->shape, text));
    }
    return OK;
}

static void image(struct tensor *out, const struct window *window, enum dtype dtype)
{
    *out = (struct tensor){ .dtype = dtype,
                            .shape = SHAPE(window->batch, window->out[0], window->out[1],
                                           window->filters) };
}

SHAPE_RULE(infer_conv2d)
{
    char x_text[SHAPE_TEXT], w_text[SHAPE_TEXT];
    TRY(shape_rank("conv2d", &in[0], 4, err));
    TRY(shape_rank("conv2d", &in[1], 4, err));
    TRY(shape_dtype("conv2d of another type", "weight", &in[1], DTYPE_BIT(in[0].dtype), err));
    if (attr->conv.stride[0] < 0 || attr->conv.stride[1] < 0)
        return err_set(err, USAGE, "conv2d has a negative stride");
    struct window window = conv_window(attr, &in[0].shape, &in[1].shape);
    if (window.groups < 1 || window.channels != in[1].shape.dim[3] * window.groups ||
        window.filters % window.groups)
        return err_set(err, USAGE,
                       "conv2d: weight %s with %lld groups does not go with the input %s",
                       shape_text(&in[1].shape, w_text), (long long)window.groups,
                       shape_text(&in[0].shape, x_text));
    TRY(window_check("conv2d", &window, &in[0], err));
    if (shape_given(in, ins, 2)) TRY(shape_vector("conv2d", "bias", &in[2], window.filters, err));
    image(&out[0], &window, in[0].dtype);
    *outs = 1;
    return OK;
}

static enum code pool_check(const char *op, const union op_attr *attr, const struct tensor *x,
                            struct window *window, struct err *err)
{
    TRY(shape_rank(op, x, 4, err));
    if (attr->pool.stride[0] < 0 || attr->pool.stride[1] < 0)
        return err_set(err, USAGE, "%s has a negative stride", op);
    *window = pool_window(attr, &x->shape);
    TRY(window_check(op, window, x, err));
    /* Then every window holds at least one real cell. */
    for (int side = 0; side < 4; side++)
        if (window->pad[side] >= window->size[side / 2])
            return err_set(err, USAGE, "%s: padding %lld is not smaller than the window's %lld", op,
                           (long long)window->pad[side], (long long)window->size[side / 2]);
    return OK;
}

static enum code index_check(const char *op, const struct window *window, struct err *err)
{
    if (window->size[0] <= UINT8_MAX && window->size[0] * window->size[1] <= UINT8_MAX) return OK;
    return err_set(err, USAGE, "%s: a window of %lld x %lld has more than %d cells", op,
                   (long long)window->size[0], (long long)window->size[1], UINT8_MAX);
}

SHAPE_RULE(infer_max_pool)
{
    (void)ins;
    struct window window;
    TRY(pool_check("max_pool", attr, &in[0], &window, err));
    TRY(index_check("max_pool", &window, err));
    image(&out[0], &window, in[0].dtype);
    image(&out[1], &window, DTYPE_U8);
    *outs = 2;
    return OK;
}

SHAPE_RULE(infer_avg_pool)
{
    (void)ins;
    struct window window;
    TRY(pool_check("avg_pool", attr, &in[0], &window, err));
    image(&out[0], &window, in[0].dtype);
    *outs = 1;
    return OK;
}

SHAPE_RULE(infer_global_avg_pool)
{
    (void)attr, (void)ins;
    TRY(shape_rank("global_avg_pool", &in[0], 4, err));
    out[0] = (struct tensor){ .dtype = in[0].dtype,
                              .shape = SHAPE(in[0].shape.dim[0], in[0].shape.dim[3]) };
    *outs = 1;
    return OK;
}

/* x [..., C] with `vectors` inputs of [C] after it. */
static enum code norm_check(const char *op, const struct tensor *in, int ins, int vectors,
                            struct err *err)
{
    static const char *const names[] = { "input", "gamma", "beta", "mean", "variance" };
    int rank = in[0].shape.rank;
    if (rank < 2) return shape_rank(op, &in[0], 2, err);
    for (int i = 1; i <= vectors; i++)
        if (shape_given(in, ins, i))
            TRY(shape_vector(op, names[i], &in[i], in[0].shape.dim[rank - 1], err));
    return OK;
}

SHAPE_RULE(infer_batch_norm)
{
    TRY(norm_check("batch_norm", in, ins, 4, err));
    TRY(infer_same(attr, in, ins, out, outs, err));
    struct tensor statistic = { .dtype = statistic_dtype(in[0].dtype), .shape = in[1].shape };
    out[1] = out[2] = statistic;
    *outs = 3;
    return OK;
}

SHAPE_RULE(infer_batch_norm_infer)
{
    TRY(norm_check("batch_norm_infer", in, ins, 4, err));
    return infer_same(attr, in, ins, out, outs, err);
}

SHAPE_RULE(infer_bn_act_pool)
{
    TRY(shape_rank("bn_act_pool", &in[0], 4, err));
    if (attr->norm.act >= ACT_COUNT || attr->norm.pool < 0)
        return err_set(err, USAGE, "bn_act_pool has an unknown activation or a negative pool");
    TRY(infer_batch_norm(attr, in, ins, out, outs, err));
    struct window window = norm_window(attr, &in[0].shape);
    TRY(window_check("bn_act_pool", &window, &in[0], err));
    TRY(index_check("bn_act_pool", &window, err));
    image(&out[0], &window, in[0].dtype);
    image(&out[3], &window, DTYPE_U8);
    if (attr->norm.pool <= 1) out[3].shape.rank = -1;
    *outs = 4;
    return OK;
}

SHAPE_RULE(infer_layer_norm)
{
    TRY(norm_check("layer_norm", in, ins, 2, err));
    TRY(infer_same(attr, in, ins, out, outs, err));
    out[1] = (struct tensor){ .dtype = statistic_dtype(in[0].dtype), .shape = in[0].shape };
    out[1].shape.rank--;
    out[2] = out[1];
    *outs = 3;
    return OK;
}
