/* The end of a step against closed forms: norm and clip, optimizers over many steps, averages, loss
 * sums; and losses over micro-batches, padding and bad labels. On ref, in f64. */
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

/* Runs an op on f64 vectors of length `count`. */
static void run(enum op_kind op, const union op_attr *attr, struct step_block *block,
                double *const *vectors, int64_t count)
{
    struct device ref;
    struct err err = { 0 };
    struct arena arena = { 0 };
    struct op_call call = { .op = op, .attr = attr, .block = block };
    for (; vectors[call.ins]; call.ins++)
        call.in[call.ins] =
            (struct tensor){ .dtype = DTYPE_F64, .shape = SHAPE(count), .data = vectors[call.ins] };
    cr_assert_eq(device_open(&ref, "ref", 1, &err), OK);
    call_once(&ref, &call, &arena);
    device_close(&ref);
    arena_release(&arena);
}

#define VECTORS(...) ((double *const[]){ __VA_ARGS__, NULL })

static const struct segment parts[] = {
    { .offset = 0, .count = 1, .decay = true, .rate = 1, .name = "weight" },
    { .offset = 2, .count = 1, .decay = false, .rate = 0.5f, .name = "bias" },
};
static const struct segments segments = { .at = parts, .count = 2, .size = 3 };

Test(formulas, grad_norm_unscales_clips_and_skips)
{
    static const struct {
        const char *name;
        double gradient[2];
        float clip, loss_scale;
        double weight_sum, norm;
        float scale;
        uint32_t skip;
    } rows[] = {
        { "as it is", { 3, 4 }, 0, 1, 8, 5, 1, 0 },
        { "loss scale and missing rows", { 3, 4 }, 0, 2, 2, 10, 2, 0 },
        { "clipped", { 3, 4 }, 1, 1, 8, 5, 0.2f, 0 },
        { "clipped after unscaling", { 30, 40 }, 2.5f, 4, 4, 25, 0.05f, 0 },
        { "below the clip", { 3, 4 }, 6, 1, 8, 5, 1, 0 },
        { "infinite", { 3, (double)INFINITY }, 1, 1, 8, (double)INFINITY, 0, 1 },
        { "not a number", { 3, (double)NAN }, 1, 1, 8, (double)NAN, 0, 1 },
        { "no weight at all", { 0, 0 }, 0, 1, 0, (double)NAN, 0, 1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double gradient[2] = { rows[i].gradient[0], rows[i].gradient[1] };
        union op_attr attr = { .optimizer = { .clip_norm = rows[i].clip, .nominal = 8 } };
        struct step_block block = { .loss_scale = rows[i].loss_scale,
                                    .weight_sum = rows[i].weight_sum };
        run(OP_GRAD_NORM, &attr, &block, VECTORS(gradient), 2);
        bool same = isnan(rows[i].norm) ? isnan(block.gradient_norm)
                                        : block.gradient_norm == rows[i].norm;
        cr_expect(same, "%s: norm %g", rows[i].name, block.gradient_norm);
        cr_expect_float_eq(block.gradient_scale, rows[i].scale, 1e-7f, "%s: scale %g", rows[i].name,
                           (double)block.gradient_scale);
        cr_expect_eq(block.skip, rows[i].skip, "%s", rows[i].name);
    }
}

/* What PyTorch 2.15's GradScaler (init_scale 64, growth_interval 3) made of a sequence of steps of
 * SGD whose gradient was infinite at each 'x': scale, growth tracker and steps taken after each. */
Test(formulas, the_loss_scale_moves_as_pytorchs_grad_scaler_has_it)
{
    static const struct {
        char kind;
        float scale;
        int tracker, taken;
    } recorded[] = {
        { '.', 64, 1, 1 },   { '.', 64, 2, 2 },  { '.', 128, 0, 3 }, { '.', 128, 1, 4 },
        { 'x', 64, 0, 4 },   { '.', 64, 1, 5 },  { '.', 64, 2, 6 },  { '.', 128, 0, 7 },
        { 'x', 64, 0, 7 },   { '.', 64, 1, 8 },  { 'x', 32, 0, 8 },  { '.', 32, 1, 9 },
        { '.', 32, 2, 10 },  { '.', 64, 0, 11 }, { '.', 64, 1, 12 }, { '.', 64, 2, 13 },
        { '.', 128, 0, 14 }, { 'x', 64, 0, 14 }, { 'x', 32, 0, 14 }, { '.', 32, 1, 15 },
        { '.', 32, 2, 16 },  { '.', 64, 0, 17 }, { '.', 64, 1, 18 },
    };
    union op_attr attr = { .optimizer = { .nominal = 8, .growth_every = 3, .scale_floor = 1 } };
    struct step_block block = { .loss_scale = 64, .weight_sum = 8 };
    for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++) {
        double gradient[] = { recorded[i].kind == 'x' ? (double)INFINITY : 1, 2 };
        run(OP_GRAD_NORM, &attr, &block, VECTORS(gradient), 2);
        cr_expect(block.loss_scale == recorded[i].scale, "step %zu: scale %g", i,
                  (double)block.loss_scale);
        cr_expect_eq(block.good_steps, recorded[i].tracker, "step %zu", i);
        cr_expect_eq(block.optimizer_time, recorded[i].taken, "step %zu", i);
        cr_expect_eq(block.skip, recorded[i].kind == 'x' ? STEP_OVERFLOWED : STEP_TAKEN);
    }
}

