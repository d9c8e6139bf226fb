/* Times single ops of the CPU device, one line each: the ops of the demo's step, of an MLP and of
 * ResNet-18 at 32 px. Peer: bench/peers/torch_ops.py prints the same lines from PyTorch.
 *
 *     bench_kernels [--threads N] [--isa plain|avx2|avx512] [--dtype f32|bf16] [--repeats N]
 *                   [--filter TEXT] [--clock wall|cpu]
 *
 * Columns: op, case, dtype, milliseconds (median, least), GFLOP/s, GB/s counted as inputs read once
 * and outputs written once, the algorithm. */
#include "base/clock.h"
#include "base/rng.h"
#include "kernels/cpu/cpu.h"
#include "kernels/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS_MOST = 1000 };

struct options {
    int threads, repeats;
    const char *isa, *filter;
    bool cpu_time; /* of the process: for one thread on a machine that others use */
    enum dtype dtype;
};

struct bench {
    struct device device;
    struct options options;
    struct op_call call;
    union op_attr attr;
    struct step_block block;
};

static void fail(const struct err *err)
{
    fprintf(stderr, "bench_kernels: %s\n", err->message);
    exit(1);
}

static struct tensor tensor_new(enum dtype dtype, struct shape shape)
{
    struct tensor tensor = { .dtype = dtype, .shape = shape };
    struct err err;
    size_t bytes;
    if (shape_bytes(&bytes, &shape, dtype, &err)) fail(&err);
    if (block_alloc(&tensor.data, bytes, "a tensor", &err)) fail(&err);
    int64_t count = shape_count(&shape);
    for (int64_t i = 0; i < count; i++) {
        struct philox draw = philox4x32(7, (uint64_t)i, (uint64_t)count);
        bool label = dtype == DTYPE_I32;
        bool integer = dtype >= DTYPE_I32;
        double value = label     ? (double)(draw.word[0] % 10)
                       : integer ? (double)(draw.word[0] % 4)
                                 : (double)rng_uniform(draw.word[0]) * 2 - 1;
        tensor_set(&tensor, i, value);
    }
    return tensor;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const struct bench *bench, const char *name, double ms, double least)
{
    const struct op_call *call = &bench->call;
    const struct op *op = &ops[call->op];
    double flops = op->flops ? op->flops(call->attr, call->in, call->ins, call->out, call->outs)
                             : 0;
    double bytes = 0;
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i))
            bytes += (double)shape_count(&call->in[i].shape) *
                     (double)dtype_size(call->in[i].dtype);
    for (int i = 0; i < call->outs; i++)
        if (call_has_out(call, i))
            bytes += (double)shape_count(&call->out[i].shape) *
                     (double)dtype_size(call->out[i].dtype);
    printf("%-20s %-10s %-4s %9.3f %9.3f ms %9.1f GFLOP/s %7.1f GB/s  %s\n", op->name, name,
           dtype_name(call->in[0].dtype), ms, least, flops / ms / 1e6, bytes / ms / 1e6,
           call->algorithm ? call->algorithm : "own");
    fflush(stdout);
}

