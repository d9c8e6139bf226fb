/* Methods against SciPy, statsmodels and definitions (tests/eval_peers/record.py), and what
 * method_ask refuses to decide. */
#include "eval/method.h"

#include "base/math.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DATA PAWL_SOURCE_DIR "/tests/eval/data/"

static json_t *recorded(const char *part)
{
    json_t *json = NULL;
    struct err err = { 0 };
    cr_assert_eq(json_read(&json, DATA "methods.json", 1 << 20, NULL, &err), OK, "%s", err.message);
    json_t *found = json_incref(json_object_get(json, part));
    json_decref(json);
    cr_assert_not_null(found, "%s", part);
    return found;
}

static double real(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t item(const json_t *json, const char *key, size_t i)
{
    return (int64_t)json_integer_value(json_array_get(json_object_get(json, key), i));
}

/* A list as f64; the caller frees it. */
static double *reals(const json_t *json, const char *key, int64_t *n)
{
    const json_t *list = json_object_get(json, key);
    size_t count = json_array_size(list);
    double *memory = malloc((count + 1) * sizeof *memory);
    for (size_t i = 0; i < count; i++) memory[i] = json_number_value(json_array_get(list, i));
    *n = (int64_t)count;
    return memory;
}

Test(method, tango_is_the_score_under_the_largest_likelihood)
{
    json_t *json = recorded("margins"), *row, *score;
    size_t i, j;
    double z = math_normal_quantile(0.95);
    json_array_foreach(json, i, row)
    {
        int64_t only = (int64_t)real(row, "only"), other = (int64_t)real(row, "other"),
                n = (int64_t)real(row, "n");
        json_array_foreach(json_object_get(row, "scores"), j, score)
        {
            double margin = real(score, "margin"), got = stats_tango_score(only, other, n, margin);
            cr_expect(fabs(got - real(score, "score")) < 2e-6 * fmax(1, fabs(got)),
                      "case %zu at %g: %.10g", i, margin, got);
        }
        cr_expect(fabs(stats_tango_bound(only, other, n, z) - real(row, "low")) < 1e-6, "%zu", i);
        cr_expect(fabs(stats_tango_bound(only, other, n, -z) - real(row, "high")) < 1e-6, "%zu", i);
        cr_expect(fabs(stats_mcnemar_mid_p(only, other) - real(row, "mid_p")) < 1e-12, "%zu", i);
    }
    cr_expect_eq(i, 7);
    json_decref(json);
}

Test(method, miettinen_nurminen_is_the_score_under_the_largest_likelihood)
{
    json_t *json = recorded("independent"), *row, *score;
    size_t i, j;
    double z = math_normal_quantile(0.95);
    json_array_foreach(json, i, row)
    {
        struct two_proportions two = { { item(row, "hits", 0), item(row, "hits", 1) },
                                       { item(row, "n", 0), item(row, "n", 1) } };
        json_array_foreach(json_object_get(row, "scores"), j, score)
        {
            double got = stats_independent_score(&two, real(score, "margin"));
            cr_expect(fabs(got - real(score, "score")) < 2e-6 * fmax(1, fabs(got)),
                      "case %zu at %g: %.10g", i, real(score, "margin"), got);
        }
        double low = stats_independent_bound(&two, z), high = stats_independent_bound(&two, -z);
        double want_low = real(row, "low"), want_high = real(row, "high");
        cr_expect(isnan(want_low) || fabs(low - want_low) < 1e-6, "low %zu: %.10g", i, low);
        cr_expect(isnan(want_high) || fabs(high - want_high) < 1e-6, "high %zu: %.10g", i, high);
    }
    cr_expect_eq(i, 8);
    /* Newcombe, Statistics in Medicine 17 (1998), table II: 95 % intervals. */
    struct two_proportions paper = { { 56, 48 }, { 70, 80 } };
    double wide = math_normal_quantile(0.975);
    cr_expect(fabs(stats_independent_bound(&paper, wide) - 0.0528) < 5e-5);
    cr_expect(fabs(stats_independent_bound(&paper, -wide) - 0.3382) < 5e-5);
    json_decref(json);
}

/* Two-class outcomes from the probability of class 1. */
static void binary_outcomes(struct outcomes *outcomes, float *probability, int32_t *label,
                            const double *score, const double *labels, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        probability[2 * i + 1] = (float)score[i];
        probability[2 * i] = 1 - (float)score[i];
        label[i] = (int32_t)labels[i];
    }
    *outcomes =
        (struct outcomes){ .n = n, .classes = 2, .label = label, .probability = probability };
}

