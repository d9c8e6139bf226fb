/* The area under the ROC curve: DeLong's variance for one model, two models, and gaps.
 *
 * Every row has a part in the number; parts of classes, models and slices add up with their
 * weights. A lone area is bounded on the logit scale, where its distribution is nearer to normal
 * and bounds stay within (0, 1): Pepe, "The statistical evaluation of medical tests" (2003), 5.2.4.
 */
#include "base/arena.h"
#include "base/math.h"
#include "eval/method_run.h"

#include <math.h>
#include <string.h>

struct areas {
    int32_t *order, *chosen; /* [lists, n] sorted rows; [n] those of one slice */
    double *part;            /* [n] */
};

static enum code take(void **memory, struct areas *areas, const struct sample *sample,
                      struct err *err)
{
    size_t n = (size_t)sample->n;
    size_t lists = (size_t)metric_order_lists(sample->metric, sample->outcomes);
    TRY(block_alloc(memory, n * sizeof(double) + (lists + 1) * n * sizeof(int32_t), "ranked rows",
                    err));
    areas->part = *memory;
    areas->chosen = (int32_t *)(void *)(areas->part + n);
    areas->order = areas->chosen + n;
    return OK;
}

/* The mean area over the classes for which it is defined, of the rows in a slice (`in` NULL: all);
 * with `times` its parts are added that often. Two passes: how many classes there are first. */
static double mean_area(struct areas *areas, const struct outcomes *outcomes, const uint8_t *in,
                        double times)
{
    int64_t lists = outcomes->classes == 2 ? 1 : outcomes->classes;
    double sum = 0, defined = 0;
    for (int pass = 0; pass < 2; pass++) {
        double found = 0;
        for (int64_t list = 0; list < lists; list++) {
            int32_t class = outcomes->classes == 2 ? 1 : (int32_t)list;
            const int32_t *order = areas->order + list * outcomes->n;
            struct rank_rows rows = { .score = outcomes->probability + class,
                                      .order = in ? areas->chosen : order,
                                      .label = outcomes->label,
                                      .n = in ? 0 : outcomes->n,
                                      .stride = outcomes->classes,
                                      .positive = class };
            for (int64_t i = 0; in && i < outcomes->n; i++)
                if (in[order[i]]) areas->chosen[rows.n++] = order[i];
            double area = stats_auc(pass ? areas->part : NULL, &rows, times / defined);
            if (isnan(area)) continue;
            found += 1;
            sum += pass ? 0 : area;
        }
        if (found == 0) return NAN;
        defined = found;
    }
    return sum / defined;
}

/* The number in question; its variance is the sum of squares of areas->part. */
static enum code number_of(double *value, struct areas *areas, const struct sample *sample,
                           const struct question *question, struct err *err)
{
    double sign = method_sign(sample->metric), scale = question_scale(question);
    TRY(metric_orders(sample->metric, areas->order, sample->outcomes, err));
    if (sample->first) {
        *value = mean_area(areas, sample->outcomes, sample->first, 1) -
                 mean_area(areas, sample->outcomes, sample->second, -1);
        return OK;
    }
    *value = mean_area(areas, sample->outcomes, NULL, 1);
    if (!sample->others) return OK;
    TRY(metric_orders(sample->metric, areas->order, sample->others, err));
    *value = sign * (*value - scale * mean_area(areas, sample->others, NULL, -scale));
    return OK;
}

static double logit(double share)
{
    return math_log(share) - math_log1p(-share);
}

/* By the normal distribution, of the logit for a lone area. */
static void bound(struct answer *answer, const struct question *question, double error, bool lone)
{
    double z = math_normal_quantile(1 - question->alpha), value = answer->value;
    if (!lone) {
        answer->low = value - z * error;
        answer->high = value + z * error;
        answer_p(answer, question, math_normal_cdf((question->bar - value) / error),
                 math_normal_cdf((-question->bar - value) / error));
        return;
    }
    double middle = logit(value), wide = error / (value * (1 - value));
    double bar = logit(fmin(1, fmax(0, question->bar)));
    answer->low = 1 / (1 + math_exp(z * wide - middle));
    answer->high = 1 / (1 + math_exp(-z * wide - middle));
    answer_p(answer, question, math_normal_cdf((bar - middle) / wide), 0);
}

METHOD_RUN(run_delong)
{
    void *memory = NULL;
    struct areas areas;
    double value = NAN, variance = 0;
    answer_open(answer, value);
    if (!metric_has_columns(sample->metric, sample->outcomes, sample->others)) return OK;
    TRY(take(&memory, &areas, sample, err));
    enum code code = number_of(&value, &areas, sample, question, err);
    for (int64_t i = 0; i < sample->n; i++) variance += areas.part[i] * areas.part[i];
    answer_open(answer, value);
    bool lone = !sample->others && !sample->first;
    if (!code && isfinite(value) && variance > 0 && !(lone && (value <= 0 || value >= 1))) {
        double error = sqrt(variance);
        answer->degenerate = false;
        bound(answer, question, error, lone);
        answer_power(answer, question, sample->n, error);
    }
    block_free(memory);
    return code;
}
