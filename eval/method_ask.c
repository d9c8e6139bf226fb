/* The one way to use a method: what it needs is checked here, so that no caller can forget it. */
#include "base/math.h"
#include "eval/method_run.h"

#include <math.h>
#include <string.h>

static const double POWER = 0.8;

/* Whether an answer lies on the right side with all of its interval. */
static bool lies_right(const struct answer *answer, const struct question *question)
{
    if (question->both) return answer->low >= -question->bar && answer->high <= question->bar;
    return question->more ? answer->low >= question->bar : answer->high <= question->bar;
}

static bool all_finite(const double *column, int64_t n)
{
    for (int64_t i = 0; column && i < n; i++)
        if (!isfinite(column[i])) return false;
    return true;
}

static bool finite_floats(const float *column, int64_t n)
{
    for (int64_t i = 0; column && i < n; i++)
        if (!isfinite(column[i])) return false;
    return true;
}

/* Whether the columns that the metric reads are numbers, with a prediction in each row. */
static bool usable_columns(const struct metric *metric, const struct outcomes *outcomes)
{
    unsigned needs = metric->needs;
    int64_t n = outcomes->n;
    for (int64_t i = 0; needs & NEEDS_GUESSES && i < n; i++)
        if (outcomes->prediction[i] < 0) return false;
    if (needs & NEEDS_CONFIDENCE && !finite_floats(outcomes->confidence, n)) return false;
    if (needs & NEEDS_PROBABILITIES && !finite_floats(outcomes->probability, n * outcomes->classes))
        return false;
    if (needs & NEEDS_TARGETS && !finite_floats(outcomes->predicted, n * outcomes->width))
        return false;
    if (needs & NEEDS_TOKENS && !(all_finite(outcomes->nll, n) && all_finite(outcomes->tokens, n)))
        return false;
    if (needs & NEEDS_BYTES && !all_finite(outcomes->bytes, n)) return false;
    return !(needs & NEEDS_CORRECT) || all_finite(outcomes->correct, n);
}

static bool is_usable(const struct method *method, const struct sample *sample)
{
    const struct metric *metric = sample->metric;
    int64_t n = sample->n;
    if (method->statistic == STATISTIC_COUNT) return sample->trend && all_finite(sample->trend, n);
    if (method->statistic == STATISTIC_SYSTEM || method->statistic == STATISTIC_EXACT)
        return sample->measured && all_finite(sample->measured, n);
    if (metric->score)
        return sample->score && all_finite(sample->score, n) && all_finite(sample->other, n) &&
               (sample->other || !method->paired);
    if (!metric_has_columns(metric, sample->outcomes, sample->others)) return false;
    if (method->paired && !sample->others) return false;
    return usable_columns(metric, sample->outcomes) &&
           (!sample->others || usable_columns(metric, sample->others));
}

/* The sum below the line, counted in its heaviest row: where few rows carry it, there is little to
 * resample. */
static double below_line(const struct metric *metric, const struct outcomes *outcomes,
                         const uint8_t *in)
{
    double sum = 0, most = 0;
    for (int64_t i = 0; i < outcomes->n; i++) {
        double below = in && !in[i] ? 0 : metric->row(outcomes, i).below;
        sum += below;
        if (below > most) most = below;
    }
    return most > 0 ? sum / most : 0;
}

/* The least class that occurs. */
static double rarest_class(const struct outcomes *outcomes, const uint8_t *in)
{
    double least = INFINITY;
    for (int32_t class = 0; class < outcomes->classes; class ++) {
        double found = 0;
        for (int64_t i = 0; i < outcomes->n; i++)
            found += (!in || in[i]) && outcomes->label[i] == class;
        if (found > 0 && found < least) least = found;
    }
    return least;
}

/* How many rows of the rarer kind there are in a slice; infinite where there are no kinds. */
static double rare_rows(const struct sample *sample, const uint8_t *in)
{
    const struct metric *metric = sample->metric;
    if (metric->statistic == STATISTIC_RATIO) {
        double own = below_line(metric, sample->outcomes, in);
        double other = sample->others ? below_line(metric, sample->others, in) : own;
        return fmin(own, other);
    }
    return metric->order == ORDER_CLASSES ? rarest_class(sample->outcomes, in) : INFINITY;
}

/* Rows or clusters, in the smaller slice of a gap. */
static enum code count_units(double *units, const struct method *method,
                             const struct sample *sample, struct err *err)
{
    double in[2] = { 0, 0 };
    *units = (double)sample->n;
    for (int64_t i = 0; sample->first && i < sample->n; i++) {
        in[0] += sample->first[i];
        in[1] += sample->second[i];
    }
    if (sample->first) *units = fmin(in[0], in[1]);
    if (!method->clustered || *units == 0) return OK;
    int64_t clusters;
    TRY(cluster_numbers(NULL, &clusters, sample, err));
    *units = fmin(*units, (double)clusters);
    return OK;
}

/* How many rows of the rarer kind there must be: an area near 1 rests on the few rows that are out
 * of order. Only a lone area has such a bar. */
static double rare_least(const struct method *method, const struct question *question)
{
    double near = fmin(question->bar, 1 - question->bar), least = (double)method->smallest_rare;
    if (!method->smallest_beyond || !(near > 0)) return least;
    return fmax(least, ceil((double)method->smallest_beyond / near));
}