Test(formulas, the_loss_scale_has_ends_and_is_not_blamed_for_the_loss)
{
    static const struct {
        const char *name;
        double gradient, loss;
        float scale, floor;
        int64_t growth_every;
        uint32_t skip;
        float next;
    } rows[] = {
        { "overflow above the floor", (double)INFINITY, 1, 3, 2, 9, STEP_OVERFLOWED, 2 },
        { "overflow at the floor", (double)INFINITY, 1, 2, 2, 9, STEP_NOT_FINITE, 2 },
        { "overflow of a fixed scale", (double)NAN, 1, 64, 0, 0, STEP_NOT_FINITE, 64 },
        { "the loss itself", (double)NAN, (double)NAN, 64, 1, 9, STEP_NOT_FINITE, 64 },
        { "the loss alone", 1, (double)INFINITY, 64, 1, 9, STEP_NOT_FINITE, 64 },
        { "growth to the end", 1, 1, 1 << 23, 1, 1, STEP_TAKEN, 1 << 24 },
        { "growth at the end", 1, 1, 1 << 24, 1, 1, STEP_TAKEN, 1 << 24 },
        { "no growth", 1, 1, 64, 0, 0, STEP_TAKEN, 64 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double gradient[] = { rows[i].gradient, 2 };
        union op_attr attr = { .optimizer = { .nominal = 8,
                                              .growth_every = rows[i].growth_every,
                                              .scale_floor = rows[i].floor } };
        struct step_block block = { .loss_scale = rows[i].scale,
                                    .weight_sum = 8,
                                    .loss_sum = rows[i].loss,
                                    .optimizer_time = 5 };
        run(OP_GRAD_NORM, &attr, &block, VECTORS(gradient), 2);
        cr_expect_eq(block.skip, rows[i].skip, "%s: %u", rows[i].name, block.skip);
        cr_expect(block.loss_scale == rows[i].next, "%s: %g", rows[i].name,
                  (double)block.loss_scale);
        cr_expect_eq(block.optimizer_time, rows[i].skip ? 5 : 6, "%s", rows[i].name);
        cr_expect(!rows[i].skip || block.gradient_scale == 0, "%s", rows[i].name);
    }
}

Test(formulas, a_skipped_step_changes_nothing)
{
    static const enum op_kind kinds[] = { OP_SGD, OP_ADAMW, OP_EMA };
    union op_attr attr = { .optimizer = { .segments = &segments, .momentum = 0.5f } };
    struct step_block block = { .rate = 1, .gradient_scale = 1, .skip = 1 };
    for (int i = 0; i < 3; i++) {
        double a[] = { 1, 2, 3 }, b[] = { 4, 5, 6 }, c[] = { 7, 8, 9 }, d[] = { 1, 1, 1 };
        double before[] = { 1, 2, 3 }, moved[] = { 7, 8, 9 };
        run(kinds[i], &attr, &block,
            kinds[i] == OP_ADAMW ? VECTORS(a, b, c, d)
            : kinds[i] == OP_SGD ? VECTORS(a, b, c)
                                 : VECTORS(a, b),
            3);
        cr_expect_arr_eq(a, before, sizeof a, "%s", ops[kinds[i]].name);
        cr_expect_arr_eq(c, moved, sizeof c, "%s", ops[kinds[i]].name);
    }
}

/* A constant gradient g makes velocity_k = g (1 - mu^k) / (1 - mu). */
Test(formulas, sgd_with_momentum_follows_its_geometric_series)
{
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        const double mu = 0.75, rate = 0.125, g = 3 * 0.5, steps = 6;
        union op_attr attr = {
            .optimizer = { .segments = &segments, .momentum = (float)mu, .nesterov = nesterov }
        };
        struct step_block block = { .rate = (float)rate, .gradient_scale = 0.5f };
        double value[] = { 10, 20, 30 }, gradient[] = { 3, 3, 3 }, velocity[3] = { 0 };
        double path = 0;
        for (int k = 1; k <= steps; k++) {
            double v = g * (1 - pow(mu, k)) / (1 - mu);
            path += nesterov ? g + mu * v : v;
            run(OP_SGD, &attr, &block, VECTORS(value, gradient, velocity), 3);
        }
        cr_expect_float_eq(value[0], 10 - rate * path, 1e-12, "nesterov %d", nesterov);
        cr_expect_eq(value[1], 20, "what lies between segments stays");
        cr_expect_float_eq(value[2], 30 - 0.5 * rate * path, 1e-12, "rate factor");
    }
}

