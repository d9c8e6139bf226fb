/* Scores of one row, and metrics of many rows together.
 *
 * Definitions agree with scikit-learn's where it has them (accuracy_score, top_k_accuracy_score up
 * to ties, log_loss, f1_score with average="macro", mean_squared_error, mean_absolute_error); ECE
 * is that of Guo et al., "On calibration of modern neural networks" (ICML 2017). */
#include "eval/metric_score.h"

#include "base/math.h"

#include <math.h>
#include <string.h>

bool guess_of(struct guess *guess, const float *output, int64_t width, int32_t label)
{
    *guess = (struct guess){
        .prediction = -1, .label_probability = NAN, .confidence = NAN, .log_sum = NAN
    };
    int64_t best = 0;
    for (int64_t c = 0; c < width; c++) {
        if (!isfinite(output[c])) return false;
        if (output[c] > output[best]) best = c;
    }
    double top = (double)output[best], sum = 0;
    for (int64_t c = 0; c < width; c++) sum += math_exp((double)output[c] - top);
    guess->prediction = (int32_t)best;
    guess->log_sum = top + math_log(sum);
    guess->confidence = 1 / sum;
    if (label >= 0) guess->label_probability = math_exp((double)output[label] - top) / sum;
    return true;
}

float guess_probability(const struct guess *guess, float output)
{
    return guess->prediction < 0 ? NAN : (float)math_exp((double)output - guess->log_sum);
}

/* Outputs that come before the label's: larger, or equal with a smaller class. */
static int64_t rank_of_label(const struct example *example)
{
    float own = example->output[example->label];
    int64_t rank = 0;
    for (int64_t c = 0; c < example->width; c++) {
        float other = example->output[c];
        rank += other > own || (other == own && c < example->label);
    }
    return rank;
}

double score_accuracy(const struct example *example)
{
    return rank_of_label(example) == 0;
}

double score_top_k(const struct example *example)
{
    return rank_of_label(example) < example->k;
}

double score_log_loss(const struct example *example)
{
    return example->log_sum - (double)example->output[example->label];
}

double score_mse(const struct example *example)
{
    double sum = 0;
    for (int64_t j = 0; j < example->width; j++) {
        double away = (double)example->output[j] - (double)example->target[j];
        sum += away * away;
    }
    return sum / (double)example->width;
}

double score_mae(const struct example *example)
{
    double sum = 0;
    for (int64_t j = 0; j < example->width; j++) {
        sum += fabs((double)example->output[j] - (double)example->target[j]);
    }
    return sum / (double)example->width;
}

double corpus_macro_f1(const struct outcomes *outcomes, const int32_t *pick, int64_t n,
                       double *scratch)
{
    int64_t classes = outcomes->classes;
    double *hit = scratch, *labelled = hit + classes, *predicted = labelled + classes;
    memset(scratch, 0, (size_t)(3 * classes) * sizeof *scratch);
    for (int64_t j = 0; j < n; j++) {
        int64_t i = pick ? pick[j] : j;
        int32_t label = outcomes->label[i], prediction = outcomes->prediction[i];
        labelled[label] += 1;
        predicted[prediction] += 1;
        if (label == prediction) hit[label] += 1;
    }
    double sum = 0, present = 0;
    for (int64_t c = 0; c < classes; c++) {
        double both = labelled[c] + predicted[c];
        if (both == 0) continue;
        sum += 2 * hit[c] / both;
        present += 1;
    }
    return sum / present;
}

int ece_bin(float confidence)
{
    int bin = (int)((double)confidence * ECE_BINS);
    /* Closed on the right: a confidence on an edge belongs to the bin below. */
    if (bin > 0 && (double)confidence * ECE_BINS <= bin) bin--;
    return bin < ECE_BINS ? bin : ECE_BINS - 1;
}

double corpus_ece(const struct outcomes *outcomes, const int32_t *pick, int64_t n, double *scratch)
{
    double *gap = scratch; /* sum of (correct - confidence) per bin */
    memset(gap, 0, ECE_BINS * sizeof *gap);
    for (int64_t j = 0; j < n; j++) {
        int64_t i = pick ? pick[j] : j;
        double confidence = (double)outcomes->confidence[i];
        gap[ece_bin(outcomes->confidence[i])] += (outcomes->label[i] == outcomes->prediction[i]) -
                                                 confidence;
    }
    double sum = 0;
    for (int bin = 0; bin < ECE_BINS; bin++) sum += fabs(gap[bin]);
    return sum / (double)n;
}
