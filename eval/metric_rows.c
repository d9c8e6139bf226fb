/* Metrics over rows: which columns they need, the order they are walked in, and their value. */
#include "base/arena.h"
#include "eval/metric_score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool has_columns(unsigned needs, const struct outcomes *outcomes)
{
    unsigned there = NEEDS_BASELINE;
    if (!outcomes) return false;
    if (outcomes->label && outcomes->prediction) there |= NEEDS_GUESSES;
    if (outcomes->confidence) there |= NEEDS_CONFIDENCE;
    if (outcomes->label && outcomes->probability) there |= NEEDS_PROBABILITIES;
    if (outcomes->target && outcomes->predicted) there |= NEEDS_TARGETS;
    if (outcomes->nll && outcomes->tokens) there |= NEEDS_TOKENS;
    if (outcomes->bytes) there |= NEEDS_BYTES;
    if (outcomes->correct) there |= NEEDS_CORRECT;
    return !(needs & ~there);
}

bool metric_has_columns(const struct metric *metric, const struct outcomes *outcomes,
                        const struct outcomes *others)
{
    if (metric->score) return true;
    if (!has_columns(metric->needs, outcomes)) return false;
    return others ? has_columns(metric->needs, others) : !(metric->needs & NEEDS_BASELINE);
}

size_t metric_scratch(const struct outcomes *outcomes)
{
    return 3 * (size_t)(outcomes->classes > 0 ? outcomes->classes : 1);
}

int64_t metric_order_lists(const struct metric *metric, const struct outcomes *outcomes)
{
    if (metric->order == ORDER_CLASSES) return outcomes->classes == 2 ? 1 : outcomes->classes;
    return metric->order == ORDER_CONFIDENCE;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Probabilities are not negative, so their bits are in their order; the row breaks ties. */
static uint64_t sort_key(float value, bool falling, int64_t row)
{
    uint32_t bits;
    float plain = value + 0.0f; /* -0 has other bits than 0 */
    memcpy(&bits, &plain, sizeof bits);
    return (uint64_t)(falling ? ~bits : bits) << 32 | (uint64_t)row;
}

enum code metric_orders(const struct metric *metric, int32_t *order,
                        const struct outcomes *outcomes, struct err *err)
{
    int64_t lists = metric_order_lists(metric, outcomes), n = outcomes->n;
    void *memory = NULL;
    TRY(block_alloc(&memory, (size_t)n * sizeof(uint64_t) + 1, "an order of rows", err));
    uint64_t *keys = memory;
    bool falling = metric->order == ORDER_CLASSES;
    for (int64_t list = 0; list < lists; list++) {
        int64_t class = outcomes->classes == 2 ? 1 : list;
        for (int64_t i = 0; i < n; i++)
            keys[i] = sort_key(falling ? outcomes->probability[i * outcomes->classes + class]
                                       : outcomes->confidence[i],
                               falling, i);
        qsort(keys, (size_t)n, sizeof *keys, compare);
        for (int64_t i = 0; i < n; i++) order[list * n + i] = (int32_t)(uint32_t)keys[i];
    }
    block_free(memory);
    return OK;
}

/* Sums of parts: a mean or a ratio; the drop from the second subject to the first. */
static double value_of_parts(const struct metric *metric, const struct outcomes *outcomes)
{
    double above = 0, below = 0;
    for (int64_t i = 0; i < outcomes->n; i++) {
        struct row_part part = metric->row(outcomes, i);
        above += part.above;
        below += part.below;
    }
    double ratio = below > 0 ? above / below : NAN;
    return metric->finish ? metric->finish(ratio) : ratio;
}

static double share_changed(const struct outcomes *outcomes, const struct outcomes *others)
{
    double changed = 0;
    for (int64_t i = 0; i < outcomes->n; i++)
        changed += outcomes->prediction[i] != others->prediction[i];
    return changed / (double)outcomes->n;
}

static enum code value_of_corpus(const struct metric *metric, double *value,
                                 const struct outcomes *outcomes, struct err *err)
{
    void *memory = NULL;
    size_t scratch = (metric_scratch(outcomes) + 1) * sizeof(double);
    size_t orders = (size_t)metric_order_lists(metric, outcomes) * (size_t)outcomes->n;
    TRY(block_alloc(&memory, scratch + orders * sizeof(int32_t), "metric columns", err));
    struct outcomes sorted = *outcomes;
    int32_t *order = (int32_t *)(void *)((char *)memory + scratch);
    enum code code = OK;
    if (orders) code = metric_orders(metric, order, outcomes, err);
    sorted.order = order;
    if (!code) *value = metric->corpus(&sorted, NULL, memory);
    block_free(memory);
    return code;
}

enum code metric_value(const struct metric *metric, double *value, const struct outcomes *outcomes,
                       const struct outcomes *others, struct err *err)
{
    *value = NAN;
    if (metric->score || outcomes->n == 0) return OK;
    if (!metric_has_columns(metric, outcomes, others)) return OK;
    if (metric->corpus) return value_of_corpus(metric, value, outcomes, err);
    if (metric->drop)
        *value = value_of_parts(metric, others) - value_of_parts(metric, outcomes);
    else if (metric->needs & NEEDS_BASELINE)
        *value = share_changed(outcomes, others);
    else if (metric->row)
        *value = value_of_parts(metric, outcomes);
    return OK;
}

/* Room for the columns that a metric reads of classified rows. */
struct columns {
    void *memory;
    int32_t *prediction;
    float *confidence, *probability;
};

static enum code take_columns(struct columns *columns, const struct metric *metric, int64_t n,
                              int64_t k, struct err *err)
{
    bool guesses = metric->needs & NEEDS_GUESSES, all = metric->needs & NEEDS_PROBABILITIES;
    size_t rows = (size_t)n, numbers = rows * (guesses ? 2 : 0) + (all ? rows * (size_t)k : 0);
    *columns = (struct columns){ 0 };
    TRY(block_alloc(&columns->memory, numbers * sizeof(float) + 1, "metric columns", err));
    float *at = columns->memory;
    if (guesses) {
        columns->prediction = columns->memory;
        columns->confidence = at + n;
        at += 2 * n;
    }
    if (all) columns->probability = at;
    return OK;
}

static void keep_columns(struct columns *columns, int64_t row, const struct guess *guess,
                         const float *output, int64_t k)
{
    if (columns->prediction) {
        columns->prediction[row] = guess->prediction;
        columns->confidence[row] = (float)guess->confidence;
    }
    for (int64_t c = 0; columns->probability && c < k; c++)
        columns->probability[row * k + c] = guess_probability(guess, output[c]);
}

/* Classification: each row's guess, and its score or columns. */
static enum code classified(const struct metric *metric, double *value, const float *outputs,
                            const int32_t *labels, int64_t n, int64_t k, struct err *err)
{
    struct columns columns = { 0 };
    bool finite = true;
    double sum = 0;
    enum code code = take_columns(&columns, metric, n, k, err);
    if (code) goto out;
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
        keep_columns(&columns, i, &guess, row, k);
        if (metric->score)
            sum += metric->score(&(struct example){ .output = row,
                                                    .width = k,
                                                    .label = labels[i],
                                                    .log_sum = guess.log_sum,
                                                    .k = METRIC_K });
    }
    struct outcomes outcomes = { .n = n,
                                 .classes = k,
                                 .label = labels,
                                 .prediction = columns.prediction,
                                 .confidence = columns.confidence,
                                 .probability = columns.probability,
                                 .of_class = METRIC_CLASS };
    *value = metric->score ? sum / (double)n : NAN;
    if (!finite)
        *value = NAN;
    else if (!metric->score)
        code = metric_value(metric, value, &outcomes, NULL, err);
out:
    block_free(columns.memory);
    return code;
}

