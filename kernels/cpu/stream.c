/* Blocks of tensors as f32, see stream.h. */
#include "kernels/cpu/stream.h"

const float *stream_read(const struct simd *simd, const struct tensor *tensor, int64_t from,
                         int64_t count, float *buffer)
{
    switch (tensor->dtype) {
    case DTYPE_F32:
        return (const float *)tensor->data + from;
    case DTYPE_BF16:
        simd->map->bf16_to_f32(buffer, (const uint16_t *)tensor->data + from, count);
        return buffer;
    default:
        REQUIRE(tensor->dtype == DTYPE_U8);
        simd->map->u8_to_f32(buffer, (const uint8_t *)tensor->data + from, count);
        return buffer;
    }
}

float *stream_place(const struct tensor *tensor, int64_t from, float *buffer)
{
    return tensor->dtype == DTYPE_F32 ? (float *)tensor->data + from : buffer;
}

void stream_write(const struct simd *simd, const struct tensor *tensor, int64_t from, int64_t count,
                  const float *result)
{
    if (tensor->dtype == DTYPE_BF16)
        simd->map->f32_to_bf16((uint16_t *)tensor->data + from, result, count);
}

bool stream_dtype(enum dtype dtype)
{
    return dtype == DTYPE_F32 || dtype == DTYPE_BF16;
}

static bool streams(const struct tensor *tensor)
{
    bool integer = tensor->dtype >= DTYPE_I32;
    return tensor->shape.rank < 0 || integer || stream_dtype(tensor->dtype);
}

bool stream_supports(const struct device *device, const struct op_call *call)
{
    (void)device;
    for (int i = 0; i < call->ins; i++)
        if (!streams(&call->in[i])) return false;
    for (int i = 0; i < call->outs; i++)
        if (!streams(&call->out[i])) return false;
    return true;
}

bool call_all_f32(const struct device *device, const struct op_call *call)
{
    (void)device;
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i) && call->in[i].dtype != DTYPE_F32) return false;
    return true;
}

const float *call_vector(const struct op_call *call, int input)
{
    return call_has_in(call, input) ? call->in[input].data : NULL;
}

void call_store(const struct op_call *call, int output, const double *values, int64_t count)
{
    if (!call_has_out(call, output)) return;
    float *to = call->out[output].data;
    bool add = call->accumulate >> output & 1;
    for (int64_t i = 0; i < count; i++)
        to[i] = (float)(add ? (double)to[i] + values[i] : values[i]);
}