Test(method, delong_is_that_of_all_pairs)
{
    json_t *json = recorded("areas"), *row;
    size_t i;
    const struct metric *auc = metric_find("roc_auc");
    json_array_foreach(json, i, row)
    {
        static float probability[2][1000];
        static int32_t label[2][500];
        struct outcomes outcomes[2];
        struct answer answer;
        struct err err;
        int64_t n;
        double *labels = reals(row, "labels", &n), *first = reals(row, "first", &n),
               *second = reals(row, "second", &n), z = math_normal_quantile(0.95);
        binary_outcomes(&outcomes[0], probability[0], label[0], first, labels, n);
        binary_outcomes(&outcomes[1], probability[1], label[1], second, labels, n);
        struct sample sample = { .metric = auc, .n = n, .outcomes = &outcomes[0] };
        struct question question = { .more = true, .bar = 0.7, .alpha = 0.05 };
        const struct method *method = method_for(auc, RULE_AT_LEAST, 0.7);
        cr_assert_str_eq(method->name, "delong");
        cr_assert_eq(method->run(&answer, &sample, &question, &err), OK);
        cr_expect(fabs(answer.value - real(row, "area")) < 1e-12, "area %zu", i);
        cr_expect(fabs(answer.low - real(row, "low")) < 1e-12, "low %zu", i);
        cr_expect(fabs(answer.high - real(row, "high")) < 1e-12, "high %zu", i);
        sample.others = &outcomes[1];
        question.bar = 0;
        method = method_for(auc, RULE_BETTER_BY, 0);
        cr_assert_str_eq(method->name, "delong_paired");
        cr_assert_eq(method->run(&answer, &sample, &question, &err), OK);
        double error = real(row, "gain_error");
        cr_expect(fabs(answer.value - real(row, "gain")) < 1e-12, "gain %zu", i);
        cr_expect(fabs(answer.low - (answer.value - z * error)) < 1e-12, "gain low %zu", i);
        cr_expect(fabs(answer.p_pass - (1 - math_normal_cdf(answer.value / error))) < 1e-12);
        free(labels);
        free(first);
        free(second);
    }
    cr_expect_eq(i, 4);
    json_decref(json);
}

Test(method, trends_are_those_of_linregress)
{
    json_t *json = recorded("lines"), *row;
    size_t i;
    const struct metric *accuracy = metric_find("accuracy"), *loss = metric_find("log_loss");
    struct demand demand = { .metric = accuracy, .rule = RULE_TREND, .bar = 0 };
    const struct method *method = method_of(&demand);
    cr_assert_str_eq(method->name, "trend_t");
    json_array_foreach(json, i, row)
    {
        int64_t n;
        double *values = reals(row, "values", &n);
        struct slope slope = stats_slope(values, n);
        struct question question = question_of(&demand, 0.05);
        struct sample sample = { .metric = accuracy, .n = n, .trend = values };
        struct answer answer;
        struct err err;
        cr_expect(fabs(slope.slope - real(row, "slope")) < 1e-14, "slope %zu", i);
        cr_expect(fabs(slope.error - real(row, "error")) < 1e-14, "error %zu", i);
        cr_assert_eq(method->run(&answer, &sample, &question, &err), OK);
        cr_expect(fabs(answer.low - real(row, "low")) < 1e-12, "low %zu", i);
        cr_expect(fabs(answer.high - real(row, "high")) < 1e-12, "high %zu", i);
        cr_expect(fabs(answer.p_pass - real(row, "p")) < 1e-12, "p %zu: %g", i, answer.p_pass);
        /* What is better when smaller falls in its good direction. */
        sample.metric = loss;
        cr_assert_eq(method->run(&answer, &sample, &question, &err), OK);
        cr_expect_eq(answer.value, -slope.slope);
        /* Fewer versions than the method needs. */
        cr_assert_eq(method_ask(method, &answer, &sample, &question, &err), OK);
        cr_expect_eq(answer.few, n < method->smallest_n, "%zu", i);
        free(values);
    }
    cr_expect_eq(i, 4);
    json_decref(json);
}

