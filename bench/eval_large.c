/* A suite of METRICS x SLICES gates over many rows: seconds, and memory beside that of the columns.
 *
 *   bench_eval_large [ROWS [CLASSES [SLICES [THREADS]]]] [--block]   (1,000,000, 30, 50, 2)
 *
 * The metrics are precision, recall and F1 of each class and the others of classification that need
 * no probabilities, so 30 classes are 100 metrics; every gate is one of them on one slice, a share
 * 1 / SLICES of the rows. Gates warn, so that each is tested by itself; with --block all are one
 * family, and the resamples grow with it. Rows are made up. Memory is the peak resident size of the
 * process less what it had before the columns were taken. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "eval/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct size {
    int64_t rows, classes, slices;
    int threads;
    bool block;
};

static double uniform(uint64_t salt, int64_t row)
{
    return (double)(rng_mix(salt, (uint64_t)row) >> 11) * 0x1p-53;
}

static double peak_bytes(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss * 1024;
}

static void add_gates(struct suite *suite, const char *metric, int32_t of_class)
{
    for (size_t s = 0; s < suite->slice_count; s++) {
        const char *id = arena_format(&suite->arena, "%s-%d-%zu", metric, of_class, s);
        struct gate *gate = &suite->gates[suite->gate_count++];
        *gate = (struct gate){ .id = id,
                               .metric = metric_find(metric),
                               .of_class = of_class,
                               .q = 0.5,
                               .slice = suite->slices[s].name };
        gate->rule = gate->metric->higher ? RULE_AT_LEAST : RULE_AT_MOST;
        gate->bar = gate->metric->higher ? 0.5 : 10;
    }
}

static void make_suite(struct suite *suite, const struct size *size)
{
    static const char *const of_class[] = { "precision", "recall", "f1" };
    static const char *const others[] = { "accuracy",     "log_loss",         "brier", "micro_f1",
                                          "macro_f1",     "macro_precision",  "mcc",   "ece",
                                          "ece_debiased", "balanced_accuracy" };
    size_t kinds = 3 * (size_t)size->classes + sizeof others / sizeof *others;
    *suite = (struct suite){ .name = "large", .alpha = 0.05 };
    suite->slice_count = (size_t)size->slices;
    suite->slices = ARENA_ARRAY(&suite->arena, suite->slice_count, struct slice);
    for (size_t s = 0; s < suite->slice_count; s++)
        suite->slices[s].name = arena_format(&suite->arena, "s%zu", s);
    suite->gates = ARENA_ARRAY(&suite->arena, kinds * suite->slice_count, struct gate);
    for (size_t m = 0; m < sizeof others / sizeof *others; m++) add_gates(suite, others[m], 1);
    for (size_t m = 0; m < sizeof of_class / sizeof *of_class; m++)
        for (int32_t c = 0; c < size->classes; c++) add_gates(suite, of_class[m], c);
    for (size_t g = 0; g < suite->gate_count; g++) suite->gates[g].warn = !size->block;
    printf("%zu metrics x %zu slices = %zu gates, %lld rows of %lld classes\n", kinds,
           suite->slice_count, suite->gate_count, (long long)size->rows, (long long)size->classes);
}

/* Nine of ten rows are right, with shares that vary from row to row. */
static void fill(struct scores *scores)
{
    float share[1024];
    float scratch[1024];
    for (int64_t i = 0; i < scores->n; i++) {
        int32_t label = (int32_t)(rng_mix(1, (uint64_t)i) % (uint64_t)scores->classes);
        int32_t guess = uniform(2, i) < 0.9 ? label : (label + 1) % (int32_t)scores->classes;
        float sure = (float)(0.6 + 0.39 * uniform(3, i));
        float rest = (1 - sure) / (float)(scores->classes - 1);
        for (int64_t c = 0; c < scores->classes; c++) share[c] = c == guess ? sure : rest;
        scores->id[i] = i;
        scores->label[i] = label;
        scores->slices[rng_mix(4, (uint64_t)i) % scores->slice_count].in[i] = 1;
        scores_enter_shares(scores, scores->subjects, i, share, guess, scratch);
    }
}

/* What the columns take, as scores.h5 would count them. */
static double column_bytes(const struct scores *scores)
{
    double one = 8 + 4 + (double)scores->slice_count + 4 + 4 + 4;
    return (double)scores->n * (one + 8 * (double)scores->kind_count);
}

static int report(const struct decision *decision, const struct scores *scores, double before,
                  const double spent[2])
{
    int count[VERDICT_COUNT] = { 0 };
    double columns = column_bytes(scores), peak = peak_bytes() - before;
    for (size_t i = 0; i < decision->count; i++) count[decision->trials[i].verdict]++;
    printf("%lld resamples; %d pass, %d fail, %d inconclusive\n", (long long)decision->resamples,
           count[VERDICT_PASS], count[VERDICT_FAIL], count[VERDICT_INCONCLUSIVE]);
    printf("decision: %.2f s, %.2f s of processor time\n", spent[0], spent[1]);
    printf("columns %.1f MiB, peak %.1f MiB, which is %.2f of them\n", columns / 0x1p20,
           peak / 0x1p20, peak / columns);
    return count[VERDICT_FAIL] != 0;
}

static int measure(const struct size *size)
{
    struct suite suite;
    struct scores scores;
    struct decision decision = { 0 };
    struct err err = { 0 };
    struct scores_shape shape = {
        TASK_CLASSIFICATION, size->rows, size->classes, 1, false, false, false
    };
    struct decide_opts opts = { .seed = 1, .threads = size->threads };
    int failed = 1;
    make_suite(&suite, size);
    double before = peak_bytes();
    if (scores_init(&scores, &suite, &shape, NULL, &err)) goto out;
    fill(&scores);
    double start = clock_monotonic(), work = (double)clock() / CLOCKS_PER_SEC;
    if (!decision_make(&decision, &suite, &scores, &opts, &err)) {
        double spent[2] = { clock_monotonic() - start, (double)clock() / CLOCKS_PER_SEC - work };
        failed = report(&decision, &scores, before, spent);
        decision_release(&decision);
    }
    scores_release(&scores);
out:
    if (err.message[0]) fprintf(stderr, "bench_eval_large: %s\n", err.message);
    arena_release(&suite.arena);
    return failed;
}

int main(int argc, char **argv)
{
    struct size size = { 1000000, 30, 50, 2, argc > 1 && strcmp(argv[argc - 1], "--block") == 0 };
    int count = argc - size.block;
    if (count > 1) size.rows = atol(argv[1]);
    if (count > 2) size.classes = atol(argv[2]);
    if (count > 3) size.slices = atol(argv[3]);
    if (count > 4) size.threads = (int)atol(argv[4]);
    if (size.rows < 1000 || size.classes < 2 || size.classes > 1024 || size.slices < 1 ||
        size.threads < 1) {
        fprintf(stderr, "usage: bench_eval_large [ROWS [CLASSES [SLICES [THREADS]]]] [--block]\n");
        return 2;
    }
    return measure(&size);
}
