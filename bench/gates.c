/* Error rates of the gate methods, by simulation with known truth.
 *
 * Each scenario draws experiments from a known distribution and asks its method at three bars: the
 * truth itself (whoever passes there passes falsely, whoever fails there fails falsely; both are
 * nominally at most alpha), and the bars from which a method of full power would pass or fail in
 * 80 % of experiments. smallest_n is bypassed: the study decides what it must be; the least number
 * of rare rows is not. One line per scenario and size goes to standard output, tab-separated;
 * bench/gates.py makes the table and the picture. Seeds are fixed; the result does not depend on
 * threads. Usage: bench_gates [THREADS [WORK [TEXT]]]; WORK scales the number of experiments (1),
 * TEXT keeps the scenarios that have it in their name. */
#include "bench/gates/data.h"

#include "base/math.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 1000, PILOTS = 400, PILOT_ROWS = 1000, TRUTHS = 100, TRUTH_ROWS = 50000 };
static const double ALPHA = 0.05;

/* How often each thing happened. */
struct tally {
    int64_t experiments, false_pass, false_fail, passes, fails, unusable;
};

static void bind(struct sample *sample, struct data *data, const struct scenario *scenario)
{
    const struct metric *metric = sample->metric;
    bool compared = scenario->compared;
    data->outcomes[0] = data->outcomes[1] = (struct outcomes){
        .n = data->n,
        .classes = scenario->classes,
        .width = 1,
        .label = data->label,
        .prediction = data->prediction[0],
        .confidence = data->confidence[0],
        .probability = data->probability[0],
        .target = data->target,
        .predicted = data->predicted,
        .nll = data->score[0],
        .tokens = data->tokens,
        .correct = data->score[0],
        .of_class = 1,
    };
    data->outcomes[1].prediction = data->prediction[1];
    data->outcomes[1].confidence = data->confidence[1];
    data->outcomes[1].probability = data->probability[1];
    data->outcomes[1].nll = data->outcomes[1].correct = data->score[1];
    sample->n = data->n;
    sample->score = metric->score ? data->score[0] : NULL;
    sample->other = metric->score && compared ? data->score[1] : NULL;
    sample->outcomes = metric->score ? NULL : &data->outcomes[0];
    sample->others = !metric->score && compared ? &data->outcomes[1] : NULL;
    sample->measured = metric->statistic == STATISTIC_SYSTEM ? data->score[0] : NULL;
    sample->trend = scenario->demand.rule == RULE_TREND ? data->score[0] : NULL;
    if (scenario->demand.clustered) sample->cluster = data->cluster;
    if (scenario->demand.rule == RULE_GAP) {
        sample->first = data->in[0];
        sample->second = data->in[1];
    }
}

/* The number of one experiment, or its answer at a bar. */
static void ask(struct answer *answer, struct data *data, const struct scenario *scenario,
                const struct question *question, struct distributions *kept, int64_t resamples)
{
    struct demand demand = scenario->demand;
    struct err err;
    demand.metric = metric_find(scenario->metric);
    struct sample sample = { .metric = demand.metric,
                             .kept = kept,
                             .path = "study",
                             .seed = data->seed,
                             .resamples = resamples,
                             .threads = 1 };
    bind(&sample, data, scenario);
    struct method method = *method_of(&demand);
    method.smallest_n = 0;
    if (method_ask(&method, answer, &sample, question, &err)) {
        fprintf(stderr, "%s: %s\n", scenario->name, err.message);
        exit(1);
    }
}

static struct question question_for(const struct scenario *scenario)
{
    struct demand demand = scenario->demand;
    demand.metric = metric_find(scenario->metric);
    return question_of(&demand, ALPHA);
}

static void experiment(struct tally *tally, struct data *data, const struct scenario *scenario,
                       const double bars[3])
{
    struct question question = question_for(scenario);
    struct distributions kept = { 0 };
    for (int b = 0; b < 3; b++) {
        struct answer answer;
        question.bar = bars[b];
        ask(&answer, data, scenario, &question, &kept, RESAMPLES);
        bool usable = !answer.degenerate && isfinite(answer.value);
        bool passes = answer.passes;
        bool fails = usable && answer.p_fail <= ALPHA;
        if (b == 0) {
            tally->experiments++;
            tally->false_pass += passes;
            tally->false_fail += fails;
            tally->unusable += !usable;
        }
        if (b == 1) tally->passes += passes;
        if (b == 2) tally->fails += fails;
    }
    distributions_release(&kept);
}

