/* The functions behind the metric table (internal to eval/). */
#ifndef PAWL_EVAL_METRIC_SCORE_H
#define PAWL_EVAL_METRIC_SCORE_H

#include "eval/metric.h"

/* What one row adds to a metric that is a mean over rows. */
double score_accuracy(const struct example *example);
double score_top_k(const struct example *example);
double score_log_loss(const struct example *example);
double score_brier(const struct example *example);
double score_mse(const struct example *example);
double score_mae(const struct example *example);

/* The parts of one row. */
struct row_part row_right(const struct outcomes *outcomes, int64_t row);
struct row_part row_precision(const struct outcomes *outcomes, int64_t row);
struct row_part row_recall(const struct outcomes *outcomes, int64_t row);
struct row_part row_f1(const struct outcomes *outcomes, int64_t row);
struct row_part row_quantile_loss(const struct outcomes *outcomes, int64_t row);
struct row_part row_token_loss(const struct outcomes *outcomes, int64_t row);
struct row_part row_byte_loss(const struct outcomes *outcomes, int64_t row);
struct row_part row_token_right(const struct outcomes *outcomes, int64_t row);
double finish_perplexity(double ratio);
double finish_bits(double ratio);

/* A metric over all rows at once, each counting `weight` times (NULL: once). */
double corpus_macro_precision(const struct outcomes *outcomes, const int32_t *weight,
                              double *scratch);
double corpus_macro_f1(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_balanced_accuracy(const struct outcomes *outcomes, const int32_t *weight,
                                double *scratch);
double corpus_mcc(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_roc_auc(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_pr_auc(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_ece(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_ece_debiased(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_adaptive_ece(const struct outcomes *outcomes, const int32_t *weight, double *scratch);
double corpus_r2(const struct outcomes *outcomes, const int32_t *weight, double *scratch);

/* The bin of a confidence in (0, 1]: bins are closed on the right, (0, 1/15], ..., (14/15, 1]. */
int ece_bin(float confidence);

#endif
