/* The parts that methods are made of, by definitions written down here once more: columns that are
 * read to their last row and no further, the summary of a distribution and the bounds read from it,
 * areas by looking at all pairs, Student's distribution in closed form, resamples counted out. */
#include "base/arena.h"
#include "base/math.h"
#include "base/rng.h"
#include "eval/method_run.h"
#include "eval/stats_bootstrap.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 1200 };

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-10 * fmax(1, fabs(b));
}

static struct answer ask(const struct demand *demand, struct sample sample)
{
    struct question question = question_of(demand, 0.05);
    struct answer answer;
    struct err err;
    sample.metric = demand->metric;
    sample.path = "x";
    sample.resamples = 200;
    sample.threads = 1;
    cr_assert_eq(method_ask(method_of(demand), &answer, &sample, &question, &err), OK);
    return answer;
}

/* Columns of N rows with one more that must not be looked at. */
static struct columns {
    int32_t label[N + 1], prediction[N + 1];
    float confidence[N + 1], probability[2 * N + 2], target[N + 1], predicted[N + 1];
    double nll[N + 1], tokens[N + 1], bytes[N + 1], correct[N + 1];
} columns[2];

static struct outcomes outcomes_of(int subject)
{
    struct columns *c = &columns[subject];
    for (uint64_t i = 0; i <= N; i++) {
        bool last = i == N;
        double u = (double)(rng_mix(5 + (uint64_t)subject, i) >> 11) * 0x1p-53;
        c->label[i] = i % 2;
        c->prediction[i] = last ? -1 : u < 0.8 ? c->label[i] : 1 - c->label[i];
        c->confidence[i] = last ? NAN : (float)(0.5 + 0.5 * u);
        c->probability[2 * i] = last ? NAN : (float)(1 - u);
        c->probability[2 * i + 1] = last ? NAN : (float)u;
        c->target[i] = (float)(i % 7);
        c->predicted[i] = last ? NAN : (float)((double)(i % 7) + u);
        c->nll[i] = last ? NAN : 10 * u;
        c->tokens[i] = last ? NAN : 20;
        c->bytes[i] = last ? NAN : 80;
        c->correct[i] = last ? NAN : floor(20 * u);
    }
    return (struct outcomes){ .n = N,
                              .classes = 2,
                              .width = 1,
                              .label = c->label,
                              .prediction = c->prediction,
                              .confidence = c->confidence,
                              .probability = c->probability,
                              .target = c->target,
                              .predicted = c->predicted,
                              .nll = c->nll,
                              .tokens = c->tokens,
                              .bytes = c->bytes,
                              .correct = c->correct,
                              .of_class = 1,
                              .quantile = 0.5 };
}

/* Breaks the last row of one column of a subject. */
static void break_last(struct columns *c, unsigned need)
{
    if (need == NEEDS_GUESSES) c->prediction[N - 1] = -1;
    if (need == NEEDS_CONFIDENCE) c->confidence[N - 1] = NAN;
    if (need == NEEDS_PROBABILITIES) c->probability[2 * N - 1] = INFINITY;
    if (need == NEEDS_TARGETS) c->predicted[N - 1] = NAN;
    if (need == NEEDS_TOKENS) c->nll[N - 1] = NAN;
    if (need == NEEDS_BYTES) c->bytes[N - 1] = INFINITY;
    if (need == NEEDS_CORRECT) c->correct[N - 1] = NAN;
}

Test(method_parts, columns_are_read_to_their_last_row_and_no_further)
{
    static const struct {
        const char *metric;
        unsigned need;
    } rows[] = {
        { "macro_f1", NEEDS_GUESSES },       { "ece", NEEDS_CONFIDENCE },
        { "roc_auc", NEEDS_PROBABILITIES },  { "r2", NEEDS_TARGETS },
        { "perplexity", NEEDS_TOKENS },      { "bits_per_byte", NEEDS_BYTES },
        { "token_accuracy", NEEDS_CORRECT },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct metric *metric = metric_find(rows[i].metric);
        cr_assert(metric && metric->needs & rows[i].need, "%s", rows[i].metric);
        for (int paired = 0; paired < 2; paired++) {
            for (int broken = -1; broken <= paired; broken++) {
                struct outcomes own = outcomes_of(0), others = outcomes_of(1);
                if (broken >= 0) break_last(&columns[broken], rows[i].need);
                struct demand demand = { .metric = metric,
                                         .rule = paired ? RULE_NOT_WORSE_BY : RULE_AT_LEAST,
                                         .bar = 0.5 };
                struct answer a = ask(
                    &demand,
                    (struct sample){ .n = N, .outcomes = &own, .others = paired ? &others : NULL });
                cr_expect_eq(isnan(a.value), broken >= 0, "%s, paired %d, broken %d: %g",
                             rows[i].metric, paired, broken, a.value);
            }
        }
    }
    for (int broken = -1; broken < 2; broken++) {
        static double score[2][N + 1];
        for (int i = 0; i < N; i++) score[0][i] = i % 7, score[1][i] = i % 5;
        score[0][N] = score[1][N] = NAN;
        if (broken >= 0) score[broken][N - 1] = NAN;
        struct demand demand = { .metric = metric_find("mae"),
                                 .rule = RULE_NOT_WORSE_BY,
                                 .bar = 0.5 };
        struct answer a = ask(&demand,
                              (struct sample){ .n = N, .score = score[0], .other = score[1] });
        cr_expect_eq(isnan(a.value), broken >= 0, "%d", broken);
    }
}

