/* Scores and parts of one row.
 *
 * Definitions agree with scikit-learn's where it has them (accuracy_score, top_k_accuracy_score up
 * to ties, log_loss, brier_score_loss over all classes, mean_squared_error, mean_absolute_error,
 * mean_pinball_loss, and precision, recall and F1 of one class). */
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

double score_brier(const struct example *example)
{
    double sum = 0;
    for (int64_t c = 0; c < example->width; c++) {
        double away = math_exp((double)example->output[c] - example->log_sum) -
                      (c == example->label);
        sum += away * away;
    }
    return sum;
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

struct row_part row_right(const struct outcomes *outcomes, int64_t row)
{
    return (struct row_part){ outcomes->prediction[row] == outcomes->label[row], 1 };
}

struct row_part row_precision(const struct outcomes *outcomes, int64_t row)
{
    bool predicted = outcomes->prediction[row] == outcomes->of_class;
    return (struct row_part){ predicted && outcomes->label[row] == outcomes->of_class, predicted };
}

struct row_part row_recall(const struct outcomes *outcomes, int64_t row)
{
    bool labelled = outcomes->label[row] == outcomes->of_class;
    return (struct row_part){ labelled && outcomes->prediction[row] == outcomes->of_class,
                              labelled };
}

struct row_part row_f1(const struct outcomes *outcomes, int64_t row)
{
    int labelled = outcomes->label[row] == outcomes->of_class;
    int predicted = outcomes->prediction[row] == outcomes->of_class;
    return (struct row_part){ 2 * labelled * predicted, labelled + predicted };
}

struct row_part row_quantile_loss(const struct outcomes *outcomes, int64_t row)
{
    double sum = 0, q = outcomes->quantile;
    for (int64_t j = 0; j < outcomes->width; j++) {
        int64_t at = row * outcomes->width + j;
        double over = (double)outcomes->target[at] - (double)outcomes->predicted[at];
        sum += over > 0 ? q * over : (q - 1) * over;
    }
    return (struct row_part){ sum / (double)outcomes->width, 1 };
}

struct row_part row_token_loss(const struct outcomes *outcomes, int64_t row)
{
    return (struct row_part){ outcomes->nll[row], outcomes->tokens[row] };
}

struct row_part row_byte_loss(const struct outcomes *outcomes, int64_t row)
{
    return (struct row_part){ outcomes->nll[row], outcomes->bytes[row] };
}

struct row_part row_token_right(const struct outcomes *outcomes, int64_t row)
{
    return (struct row_part){ outcomes->correct[row], outcomes->tokens[row] };
}

double finish_perplexity(double ratio)
{
    return math_exp(ratio);
}

double finish_bits(double ratio)
{
    return ratio / 0.69314718055994530942;
}
