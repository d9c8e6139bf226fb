/* Reading the effective form of a policy, and asking it. */
#include "registry/policy.h"

#include "registry/card.h"
#include "registry/state.h"

#include <math.h>
#include <string.h>

enum { KEYS_MOST = 256, CHANNELS_MOST = 64, LIST_MOST = 64, COUNT_MOST = 64, SCORE_MOST = 7 };

static const char *const role_names[SIGNER_COUNT] = {
    [SIGNER_TRAINER] = "trainer",   [SIGNER_EVALUATOR] = "evaluator",
    [SIGNER_APPROVER] = "approver", [SIGNER_RELEASER] = "releaser",
    [SIGNER_POLICY] = "policy",
};

static const char *const waivable_names[WAIVABLE_COUNT] = {
    [WAIVE_VERDICT] = "verdict",
    [WAIVE_FRESH] = "fresh",
    [WAIVE_STAGE] = "stage",
    [WAIVE_EXPOSURE] = "exposure",
};

static const enum signer_role kind_roles[ENTRY_KIND_COUNT] = {
    [ENTRY_NONE] = SIGNER_POLICY,      [ENTRY_INIT] = SIGNER_POLICY,
    [ENTRY_POLICY] = SIGNER_POLICY,    [ENTRY_REGISTER] = SIGNER_TRAINER,
    [ENTRY_SEAL] = SIGNER_EVALUATOR,   [ENTRY_LOOK] = SIGNER_EVALUATOR,
    [ENTRY_REPORT] = SIGNER_EVALUATOR, [ENTRY_APPROVE] = SIGNER_APPROVER,
    [ENTRY_PROMOTE] = SIGNER_RELEASER, [ENTRY_ROLLBACK] = SIGNER_RELEASER,
    [ENTRY_WAIVE] = SIGNER_APPROVER,   [ENTRY_REVOKE] = SIGNER_POLICY,
    [ENTRY_RETIRE] = SIGNER_POLICY,    [ENTRY_IMPORT] = SIGNER_TRAINER,
    [ENTRY_ADOPT] = SIGNER_TRAINER,    [ENTRY_RECOVER] = SIGNER_POLICY,
};

const char *role_name(enum signer_role role)
{
    return role_names[role];
}

enum signer_role role_of_kind(enum entry_kind kind)
{
    return kind_roles[kind];
}

const char *waivable_name(enum waivable rule)
{
    return waivable_names[rule];
}

enum waivable waivable_find(const char *name)
{
    int rule = 0;
    while (rule < WAIVABLE_COUNT && strcmp(waivable_names[rule], name) != 0) rule++;
    return (enum waivable)rule;
}

static enum code broken(const char *name, const char *what, const char *where, struct err *err)
{
    return err_set(err, DAMAGED, "cannot use policy in '%s': %s%s%s", name, what,
                   where ? " in " : "", where ? where : "");
}

/* A list of texts, each one once, as bits by `names`. */
static enum code parse_bits(unsigned *bits, const json_t *object, const char *key,
                            const char *const *names, int count, const char *name, struct err *err)
{
    json_t *list;
    TRY(json_get_array(&list, object, key, name, err));
    *bits = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        int at = 0;
        while (at < count && (!text || strcmp(names[at], text) != 0)) at++;
        if (at == count || *bits >> at & 1) return broken(name, "a wrong word", key, err);
        *bits |= 1U << at;
    }
    return OK;
}

static enum code parse_key(struct policy *policy, struct arena *arena, const json_t *json,
                           const char *name, struct err *err)
{
    struct policy_key *row = &policy->keys[policy->key_count];
    const char *text;
    struct err inner;
    TRY(json_get_text(&text, json, "person", name, err));
    if (name_check_model(text, NULL)) return broken(name, "a person without a name", "keys", err);
    row->person = arena_copy(arena, text);
    TRY(parse_bits(&row->roles, json, "roles", role_names, SIGNER_COUNT, name, err));
    TRY(json_get_text(&text, json, "key", name, err));
    if (json_object_size(json) != 3 || !row->roles) return broken(name, "a key", "keys", err);
    if (key_read_public(&row->key, text, strlen(text), row->person, &inner))
        return broken(name, inner.message, NULL, err);
    policy->key_count++;
    for (size_t i = 0; i + 1 < policy->key_count; i++)
        if (digest_equal(&policy->keys[i].key.id, &row->key.id))
            return broken(name, "a key twice", "keys", err);
    return OK;
}

