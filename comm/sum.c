/* The one place where ranks' numbers are added.
 *
 * The tree joins index i with i + 1 for even i, then i with i + 2, and so on; an array without a
 * partner goes up as it is. A block of 2^k leaves that begins at a multiple of 2^k is one node of
 * it, whatever the number of leaves. */
#include "comm/sum.h"

#include <math.h>
#include <string.h>

size_t sum_width(enum comm_type type)
{
    return type == COMM_F64 || type == COMM_I64 ? 8 : 4;
}

size_t sum_stored(enum comm_type type)
{
    return type == COMM_BF16 ? 2 : sum_width(type);
}

static void add_f32(float *to, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++) to[i] += from[i];
}

static double largest(double a, double b)
{
    return isnan(a) || isnan(b) ? (double)NAN : a > b ? a : b;
}

static void join_f32(float *to, const float *from, int64_t count, enum comm_op op)
{
    if (op == COMM_SUM)
        add_f32(to, from, count);
    else
        for (int64_t i = 0; i < count; i++) to[i] = (float)largest((double)to[i], (double)from[i]);
}

static void join_f64(double *to, const double *from, int64_t count, enum comm_op op)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = op == COMM_SUM ? to[i] + from[i] : largest(to[i], from[i]);
}

/* Sums of integers wrap, as they do in other libraries. */
static void join_i64(int64_t *to, const int64_t *from, int64_t count, enum comm_op op)
{
    for (int64_t i = 0; i < count; i++) {
        if (op == COMM_SUM)
            to[i] = (int64_t)((uint64_t)to[i] + (uint64_t)from[i]);
        else if (from[i] > to[i])
            to[i] = from[i];
    }
}

static void join(void *to, const void *from, int64_t count, enum comm_type type, enum comm_op op)
{
    switch (type) {
    case COMM_F64:
        join_f64(to, from, count, op);
        break;
    case COMM_I64:
        join_i64(to, from, count, op);
        break;
    default:
        join_f32(to, from, count, op);
    }
}

void sum_tree(void *base, size_t stride, int arrays, int64_t count, enum comm_type type,
              enum comm_op op)
{
    char *at = base;
    for (int step = 1; step < arrays; step *= 2)
        for (int i = 0; i + step < arrays; i += 2 * step)
            join(at + (size_t)i * stride, at + (size_t)(i + step) * stride, count, type, op);
}

void sum_leaves(float *const *leaf, int leaves, int64_t count)
{
    for (int step = 1; step < leaves; step *= 2)
        for (int i = 0; i + step < leaves; i += 2 * step) add_f32(leaf[i], leaf[i + step], count);
}

static float widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest, ties to even; a NaN stays one. */
static uint16_t narrow(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value)) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void sum_pack(void *to, const void *from, int64_t count, enum comm_type type)
{
    if (type != COMM_BF16) {
        memcpy(to, from, (size_t)count * sum_width(type));
        return;
    }
    for (int64_t i = 0; i < count; i++) ((float *)to)[i] = widen(((const uint16_t *)from)[i]);
}

void sum_unpack(void *to, const void *from, int64_t count, enum comm_type type)
{
    if (type != COMM_BF16) {
        memcpy(to, from, (size_t)count * sum_width(type));
        return;
    }
    for (int64_t i = 0; i < count; i++) ((uint16_t *)to)[i] = narrow(((const float *)from)[i]);
}
