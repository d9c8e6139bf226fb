/* What reports say for a version: verdict, seal, age, baselines, exposure. */
#include "registry/policy_rules.h"

#include "base/units.h"
#include "registry/trust.h"

#include <stdio.h>
#include <string.h>

/* " under suite sha256:..."; empty where any suite will do. */
static const char *under(char text[DIGEST_TEXT + 16], const struct digest *suite)
{
    char digest[DIGEST_TEXT];
    text[0] = '\0';
    if (suite) snprintf(text, DIGEST_TEXT + 16, " under suite %s", digest_text(suite, digest));
    return text;
}

static enum code hint_again(const struct asking *asking, const char *what, struct err *err)
{
    return err_hint(err, "%s`pawl eval SUITE --model %s@%lld` evaluates it again.", what,
                    asking->model->name, (long long)asking->version->number);
}

static enum code refuse_missing(const struct asking *asking, const struct digest *suite,
                                struct err *err)
{
    char text[DIGEST_TEXT + 16];
    rules_refuse(asking, err, "no report%s about its model", under(text, suite));
    return err_hint(err,
                    "Run `pawl eval SUITE --model %s@%lld` to evaluate it and record the report.",
                    asking->model->name, (long long)asking->version->number);
}

static enum code refuse_verdict(const struct asking *asking, const struct digest *suite,
                                const struct report_note *report, struct err *err)
{
    char text[DIGEST_TEXT + 16];
    rules_refuse(asking, err, "its newest report%s is '%s' (entry %lld)", under(text, suite),
                 report->verdict, (long long)report->seq);
    return err_hint(err,
                    "Promote a version that passes; `pawl eval SUITE --model %s@%lld` evaluates "
                    "this one again.",
                    asking->model->name, (long long)asking->version->number);
}

/* Whether every gate that holds the release back is waived, none of them for a reason that no
 * waiver may touch. */
static bool gates_waived(struct relied *relied, struct arena *arena, const struct asking *asking,
                         const struct report_note *report)
{
    for (size_t i = 0; i < report->gate_count; i++)
        if (!report->gates[i].waivable ||
            !rules_waived(relied, arena, asking, WAIVE_VERDICT, report->gates[i].id, report))
            return false;
    return report->gate_count > 0;
}

static bool passes(struct relied *relied, struct arena *arena, const struct asking *asking,
                   const struct report_note *report)
{
    const struct policy_channel *rules = asking_rules(asking);
    if (strcmp(report->verdict, "pass") == 0) return true;
    if (!rules) return false;
    if (rules->inconclusive && strcmp(report->verdict, "inconclusive") == 0) return true;
    return gates_waived(relied, arena, asking, report);
}

static enum code check_seal(const struct asking *asking, const struct report_note *report,
                            struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    const struct seal_note *seal = state_seal(asking->state, report->seal);
    if (!rules || rules->unsealed) return OK;
    if (seal && trust_counts(asking->state, &seal->signer, seal->seq)) return OK;
    rules_refuse(asking, err, "rule unsealed: the bar of its report (entry %lld) %s",
                 (long long)report->seq,
                 seal ? "was sealed by a key that is revoked" : "was not sealed before");
    return hint_again(asking, "", err);
}

static enum code check_age(struct relied *relied, struct arena *arena, const struct asking *asking,
                           const struct report_note *report, struct err *err)
{
    char age[UNITS_TEXT], most[UNITS_TEXT];
    const struct policy_channel *rules = asking_rules(asking);
    double age_s = asking->now_s - report->time_s;
    if (!rules || !(rules->fresh_s > 0) || age_s <= rules->fresh_s) return OK;
    if (rules_waived(relied, arena, asking, WAIVE_FRESH, NULL, report)) return OK;
    rules_refuse(
        asking, err, "rule fresh: its report (entry %lld) is %s old, at most %s is allowed",
        (long long)report->seq, units_time_text(age, age_s), units_time_text(most, rules->fresh_s));
    return hint_again(asking, "", err);
}

/* What a sealed baseline NAME@CHANNEL means now: the version held, NULL for none. False for other
 * names: a path, a number and a trained baseline do not move. */
static bool baseline_now(const struct version **now, const struct state *state, const char *name)
{
    char model_name[NAME_LIMIT + 1];
    const char *at = strchr(name, '@');
    *now = NULL;
    if (!at || at - name > NAME_LIMIT || name_check_channel(at + 1, NULL)) return false;
    snprintf(model_name, sizeof model_name, "%.*s", (int)(at - name), name);
    const struct model_line *model = state_model(state, model_name);
    const struct channel *channel = model ? model_channel(model, at + 1) : NULL;
    if (channel) *now = model_version(model, channel_now(channel)->number);
    return true;
}

/* A report says how the candidate did beside what the channels held when its bar was sealed. Where
 * one of them holds something else now, the comparison is about the past. What the channel holds
 * already is not compared. */
