/* The kernels of the CUDA device, by file, and the table of them by op.
 *
 * Common C/C++ subset: the .cu files that define them include this header inside extern "C". */
#ifndef PAWL_KERNELS_CUDA_TABLE_H
#define PAWL_KERNELS_CUDA_TABLE_H

#include "kernels/device.h"

/* One pointer per op. */
extern const struct kernel *const cuda_kernels[OP_COUNT];

/* attention.cu */
extern const struct kernel cuda_attention, cuda_attention_bwd;
/* augment.cu */
extern const struct kernel cuda_flip, cuda_padded_crop;
/* cast.cu */
extern const struct kernel cuda_cast, cuda_cast_bwd, cuda_normalize;
/* conv.cu */
extern const struct kernel cuda_conv2d, cuda_conv2d_bwd_data, cuda_conv2d_bwd_weight;
/* dropout.cu */
extern const struct kernel cuda_dropout, cuda_dropout_bwd;
/* embedding.cu */
extern const struct kernel cuda_embedding, cuda_embedding_bwd;
/* layer_norm.cu */
extern const struct kernel cuda_layer_norm, cuda_layer_norm_bwd;
/* linear.cu */
extern const struct kernel cuda_linear, cuda_linear_bwd_data, cuda_linear_bwd_weight;
/* loss.cu */
extern const struct kernel cuda_mse, cuda_huber, cuda_bce, cuda_loss_sum;
/* map.cu */
extern const struct kernel cuda_relu, cuda_relu_bwd, cuda_gelu, cuda_gelu_bwd, cuda_silu,
    cuda_silu_bwd, cuda_tanh, cuda_tanh_bwd, cuda_sigmoid, cuda_sigmoid_bwd, cuda_add,
    cuda_multiply;
/* move.cu */
extern const struct kernel cuda_concat, cuda_split, cuda_reshape, cuda_permute, cuda_permute_bwd;
/* norm.cu */
extern const struct kernel cuda_batch_norm, cuda_batch_norm_bwd, cuda_bn_act_pool,
    cuda_bn_act_pool_bwd;
/* norm_infer.cu */
extern const struct kernel cuda_batch_norm_infer, cuda_batch_norm_infer_bwd;
/* optimizer.cu */
extern const struct kernel cuda_grad_norm, cuda_sgd, cuda_adamw, cuda_ema;
/* pool.cu */
extern const struct kernel cuda_max_pool, cuda_max_pool_bwd, cuda_avg_pool, cuda_avg_pool_bwd;
/* quantize.cu */
extern const struct kernel cuda_quantize;
/* reduce.cu */
extern const struct kernel cuda_global_avg_pool, cuda_global_avg_pool_bwd, cuda_reduce_sum,
    cuda_reduce_sum_bwd, cuda_reduce_mean, cuda_reduce_mean_bwd;
/* softmax.cu */
extern const struct kernel cuda_softmax, cuda_softmax_bwd, cuda_softmax_xent;

#endif
