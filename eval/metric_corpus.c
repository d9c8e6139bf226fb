/* Metrics that are a function of all rows together.
 *
 * Definitions agree with scikit-learn's where it has them: precision_score and f1_score with
 * average="macro" and zero_division=0, balanced_accuracy_score, matthews_corrcoef, roc_auc_score
 * (binary, or one-vs-rest with average="macro"), average_precision_score, r2_score. ECE is that of
 * Guo et al., "On calibration of modern neural networks" (ICML 2017). */
#include "base/math.h"
#include "eval/metric_score.h"

#include <math.h>
#include <string.h>

static double times(const int32_t *weight, int64_t row)
{
    return weight ? weight[row] : 1;
}

/* Right rows, rows with the label and rows with the prediction, for each class. */
struct cells {
    double *hit, *labelled, *predicted; /* [classes] */
    double all, right;
};

static struct cells count_cells(const struct outcomes *outcomes, const int32_t *weight,
                                double *scratch)
{
    int64_t classes = outcomes->classes;
    struct cells cells = { scratch, scratch + classes, scratch + 2 * classes, 0, 0 };
    memset(scratch, 0, (size_t)(3 * classes) * sizeof *scratch);
    for (int64_t i = 0; i < outcomes->n; i++) {
        int32_t label = outcomes->label[i], prediction = outcomes->prediction[i];
        double rows = times(weight, i);
        cells.labelled[label] += rows;
        cells.predicted[prediction] += rows;
        cells.all += rows;
        if (label != prediction) continue;
        cells.hit[label] += rows;
        cells.right += rows;
    }
    return cells;
}

double corpus_macro_precision(const struct outcomes *outcomes, const int32_t *weight,
                              double *scratch)
{
    struct cells cells = count_cells(outcomes, weight, scratch);
    double sum = 0, present = 0;
    for (int64_t c = 0; c < outcomes->classes; c++) {
        if (cells.predicted[c] > 0) sum += cells.hit[c] / cells.predicted[c];
        present += cells.labelled[c] + cells.predicted[c] > 0;
    }
    return sum / present;
}

double corpus_macro_f1(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    struct cells cells = count_cells(outcomes, weight, scratch);
    double sum = 0, present = 0;
    for (int64_t c = 0; c < outcomes->classes; c++) {
        double both = cells.labelled[c] + cells.predicted[c];
        if (both == 0) continue;
        sum += 2 * cells.hit[c] / both;
        present += 1;
    }
    return sum / present;
}

double corpus_balanced_accuracy(const struct outcomes *outcomes, const int32_t *weight,
                                double *scratch)
{
    struct cells cells = count_cells(outcomes, weight, scratch);
    double sum = 0, present = 0;
    for (int64_t c = 0; c < outcomes->classes; c++) {
        if (cells.labelled[c] == 0) continue;
        sum += cells.hit[c] / cells.labelled[c];
        present += 1;
    }
    return sum / present;
}

/* Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient"
 * (Computational Biology and Chemistry 28, 2004); 0 when either side has one class only. */
double corpus_mcc(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    struct cells cells = count_cells(outcomes, weight, scratch);
    double both = 0, labels = 0, predictions = 0, all = cells.all * cells.all;
    for (int64_t c = 0; c < outcomes->classes; c++) {
        both += cells.labelled[c] * cells.predicted[c];
        labels += cells.labelled[c] * cells.labelled[c];
        predictions += cells.predicted[c] * cells.predicted[c];
    }
    double spread = sqrt(all - labels) * sqrt(all - predictions);
    return spread > 0 ? (cells.right * cells.all - both) / spread : 0;
}

/* A class's ranked rows. */
struct ranked {
    const struct outcomes *outcomes;
    const int32_t *order, *weight;
    int32_t positive;
};

/* The next rows of equal probability from place `at`: how many of them are negative, positive.
 * Returns the place after them. */
static int64_t next_tie(double tied[2], const struct ranked *ranked, int64_t at)
{
    const struct outcomes *outcomes = ranked->outcomes;
    const float *score = outcomes->probability + ranked->positive;
    float first = score[ranked->order[at] * outcomes->classes];
    tied[0] = tied[1] = 0;
    for (; at < outcomes->n; at++) {
        int64_t row = ranked->order[at];
        if (score[row * outcomes->classes] != first) break;
        tied[outcomes->label[row] == ranked->positive] += times(ranked->weight, row);
    }
    return at;
}

/* The share of (positive, negative) pairs in the right order; NaN without any. */
static double ranked_area(const struct ranked *ranked)
{
    double above[2] = { 0, 0 }, wrong = 0, tied[2];
    for (int64_t at = 0; at < ranked->outcomes->n;) {
        at = next_tie(tied, ranked, at);
        wrong += tied[1] * (above[0] + 0.5 * tied[0]);
        above[0] += tied[0];
        above[1] += tied[1];
    }
    double pairs = above[0] * above[1];
    return pairs > 0 ? 1 - wrong / pairs : NAN;
}

/* Average precision: the precision at each threshold, weighted by the recall it adds; NaN without
 * positives. */
static double ranked_precision(const struct ranked *ranked)
{
    double above[2] = { 0, 0 }, sum = 0, tied[2];
    for (int64_t at = 0; at < ranked->outcomes->n;) {
        at = next_tie(tied, ranked, at);
        above[0] += tied[0];
        above[1] += tied[1];
        if (tied[1] > 0) sum += tied[1] * above[1] / (above[0] + above[1]);
    }
    return above[1] > 0 ? sum / above[1] : NAN;
}