static enum code parse_suites(struct policy_channel *channel, struct arena *arena,
                              const json_t *json, const char *name, struct err *err)
{
    json_t *list;
    TRY(json_get_array(&list, json, "suites", name, err));
    if (json_array_size(list) > LIST_MOST) return broken(name, "too many suites", NULL, err);
    channel->suites = ARENA_ARRAY(arena, json_array_size(list), struct digest);
    for (; channel->suite_count < json_array_size(list); channel->suite_count++)
        if (!digest_parse(&channel->suites[channel->suite_count],
                          json_string_value(json_array_get(list, channel->suite_count))))
            return broken(name, "no digest", "suites", err);
    return OK;
}

static enum code parse_after(struct policy_channel *channel, struct arena *arena,
                             const json_t *json, const char *name, struct err *err)
{
    json_t *list;
    TRY(json_get_array(&list, json, "after", name, err));
    if (json_array_size(list) > LIST_MOST) return broken(name, "too many channels", "after", err);
    channel->after = ARENA_ARRAY(arena, json_array_size(list), const char *);
    for (; channel->after_count < json_array_size(list); channel->after_count++) {
        const char *text = json_string_value(json_array_get(list, channel->after_count));
        if (!text || name_check_channel(text, NULL))
            return broken(name, "no channel name", "after", err);
        channel->after[channel->after_count] = arena_copy(arena, text);
    }
    return OK;
}

static enum code parse_approvals(struct policy_channel *channel, const json_t *json,
                                 const char *name, struct err *err)
{
    json_t *map;
    TRY(json_get_object(&map, json, "approvals", name, err));
    if (json_object_size(map) != SIGNER_COUNT)
        return broken(name, "a wrong role", "approvals", err);
    for (int r = 0; r < SIGNER_COUNT; r++) {
        TRY(json_get_int(&channel->approvals[r], map, role_names[r], name, err));
        if (channel->approvals[r] < 0 || channel->approvals[r] > COUNT_MOST)
            return broken(name, "a wrong number", "approvals", err);
    }
    return OK;
}

/* A word out of two: false for the first. */
static enum code parse_word(bool *second, const json_t *json, const char *key,
                            const char *const words[2], const char *name, struct err *err)
{
    const char *text;
    TRY(json_get_text(&text, json, key, name, err));
    *second = strcmp(text, words[1]) == 0;
    return *second || strcmp(text, words[0]) == 0 ? OK : broken(name, "a wrong word", key, err);
}

/* What policies before these rules did not have: both or none of it. */
static enum code parse_readiness(struct policy_channel *channel, size_t *members,
                                 const json_t *json, const char *name, struct err *err)
{
    int count = 0;
    if (!json_object_get(json, "card") && !json_object_get(json, "score")) return OK;
    while (card_words[count]) count++;
    TRY(parse_bits(&channel->card, json, "card", card_words, count, name, err));
    TRY(json_get_real(&channel->score, json, "score", name, err));
    if (!(channel->score >= 0) || channel->score > SCORE_MOST)
        return broken(name, "a score below 0 or above 7", channel->name, err);
    *members += 2;
    return OK;
}

static enum code parse_channel(struct policy *policy, struct arena *arena, const json_t *json,
                               const char *name, struct err *err)
{
    static const char *const verdicts[] = { "pass", "inconclusive" };
    static const char *const baselines[2] = { "current", "pinned" };
    static const char *const unsealed[2] = { "refuse", "allow" };
    size_t members = 10;
    struct policy_channel *channel = &policy->channels[policy->channel_count];
    const char *text;
    unsigned accepted;
    TRY(json_get_text(&text, json, "name", name, err));
    if (name_check_channel(text, NULL) || policy_channel_find(policy, text))
        return broken(name, "a wrong or doubled name", "channels", err);
    channel->name = arena_copy(arena, text);
    TRY(parse_after(channel, arena, json, name, err));
    TRY(parse_suites(channel, arena, json, name, err));
    TRY(parse_bits(&accepted, json, "verdicts", verdicts, 2, name, err));
    if (!(accepted & 1)) return broken(name, "verdicts without 'pass'", channel->name, err);
    channel->inconclusive = accepted >> 1 & 1;
    TRY(json_get_real(&channel->fresh_s, json, "fresh", name, err));
    TRY(json_get_int(&channel->exposure, json, "exposure", name, err));
    if (!(channel->fresh_s >= 0) || isinf(channel->fresh_s) || channel->exposure < 0)
        return broken(name, "a number below zero", channel->name, err);
    TRY(parse_approvals(channel, json, name, err));
    TRY(parse_word(&channel->pinned, json, "baseline", baselines, name, err));
    TRY(parse_word(&channel->unsealed, json, "unsealed", unsealed, name, err));
    TRY(parse_bits(&channel->waive, json, "waive", waivable_names, WAIVABLE_COUNT, name, err));
    TRY(parse_readiness(channel, &members, json, name, err));
    if (json_object_size(json) != members) return broken(name, "members", channel->name, err);
    policy->channel_count++;
    return OK;
}

