/* Entering rows: from outputs of a model, or from what another program predicted. */
#include "eval/scores.h"

#include "base/math.h"

#include <float.h>
#include <math.h>
#include <string.h>

void scores_enter(struct scores *scores, struct subject *subject, int64_t row, const float *output)
{
    struct example example = { .output = output, .width = scores->width };
    bool finite = true;
    if (scores->task == TASK_CLASSIFICATION) {
        struct guess guess;
        example.width = scores->classes;
        example.label = scores->label[row];
        finite = guess_of(&guess, output, scores->classes, example.label);
        example.log_sum = guess.log_sum;
        subject->prediction[row] = guess.prediction;
        subject->label_probability[row] = (float)guess.label_probability;
        subject->confidence[row] = (float)guess.confidence;
        for (int64_t c = 0; scores->probabilities && c < scores->classes; c++)
            subject->probability[row * scores->classes + c] = guess_probability(&guess, output[c]);
    } else {
        size_t bytes = (size_t)scores->width * sizeof(float);
        example.target = scores->target + row * scores->width;
        memcpy(subject->predicted + row * scores->width, output, bytes);
        for (int64_t j = 0; j < scores->width; j++) finite = finite && isfinite(output[j]);
    }
    for (size_t k = 0; k < scores->kind_count; k++) {
        example.k = scores->kinds[k].k;
        subject->score[k][row] = finite ? scores->kinds[k].metric->score(&example) : NAN;
    }
}

/* A class of probability 0 has no logarithm: this stands for it, and a loss that comes of it is
 * infinite. Anything finite would be an invention. */
static const float NO_CHANCE = -FLT_MAX;

static void enter_guess(struct scores *scores, struct subject *subject, int64_t row,
                        const struct guess *guess, const float *share)
{
    subject->prediction[row] = guess->prediction;
    subject->label_probability[row] = (float)guess->label_probability;
    subject->confidence[row] = (float)guess->confidence;
    size_t bytes = (size_t)scores->classes * sizeof *share;
    if (scores->probabilities) memcpy(subject->probability + row * scores->classes, share, bytes);
}

void scores_enter_shares(struct scores *scores, struct subject *subject, int64_t row,
                         const float *share, int32_t prediction, float *logit)
{
    int64_t classes = scores->classes;
    double sum = 0;
    struct guess guess = { prediction, NAN, NAN, NAN };
    struct example ranked = { .output = share, .width = classes, .label = scores->label[row] };
    for (int64_t c = 0; c < classes; c++) sum += (double)share[c];
    if (prediction >= 0) {
        guess.confidence = (double)share[prediction] / sum;
        guess.label_probability = (double)share[ranked.label] / sum;
        guess.log_sum = math_log(sum);
    }
    enter_guess(scores, subject, row, &guess, share);
    for (int64_t c = 0; c < classes; c++)
        logit[c] = share[c] > 0 ? (float)math_log((double)share[c]) : NO_CHANCE;
    struct example weighed = ranked;
    weighed.output = logit;
    weighed.log_sum = guess.log_sum;
    for (size_t k = 0; k < scores->kind_count; k++) {
        const struct metric *metric = scores->kinds[k].metric;
        ranked.k = scores->kinds[k].k;
        /* Order is taken from the probabilities themselves: logarithms would join neighbours. */
        bool order = metric->statistic == STATISTIC_PROPORTION;
        double score = prediction < 0 ? NAN : metric->score(order ? &ranked : &weighed);
        subject->score[k][row] = score > (double)FLT_MAX / 4 ? INFINITY : score;
        if (strcmp(metric->name, "accuracy") == 0 && prediction >= 0)
            subject->score[k][row] = prediction == ranked.label;
    }
}

void scores_enter_class(struct scores *scores, struct subject *subject, int64_t row,
                        int32_t prediction)
{
    subject->prediction[row] = prediction;
    for (size_t k = 0; k < scores->kind_count; k++)
        if (subject->score[k])
            subject->score[k][row] = prediction < 0 ? NAN : prediction == scores->label[row];
}

void scores_enter_tokens(struct scores *scores, struct subject *subject, int64_t row,
                         const struct predictions *predictions)
{
    subject->nll[row] = predictions->nll[row];
    subject->tokens[row] = predictions->tokens[row];
    if (scores->bytes) subject->bytes[row] = predictions->bytes[row];
    if (scores->correct) subject->correct[row] = predictions->correct[row];
}
