// Names of cuDNN that pawl's own kernels mention; its engines stand behind dnn.cuh (libraries.cpp).
#pragma once

#include <stdint.h>

typedef void *cudnnHandle_t;
typedef void *cudnnBackendDescriptor_t;
typedef enum { CUDNN_STATUS_SUCCESS, CUDNN_STATUS_NOT_SUPPORTED } cudnnStatus_t;
typedef enum { CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16 } cudnnDataType_t;