/* 1, 2, 2, 3, 5, 8, 8, 9 around 3 (one below by half): everything counted by hand. */
Test(method_parts, a_distribution_is_summed_up_by_definition)
{
    double values[] = { 8, 2, 9, 1, 3, 5, 8, 2 }, sorted[] = { 1, 2, 2, 3, 5, 8, 8, 9 };
    struct bootstrap b = { .estimate = 3, .sorted = values, .count = 8 };
    bootstrap_summarise(&b, 0.02);
    cr_expect_arr_eq(values, sorted, sizeof sorted);
    cr_expect(!b.degenerate && b.acceleration == 0.02);
    double mean = 38.0 / 8, square = 0;
    for (int i = 0; i < 8; i++) square += (sorted[i] - mean) * (sorted[i] - mean);
    cr_expect(near(b.deviation, sqrt(square / 7)), "%g", b.deviation);
    double z0 = math_normal_quantile(3.5 / 8);
    cr_expect(near(b.bias, z0), "%g", b.bias);
    static const double levels[] = { 0.05, 0.3, 0.5, 0.9, 0.999 };
    for (int i = 0; i < 5; i++) {
        double z = z0 + math_normal_quantile(levels[i]);
        double place = 7 * math_normal_cdf(z0 + z / (1 - 0.02 * z));
        int below = (int)place;
        double want = below == 7
                          ? 9
                          : sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]);
        cr_expect(near(bootstrap_bound(&b, levels[i]), want), "%g", levels[i]);
        place = 7 * levels[i], below = (int)place;
        double up = sorted[below] + (place - below) * (sorted[below + 1] - sorted[below]) - 3;
        place = 7 * (1 - levels[i]), below = (int)place;
        double down = 3 - sorted[below] - (place - below) * (sorted[below + 1] - sorted[below]);
        cr_expect(near(bootstrap_reach(&b, 1 - levels[i]), fmax(up, down)), "%g", levels[i]);
    }
    static const struct {
        double at, below, reach; /* below it, a tie by half; as far from 3 on the fuller side */
    } rows[] = {
        { 0, 0, 2 }, { 1, 0.5, 4 }, { 2, 2, 4 },   { 3, 3.5, 5 },
        { 4, 4, 4 }, { 8, 6, 3 },   { 9, 7.5, 1 }, { 9.5, 8, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double z = math_normal_quantile((rows[i].below + 0.5) / 9) - z0;
        double want = math_normal_cdf(z / (1 + 0.02 * z) - z0);
        cr_expect(near(bootstrap_level(&b, rows[i].at), want), "%g", rows[i].at);
        double away = fabs(rows[i].at - 3), above = 0, below = 0;
        for (int v = 0; v < 8; v++) {
            above += sorted[v] >= 3 + away;
            below += sorted[v] <= 3 - away;
        }
        cr_expect(near(bootstrap_reach_level(&b, rows[i].at), (fmax(above, below) + 0.5) / 9), "%g",
                  rows[i].at);
    }
    static const struct {
        double values[3], estimate;
        bool degenerate;
    } odd[] = {
        { { 1, 2, 3 }, 2, false },       { { 1, 2, 3 }, 1, false },  { { 1, 2, 3 }, 3, false },
        { { 1, 2, 3 }, 0.5, true },      { { 1, 2, 3 }, 3.5, true }, { { 2, 2, 2 }, 2, true },
        { { 1, 2, INFINITY }, 2, true }, { { NAN, 2, 3 }, 2, true }, { { 1, 2, 3 }, NAN, true },
    };
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        double three[3];
        memcpy(three, odd[i].values, sizeof three);
        struct bootstrap few = { .estimate = odd[i].estimate, .sorted = three, .count = 3 };
        bootstrap_summarise(&few, 0.1);
        cr_expect_eq(few.degenerate, odd[i].degenerate, "%zu", i);
        if (few.degenerate) cr_expect_eq(few.bias, 0, "%zu", i);
    }
    struct jackknife jackknife = { .mean = 2 };
    cr_expect_eq(jackknife_acceleration(&jackknife), 0);
    jackknife_add(&jackknife, 1, 3);
    jackknife_add(&jackknife, 4, 2);
    cr_expect(near(jackknife_acceleration(&jackknife), (3 - 16) / (6 * pow(11, 1.5))));
}

