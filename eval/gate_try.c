/* One gate: which rows, which numbers, what its method answers. */
#include "eval/gate_try.h"

#include "eval/gate_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct demand trial_demand(const struct gate *gate, bool clustered, bool overlapping)
{
    bool rows = gate->metric->statistic != STATISTIC_SYSTEM &&
                gate->metric->statistic != STATISTIC_EXACT && gate->rule != RULE_TREND;
    return (struct demand){ .metric = gate->metric,
                            .rule = gate->rule,
                            .bar = gate->bar,
                            .relative = gate->relative,
                            .tolerate = gate->tolerate,
                            .clustered = clustered && rows,
                            .overlapping = overlapping };
}

static void conclude(struct trial *trial, enum verdict verdict, enum reason reason)
{
    trial->verdict = verdict;
    trial->reason = reason;
}

static bool point_is_right(const struct trial *trial)
{
    double value = trial->answer.value, bar = trial->bar;
    if (trial->question.both) return value >= -bar && value <= bar;
    return trial->question.more ? value >= bar : value <= bar;
}

/* The answer is usable: pass by its bound, otherwise open until Holm has spoken. */
static void judge(struct trial *trial)
{
    bool exact = trial->gate->metric->statistic == STATISTIC_EXACT;
    if (trial->gate->point || exact)
        conclude(trial, point_is_right(trial) ? VERDICT_PASS : VERDICT_FAIL,
                 trial->gate->point ? REASON_POINT : REASON_BOUND);
    else
        conclude(trial, trial->answer.passes ? VERDICT_PASS : VERDICT_INCONCLUSIVE,
                 trial->answer.passes ? REASON_BOUND : REASON_COVERS);
}

/* What keeps a trial on rows from being decided by its numbers; false when nothing does. */
static bool is_hindered(struct trial *trial, const struct suite *suite, const struct rows *rows)
{
    const struct gate *gate = trial->gate;
    int64_t least = rows->first
                        ? (rows->sides[0] < rows->sides[1] ? rows->sides[0] : rows->sides[1])
                        : trial->n;
    if (rows->finite && !rows->other_finite) {
        conclude(trial, VERDICT_FAIL, REASON_BASELINE_NOT_FINITE);
    } else if (!rows->finite || isnan(trial->answer.value)) {
        conclude(trial, VERDICT_FAIL, REASON_NOT_FINITE);
    } else if (least < gate->min_examples) {
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_SMALL);
        trial->answer.needed = (double)gate->min_examples;
        if (suite->small_reported && !gate->goal) trial->counts = false;
    } else if (trial->answer.few && !gate->point) {
        bool clusters = rows->cluster && trial->answer.count < (double)trial->n;
        conclude(trial, VERDICT_INCONCLUSIVE, clusters ? REASON_CLUSTERS : REASON_FEW);
    } else if (trial->answer.degenerate && !gate->point) {
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_DEGENERATE);
    } else if (trial->answer.coarse && !gate->point) {
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_COARSE);
    } else {
        return false;
    }
    return true;
}

/* Whose rows a gate compares: a baseline's, or the model's own without the perturbation. Reasons
 * that end the trial come out as false. */
static bool find_subjects(struct trial *trial, struct row_question *question,
                          const struct suite *suite, const struct scores *scores)
{
    const struct gate *gate = trial->gate;
    question->subject = scores_under(scores, 0, gate->perturb);
    bool against_itself = !gate->against && gate->metric->needs & NEEDS_BASELINE;
    if (against_itself) question->other = scores_subject(scores, 0, 0);
    for (size_t i = 1; gate->against && i < scores->subject_count; i++)
        if (strcmp(scores_subject(scores, i, 0)->name, gate->against) == 0)
            question->other = scores_under(scores, i, gate->perturb);
    if (!question->subject || question->subject->missing) {
        conclude(trial, VERDICT_FAIL, REASON_CONDITION);
        return false;
    }
    if (!gate->against) return true;
    if (question->other && !question->other->missing) return true;
    bool there = false; /* a baseline that has answers, but not under this perturbation */
    for (size_t i = 1; i < scores->subject_count; i++)
        there = there || (strcmp(scores_subject(scores, i, 0)->name, gate->against) == 0 &&
                          !scores_subject(scores, i, 0)->missing);
    if (there)
        conclude(trial, VERDICT_FAIL, REASON_CONDITION);
    else
        conclude(trial, suite->first_passes ? VERDICT_PASS : VERDICT_INCONCLUSIVE, REASON_BASELINE);
    return false;
}

/* The earlier values and this one; false when there are too few to speak of a trend. */
static bool find_trend(struct decision *decision, struct trial *trial, const struct suite *suite,
                       double value, const struct decide_opts *opts)
{
    const json_t *list = json_object_get(opts->history, trial->gate->id);
    size_t known = json_array_size(list), last = (size_t)trial->gate->last - 1;
    size_t used = known < last ? known : last;
    double *trend = ARENA_ARRAY(&decision->arena, used + 1, double);
    for (size_t i = 0; i < used; i++)
        trend[i] = json_number_value(json_array_get(list, known - used + i));
    trend[used] = value;
    trial->trend = trend;
    trial->n = (int64_t)used + 1;
    if (used >= 2) return true;
    conclude(trial, suite->first_passes ? VERDICT_PASS : VERDICT_INCONCLUSIVE, REASON_HISTORY);
    return false;
}

