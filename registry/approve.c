/* What is consented to is read once, signed once and written down; if the policy moves on before
 * that, the consent is void and says so. */
#include "registry/approve.h"

#include "registry/commit.h"
#include "registry/policy_rules.h"
#include "registry/statement.h"
#include "registry/trust.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct consenting {
    const struct consent_opts *opts;
    bool waives;
    struct arena arena;
    json_t *body;
    struct digest policy;
    const struct report_note **reports;
    size_t report_count;
    struct consented *consented;
};

static enum code refuse(const struct consenting *consenting, const char *why, struct err *err)
{
    const struct consent_opts *opts = consenting->opts;
    return err_set(err, REFUSED, "cannot %s %s@%lld for '%s': %s",
                   consenting->waives ? "waive a rule for" : "approve", opts->model,
                   (long long)opts->number, opts->channel, why);
}

static enum code check_opts(const struct consenting *consenting, const struct state *state,
                            struct err *err)
{
    const struct consent_opts *opts = consenting->opts;
    if (!opts->reason || !*opts->reason || !opts->actor || !*opts->actor)
        return err_set(err, USAGE, "cannot consent to '%s' without %s", opts->model,
                       opts->reason && *opts->reason ? "an actor" : "a reason");
    if (consenting->waives && opts->expires_s <= 0)
        return err_set(err, USAGE, "cannot waive a rule for good: say when it expires");
    if (opts->expires_s > 0 && opts->expires_s <= trust_now(state))
        return err_set(err, USAGE, "cannot consent until a time that is over");
    TRY(name_check_model(opts->model, err));
    return name_check_channel(opts->channel, err);
}

/* Whether a consent could count at all. */
static enum code check_sense(const struct consenting *consenting, const struct asking *asking,
                             struct err *err)
{
    const struct consent_opts *opts = consenting->opts;
    const char *registrant = asking->version->signer.person;
    const char *barred = version_barred(asking->state, asking->version);
    if (barred) return refuse(consenting, barred, err);
    if (!asking_rules(asking)) {
        refuse(consenting, "the policy does not name this channel", err);
        return err_hint(err, "`pawl registry policy show` shows the channels.");
    }
    if (registrant && strcmp(registrant, consenting->consented->person) == 0) {
        refuse(consenting, "nobody approves what they added", err);
        return err_hint(err, "Somebody else with the role approver has to.");
    }
    if (consenting->report_count) return OK;
    refuse(consenting, "there is no report about it yet that the channel asks for", err);
    return err_hint(err, "Run `pawl eval SUITE --model %s@%lld` first.", opts->model,
                    (long long)opts->number);
}

static const struct open_gate *find_gate(const struct consenting *consenting, const char *id)
{
    for (size_t i = 0; i < consenting->report_count; i++)
        for (size_t g = 0; g < consenting->reports[i]->gate_count; g++)
            if (strcmp(consenting->reports[i]->gates[g].id, id) == 0)
                return &consenting->reports[i]->gates[g];
    return NULL;
}

static enum code check_waiver(const struct consenting *consenting, const struct asking *asking,
                              struct err *err)
{
    const struct consent_opts *opts = consenting->opts;
    bool about_gate = opts->gate && *opts->gate;
    if (about_gate != (opts->rule == WAIVE_VERDICT))
        return err_set(err, USAGE, "a gate is named where, and only where, a verdict is waived");
    if (!(asking_rules(asking)->waive >> opts->rule & 1)) {
        char why[80];
        snprintf(why, sizeof why, "its policy lets nobody waive rule %s",
                 waivable_name(opts->rule));
        refuse(consenting, why, err);
        return err_hint(err, "`waive: [%s]` in the channel's row of the policy would.",
                        waivable_name(opts->rule));
    }
    if (!about_gate) return OK;
    const struct open_gate *gate = find_gate(consenting, opts->gate);
    if (!gate) return refuse(consenting, "no gate of that name holds it back", err);
    if (gate->waivable) return OK;
    char why[160];
    snprintf(why, sizeof why, "no waiver covers '%.60s'", gate->reason);
    refuse(consenting, why, err);
    return err_hint(err, "What is damaged, missing or not a number is never waived.");
}

