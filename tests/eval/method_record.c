/* "stats/1" is a promise: a later pawl that decides an old report again gives the same bits. So
 * every metric is asked under every rule that fits it, and the answers are held, to the last bit,
 * to tests/golden/methods.txt. Whoever changes a number makes stats/2 and keeps what is there.
 * With PAWL_GOLDEN=write in the environment that file is written first, to be read in the diff. */
#include "base/fs.h"
#include "base/rng.h"
#include "base/str.h"
#include "eval/method_run.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2400, CLASSES = 3, CLUSTER = 12, RESAMPLES = 200, VERSIONS = 7 };
static const char golden[] = PAWL_SOURCE_DIR "/tests/golden/methods.txt";

/* Columns of a candidate [0] and a baseline [1] that errs more often. */
struct rows {
    int32_t label[N], prediction[2][N];
    float confidence[2][N], probability[2][N * CLASSES], target[N], predicted[2][N];
    double nll[2][N], tokens[N], bytes[N], correct[2][N], score[2][N], measured[N];
    int64_t cluster[N];
    uint8_t apart[2][N], common[2][N];
};
static struct rows rows;
static bool asked[64]; /* methods */

static double draw(uint64_t *at)
{
    return (double)(rng_mix(20260101, (*at)++) >> 11) * 0x1p-53;
}

static void fill_subject(int s, int i, uint64_t *at)
{
    float *p = &rows.probability[s][i * CLASSES], sum = 0;
    int32_t best = 0;
    double tilt = draw(at) < (s ? 0.7 : 0.85) ? 1 : 0;
    for (int c = 0; c < CLASSES; c++) {
        p[c] = (float)(0.05 + draw(at) + (c == rows.label[i] ? tilt : 0));
        sum += p[c];
    }
    for (int c = 0; c < CLASSES; c++) p[c] /= sum;
    for (int c = 1; c < CLASSES; c++)
        if (p[c] > p[best]) best = c;
    rows.prediction[s][i] = best;
    rows.confidence[s][i] = p[best];
    rows.predicted[s][i] = rows.target[i] + (float)((draw(at) - 0.5) * (s ? 0.8 : 0.5));
    rows.nll[s][i] = rows.tokens[i] * (0.5 + draw(at) * (s ? 1.2 : 1));
    rows.correct[s][i] = floor(rows.tokens[i] * draw(at));
}

static void fill(void)
{
    uint64_t at = 0;
    for (int i = 0; i < N; i++) {
        rows.label[i] = (int32_t)(draw(&at) * CLASSES);
        rows.target[i] = (float)(draw(&at) * 4);
        rows.tokens[i] = 5 + floor(draw(&at) * 20);
        rows.bytes[i] = 4 * rows.tokens[i] + floor(draw(&at) * 9);
        rows.cluster[i] = 1000 - i / CLUSTER;
        rows.apart[0][i] = i % 2 == 0;
        rows.apart[1][i] = i % 2 != 0;
        rows.common[0][i] = i < 1400;
        rows.common[1][i] = i >= 1000;
        for (int s = 0; s < 2; s++) fill_subject(s, i, &at);
        rows.measured[i] = (i ? rows.measured[i - 1] : 1e-3) + draw(&at) * 1e-5;
    }
}

static struct outcomes outcomes_of(int s)
{
    return (struct outcomes){ .n = N,
                              .classes = CLASSES,
                              .label = rows.label,
                              .prediction = rows.prediction[s],
                              .confidence = rows.confidence[s],
                              .probability = rows.probability[s],
                              .width = 1,
                              .target = rows.target,
                              .predicted = rows.predicted[s],
                              .nll = rows.nll[s],
                              .tokens = rows.tokens,
                              .bytes = rows.bytes,
                              .correct = rows.correct[s],
                              .of_class = 1,
                              .quantile = 0.3 };
}

/* Scores that are shares of hits where the metric is one, else numbers. */
static void fill_scores(const struct metric *metric)
{
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < N; i++)
            rows.score[s][i] = metric->statistic == STATISTIC_PROPORTION
                                   ? rows.prediction[s][i] == rows.label[i]
                                   : rows.nll[s][i] / rows.tokens[i];
}

