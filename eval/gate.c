/* Deciding: from trials through methods to verdicts. */
#include "eval/gate.h"

#include "base/rng.h"
#include "eval/gate_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES_LEAST = 2000, RESAMPLES_MOST = 200000, TAIL_RESAMPLES = 20 };

const char *verdict_text(enum verdict verdict)
{
    static const char *const texts[VERDICT_COUNT] = { "pass", "fail", "inconclusive" };
    return texts[verdict];
}

enum code verdict_code(enum verdict verdict)
{
    static const enum code codes[VERDICT_COUNT] = { OK, GATE_FAILED, INCONCLUSIVE };
    return codes[verdict];
}

const char *reason_word(enum reason reason)
{
    static const char *const words[REASON_COUNT] = {
#define X(name, word, text) word,
        REASONS(X)
#undef X
    };
    return words[reason];
}

const char *reason_text(enum reason reason)
{
    static const char *const texts[REASON_COUNT] = {
#define X(name, word, text) text,
        REASONS(X)
#undef X
    };
    return texts[reason];
}

uint64_t decision_seed(const struct digest *suite, const struct digest *data,
                       const struct digest *model)
{
    struct digest parts[] = { *suite, *data, *model };
    struct digest digest = digest_of(parts, sizeof parts);
    uint64_t seed = 0;
    for (int i = 0; i < 8; i++) seed |= (uint64_t)digest.bytes[i] << (8 * i);
    return seed;
}

static bool is_measured(const struct metric *metric)
{
    return metric->statistic == STATISTIC_SYSTEM || metric->statistic == STATISTIC_EXACT;
}

/* Gates become trials: one each, or one for each label. */
static void expand(struct decision *decision, const struct suite *suite,
                   const struct scores *scores)
{
    struct arena *arena = &decision->arena;
    size_t room = 0;
    for (size_t g = 0; g < suite->gate_count; g++)
        room += suite->gates[g].slice ? 1 : (size_t)scores->classes + 1;
    decision->trials = ARENA_ARRAY(arena, room, struct trial);
    for (size_t g = 0; g < suite->gate_count; g++) {
        const struct gate *gate = &suite->gates[g];
        double moved = rule_wants_more(gate->rule) ? -gate->tolerate : gate->tolerate;
        double bar = gate->rule == RULE_NOT_WORSE_BY ? -gate->bar : gate->bar;
        struct trial trial = { .gate = gate,
                               .id = gate->id,
                               .slice = gate->slice,
                               .label = -1,
                               .measured = is_measured(gate->metric),
                               .bar = bar + moved,
                               .method = method_for(gate->metric, gate->rule, bar + moved),
                               .counts = !gate->warn };
        for (int32_t label = 0; !gate->slice && label < scores->classes; label++) {
            trial.label = label;
            trial.slice = arena_format(arena, "label=%d", label);
            trial.id = arena_format(arena, "%s/%s", gate->id, trial.slice);
            decision->trials[decision->count++] = trial;
        }
        if (gate->slice || scores->classes == 0) decision->trials[decision->count++] = trial;
    }
}

/* Whether the trial belongs to the family that Holm's correction is over. By the suite alone, so
 * that no result changes how another one is judged. */
static bool in_family(const struct trial *trial)
{
    return !trial->gate->warn && !trial->gate->point &&
           trial->gate->metric->statistic != STATISTIC_EXACT;
}

static size_t family_size(const struct decision *decision, bool measured)
{
    size_t count = 0;
    for (size_t i = 0; i < decision->count; i++)
        count += in_family(&decision->trials[i]) && decision->trials[i].measured == measured;
    return count;
}

static void conclude(struct trial *trial, enum verdict verdict, enum reason reason)
{
    trial->verdict = verdict;
    trial->reason = reason;
}

/* The answer is usable: pass by its bound, otherwise open until Holm has spoken. */
static void judge(struct trial *trial)
{
    bool more = rule_wants_more(trial->gate->rule);
    const struct answer *answer = &trial->answer;
    if (trial->gate->point || trial->gate->metric->statistic == STATISTIC_EXACT) {
        bool right = more ? answer->value >= trial->bar : answer->value <= trial->bar;
        conclude(trial, right ? VERDICT_PASS : VERDICT_FAIL,
                 trial->gate->point ? REASON_POINT : REASON_BOUND);
        return;
    }
    bool passes = more ? answer->low >= trial->bar : answer->high <= trial->bar;
    conclude(trial, passes ? VERDICT_PASS : VERDICT_INCONCLUSIVE,
             passes ? REASON_BOUND : REASON_COVERS);
}