Test(method, sign_flips_are_those_of_all_patterns)
{
    json_t *json = recorded("flips"), *row;
    size_t i;
    json_array_foreach(json, i, row)
    {
        enum { COUNT = 20000 };
        int64_t n;
        double *x = reals(row, "x", &n), want = real(row, "p");
        double limit = 4 * sqrt(want * (1 - want) / COUNT) + 1e-4;
        double one = stats_sign_flip(x, n, 0, true, &(struct resample_opts){ 3, COUNT, 1, false });
        double many = stats_sign_flip(x, n, 0, true, &(struct resample_opts){ 3, COUNT, 4, false });
        double less = stats_sign_flip(x, n, 0, false,
                                      &(struct resample_opts){ 3, COUNT, 2, false });
        cr_expect(fabs(one - want) < limit, "%zu: %g, want %g", i, one, want);
        cr_expect_eq(one, many);
        cr_expect(one + less > 1 && one + less < 1.01, "%g %g", one, less);
        free(x);
    }
    cr_expect_eq(i, 3);
    json_decref(json);
}

/* Answers over eight seeds against SciPy's over as many: 4 standard errors of both. */
static void expect_bca(const json_t *row, const char *name, const struct demand *demand,
                       struct sample *sample, int seeds)
{
    const struct method *method = method_of(demand);
    struct question question = question_of(demand, 0.05);
    double low = 0, high = 0;
    for (int seed = 0; seed < seeds; seed++) {
        struct answer answer;
        struct err err;
        sample->seed = (uint64_t)seed;
        sample->resamples = 4000;
        cr_assert_eq(method->run(&answer, sample, &question, &err), OK);
        cr_assert(!answer.degenerate, "%s", name);
        low += answer.low / seeds;
        high += answer.high / seeds;
    }
    double limit = 4 * real(row, "noise") * sqrt(2.0 / seeds);
    cr_expect(fabs(low - real(row, "low")) < limit, "%s low %g, want %g within %g", name, low,
              real(row, "low"), limit);
    cr_expect(fabs(high - real(row, "high")) < limit, "%s high %g, want %g within %g", name, high,
              real(row, "high"), limit);
}

