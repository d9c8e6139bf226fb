/* Reference embedding: rows of a table, and the sum of gradients per row. */
#include "kernels/ref/ref.h"

void ref_embedding(struct op_call *call)
{
    int64_t count = shape_count(&call->in[0].shape), width = call->in[1].shape.dim[1];
    for (int64_t i = 0; i < count; i++) {
        int64_t row = (int64_t)ref_get(call, 0, i);
        bool known = row >= 0 && row < call->in[1].shape.dim[0];
        for (int64_t c = 0; c < width; c++)
            ref_put_exact(call, 0, i * width + c,
                          known ? ref_get(call, 1, row * width + c) : (double)NAN);
    }
}

void ref_embedding_bwd(struct op_call *call)
{
    int64_t count = shape_count(&call->in[1].shape);
    int64_t rows = call->out[0].shape.dim[0], width = call->out[0].shape.dim[1];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t c = 0; c < width; c++) {
            struct sum gradient = { 0 };
            for (int64_t i = 0; i < count; i++)
                if ((int64_t)ref_get(call, 1, i) == row)
                    sum_add(&gradient, ref_get(call, 0, i * width + c));
            ref_put(call, 0, row * width + c, gradient);
        }
}