/* The value of this version, then the slope through it and the versions before. */
static enum code ask_trend(struct decision *decision, struct trial *trial,
                           const struct suite *suite, struct sample *sample,
                           const struct decide_opts *opts, bool *asked, struct err *err)
{
    struct answer now;
    const struct method *alone = method_for(
        trial->gate->metric, trial->gate->metric->higher ? RULE_AT_LEAST : RULE_AT_MOST, 0);
    struct question plain = { .more = trial->gate->metric->higher, .alpha = decision->alpha };
    struct sample value = *sample;
    value.resamples = 0;
    TRY(method_ask(alone, &now, &value, &plain, err));
    *asked = find_trend(decision, trial, suite, now.value, opts);
    if (!*asked) {
        trial->answer.value = now.value;
        return OK;
    }
    *sample = (struct sample){ .metric = sample->metric,
                               .n = trial->n,
                               .trend = trial->trend,
                               .kept = sample->kept,
                               .path = sample->path,
                               .seed = sample->seed,
                               .threads = sample->threads };
    return method_ask(trial->method, &trial->answer, sample, &trial->question, err);
}

static enum code ask(struct decision *decision, struct trial *trial, const struct suite *suite,
                     const struct rows *rows, const struct row_question *question,
                     const struct decide_opts *opts, struct err *err)
{
    struct sample sample = rows_sample(rows, question);
    struct rows none = *rows;
    bool asked = true;
    sample.kept = decision->kept;
    sample.path = resample_path(&decision->arena, question, trial->slice);
    sample.seed = opts->seed;
    sample.resamples = decision->resamples;
    sample.threads = opts->threads;
    if (rows->finite && rows->other_finite) {
        if (trial->gate->rule == RULE_TREND) {
            TRY(ask_trend(decision, trial, suite, &sample, opts, &asked, err));
            none.cluster = NULL;
        } else {
            TRY(method_ask(trial->method, &trial->answer, &sample, &trial->question, err));
        }
    }
    if (!asked || is_hindered(trial, suite, &none)) return OK;
    judge(trial);
    bool alike = trial->verdict == VERDICT_INCONCLUSIVE && isinf(trial->answer.low) &&
                 trial->method->zero_margin;
    if (alike) trial->reason = REASON_ALIKE;
    return OK;
}

enum code try_quality(struct decision *decision, struct trial *trial, const struct suite *suite,
                      const struct scores *scores, const struct decide_opts *opts, struct err *err)
{
    const struct gate *gate = trial->gate;
    struct row_choice choice = { trial->slice, trial->label,
                                 gate->rule == RULE_GAP ? gate->gap : NULL };
    struct row_question question = {
        .metric = gate->metric, .k = gate->k, .of_class = gate->of_class, .q = gate->q
    };
    struct rows rows;
    if (!trial->slice) {
        conclude(trial, VERDICT_FAIL, REASON_MISSING);
        return OK;
    }
    trial->n = rows_count(scores, &choice);
    if (trial->n == 0) {
        conclude(trial, VERDICT_FAIL, REASON_EMPTY);
        return OK;
    }
    if (!find_subjects(trial, &question, suite, scores)) return OK;
    TRY(rows_gather(&rows, scores, &choice, &question, err));
    if (rows.overlapping) {
        struct demand demand = trial_demand(gate, scores->cluster != NULL, true);
        trial->method = method_of(&demand);
    }
    memcpy(trial->sides, rows.sides, sizeof trial->sides);
    enum code code = OK;
    if (!rows.held || !rows.other_held)
        conclude(trial, VERDICT_FAIL, REASON_MISSING);
    else if (rows.first && (!rows.sides[0] || !rows.sides[1]))
        conclude(trial, VERDICT_FAIL, REASON_EMPTY);
    else if (!trial->method)
        conclude(trial, VERDICT_FAIL, REASON_METHOD);
    else
        code = ask(decision, trial, suite, &rows, &question, opts, err);
    rows_release(&rows);
    return code;
}

static int compare_samples(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

enum code try_measured(struct trial *trial, const struct scores *scores,
                       const struct decide_opts *opts, struct err *err)
{
    const struct gate *gate = trial->gate;
    const struct measurement *measurement = scores_measurement(scores, gate->metric, gate->batch);
    if (!measurement || measurement->count == 0 || !trial->method) {
        conclude(trial, VERDICT_FAIL, REASON_MISSING);
        return OK;
    }
    trial->n = measurement->count;
    struct arena arena = { 0 };
    double *sorted = ARENA_ARRAY(&arena, trial->n, double);
    memcpy(sorted, measurement->sample, (size_t)trial->n * sizeof *sorted);
    qsort(sorted, (size_t)trial->n, sizeof *sorted, compare_samples);
    struct sample sample = { .metric = gate->metric, .n = trial->n, .measured = sorted };
    enum code code = method_ask(trial->method, &trial->answer, &sample, &trial->question, err);
    bool other = gate->machine && strcmp(gate->machine, "any") != 0 &&
                 (!opts->machine || strcmp(gate->machine, opts->machine) != 0);
    if (other)
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_MACHINE);
    else if (!gate->point && (trial->answer.degenerate || trial->answer.few))
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_SAMPLES);
    else
        judge(trial);
    arena_release(&arena);
    return code;
}
