/* A statement's payload is a function of its entry, so checking one is building it again. */
#include "registry/statement.h"

#include "registry/commit.h"
#include "registry/dsse.h"
#include "registry/trust.h"

#include <string.h>

static struct bytes payload_of(struct arena *arena, const struct digest *registry,
                               enum entry_kind kind, const char *reason, json_t *body)
{
    json_t *json = json_object(), *value;
    const char *name;
    size_t len;
    json_object_foreach(body, name, value)
    {
        if (strcmp(name, "statement") != 0 && strcmp(name, "again") != 0 &&
            strcmp(name, "documents") != 0)
            json_object_set(json, name, value);
    }
    json_object_set_new(json, "pawl", json_string("statement/1"));
    json_object_set_new(json, "kind", json_string(entry_kind_name(kind)));
    json_object_set_new(json, "reason", json_string(reason ? reason : ""));
    json_set_digest(json, "registry", registry);
    const char *text = json_canonical(arena, json, &len);
    json_decref(json);
    return (struct bytes){ .at = text, .len = len };
}

enum code statement_put(const struct registry *registry, json_t *body, enum entry_kind kind,
                        const char *reason, struct err *err)
{
    struct arena arena = { 0 };
    struct digest digest;
    TRY(trust_may(&registry->state, kind, registry->key, err));
    struct bytes payload = payload_of(&arena, &registry->id, kind, reason, body);
    struct bytes envelope = dsse_sign(&arena, DSSE_STATEMENT, &payload, registry->key);
    enum code code = store_put(&registry->store, &digest, envelope.at, envelope.len, err);
    if (!code) json_set_digest(body, "statement", &digest);
    arena_release(&arena);
    return code;
}

bool statement_of(const struct entry *entry, struct digest *digest)
{
    const char *text = entry_text(entry, "statement");
    return text && digest_parse(digest, text);
}

static enum code check(struct arena *arena, const struct registry *registry,
                       const struct entry *entry, const struct digest *digest, struct err *err)
{
    char name[DIGEST_TEXT];
    struct bytes bytes;
    struct dsse *dsse = ARENA_NEW(arena, struct dsse);
    digest_text(digest, name);
    TRY(store_read(&registry->store, arena, &bytes, digest, DSSE_LIMIT, err));
    TRY(dsse_read(arena, dsse, &bytes, DSSE_STATEMENT, name, err));
    struct bytes payload = payload_of(arena, &registry->state.id, entry->kind, entry->reason,
                                      json_object_get(entry->json, "body"));
    if (payload.len != dsse->payload.len || memcmp(payload.at, dsse->payload.at, payload.len) != 0)
        return err_set(err, DAMAGED, "statement %s does not say what entry %lld says", name,
                       (long long)entry->seq);
    const struct policy_key *key = policy_key_find(&registry->state.policy, &entry->signer);
    struct bytes pae = dsse_pae(arena, DSSE_STATEMENT, &payload);
    if (key && dsse->count == 1 && digest_equal(&dsse->signatures[0].key, &entry->signer) &&
        key_verifies(&key->key, &pae, dsse->signatures[0].signature))
        return OK;
    return err_set(err, DAMAGED, "statement %s is not signed by who wrote entry %lld", name,
                   (long long)entry->seq);
}

enum code statement_check(const struct registry *registry, const struct entry *entry,
                          struct err *err)
{
    struct arena arena = { 0 };
    struct digest digest;
    if (!statement_of(entry, &digest)) return OK;
    enum code code = check(&arena, registry, entry, &digest, err);
    arena_release(&arena);
    return code;
}
