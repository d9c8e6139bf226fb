/* What the generic comparison does not see of the CPU device: the same bits inside somebody else's
 * parallel region, no allocation while running, and what opening refuses. */
#include "kernels/cpu/cpu.h"
#include "base/arena.h"
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <string.h>

enum { REGION_THREADS = 3 };

/* The case on a device of its own, opened, prepared, run and released where this is called. */
static void run_alone(struct op_call *call, const struct op_case *test, struct step_block *block,
                      struct arena *arena)
{
    struct device device;
    struct err err = { 0 };
    case_forward(call, test, DTYPE_F32, 11, block, arena);
    if (device_open_cpu(&device, 1, &err)) {
        call->outs = 0;
        return;
    }
    if (device_supports(&device, call)) {
        for (int i = 0; i < call->outs; i++)
            if (call_has_out(call, i)) tensor_take(&call->out[i], arena);
        call_once(&device, call, arena);
    } else {
        call->outs = 0;
    }
    device_close(&device);
}

static bool same_bits(const struct tensor *a, const struct tensor *b)
{
    size_t bytes = (size_t)shape_count(&a->shape) * dtype_size(a->dtype);
    return memcmp(a->data, b->data, bytes) == 0;
}

Test(cpu, gives_the_same_bits_inside_a_parallel_region_as_outside)
{
    for (int i = 0; i < op_case_count; i++) {
        struct arena arena[REGION_THREADS + 1] = { 0 };
        struct op_call call[REGION_THREADS + 1];
        struct step_block block[REGION_THREADS + 1];
        run_alone(&call[0], &op_cases[i], &block[0], &arena[0]);
#pragma omp parallel for schedule(static, 1) num_threads(REGION_THREADS)
        for (int t = 1; t <= REGION_THREADS; t++)
            run_alone(&call[t], &op_cases[i], &block[t], &arena[t]);
        for (int t = 1; t <= REGION_THREADS; t++)
            for (int j = 0; j < call[0].outs; j++)
                cr_expect(!call_has_out(&call[0], j) || same_bits(&call[0].out[j], &call[t].out[j]),
                          "%s, output %d, thread %d", op_cases[i].name, j, t);
        for (int t = 0; t <= REGION_THREADS; t++) arena_release(&arena[t]);
    }
}

Test(cpu, allocates_nothing_while_running)
{
    struct device device;
    struct err err = { 0 };
    cr_assert_eq(device_open_cpu(&device, 2, &err), OK);
    for (int i = 0; i < op_case_count; i++) {
        struct arena arena = { 0 };
        struct op_call call;
        struct step_block block;
        case_forward(&call, &op_cases[i], DTYPE_F32, 3, &block, &arena);
        for (int j = 0; j < call.outs; j++)
            if (call_has_out(&call, j)) tensor_take(&call.out[j], &arena);
        if (!device_supports(&device, &call)) {
            arena_release(&arena);
            continue;
        }
        cr_assert_eq(call_prepare(&device, &call, &err), OK, "%s", err.message);
        cr_assert_eq(block_alloc(&call.workspace, call.workspace_bytes + 1, "room", &err), OK);
        uint64_t before = memory_allocations();
        cr_assert_eq(call_run(&device, &call, &err), OK, "%s", err.message);
        cr_assert_eq(call_run(&device, &call, &err), OK, "%s", err.message);
        cr_expect_eq(memory_allocations(), before, "%s", op_cases[i].name);
        call_release(&device, &call);
        block_free(call.workspace);
        arena_release(&arena);
    }
    device_close(&device);
}

Test(cpu, refuses_thread_counts_and_instruction_sets_that_do_not_exist)
{
    struct device device;
    struct err err = { 0 };
    cr_expect_eq(device_open_cpu(&device, -1, &err), USAGE);
    cr_expect_eq(device_open_cpu_isa(&device, 1, "avx1024", &err), USAGE);
    cr_expect(strstr(err.message, "avx1024"), "%s", err.message);
}
