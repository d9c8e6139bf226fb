/* Metrics against what scikit-learn and SciPy computed (tests/eval_peers/record.py). */
#include "eval/metric.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#define DATA PAWL_SOURCE_DIR "/tests/eval/data/"

static void *numbers(const json_t *list, bool integers)
{
    size_t count = json_array_size(list);
    void *memory = malloc((count + 1) * 4);
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_array_get(list, i);
        if (integers)
            ((int32_t *)memory)[i] = (int32_t)json_integer_value(item);
        else
            ((float *)memory)[i] = (float)json_number_value(item);
    }
    return memory;
}

Test(metric, values_are_those_of_scikit_learn)
{
    json_t *cases = NULL;
    struct err err = { 0 };
    cr_assert_eq(json_read(&cases, DATA "metrics.json", 1 << 20, NULL, &err), OK, "%s",
                 err.message);
    size_t checked = 0, c;
    json_t *row;
    json_array_foreach(cases, c, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        int64_t k = json_integer_value(json_object_get(row, "k"));
        json_t *labels = json_object_get(row, "labels");
        float *outputs = numbers(json_object_get(row, "outputs"), false);
        void *targets = labels ? numbers(labels, true)
                               : numbers(json_object_get(row, "targets"), false);
        int64_t n = (int64_t)json_array_size(json_object_get(row, "outputs")) / k;
        const char *key;
        json_t *want;
        json_object_foreach(json_object_get(row, "values"), key, want)
        {
            double got = NAN;
            const struct metric *metric = metric_find(key);
            cr_assert_not_null(metric, "%s", key);
            cr_assert_eq(metric_of_rows(metric, &got, outputs, targets, n, k, &err), OK);
            cr_expect(fabs(got - json_number_value(want)) < 1e-12, "%s, %s: %.17g, want %.17g",
                      name, key, got, json_number_value(want));
            checked++;
        }
        free(outputs);
        free(targets);
    }
    cr_expect_eq(checked, 175, "%zu values compared", checked);
    json_decref(cases);
}

Test(metric, a_row_that_is_not_finite_makes_every_value_nan)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    static const int32_t labels[] = { 0, 1 };
    static const float targets[] = { 0, 1, 0, 1 };
    for (size_t b = 0; b < 3; b++) {
        float outputs[] = { 1, 0, 0, bad[b] };
        for (size_t m = 0; m < metric_count; m++) {
            bool rows = metrics[m].fits == FITS_CLASSIFICATION ||
                        metrics[m].fits == FITS_REGRESSION;
            if (!rows || metrics[m].statistic == STATISTIC_DOCUMENT) continue;
            if (metrics[m].needs & NEEDS_BASELINE) continue;
            bool classes = metrics[m].fits & FITS_CLASSIFICATION;
            double value = 7;
            struct err err;
            cr_expect_eq(metric_of_rows(&metrics[m], &value, outputs,
                                        classes ? (const void *)labels : targets, 2, 2, &err),
                         OK);
            cr_expect(isnan(value), "%s with %g is %g", metrics[m].name, bad[b], value);
        }
    }
}

Test(metric, what_cannot_be_computed_is_refused_with_its_reason)
{
    static const float outputs[] = { 1, 0 };
    static const int32_t beyond[] = { 2 }, fine[] = { 0 };
    double value;
    struct err err;
    cr_expect_eq(metric_of_rows(metric_find("accuracy"), &value, outputs, beyond, 1, 2, &err),
                 DAMAGED);
    cr_expect_str_eq(err.message, "label 2 of row 0 is outside [0, 2)");
    cr_expect_eq(metric_of_rows(metric_find("accuracy"), &value, outputs, fine, 0, 2, &err), USAGE);
    cr_expect_str_eq(err.message, "cannot compute 'accuracy' over no rows");
    cr_expect_eq(metric_of_rows(metric_find("latency_p99"), &value, outputs, fine, 1, 2, &err),
                 USAGE);
    cr_expect_str_eq(err.message,
                     "cannot compute 'latency_p99' from outputs: it is of kind system");
    cr_expect_null(metric_find("acuracy"));
}

Test(metric, equal_outputs_count_for_the_smaller_class)
{
    static const float outputs[] = { 1, 1, 1 };
    for (int32_t label = 0; label < 3; label++) {
        struct guess guess;
        cr_expect(guess_of(&guess, outputs, 3, label));
        cr_expect_eq(guess.prediction, 0);
        double value;
        struct err err;
        metric_of_rows(metric_find("accuracy"), &value, outputs, &label, 1, 3, &err);
        cr_expect_eq(value, label == 0);
    }
}

static json_t *more(void)
{
    json_t *json = NULL;
    struct err err = { 0 };
    cr_assert_eq(json_read(&json, DATA "methods.json", 1 << 20, NULL, &err), OK, "%s", err.message);
    json_t *metrics_of = json_incref(json_object_get(json, "metrics"));
    json_decref(json);
    return metrics_of;
}

static double *reals(const json_t *list)
{
    size_t count = json_array_size(list);
    double *memory = malloc((count + 1) * sizeof *memory);
    for (size_t i = 0; i < count; i++) memory[i] = json_number_value(json_array_get(list, i));
    return memory;
}

static void expect_value(const char *name, const struct outcomes *outcomes,
                         const struct outcomes *others, double want)
{
    double got = NAN;
    struct err err;
    cr_assert_eq(metric_value(metric_find(name), &got, outcomes, others, &err), OK);
    cr_expect(fabs(got - want) < 1e-12 * fmax(1, fabs(want)), "%s: %.17g, want %.17g", name, got,
              want);
}

