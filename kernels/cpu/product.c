/* Products and convolutions through oneDNN, and what it does not do the way pawl needs it:
 * gradients that are added to what is there, and bias gradients. */
#include "kernels/cpu/product.h"

#include "kernels/cpu/direct.h"
#include "kernels/cpu/rows.h"

bool product_supports(const struct device *device, const struct op_call *call)
{
    const struct cpu_state *state = device->state;
    enum dtype dtype = call->in[0].dtype;
    if (dtype == DTYPE_BF16 && !state->bf16) return false;
    if (!stream_dtype(dtype) || call->in[1].dtype != dtype) return false;
    if (call_has_in(call, 2) && call->in[2].dtype != DTYPE_F32) return false;
    enum dtype result = call->out[0].dtype;
    return result == dtype || (dtype == DTYPE_BF16 && result == DTYPE_F32);
}

enum code product_new(struct op_call *call, struct err *err)
{
    void *memory;
    TRY(block_alloc(&memory, sizeof(struct product), "a prepared product", err));
    call->state = memory;
    return OK;
}

/* Whether oneDNN's result goes to the workspace first. */
static bool indirect(const struct op_call *call, const struct product *product)
{
    return (call->accumulate & 1) || product->result != call->out[0].dtype;
}

enum code product_prepare(struct device *device, struct op_call *call,
                          const struct onednn_spec *wanted, struct err *err)
{
    struct onednn_spec spec = *wanted;
    TRY(product_new(call, err));
    struct product *product = call->state;
    product->result = spec.result;
    /* oneDNN's gelu loses its tail: 1 + erf cancels. */
    if (spec.act == ACT_GELU) {
        product->act = ACT_GELU;
        spec.act = ACT_NONE;
        spec.result = product->result = DTYPE_F32;
    }
    TRY(onednn_prepare(&product->op, &spec, err));
    size_t size = onednn_workspace(product->op);
    product->result_offset = size;
    if (indirect(call, product)) {
        int64_t bytes = shape_count(&call->out[0].shape) * (int64_t)dtype_size(spec.result);
        size += (size_t)align_128(bytes);
    }
    product->bias_offset = size;
    if (spec.pass == ONEDNN_BWD_WEIGHT && call_has_out(call, 1))
        size += bias_gradient_bytes(device, spec.filters);
    call->workspace_bytes = size;
    call->algorithm = onednn_algorithm(product->op);
    return OK;
}

void product_release(struct device *device, struct op_call *call)
{
    (void)device;
    struct product *product = call->state;
    if (!product) return;
    direct_release(call);
    onednn_release(product->op);
    block_free(product);
    call->state = NULL;
}

/* What oneDNN wrote, as a tensor. */
static struct tensor raw_result(const struct op_call *call)
{
    const struct product *product = call->state;
    struct tensor result = call->out[0];
    result.dtype = product->result;
    if (indirect(call, product)) result.data = (char *)call->workspace + product->result_offset;
    return result;
}

/* out[0] += the raw result, or out[0] = act(raw result) */
static void finish_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct product *product = call->state;
    const struct simd *simd = device_simd(part->device);
    struct tensor result = raw_result(call);
    struct span span = part_span(part, shape_count(&result.shape), STREAM_BLOCK);
    float a[STREAM_BLOCK], b[STREAM_BLOCK];
    for (int64_t i = span.from; i < span.to; i += STREAM_BLOCK) {
        int64_t count = span.to - i < STREAM_BLOCK ? span.to - i : STREAM_BLOCK;
        const float *new = stream_read(simd, &result, i, count, b);
        float *to = stream_place(&call->out[0], i, a);
        if (call->accumulate & 1)
            simd->map->add(to, stream_read(simd, &call->out[0], i, count, a), new, count);
        else
            simd->map->act[product->act](to, new, count);
        stream_write(simd, &call->out[0], i, count, to);
    }
}

enum code product_run(struct device *device, struct op_call *call, struct err *err)
{
    const struct product *product = call->state;
    char *workspace = call->workspace;
    if (product->direct) return direct_run(device, call, err);
    TRY(onednn_run(product->op, raw_result(call).data, call->in[0].data, call->in[1].data,
                   call_vector(call, 2), workspace, err));
    if (indirect(call, product) || product->act) parts_run(device, call, finish_part);
    if (call_has_out(call, 1)) bias_gradient_run(device, call);
    return OK;
}

static int64_t bias_part_bytes(int64_t columns)
{
    return align_128(columns * 8) + align_128(rows_buffer(columns) * 4);
}

size_t bias_gradient_bytes(const struct device *device, int64_t columns)
{
    return (size_t)(device->threads * bias_part_bytes(columns));
}

static void bias_part(const struct part *part)
{
    struct op_call *call = part->call;
    const struct tensor *dy = &call->in[0];
    const struct simd *simd = device_simd(part->device);
    int64_t columns = dy->shape.dim[dy->shape.rank - 1], block = rows_block(columns);
    int64_t rows = shape_count(&dy->shape) / columns;
    const struct product *product = call->state;
    char *base = (char *)call->workspace + product->bias_offset;
    double *sum = (double *)(void *)(base + part->index * bias_part_bytes(columns));
    float *buffer = (float *)(void *)((char *)sum + align_128(columns * 8));
    for (int64_t c = 0; c < columns; c++) sum[c] = 0;
    struct span span = part_span(part, rows, block);
    for (int64_t r = span.from; r < span.to; r += block) {
        int64_t count = span.to - r < block ? span.to - r : block;
        const float *at = stream_read(simd, dy, r * columns, count * columns, buffer);
        simd->reduce->columns(sum, at, count, columns);
    }
}

void bias_gradient_run(struct device *device, struct op_call *call)
{
    const struct product *product = call->state;
    const struct shape *shape = &call->in[0].shape;
    int64_t columns = shape->dim[shape->rank - 1];
    char *base = (char *)call->workspace + product->bias_offset;
    double *total = (double *)(void *)base;
    parts_run(device, call, bias_part);
    for (int i = 1; i < device->threads; i++) {
        const double *sum = (const double *)(const void *)(base + i * bias_part_bytes(columns));
        for (int64_t c = 0; c < columns; c++) total[c] += sum[c];
    }
    call_store(call, 1, total, columns);
}
