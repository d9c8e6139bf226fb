/* The functions behind the method table, and what they share (internal to eval/). */
#ifndef PAWL_EVAL_METHOD_RUN_H
#define PAWL_EVAL_METHOD_RUN_H

#include "eval/method.h"

#define METHOD_RUN(name)                                                                           \
    enum code name(struct answer *answer, const struct sample *sample,                             \
                   const struct question *question, struct err *err)

METHOD_RUN(run_clopper_pearson);
METHOD_RUN(run_mcnemar);
METHOD_RUN(run_tango);
METHOD_RUN(run_miettinen_nurminen);
METHOD_RUN(run_sums);
METHOD_RUN(run_corpus);
METHOD_RUN(run_delong);
METHOD_RUN(run_quantile);
METHOD_RUN(run_exact);
METHOD_RUN(run_trend);

/* 1 when a larger number is better, -1 otherwise: gains and slopes are counted in the good
 * direction. A drop is counted as it is. */
double method_sign(const struct metric *metric);
/* What a baseline counts in a question. */
double question_scale(const struct question *question);

/* Row i's part of the candidate (of `other`: the second subject). */
struct row_part sample_part(const struct sample *sample, bool other, int64_t i);
/* A 0/1 part as such. */
bool sample_hit(const struct sample *sample, bool other, int64_t i);

/* Dense numbers 0 .. clusters - 1 for cluster ids, in order of the ids; `index` [n]. NO_MEMORY. */
enum code cluster_numbers(int32_t *index, int64_t *clusters, const struct sample *sample,
                          struct err *err);

/* Fills both p-values from those of "the truth is at most" the bar, and at most -bar for a gap. */
void answer_p(struct answer *answer, const struct question *question, double at_most_bar,
              double at_most_minus_bar);
/* Fills `needed` and `smallest` from the bounds and the standard deviation of the value. */
void answer_power(struct answer *answer, const struct question *question, int64_t n,
                  double deviation);
/* No bounds: neither side is decided. */
void answer_open(struct answer *answer, double value);

/* The distribution of the sample under the question, drawn once for each `path` and kept. `draw`
 * makes it with the key that follows from the path. Then the answer from it. */
struct drawing {
    enum code (*draw)(struct bootstrap *bootstrap, const void *context,
                      const struct resample_opts *opts, struct err *err);
    const void *context;
};
enum code answer_resampled(struct answer *answer, const struct sample *sample,
                           const struct question *question, const struct drawing *drawing,
                           struct err *err);

#endif
