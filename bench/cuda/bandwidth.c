/* What the card can do, and how near the memory-bound kernels come: copy bandwidth, the ceiling of
 * one large matrix product, then each op on large tensors as a share of the copy.
 *
 *   cuda_bandwidth [--elements N] [--out FILE.json]
 *
 * Bytes are inputs read once and outputs written once (arenas that are updated count both ways).
 * A figure is the fastest of five batches of ten runs between two waits; values are random. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/cuda/open.h"
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 5, RUNS = 10 };

struct bench {
    struct device device;
    double copy; /* bytes a second */
    json_t *rows;
};

void check_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

static size_t bytes_of(const struct tensor *tensor)
{
    return (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
}

/* Moves a tensor of the host to the card. */
static void take(struct bench *bench, struct tensor *tensor)
{
    struct err err = { 0 };
    void *memory;
    size_t bytes = bytes_of(tensor);
    MUST(bench->device.alloc(&bench->device, &memory, bytes, "a tensor", &err));
    if (tensor->data)
        MUST(bench->device.copy_in(&bench->device, memory, tensor->data, bytes, &err));
    tensor->data = memory;
}

static double seconds_of(struct bench *bench, struct op_call *call)
{
    struct err err = { 0 };
    struct device *device = &bench->device;
    double least = 1e30;
    for (int batch = -1; batch < BATCHES; batch++) {
        if (device->wait) MUST(device->wait(device, &err));
        double begin = clock_monotonic();
        for (int run = 0; run < RUNS; run++) MUST(call_run(device, call, &err));
        if (device->wait) MUST(device->wait(device, &err));
        double taken = (clock_monotonic() - begin) / RUNS;
        if (batch >= 0 && taken < least) least = taken;
    }
    return least;
}

static double moved(const struct op_call *call)
{
    double bytes = 0;
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i))
            bytes += (double)bytes_of(&call->in[i]) * (ops[call->op].updates >> i & 1 ? 2 : 1);
    for (int i = 0; i < call->outs; i++)
        if (call_has_out(call, i)) bytes += (double)bytes_of(&call->out[i]);
    return bytes;
}

static void note(struct bench *bench, const struct op_call *call, double seconds)
{
    double bytes = moved(call), rate = bytes / seconds;
    if (!bench->copy) bench->copy = rate;
    double flops = ops[call->op].flops
                       ? ops[call->op].flops(call->attr, call->in, call->ins, call->out, call->outs)
                       : 0;
    char shape[SHAPE_TEXT];
    bool product = call->op == OP_LINEAR;
    printf("%-22s %-4s %-26s %9.1f us %8.1f GB/s %5.1f %% of copy  %7.1f TFLOP/s  %s\n",
           ops[call->op].name, dtype_name(call->in[0].dtype), shape_text(&call->in[0].shape, shape),
           seconds * 1e6, rate / 1e9, product ? 0 : 100 * rate / bench->copy,
           flops / seconds / 1e12, call->algorithm);
    fflush(stdout);
    json_array_append_new(
        bench->rows, json_pack("{s:s,s:s,s:s,s:f,s:f,s:f,s:f,s:s}", "op", ops[call->op].name,
                               "dtype", dtype_name(call->in[0].dtype), "shape", shape, "seconds",
                               seconds, "bytes", bytes, "share_of_copy", rate / bench->copy,
                               "flops", flops / seconds, "algorithm", call->algorithm));
}

/* Measures a call whose tensors lie on the host; they are given back. */
static void measure(struct bench *bench, const struct op_call *host)
{
    struct err err = { 0 };
    struct device *device = &bench->device;
    struct op_call call = *host;
    struct tensor workspace = { .dtype = DTYPE_U8 };
    struct tensor block = { .dtype = DTYPE_U8, .shape = SHAPE(sizeof(struct step_block)) };
    if (!device_supports(device, &call)) {
        printf("%-22s %-4s not taken\n", ops[call.op].name, dtype_name(call.in[0].dtype));
        return;
    }
    block.data = call.block;
    take(bench, &block);
    call.block = block.data;
    for (int i = 0; i < call.ins; i++)
        if (call_has_in(&call, i)) take(bench, &call.in[i]);
    for (int i = 0; i < call.outs; i++)
        if (call_has_out(&call, i)) take(bench, &call.out[i]);
    MUST(call_prepare(device, &call, &err));
    workspace.shape = SHAPE((int64_t)call.workspace_bytes + 1);
    take(bench, &workspace);
    call.workspace = workspace.data;
    note(bench, &call, seconds_of(bench, &call));
    call_release(device, &call);
    for (int i = 0; i < call.ins; i++)
        if (call_has_in(&call, i)) device->free(device, call.in[i].data);
    for (int i = 0; i < call.outs; i++)
        if (call_has_out(&call, i)) device->free(device, call.out[i].data);
    device->free(device, workspace.data);
    device->free(device, block.data);
}

