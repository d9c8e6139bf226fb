/* The op table: rows complete, recipes sound, and every op reached by a case. */
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <string.h>

Test(table, rows_are_complete)
{
    for (int i = 0; i < OP_COUNT; i++) {
        const struct op *op = &ops[i];
        cr_assert_not_null(op->name, "row %d", i);
        cr_expect_eq((int)op_find(op->name), i, "%s: another op has this name", op->name);
        cr_expect(op->help && strlen(op->help) > 4, "%s: help", op->name);
        cr_expect(op->ins >= 1 && op->ins <= OP_INS && op->optional_ins < op->ins, "%s: ins",
                  op->name);
        cr_expect(op->outs >= 0 && op->outs <= OP_OUTS && op->optional_outs <= op->outs, "%s: outs",
                  op->name);
        cr_expect_neq(op->dtypes, 0u, "%s: dtypes", op->name);
        cr_expect_eq(op->updates >> op->ins, 0u, "%s: updates", op->name);
        cr_expect_eq(op->accumulates >> op->outs, 0u, "%s: accumulates", op->name);
        cr_expect(!op->random || op->reads_block, "%s: random draws need the block", op->name);
        cr_expect(op->infer || strstr(op->name, "_bwd"), "%s: no shape rule", op->name);
        cr_expect_null(op_find("no such op") == OP_COUNT ? NULL : op, "unknown names");
    }
}

Test(table, recipes_name_what_exists)
{
    for (int i = 0; i < OP_COUNT; i++)
        for (const struct gradient *g = ops[i].backward; g->present; g++) {
            const char *name = ops[i].name;
            cr_assert_lt(g - ops[i].backward, OP_GRADIENTS, "%s: recipe without end", name);
            if (g->op != OP_COUNT) {
                const struct op *op = &ops[g->op];
                cr_expect(g->ins <= op->ins && g->ins >= op->ins - op->optional_ins, "%s: %d ins",
                          name, g->ins);
                cr_expect(g->outs <= op->outs && g->outs >= op->outs - op->optional_outs,
                          "%s: %d outs", name, g->outs);
            }
            for (int j = 0; j < g->ins; j++) {
                int most = g->in[j].from == FROM_IN ? ops[i].ins : ops[i].outs;
                cr_expect(g->in[j].from != FROM_NONE && g->in[j].index < most, "%s: value %d", name,
                          j);
            }
            for (int j = 0; j < g->outs; j++)
                cr_expect(g->out[j] >= -1 && g->out[j] < ops[i].ins, "%s: result %d", name, j);
        }
}

Test(table, every_op_is_reached_by_a_case)
{
    bool reached[OP_COUNT] = { 0 };
    for (int i = 0; i < op_case_count; i++) {
        const struct op *op = &ops[op_cases[i].op];
        reached[op_cases[i].op] = true;
        cr_expect(strncmp(op_cases[i].name, op->name, strlen(op->name)) == 0, "%s: is of %s",
                  op_cases[i].name, op->name);
        for (const struct gradient *g = op->backward; g->present; g++)
            if (g->op != OP_COUNT) reached[g->op] = true;
    }
    for (int i = 0; i < OP_COUNT; i++) cr_expect(reached[i], "%s", ops[i].name);
}

Test(table, reference_device_has_every_op)
{
    struct device device;
    struct err err = { 0 };
    cr_assert_eq(device_open(&device, "ref", 0, &err), OK);
    for (int i = 0; i < OP_COUNT; i++) cr_expect_not_null(device.kernels[i].run, "%s", ops[i].name);
    device_close(&device);
    cr_expect_eq(device_open(&device, "reff", 0, &err), USAGE);
    cr_expect_not_null(strstr(err.message, "'reff'"));
    cr_expect_not_null(strstr(err.hint, "Did you mean 'ref'"), "%s", err.hint);
    cr_expect_eq(device_open(&device, "ref", -1, &err), USAGE);
}
