/* Signatures, roles, policies and revocations, as replay and writers ask for them. */
#include "registry/trust.h"

#include "registry/dsse.h"

#include <string.h>

int64_t trust_revoked(const struct state *state, const struct digest *key)
{
    int64_t from = 0;
    for (size_t i = 0; i < state->revoked_count; i++)
        if (digest_equal(&state->revoked[i].key, key) && (!from || state->revoked[i].from < from))
            from = state->revoked[i].from;
    return from;
}

bool trust_counts(const struct state *state, const struct signer *signer, int64_t seq)
{
    if (state->open) return true;
    int64_t from = trust_revoked(state, &signer->key);
    return signer->person && (!from || seq < from);
}

double trust_now(const struct state *state)
{
    double own = clock_wall();
    return own > state->time_s ? own : state->time_s;
}

static enum code wrong(const struct entry *entry, const char *format, const char *detail,
                       struct err *err)
{
    struct arena arena = { 0 };
    enum code code = entry_nonsense(entry, arena_format(&arena, "%s%s", format, detail), err);
    err_hint(err, "Somebody wrote into the journal without the right to: see who owns that file.");
    arena_release(&arena);
    return code;
}

/* Whether a key of the policy signed the entry and has the role of its kind. */
static enum code check_by(const struct state *state, const struct policy *policy,
                          const struct policy_key **key, const struct entry *entry, struct err *err)
{
    enum signer_role role = role_of_kind(entry->kind);
    if (!entry->signature) return wrong(entry, "it is not signed", "", err);
    *key = policy_key_find(policy, &entry->signer);
    if (!*key) return wrong(entry, "it is signed by a key that the policy does not know", "", err);
    if (!((*key)->roles >> role & 1))
        return wrong(entry, "its signer does not have the role ", role_name(role), err);
    if (trust_revoked(state, &entry->signer))
        return wrong(entry, "its signer's key was revoked before", "", err);
    if (!entry_signed_by(entry, &(*key)->key))
        return wrong(entry, "its signature is false", "", err);
    return OK;
}

enum code trust_check(const struct state *state, struct signer *signer, const struct entry *entry,
                      struct err *err)
{
    const struct policy_key *key;
    *signer = (struct signer){ 0 };
    if (entry->kind == ENTRY_INIT || entry->kind == ENTRY_POLICY) return OK;
    if (state->open && entry->signature)
        return wrong(entry, "it is signed, and the registry has no keys", "", err);
    if (state->open) return OK;
    TRY(check_by(state, &state->policy, &key, entry, err));
    *signer = (struct signer){ .key = entry->signer, .person = key->person };
    return OK;
}

static void set_digest(json_t *json, const char *key, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    json_object_set_new(json, key, digest ? json_string(digest_text(digest, text)) : json_null());
}

struct bytes trust_policy_payload(struct arena *arena, const struct digest *registry,
                                  const struct digest *from, const struct digest *policy)
{
    size_t len;
    json_t *json = json_pack("{ss ss}", "pawl", "statement/1", "kind", "policy");
    set_digest(json, "registry", registry);
    set_digest(json, "from", from);
    set_digest(json, "policy", policy);
    const char *text = json_canonical(arena, json, &len);
    json_decref(json);
    return (struct bytes){ .at = text, .len = len };
}

/* The key of role policy whose valid signature a row is, or NULL. */
static const struct policy_key *signed_row(const struct state *state, const struct policy *policy,
                                           const struct bytes *pae, const json_t *row)
{
    struct digest id;
    const char *signature = json_string_value(json_object_get(row, "sig"));
    if (!signature || !digest_parse(&id, json_string_value(json_object_get(row, "keyid"))))
        return NULL;
    const struct policy_key *key = policy_key_find(policy, &id);
    bool usable = key && key->roles >> SIGNER_POLICY & 1 && !trust_revoked(state, &id);
    return usable && key_verifies(&key->key, pae, signature) ? key : NULL;
}

int64_t trust_signatures(const struct state *state, const struct policy *policy,
                         const struct bytes *payload, const json_t *signatures)
{
    struct arena arena = { 0 };
    struct bytes pae = dsse_pae(&arena, DSSE_STATEMENT, payload);
    size_t count = json_array_size(signatures);
    json_t *persons = json_object();
    for (size_t i = 0; i < count && i < DSSE_SIGNATURES; i++) {
        const struct policy_key *key = signed_row(state, policy, &pae,
                                                  json_array_get(signatures, i));
        if (key) json_object_set_new(persons, key->person, json_true());
    }
    int64_t found = (int64_t)json_object_size(persons);
    json_decref(persons);
    arena_release(&arena);
    return found;
}