/* What keeps a quality trial from being decided by its numbers; false when nothing does. */
static bool is_hindered(struct trial *trial, const struct suite *suite, const struct rows *rows)
{
    const struct gate *gate = trial->gate;
    if (!rows->finite) {
        conclude(trial, VERDICT_FAIL, REASON_NOT_FINITE);
    } else if (!rows->other_finite) {
        conclude(trial, VERDICT_FAIL, REASON_BASELINE_NOT_FINITE);
    } else if (trial->n < gate->min_examples) {
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_SMALL);
        trial->answer.needed = (double)gate->min_examples;
        if (suite->small_reported) trial->counts = false;
    } else if (trial->n < trial->method->smallest_n && !gate->point) {
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_FEW);
        trial->answer.needed = (double)trial->method->smallest_n;
    } else if (trial->answer.degenerate && !gate->point) {
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_DEGENERATE);
    } else {
        return false;
    }
    return true;
}

const char *resample_path(struct arena *arena, const struct metric *metric, int64_t k,
                          const char *slice, const char *subject, const char *baseline)
{
    return arena_format(arena, "%s/%lld/%s/%s%s%s", metric->name, (long long)k, slice, subject,
                        baseline ? "/" : "", baseline ? baseline : "");
}

static enum code try_quality(struct decision *decision, struct trial *trial,
                             const struct suite *suite, const struct scores *scores,
                             const struct decide_opts *opts, struct err *err)
{
    const struct gate *gate = trial->gate;
    struct row_choice choice = { trial->slice, trial->label };
    const struct subject *baseline = NULL;
    for (size_t i = 1; gate->against && i < scores->subject_count; i++)
        if (strcmp(scores->subjects[i].name, gate->against) == 0) baseline = &scores->subjects[i];
    int kind = scores_kind(scores, gate->metric, gate->k);
    bool there = gate->metric->corpus ? scores->task == TASK_CLASSIFICATION : kind >= 0;
    if (!there || !trial->slice) {
        conclude(trial, VERDICT_FAIL, REASON_MISSING);
        return OK;
    }
    trial->n = rows_count(scores, choice);
    if (trial->n == 0) {
        conclude(trial, VERDICT_FAIL, REASON_EMPTY);
        return OK;
    }
    if (gate->against && (!baseline || baseline->missing)) {
        conclude(trial, suite->first_passes ? VERDICT_PASS : VERDICT_INCONCLUSIVE, REASON_BASELINE);
        return OK;
    }
    struct rows rows;
    TRY(rows_gather(&rows, scores, choice, kind, &scores->subjects[0], baseline, err));
    struct sample sample = {
        .metric = gate->metric,
        .n = trial->n,
        .score = rows.score,
        .other = baseline ? rows.other : NULL,
        .outcomes = gate->metric->corpus ? &rows.outcomes : NULL,
        .others = gate->metric->corpus && baseline ? &rows.others : NULL,
        .kept = decision->kept,
        .path = resample_path(&decision->arena, gate->metric, gate->k, trial->slice,
                              scores->subjects[0].name, baseline ? baseline->name : NULL),
        .seed = opts->seed,
        .resamples = trial->n < trial->method->smallest_n ? 0 : decision->resamples,
        .threads = opts->threads,
    };
    struct question question = { .more = rule_wants_more(gate->rule),
                                 .bar = trial->bar,
                                 .alpha = suite->alpha };
    enum code code = OK;
    if (rows.finite && rows.other_finite)
        code = trial->method->run(&trial->answer, &sample, &question, err);
    if (!code && !is_hindered(trial, suite, &rows)) judge(trial);
    bool alike = trial->verdict == VERDICT_INCONCLUSIVE && isinf(trial->answer.low) &&
                 trial->method->zero_margin && trial->reason == REASON_COVERS;
    if (alike) trial->reason = REASON_ALIKE;
    rows_release(&rows);
    return code;
}

static int compare_samples(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static enum code try_measured(struct trial *trial, const struct suite *suite,
                              const struct scores *scores, const struct decide_opts *opts,
                              struct err *err)
{
    const struct gate *gate = trial->gate;
    const struct measurement *measurement = scores_measurement(scores, gate->metric, gate->batch);
    if (!measurement || measurement->count == 0) {
        conclude(trial, VERDICT_FAIL, REASON_MISSING);
        return OK;
    }
    trial->n = measurement->count;
    struct arena arena = { 0 };
    double *sorted = ARENA_ARRAY(&arena, trial->n, double);
    memcpy(sorted, measurement->sample, (size_t)trial->n * sizeof *sorted);
    qsort(sorted, (size_t)trial->n, sizeof *sorted, compare_samples);
    struct sample sample = { .metric = gate->metric, .n = trial->n, .measured = sorted };
    struct question question = { .more = rule_wants_more(gate->rule),
                                 .bar = trial->bar,
                                 .alpha = suite->alpha };
    enum code code = trial->method->run(&trial->answer, &sample, &question, err);
    bool other = gate->machine && strcmp(gate->machine, "any") != 0 &&
                 (!opts->machine || strcmp(gate->machine, opts->machine) != 0);
    if (other)
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_MACHINE);
    else if (!gate->point && (trial->answer.degenerate || trial->n < trial->method->smallest_n))
        conclude(trial, VERDICT_INCONCLUSIVE, REASON_SAMPLES);
    else
        judge(trial);
    arena_release(&arena);
    return code;
}