/* With one degree it is Cauchy's, with two it has a root. */
Test(method_parts, students_distribution_in_closed_form)
{
    for (double t = -4; t <= 4; t += 0.5) {
        double one = 0.5 + atan(t) / acos(-1), two = 0.5 + t / (2 * sqrt(2 + t * t));
        cr_expect(near(stats_t_cdf(t, 1), one) && near(stats_t_cdf(t, 2), two), "%g", t);
        cr_expect(fabs(stats_t_quantile(one, 1) - t) < 1e-8, "%g", t);
        cr_expect(fabs(stats_t_quantile(two, 2) - t) < 1e-8, "%g", t);
    }
    cr_expect(stats_t_cdf(INFINITY, 3) == 1 && stats_t_cdf(-INFINITY, 3) == 0);
}

/* The area of a class against the others in a slice, and DeLong's variance, by all pairs. `part`
 * [n] receives the rows' parts times `times`. */
static double naive_area(double *part, const struct outcomes *o, int32_t class, const uint8_t *in,
                         double times)
{
    double wins = 0, m = 0, k = 0;
    for (int64_t i = 0; i < o->n; i++)
        if (!in || in[i]) o->label[i] == class ? m++ : k++;
    if (m == 0 || k == 0) return NAN;
    double *own = calloc((size_t)o->n, sizeof *own);
    for (int64_t i = 0; i < o->n; i++) {
        for (int64_t j = 0; j < o->n; j++) {
            if ((in && (!in[i] || !in[j])) || o->label[i] != class || o->label[j] == class)
                continue;
            float a = o->probability[i * o->classes + class],
                  b = o->probability[j * o->classes + class];
            double win = a > b ? 1 : a == b ? 0.5 : 0;
            wins += win;
            own[i] += win / k;
            own[j] += win / m;
        }
    }
    double area = wins / (m * k);
    for (int64_t i = 0; i < o->n; i++) {
        if (in && !in[i]) continue;
        double size = o->label[i] == class ? m : k;
        part[i] += times * (own[i] - area) / sqrt(size * (size - 1));
    }
    free(own);
    return area;
}

static double naive_mean(double *part, const struct outcomes *o, const uint8_t *in, double times)
{
    double sum = 0, classes = o->classes == 2 ? 1 : (double)o->classes;
    for (int32_t c = 0; c < classes; c++)
        sum += naive_area(part, o, o->classes == 2 ? 1 : c, in, times / classes);
    return sum / classes;
}

enum { ROWS = 150 };

static void fill_areas(struct outcomes *o, float *probability, int32_t *label, int classes,
                       uint64_t salt)
{
    for (uint64_t i = 0; i < ROWS; i++) {
        label[i] = (int32_t)(i * 7 % (uint64_t)classes);
        for (int c = 0; c < classes; c++) {
            uint64_t coarse = rng_mix(salt + (uint64_t)c, i) >> 60; /* with ties */
            probability[i * (uint64_t)classes + (uint64_t)c] = (float)coarse / 32 +
                                                               (c == label[i] ? 0.2f : 0);
        }
    }
    *o = (struct outcomes){
        .n = ROWS, .classes = classes, .label = label, .probability = probability
    };
}

