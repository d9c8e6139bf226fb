/* Law 2 on the card: every case of the op table and the backward calls of its recipes, in f32,
 * TF32, bf16 and f16, plain and accumulating, in each way that the device offers for it, held to
 * `ref`; each again in new memory and in place for the same bits. A plain program, so that it runs
 * where Criterion is not installed.
 *
 * Prints one line per op and type: calls held, failed, not taken, the worst ratio to its bound, the
 * last algorithm. Exits 0, 1 when a call fails, 77 with the reason when there is no device. */
#include "tests/cuda/open.h"
#include "tests/kernels/cases.h"
#include "tests/kernels/compare.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tally {
    int held, failed, refused;
    double worst;
    char algorithm[96];
};

static const struct mode {
    const char *name;
    enum dtype dtype;
    bool tf32;
} modes[] = {
    { "f32", DTYPE_F32, false },
    { "tf32", DTYPE_F32, true },
    { "bf16", DTYPE_BF16, false },
    { "f16", DTYPE_F16, false },
};

enum { MODES = sizeof modes / sizeof *modes };

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

static void hold_one(struct tally *tallies, struct device *device, struct op_call *call,
                     const char *name, const char *variant)
{
    struct comparison result;
    struct tally *tally = &tallies[call->op];
    compare_call(&result, device, call);
    if (!result.supported) {
        tally->refused++;
        return;
    }
    tally->held++;
    snprintf(tally->algorithm, sizeof tally->algorithm, "%s", result.algorithm);
    if (result.worst > tally->worst) tally->worst = result.worst;
    if (result.worst <= 1) return;
    tally->failed++;
    printf("FAILED %s %s of %s%s [%s]: %s\n", dtype_name(call->in[0].dtype), ops[call->op].name,
           name, variant, result.algorithm, result.text);
}

/* Whether the device prepares the call in the way that it names; a listed one may be refused. */
static bool is_taken(struct device *device, const struct op_call *call)
{
    struct op_call trial = *call;
    struct err unheard;
    bool taken = call_prepare(device, &trial, &unheard) == OK;
    if (taken) call_release(device, &trial);
    return taken;
}

/* The device's first answer, then every way that it lists. */
static void hold(struct tally *tallies, struct device *device, struct op_call *call,
                 const char *name, const char *variant)
{
    struct candidates list = { 0 };
    struct err err = { 0 };
    hold_one(tallies, device, call, name, variant);
    if (!device->choices || !device_supports(device, call)) return;
    cr_assert_eq(device->choices->list(device, call, &list, &err), OK, "%s", err.message);
    for (int c = 0; c < list.count; c++) {
        call->choice = list.text[c];
        if (is_taken(device, call)) hold_one(tallies, device, call, name, variant);
    }
    call->choice = NULL;
}

/* The same call adding to what stands in the outputs that can be added to. */
static void hold_adding(struct tally *tallies, struct device *device, struct op_call *call,
                        const char *name)
{
    for (int j = 0; j < call->outs; j++) {
        if (!(ops[call->op].accumulates >> j & 1) || !call_has_out(call, j)) continue;
        call->accumulate |= 1u << j;
        for (int64_t at = 0; at < shape_count(&call->out[j].shape); at++)
            tensor_set(&call->out[j], at, sin((double)at));
    }
    if (call->accumulate) hold(tallies, device, call, name, ", accumulating");
}

static void hold_case(struct tally *tallies, struct device *device, const struct op_case *test,
                      enum dtype dtype)
{
    struct arena arena = { 0 };
    struct op_call forward, back;
    struct step_block block;
    struct tensor cotangent[OP_OUTS];
    case_forward(&forward, test, dtype, 5, &block, &arena);
    hold(tallies, device, &forward, test->name, "");
    case_cotangents(cotangent, &forward, 6, &arena);
    for (int r = 0; r < OP_GRADIENTS; r++) {
        if (!case_backward(&back, &forward, test->kinds, r, cotangent, &arena)) continue;
        hold(tallies, device, &back, test->name, "");
        hold_adding(tallies, device, &back, test->name);
    }
    arena_release(&arena);
}

/* ReLU must hand not-a-number on, fused or not: the guards look for it. */
static int hold_not_a_number(struct device *device)
{
    struct arena arena = { 0 };
    struct op_call call;
    struct step_block block;
    struct comparison result;
    int failed = 0;
    for (int i = 0; i < op_case_count; i++) {
        const struct op_case *test = &op_cases[i];
        bool linear = test->op == OP_LINEAR && test->attr.linear.act == ACT_RELU;
        bool conv = test->op == OP_CONV2D && test->attr.conv.act == ACT_RELU;
        if (!linear && !conv && test->op != OP_RELU) continue;
        case_forward(&call, test, DTYPE_F32, 5, &block, &arena);
        tensor_set(&call.in[0], 0, NAN);
        compare_call(&result, device, &call);
        if (result.worst <= 1) continue;
        printf("FAILED not-a-number through %s: %s\n", test->name, result.text);
        failed++;
    }
    arena_release(&arena);
    return failed;
}

static int print(const struct tally *tallies, const char *mode)
{
    int failed = 0;
    for (int op = 0; op < OP_COUNT; op++) {
        const struct tally *tally = &tallies[op];
        failed += tally->failed;
        if (tally->held || tally->refused)
            printf("%-5s %-22s %4d held %4d failed %4d not taken  worst %8.3g  %s\n", mode,
                   ops[op].name, tally->held, tally->failed, tally->refused, tally->worst,
                   tally->algorithm);
    }
    return failed;
}

int main(void)
{
    struct device device;
    struct err err = { 0 };
    if (card_open(&device, &err)) {
        printf("SKIPPED: %s\n", err.message);
        return 77;
    }
    printf("%s\n", device.description);
    int failed = hold_not_a_number(&device);
    for (int m = 0; m < MODES; m++) {
        struct tally tallies[OP_COUNT] = { 0 };
        device.tf32 = modes[m].tf32;
        for (int i = 0; i < op_case_count; i++)
            hold_case(tallies, &device, &op_cases[i], modes[m].dtype);
        failed += print(tallies, modes[m].name);
    }
    device_close(&device);
    printf("%d calls failed\n", failed);
    return failed ? 1 : 0;
}