static void say(struct str *out, const struct answer *answer)
{
    const double numbers[] = { answer->value,  answer->low,    answer->high,     answer->p_pass,
                               answer->p_fail, answer->needed, answer->smallest, answer->count };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        str_addf(out, " %.17g", numbers[i]);
    if (!isnan(answer->check)) str_addf(out, " check %.17g", answer->check);
    str_addf(out, "%s%s%s\n", answer->passes ? " passes" : "", answer->few ? " few" : "",
             answer->degenerate ? " degenerate" : "");
}

/* With any allocation failing the answer is the same or there is none. */
static void ask_without_memory(const struct method *method, const struct sample *sample,
                               const struct question *question, const struct answer *want)
{
    struct str wanted = { 0 };
    enum code code = NO_MEMORY;
    say(&wanted, want);
    for (uint64_t at = 1; code; at++) {
        struct sample alone = *sample;
        struct answer answer;
        struct str got = { 0 };
        struct err err = { 0 };
        alone.kept = NULL;
        memory_fail_after(at);
        code = method_ask(method, &answer, &alone, question, &err);
        memory_fail_after(0);
        cr_assert(code == OK || code == NO_MEMORY, "%s: %s", method->name, err.message);
        if (!code) say(&got, &answer);
        cr_assert(code || strcmp(str_text(&got), str_text(&wanted)) == 0,
                  "%s without allocation %d: %s", method->name, (int)at, str_text(&got));
        cr_assert(at < 100, "%s", method->name);
        str_release(&got);
    }
    str_release(&wanted);
}

/* Asks at the demand's bar, and at one that the value passes by a little. */
static void ask(struct str *out, const struct demand *demand, const struct sample *sample)
{
    const struct method *method = method_of(demand);
    struct question question = question_of(demand, 0.05);
    struct distributions kept = { 0 };
    struct sample with = *sample;
    struct answer answer;
    struct err err;
    if (!method) return;
    with.kept = &kept;
    cr_assert_eq(method_ask(method, &answer, &with, &question, &err), OK);
    cr_assert_eq(kept.bytes, kept.first ? RESAMPLES * sizeof(double) : 0);
    if (!asked[method - methods]) ask_without_memory(method, sample, &question, &answer);
    asked[method - methods] = true;
    double bars[] = { question.bar, answer.value + (question.more ? -0.02 : 0.02) };
    /* A gap's bar is a distance; the paired methods for a margin of 0 take no other. */
    size_t count = question.both || method->zero_margin ? 1 : 2;
    for (size_t b = 0; b < count; b++) {
        question.bar = bars[b];
        cr_assert_eq(method_ask(method, &answer, &with, &question, &err), OK);
        str_addf(out, "%s %s %s%s:", method->name, demand->metric->name, rule_text(demand->rule),
                 demand->relative ? " relative" : "");
        say(out, &answer);
    }
    distributions_release(&kept);
}

static void ask_all(struct str *out, const struct metric *metric, bool clustered)
{
    struct outcomes own = outcomes_of(0), others = outcomes_of(1);
    double trend[VERSIONS];
    bool measured = metric->statistic == STATISTIC_SYSTEM || metric->statistic == STATISTIC_EXACT;
    for (int v = 0; v < VERSIONS; v++) trend[v] = 0.8 + 0.01 * v + 0.02 * rows.confidence[0][v];
    fill_scores(metric);
    for (enum rule rule = 0; rule < RULE_COUNT; rule++) {
        bool paired = rule_is_paired(rule), gap = rule == RULE_GAP;
        if (rule == RULE_AT_LEAST && !metric->higher) continue;
        if (rule == RULE_AT_MOST && metric->higher) continue;
        if (clustered && paired && rule != RULE_NOT_WORSE_BY) continue;
        if (rule == RULE_TREND && (clustered || strcmp(metric->name, "accuracy") != 0)) continue;
        for (int kind = 0; kind < (paired || gap ? 2 : 1); kind++) {
            struct demand demand = { .metric = metric,
                                     .rule = rule,
                                     .bar = paired && !kind ? 0 : 0.03,
                                     .relative = paired && kind,
                                     .clustered = clustered,
                                     .overlapping = gap && kind };
            struct sample sample = { .metric = metric,
                                     .n = rule == RULE_TREND ? VERSIONS : N,
                                     .path = metric->name,
                                     .seed = 77,
                                     .resamples = RESAMPLES,
                                     .threads = 1,
                                     .trend = trend,
                                     .cluster = clustered ? rows.cluster : NULL };
            bool two = paired || metric->needs & NEEDS_BASELINE;
            if (measured) sample.measured = rows.measured;
            sample.outcomes = &own;
            sample.others = two ? &others : NULL;
            sample.score = metric->score ? rows.score[0] : NULL;
            sample.other = metric->score && paired ? rows.score[1] : NULL;
            sample.first = gap ? (kind ? rows.common[0] : rows.apart[0]) : NULL;
            sample.second = gap ? (kind ? rows.common[1] : rows.apart[1]) : NULL;
            ask(out, &demand, &sample);
        }
    }
}