Test(method_parts, areas_are_those_of_all_pairs)
{
    static float probability[2][3 * ROWS];
    static int32_t label[ROWS];
    static uint8_t first[ROWS], second[ROWS];
    for (int i = 0; i < ROWS; i++) first[i] = i < 80, second[i] = i >= 70;
    double z = math_normal_quantile(0.95);
    for (int kind = 0; kind < 8; kind++) {
        int classes = kind % 2 ? 3 : 2, shape = kind / 2; /* lone, paired, relative, gap */
        struct outcomes own, others;
        double part[ROWS] = { 0 }, want, variance = 0;
        fill_areas(&own, probability[0], label, classes, 20);
        fill_areas(&others, probability[1], label, classes, 40);
        struct demand demand = { .metric = metric_find("roc_auc"),
                                 .rule = shape == 0   ? RULE_AT_LEAST
                                         : shape == 3 ? RULE_GAP
                                                      : RULE_BETTER_BY,
                                 .bar = shape == 0 ? 0.6 : 0.05,
                                 .relative = shape == 2,
                                 .overlapping = shape == 3 };
        double scale = shape == 2 ? 1.05 : 1, bar = shape == 2 ? 0 : demand.bar;
        if (shape == 3) {
            want = naive_mean(part, &own, first, 1);
            want -= naive_mean(part, &own, second, -1);
        } else {
            want = naive_mean(part, &own, NULL, 1);
            if (shape) want -= scale * naive_mean(part, &others, NULL, -scale);
        }
        for (int i = 0; i < ROWS; i++) variance += part[i] * part[i];
        struct question question = question_of(&demand, 0.05);
        struct sample sample = { .metric = demand.metric,
                                 .n = ROWS,
                                 .outcomes = &own,
                                 .others = shape == 1 || shape == 2 ? &others : NULL,
                                 .first = shape == 3 ? first : NULL,
                                 .second = shape == 3 ? second : NULL };
        struct answer a;
        struct err err;
        cr_assert_eq(method_of(&demand)->run(&a, &sample, &question, &err), OK);
        double error = sqrt(variance), low = want - z * error, high = want + z * error;
        double up = math_normal_cdf((bar - want) / error);
        if (shape == 0) {
            double middle = log(want / (1 - want)), wide = error / (want * (1 - want));
            low = 1 / (1 + exp(z * wide - middle));
            high = 1 / (1 + exp(-z * wide - middle));
            up = math_normal_cdf((log(bar / (1 - bar)) - middle) / wide);
        }
        double down = math_normal_cdf((-bar - want) / error);
        cr_expect(near(a.value, want), "%d: %.12g, not %.12g", kind, a.value, want);
        cr_expect(near(a.low, low) && near(a.high, high), "%d: %.12g, not %.12g", kind, a.low, low);
        cr_expect(near(a.p_pass, shape == 3 ? fmax(down, 1 - up) : up), "%d: %g", kind, a.p_pass);
        cr_expect(near(a.p_fail, shape == 3 ? fmin(1, 2 * fmin(up, 1 - down)) : 1 - up), "%d",
                  kind);
    }
}

/* Gains, gaps and shares of ratios and of metrics over all rows: the value alone. */
Test(method_parts, values_are_those_of_the_rows_in_question)
{
    static uint8_t first[N], second[N];
    static int64_t cluster[N];
    struct outcomes own = outcomes_of(0), others = outcomes_of(1);
    for (int i = 0; i < N; i++) {
        first[i] = i % 3 == 0;
        second[i] = i % 3 != 0;
        cluster[i] = i / 4;
    }
    for (int at = 0; at < 2; at++) {
        const struct outcomes *o = at ? &others : &own;
        cr_assert(o->nll[0] > 0);
    }
    double sum[2] = { 0, 0 }, part[2] = { 0, 0 }, count[2] = { 0, 0 };
    for (int i = 0; i < N; i++) {
        sum[0] += own.correct[i] / (20 * N);
        sum[1] += others.correct[i] / (20 * N);
        part[!first[i]] += own.correct[i];
        count[!first[i]] += 20;
    }
    double gap = part[0] / count[0] - part[1] / count[1];
    for (int clustered = 0; clustered < 2; clustered++) {
        const struct metric *metric = metric_find("token_accuracy");
        struct sample sample = { .n = N, .outcomes = &own, .cluster = clustered ? cluster : NULL };
        struct demand demand = {
            .metric = metric, .rule = RULE_AT_LEAST, .bar = 0.1, .clustered = clustered
        };
        cr_expect(near(ask(&demand, sample).value, sum[0]));
        sample.others = &others;
        demand.rule = RULE_BETTER_BY;
        cr_expect(near(ask(&demand, sample).value, sum[0] - sum[1]));
        demand.relative = true;
        cr_expect(near(ask(&demand, sample).value, sum[0] - 1.1 * sum[1]));
        sample.others = NULL;
        sample.first = first;
        sample.second = second;
        demand.rule = RULE_GAP;
        struct answer a = ask(&demand, sample);
        cr_expect(near(a.value, gap), "%g, not %g", a.value, gap);
        cr_expect(a.low < gap && gap < a.high && a.high - a.low < 0.2);
    }
}