Test(formulas, sgd_decay_joins_the_gradient_and_clips_come_before_it)
{
    union op_attr attr = { .optimizer = {
                               .segments = &segments, .weight_decay = 0.25f, .clip_value = 2 } };
    struct step_block block = { .rate = 0.5f, .gradient_scale = 1 };
    double value[] = { 8, 0, 8 }, gradient[] = { 100, 0, -100 };
    run(OP_SGD, &attr, &block, VECTORS(value, gradient), 3);
    cr_expect_float_eq(value[0], 8 - 0.5 * (2 + 0.25 * 8), 1e-12);
    cr_expect_float_eq(value[2], 8 - 0.25 * -2, 1e-12, "no decay on this segment");
}

/* With eps 0 and a constant gradient both moments are unbiased: each step is rate x sign. */
Test(formulas, adamw_with_a_constant_gradient_steps_by_the_rate)
{
    union op_attr attr = { .optimizer = { .segments = &segments,
                                          .beta1 = 0.75f,
                                          .beta2 = 0.875f,
                                          .weight_decay = 0.5f } };
    struct step_block block = { .rate = 0.125f, .gradient_scale = 0.25f };
    double value[] = { 4, 5, 6 }, gradient[] = { -3, 1, 7 }, m[3] = { 0 }, v[3] = { 0 };
    double first = 4, last = 6;
    for (int k = 0; k < 5; k++) {
        block.optimizer_time = k + 1;
        run(OP_ADAMW, &attr, &block, VECTORS(value, gradient, m, v), 3);
        first = first * (1 - 0.125 * 0.5) + 0.125;
        last -= 0.5 * 0.125;
        cr_expect_float_eq(value[0], first, 1e-12, "step %d", k);
        cr_expect_float_eq(value[2], last, 1e-12, "step %d: half the rate, no decay", k);
    }
    cr_expect_eq(value[1], 5);
    cr_expect_float_eq(m[0], -0.75 * (1 - pow(0.75, 5)), 1e-12);
    cr_expect_float_eq(v[0], 0.5625 * (1 - pow(0.875, 5)), 1e-12);
}

Test(formulas, ema_approaches_a_constant_geometrically)
{
    union op_attr attr = { .optimizer = { .segments = &segments, .decay = 0.75f } };
    struct step_block block = { .rate = 1 };
    double average[] = { 0, 9, 8 }, value[] = { 1, 1, 0 };
    for (int k = 0; k < 4; k++) run(OP_EMA, &attr, &block, VECTORS(average, value), 3);
    cr_expect_float_eq(average[0], 1 - pow(0.75, 4), 1e-12);
    cr_expect_float_eq(average[2], 8 * pow(0.75, 4), 1e-12);
    cr_expect_eq(average[1], 9);
}

Test(formulas, loss_sum_begins_anew_at_micro_step_0)
{
    struct step_block block = { .loss_sum = 100, .weight_sum = 100 };
    double loss[] = { 1, 2, 4 }, weight[] = { 1, 0, 0.5 };
    for (block.micro_step = 0; block.micro_step < 3; block.micro_step++)
        run(OP_LOSS_SUM, &(union op_attr){ 0 }, &block, VECTORS(loss, weight), 3);
    cr_expect_eq(block.loss_sum, 21);
    cr_expect_eq(block.weight_sum, 4.5);
}

enum { CLASSES = 3, EXAMPLES = 6 };