Test(metric, token_metrics_are_ratios_of_sums)
{
    json_t *json = more(), *tokens = json_object_get(json, "tokens"), *want;
    double *nll = reals(json_object_get(tokens, "nll")),
           *count = reals(json_object_get(tokens, "tokens")),
           *bytes = reals(json_object_get(tokens, "bytes")),
           *correct = reals(json_object_get(tokens, "correct"));
    struct outcomes outcomes = { .n = (int64_t)json_array_size(json_object_get(tokens, "nll")),
                                 .nll = nll,
                                 .tokens = count,
                                 .bytes = bytes,
                                 .correct = correct };
    const char *key;
    int checked = 0;
    json_object_foreach(json_object_get(tokens, "values"), key, want)
    {
        expect_value(key, &outcomes, NULL, json_number_value(want));
        checked++;
    }
    cr_expect_eq(checked, 3);
    /* Without its column a metric has no value. */
    double got = 0;
    struct err err;
    outcomes.bytes = NULL;
    cr_expect_eq(metric_value(metric_find("bits_per_byte"), &got, &outcomes, NULL, &err), OK);
    cr_expect(isnan(got));
    free(nll);
    free(count);
    free(bytes);
    free(correct);
    json_decref(json);
}

Test(metric, options_choose_the_quantile_and_the_class)
{
    json_t *json = more(), *quantile = json_object_get(json, "quantile"), *row;
    json_t *classes = json_object_get(json, "classes");
    float *target = numbers(json_object_get(quantile, "target"), false),
          *predicted = numbers(json_object_get(quantile, "predicted"), false);
    struct outcomes outcomes = { .n = 30, .width = 1, .target = target, .predicted = predicted };
    size_t i;
    json_array_foreach(json_object_get(quantile, "values"), i, row)
    {
        outcomes.quantile = json_number_value(json_object_get(row, "q"));
        expect_value("quantile_loss", &outcomes, NULL,
                     json_number_value(json_object_get(row, "value")));
    }
    int32_t *labels = numbers(json_object_get(classes, "labels"), true),
            *first = numbers(json_object_get(classes, "first"), true),
            *second = numbers(json_object_get(classes, "second"), true);
    static float confidence[80];
    struct outcomes one = {
        .n = 80, .classes = 4, .label = labels, .prediction = first, .confidence = confidence
    };
    struct outcomes other = one;
    other.prediction = second;
    json_array_foreach(json_object_get(classes, "values"), i, row)
    {
        static const char *const names[] = { "precision", "recall", "f1" };
        one.of_class = (int32_t)json_integer_value(json_object_get(row, "class"));
        for (int m = 0; m < 3; m++)
            expect_value(names[m], &one, NULL, json_number_value(json_object_get(row, names[m])));
    }
    cr_expect_eq(i, 4);
    expect_value("churn", &one, &other, json_number_value(json_object_get(classes, "churn")));
    expect_value("robustness_drop", &one, &other,
                 json_number_value(json_object_get(classes, "robustness_drop")));
    free(target);
    free(predicted);
    free(labels);
    free(first);
    free(second);
    json_decref(json);
}

/* Weights are rows that occur so often: every corpus metric says the same of a table and of its
 * rows with their counts. */
Test(metric, weights_count_rows)
{
    enum { N = 90, K = 3 };
    static int32_t label[2][3 * N], prediction[2][3 * N], weight[N], order[2][K * 3 * N];
    static float confidence[2][3 * N], probability[2][3 * N * K], numbers_of[2][2][3 * N];
    int64_t rows = 0;
    for (int i = 0; i < N; i++) {
        uint64_t r = (uint64_t)(i * 7919 + 13) * 2654435761u;
        float share = 0.34f + (float)(r >> 7 & 1023) / 1600, rest = (1 - share) / 3;
        weight[i] = (int32_t)(r >> 3 & 3);
        for (int side = 0; side < 2; side++) {
            for (int copy = 0; copy < (side ? weight[i] : 1); copy++) {
                int64_t at = side ? rows++ : i;
                label[side][at] = (int32_t)(r >> 18) % K;
                prediction[side][at] = (int32_t)(r >> 24) % K;
                confidence[side][at] = share;
                for (int c = 0; c < K; c++)
                    probability[side][at * K + c] = c == prediction[side][at] ? share
                                                    : c == 0                  ? 2 * rest
                                                                              : rest;
                numbers_of[0][side][at] = share;
                numbers_of[1][side][at] = (float)(r >> 30 & 255) / 200;
            }
        }
    }
    int checked = 0;
    for (size_t m = 0; m < metric_count; m++) {
        double value[2], scratch[64];
        if (!metrics[m].corpus) continue;
        for (int side = 0; side < 2; side++) {
            struct outcomes outcomes = { .n = side ? rows : N,
                                         .classes = K,
                                         .label = label[side],
                                         .prediction = prediction[side],
                                         .confidence = confidence[side],
                                         .probability = probability[side],
                                         .width = 1,
                                         .target = numbers_of[0][side],
                                         .predicted = numbers_of[1][side] };
            struct err err;
            cr_assert(metric_scratch(&outcomes) <= 64);
            cr_assert_eq(metric_orders(&metrics[m], order[side], &outcomes, &err), OK);
            outcomes.order = order[side];
            value[side] = metrics[m].corpus(&outcomes, side ? NULL : weight, scratch);
        }
        /* Equal copies of a row may fall into different bins of equally many rows. */
        double limit = metrics[m].order == ORDER_CONFIDENCE ? 0.05 : 1e-12;
        cr_expect(fabs(value[0] - value[1]) < limit, "%s: %.17g, %.17g", metrics[m].name, value[0],
                  value[1]);
        checked++;
    }
    cr_expect_eq(checked, 10);
}
