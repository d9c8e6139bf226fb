/* What the reference kernels share: sums that know their size, and reading and writing elements.
 *
 * The magnitude of an output is the size s in |got - ref| <= c u s: the sum of |terms| of what was
 * added up, to first order. Through a function f of an intermediate t whose magnitude is s_t it
 * is |f(t)| + |f'(t)| s_t: a faster kernel rounds t once and f(t) once. */
#ifndef PAWL_KERNELS_REF_REF_H
#define PAWL_KERNELS_REF_REF_H

#include "kernels/device.h"

#include <math.h>

struct sum {
    double value, size; /* Σ terms, Σ |terms| */
};

/* Adds one term to the value and its size to the magnitude. */
static inline void sum_add(struct sum *sum, double term)
{
    sum->value += term;
    sum->size += fabs(term);
}

/* Adds factor times an intermediate that has a magnitude of its own. */
static inline void sum_add_scaled(struct sum *sum, double factor, struct sum term)
{
    sum->value += factor * term.value;
    sum->size += fabs(factor) * term.size;
}

/* Element `at` of input i as f64. */
static inline double ref_get(const struct op_call *call, int i, int64_t at)
{
    return tensor_get(&call->in[i], at);
}

/* Writes element `at` of output i, or adds to it; an absent output is passed over. */
void ref_put(const struct op_call *call, int i, int64_t at, struct sum sum);

/* Writes a value that involves no arithmetic. */
void ref_put_exact(const struct op_call *call, int i, int64_t at, double value);

/* Overwrites element `at` of input i, which the op updates. */
void ref_update(const struct op_call *call, int i, int64_t at, struct sum sum);

/* f(x) and f'(x); and f of a sum with its magnitude. */
double activation_value(enum activation act, double x);
double activation_slope(enum activation act, double x);
struct sum activation_of(enum activation act, struct sum x);

/* Rows and width of a tensor seen as [rows, width], the last dimension being the width. */
static inline int64_t last_dim(const struct tensor *tensor)
{
    return tensor->shape.rank ? tensor->shape.dim[tensor->shape.rank - 1] : 1;
}

/* The product of all dimensions but the last. */
static inline int64_t row_count(const struct tensor *tensor)
{
    return shape_count(&tensor->shape) / last_dim(tensor);
}

/* One function per op or family: reads call->in, writes call->out. Listed in ref.c. */
void ref_linear(struct op_call *call);
void ref_linear_bwd_data(struct op_call *call);
void ref_linear_bwd_weight(struct op_call *call);
void ref_conv2d(struct op_call *call);
void ref_conv2d_bwd_data(struct op_call *call);
void ref_conv2d_bwd_weight(struct op_call *call);
void ref_batch_norm(struct op_call *call);
void ref_batch_norm_bwd(struct op_call *call);
void ref_batch_norm_infer(struct op_call *call);
void ref_batch_norm_infer_bwd(struct op_call *call);
void ref_bn_act_pool(struct op_call *call);
void ref_bn_act_pool_bwd(struct op_call *call);
void ref_layer_norm(struct op_call *call);
void ref_layer_norm_bwd(struct op_call *call);
void ref_activation(struct op_call *call);
void ref_activation_bwd(struct op_call *call);
void ref_max_pool(struct op_call *call);
void ref_max_pool_bwd(struct op_call *call);
void ref_avg_pool(struct op_call *call);
void ref_avg_pool_bwd(struct op_call *call);
void ref_global_avg_pool(struct op_call *call);
void ref_global_avg_pool_bwd(struct op_call *call);
void ref_add(struct op_call *call);
void ref_multiply(struct op_call *call);
void ref_concat(struct op_call *call);
void ref_split(struct op_call *call);
void ref_copy(struct op_call *call);
void ref_permute(struct op_call *call);
void ref_reduce(struct op_call *call);
void ref_reduce_bwd(struct op_call *call);
void ref_dropout(struct op_call *call);
void ref_normalize(struct op_call *call);
void ref_flip(struct op_call *call);
void ref_padded_crop(struct op_call *call);
void ref_softmax(struct op_call *call);
void ref_softmax_bwd(struct op_call *call);
void ref_softmax_xent(struct op_call *call);
void ref_regression(struct op_call *call);
void ref_embedding(struct op_call *call);
void ref_embedding_bwd(struct op_call *call);
void ref_attention(struct op_call *call);
void ref_attention_bwd(struct op_call *call);
void ref_quantize(struct op_call *call);
void ref_grad_norm(struct op_call *call);
void ref_sgd(struct op_call *call);
void ref_adamw(struct op_call *call);
void ref_ema(struct op_call *call);
void ref_loss_sum(struct op_call *call);

/* Bytes of scratch that attention needs. */
size_t ref_attention_workspace(const struct op_call *call);

/* The reference kernels, and the device that runs them. */
extern const struct kernel ref_kernels[OP_COUNT];
enum code device_open_ref(struct device *device, int threads, struct err *err);

#endif
