// What went wrong in a library, in words.
//
// Each code that a user can do something about is a row with its hint; the others get the library's
// own text. Device memory that runs out is NO_MEMORY, everything else DEVICE.
#include "kernels/cuda/library.cuh"

#include <stdio.h>
#include <string.h>

static const struct {
    cudaError_t error;
    const char *hint;
} hints[] = {
    { cudaErrorMemoryAllocation, "Lower the batch or the precision; `pawl plan` lists what takes "
                                 "the most memory." },
    { cudaErrorIllegalAddress, "This is a bug of pawl. Run again with CUDA_LAUNCH_BLOCKING=1 to "
                               "learn which op it is; --device cpu still works." },
    { cudaErrorMisalignedAddress, "This is a bug of pawl. Run again with CUDA_LAUNCH_BLOCKING=1 to "
                                  "learn which op it is; --device cpu still works." },
    { cudaErrorInvalidConfiguration, "This is a bug of pawl: a shape its kernel cannot launch." },
    { cudaErrorLaunchTimeout, "The display driver stopped a long kernel: use a card that shows no "
                              "desktop, or a smaller batch." },
    { cudaErrorECCUncorrectable, "The card's memory is failing: reset or replace it." },
    { cudaErrorHardwareStackError, "The card failed: reset it and look at the system log (Xid)." },
    { cudaErrorDevicesUnavailable, "Another process holds the card exclusively: wait, or choose "
                                   "another one with CUDA_VISIBLE_DEVICES." },
    { cudaErrorNoKernelImageForDevice, "Build the module for this card's architecture." },
    { cudaErrorUnsupportedPtxVersion, "Install a newer driver." },
    { cudaErrorSystemDriverMismatch, "The kernel driver and its libraries differ: restart after a "
                                     "driver upgrade." },
};

const char *call_text(const struct op_call *call, char text[CALL_TEXT])
{
    char shape[SHAPE_TEXT];
    int used = snprintf(text, CALL_TEXT, "%s", ops[call->op].name);
    const char *join = " on ";
    for (int i = 0; i < call->ins; i++) {
        if (!call_has_in(call, i) || used >= CALL_TEXT - 1) continue;
        used += snprintf(text + used, (size_t)(CALL_TEXT - used), "%s%s %s", join,
                         dtype_name(call->in[i].dtype), shape_text(&call->in[i].shape, shape));
        join = ", ";
    }
    return text;
}

enum code cuda_check(cudaError_t error, const char *doing, struct err *err)
{
    if (error == cudaSuccess) return OK;
    enum code code = error == cudaErrorMemoryAllocation ? NO_MEMORY : DEVICE;
    err_set(err, code, "cannot %s on device 'cuda': %s (%s)", doing, cudaGetErrorString(error),
            cudaGetErrorName(error));
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (hints[i].error == error) err_hint(err, "%s", hints[i].hint);
    return code;
}

enum code cuda_check_call(cudaError_t error, const struct op_call *call, struct err *err)
{
    if (error == cudaSuccess) return OK;
    char text[CALL_TEXT], doing[CALL_TEXT + 8];
    snprintf(doing, sizeof doing, "run %s", call_text(call, text));
    return cuda_check(error, doing, err);
}

// Of an op with a library's name and reason.
static enum code library_failed(const char *library, const char *name, const char *detail,
                                bool memory, const struct op_call *call, struct err *err)
{
    char text[CALL_TEXT];
    enum code code = memory ? NO_MEMORY : DEVICE;
    if (call)
        err_set(err, code, "cannot run %s on device 'cuda': %s says %s%s%s", call_text(call, text),
                library, name, *detail ? ": " : "", detail);
    else
        err_set(err, code, "cannot use %s on device 'cuda': %s%s%s", library, name,
                *detail ? ": " : "", detail);
    err_hint(err, "%s",
             memory ? "Lower the batch, or leave more of the card's memory free."
                    : "Check that driver and library versions fit (`pawl doctor`); "
                      "another precision or shape may be supported.");
    return code;
}

enum code blas_check(cublasStatus_t status, const struct op_call *call, struct err *err)
{
    if (status == CUBLAS_STATUS_SUCCESS) return OK;
    return library_failed("cuBLASLt", cublasLtGetStatusName(status), "",
                          status == CUBLAS_STATUS_ALLOC_FAILED, call, err);
}

enum code dnn_check(cudnnStatus_t status, const struct op_call *call, struct err *err)
{
    if (status == CUDNN_STATUS_SUCCESS) return OK;
    char detail[160] = "";
    cudnnGetLastErrorString(detail, sizeof detail);
    detail[strcspn(detail, "\n")] = '\0';
    return library_failed("cuDNN", cudnnGetErrorString(status), detail,
                          status == CUDNN_STATUS_ALLOC_FAILED, call, err);
}

enum code cuda_launched(const struct op_call *call, struct err *err)
{
    return cuda_check_call(cudaGetLastError(), call, err);
}

cudaDataType_t blas_dtype(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? CUDA_R_16BF : dtype == DTYPE_F16 ? CUDA_R_16F : CUDA_R_32F;
}

cudnnDataType_t dnn_dtype(enum dtype dtype)
{
    return dtype == DTYPE_BF16  ? CUDNN_DATA_BFLOAT16
           : dtype == DTYPE_F16 ? CUDNN_DATA_HALF
                                : CUDNN_DATA_FLOAT;
}
