/* Reference matrix products: y = act(x w' + bias) and its two gradients. */
#include "kernels/ref/ref.h"

void ref_linear(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), width = last_dim(&call->in[0]);
    int64_t features = call->in[1].shape.dim[0];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t o = 0; o < features; o++) {
            struct sum y = { 0 };
            for (int64_t i = 0; i < width; i++)
                sum_add(&y, ref_get(call, 0, row * width + i) * ref_get(call, 1, o * width + i));
            if (call_has_in(call, 2)) sum_add(&y, ref_get(call, 2, o));
            ref_put(call, 0, row * features + o, activation_of(call->attr->linear.act, y));
        }
}

void ref_linear_bwd_data(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), features = last_dim(&call->in[0]);
    int64_t width = call->in[1].shape.dim[1];
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < width; i++) {
            struct sum dx = { 0 };
            for (int64_t o = 0; o < features; o++)
                sum_add(&dx,
                        ref_get(call, 0, row * features + o) * ref_get(call, 1, o * width + i));
            ref_put(call, 0, row * width + i, dx);
        }
}

void ref_linear_bwd_weight(struct op_call *call)
{
    int64_t rows = row_count(&call->in[0]), features = last_dim(&call->in[0]);
    int64_t width = last_dim(&call->in[1]);
    for (int64_t o = 0; o < features; o++) {
        struct sum dbias = { 0 };
        for (int64_t row = 0; row < rows; row++)
            sum_add(&dbias, ref_get(call, 0, row * features + o));
        ref_put(call, 1, o, dbias);
        for (int64_t i = 0; i < width; i++) {
            struct sum dw = { 0 };
            for (int64_t row = 0; row < rows; row++)
                sum_add(&dw,
                        ref_get(call, 0, row * features + o) * ref_get(call, 1, row * width + i));
            ref_put(call, 0, o * width + i, dw);
        }
    }
}
