/* What linear and convolution kernels share: bias gradients and results that are added to what is
 * there. */
#ifndef PAWL_KERNELS_CPU_PRODUCT_H
#define PAWL_KERNELS_CPU_PRODUCT_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/onednn.h"

struct direct;

/* State of a prepared product; lives until release. */
struct product {
    struct onednn_op *op;
    struct direct *direct; /* our own convolution instead of oneDNN's, or NULL */
    size_t result_offset;  /* in the workspace: the result before it is added or converted */
    enum activation act;   /* that oneDNN computes too coarsely and we apply ourselves */
    enum dtype result;     /* what oneDNN writes */
    size_t bias_offset;    /* in the workspace: bias gradient sums */
};

/* An empty state as the call's. */
enum code product_new(struct op_call *call, struct err *err);

/* Sizes every part of the workspace and prepares oneDNN for `spec`. */
enum code product_prepare(struct device *device, struct op_call *call,
                          const struct onednn_spec *spec, struct err *err);
enum code product_run(struct device *device, struct op_call *call, struct err *err);
void product_release(struct device *device, struct op_call *call);

/* f32 all through, or bf16 where the hardware multiplies it. */
bool product_supports(const struct device *device, const struct op_call *call);

/* Bytes of workspace for bias_gradient_run on dy [.., columns]. */
size_t bias_gradient_bytes(const struct device *device, int64_t columns);

/* Output 1 of the call = column sums of input 0, with the state's bias_offset as workspace. */
void bias_gradient_run(struct device *device, struct op_call *call);

#endif
