/* Signatures of a policy come from its writer's key and from files that others made. */
#include "registry/policy_set.h"

#include "registry/commit.h"
#include "registry/dsse.h"
#include "registry/trust.h"

#include <string.h>

/* What a policy on this state must be signed over. */
static struct bytes payload_on(struct arena *arena, const struct state *state,
                               const struct digest *policy)
{
    bool made = state->head.seq > 0;
    return trust_policy_payload(arena, made ? &state->id : NULL,
                                state->policy_seq ? &state->policy_entry : NULL, policy);
}

static json_t *signature_row(const struct digest *key, const char *signature)
{
    char id[DIGEST_TEXT];
    return json_pack("{ss ss}", "keyid", digest_text(key, id), "sig", signature);
}

/* Takes the signatures of one file, which must be over exactly this payload. */
static enum code add_file(json_t *list, struct arena *arena, const char *path,
                          const struct bytes *payload, struct err *err)
{
    struct bytes bytes;
    struct dsse *dsse = ARENA_NEW(arena, struct dsse);
    enum code code = fs_read(arena, &bytes, path, DSSE_LIMIT, err);
    if (code == NOT_FOUND)
        return err_set(err, NOT_FOUND, "cannot open signature '%s': no such file", path);
    if (code) return code;
    TRY(dsse_read(arena, dsse, &bytes, DSSE_STATEMENT, path, err));
    if (dsse->payload.len != payload->len ||
        memcmp(dsse->payload.at, payload->at, payload->len) != 0) {
        err_set(err, CONFLICT,
                "cannot use signature '%s': it is for another policy, another registry, or was "
                "made before the policy in force was set",
                path);
        return err_hint(err, "Have it signed again with `pawl registry policy sign`.");
    }
    for (size_t i = 0; i < dsse->count; i++)
        json_array_append_new(
            list, signature_row(&dsse->signatures[i].key, dsse->signatures[i].signature));
    return OK;
}

static enum code refuse_few(const struct policy *policy, int64_t found, const char *which,
                            struct err *err)
{
    struct arena arena = { 0 };
    err_set(err, REFUSED,
            "cannot set the policy: %lld of %lld persons of role policy (%s) signed, "
            "by the %s",
            (long long)found, (long long)policy->signatures,
            policy_names(&arena, policy, SIGNER_POLICY), which);
    err_hint(err,
             "Others sign with `pawl registry policy sign FILE --key KEY --out SIG`; give each "
             "SIG with --with.");
    arena_release(&arena);
    return REFUSED;
}

static enum code check_enough(const struct state *state, const struct policy *next,
                              const struct policy_opts *opts, const struct bytes *payload,
                              const json_t *signatures, struct err *err)
{
    if (state->open) {
        const struct policy_key *row = opts->key ? policy_key_find(next, &opts->key->id) : NULL;
        if (!row || !(row->roles >> SIGNER_POLICY & 1)) {
            err_set(err, REFUSED, "cannot set the policy: %s",
                    opts->key ? "your key has no role policy in it" : "it is not signed");
            return err_hint(err, "Sign with --key FILE or PAWL_KEY, with a key that the policy "
                                 "gives the role policy.");
        }
    } else {
        TRY(trust_may(state, ENTRY_POLICY, opts->key, err));
        int64_t found = trust_signatures(state, &state->policy, payload, signatures);
        if (found < state->policy.signatures)
            return refuse_few(&state->policy, found, "policy in force", err);
    }
    int64_t found = trust_signatures(state, next, payload, signatures);
    return found < next->signatures ? refuse_few(next, found, "new policy", err) : OK;
}

static enum code fill(struct draft *draft, struct arena *arena, const struct state *state,
                      const struct policy *next, const struct policy_opts *opts, struct err *err)
{
    struct bytes payload = payload_on(arena, state, &next->digest);
    struct bytes pae = dsse_pae(arena, DSSE_STATEMENT, &payload);
    json_t *signatures = json_array();
    draft->body = json_pack("{sO so}", "document", opts->policy, "signatures", signatures);
    json_set_digest(draft->body, "policy", &next->digest);
    if (opts->key)
        json_array_append_new(signatures,
                              signature_row(&opts->key->id, key_sign(arena, opts->key, &pae)));
    for (size_t i = 0; opts->with && opts->with[i]; i++)
        TRY(add_file(signatures, arena, opts->with[i], &payload, err));
    TRY(check_enough(state, next, opts, &payload, signatures, err));
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft_subject(draft, &next->digest);
    return OK;
}

enum code policy_draft(struct draft *draft, const struct state *state,
                       const struct policy_opts *opts, struct err *err)
{
    struct arena arena = { 0 };
    struct policy next = { 0 };
    enum code code = policy_parse(&next, &arena, opts->policy, "the policy", err);
    bool same = !state->open && digest_equal(&next.digest, &state->policy.digest);
    if (!code && !same) code = fill(draft, &arena, state, &next, opts, err);
    draft->kind = same ? ENTRY_NONE : ENTRY_POLICY;
    policy_release(&next);
    arena_release(&arena);
    return code;
}

