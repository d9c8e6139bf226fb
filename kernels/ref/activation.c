/* Reference activations: value, slope, and the elementwise ops made of them.
 *
 * gelu is the exact one (Hendrycks and Gimpel 2016, with the error function). */
#include "kernels/ref/ref.h"

static double sigmoid(double x)
{
    /* exp of a negative number alone: neither end overflows. */
    double e = exp(-fabs(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* Standard normal distribution function and density. */
static double normal_below(double x)
{
    return 0.5 * erfc(-x * M_SQRT1_2);
}

static double normal_density(double x)
{
    return exp(-0.5 * x * x) * M_SQRT1_2 * M_2_SQRTPI / 2;
}

double activation_value(enum activation act, double x)
{
    switch (act) {
    case ACT_RELU:
        return x > 0 || isnan(x) ? x : 0;
    case ACT_GELU:
        return x * normal_below(x);
    case ACT_SILU:
        return x * sigmoid(x);
    case ACT_TANH:
        return tanh(x);
    case ACT_SIGMOID:
        return sigmoid(x);
    default:
        return x;
    }
}

double activation_slope(enum activation act, double x)
{
    switch (act) {
    case ACT_RELU:
        return x > 0;
    case ACT_GELU:
        return normal_below(x) + x * normal_density(x);
    case ACT_SILU:
        return sigmoid(x) * (1 + x * (1 - sigmoid(x)));
    case ACT_TANH:
        return 1 - tanh(x) * tanh(x);
    case ACT_SIGMOID:
        return sigmoid(x) * (1 - sigmoid(x));
    default:
        return 1;
    }
}

struct sum activation_of(enum activation act, struct sum x)
{
    if (act == ACT_NONE) return x;
    double value = activation_value(act, x.value);
    /* gelu is x / 2 + x erf / 2, which cancels for negative x. */
    double terms = act == ACT_GELU ? fabs(x.value) : fabs(value);
    return (struct sum){ value, terms + fabs(activation_slope(act, x.value)) * x.size };
}

static const enum activation kinds[OP_COUNT] = {
    [OP_RELU] = ACT_RELU,           [OP_RELU_BWD] = ACT_RELU, [OP_GELU] = ACT_GELU,
    [OP_GELU_BWD] = ACT_GELU,       [OP_SILU] = ACT_SILU,     [OP_SILU_BWD] = ACT_SILU,
    [OP_TANH] = ACT_TANH,           [OP_TANH_BWD] = ACT_TANH, [OP_SIGMOID] = ACT_SIGMOID,
    [OP_SIGMOID_BWD] = ACT_SIGMOID,
};

void ref_activation(struct op_call *call)
{
    int64_t count = shape_count(&call->out[0].shape);
    for (int64_t i = 0; i < count; i++) {
        double x = ref_get(call, 0, i);
        ref_put(call, 0, i, activation_of(kinds[call->op], (struct sum){ x, fabs(x) }));
    }
}

/* The slope from what backward keeps: x for gelu and silu, y for the others. */
static double kept_slope(enum activation act, double kept)
{
    switch (act) {
    case ACT_TANH:
        return 1 - kept * kept;
    case ACT_SIGMOID:
        return kept * (1 - kept);
    default:
        return activation_slope(act, kept);
    }
}

void ref_activation_bwd(struct op_call *call)
{
    enum activation act = kinds[call->op];
    int64_t count = shape_count(&call->out[0].shape);
    for (int64_t i = 0; i < count; i++) {
        double dy = ref_get(call, 0, i), kept = ref_get(call, 1, i);
        double slope = kept_slope(act, kept);
        /* Slopes are sums of terms of at most 1 + |x|, which may cancel. */
        double size = act == ACT_RELU                      ? fabs(slope)
                      : act == ACT_GELU || act == ACT_SILU ? 1 + fabs(kept)
                                                           : 1;
        ref_put(call, 0, i, (struct sum){ dy * slope, fabs(dy) * size });
    }
}