static enum code parse(struct policy *policy, struct arena *arena, const json_t *json,
                       const char *name, struct err *err)
{
    json_t *keys, *channels;
    const char *text = json_string_value(json_object_get(json, "pawl"));
    if (!text || strcmp(text, "policy/1") != 0) return broken(name, "no policy/1", NULL, err);
    TRY(json_get_text(&text, json, "name", name, err));
    policy->name = arena_copy(arena, text);
    TRY(json_get_int(&policy->signatures, json, "signatures", name, err));
    TRY(json_get_array(&keys, json, "keys", name, err));
    TRY(json_get_array(&channels, json, "channels", name, err));
    size_t key_count = json_array_size(keys), channel_count = json_array_size(channels);
    if (key_count > KEYS_MOST || channel_count > CHANNELS_MOST || json_object_size(json) != 5)
        return broken(name, "too many members", NULL, err);
    policy->keys = ARENA_ARRAY(arena, key_count, struct policy_key);
    policy->channels = ARENA_ARRAY(arena, channel_count, struct policy_channel);
    for (size_t i = 0; i < key_count; i++)
        TRY(parse_key(policy, arena, json_array_get(keys, i), name, err));
    for (size_t i = 0; i < channel_count; i++)
        TRY(parse_channel(policy, arena, json_array_get(channels, i), name, err));
    if (policy->signatures < 1 || policy->signatures > policy_persons(policy, SIGNER_POLICY, NULL))
        return broken(name, "more signatures than persons", NULL, err);
    return OK;
}

enum code policy_parse(struct policy *policy, struct arena *arena, const json_t *json,
                       const char *name, struct err *err)
{
    memset(policy, 0, sizeof *policy);
    enum code code = json_is_object(json) ? parse(policy, arena, json, name, err)
                                          : broken(name, "no object", NULL, err);
    if (code)
        policy_release(policy);
    else
        policy->digest = json_digest(json);
    return code;
}

void policy_release(struct policy *policy)
{
    for (size_t i = 0; i < policy->key_count; i++) key_release(&policy->keys[i].key);
    memset(policy, 0, sizeof *policy);
}

const struct policy_key *policy_key_find(const struct policy *policy, const struct digest *id)
{
    for (size_t i = 0; i < policy->key_count; i++)
        if (digest_equal(&policy->keys[i].key.id, id)) return &policy->keys[i];
    return NULL;
}

const struct policy_channel *policy_channel_find(const struct policy *policy, const char *name)
{
    for (size_t i = 0; i < policy->channel_count; i++)
        if (strcmp(policy->channels[i].name, name) == 0) return &policy->channels[i];
    return NULL;
}

/* Whether an earlier key of the same person has the role too. */
static bool counted_before(const struct policy *policy, size_t at, enum signer_role role)
{
    for (size_t i = 0; i < at; i++)
        if (policy->keys[i].roles >> role & 1 &&
            strcmp(policy->keys[i].person, policy->keys[at].person) == 0)
            return true;
    return false;
}

int64_t policy_persons(const struct policy *policy, enum signer_role role, const char *without)
{
    int64_t persons = 0;
    for (size_t i = 0; i < policy->key_count; i++)
        if (policy->keys[i].roles >> role & 1 && !counted_before(policy, i, role))
            persons += !without || strcmp(policy->keys[i].person, without) != 0;
    return persons;
}

const char *policy_names(struct arena *arena, const struct policy *policy, enum signer_role role)
{
    const char *names = "";
    for (size_t i = 0; i < policy->key_count; i++) {
        if (!(policy->keys[i].roles >> role & 1) || counted_before(policy, i, role)) continue;
        names = arena_format(arena, "%s%s%s", names, *names ? ", " : "", policy->keys[i].person);
    }
    return *names ? names : "nobody";
}