/* Forward, and every call of the op's gradient recipes. */
static void measure_case(struct bench *bench, const struct op_case *test, enum dtype dtype)
{
    struct arena arena = { 0 };
    struct op_call forward, back;
    struct step_block block;
    struct tensor cotangent[OP_OUTS];
    case_forward(&forward, test, dtype, 5, &block, &arena);
    measure(bench, &forward);
    case_cotangents(cotangent, &forward, 6, &arena);
    for (int r = 0; r < OP_GRADIENTS; r++)
        if (case_backward(&back, &forward, test->kinds, r, cotangent, &arena))
            measure(bench, &back);
    arena_release(&arena);
}

/* Tensors of about `n` elements. */
static void measure_all(struct bench *bench, int64_t n)
{
    int64_t side = 32, wide = 1024, images = n / (side * side * 64), rows = n / wide;
    if (images < 1) images = 1;
    if (rows < 1) rows = 1;
    struct shape flat = SHAPE(n), matrix = SHAPE(rows, wide);
    struct shape image = SHAPE(images, side, side, 64), channel = SHAPE(64), width = SHAPE(wide);
    struct op_case bf16[] = {
        { "copy", OP_RESHAPE, "x", .in = { flat }, .attr.reshape.shape = flat },
        { "relu", OP_RELU, "x", .in = { flat } },
        { "gelu", OP_GELU, "x", .in = { flat } },
        { "add", OP_ADD, "xx", .in = { flat, flat } },
        { "to f32", OP_CAST, "x", .in = { flat }, .attr.cast.to = DTYPE_F32 },
        { "layer_norm", OP_LAYER_NORM, "xgp", .in = { matrix, width, width },
          .attr.norm.eps = 1e-5f },
        { "softmax", OP_SOFTMAX, "X", .in = { matrix } },
        { "batch_norm", OP_BATCH_NORM, "xgppv", .in = { image, channel, channel, channel, channel },
          .attr.norm = { .eps = 1e-5f, .momentum = 0.1f } },
        { "bn_act_pool", OP_BN_ACT_POOL, "xgppv",
          .in = { image, channel, channel, channel, channel },
          .attr.norm = { .eps = 1e-5f, .momentum = 0.1f, .act = ACT_RELU, .pool = 2 } },
        { "max_pool", OP_MAX_POOL, "s", .in = { image },
          .attr.pool = { .size = { 2, 2 }, .stride = { 2, 2 } } },
        { "global_avg_pool", OP_GLOBAL_AVG_POOL, "x", .in = { image } },
        { "permute", OP_PERMUTE, "x", .in = { image }, .attr.permute.order = { 0, 3, 1, 2 } },
        { "dropout", OP_DROPOUT, "xo", .in = { matrix, SHAPE(rows) },
          .attr.dropout = { .rate = 0.1f, .path = 7 } },
        { "reduce_sum", OP_REDUCE_SUM, "x", .in = { matrix }, .attr.reduce.axes = 1 },
    };
    struct op_case f32[] = {
        { "softmax_xent", OP_SOFTMAX_XENT, "Xl", .in = { matrix, SHAPE(rows) },
          .attr.loss = { .nominal = rows, .ignore_index = -1 } },
        { "grad_norm", OP_GRAD_NORM, "p", .in = { flat }, .attr.optimizer.nominal = 4 },
        { "sgd", OP_SGD, "ppp", .in = { flat, flat, flat }, .attr.optimizer.momentum = 0.9f },
        { "adamw", OP_ADAMW, "pppy", .in = { flat, flat, flat, flat },
          .attr.optimizer = { .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f } },
        { "ema", OP_EMA, "pp", .in = { flat, flat }, .attr.optimizer.decay = 0.999f },
    };
    for (size_t i = 0; i < sizeof bf16 / sizeof *bf16; i++)
        measure_case(bench, &bf16[i], DTYPE_BF16);
    for (size_t i = 0; i < sizeof f32 / sizeof *f32; i++) measure_case(bench, &f32[i], DTYPE_F32);
    int64_t most = 8192;
    while (most > 16 && most * most > 2 * n) most /= 2;
    struct op_case product = { "product", OP_LINEAR, "xw",
                               .in = { SHAPE(most, most), SHAPE(most, most) } };
    measure_case(bench, &product, DTYPE_BF16);
}

int main(int argc, char **argv)
{
    struct bench bench = { .rows = json_array() };
    struct err err = { 0 };
    int64_t elements = 1 << 25;
    const char *out = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--elements") == 0) elements = strtoll(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--out") == 0) out = argv[i + 1];
    }
    if (card_open(&bench.device, &err)) {
        printf("SKIPPED: %s\n", err.message);
        return 77;
    }
    printf("%s, %lld elements\n", bench.device.description, (long long)elements);
    measure_all(&bench, elements);
    json_t *all = json_pack("{s:s,s:s,s:o}", "pawl", "bandwidth/1", "device",
                            bench.device.description, "rows", bench.rows);
    if (out) {
        char *text = json_dumps(all, JSON_INDENT(1));
        MUST(fs_publish_view(out, text, strlen(text), &err));
        free(text);
    }
    json_decref(all);
    printf("copy %.1f GB/s\n", bench.copy / 1e9);
    device_close(&bench.device);
    return 0;
}
