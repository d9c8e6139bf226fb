/* The metric table and its look-ups. A new metric is one row here and one function beside it. */
#include "eval/metric.h"

#include "base/str.h"
#include "eval/metric_score.h"

#include <math.h>
#include <string.h>

const struct metric metrics[] = {
    { .name = "accuracy",
      .help = "Share of rows whose largest output is the label.",
      .statistic = STATISTIC_PROPORTION,
      .fits = FITS_CLASSIFICATION,
      .higher = true,
      .score = score_accuracy },
    { .name = "top_k",
      .help = "Share of rows whose label is among the k largest outputs.",
      .statistic = STATISTIC_PROPORTION,
      .fits = FITS_CLASSIFICATION,
      .higher = true,
      .takes_k = true,
      .score = score_top_k },
    { .name = "log_loss",
      .help = "Mean of -log(probability of the label), in nats.",
      .statistic = STATISTIC_MEAN,
      .fits = FITS_CLASSIFICATION,
      .score = score_log_loss },
    { .name = "macro_f1",
      .help = "F1 of each class that occurs as label or prediction, averaged.",
      .statistic = STATISTIC_CORPUS,
      .fits = FITS_CLASSIFICATION,
      .higher = true,
      .corpus = corpus_macro_f1 },
    { .name = "ece",
      .help = "Expected calibration error over 15 equal bins of confidence.",
      .statistic = STATISTIC_CORPUS,
      .biased = true,
      .fits = FITS_CLASSIFICATION,
      .corpus = corpus_ece },
    { .name = "confusion",
      .help = "Counts of label against prediction.",
      .statistic = STATISTIC_DOCUMENT,
      .fits = FITS_CLASSIFICATION },
    { .name = "mse",
      .help = "Mean squared error.",
      .statistic = STATISTIC_MEAN,
      .fits = FITS_REGRESSION,
      .score = score_mse },
    { .name = "mae",
      .help = "Mean absolute error.",
      .statistic = STATISTIC_MEAN,
      .fits = FITS_REGRESSION,
      .score = score_mae },
    { .name = "latency_p50",
      .help = "Median time of one call, after warming up.",
      .statistic = STATISTIC_SYSTEM,
      .unit = UNIT_SECONDS,
      .fits = FITS_ALL,
      .takes_batch = true,
      .quantile = 0.5,
      .samples = 400 },
    { .name = "latency_p99",
      .help = "99th percentile of the time of one call, after warming up.",
      .statistic = STATISTIC_SYSTEM,
      .unit = UNIT_SECONDS,
      .fits = FITS_ALL,
      .takes_batch = true,
      .quantile = 0.99,
      .samples = 400 },
    { .name = "throughput",
      .help = "Rows per second over large batches on all threads, median of runs.",
      .statistic = STATISTIC_SYSTEM,
      .unit = UNIT_PER_SECOND,
      .fits = FITS_ALL,
      .higher = true,
      .takes_batch = true,
      .quantile = 0.5,
      .samples = 15 },
    { .name = "weights_bytes",
      .help = "Bytes of the weights and running statistics.",
      .statistic = STATISTIC_EXACT,
      .unit = UNIT_BYTES,
      .fits = FITS_ALL },
};

const size_t metric_count = sizeof metrics / sizeof *metrics;

const struct metric *metric_find(const char *name)
{
    for (size_t i = 0; i < metric_count; i++) {
        if (strcmp(metrics[i].name, name) == 0) return &metrics[i];
    }
    return NULL;
}

const char *metric_names(struct arena *arena, enum task task)
{
    struct str names = { 0 };
    for (size_t i = 0; i < metric_count; i++) {
        if (!(metrics[i].fits & 1u << task)) continue;
        str_addf(&names, "%s%s", names.len ? ", " : "", metrics[i].name);
    }
    const char *text = arena_copy(arena, str_text(&names));
    str_release(&names);
    return text;
}

const char *statistic_text(enum statistic statistic)
{
    static const char *const texts[STATISTIC_COUNT] = {
        [STATISTIC_PROPORTION] = "proportion", [STATISTIC_MEAN] = "mean",
        [STATISTIC_RATIO] = "ratio",           [STATISTIC_RANK] = "rank",
        [STATISTIC_CORPUS] = "corpus",         [STATISTIC_SYSTEM] = "system",
        [STATISTIC_EXACT] = "exact",           [STATISTIC_DOCUMENT] = "document",
    };
    return texts[statistic];
}

size_t metric_scratch(int64_t classes)
{
    size_t wide = (size_t)(classes > ECE_BINS ? classes : ECE_BINS);
    return 3 * wide;
}

/* Classification: each row's guess, and the score or the columns of a corpus metric. */
static enum code classified(const struct metric *metric, double *value, const float *outputs,
                            const int32_t *labels, int64_t n, int64_t k, struct err *err)
{
    void *memory = NULL;
    size_t columns = metric->corpus ? (size_t)n * 8 : 0;
    enum code code = block_alloc(&memory, columns + metric_scratch(k) * sizeof(double),
                                 "metric columns", err);
    if (code) goto out;
    double *scratch = memory;
    int32_t *prediction = (int32_t *)(scratch + metric_scratch(k));
    float *confidence = (float *)(prediction + n);
    bool finite = true;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *row = outputs + i * k;
        struct guess guess;
        if (labels[i] < 0 || labels[i] >= k) {
            code = err_set(err, DAMAGED, "label %d of row %lld is outside [0, %lld)", labels[i],
                           (long long)i, (long long)k);
            goto out;
        }
        if (!guess_of(&guess, row, k, labels[i])) {
            finite = false;
            continue;
        }
        if (metric->corpus) {
            prediction[i] = guess.prediction;
            confidence[i] = (float)guess.confidence;
        } else {
            sum += metric->score(&(struct example){ .output = row,
                                                    .width = k,
                                                    .label = labels[i],
                                                    .log_sum = guess.log_sum,
                                                    .k = METRIC_K });
        }
    }
    struct outcomes outcomes = {
        .n = n, .classes = k, .label = labels, .prediction = prediction, .confidence = confidence
    };
    if (!finite)
        *value = NAN;
    else
        *value = metric->corpus ? metric->corpus(&outcomes, NULL, n, scratch) : sum / (double)n;
out:
    block_free(memory);
    return code;
}

enum code metric_of_rows(const struct metric *metric, double *value, const float *outputs,
                         const void *targets, int64_t n, int64_t k, struct err *err)
{
    if (n <= 0) return err_set(err, USAGE, "cannot compute '%s' over no rows", metric->name);
    if (!metric->score && !metric->corpus) {
        return err_set(err, USAGE, "cannot compute '%s' from outputs: it is of kind %s",
                       metric->name, statistic_text(metric->statistic));
    }
    if (metric->fits & FITS_CLASSIFICATION) {
        return classified(metric, value, outputs, targets, n, k, err);
    }
    const float *wanted = targets;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += metric->score(
            &(struct example){ .output = outputs + i * k, .width = k, .target = wanted + i * k });
    }
    *value = isfinite(sum) ? sum / (double)n : NAN;
    return OK;
}
