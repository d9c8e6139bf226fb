/* Elementwise maps. Plain loops that the compiler vectorises; activations keep NaN. */
#include "kernels/cpu/simd/math.h"
#include "kernels/cpu/simd/simd.h"

static uint32_t float_bits(float value)
{
    union {
        float value;
        uint32_t bits;
    } u = { .value = value };
    return u.bits;
}

static float bits_float(uint32_t bits)
{
    union {
        uint32_t bits;
        float value;
    } u = { .bits = bits };
    return u.value;
}

static void bf16_to_f32(float *y, const uint16_t *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = bits_float((uint32_t)x[i] << 16);
}

static void f32_to_bf16(uint16_t *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits = float_bits(x[i]);
        uint32_t rounded = bits + 0x7FFFu + ((bits >> 16) & 1);
        uint32_t quiet = bits | 0x400000u;
        y[i] = (uint16_t)((x[i] != x[i] ? quiet : rounded) >> 16);
    }
}

static void u8_to_f32(float *y, const uint8_t *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = (float)x[i];
}

static void add(float *y, const float *a, const float *b, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

static void multiply(float *y, const float *a, const float *b, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = a[i] * b[i];
}

static void scale(float *y, const float *x, float factor, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] * factor;
}

static void normalize(float *y, const float *x, const float *factor, const float *shift,
                      int64_t rows, int64_t columns)
{
    if (columns == 1) {
        float f = factor[0], b = shift[0];
#pragma omp simd
        for (int64_t i = 0; i < rows; i++) y[i] = x[i] * f + b;
        return;
    }
    for (int64_t r = 0; r < rows; r++, x += columns, y += columns) {
#pragma omp simd
        for (int64_t c = 0; c < columns; c++) y[c] = x[c] * factor[c] + shift[c];
    }
}

static void copy(float *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i];
}

static void copy_bwd(float *dx, const float *dy, const float *saved, int64_t count)
{
    (void)saved;
    copy(dx, dy, count);
}

static void relu(float *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] < 0 ? 0 : x[i];
}

static void relu_bwd(float *dx, const float *dy, const float *y, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
}

static void gelu(float *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] * math_normal(x[i]).below;
}

static void gelu_bwd(float *dx, const float *dy, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        struct math_normal n = math_normal(x[i]);
        dx[i] = dy[i] * (n.below + x[i] * n.density * 0x1.988454p-2f);
    }
}

static void silu(float *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = x[i] * math_sigmoid(x[i]);
}

static void silu_bwd(float *dx, const float *dy, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        float s = math_sigmoid(x[i]);
        dx[i] = dy[i] * (s + x[i] * s * (1 - s));
    }
}

static void tanh_map(float *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = math_tanh(x[i]);
}

static void tanh_bwd(float *dx, const float *dy, const float *y, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * (1 - y[i]) * (1 + y[i]);
}

static void sigmoid(float *y, const float *x, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = math_sigmoid(x[i]);
}

static void sigmoid_bwd(float *dx, const float *dy, const float *y, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * y[i] * (1 - y[i]);
}

static void exponential(float *y, const float *x, float shift, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] = math_exp(x[i] - shift);
}

static void add_scaled(float *y, const float *x, float factor, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) y[i] += factor * x[i];
}

extern const struct simd_elementwise SIMD(simd_elementwise);
const struct simd_elementwise SIMD(simd_elementwise) = {
    .bf16_to_f32 = bf16_to_f32,
    .f32_to_bf16 = f32_to_bf16,
    .u8_to_f32 = u8_to_f32,
    .add = add,
    .multiply = multiply,
    .scale = scale,
    .normalize = normalize,
    .act = { copy, relu, gelu, silu, tanh_map, sigmoid },
    .act_bwd = { copy_bwd, relu_bwd, gelu_bwd, silu_bwd, tanh_bwd, sigmoid_bwd },
    .exponential = exponential,
    .add_scaled = add_scaled,
};
