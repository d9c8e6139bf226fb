/* Law 2 on every device that this build has: all cases and the backward calls of their recipes, in
 * f32 and bf16, plain and accumulating. What a device does not take is counted and printed. */
#include "kernels/cpu/cpu.h"
#include "tests/kernels/cases.h"
#include "tests/kernels/compare.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

struct tally {
    int held, skipped;
    bool met[OP_COUNT], taken[OP_COUNT];
};

static void hold(struct tally *tally, struct device *device, struct op_call *call, const char *name,
                 const char *variant)
{
    struct comparison result;
    compare_call(&result, device, call);
    tally->met[call->op] = true;
    if (!result.supported) {
        tally->skipped++;
        return;
    }
    tally->held++;
    tally->taken[call->op] = true;
    cr_expect_leq(result.worst, 1, "%s on %s, %s of %s%s [%s]: %s", device->name,
                  dtype_name(call->in[0].dtype), ops[call->op].name, name, variant,
                  result.algorithm, result.text);
}

/* The same call adding to what stands in the outputs that can be added to. */
static void hold_accumulating(struct tally *tally, struct device *device, struct op_call *call,
                              const char *name)
{
    uint32_t can = ops[call->op].accumulates;
    for (int j = 0; j < call->outs; j++) {
        if (!(can >> j & 1) || !call_has_out(call, j)) continue;
        call->accumulate |= 1u << j;
        for (int64_t at = 0; at < shape_count(&call->out[j].shape); at++)
            tensor_set(&call->out[j], at, sin((double)at));
    }
    if (call->accumulate) hold(tally, device, call, name, ", accumulating");
}

static void hold_case(struct tally *tally, struct device *device, const struct op_case *test,
                      enum dtype dtype)
{
    struct arena arena = { 0 };
    struct op_call forward, back;
    struct step_block block;
    struct tensor cotangent[OP_OUTS];
    case_forward(&forward, test, dtype, 5, &block, &arena);
    hold(tally, device, &forward, test->name, "");
    case_cotangents(cotangent, &forward, 6, &arena);
    for (int r = 0; r < OP_GRADIENTS; r++) {
        if (!case_backward(&back, &forward, test->kinds, r, cotangent, &arena)) continue;
        hold(tally, device, &back, test->name, "");
        hold_accumulating(tally, device, &back, test->name);
    }
    arena_release(&arena);
}

static void hold_device(struct device *device, const char *isa)
{
    struct tally tally[2] = { 0 };
    static const enum dtype dtypes[] = { DTYPE_F32, DTYPE_BF16 };
    for (int d = 0; d < 2; d++) {
        for (int i = 0; i < op_case_count; i++)
            hold_case(&tally[d], device, &op_cases[i], dtypes[d]);
        /* Not cr_log_warn: it makes the program exit with 1. */
        fprintf(stderr, "%s %s, %d threads, %s: %d calls held, %d skipped as not supported\n",
                device->name, isa, device->threads, dtype_name(dtypes[d]), tally[d].held,
                tally[d].skipped);
    }
    for (int i = 0; i < OP_COUNT; i++)
        cr_expect(ops[i].reference_only || !tally[0].met[i] || tally[0].taken[i],
                  "%s has no %s at all, and its row does not say so", device->name, ops[i].name);
    device_close(device);
}

Test(devices, ref_is_held_to_its_own_law)
{
    struct device device;
    struct err err = { 0 };
    cr_assert_eq(device_open(&device, "ref", 1, &err), OK, "%s", err.message);
    hold_device(&device, "");
}

/* One test each: oneDNN takes its limit once in a process. */
static void hold_isa(const char *isa, int threads)
{
    struct device device;
    struct err err = { 0 };
    if (device_open_cpu_isa(&device, threads, isa, &err)) cr_skip_test("%s", err.message);
    hold_device(&device, isa);
}

Test(devices, cpu_is_held_to_the_reference)
{
    struct device device;
    struct err err = { 0 };
    cr_assert_eq(device_open(&device, "cpu", 2, &err), OK, "%s", err.message);
    hold_device(&device, "best");
}

Test(devices, cpu_on_avx512_is_held_to_the_reference)
{
    hold_isa("avx512", 3);
}

Test(devices, cpu_on_avx2_is_held_to_the_reference)
{
    hold_isa("avx2", 2);
}

Test(devices, cpu_without_vectors_is_held_to_the_reference)
{
    hold_isa("plain", 1);
}

Test(devices, cuda_is_held_to_the_reference_or_says_why_not)
{
    struct device device;
    struct err err = { 0 };
    enum code code = device_open(&device, "cuda", 0, &err);
    if (!code) {
        hold_device(&device, "");
        return;
    }
    cr_expect(code == NOT_FOUND || code == DEVICE, "%s: %s", code_text(code), err.message);
    cr_expect_neq(strstr(err.message, "cuda"), NULL, "%s", err.message);
    cr_expect_neq(err.hint[0], '\0', "%s: what to do?", err.message);
}