/* So many rows that resamples are drawn in several blocks. */
static void ask_many(struct str *out)
{
    enum { MANY = 70000 };
    static double nll[MANY], tokens[MANY];
    uint64_t at = 1u << 20;
    for (int i = 0; i < MANY; i++) {
        tokens[i] = 1 + floor(draw(&at) * 9);
        nll[i] = tokens[i] * (draw(&at) + i * 1e-5);
    }
    struct outcomes outcomes = { .n = MANY, .nll = nll, .tokens = tokens };
    struct demand demand = { .metric = metric_find("perplexity"), .rule = RULE_AT_MOST, .bar = 2 };
    struct sample sample = { .metric = demand.metric,
                             .n = MANY,
                             .outcomes = &outcomes,
                             .path = "many",
                             .seed = 78,
                             .resamples = RESAMPLES,
                             .threads = 2 };
    ask(out, &demand, &sample);
}

/* What can be seen before there are scores, of each method that says so. */
static void foresee(struct str *out)
{
    static const struct outlook outlooks[] = {
        { 40, 0.93, 0.3 }, { 900, 0.93, 0.3 }, { 900, 0.85, 0.3 }, { 20000, 0.905, 0 }
    };
    for (size_t m = 0; m < method_count; m++) {
        for (size_t i = 0; i < 4; i++) {
            struct question question = { .more = true, .bar = 0.9, .alpha = 0.05 };
            if (methods[m].rules & 1u << RULE_GAP) question.both = true, question.bar = 0.95;
            struct prospect seen = method_prospect(&methods[m], &question, &outlooks[i]);
            str_addf(out, "%s outlook %zu: %.17g %.17g %.17g\n", methods[m].name, i, seen.chance,
                     seen.smallest, seen.needed);
        }
    }
}

Test(method, answers_are_those_of_stats_1)
{
    struct str out = { 0 };
    struct err err;
    struct arena arena = { 0 };
    struct bytes want;
    const char *mode = getenv("PAWL_GOLDEN");
    cr_assert_leq(method_count, sizeof asked);
    cr_assert_str_eq(STATS_VERSION, "stats/1", "its answers want a file of their own");
    fill();
    for (size_t m = 0; m < metric_count; m++)
        for (int clustered = 0; clustered < 2; clustered++)
            ask_all(&out, &metrics[m], clustered != 0);
    ask_many(&out);
    foresee(&out);
    for (size_t m = 0; m < method_count; m++)
        cr_expect(asked[m], "nothing asks '%s'", methods[m].name);
    if (mode && strcmp(mode, "write") == 0)
        cr_assert_eq(fs_publish(golden, str_text(&out), out.len, &err), OK, "%s", err.message);
    cr_assert_eq(fs_read(&arena, &want, golden, 1 << 20, &err), OK, "%s", err.message);
    const char *a = want.at, *b = str_text(&out);
    for (int line = 1; *a || *b; line++) {
        size_t had = strcspn(a, "\n"), has = strcspn(b, "\n");
        bool same = had == has && memcmp(a, b, had) == 0;
        cr_assert(same, "line %d:\n  got  %.*s\n  want %.*s", line, (int)has, b, (int)had, a);
        a += had + (a[had] == '\n');
        b += has + (b[has] == '\n');
    }
    str_release(&out);
    arena_release(&arena);
}