static enum code decide_policy(void *context, const struct state *state, struct draft *draft,
                               struct err *err)
{
    return policy_draft(draft, state, context, err);
}

enum code registry_set_policy(struct registry *registry, int64_t *seq,
                              const struct policy_opts *opts, struct err *err)
{
    struct policy_opts copy = *opts;
    TRY(registry_refresh(registry, err));
    copy.key = registry->key;
    if (registry->state.open) TRY(registry_mark_closed(registry, err));
    return registry_commit(registry, decide_policy, &copy, seq, err);
}

enum code policy_sign(struct registry *registry, const char *out, const struct policy_opts *opts,
                      struct err *err)
{
    static const struct state unmade = { .open = true };
    struct arena arena = { 0 };
    struct policy next = { 0 };
    struct bytes payload, bytes;
    bool won = true;
    REQUIRE(opts->key && opts->key->secret);
    if (registry) TRY(registry_refresh(registry, err));
    enum code code = policy_parse(&next, &arena, opts->policy, "the policy", err);
    if (!code) {
        payload = payload_on(&arena, registry ? &registry->state : &unmade, &next.digest);
        bytes = dsse_sign(&arena, DSSE_STATEMENT, &payload, opts->key);
        code = fs_create_exclusive(out, bytes.at, bytes.len, &won, err);
    }
    policy_release(&next);
    if (!code && !won) code = err_set(err, CONFLICT, "cannot write '%s': it exists already", out);
    arena_release(&arena);
    return code;
}

static json_t *key_row(const struct state *state, const struct policy_key *row)
{
    char id[DIGEST_TEXT];
    json_t *roles = json_array();
    int64_t revoked = trust_revoked(state, &row->key.id);
    for (int r = 0; r < SIGNER_COUNT; r++)
        if (row->roles >> r & 1)
            json_array_append_new(roles, json_string(role_name((enum signer_role)r)));
    return json_pack("{ss ss so so}", "id", digest_text(&row->key.id, id), "person", row->person,
                     "roles", roles, "revoked", revoked ? json_integer(revoked) : json_null());
}

enum code registry_keys(struct registry *registry, json_t **keys, struct err *err)
{
    const struct state *state = &registry->state;
    *keys = NULL;
    TRY(registry_refresh(registry, err));
    json_t *rows = json_array();
    for (size_t i = 0; i < state->policy.key_count; i++)
        json_array_append_new(rows, key_row(state, &state->policy.keys[i]));
    *keys = json_pack("{ss so sb ss}", "pawl", "keys/1", "keys", rows, "open", (int)state->open,
                      "policy", state->policy.name ? state->policy.name : "");
    return OK;
}

static enum code decide_revoke(void *context, const struct state *state, struct draft *draft,
                               struct err *err)
{
    const struct revoke_opts *opts = context;
    char id[DIGEST_TEXT];
    int64_t now = state->head.seq + 1, from = opts->from ? opts->from : now;
    if (state->open) {
        err_set(err, REFUSED, "cannot revoke a key: this registry has none");
        return err_hint(err, "`pawl registry policy set FILE` gives it keys.");
    }
    if (!policy_key_find(&state->policy, &opts->key)) {
        err_set(err, NOT_FOUND, "cannot revoke key %s: the policy does not know it",
                digest_text(&opts->key, id));
        return err_hint(err, "`pawl registry key list` shows the keys.");
    }
    if (from > now)
        return err_set(err, USAGE, "cannot revoke from entry %lld: the last one is %lld",
                       (long long)from, (long long)state->head.seq);
    if (trust_persons_left(state, &opts->key) < state->policy.signatures) {
        err_set(err, REFUSED, "cannot revoke key %s: too few persons could sign a new policy then",
                digest_text(&opts->key, id));
        return err_hint(err,
                        "Set a policy first that replaces the key: `pawl registry policy set`.");
    }
    int64_t before = trust_revoked(state, &opts->key);
    if (before && before <= from) return OK;
    draft->kind = ENTRY_REVOKE;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{sI}", "from", (json_int_t)from);
    json_set_digest(draft->body, "key", &opts->key);
    draft_subject(draft, &opts->key);
    return OK;
}

enum code registry_revoke(struct registry *registry, int64_t *seq, const struct revoke_opts *opts,
                          struct err *err)
{
    struct revoke_opts copy = *opts;
    if (!opts->reason || !*opts->reason)
        return err_set(err, USAGE, "cannot revoke a key without a reason");
    return registry_commit(registry, decide_revoke, &copy, seq, err);
}