static enum code predicted(const struct metric *metric, double *value, const float *outputs,
                           const float *targets, int64_t n, int64_t width, struct err *err)
{
    bool finite = true;
    double sum = 0;
    for (int64_t i = 0; i < n * width; i++) finite = finite && isfinite(outputs[i]);
    *value = NAN;
    if (!finite) return OK;
    if (!metric->score) {
        struct outcomes outcomes = {
            .n = n, .width = width, .target = targets, .predicted = outputs, .quantile = 0.5
        };
        return metric_value(metric, value, &outcomes, NULL, err);
    }
    for (int64_t i = 0; i < n; i++)
        sum += metric->score(&(struct example){
            .output = outputs + i * width, .width = width, .target = targets + i * width });
    *value = isfinite(sum) ? sum / (double)n : NAN;
    return OK;
}

enum code metric_of_rows(const struct metric *metric, double *value, const float *outputs,
                         const void *targets, int64_t n, int64_t k, struct err *err)
{
    bool classes = metric->fits & FITS_CLASSIFICATION, numbers = metric->fits & FITS_REGRESSION;
    if (n <= 0) return err_set(err, USAGE, "cannot compute '%s' over no rows", metric->name);
    if (classes == numbers || metric->statistic == STATISTIC_DOCUMENT)
        return err_set(err, USAGE, "cannot compute '%s' from outputs: it is of kind %s",
                       metric->name, statistic_text(metric->statistic));
    if (metric->needs & NEEDS_BASELINE)
        return err_set(err, USAGE, "cannot compute '%s' from outputs: it compares two models",
                       metric->name);
    return classes ? classified(metric, value, outputs, targets, n, k, err)
                   : predicted(metric, value, outputs, targets, n, k, err);
}
