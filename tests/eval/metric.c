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
    cr_expect_eq(checked, 42, "%zu values compared", checked);
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
            if (!metrics[m].score && !metrics[m].corpus) continue;
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
