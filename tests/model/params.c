/* First values: a pure function of seed, name and element; and bf16 beside f32. */
#include "bench_model.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* `count` parameters in this order, named by `names`. */
static void make(struct params *params, struct graph *graph, struct device *device,
                 const char *const *names, int count)
{
    struct err err = { 0 };
    for (int i = 0; i < count; i++)
        graph_parameter(graph, &(struct parameter){ .name = names[i],
                                                    .shape = SHAPE(17, 13),
                                                    .init = INIT_GLOROT_UNIFORM,
                                                    .fan_in = 13,
                                                    .fan_out = 17 });
    cr_assert_eq(params_open(params, graph, device, 1u << ARENA_EMA, &err), OK);
    cr_assert_eq(params_init(params, 1, &err), OK);
}

/* The numbers were computed by another program (Philox written in Python). */
Test(params, first_values_are_the_recorded_ones_whatever_stands_around_them)
{
    static const double recorded[][2] = { { 0, 0.12797372043132782 },
                                          { 1, -0.20243026316165924 },
                                          { 2, -0.3163452744483948 },
                                          { 220, 0.30272793769836426 } };
    static const char *const orders[][3] = { { "dense_1.weight", NULL, NULL },
                                             { "a", "b", "dense_1.weight" },
                                             { "dense_1.weight", "z", "dense_2.weight" } };
    for (int o = 0; o < 3; o++) {
        struct arena arena = { 0 };
        struct graph graph;
        struct device device;
        struct params params;
        struct err err;
        cr_assert_eq(device_open(&device, "ref", 1, &err), OK);
        graph_init(&graph, &arena);
        make(&params, &graph, &device, orders[o], orders[o][1] ? 3 : 1);
        int at = o == 1 ? 2 : 0;
        const float *values = params_at(&params, ARENA_VALUE, at);
        for (size_t i = 0; i < sizeof recorded / sizeof *recorded; i++)
            cr_expect_eq((double)values[(int)recorded[i][0]], recorded[i][1], "order %d, number %g",
                         o, recorded[i][0]);
        cr_expect_arr_eq(values, params_at(&params, ARENA_EMA, at), 17 * 13 * sizeof(float));
        params_close(&params);
        device_close(&device);
        arena_release(&arena);
    }
}

/* Mean and deviation of many numbers, against the formulas of the papers. */
Test(params, initialisers_have_the_deviation_that_they_promise)
{
    static const struct {
        const char *name;
        enum initializer init;
        double deviation, mean;
    } rows[] = {
        { "zero", INIT_ZERO, 0, 0 },
        { "one", INIT_ONE, 0, 1 },
        { "he", INIT_HE_NORMAL, 0.1, 0 },                         /* sqrt(2 / 200) */
        { "glorot", INIT_GLOROT_UNIFORM, 0.0816496580927726, 0 }, /* sqrt(2 / 300) */
        { "normal", INIT_NORMAL, 0.02, 0 },
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct arena arena = { 0 };
        struct graph graph;
        struct device device;
        struct params params;
        struct err err;
        cr_assert_eq(device_open(&device, "ref", 1, &err), OK);
        graph_init(&graph, &arena);
        graph_parameter(&graph, &(struct parameter){ .name = rows[r].name,
                                                     .shape = SHAPE(200, 100),
                                                     .init = rows[r].init,
                                                     .fan_in = 200,
                                                     .fan_out = 100,
                                                     .scale = 0.02 });
        cr_assert_eq(params_open(&params, &graph, &device, 0, &err), OK);
        cr_assert_eq(params_init(&params, 7, &err), OK);
        const float *values = params_at(&params, ARENA_VALUE, 0);
        double sum = 0, squares = 0, count = 20000;
        for (int i = 0; i < 20000; i++) sum += (double)values[i];
        double mean = sum / count;
        for (int i = 0; i < 20000; i++)
            squares += ((double)values[i] - mean) * ((double)values[i] - mean);
        /* four standard errors */
        cr_expect_leq(fabs(mean - rows[r].mean), 4 * rows[r].deviation / sqrt(count), "%s: %g",
                      rows[r].name, mean);
        cr_expect_leq(fabs(sqrt(squares / count) - rows[r].deviation),
                      4 * rows[r].deviation / sqrt(2 * count), "%s", rows[r].name);
        params_close(&params);
        device_close(&device);
        arena_release(&arena);
    }
}

/* bf16 keeps 8 bits: losses agree to about 1 % and gradients point the same way. */
Test(params, bf16_training_graphs_are_near_those_in_f32)
{
    static const char *const names[] = { "cnn", "residual", "mlp", "flat" };
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        struct trial wide, narrow;
        trial_open(&wide, names[n], &(struct trial_opts){ .device = "cpu", .batch = 16 });
        if (!(wide.device.fast_dtypes >> DTYPE_BF16 & 1)) {
            printf("bf16 is skipped: %s has no fast bf16\n", wide.device.description);
            trial_close(&wide);
            return;
        }
        trial_open(&narrow, names[n],
                   &(struct trial_opts){ .device = "cpu", .batch = 16, .dtype = DTYPE_BF16 });
        double a = trial_loss(&wide), b = trial_loss(&narrow), dot = 0, aa = 0, bb = 0;
        const float *left = wide.params.memory[ARENA_GRADIENT];
        const float *right = narrow.params.memory[ARENA_GRADIENT];
        for (int64_t i = 0; i < wide.params.segments.size; i++) {
            dot += (double)left[i] * (double)right[i];
            aa += (double)left[i] * (double)left[i];
            bb += (double)right[i] * (double)right[i];
        }
        cr_expect(fabs(a - b) <= 0.02 * a, "%s: %g and %g", names[n], a, b);
        cr_expect(dot >= 0.99 * sqrt(aa * bb), "%s: cosine %g", names[n], dot / sqrt(aa * bb));
        cr_expect(a != b, "%s: bf16 is not used", names[n]);
        trial_close(&wide);
        trial_close(&narrow);
    }
}
