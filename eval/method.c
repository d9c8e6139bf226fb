/* The method table and its look-up. */
#include "eval/method.h"

#include "eval/method_run.h"

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