static enum code check_baselines(const struct asking *asking, const struct report_note *report,
                                 struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    const struct seal_note *seal = state_seal(asking->state, report->seal);
    if (!seal || asking->held == asking->version->number || (rules && rules->pinned)) return OK;
    for (size_t i = 0; i < seal->baseline_count; i++) {
        const struct sealed_baseline *then = &seal->baselines[i];
        const struct version *now;
        if (!baseline_now(&now, asking->state, then->name)) continue;
        if (!now ? !then->there
                 : then->there && digest_equal(&then->model_digest, &now->model_digest))
            continue;
        if (now && digest_equal(&now->model_digest, &report->model_digest)) continue;
        rules_refuse(asking, err, "'%s' is no longer what its report (entry %lld) compared it with",
                     then->name, (long long)report->seq);
        err_hint(err, "Run `pawl eval SUITE --model %s@%lld` to compare it with what is there now.",
                 asking->model->name, (long long)asking->version->number);
        if (err) err->code = CONFLICT;
        return CONFLICT;
    }
    return OK;
}

static enum code check_exposure(struct relied *relied, struct arena *arena,
                                const struct asking *asking, const struct report_note *report,
                                struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    const struct seal_note *seal = state_seal(asking->state, report->seal);
    if (!rules || !rules->exposure) return OK;
    int64_t shown = seal ? state_exposure(asking->state, &seal->data) : 0;
    if (seal && shown <= rules->exposure) return OK;
    if (rules_waived(relied, arena, asking, WAIVE_EXPOSURE, NULL, report)) return OK;
    if (seal)
        rules_refuse(asking, err,
                     "rule exposure: %lld candidates were shown to the split of its report (entry "
                     "%lld), at most %lld are allowed",
                     (long long)shown, (long long)report->seq, (long long)rules->exposure);
    else
        rules_refuse(asking, err, "rule exposure: nothing says which split its report used");
    return hint_again(asking, "Take rows that no candidate saw; ", err);
}

static enum code check_report(struct relied *relied, struct arena *arena,
                              const struct asking *asking, const struct report_note *report,
                              struct err *err)
{
    TRY(check_seal(asking, report, err));
    TRY(check_age(relied, arena, asking, report, err));
    TRY(check_exposure(relied, arena, asking, report, err));
    return check_baselines(asking, report, err);
}

static void rely_on(struct relied *relied, struct arena *arena, const struct report_note *report)
{
    relied->reports = array_grown(arena, relied->reports, relied->report_count,
                                  sizeof *relied->reports);
    relied->reports[relied->report_count++] = report;
}

/* Without required suites: the newest report of at least one suite passes and is sound. */
static enum code check_any(struct relied *relied, struct arena *arena, const struct asking *asking,
                           struct err *err)
{
    const struct state *state = asking->state;
    const struct digest *model = &asking->version->model_digest;
    const struct report_note *last = NULL;
    enum code first = OK;
    for (size_t i = state->report_count; i-- > 0;) {
        const struct report_note *report = &state->reports[i];
        if (!digest_equal(&report->model_digest, model)) continue;
        if (!trust_counts(state, &report->signer, report->seq)) continue;
        bool newest = state_report(state, model, &report->suite) == report;
        if (newest && passes(relied, arena, asking, report)) {
            struct err why;
            enum code code = check_report(relied, arena, asking, report, &why);
            if (!code) {
                rely_on(relied, arena, report);
                return OK;
            }
            if (!first && err) *err = why;
            if (!first) first = code;
        }
        if (!last) last = report;
    }
    if (first) return first;
    return last ? refuse_verdict(asking, NULL, last, err) : refuse_missing(asking, NULL, err);
}

static enum code check_required(struct relied *relied, struct arena *arena,
                                const struct asking *asking, const struct digest *suite,
                                struct err *err)
{
    const struct report_note *report = state_report(asking->state, &asking->version->model_digest,
                                                    suite);
    if (!report) return refuse_missing(asking, suite, err);
    if (!passes(relied, arena, asking, report)) return refuse_verdict(asking, suite, report, err);
    TRY(check_report(relied, arena, asking, report, err));
    rely_on(relied, arena, report);
    return OK;
}

enum code rules_reports(struct relied *relied, struct arena *arena, const struct asking *asking,
                        struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    size_t count = rules ? rules->suite_count : 0;
    if (!count && !asking->required_count) return check_any(relied, arena, asking, err);
    for (size_t i = 0; i < asking->required_count; i++)
        TRY(check_required(relied, arena, asking, &asking->required[i], err));
    for (size_t i = 0; i < count; i++)
        TRY(check_required(relied, arena, asking, &rules->suites[i], err));
    return OK;
}

static bool asked_for(const struct policy_channel *rules, const struct digest *suite)
{
    bool found = !rules || !rules->suite_count;
    for (size_t i = 0; rules && i < rules->suite_count && !found; i++)
        found = digest_equal(&rules->suites[i], suite);
    return found;
}

const struct report_note **rules_seen(struct arena *arena, size_t *count,
                                      const struct asking *asking)
{
    const struct state *state = asking->state;
    struct relied seen = { 0 };
    for (size_t i = 0; i < state->report_count; i++) {
        const struct report_note *report = &state->reports[i];
        if (asked_for(asking_rules(asking), &report->suite) &&
            digest_equal(&report->model_digest, &asking->version->model_digest) &&
            state_report(state, &report->model_digest, &report->suite) == report)
            rely_on(&seen, arena, report);
    }
    *count = seen.report_count;
    return seen.reports;
}