static json_t *time_json(double seconds)
{
    char text[TIME_TEXT];
    time_t whole = (time_t)seconds;
    struct tm parts;
    gmtime_r(&whole, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return json_string(text);
}

static void make_body(struct consenting *consenting, const struct asking *asking)
{
    const struct consent_opts *opts = consenting->opts;
    char digest[DIGEST_TEXT];
    json_t *reports = json_array();
    for (size_t i = 0; i < consenting->report_count; i++)
        json_array_append_new(reports,
                              json_string(digest_text(&consenting->reports[i]->report, digest)));
    json_t *body = json_pack("{ss sI ss so}", "model", opts->model, "number",
                             (json_int_t)opts->number, "channel", opts->channel, "reports",
                             reports);
    json_set_digest(body, "digest", &asking->version->digest);
    json_set_digest(body, "policy", &consenting->policy);
    if (opts->from != CHANNEL_ANY)
        json_object_set_new(body, "from", opts->from ? json_integer(opts->from) : json_null());
    if (opts->expires_s > 0) json_object_set_new(body, "expires", time_json(opts->expires_s));
    if (consenting->waives) {
        json_object_set_new(body, "rule", json_string(waivable_name(opts->rule)));
        if (opts->gate && *opts->gate) json_object_set_new(body, "gate", json_string(opts->gate));
    }
    consenting->body = body;
}

/* The same person's same consent, still valid, or NULL. */
static const struct consent *said_before(const struct consenting *consenting,
                                         const struct state *state, const struct version *version)
{
    const struct consent_opts *opts = consenting->opts;
    for (size_t i = state->consent_count; i-- > 0;) {
        const struct consent *old = &state->consents[i];
        bool same = old->waives == consenting->waives &&
                    consent_is_for(old, opts->model, &version->digest, opts->channel) &&
                    strcmp(old->signer.person, consenting->consented->person) == 0 &&
                    trust_counts(state, &old->signer, old->seq) &&
                    digest_equal(&old->policy, &consenting->policy) && old->from == opts->from &&
                    (old->expires_s > 0 ? old->expires_s >= opts->expires_s && opts->expires_s > 0
                                        : true) &&
                    old->report_count == consenting->report_count;
        if (same && old->waives)
            same = old->rule == opts->rule && strcmp(old->gate, opts->gate ? opts->gate : "") == 0;
        for (size_t r = 0; same && r < old->report_count; r++)
            same = digest_equal(&old->reports[r], &consenting->reports[r]->report);
        if (same) return old;
    }
    return NULL;
}

static enum code decide(void *context, const struct state *state, struct draft *draft,
                        struct err *err)
{
    struct consenting *consenting = context;
    const struct consent_opts *opts = consenting->opts;
    const struct model_line *model;
    const struct version *version;
    TRY(state_find_version(state, &model, &version, opts->model, opts->number, err));
    if (state->open || !digest_equal(&state->policy.digest, &consenting->policy)) {
        err_set(err, CONFLICT, "cannot consent to %s@%lld: the policy changed meanwhile",
                opts->model, (long long)opts->number);
        return err_hint(err, "Look at `pawl registry policy show`, then decide again.");
    }
    const struct consent *old = said_before(consenting, state, version);
    consenting->consented->existed = old != NULL;
    if (old) consenting->consented->seq = old->seq;
    if (old) return OK;
    if (!consenting->body)
        return err_set(err, CONFLICT, "cannot consent to %s@%lld: the key was revoked meanwhile",
                       opts->model, (long long)opts->number);
    draft->kind = consenting->waives ? ENTRY_WAIVE : ENTRY_APPROVE;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_incref(consenting->body);
    draft_subject(draft, &version->digest);
    for (size_t i = 0; i < json_array_size(json_object_get(draft->body, "reports")); i++)
        draft_subject(draft, &consenting->reports[i]->report);
    return OK;
}

static enum code prepare(struct registry *registry, struct consenting *consenting, struct err *err)
{
    const struct consent_opts *opts = consenting->opts;
    const struct state *state = &registry->state;
    enum entry_kind kind = consenting->waives ? ENTRY_WAIVE : ENTRY_APPROVE;
    const struct model_line *model;
    const struct version *version;
    TRY(registry_refresh(registry, err));
    TRY(check_opts(consenting, state, err));
    if (state->open) {
        refuse(consenting, "the registry has no keys", err);
        return err_hint(err, "`pawl registry policy set FILE` gives it keys and roles.");
    }
    TRY(state_find_version(state, &model, &version, opts->model, opts->number, err));
    TRY(trust_may(state, kind, registry->key, err));
    consenting->policy = state->policy.digest;
    consenting->consented->person = policy_key_find(&state->policy, &registry->key->id)->person;
    struct asking asking = { .state = state,
                             .model = model,
                             .version = version,
                             .channel = opts->channel,
                             .now_s = trust_now(state) };
    consenting->reports = rules_seen(&consenting->arena, &consenting->report_count, &asking);
    consenting->consented->reports = consenting->report_count;
    TRY(check_sense(consenting, &asking, err));
    if (consenting->waives) TRY(check_waiver(consenting, &asking, err));
    if (said_before(consenting, state, version)) return OK; /* nothing to sign */
    make_body(consenting, &asking);
    return statement_put(registry, consenting->body, kind, opts->reason, err);
}

static enum code consent(struct registry *registry, struct consenting *consenting, struct err *err)
{
    int64_t seq = 0;
    memset(consenting->consented, 0, sizeof *consenting->consented);
    enum code code = prepare(registry, consenting, err);
    if (!code) code = registry_commit(registry, decide, consenting, &seq, err);
    if (!code && seq) consenting->consented->seq = seq;
    json_decref(consenting->body);
    arena_release(&consenting->arena);
    return code;
}

enum code registry_approve(struct registry *registry, struct consented *consented,
                           const struct consent_opts *opts, struct err *err)
{
    struct consenting consenting = { .opts = opts, .consented = consented };
    return consent(registry, &consenting, err);
}

enum code registry_waive(struct registry *registry, struct consented *consented,
                         const struct consent_opts *opts, struct err *err)
{
    struct consenting consenting = { .opts = opts, .waives = true, .consented = consented };
    return consent(registry, &consenting, err);
}