/* Whether enough persons signed, by the policy in force (where there is one) and by the new one,
 * and the entry's writer is one who may. */
static enum code check_policy(const struct state *state, const struct policy *next,
                              const struct entry *entry, struct err *err)
{
    struct arena arena = { 0 };
    struct digest none = { 0 };
    const struct policy_key *key;
    const json_t *signatures = json_object_get(entry->body, "signatures");
    const struct policy *old = &state->policy;
    bool first = entry->kind == ENTRY_INIT;
    TRY(check_by(state, state->open ? next : old, &key, entry, err));
    struct bytes payload = trust_policy_payload(
        &arena, first ? NULL : &state->id,
        digest_equal(&state->policy_entry, &none) ? NULL : &state->policy_entry, &next->digest);
    bool enough = trust_signatures(state, next, &payload, signatures) >= next->signatures;
    if (!state->open)
        enough &= trust_signatures(state, old, &payload, signatures) >= old->signatures;
    arena_release(&arena);
    return enough ? OK : wrong(entry, "too few persons signed its policy", "", err);
}

enum code trust_apply_policy(struct state *state, const struct entry *entry, struct err *err)
{
    struct policy next;
    struct digest stated;
    json_t *json = json_object_get(entry->body, "document");
    struct err inner;
    if (policy_parse(&next, &state->arena, json, "the entry", &inner))
        return entry_nonsense(entry, inner.message, err);
    enum code code = OK;
    if (!entry_digest(entry, &stated, "policy") || !digest_equal(&stated, &next.digest))
        code = entry_nonsense(entry, "its policy has another digest", err);
    if (!code) code = check_policy(state, &next, entry, err);
    if (code) {
        policy_release(&next);
        return code;
    }
    policy_release(&state->policy);
    json_decref(state->policy_json);
    state->policy = next;
    state->policy_json = json_incref(json);
    state->policy_seq = entry->seq;
    state->policy_entry = entry->digest;
    state->open = false;
    return OK;
}

int64_t trust_persons_left(const struct state *state, const struct digest *key)
{
    int64_t persons = 0;
    json_t *seen = json_object();
    for (size_t i = 0; i < state->policy.key_count; i++) {
        const struct policy_key *row = &state->policy.keys[i];
        if (!(row->roles >> SIGNER_POLICY & 1) || digest_equal(&row->key.id, key) ||
            trust_revoked(state, &row->key.id))
            continue;
        json_object_set_new(seen, row->person, json_true());
    }
    persons = (int64_t)json_object_size(seen);
    json_decref(seen);
    return persons;
}

enum code trust_apply_revoke(struct state *state, const struct entry *entry, struct err *err)
{
    struct revocation row = { .from = entry_int(entry, "from") };
    entry_digest(entry, &row.key, "key");
    if (state->open) return entry_nonsense(entry, "the registry has no keys", err);
    if (row.from < 1 || row.from > entry->seq)
        return entry_nonsense(entry, "it revokes from an entry that is not there yet", err);
    if (trust_persons_left(state, &row.key) < state->policy.signatures)
        return entry_nonsense(entry, "too few persons are left to sign a policy", err);
    state->revoked = array_grown(&state->arena, state->revoked, state->revoked_count,
                                 sizeof *state->revoked);
    state->revoked[state->revoked_count++] = row;
    return OK;
}

/* "role approver: ada, grace". */
static enum code refuse(const struct state *state, enum entry_kind kind, const char *why,
                        struct err *err)
{
    struct arena arena = { 0 };
    enum signer_role role = role_of_kind(kind);
    err_set(err, REFUSED, "cannot write a '%s' entry: %s", entry_kind_name(kind), why);
    err_hint(err,
             "Sign with --key FILE or PAWL_KEY, with a key of role %s (%s); `pawl registry "
             "key list` shows all.",
             role_name(role), policy_names(&arena, &state->policy, role));
    arena_release(&arena);
    return REFUSED;
}

enum code trust_may(const struct state *state, enum entry_kind kind, const struct key *key,
                    struct err *err)
{
    enum signer_role role = role_of_kind(kind);
    if (state->open) return OK;
    if (!key || !key->pkey)
        return refuse(state, kind, "the registry has keys, and it is not signed", err);
    const struct policy_key *row = policy_key_find(&state->policy, &key->id);
    if (!row) return refuse(state, kind, "the policy does not know your key", err);
    if (trust_revoked(state, &key->id)) return refuse(state, kind, "your key is revoked", err);
    if (row->roles >> role & 1) return OK;
    return refuse(state, kind, "your key does not have the role for it", err);
}