/* Mean and deviation of the number over experiments with so many rows. */
static void look(double *mean, double *deviation, struct data *data,
                 const struct scenario *scenario, int64_t experiments, int64_t n)
{
    struct question question = question_for(scenario);
    double sum = 0, square = 0;
#pragma omp parallel for schedule(dynamic) reduction(+ : sum, square)
    for (int64_t e = 0; e < experiments; e++) {
        struct data *own = &data[omp_get_thread_num()];
        struct distributions kept = { 0 };
        struct answer answer;
        data_make(own, scenario, n, ((uint64_t)1 << 40) + (uint64_t)e);
        ask(&answer, own, scenario, &question, &kept, 0);
        sum += answer.value;
        square += answer.value * answer.value;
    }
    *mean = sum / (double)experiments;
    *deviation = sqrt((square - sum * *mean) / (double)(experiments - 1));
}

/* The bar that is the truth, and those from which 80 % pass or fail. A gap's bar has no sign. */
static void place_bars(double bars[3], const struct scenario *scenario, double truth,
                       double deviation)
{
    struct question question = question_for(scenario);
    double reach = deviation * (math_normal_quantile(1 - ALPHA) + math_normal_quantile(0.8));
    double toward = question.more ? -reach : reach;
    bars[0] = truth;
    bars[1] = truth + toward;
    bars[2] = truth - toward;
}

static void study(const struct scenario *scenario, struct data *data, double work)
{
    double truth = scenario->truth, unit, ignored;
    const struct method *method;
    struct demand demand = scenario->demand;
    demand.metric = metric_find(scenario->metric);
    method = method_of(&demand);
    if (isnan(truth)) look(&truth, &ignored, data, scenario, TRUTHS, TRUTH_ROWS);
    int64_t pilot = scenario->few ? 20 : PILOT_ROWS;
    look(&ignored, &unit, data, scenario, PILOTS, pilot);
    for (int s = 0; s < SIZES && scenario->sizes[s].n; s++) {
        int64_t n = scenario->sizes[s].n;
        int64_t experiments = (int64_t)(scenario->sizes[s].experiments * work);
        struct tally all = { 0 };
        double bars[3], power = scenario->demand.rule == RULE_TREND ? 1.5 : 0.5;
        place_bars(bars, scenario, truth, unit * pow((double)pilot / (double)n, power));
#pragma omp parallel
        {
            struct tally own = { 0 };
            struct data *room = &data[omp_get_thread_num()];
#pragma omp for schedule(dynamic)
            for (int64_t e = 0; e < experiments; e++) {
                data_make(room, scenario, n, (uint64_t)e);
                experiment(&own, room, scenario, bars);
            }
#pragma omp critical
            {
                all.experiments += own.experiments;
                all.false_pass += own.false_pass;
                all.false_fail += own.false_fail;
                all.passes += own.passes;
                all.fails += own.fails;
                all.unusable += own.unusable;
            }
        }
        printf("%s\t%s\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\t%lld\n", method->name,
               scenario->name, (long long)n, (long long)all.experiments, (long long)all.false_pass,
               (long long)all.false_fail, (long long)all.passes, (long long)all.fails,
               (long long)all.unusable, (long long)method->smallest_n);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)atol(argv[1]) : 2;
    double work = argc > 2 ? strtod(argv[2], NULL) : 1;
    struct data *data = calloc((size_t)threads, sizeof *data);
    if (threads < 1 || !(work > 0) || !data) {
        fprintf(stderr, "usage: bench_gates [THREADS [WORK [TEXT]]]\n");
        return 2;
    }
    omp_set_num_threads(threads);
    for (int t = 0; t < threads; t++) {
        struct err err;
        if (data_take(&data[t], &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
    }
    for (size_t s = 0; s < scenario_count; s++)
        if (argc < 4 || strstr(scenarios[s].name, argv[3])) study(&scenarios[s], data, work);
    for (int t = 0; t < threads; t++) block_free(data[t].memory);
    free(data);
    return 0;
}
