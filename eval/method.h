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

/* What a method looks at: rows of one slice, gathered in index order. Unused members are NULL.
 *
 * Which columns: metrics with a stored score (metric->score) take `score`, and `other` where there
 * is a baseline; all others read `outcomes` (and `others`), of which the members that metric->needs
 * names must be there. A metric with NEEDS_BASELINE is one number about two subjects: `others` is
 * the baseline (churn), or the same model on the clean rows (robustness_drop); the rule is then
 * one of the rules without a baseline. `others` and `other` are NULL for a rule without a baseline
 * otherwise. */
struct sample {
    const struct metric *metric;
    int64_t n;
    const double *score, *other;              /* [n] candidate, baseline */
    const struct outcomes *outcomes, *others; /* what was not scored row by row */
    const double *measured;                   /* [n] system metrics, ascending */
    struct distributions *kept;               /* resamples drawn so far, by what they are of */
    const char
        *path; /* what is resampled: "accuracy/0/all/candidate"; its hash is part of the key */
    uint64_t seed;
    int64_t resamples; /* 0: only the value is wanted */
    bool sparing;      /* use resamples only if they are there already, or drawn by counts */
    int threads;
    const int64_t *cluster; /* [n] which cluster a row belongs to, any numbers; NULL: none */
    /* Gap: rows of both slices together, each row once; 1 where a row is in the first, the second
     * slice. A row may be in both (then the key is `overlapping`), never in none. */
    const uint8_t *first, *second; /* [n] */
    const double *trend; /* [n] values of the last n versions, oldest first, this one last */
};

/* Bootstrap distributions that several questions share: a gate and the value that the report shows
 * for the same rows have the same bounds. */
struct distributions {
    struct kept_distribution *first;
    size_t bytes; /* of the resamples that are held, at most 64 MiB */
    struct arena arena;
};
void distributions_release(struct distributions *kept);

/* A number against a bar. Which number is the sample's business: the metric; the gain over the
 * baseline in the metric's good direction; the first slice's value less the second's; the slope per
 * version in the good direction. Made by question_of. */
struct question {
    bool more;    /* right side: number >= bar; otherwise number <= bar */
    double bar;   /* with tolerance */
    double alpha; /* of each bound */
    double scale; /* a relative margin: the baseline counts this much; 0: 1 */
    bool both;    /* a gap: right is -bar <= number <= bar */
};

struct answer {
    double value, low, high; /* infinite: no bound on that side */
    double p_pass, p_fail;   /* for "it does not lie right", for "it lies right" */
    double needed;           /* rows that would decide at this value; 0: not known */
    double smallest;         /* distance from the bar seen with a chance of 80 %; 0: not known */
    bool degenerate;         /* the resamples say nothing */
    bool coarse;             /* they are too few for a bound at this alpha */
    bool spared;             /* because none were drawn: the sample was `sparing` */
    /* The rest is filled by method_ask only. */
    bool passes;  /* the bounds at alpha lie on the right side, and the answer is usable */
    bool few;     /* fewer rows, clusters or rows of a kind than the method needs */
    double count; /* what was too few or enough: rows, clusters, rows of the rarer kind */
    double check; /* p_pass by sign flips (paired means); NaN: not made */
};

struct method {
    const char *name, *help;
    enum statistic statistic;
    unsigned rules; /* bits of enum rule */
    bool paired, clustered;
    bool zero_margin; /* only for an absolute margin of exactly 0 */
    bool absolute;    /* only for margins that are not relative */
    bool disjoint;    /* only for slices without common rows */
    bool biased;      /* only for metrics that are biased on few rows */
    bool share;       /* only for ratios that are shares */
    enum guarantee guarantee;
    int64_t smallest_n; /* rows, clusters or versions */
    /* rows of the rarest class (areas), or the sum below the line counted in its heaviest row
     * (ratios); 0: no such bound */
    int64_t smallest_rare;
    /* areas: rows of the rarest class times the bar's distance from 0 and 1; 0: no such bound */
    int64_t smallest_beyond;
    enum code (*run)(struct answer *answer, const struct sample *sample,
                     const struct question *question, struct err *err);
};

extern const struct method methods[];
extern const size_t method_count;

/* What a gate demands, as far as methods care. */
struct demand {
    const struct metric *metric;
    enum rule rule;
    double bar;      /* as the suite writes it: 0.005 of `not_worse_by: 0.005` */
    bool relative;   /* the bar is a share of the baseline's value */
    double tolerate; /* >= 0 */
    bool clustered;
    bool overlapping; /* gap: the slices have common rows */
};

/* The method of a demand: the first row that serves; NULL when there is none (a rule that does not
 * fit the metric). */
const struct method *method_of(const struct demand *demand);

/* The question of a demand.
 *
 * at_least, at_most: the metric against bar -/+ tolerate. not_worse_by b: gain >= -b - tolerate;
 * relative: candidate - (1 - b) baseline >= -tolerate for a metric that is better when larger,
 * (1 + b) baseline - candidate >= -tolerate otherwise. better_by b and gain_at_most b: likewise
 * with the margin on the other side. gap b: |first - second| <= b + tolerate. trend b: slope per
 * version in the good direction >= b - tolerate (b is usually negative or 0). */
struct question question_of(const struct demand *demand, double alpha);

/* Answers a question: the one way to use a method. Checks what the method needs, fills `passes`,
 * `few`, `count` and `check`. Below the smallest n only `value` is filled (bounds infinite,
 * p-values 1, `needed` the smallest n). What lacks a column that the metric needs, or is not
 * finite, or has clusters where the method has none, has the value NaN and is not usable.
 * NO_MEMORY. */
enum code method_ask(const struct method *method, struct answer *answer,
                     const struct sample *sample, const struct question *question, struct err *err);

/* Before there are scores: what a method can see. */
struct outlook {
    int64_t n;        /* rows, clusters or samples */
    double truth;     /* the number as it really is */
    double deviation; /* of one row's part in the number; ignored for a lone proportion */
};
struct prospect {
    double chance;   /* that the gate passes */
    double smallest; /* distance from the bar that passes with a chance of 80 % */
    double needed;   /* rows for a chance of 80 % at this truth; 0: never */
};

/* Exact for Clopper-Pearson, by the normal distribution otherwise; chance 0 below smallest_n (and
 * smallest infinite). What is measured on a machine is not known before: all NaN. */
struct prospect method_prospect(const struct method *method, const struct question *question,
                                const struct outlook *outlook);

/* method_of for an absolute margin `margin` without clusters. */
const struct method *method_for(const struct metric *metric, enum rule rule, double margin);

#endif
