/* Gates: three verdicts from scores and an effective suite alone.
 *
 * *Pass*: the one-sided bound at alpha lies on the right side of the bar; all must pass, so this
 * is an intersection-union test and alpha needs no correction. *Fail*: the opposite side is
 * rejected under Holm's correction over the blocking gates that have sampling error; quality and
 * measured gates are two families that share alpha by their sizes, so that what is measured on a
 * machine never changes the quality part. *Inconclusive*: neither. What is missing, empty or not
 * a number fails. */
#ifndef PAWL_EVAL_GATE_H
#define PAWL_EVAL_GATE_H

#include "eval/method.h"
#include "eval/scores.h"

enum verdict { VERDICT_PASS, VERDICT_FAIL, VERDICT_INCONCLUSIVE, VERDICT_COUNT };
/* "pass", "fail", "inconclusive". */
const char *verdict_text(enum verdict verdict);

/* Why a verdict is what it is, beside the bound. */
#define REASONS(X)                                                                                 \
    X(BOUND, "bound", "the bound decides")                                                         \
    X(POINT, "point", "the point value decides, noise is ignored")                                 \
    X(COVERS, "interval_covers_bar", "the interval covers the bar")                                \
    X(FEW, "too_few_examples", "its method needs more rows")                                       \
    X(SMALL, "below_min_examples", "the slice has fewer rows than min_examples")                   \
    X(DEGENERATE, "degenerate", "the resamples have no spread")                                    \
    X(COARSE, "too_few_resamples", "there are too few resamples for a level so small")             \
    X(ALIKE, "no_difference", "no row tells the model from the baseline")                          \
    X(SAMPLES, "too_few_samples", "too few samples to bound this quantile")                        \
    X(MACHINE, "other_machine", "it was measured on another machine class")                        \
    X(BASELINE, "no_baseline", "there is no baseline yet")                                         \
    X(HISTORY, "no_history", "there are too few earlier versions for a trend")                     \
    X(METHOD, "no_method", "no method bounds this metric under this rule")                         \
    X(CLUSTERS, "too_few_clusters", "its method needs more clusters")                              \
    X(CONDITION, "no_condition", "there are no predictions under this perturbation")               \
    X(NOT_FINITE, "not_finite", "an output of the model is not a finite number")                   \
    X(BASELINE_NOT_FINITE, "baseline_not_finite", "an output of the baseline is not finite")       \
    X(EMPTY, "empty_slice", "the slice has no rows")                                               \
    X(MISSING, "missing_metric", "the scores do not hold this metric")

enum reason {
#define X(name, word, text) REASON_##name,
    REASONS(X)
#undef X
        REASON_COUNT
};
/* The word in report.json, and the same for people. */
const char *reason_word(enum reason reason);
const char *reason_text(enum reason reason);

/* One gate on one slice: `{every: label}` makes one for each label. */
struct trial {
    const struct gate *gate;
    const char *id;              /* the gate's, with "/label=3" for every label */
    const char *slice;           /* as shown */
    int32_t label;               /* every label: which; otherwise -1 */
    bool measured;               /* belongs to the measured part */
    const struct method *method; /* NULL: there is none */
    struct question question;
    int64_t n;           /* rows, samples, or versions of a trend */
    double bar;          /* what decides: the gate's, moved by what it tolerates */
    int64_t sides[2];    /* a gap: rows of each side */
    const double *trend; /* RULE_TREND: [n] values, oldest first, this one last */
    struct answer answer;
    double level; /* what Holm held p_fail to; 0: not tested */
    enum verdict verdict;
    enum reason reason;
    bool counts; /* blocks a release unless it passes */
};

struct decision {
    struct arena arena;
    struct trial *trials; /* in the suite's order */
    size_t count;
    int64_t resamples;
    double alpha;       /* of every bound: the suite's, halved for each look */
    size_t families[2]; /* gates under Holm's correction: of quality, measured */
    struct distributions *kept;
    enum verdict verdict;
};

struct decide_opts {
    uint64_t seed;       /* decision_seed */
    const char *machine; /* class of the machine that measured, or NULL: not measured */
    int threads;         /* 0: all processors */
    int64_t look; /* how often this candidate was looked at under this suite; 0: nobody counts */
    /* values of earlier versions for trends: {gate id: [number, ...]}, oldest first; NULL: none */
    const json_t *history;
};

/* What bounds are tested at: the k-th look at the same candidate at alpha / 2^k, so that all looks
 * together pass falsely with a chance of alpha at most. */
double decision_alpha(double alpha, int64_t look);

/* The seed of all resampling follows from what is evaluated; nobody chooses it. */
uint64_t decision_seed(const struct digest *suite, const struct digest *data,
                       const struct digest *model);

/* Decides every gate. NO_MEMORY is the only failure: the verdict is in `decision`. */
enum code decision_make(struct decision *decision, const struct suite *suite,
                        const struct scores *scores, const struct decide_opts *opts,
                        struct err *err);
void decision_release(struct decision *decision);

/* OK, GATE_FAILED or INCONCLUSIVE. */
enum code verdict_code(enum verdict verdict);

#endif