Test(method, ratios_clusters_and_corpus_metrics_are_bounded_as_by_scipy)
{
    json_t *json = recorded("functions"), *row = json_object_get(json, "ratio");
    int64_t n;
    double *above = reals(row, "above", &n), *below = reals(row, "below", &n);
    const struct metric *accuracy = metric_find("token_accuracy");
    struct outcomes outcomes = { .n = n, .nll = above, .tokens = below, .correct = above };
    struct sample sample = { .metric = accuracy, .n = n, .outcomes = &outcomes, .path = "ratio" };
    expect_bca(row, "ratio", &(struct demand){ .metric = accuracy, .rule = RULE_AT_LEAST }, &sample,
               8);
    free(above);
    free(below);

    row = json_object_get(json, "clusters");
    double *x = reals(row, "x", &n), *ids = reals(row, "cluster", &n);
    int64_t *cluster = malloc((size_t)n * sizeof *cluster);
    for (int64_t i = 0; i < n; i++) cluster[i] = (int64_t)ids[i];
    const struct metric *mae = metric_find("mae");
    sample = (struct sample){
        .metric = mae, .n = n, .score = x, .cluster = cluster, .path = "clusters"
    };
    expect_bca(row, "clusters",
               &(struct demand){ .metric = mae, .rule = RULE_AT_MOST, .clustered = true }, &sample,
               8);
    free(x);
    free(ids);
    free(cluster);

    row = json_object_get(json, "corpus");
    double *labels = reals(row, "labels", &n), *predictions = reals(row, "prediction", &n);
    int32_t label[160], prediction[160];
    float confidence[160] = { 0 };
    cr_assert_eq(n, 160);
    for (int64_t i = 0; i < n; i++) {
        label[i] = (int32_t)labels[i];
        prediction[i] = (int32_t)predictions[i];
    }
    const struct metric *f1 = metric_find("macro_f1");
    outcomes = (struct outcomes){
        .n = n, .classes = 3, .label = label, .prediction = prediction, .confidence = confidence
    };
    sample = (struct sample){ .metric = f1, .n = n, .outcomes = &outcomes, .path = "corpus" };
    expect_bca(row, "corpus", &(struct demand){ .metric = f1, .rule = RULE_AT_LEAST }, &sample, 4);
    free(labels);
    free(predictions);
    json_decref(json);
}

Test(method, prospects_are_those_of_the_exact_test)
{
    json_t *json = recorded("power"), *row;
    size_t i;
    const struct metric *accuracy = metric_find("accuracy");
    json_array_foreach(json, i, row)
    {
        struct demand demand = { .metric = accuracy,
                                 .rule = RULE_AT_LEAST,
                                 .bar = real(row, "bar") };
        const struct method *method = method_of(&demand);
        struct question question = question_of(&demand, 0.05);
        struct outlook outlook = { .n = (int64_t)real(row, "n"), .truth = real(row, "truth") };
        struct prospect prospect = method_prospect(method, &question, &outlook);
        cr_expect(fabs(prospect.chance - real(row, "chance")) < 1e-10, "%zu: %g", i,
                  prospect.chance);
        /* The smallest distance and the needed rows are where the chance reaches 80 %. */
        struct outlook there = { .n = outlook.n, .truth = demand.bar + prospect.smallest };
        if (isfinite(prospect.smallest))
            cr_expect(fabs(method_prospect(method, &question, &there).chance - 0.8) < 1e-6, "%zu",
                      i);
        there = (struct outlook){ .n = (int64_t)prospect.needed, .truth = outlook.truth };
        cr_expect(method_prospect(method, &question, &there).chance >= 0.8, "%zu", i);
    }
    cr_expect_eq(i, 4);
    json_decref(json);
    /* By the normal distribution: both quantiles add up. */
    struct demand demand = { .metric = metric_find("mae"), .rule = RULE_AT_MOST, .bar = 1 };
    const struct method *method = method_of(&demand);
    struct question question = question_of(&demand, 0.05);
    double reach = math_normal_quantile(0.95) + math_normal_quantile(0.8);
    struct outlook outlook = { .n = 4000, .truth = 1 - reach * 2 / sqrt(4000), .deviation = 2 };
    struct prospect prospect = method_prospect(method, &question, &outlook);
    cr_expect(fabs(prospect.chance - 0.8) < 1e-9, "%g", prospect.chance);
    cr_expect(fabs(prospect.smallest - reach * 2 / sqrt(4000)) < 1e-9);
    cr_expect(fabs(prospect.needed - 4000) <= 1, "%g", prospect.needed);
    outlook.n = method->smallest_n - 1;
    cr_expect_eq(method_prospect(method, &question, &outlook).chance, 0);
}