/* Class 1 of two, or the mean over the classes for which it is defined. */
static double over_classes(const struct outcomes *outcomes, const int32_t *weight,
                           double (*value)(const struct ranked *ranked))
{
    struct ranked ranked = { outcomes, outcomes->order, weight, 1 };
    if (outcomes->classes == 2) return value(&ranked);
    double sum = 0, defined = 0;
    for (int32_t c = 0; c < outcomes->classes; c++) {
        ranked.positive = c;
        ranked.order = outcomes->order + c * outcomes->n;
        double of_class = value(&ranked);
        if (isnan(of_class)) continue;
        sum += of_class;
        defined += 1;
    }
    return defined > 0 ? sum / defined : NAN;
}

double corpus_roc_auc(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    (void)scratch;
    return over_classes(outcomes, weight, ranked_area);
}

double corpus_pr_auc(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    (void)scratch;
    return over_classes(outcomes, weight, ranked_precision);
}

int ece_bin(float confidence)
{
    int bin = (int)((double)confidence * ECE_BINS);
    /* Closed on the right: a confidence on an edge belongs to the bin below. */
    if (bin > 0 && (double)confidence * ECE_BINS <= bin) bin--;
    return bin < ECE_BINS ? bin : ECE_BINS - 1;
}

/* Rows, right rows and the sum of confidences of each bin. */
struct bins {
    double rows[ECE_BINS], right[ECE_BINS], confidence[ECE_BINS], all;
};

static void add_to_bin(struct bins *bins, int bin, const struct outcomes *outcomes, int64_t row,
                       double rows)
{
    bins->rows[bin] += rows;
    bins->right[bin] += outcomes->label[row] == outcomes->prediction[row] ? rows : 0;
    bins->confidence[bin] += rows * (double)outcomes->confidence[row];
    bins->all += rows;
}

static void fill_bins(struct bins *bins, const struct outcomes *outcomes, const int32_t *weight)
{
    *bins = (struct bins){ .all = 0 };
    for (int64_t i = 0; i < outcomes->n; i++)
        add_to_bin(bins, ece_bin(outcomes->confidence[i]), outcomes, i, times(weight, i));
}

double corpus_ece(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    (void)scratch;
    struct bins bins;
    fill_bins(&bins, outcomes, weight);
    double sum = 0;
    for (int b = 0; b < ECE_BINS; b++) sum += fabs(bins.right[b] - bins.confidence[b]);
    return sum / bins.all;
}

/* E |N(gap, spread^2)|, gap >= 0: how large a gap looks under its own noise. */
static double folded_mean(double gap, double spread)
{
    if (gap >= 9 * spread) return gap; /* as f64 has it */
    double z = gap / spread;
    return spread * 0.79788456080286535588 * math_exp(-0.5 * z * z) +
           gap * (1 - 2 * math_normal_cdf(-z));
}

/* Each bin's gap less what noise adds to it: Kumar, Liang, Ma, "Verified uncertainty calibration"
 * (NeurIPS 2019), whose simulated bias is the folded normal's mean here. Not below 0. */
static double debiased(const struct bins *bins)
{
    double sum = 0;
    for (int b = 0; b < ECE_BINS; b++) {
        double rows = bins->rows[b];
        if (rows == 0) continue;
        double share = bins->right[b] / rows, gap = fabs(share - bins->confidence[b] / rows);
        double spread = sqrt(share * (1 - share) / rows);
        sum += rows * (2 * gap - folded_mean(gap, spread));
    }
    return sum > 0 ? sum / bins->all : 0;
}

double corpus_ece_debiased(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    (void)scratch;
    struct bins bins;
    fill_bins(&bins, outcomes, weight);
    return debiased(&bins);
}

/* Bins of equally many rows by rising confidence (Nixon et al., "Measuring calibration in deep
 * learning", 2019), debiased: the row before which a share s of all rows lies is in bin 15 s. */
double corpus_adaptive_ece(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    (void)scratch;
    struct bins bins = { .all = 0 };
    double all = 0, before = 0;
    for (int64_t i = 0; i < outcomes->n; i++) all += times(weight, i);
    for (int64_t i = 0; i < outcomes->n; i++) {
        int64_t row = outcomes->order[i];
        double rows = times(weight, row);
        int bin = (int)(ECE_BINS * before / all);
        add_to_bin(&bins, bin < ECE_BINS ? bin : ECE_BINS - 1, outcomes, row, rows);
        before += rows;
    }
    return debiased(&bins);
}

double corpus_r2(const struct outcomes *outcomes, const int32_t *weight, double *scratch)
{
    (void)scratch;
    double sum = 0;
    for (int64_t j = 0; j < outcomes->width; j++) {
        double all = 0, mean = 0, error = 0, spread = 0;
        for (int64_t i = 0; i < outcomes->n; i++) {
            mean += times(weight, i) * (double)outcomes->target[i * outcomes->width + j];
            all += times(weight, i);
        }
        mean /= all;
        for (int64_t i = 0; i < outcomes->n; i++) {
            double target = (double)outcomes->target[i * outcomes->width + j];
            double away = target - (double)outcomes->predicted[i * outcomes->width + j];
            error += times(weight, i) * away * away;
            spread += times(weight, i) * (target - mean) * (target - mean);
        }
        if (spread > 0)
            sum += 1 - error / spread;
        else
            sum += error == 0;
    }
    return sum / (double)outcomes->width;
}
