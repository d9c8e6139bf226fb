/* What saving and opening share: how a dtype is stored in state.h5. */
#ifndef PAWL_MODEL_CHECKPOINT_INTERNAL_H
#define PAWL_MODEL_CHECKPOINT_INTERNAL_H

#include "base/h5.h"
#include "kernels/tensor.h"

/* bf16 and f16 are stored as their 16 bits; the manifest carries the true dtype. */
enum h5_type checkpoint_storage(enum dtype dtype);

#endif
