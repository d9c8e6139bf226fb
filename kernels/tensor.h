/* Element types, shapes and tensors.
 *
 * A tensor is a view: it never owns its memory. Images are NHWC, convolution weights are
 * [filters, kernel_h, kernel_w, channels / groups], linear weights [out, in]; all dense and
 * row-major, unless `layout` names an opaque layout of the device (0: canonical). */
#ifndef PAWL_KERNELS_TENSOR_H
#define PAWL_KERNELS_TENSOR_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* enum name, text, bytes, unit roundoff (0 for integers) */
#define DTYPES(X)                                                                                  \
    X(F32, "f32", 4, 0x1p-24)                                                                      \
    X(BF16, "bf16", 2, 0x1p-8)                                                                     \
    X(F16, "f16", 2, 0x1p-11)                                                                      \
    X(F64, "f64", 8, 0x1p-53)                                                                      \
    X(I32, "i32", 4, 0)                                                                            \
    X(I64, "i64", 8, 0)                                                                            \
    X(U8, "u8", 1, 0)                                                                              \
    X(I8, "i8", 1, 0)

enum dtype {
#define X(name, text, bytes, roundoff) DTYPE_##name,
    DTYPES(X)
#undef X
        DTYPE_COUNT
};

#define DTYPE_BIT(dtype) (1u << (dtype))

/* Name ("bf16"), bytes of one value, unit roundoff (0 for integers). */
const char *dtype_name(enum dtype dtype);
size_t dtype_size(enum dtype dtype);
double dtype_roundoff(enum dtype dtype);
/* By name ("bf16"); false when there is none. */
bool dtype_parse(enum dtype *dtype, const char *name);

enum { TENSOR_DIMS = 6, SHAPE_TEXT = 96 };

struct shape {
    int rank; /* 0: a scalar */
    int64_t dim[TENSOR_DIMS];
};

/* Elements; dimensions from `from` on; equality; "[64, 28, 28, 1]". */
int64_t shape_count(const struct shape *shape);
int64_t shape_inner(const struct shape *shape, int from);
bool shape_equal(const struct shape *a, const struct shape *b);
const char *shape_text(const struct shape *shape, char text[SHAPE_TEXT]);

#define SHAPE(...)                                                                                 \
    ((struct shape){ .rank = (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)),          \
                     .dim = { __VA_ARGS__ } })

/* Bytes of a canonical tensor; an overflow is reported as USAGE, so that shapes from files are
 * checked in one place. */
enum code shape_bytes(size_t *bytes, const struct shape *shape, enum dtype dtype, struct err *err);

struct tensor {
    enum dtype dtype;
    uint32_t layout; /* 0: canonical */
    struct shape shape;
    void *data;
};

/* One element as f64, and back with rounding to nearest even (canonical host tensors). */
double tensor_get(const struct tensor *tensor, int64_t index);
void tensor_set(const struct tensor *tensor, int64_t index, double value);

#endif