static void xent(const union op_attr *attr, const double *logits, const int32_t *label,
                 int64_t rows, int64_t valid, double *out[3])
{
    struct device ref;
    struct err err = { 0 };
    struct arena arena = { 0 };
    struct step_block block = { .loss_scale = 2, .valid_rows = valid };
    double z[EXAMPLES * CLASSES];
    int32_t y[EXAMPLES];
    memcpy(z, logits, (size_t)rows * CLASSES * sizeof *z);
    memcpy(y, label, (size_t)rows * sizeof *y);
    struct op_call call = { .op = OP_SOFTMAX_XENT, .attr = attr, .block = &block, .ins = 2 };
    call.in[0] = (struct tensor){ .dtype = DTYPE_F64, .shape = SHAPE(rows, CLASSES), .data = z };
    call.in[1] = (struct tensor){ .dtype = DTYPE_I32, .shape = SHAPE(rows), .data = y };
    cr_assert_eq(op_infer(call.op, attr, call.in, 2, call.out, &call.outs, &err), OK, "%s",
                 err.message);
    for (int j = 0; j < 3; j++) call.out[j].data = out[j];
    cr_assert_eq(device_open(&ref, "ref", 1, &err), OK);
    call_once(&ref, &call, &arena);
    device_close(&ref);
    arena_release(&arena);
}

Test(formulas, micro_batches_of_any_cut_add_up_to_the_batch)
{
    double logits[EXAMPLES * CLASSES];
    int32_t label[] = { 0, 2, 1, 1, 0, 2 };
    double loss[2][EXAMPLES], weight[2][EXAMPLES], gradient[2][EXAMPLES * CLASSES];
    union op_attr attr = { .loss = { .smoothing = 0.1, .nominal = EXAMPLES, .ignore_index = 1 } };
    for (int i = 0; i < EXAMPLES * CLASSES; i++) logits[i] = sin(3.0 * i);
    xent(&attr, logits, label, EXAMPLES, EXAMPLES, (double *[]){ loss[0], weight[0], gradient[0] });
    for (int cut = 1; cut < EXAMPLES; cut++) {
        xent(&attr, logits, label, cut, cut, (double *[]){ loss[1], weight[1], gradient[1] });
        xent(&attr, logits + cut * CLASSES, label + cut, EXAMPLES - cut, EXAMPLES - cut,
             (double *[]){ loss[1] + cut, weight[1] + cut, gradient[1] + cut * CLASSES });
        cr_expect_arr_eq(loss[0], loss[1], sizeof *loss, "cut at %d", cut);
        cr_expect_arr_eq(weight[0], weight[1], sizeof *weight, "cut at %d", cut);
        cr_expect_arr_eq(gradient[0], gradient[1], sizeof *gradient, "cut at %d", cut);
    }
    /* One row by hand: uniform logits cost log 3 under any smoothing. */
    xent(&attr, (double[]){ 1, 1, 1 }, (int32_t[]){ 2 }, 1, 1,
         (double *[]){ loss[1], weight[1], gradient[1] });
    cr_expect_float_eq(loss[1][0], log(3), 1e-14);
    cr_expect_float_eq(gradient[1][0], 2.0 / 6 * (1.0 / 3 - 0.1 / 3), 1e-14);
    cr_expect_float_eq(gradient[1][2], 2.0 / 6 * (1.0 / 3 - 0.9 - 0.1 / 3), 1e-14);
}

Test(formulas, padding_and_ignored_labels_weigh_nothing_and_bad_labels_are_seen)
{
    double logits[EXAMPLES * CLASSES] = { 0 };
    int32_t label[] = { 0, 1, 3, -7, 2, 2 }; /* 1 is ignored, 3 and -7 are no classes */
    double loss[EXAMPLES], weight[EXAMPLES], gradient[EXAMPLES * CLASSES];
    union op_attr attr = { .loss = { .nominal = EXAMPLES, .ignore_index = 1 } };
    xent(&attr, logits, label, EXAMPLES, 5, (double *[]){ loss, weight, gradient });
    static const double wanted[] = { 1, 0, (double)NAN, (double)NAN, 1, 0 };
    for (int i = 0; i < EXAMPLES; i++) {
        bool same = isnan(wanted[i]) ? isnan(weight[i]) && isnan(loss[i]) && isnan(gradient[3 * i])
                                     : weight[i] == wanted[i];
        cr_expect(same, "row %d: weight %g, loss %g", i, weight[i], loss[i]);
        if (wanted[i] == 0) cr_expect(loss[i] == 0 && gradient[3 * i] == 0, "row %d", i);
    }
}
