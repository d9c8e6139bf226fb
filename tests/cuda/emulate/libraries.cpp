// cuBLASLt and engines of cuDNN by plain loops, and the checks of error.cu.
#include "kernels/cuda/dnn.cuh"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdio.h>

#include <vector>

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute,
                                        cudaDataType_t)
{
    *desc = new emulated_desc();
    (*desc)->compute = compute;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc)
{
    delete desc;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t size)
{
    switch (name) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
        memcpy(&desc->a, value, size);
        break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
        memcpy(&desc->b, value, size);
        break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
        memcpy(&desc->epilogue, value, size);
        break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
        memcpy(&desc->bias, value, size);
        break;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *layout, cudaDataType_t type,
                                          uint64_t rows, uint64_t columns, int64_t stride)
{
    *layout = new emulated_layout{ type, rows, columns, stride };
    return stride < (int64_t)rows ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout)
{
    delete layout;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *wish)
{
    *wish = new int();
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t wish)
{
    delete wish;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t,
                                                    cublasLtMatmulPreferenceAttributes_t,
                                                    const void *, size_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

// Algorithm 0 sums in f64, 1 in f32, 2 in f32 from the end.
enum { ALGORITHMS = 3 };

// One dimension of op(X): rows or columns as multiplied.
static uint64_t extent(const emulated_layout *x, cublasOperation_t op, bool rows)
{
    return rows == (op == CUBLAS_OP_N) ? x->rows : x->columns;
}

static bool fits(const emulated_desc *desc, const emulated_layout *a, const emulated_layout *b,
                 const emulated_layout *d)
{
    return extent(a, desc->a, false) == extent(b, desc->b, true) &&
           extent(a, desc->a, true) == d->rows && extent(b, desc->b, false) == d->columns &&
           a->type == b->type &&
           (desc->epilogue == CUBLASLT_EPILOGUE_DEFAULT || d->type == CUDA_R_32F);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t, int most,
                                              cublasLtMatmulHeuristicResult_t *found, int *count)
{
    *count = 0;
    if (!fits(desc, a, b, d)) return CUBLAS_STATUS_NOT_SUPPORTED;
    for (; *count < most && *count < ALGORITHMS; ++*count) {
        found[*count] = {};
        found[*count].algo.data[0] = (uint64_t)*count;
        found[*count].workspaceSize = (size_t)*count * 256;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *checked)
{
    *checked = {};
    checked->workspaceSize = (size_t)algo->data[0] * 256;
    bool known = algo->data[0] < ALGORITHMS;
    for (int i = 1; i < 8; i++) known = known && algo->data[i] == 0;
    return known && fits(desc, a, b, d) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algo,
                                                    cublasLtMatmulAlgoConfigAttributes_t name,
                                                    void *value, size_t size, size_t *wrote)
{
    int32_t number = name == CUBLASLT_ALGO_CONFIG_ID           ? (int32_t)algo->data[0]
                     : name == CUBLASLT_ALGO_CONFIG_SPLITK_NUM ? 1
                                                               : 0;
    memcpy(value, &number, size);
    *wrote = size;
    return CUBLAS_STATUS_SUCCESS;
}

static double get(const void *memory, cudaDataType_t type, int64_t at)
{
    if (type == CUDA_R_16BF)
        return (double)__bfloat162float(static_cast<const __nv_bfloat16 *>(memory)[at]);
    if (type == CUDA_R_16F) return (double)__half2float(static_cast<const __half *>(memory)[at]);
    return (double)static_cast<const float *>(memory)[at];
}

static void put(void *memory, cudaDataType_t type, int64_t at, double value)
{
    if (type == CUDA_R_16BF)
        static_cast<__nv_bfloat16 *>(memory)[at] = __double2bfloat16(value);
    else if (type == CUDA_R_16F)
        static_cast<__half *>(memory)[at] = __double2half(value);
    else
        static_cast<float *>(memory)[at] = (float)value;
}

static double factor(const void *memory, const emulated_layout *x, cublasOperation_t op,
                     uint64_t row, uint64_t column)
{
    uint64_t r = op == CUBLAS_OP_N ? row : column, c = op == CUBLAS_OP_N ? column : row;
    return get(memory, x->type, (int64_t)c * x->stride + (int64_t)r);
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t a_at, const void *b,
                              cublasLtMatrixLayout_t b_at, const void *beta, const void *c,
                              cublasLtMatrixLayout_t c_at, void *d, cublasLtMatrixLayout_t d_at,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t)
{
    double times = (double)*static_cast<const float *>(alpha);
    double keep = (double)*static_cast<const float *>(beta);
    if (!fits(desc, a_at, b_at, d_at) || bytes < (size_t)algo->data[0] * 256 ||
        (bytes && !workspace))
        return CUBLAS_STATUS_INVALID_VALUE;
    uint64_t inner = extent(a_at, desc->a, false);
    for (uint64_t column = 0; column < d_at->columns; column++)
        for (uint64_t row = 0; row < d_at->rows; row++) {
            double sum = 0;
            for (uint64_t n = 0; n < inner; n++) {
                uint64_t k = algo->data[0] == 2 ? inner - 1 - n : n;
                sum += factor(a, a_at, desc->a, row, k) * factor(b, b_at, desc->b, k, column);
                if (algo->data[0]) sum = (double)(float)sum;
            }
            int64_t at = (int64_t)column * d_at->stride + (int64_t)row;
            sum *= times;
            if (keep != 0) sum += keep * get(c, c_at->type, at);
            if (desc->epilogue == CUBLASLT_EPILOGUE_BIAS) sum += (double)desc->bias[row];
            put(d, d_at->type, at, sum);
        }
    return CUBLAS_STATUS_SUCCESS;
}

// Two engines, only by choice: without one our own loops run. The second sums in f32, and takes its
// workspace.
static const char *const engines[] = { "7", "9 12=3" };

bool dnn_build(struct dnn_plan *plan, cudnnHandle_t, const struct dnn_spec *spec, size_t most,
               const char *choice)
{
    *plan = {};
    for (int e = 0; choice && e < 2; e++) {
        if (strcmp(choice, engines[e]) != 0 || (size_t)e * 512 > most) continue;
        if (spec->add && spec->factors != spec->result) return false;
        plan->plan = new dnn_spec(*spec);
        plan->workspace_bytes = (size_t)e * 512;
        snprintf(plan->name, sizeof plan->name, "cudnn:%.1s", engines[e]);
        return true;
    }
    return false;
}

int dnn_list(char (*choices)[DNN_CHOICE], int room, cudnnHandle_t, const struct dnn_spec *spec)
{
    if (spec->add && spec->factors != spec->result) return 0;
    int count = room < 2 ? room : 2;
    for (int e = 0; e < count; e++) snprintf(choices[e], DNN_CHOICE, "%s", engines[e]);
    return count;
}

// Visits every product x w of a convolution with the places of x, w and y.
template <class F> static void for_products(const struct window *at, F visit)
{
    int64_t inner = at->channels / at->groups, outer = at->filters / at->groups;
    int64_t rows = at->batch * at->out[0] * at->out[1] * at->filters;
    for (int64_t y = 0; y < rows; y++) {
        int64_t k = y % at->filters, column = y / at->filters % at->out[1];
        int64_t row = y / at->filters / at->out[1] % at->out[0];
        int64_t n = y / at->filters / at->out[1] / at->out[0];
        for (int64_t w = 0; w < at->size[0] * at->size[1] * inner; w++) {
            int64_t c = w % inner, s = w / inner % at->size[1], r = w / inner / at->size[1];
            int64_t h = row * at->stride[0] + r * at->dilation[0] - at->pad[0];
            int64_t v = column * at->stride[1] + s * at->dilation[1] - at->pad[2];
            if (h < 0 || h >= at->in[0] || v < 0 || v >= at->in[1]) continue;
            int64_t x = ((n * at->in[0] + h) * at->in[1] + v) * at->channels + k / outer * inner + c;
            visit(x, k * at->size[0] * at->size[1] * inner + w, y);
        }
    }
}

cudnnStatus_t dnn_run(struct dnn_plan *plan, cudnnHandle_t, const void *x, const void *w,
                      const void *y, const void *workspace)
{
    const struct dnn_spec *spec = static_cast<const struct dnn_spec *>(plan->plan);
    const struct window *at = &spec->window;
    const void *const memory[3] = { x, w, y };
    const int64_t counts[3] = { at->batch * at->in[0] * at->in[1] * at->channels,
                                at->filters * at->size[0] * at->size[1] * at->channels / at->groups,
                                at->batch * at->out[0] * at->out[1] * at->filters };
    int result = spec->pass == OP_CONV2D ? 2 : spec->pass == OP_CONV2D_BWD_DATA ? 0 : 1;
    int left = result == 0 ? 1 : 0, right = result == 2 ? 1 : 2;
    cudaDataType_t type = blas_dtype(spec->factors), out = blas_dtype(spec->result);
    std::vector<double> sums((size_t)counts[result]);
    if (plan->workspace_bytes && !workspace) return CUDNN_STATUS_NOT_SUPPORTED;
    for_products(at, [&](int64_t x_at, int64_t w_at, int64_t y_at) {
        const int64_t places[3] = { x_at, w_at, y_at };
        double *sum = &sums[(size_t)places[result]];
        *sum += get(memory[left], type, places[left]) * get(memory[right], type, places[right]);
        if (plan->workspace_bytes) *sum = (double)(float)*sum;
    });
    void *to = const_cast<void *>(memory[result]);
    for (int64_t i = 0; i < counts[result]; i++)
        put(to, out, i, sums[(size_t)i] + (spec->add ? get(to, out, i) : 0));
    return CUDNN_STATUS_SUCCESS;
}

void dnn_release(struct dnn_plan *plan)
{
    delete static_cast<struct dnn_spec *>(plan->plan);
    *plan = {};
}

enum code blas_check(cublasStatus_t status, const struct op_call *, struct err *err)
{
    return status ? err_set(err, DEVICE, "cuBLASLt says %d", (int)status) : OK;
}

enum code dnn_check(cudnnStatus_t status, const struct op_call *, struct err *err)
{
    return status ? err_set(err, DEVICE, "cuDNN says %d", (int)status) : OK;
}

const char *call_text(const struct op_call *call, char text[CALL_TEXT])
{
    snprintf(text, CALL_TEXT, "%s", ops[call->op].name);
    return text;
}

enum code cuda_launched(const struct op_call *, struct err *)
{
    return OK;
}

cudaDataType_t blas_dtype(enum dtype dtype)
{
    return dtype == DTYPE_BF16 ? CUDA_R_16BF : dtype == DTYPE_F16 ? CUDA_R_16F : CUDA_R_32F;
}
