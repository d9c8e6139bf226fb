/* BCa resamples per second: what a gate pays for its bounds.
 *
 * Paired 0/1 scores are drawn as counts of their distinct values, real-valued ones row by row in
 * cache-sized blocks. The floor of the latter is rows x resamples draws: what one costs is printed.
 * Processor time is that of all threads together. Scores are made up, and never constant.
 * Usage: bench_stats [ROWS [RESAMPLES [THREADS [ROUNDS]]]] (1,000,000, 10,000, 2, 1); the best
 * round counts, because other work on the machine only slows down. bench/stats.py runs it beside
 * SciPy's bootstrap. */
#include "base/arena.h"
#include "base/clock.h"
#include "base/rng.h"
#include "eval/method.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct columns {
    double *score, *other; /* [n] */
    int32_t *label, *prediction;
    float *confidence;
};

struct table {
    int64_t n, resamples;
    int threads, rounds;
};

static double uniform(uint64_t salt, int64_t row)
{
    return (double)(rng_mix(salt, (uint64_t)row) >> 11) * 0x1p-53;
}

static enum code take(void **memory, struct columns *columns, int64_t rows, struct err *err)
{
    size_t n = (size_t)rows;
    TRY(block_alloc(memory, n * (2 * sizeof(double) + 3 * sizeof(float)), "scores", err));
    columns->score = *memory;
    columns->other = columns->score + n;
    columns->label = (int32_t *)(void *)(columns->other + n);
    columns->prediction = columns->label + n;
    columns->confidence = (float *)(void *)(columns->prediction + n);
    for (int64_t i = 0; i < rows; i++) {
        columns->label[i] = (int32_t)(rng_mix(1, (uint64_t)i) % 10);
        columns->prediction[i] = uniform(2, i) < 0.9 ? columns->label[i]
                                                     : (int32_t)(rng_mix(3, (uint64_t)i) % 10);
        columns->confidence[i] = (float)(0.5 + 0.5 * uniform(4, i));
    }
    return OK;
}

static void fill(struct columns *columns, int64_t n, bool real)
{
    for (int64_t i = 0; i < n; i++) {
        columns->score[i] = real ? uniform(5, i) : uniform(5, i) < 0.92;
        columns->other[i] = real ? uniform(6, i) : uniform(6, i) < 0.90;
    }
}

static int run(const char *name, const struct demand *demand, struct sample sample,
               const struct table *table)
{
    const struct method *method = method_of(demand);
    struct question question = question_of(demand, 0.05);
    struct answer answer = { 0 };
    struct err err = { 0 };
    double best = 1e9, least = 1e9; /* wall clock, processor time of all threads */
    sample.metric = demand->metric;
    sample.n = table->n;
    sample.path = name;
    sample.resamples = table->resamples;
    sample.threads = table->threads;
    for (int round = 0; round < table->rounds; round++) {
        double start = clock_monotonic(), work = (double)clock() / CLOCKS_PER_SEC;
        if (method_ask(method, &answer, &sample, &question, &err)) {
            fprintf(stderr, "%s: %s\n", name, err.message);
            return 1;
        }
        double spent = clock_monotonic() - start;
        work = (double)clock() / CLOCKS_PER_SEC - work;
        if (spent < best) best = spent;
        if (work < least) least = work;
    }
    double draws = (double)table->n * (double)table->resamples;
    printf("%-26s %-12s wall %8.3f s  processor %8.3f s  %6.3f ns a draw  [%.6f, %.6f]\n", name,
           method->name, best, least, least / draws * 1e9, answer.low, answer.high);
    return 0;
}

int main(int argc, char **argv)
{
    struct table table = { .n = argc > 1 ? atol(argv[1]) : 1000000,
                           .resamples = argc > 2 ? atol(argv[2]) : 10000,
                           .threads = argc > 3 ? (int)atol(argv[3]) : 2,
                           .rounds = argc > 4 ? (int)atol(argv[4]) : 1 };
    struct columns columns;
    void *memory = NULL;
    struct err err;
    if (table.n < 1000 || table.resamples < 100 || table.threads < 1 || table.rounds < 1) {
        fprintf(stderr, "usage: bench_stats [ROWS [RESAMPLES [THREADS [ROUNDS]]]]\n");
        return 2;
    }
    if (take(&memory, &columns, table.n, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%lld rows, %lld resamples, %d threads, best of %d\n", (long long)table.n,
           (long long)table.resamples, table.threads, table.rounds);
    struct outcomes outcomes = { .n = table.n,
                                 .classes = 10,
                                 .label = columns.label,
                                 .prediction = columns.prediction,
                                 .confidence = columns.confidence };
    struct sample scored = { .score = columns.score, .other = columns.other };
    struct demand share = {
        .metric = metric_find("accuracy"), .rule = RULE_NOT_WORSE_BY, .bar = 0.01, .relative = true
    };
    struct demand real = { .metric = metric_find("log_loss"), .rule = RULE_NOT_WORSE_BY };
    struct demand macro = { .metric = metric_find("macro_f1"), .rule = RULE_AT_LEAST };
    fill(&columns, table.n, false);
    int failed = run("paired 0/1 scores", &share, scored, &table);
    failed |= run("macro F1, 10 classes", &macro, (struct sample){ .outcomes = &outcomes }, &table);
    fill(&columns, table.n, true);
    failed |= run("paired real-valued scores", &real, scored, &table);
    block_free(memory);
    return failed;
}
