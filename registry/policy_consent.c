/* Counting persons: who approved, who waived, and why one of them does not count. */
#include "registry/policy_rules.h"

#include "registry/trust.h"

#include <string.h>

static bool saw(const struct consent *consent, const struct report_note *report)
{
    for (size_t i = 0; i < consent->report_count; i++)
        if (digest_equal(&consent->reports[i], &report->report)) return true;
    return false;
}

/* Why a consent for this version and channel does not count; NULL when it does. */
static const char *void_because(const struct consent *consent, const struct asking *asking)
{
    const struct state *state = asking->state;
    const char *registrant = asking->version->signer.person;
    if (!trust_counts(state, &consent->signer, consent->seq)) return "its key is revoked";
    if (!digest_equal(&consent->policy, &state->policy.digest))
        return "it was given under another policy";
    if (consent->expires_s > 0 && consent->expires_s <= asking->now_s) return "it has expired";
    if (consent->from >= 0 && consent->from != asking->held)
        return "it was given for a channel that held something else";
    if (registrant && strcmp(registrant, consent->signer.person) == 0)
        return "nobody approves what they added";
    return NULL;
}

static bool concerns(const struct consent *consent, const struct asking *asking, bool waives)
{
    return consent->waives == waives &&
           consent_is_for(consent, asking->model->name, &asking->version->digest, asking->channel);
}

static void rely_on(struct relied *relied, struct arena *arena, int64_t seq)
{
    for (size_t i = 0; i < relied->consent_count; i++)
        if (relied->consents[i] == seq) return;
    relied->consents = array_grown(arena, relied->consents, relied->consent_count,
                                   sizeof *relied->consents);
    relied->consents[relied->consent_count++] = seq;
}

/* Takes a person into a list; false when they are there already. */
static bool add_person(const char **persons, int64_t *count, const char *person)
{
    for (int64_t i = 0; i < *count; i++)
        if (strcmp(persons[i], person) == 0) return false;
    persons[(*count)++] = person;
    return true;
}

bool rules_waived(struct relied *relied, struct arena *arena, const struct asking *asking,
                  enum waivable rule, const char *gate, const struct report_note *report)
{
    const struct state *state = asking->state;
    const struct policy_channel *rules = asking_rules(asking);
    if (!rules || !(rules->waive >> rule & 1)) return false;
    int64_t needed = rules->approvals[SIGNER_APPROVER] > 1 ? rules->approvals[SIGNER_APPROVER] : 1;
    const char **persons = ARENA_ARRAY(arena, state->consent_count, const char *);
    int64_t count = 0;
    for (size_t i = 0; i < state->consent_count; i++) {
        const struct consent *consent = &state->consents[i];
        if (!concerns(consent, asking, true) || consent->rule != rule ||
            (gate && strcmp(consent->gate, gate) != 0) || (report && !saw(consent, report)) ||
            void_because(consent, asking))
            continue;
        if (add_person(persons, &count, consent->signer.person))
            rely_on(relied, arena, consent->seq);
    }
    return count >= needed;
}

/* Whether an approval counts: it is valid, and about every report that is relied on. */
static const char *approval_void(const struct consent *consent, const struct asking *asking,
                                 const struct relied *relied)
{
    const char *why = void_because(consent, asking);
    for (size_t i = 0; !why && i < relied->report_count; i++)
        if (!saw(consent, relied->reports[i])) why = "there is a newer report than it was about";
    return why;
}

static bool has_role(const struct state *state, const struct consent *consent,
                     enum signer_role role)
{
    const struct policy_key *key = policy_key_find(&state->policy, &consent->signer.key);
    return key && key->roles >> role & 1;
}

static enum code refuse(const struct asking *asking, enum signer_role role, int64_t found,
                        const char *voided, struct err *err)
{
    struct arena arena = { 0 };
    const struct policy *policy = &asking->state->policy;
    rules_refuse(asking, err, "rule approvals: %lld of %lld persons with the role %s approved%s",
                 (long long)found, (long long)asking_rules(asking)->approvals[role],
                 role_name(role), voided);
    err_hint(err,
             "Run `pawl registry approve %s@%lld --for %s --key FILE --reason TEXT`, as one of "
             "%.120s.",
             asking->model->name, (long long)asking->version->number, asking->channel,
             policy_names(&arena, policy, role));
    arena_release(&arena);
    return REFUSED;
}

static enum code check_role(struct relied *relied, struct arena *arena, const struct asking *asking,
                            enum signer_role role, struct err *err)
{
    const struct state *state = asking->state;
    int64_t needed = asking_rules(asking)->approvals[role], count = 0;
    const char **persons = ARENA_ARRAY(arena, state->consent_count, const char *), *voided = "";
    for (size_t i = 0; i < state->consent_count; i++) {
        const struct consent *consent = &state->consents[i];
        if (!concerns(consent, asking, false)) continue;
        const char *why = approval_void(consent, asking, relied);
        if (!why && !has_role(state, consent, role)) continue;
        if (!why && add_person(persons, &count, consent->signer.person))
            rely_on(relied, arena, consent->seq);
        if (why)
            voided = arena_format(arena, "; entry %lld by %s does not count: %s",
                                  (long long)consent->seq, consent->signer.person, why);
    }
    return count >= needed ? OK : refuse(asking, role, count, voided, err);
}

enum code rules_approvals(struct relied *relied, struct arena *arena, const struct asking *asking,
                          struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    for (int r = 0; rules && r < SIGNER_COUNT; r++)
        if (rules->approvals[r]) TRY(check_role(relied, arena, asking, (enum signer_role)r, err));
    return OK;
}
