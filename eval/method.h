/* The table of methods: how each kind of statistic is bounded under each rule.
 *
 * A row is keyed (statistic, rule, paired, clustered) and says what it guarantees and from how
 * many rows on. Every gate becomes one question: does a number (the metric, or its gain over a
 * baseline) lie on the right side of a bar? A method answers with the value, one-sided bounds at
 * alpha and the p-values of both sides. Below its smallest n, or when its resamples have no
 * spread, the answer is not usable and the gate is inconclusive. */
#ifndef PAWL_EVAL_METHOD_H
#define PAWL_EVAL_METHOD_H

#include "eval/metric.h"
#include "eval/stats.h"
#include "eval/suite.h"

enum guarantee { GUARANTEE_EXACT, GUARANTEE_APPROXIMATE };

/* What a method looks at: rows of one slice, gathered. Unused members are NULL. */
struct sample {
    const struct metric *metric;
    int64_t n;
    const double *score, *other;              /* [n] candidate, baseline */
    const struct outcomes *outcomes, *others; /* corpus metrics */
    const double *measured;                   /* [n] system metrics, ascending */
    struct distributions *kept;               /* resamples drawn so far, by what they are of */
    const char
        *path; /* what is resampled: "accuracy/0/all/candidate"; its hash is part of the key */
    uint64_t seed;
    int64_t resamples; /* 0: only the value is wanted */
    int threads;
};

/* Bootstrap distributions that several questions share: a gate and the value that the report shows
 * for the same rows have the same bounds. */
struct distributions {
    struct kept_distribution *first;
    struct arena arena;
};
void distributions_release(struct distributions *kept);

struct question {
    bool more;    /* right side: number >= bar; otherwise number <= bar */
    double bar;   /* with tolerance */
    double alpha; /* of each bound */
};

struct answer {
    double value, low, high; /* infinite: no bound on that side */
    double p_pass, p_fail;   /* for "it does not lie right", for "it lies right" */
    double needed;           /* rows that would decide at this value; 0: not known */
    double smallest;         /* distance from the bar seen with a chance of 80 %; 0: not known */
    bool degenerate;         /* the resamples say nothing */
};

struct method {
    const char *name, *help;
    enum statistic statistic;
    unsigned rules; /* bits of enum rule */
    bool paired, clustered;
    bool zero_margin; /* only for a margin of exactly 0 */
    bool biased;      /* only for metrics that are biased on few rows */
    enum guarantee guarantee;
    int64_t smallest_n;
    enum code (*run)(struct answer *answer, const struct sample *sample,
                     const struct question *question, struct err *err);
};

extern const struct method methods[];
extern const size_t method_count;

/* The first row that serves; `margin` is the bar of a paired rule after tolerance. Never NULL for a
 * gate that suite_resolve accepted. */
const struct method *method_for(const struct metric *metric, enum rule rule, double margin);

#endif
