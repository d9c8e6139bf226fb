/* Reference quantising to i8: symmetric, one scale amax / 127 for the whole tensor. */
#include "kernels/ref/ref.h"

void ref_quantize(struct op_call *call)
{
    int64_t rows = call->in[0].shape.dim[0], columns = call->in[0].shape.dim[1];
    double amax = 0;
    for (int64_t i = 0; i < rows * columns; i++) amax = fmax(amax, fabs(ref_get(call, 0, i)));
    for (int64_t i = 0; i < rows * columns; i++) {
        /* Multiplied before it is divided: the largest element becomes 127 exactly. */
        double q = amax > 0 ? ref_get(call, 0, i) * 127 / amax : 0;
        ref_put_exact(call, 0, i, q);
        ref_put_exact(call, 1, i % columns * rows + i / columns, q);
    }
    ref_put_exact(call, 2, 0, amax);
}