static double now(const struct bench *bench)
{
    struct timespec time;
    if (!bench->options.cpu_time) return clock_monotonic();
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* Prepares, warms up, times and releases the call with its tensors. */
static void run(struct bench *bench, const char *name)
{
    struct op_call *call = &bench->call;
    struct err err;
    double times[REPEATS_MOST];
    char text[80];
    call->attr = &bench->attr;
    call->block = &bench->block;
    snprintf(text, sizeof text, "%s %s", ops[call->op].name, name);
    const struct kernel *kernel = &bench->device.kernels[call->op];
    bool there = kernel->run && (!kernel->supports || kernel->supports(&bench->device, call));
    if (strstr(text, bench->options.filter) && there) {
        if (kernel->prepare && kernel->prepare(&bench->device, call, &err)) fail(&err);
        if (block_alloc(&call->workspace, call->workspace_bytes + 1, "a workspace", &err))
            fail(&err);
        for (int i = -3; i < bench->options.repeats; i++) {
            double start = now(bench);
            if (kernel->run(&bench->device, call, &err)) fail(&err);
            if (i >= 0) times[i] = (now(bench) - start) * 1e3;
        }
        qsort(times, (size_t)bench->options.repeats, sizeof *times, compare);
        report(bench, name, times[bench->options.repeats / 2], times[0]);
        if (kernel->release) kernel->release(&bench->device, call);
        block_free(call->workspace);
    }
    for (int i = 0; i < call->ins; i++) block_free(call->in[i].data);
    for (int i = 0; i < call->outs; i++) block_free(call->out[i].data);
    *call = (struct op_call){ 0 };
}

static void call_begin(struct bench *bench, enum op_kind op)
{
    bench->call = (struct op_call){ .op = op };
}

static void add_in(struct bench *bench, enum dtype dtype, struct shape shape)
{
    bench->call.in[bench->call.ins++] = tensor_new(dtype, shape);
}

static void add_out(struct bench *bench, enum dtype dtype, struct shape shape)
{
    bench->call.out[bench->call.outs++] = tensor_new(dtype, shape);
}

struct conv_case {
    const char *name;
    int64_t batch, side, in, out;
    int kernel, stride;
    bool data; /* whether a step needs the input's gradient */
};

static const struct conv_case convs[] = {
    { "demo1", 256, 28, 1, 32, 3, 1, false },    { "demo2", 256, 14, 32, 64, 3, 1, true },
    { "demo3", 256, 7, 64, 64, 3, 1, true },     { "r18.stem", 128, 32, 3, 64, 3, 1, false },
    { "r18.1", 128, 32, 64, 64, 3, 1, true },    { "r18.2a", 128, 32, 64, 128, 3, 2, true },
    { "r18.2s", 128, 32, 64, 128, 1, 2, true },  { "r18.2", 128, 16, 128, 128, 3, 1, true },
    { "r18.3a", 128, 16, 128, 256, 3, 2, true }, { "r18.3", 128, 8, 256, 256, 3, 1, true },
    { "r18.4", 128, 4, 512, 512, 3, 1, true },
};

static void bench_conv(struct bench *bench, const struct conv_case *row)
{
    enum dtype dtype = bench->options.dtype;
    int pad = row->kernel / 2;
    bench->attr = (union op_attr){ .conv = { .stride = { row->stride, row->stride },
                                             .pad = { pad, pad, pad, pad } } };
    struct shape x = SHAPE(row->batch, row->side, row->side, row->in);
    struct shape w = SHAPE(row->out, row->kernel, row->kernel, row->in);
    struct window window = conv_window(&bench->attr, &x, &w);
    struct shape y = SHAPE(row->batch, window.out[0], window.out[1], row->out);
    call_begin(bench, OP_CONV2D);
    add_in(bench, dtype, x);
    add_in(bench, dtype, w);
    add_out(bench, dtype, y);
    run(bench, row->name);
    if (row->data) {
        call_begin(bench, OP_CONV2D_BWD_DATA);
        add_in(bench, dtype, y);
        add_in(bench, dtype, w);
        add_out(bench, dtype, x);
        run(bench, row->name);
    }
    call_begin(bench, OP_CONV2D_BWD_WEIGHT);
    add_in(bench, dtype, y);
    add_in(bench, dtype, x);
    add_out(bench, DTYPE_F32, w);
    run(bench, row->name);
}

struct linear_case {
    const char *name;
    int64_t rows, in, out;
    enum activation act;
};

static const struct linear_case linears[] = {
    { "demo.d1", 256, 576, 128, ACT_RELU }, { "demo.d2", 256, 128, 10, ACT_NONE },
    { "mlp1", 256, 784, 1024, ACT_RELU },   { "mlp2", 256, 1024, 1024, ACT_RELU },
    { "mlp3", 256, 1024, 10, ACT_NONE },
};

static void bench_linear(struct bench *bench, const struct linear_case *row)
{
    enum dtype dtype = bench->options.dtype;
    struct shape x = SHAPE(row->rows, row->in), w = SHAPE(row->out, row->in);
    struct shape y = SHAPE(row->rows, row->out), b = SHAPE(row->out);
    bench->attr = (union op_attr){ .linear = { .act = row->act } };
    call_begin(bench, OP_LINEAR);
    add_in(bench, dtype, x);
    add_in(bench, dtype, w);
    add_in(bench, DTYPE_F32, b);
    add_out(bench, dtype, y);
    run(bench, row->name);
    call_begin(bench, OP_LINEAR_BWD_DATA);
    add_in(bench, dtype, y);
    add_in(bench, dtype, w);
    add_out(bench, dtype, x);
    run(bench, row->name);
    call_begin(bench, OP_LINEAR_BWD_WEIGHT);
    add_in(bench, dtype, y);
    add_in(bench, dtype, x);
    add_out(bench, DTYPE_F32, w);
    add_out(bench, DTYPE_F32, b);
    run(bench, row->name);
}

struct norm_case {
    const char *name;
    int64_t batch, side, channels;
    int pool;
};

static const struct norm_case norms[] = {
    { "demo1", 256, 28, 32, 2 }, { "demo2", 256, 14, 64, 2 },  { "demo3", 256, 7, 64, 2 },
    { "r18.1", 128, 32, 64, 1 }, { "r18.2", 128, 16, 128, 1 }, { "r18.3", 128, 8, 256, 1 },
    { "r18.4", 128, 4, 512, 1 },
};

static void bench_bn_act_pool(struct bench *bench, const struct norm_case *row)
{
    enum dtype dtype = bench->options.dtype;
    int64_t half = row->side / row->pool;
    struct shape x = SHAPE(row->batch, row->side, row->side, row->channels);
    struct shape y = SHAPE(row->batch, half, half, row->channels), c = SHAPE(row->channels);
    bench->attr = (union op_attr){
        .norm = { .eps = 1e-5F, .momentum = 0.1F, .act = ACT_RELU, .pool = row->pool }
    };
    call_begin(bench, OP_BN_ACT_POOL);
    add_in(bench, dtype, x);
    for (int i = 0; i < 4; i++) add_in(bench, DTYPE_F32, c);
    add_out(bench, dtype, y);
    add_out(bench, DTYPE_F32, c);
    add_out(bench, DTYPE_F32, c);
    if (row->pool > 1) add_out(bench, DTYPE_U8, y);
    run(bench, row->name);
    call_begin(bench, OP_BN_ACT_POOL_BWD);
    add_in(bench, dtype, y);
    add_in(bench, dtype, x);
    for (int i = 0; i < 4; i++) add_in(bench, DTYPE_F32, c);
    if (row->pool > 1) add_in(bench, DTYPE_U8, y);
    add_out(bench, dtype, x);
    add_out(bench, DTYPE_F32, c);
    add_out(bench, DTYPE_F32, c);
    run(bench, row->name);
}

static void options_read(struct options *options, int argc, char **argv)
{
    *options = (struct options){ .threads = 2, .repeats = 15, .filter = "", .dtype = DTYPE_F32 };
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--threads")) options->threads = (int)strtol(value, NULL, 10);
        if (!strcmp(argv[i], "--repeats")) options->repeats = (int)strtol(value, NULL, 10);
        if (!strcmp(argv[i], "--isa")) options->isa = value;
        if (!strcmp(argv[i], "--filter")) options->filter = value;
        if (!strcmp(argv[i], "--clock")) options->cpu_time = !strcmp(value, "cpu");
        if (!strcmp(argv[i], "--dtype") && !dtype_parse(&options->dtype, value)) exit(2);
    }
    if (options->repeats < 1 || options->repeats > REPEATS_MOST) exit(2);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct err err;
    options_read(&bench.options, argc, argv);
    int threads = bench.options.threads;
    if (bench.options.isa ? device_open_cpu_isa(&bench.device, threads, bench.options.isa, &err)
                          : device_open_cpu(&bench.device, threads, &err))
        fail(&err);
    printf("# %s\n", bench.device.description);
    for (size_t i = 0; i < sizeof convs / sizeof *convs; i++) bench_conv(&bench, &convs[i]);
    for (size_t i = 0; i < sizeof linears / sizeof *linears; i++) bench_linear(&bench, &linears[i]);
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) bench_bn_act_pool(&bench, &norms[i]);
    bench.device.close(&bench.device);
    return 0;
}
