/* Deciding: from trials through methods to verdicts. */
#include "eval/gate.h"

#include "base/rng.h"
#include "eval/gate_try.h"

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

double decision_alpha(double alpha, int64_t look)
{
    return look > 0 ? ldexp(alpha, -(int)(look < 40 ? look : 40)) : alpha;
}

static bool is_measured(const struct metric *metric)
{
    return metric->statistic == STATISTIC_SYSTEM || metric->statistic == STATISTIC_EXACT;
}

/* The demand of a gate as far as it can be told before rows are gathered. */
static struct trial trial_of(const struct gate *gate, const struct scores *scores, double alpha)
{
    struct demand demand = trial_demand(gate, scores->cluster != NULL, false);
    struct question question = question_of(&demand, alpha);
    return (struct trial){ .gate = gate,
                           .id = gate->id,
                           .slice = gate->slice,
                           .label = -1,
                           .measured = is_measured(gate->metric),
                           .method = method_of(&demand),
                           .question = question,
                           .bar = question.bar,
                           .counts = !gate->warn };
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
        struct trial trial = trial_of(gate, scores, decision->alpha);
        if (gate->rule == RULE_GAP)
            trial.slice = arena_format(arena, "%s - %s", gate->gap[0], gate->gap[1]);
        for (int32_t label = 0; !gate->slice && label < scores->classes; label++) {
            trial.label = label;
            trial.slice = arena_format(arena, "label=%d", label);
            trial.id = arena_format(arena, "%s/%s", gate->id, trial.slice);
            decision->trials[decision->count++] = trial;
        }
        if (gate->slice || scores->classes == 0) decision->trials[decision->count++] = trial;
    }
}

void decision_expand(struct decision *decision, const struct suite *suite,
                     const struct scores *scores)
{
    decision->alpha = suite->alpha;
    expand(decision, suite, scores);
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
}

/* Warnings have no part in a family: each is tested by itself, also where no gate blocks. */
static void warn(struct decision *decision)
{
    for (size_t i = 0; i < decision->count; i++) {
        struct trial *trial = &decision->trials[i];
        if (!trial->gate->warn || trial->reason != REASON_COVERS) continue;
        trial->level = decision->alpha;
        if (trial->answer.p_fail <= trial->level) conclude(trial, VERDICT_FAIL, REASON_BOUND);
    }
}

/* Nothing passes by having nothing that counts. */
static enum verdict overall(const struct decision *decision)
{
    enum verdict verdict = VERDICT_PASS;
    bool counted = false;
    for (size_t i = 0; i < decision->count; i++) {
        const struct trial *trial = &decision->trials[i];
        if (!trial->counts) continue;
        counted = true;
        if (trial->verdict == VERDICT_FAIL) return VERDICT_FAIL;
        if (trial->verdict == VERDICT_INCONCLUSIVE) verdict = VERDICT_INCONCLUSIVE;
    }
    return counted ? verdict : VERDICT_INCONCLUSIVE;
}

enum code decision_make(struct decision *decision, const struct suite *suite,
                        const struct scores *scores, const struct decide_opts *opts,
                        struct err *err)
{
    *decision = (struct decision){ 0 };
    decision->kept = ARENA_NEW(&decision->arena, struct distributions);
    decision->alpha = decision_alpha(suite->alpha, opts->look);
    expand(decision, suite, scores);
    decision->families[0] = family_size(decision, false);
    decision->families[1] = family_size(decision, true);
    double quality = (double)decision->families[0], measured = (double)decision->families[1];
    double all = quality + measured;
    double wanted = ceil(TAIL_RESAMPLES * (all < 1 ? 1 : all) / decision->alpha);
    decision->resamples = wanted < RESAMPLES_LEAST  ? RESAMPLES_LEAST
                          : wanted > RESAMPLES_MOST ? RESAMPLES_MOST
                                                    : (int64_t)wanted;
    enum code code = OK;
    for (size_t i = 0; i < decision->count && !code; i++) {
        struct trial *trial = &decision->trials[i];
        trial->answer =
            (struct answer){ .value = NAN, .low = NAN, .high = NAN, .p_pass = 1, .p_fail = 1 };
        code = trial->measured ? try_measured(trial, scores, opts, err)
                               : try_quality(decision, trial, suite, scores, opts, err);
    }
    if (code) {
        decision_release(decision);
        return code;
    }
    if (quality > 0) correct(decision, false, decision->alpha * quality / all);
    if (measured > 0) correct(decision, true, decision->alpha * measured / all);
    warn(decision);
    decision->verdict = overall(decision);
    return OK;
}

void decision_release(struct decision *decision)
{
    if (decision->kept) distributions_release(decision->kept);
    arena_release(&decision->arena);
    *decision = (struct decision){ 0 };
}