static enum code count_rows(struct answer *answer, const struct method *method,
                            const struct sample *sample, const struct question *question,
                            struct err *err)
{
    double rare = INFINITY, least = rare_least(method, question);
    TRY(count_units(&answer->count, method, sample, err));
    answer->few = answer->count < (double)method->smallest_n;
    if (answer->few) answer->needed = (double)method->smallest_n;
    if (!method->smallest_rare || answer->few) return OK;
    rare = sample->first ? fmin(rare_rows(sample, sample->first), rare_rows(sample, sample->second))
                         : rare_rows(sample, NULL);
    if (rare >= least) return OK;
    answer->few = true;
    answer->needed = rare > 0 ? ceil((double)sample->n * least / rare) : 0;
    answer->count = rare;
    return OK;
}

enum code method_ask(const struct method *method, struct answer *answer,
                     const struct sample *sample, const struct question *question, struct err *err)
{
    struct answer seen = { 0 };
    answer_open(answer, NAN);
    if (sample->n <= 0 || !is_usable(method, sample)) return OK;
    if (method->clustered != (sample->cluster != NULL)) return OK;
    TRY(count_rows(&seen, method, sample, question, err));
    if (seen.few) {
        struct sample only_value = *sample;
        only_value.resamples = 0;
        TRY(method->run(answer, &only_value, question, err));
        answer_open(answer, answer->value);
        answer->needed = seen.needed;
    } else {
        TRY(method->run(answer, sample, question, err));
    }
    answer->few = seen.few;
    answer->count = seen.count;
    bool usable = !answer->few && !answer->degenerate && !answer->coarse;
    answer->passes = usable && isfinite(answer->value) && lies_right(answer, question);
    return OK;
}

/* The chance that so many hits come that the exact bound passes. */
static double exact_chance(const struct question *question, int64_t n, double truth)
{
    double bar = fmin(1, fmax(0, question->bar));
    int64_t low = 0, high = n + 1; /* more: fewest hits that pass; less: fewest that do not */
    while (low < high) {
        int64_t hits = low + (high - low) / 2;
        bool reached = question->more ? stats_proportion_low(hits, n, question->alpha) >= bar
                                      : stats_proportion_high(hits, n, question->alpha) > bar;
        if (reached)
            high = hits;
        else
            low = hits + 1;
    }
    return question->more ? math_binomial_tail(low, n, truth)
                          : math_binomial_cdf(low - 1, n, truth);
}

static double normal_chance(const struct question *question, const struct outlook *outlook)
{
    double error = outlook->deviation / sqrt((double)outlook->n);
    double reach = math_normal_quantile(1 - question->alpha) * error;
    double over = question->more ? outlook->truth - question->bar : question->bar - outlook->truth;
    if (error == 0) return question->both ? fabs(outlook->truth) <= question->bar : over >= 0;
    if (!question->both) return math_normal_cdf((over - reach) / error);
    double room = question->bar - reach;
    if (room <= 0) return 0;
    return math_normal_cdf((room - outlook->truth) / error) -
           math_normal_cdf((-room - outlook->truth) / error);
}

static double chance_of(const struct method *method, const struct question *question,
                        const struct outlook *outlook)
{
    if (outlook->n < method->smallest_n) return 0;
    if (method->statistic == STATISTIC_EXACT)
        return question->more ? outlook->truth >= question->bar : outlook->truth <= question->bar;
    return method->run == run_clopper_pearson ? exact_chance(question, outlook->n, outlook->truth)
                                              : normal_chance(question, outlook);
}

/* The distance from the bar at which the chance reaches 80 %, by bisection. */
static double smallest_seen(const struct method *method, const struct question *question,
                            const struct outlook *outlook)
{
    double sign = question->both ? -1 : question->more ? 1 : -1, near = 0, far = 1;
    struct outlook at = *outlook;
    if (method->run == run_clopper_pearson)
        far = question->more ? 1 - question->bar : question->bar;
    else if (!question->both)
        far = 8 * outlook->deviation / sqrt((double)outlook->n);
    else
        far = question->bar;
    at.truth = question->bar + sign * far;
    if (!(chance_of(method, question, &at) >= POWER)) return INFINITY;
    for (int step = 0; step < 50; step++) {
        double middle = 0.5 * (near + far);
        at.truth = question->bar + sign * middle;
        if (chance_of(method, question, &at) >= POWER)
            far = middle;
        else
            near = middle;
    }
    return far;
}

static double rows_for_power(const struct method *method, const struct question *question,
                             const struct outlook *outlook)
{
    struct outlook at = *outlook;
    int64_t few = 0, enough = method->smallest_n > 1 ? method->smallest_n : 1;
    for (at.n = enough; chance_of(method, question, &at) < POWER; at.n = enough) {
        few = enough;
        enough *= 2;
        if (enough > (int64_t)1 << 40) return 0;
    }
    while (enough - few > 1) {
        at.n = few + (enough - few) / 2;
        if (chance_of(method, question, &at) >= POWER)
            enough = at.n;
        else
            few = at.n;
    }
    return (double)enough;
}

struct prospect method_prospect(const struct method *method, const struct question *question,
                                const struct outlook *outlook)
{
    struct prospect prospect = { NAN, NAN, 0 };
    if (method->statistic == STATISTIC_SYSTEM || outlook->n <= 0) return prospect;
    prospect.chance = chance_of(method, question, outlook);
    if (method->statistic == STATISTIC_EXACT) return prospect;
    prospect.smallest = smallest_seen(method, question, outlook);
    prospect.needed = rows_for_power(method, question, outlook);
    return prospect;
}
