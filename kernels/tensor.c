/* Element types as one table, shapes, and single elements as f64.
 *
 * tensor_set rounds straight from f64 to the element type (never through f32 first, which would
 * round twice), so that `ref` gives the correctly rounded result of its f64 arithmetic. */
#include "kernels/tensor.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
    double roundoff;
} dtypes[DTYPE_COUNT] = {
#define X(label, text, bytes, unit)                                                                \
    [DTYPE_##label] = { .name = (text), .size = (bytes), .roundoff = (unit) },
    DTYPES(X)
#undef X
};

const char *dtype_name(enum dtype dtype)
{
    return dtypes[dtype].name;
}

size_t dtype_size(enum dtype dtype)
{
    return dtypes[dtype].size;
}

double dtype_roundoff(enum dtype dtype)
{
    return dtypes[dtype].roundoff;
}

bool dtype_parse(enum dtype *dtype, const char *name)
{
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(dtypes[i].name, name) != 0) continue;
        *dtype = (enum dtype)i;
        return true;
    }
    return false;
}

int64_t shape_inner(const struct shape *shape, int from)
{
    int64_t count = 1;
    for (int i = from; i < shape->rank; i++) count *= shape->dim[i];
    return count;
}

int64_t shape_count(const struct shape *shape)
{
    return shape_inner(shape, 0);
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

const char *shape_text(const struct shape *shape, char text[SHAPE_TEXT])
{
    size_t used = 0;
    text[used++] = '[';
    /* Three numbers of 19 digits fill a third of the text: cut rather than overrun. */
    for (int i = 0; i < shape->rank && used < SHAPE_TEXT - 2; i++) {
        int wrote = snprintf(text + used, SHAPE_TEXT - 1 - used, i ? ", %lld" : "%lld",
                             (long long)shape->dim[i]);
        used += (size_t)wrote;
    }
    if (used > SHAPE_TEXT - 2) used = SHAPE_TEXT - 2;
    text[used++] = ']';
    text[used] = '\0';
    return text;
}

enum code shape_bytes(size_t *bytes, const struct shape *shape, enum dtype dtype, struct err *err)
{
    char text[SHAPE_TEXT];
    size_t product = dtype_size(dtype);
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dim[i] < 0)
            return err_set(err, USAGE, "shape %s has a negative dimension",
                           shape_text(shape, text));
        if (__builtin_mul_overflow(product, (size_t)shape->dim[i], &product) ||
            product > (size_t)PTRDIFF_MAX)
            return err_set(err, USAGE, "a tensor of shape %s and type %s is too large to address",
                           shape_text(shape, text), dtype_name(dtype));
    }
    *bytes = product;
    return OK;
}

/* Rounds to `bits` significant bits, to nearest even, with subnormal spacing 2^least. */
static double round_bits(double value, int bits, int least)
{
    int exponent;
    if (value == 0 || !isfinite(value)) return value;
    frexp(value, &exponent);
    int spacing = exponent - bits > least ? exponent - bits : least;
    return ldexp(nearbyint(ldexp(value, -spacing)), spacing);
}

static uint16_t bf16_encode(double value)
{
    if (isnan(value)) return 0x7FC0;
    float rounded = (float)round_bits(value, 8, -133); /* exact, or the overflow to infinity */
    uint32_t word;
    memcpy(&word, &rounded, sizeof word);
    return (uint16_t)(word >> 16);
}

static double bf16_decode(uint16_t half)
{
    uint32_t word = (uint32_t)half << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return (double)value;
}

static uint16_t f16_encode(double value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    if (isnan(value)) return 0x7E00;
    double size = fabs(round_bits(value, 11, -24));
    if (size >= 65536) return (uint16_t)(sign | 0x7C00);
    if (size < 0x1p-14) return (uint16_t)(sign | (uint16_t)(size * 0x1p24));
    int exponent;
    double part = frexp(size, &exponent); /* [0.5, 1) */
    unsigned fraction = (unsigned)(part * 2048) - 1024;
    return (uint16_t)(sign | (unsigned)(exponent + 14) << 10 | fraction);
}

static double f16_decode(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent == 31  ? (fraction ? NAN : INFINITY)
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(1024 + fraction, exponent - 25);
    return half & 0x8000 ? -size : size;
}

double tensor_get(const struct tensor *tensor, int64_t index)
{
    switch (tensor->dtype) {
    case DTYPE_F32:
        return (double)((const float *)tensor->data)[index];
    case DTYPE_BF16:
        return bf16_decode(((const uint16_t *)tensor->data)[index]);
    case DTYPE_F16:
        return f16_decode(((const uint16_t *)tensor->data)[index]);
    case DTYPE_F64:
        return ((const double *)tensor->data)[index];
    case DTYPE_I32:
        return (double)((const int32_t *)tensor->data)[index];
    case DTYPE_I64:
        return (double)((const int64_t *)tensor->data)[index];
    case DTYPE_U8:
        return (double)((const uint8_t *)tensor->data)[index];
    case DTYPE_I8:
        return (double)((const int8_t *)tensor->data)[index];
    default:
        REQUIRE(tensor->dtype < DTYPE_COUNT);
    }
    return 0;
}

/* To nearest even, held to the range; not-a-number becomes 0. */
static int64_t to_integer(double value, int64_t low, int64_t high)
{
    if (isnan(value)) return 0;
    double whole = nearbyint(value);
    if (whole <= (double)low) return low;
    if (whole >= (double)high) return high;
    return (int64_t)whole;
}

void tensor_set(const struct tensor *tensor, int64_t index, double value)
{
    void *data = tensor->data;
    switch (tensor->dtype) {
    case DTYPE_F32:
        ((float *)data)[index] = (float)value;
        return;
    case DTYPE_BF16:
        ((uint16_t *)data)[index] = bf16_encode(value);
        return;
    case DTYPE_F16:
        ((uint16_t *)data)[index] = f16_encode(value);
        return;
    case DTYPE_F64:
        ((double *)data)[index] = value;
        return;
    case DTYPE_I32:
        ((int32_t *)data)[index] = (int32_t)to_integer(value, INT32_MIN, INT32_MAX);
        return;
    case DTYPE_I64:
        ((int64_t *)data)[index] = to_integer(value, INT64_MIN, INT64_MAX);
        return;
    case DTYPE_U8:
        ((uint8_t *)data)[index] = (uint8_t)to_integer(value, 0, UINT8_MAX);
        return;
    case DTYPE_I8:
        ((int8_t *)data)[index] = (int8_t)to_integer(value, INT8_MIN, INT8_MAX);
        return;
    default:
        REQUIRE(tensor->dtype < DTYPE_COUNT);
    }
}
