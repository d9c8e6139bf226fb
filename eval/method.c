/* The method table and its look-up. */
#include "eval/method.h"

#include "eval/method_run.h"

#include <math.h>

#define RULES_ALONE  (1u << RULE_AT_LEAST | 1u << RULE_AT_MOST)
#define RULES_PAIRED (1u << RULE_NOT_WORSE_BY | 1u << RULE_BETTER_BY | 1u << RULE_GAIN_AT_MOST)

const struct method methods[] = {
    { .name = "clopper_pearson",
      .help = "Exact binomial bound of a proportion.",
      .statistic = STATISTIC_PROPORTION,
      .rules = RULES_ALONE,
      .guarantee = GUARANTEE_EXACT,
      .smallest_n = 1,
      .run = run_clopper_pearson },
    { .name = "mcnemar",
      .help = "Exact test on the rows where exactly one of the two is right.",
      .statistic = STATISTIC_PROPORTION,
      .rules = RULES_PAIRED,
      .paired = true,
      .zero_margin = true,
      .guarantee = GUARANTEE_EXACT,
      .smallest_n = 1,
      .run = run_mcnemar },
    { .name = "bca_paired",
      .help = "BCa bootstrap of the differences row by row.",
      .statistic = STATISTIC_PROPORTION,
      .rules = RULES_PAIRED,
      .paired = true,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_mean },
    { .name = "bca",
      .help = "BCa bootstrap of the mean score.",
      .statistic = STATISTIC_MEAN,
      .rules = RULES_ALONE,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_mean },
    { .name = "bca_paired",
      .help = "BCa bootstrap of the differences row by row.",
      .statistic = STATISTIC_MEAN,
      .rules = RULES_PAIRED,
      .paired = true,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_mean },
    { .name = "bootstrap_outer",
      .help = "Bootstrap over rows; the farther of both quantiles bounds on each side, because the "
              "metric's own bias defeats BCa.",
      .statistic = STATISTIC_CORPUS,
      .rules = RULES_ALONE,
      .biased = true,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_outer },
    { .name = "bootstrap_outer_paired",
      .help = "The same for the difference, the same rows for both.",
      .statistic = STATISTIC_CORPUS,
      .rules = RULES_PAIRED,
      .paired = true,
      .biased = true,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_outer },
    { .name = "bca_corpus",
      .help = "BCa bootstrap over rows.",
      .statistic = STATISTIC_CORPUS,
      .rules = RULES_ALONE,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_corpus },
    { .name = "bca_corpus_paired",
      .help = "BCa bootstrap over rows, the same rows for both.",
      .statistic = STATISTIC_CORPUS,
      .rules = RULES_PAIRED,
      .paired = true,
      .guarantee = GUARANTEE_APPROXIMATE,
      .smallest_n = 1000,
      .run = run_corpus },
    { .name = "order_statistic",
      .help = "Distribution-free bound of a quantile of repeated runs.",
      .statistic = STATISTIC_SYSTEM,
      .rules = RULES_ALONE,
      .guarantee = GUARANTEE_EXACT,
      .smallest_n = 5,
      .run = run_quantile },
    { .name = "exact",
      .help = "A number without sampling error.",
      .statistic = STATISTIC_EXACT,
      .rules = RULES_ALONE,
      .guarantee = GUARANTEE_EXACT,
      .smallest_n = 1,
      .run = run_exact },
};

const size_t method_count = sizeof methods / sizeof *methods;

const struct method *method_of(const struct demand *demand)
{
    double margin = rule_is_paired(demand->rule) ? question_of(demand, 0.05).bar : 0;
    for (size_t i = 0; i < method_count; i++) {
        const struct method *method = &methods[i];
        if (method->statistic != demand->metric->statistic) continue;
        if (!(method->rules & 1u << demand->rule)) continue;
        if (method->zero_margin && (margin != 0 || demand->relative)) continue;
        if (method->absolute && demand->relative) continue;
        if (method->disjoint && demand->overlapping) continue;
        if (method->clustered != demand->clustered) continue;
        if (method->biased != demand->metric->biased) continue;
        return method;
    }
    return NULL;
}

struct question question_of(const struct demand *demand, double alpha)
{
    double sign = demand->metric->higher ? 1 : -1, bar = demand->bar;
    struct question question = { .more = rule_wants_more(demand->rule), .alpha = alpha };
    if (demand->rule == RULE_NOT_WORSE_BY) bar = -bar;
    if (demand->relative) {
        question.scale = 1 + sign * bar;
        bar = 0;
    }
    question.both = demand->rule == RULE_GAP;
    question.bar = question.more ? bar - demand->tolerate : bar + demand->tolerate;
    return question;
}

/* Whether an answer lies on the right side with all of its interval. */
static bool lies_right(const struct answer *answer, const struct question *question)
{
    if (question->both) return answer->low >= -question->bar && answer->high <= question->bar;
    return question->more ? answer->low >= question->bar : answer->high <= question->bar;
}

enum code method_ask(const struct method *method, struct answer *answer,
                     const struct sample *sample, const struct question *question, struct err *err)
{
    *answer = (struct answer){ .value = NAN, .low = NAN, .high = NAN, .p_pass = 1, .p_fail = 1 };
    answer->check = NAN;
    if (sample->n <= 0) return OK;
    TRY(method->run(answer, sample, question, err));
    answer->count = (double)sample->n;
    answer->few = sample->n < method->smallest_n;
    if (answer->few) answer->needed = (double)method->smallest_n;
    answer->passes = !answer->few && !answer->degenerate && lies_right(answer, question);
    return OK;
}

const struct method *method_for(const struct metric *metric, enum rule rule, double margin)
{
    for (size_t i = 0; i < method_count; i++) {
        const struct method *method = &methods[i];
        if (method->statistic != metric->statistic || !(method->rules & 1u << rule)) continue;
        if (method->zero_margin && margin != 0) continue;
        if (method->biased != metric->biased) continue;
        return method;
    }
    return NULL;
}
