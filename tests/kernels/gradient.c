/* Every gradient recipe against central differences in f64 on ref, through random cotangents.
 *
 * With L = Σ_j <g_j, y_j> and a random direction v of one input, the recipe's <dL/dx, v> must equal
 * (L(x + hv) - L(x - hv)) / 2h. The recipe is read from the op table as the graph pass reads it, so
 * its wiring is proven too. Inputs lie away from kinks and ties. */
#include "base/rng.h"
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static const double step = 1e-5;

/* One case while its gradients are checked. */
struct check {
    const struct op_case *test;
    struct device *ref;
    struct arena *arena;
    struct op_call forward;
    struct step_block block;
    struct tensor cotangent[OP_OUTS];
    bool loss; /* the op is a loss: L is what it minimises */
};

/* Runs forward on copies of its tensors, with input `moved` shifted by `by` * v. */
static void run_moved(struct check *check, struct op_call *call, int moved, double by,
                      const double *v)
{
    *call = check->forward;
    for (int i = 0; i < call->ins; i++) {
        if (!call_has_in(call, i)) continue;
        tensor_take(&call->in[i], check->arena);
        int64_t count = shape_count(&call->in[i].shape);
        for (int64_t at = 0; at < count; at++)
            tensor_set(&call->in[i], at,
                       tensor_get(&check->forward.in[i], at) + (i == moved ? by * v[at] : 0));
    }
    for (int j = 0; j < call->outs; j++)
        if (call_has_out(call, j)) tensor_take(&call->out[j], check->arena);
    call_once(check->ref, call, check->arena);
}

static double product(const struct tensor *a, const struct tensor *b, double *size)
{
    double sum = 0;
    for (int64_t at = 0; at < shape_count(&a->shape); at++) {
        double term = tensor_get(a, at) * tensor_get(b, at);
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

static double objective(const struct check *check, const struct op_call *call)
{
    double sum = 0, size = 0;
    for (int j = 0; j < call->outs; j++)
        if (check->cotangent[j].data) sum += product(&check->cotangent[j], &call->out[j], &size);
    if (!check->loss) return sum;
    for (int64_t row = 0; row < shape_count(&call->out[0].shape); row++)
        sum += tensor_get(&call->out[0], row);
    return sum * (double)check->block.loss_scale / (double)call->attr->loss.nominal;
}

/* The gradient of input `input` by the recipes, or no data where no recipe gives one. */
static struct tensor recipe_gradient(struct check *check, int input)
{
    struct op_call back;
    for (int r = 0; r < OP_GRADIENTS && ops[check->test->op].backward[r].present; r++) {
        const struct gradient *g = &ops[check->test->op].backward[r];
        bool made = case_backward(&back, &check->forward, check->test->kinds, r, check->cotangent,
                                  check->arena);
        if (made) call_once(check->ref, &back, check->arena);
        for (int j = 0; j < g->outs; j++) {
            if (g->out[j] != input) continue;
            if (g->op == OP_COUNT) return back.in[0];
            if (made && call_has_out(&back, j)) return back.out[j];
        }
    }
    return (struct tensor){ .shape.rank = -1 };
}

static void check_input(struct check *check, int input)
{
    struct tensor gradient = recipe_gradient(check, input);
    if (!gradient.data) return;
    int64_t count = shape_count(&gradient.shape);
    struct tensor v = { .dtype = DTYPE_F64, .shape = gradient.shape };
    tensor_take(&v, check->arena);
    cr_assert(shape_equal(&gradient.shape, &check->forward.in[input].shape), "%s",
              check->test->name);
    for (int round = 0; round < 3; round++) {
        double size = 0, *direction = v.data;
        struct op_call up, down;
        for (int64_t at = 0; at < count; at++)
            direction[at] = rng_normal((uint64_t)(100 * input + round), (uint64_t)at);
        run_moved(check, &up, input, step, direction);
        run_moved(check, &down, input, -step, direction);
        double wanted = (objective(check, &up) - objective(check, &down)) / (2 * step);
        double got = product(&gradient, &v, &size);
        cr_expect_leq(fabs(got - wanted), 1e-7 * (size + 1e-3),
                      "%s, input %d: recipe %.12g, differences %.12g", check->test->name, input,
                      got, wanted);
    }
}

Test(gradient, recipes_agree_with_finite_differences_on_every_case)
{
    struct device ref;
    struct err err = { 0 };
    int checked[OP_COUNT] = { 0 };
    cr_assert_eq(device_open(&ref, "ref", 1, &err), OK);
    for (int i = 0; i < op_case_count; i++) {
        const struct op_case *test = &op_cases[i];
        struct arena arena = { 0 };
        struct check check = { .test = test, .ref = &ref, .arena = &arena };
        /* A recipe holds for the op without the activation that is fused in later. */
        bool fused = (test->op == OP_LINEAR && test->attr.linear.act != ACT_NONE) ||
                     (test->op == OP_CONV2D && test->attr.conv.act != ACT_NONE);
        if (fused || !ops[test->op].backward[0].present || strchr(test->kinds, 'X')) continue;
        if (test->op == OP_CAST && test->attr.cast.to >= DTYPE_I32) continue;
        case_forward(&check.forward, test, DTYPE_F64, (uint64_t)(i + 1), &check.block, &arena);
        check.loss = !case_cotangents(check.cotangent, &check.forward, (uint64_t)(i + 7), &arena);
        struct op_call ran;
        run_moved(&check, &ran, -1, 0, NULL);
        for (int j = 0; j < ran.outs; j++) check.forward.out[j] = ran.out[j];
        for (int input = 0; input < check.forward.ins; input++) check_input(&check, input);
        checked[test->op]++;
        arena_release(&arena);
    }
    for (int i = 0; i < OP_COUNT; i++)
        if (ops[i].backward[0].present)
            cr_expect_geq(checked[i], 1, "%s has a recipe that no case checks", ops[i].name);
    device_close(&ref);
}

Test(gradient, accumulating_twice_gives_double)
{
    struct device ref;
    struct err err = { 0 };
    int outputs = 0;
    cr_assert_eq(device_open(&ref, "ref", 1, &err), OK);
    for (int i = 0; i < op_case_count; i++) {
        struct arena arena = { 0 };
        struct op_call forward, once, twice;
        struct step_block block;
        struct tensor cotangent[OP_OUTS];
        case_forward(&forward, &op_cases[i], DTYPE_F64, 3, &block, &arena);
        if (ops[forward.op].backward[0].present) call_once(&ref, &forward, &arena);
        case_cotangents(cotangent, &forward, 4, &arena);
        for (int r = 0; r < OP_GRADIENTS; r++) {
            if (!case_backward(&once, &forward, op_cases[i].kinds, r, cotangent, &arena)) continue;
            case_backward(&twice, &forward, op_cases[i].kinds, r, cotangent, &arena);
            twice.accumulate = ops[twice.op].accumulates;
            call_once(&ref, &once, &arena);
            call_once(&ref, &twice, &arena);
            call_once(&ref, &twice, &arena);
            for (int j = 0; j < once.outs; j++) {
                if (!(twice.accumulate >> j & 1) || !call_has_out(&once, j)) continue;
                outputs++;
                for (int64_t at = 0; at < shape_count(&once.out[j].shape); at++)
                    cr_assert_eq(2 * tensor_get(&once.out[j], at), tensor_get(&twice.out[j], at),
                                 "%s, output %d", op_cases[i].name, j);
            }
        }
        arena_release(&arena);
    }
    cr_expect_geq(outputs, 50, "only %d outputs accumulate", outputs);
    device_close(&ref);
}