/* Trials whose numbers could be used take part in Holm's test; the others of the family keep their
 * place in its size with p = 1, which rejects nothing. */
static void correct(struct decision *decision, bool measured, double alpha)
{
    size_t size = family_size(decision, measured), count = 0;
    struct trial **family = ARENA_ARRAY(&decision->arena, size + 1, struct trial *);
    double *p = ARENA_ARRAY(&decision->arena, size + 1, double);
    double *level = ARENA_ARRAY(&decision->arena, size + 1, double);
    bool *rejected = ARENA_ARRAY(&decision->arena, size + 1, bool);
    for (size_t i = 0; i < decision->count; i++) {
        struct trial *trial = &decision->trials[i];
        if (!in_family(trial) || trial->measured != measured) continue;
        bool usable = trial->reason == REASON_BOUND || trial->reason == REASON_COVERS;
        p[count] = usable ? trial->answer.p_fail : 1;
        family[count++] = trial;
    }
    stats_holm(rejected, level, p, count, alpha);
    for (size_t i = 0; i < count; i++) {
        bool usable = family[i]->reason == REASON_BOUND || family[i]->reason == REASON_COVERS;
        if (usable) family[i]->level = level[i];
        if (rejected[i] && family[i]->verdict == VERDICT_INCONCLUSIVE)
            conclude(family[i], VERDICT_FAIL, REASON_BOUND);
    }
    /* Warnings have no part in a family: each is tested by itself. */
    for (size_t i = 0; i < decision->count; i++) {
        struct trial *trial = &decision->trials[i];
        if (!trial->gate->warn || trial->measured != measured || trial->reason != REASON_COVERS)
            continue;
        trial->level = alpha;
        if (trial->answer.p_fail <= alpha) conclude(trial, VERDICT_FAIL, REASON_BOUND);
    }
}

static enum verdict overall(const struct decision *decision)
{
    enum verdict verdict = VERDICT_PASS;
    for (size_t i = 0; i < decision->count; i++) {
        const struct trial *trial = &decision->trials[i];
        if (!trial->counts) continue;
        if (trial->verdict == VERDICT_FAIL) return VERDICT_FAIL;
        if (trial->verdict == VERDICT_INCONCLUSIVE) verdict = VERDICT_INCONCLUSIVE;
    }
    return verdict;
}

enum code decision_make(struct decision *decision, const struct suite *suite,
                        const struct scores *scores, const struct decide_opts *opts,
                        struct err *err)
{
    *decision = (struct decision){ 0 };
    decision->kept = ARENA_NEW(&decision->arena, struct distributions);
    expand(decision, suite, scores);
    decision->families[0] = family_size(decision, false);
    decision->families[1] = family_size(decision, true);
    double quality = (double)decision->families[0], measured = (double)decision->families[1];
    double all = quality + measured;
    double wanted = ceil(TAIL_RESAMPLES * (all < 1 ? 1 : all) / suite->alpha);
    decision->resamples = wanted < RESAMPLES_LEAST  ? RESAMPLES_LEAST
                          : wanted > RESAMPLES_MOST ? RESAMPLES_MOST
                                                    : (int64_t)wanted;
    enum code code = OK;
    for (size_t i = 0; i < decision->count && !code; i++) {
        struct trial *trial = &decision->trials[i];
        trial->answer =
            (struct answer){ .value = NAN, .low = NAN, .high = NAN, .p_pass = 1, .p_fail = 1 };
        code = trial->measured ? try_measured(trial, suite, scores, opts, err)
                               : try_quality(decision, trial, suite, scores, opts, err);
    }
    if (code) {
        decision_release(decision);
        return code;
    }
    if (quality > 0) correct(decision, false, suite->alpha * quality / all);
    if (measured > 0) correct(decision, true, suite->alpha * measured / all);
    decision->verdict = overall(decision);
    return OK;
}

void decision_release(struct decision *decision)
{
    if (decision->kept) distributions_release(decision->kept);
    arena_release(&decision->arena);
    *decision = (struct decision){ 0 };
}
