/* The functions behind the metric table (internal to eval/). */
#ifndef PAWL_EVAL_METRIC_SCORE_H
#define PAWL_EVAL_METRIC_SCORE_H

#include "eval/metric.h"

/* What one row adds to a metric that is a mean over rows. */
double score_accuracy(const struct example *example);
double score_top_k(const struct example *example);
double score_log_loss(const struct example *example);
double score_mse(const struct example *example);
double score_mae(const struct example *example);

/* A metric over all rows at once: those that `pick` lists (NULL: the first n); `scratch` holds
 * metric_scratch() numbers. */
double corpus_macro_f1(const struct outcomes *outcomes, const int32_t *pick, int64_t n,
                       double *scratch);
double corpus_ece(const struct outcomes *outcomes, const int32_t *pick, int64_t n, double *scratch);

/* The bin of a confidence in (0, 1]: bins are closed on the right, (0, 1/15], ..., (14/15, 1]. */
int ece_bin(float confidence);

#endif
