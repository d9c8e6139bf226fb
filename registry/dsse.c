/* Envelopes: the encoding that is signed, one writer and one strict reader. */
#include "registry/dsse.h"

#include <stdio.h>
#include <string.h>

struct bytes dsse_pae(struct arena *arena, const char *type, const struct bytes *payload)
{
    const char *head = arena_format(arena, "DSSEv1 %zu %s %zu ", strlen(type), type, payload->len);
    size_t before = strlen(head);
    char *at = arena_take(arena, before + payload->len + 1);
    memcpy(at, head, before);
    memcpy(at + before, payload->at, payload->len);
    return (struct bytes){ .at = at, .len = before + payload->len };
}

struct bytes dsse_sign(struct arena *arena, const char *type, const struct bytes *payload,
                       const struct key *key)
{
    char id[DIGEST_TEXT];
    size_t len;
    struct bytes pae = dsse_pae(arena, type, payload);
    json_t *json = json_pack("{ss ss s[{ss ss}]}", "payload",
                             base64_text(arena, payload->at, payload->len), "payloadType", type,
                             "signatures", "keyid", digest_text(&key->id, id), "sig",
                             key_sign(arena, key, &pae));
    REQUIRE(json);
    const char *text = json_canonical(arena, json, &len);
    json_decref(json);
    return (struct bytes){ .at = text, .len = len };
}

static enum code read_signature(struct dsse *dsse, struct arena *arena, const json_t *row,
                                const char *name, struct err *err)
{
    const char *signature;
    struct bytes unused;
    struct digest key;
    TRY(json_get_digest(&key, row, "keyid", name, err));
    TRY(json_get_text(&signature, row, "sig", name, err));
    if (json_object_size(row) != 2 || !base64_read(arena, &unused, signature))
        return err_set(err, DAMAGED, "cannot use '%s': a signature is malformed", name);
    for (size_t i = 0; i < dsse->count; i++)
        if (digest_equal(&dsse->signatures[i].key, &key))
            return err_set(err, DAMAGED, "cannot use '%s': a key signed twice", name);
    dsse->signatures[dsse->count].key = key;
    dsse->signatures[dsse->count++].signature = arena_copy(arena, signature);
    return OK;
}

static enum code read_members(struct arena *arena, struct dsse *dsse, const json_t *json,
                              const char *type, const char *name, struct err *err)
{
    const char *text;
    json_t *signatures;
    TRY(json_get_text(&text, json, "payloadType", name, err));
    if (strcmp(text, type) != 0)
        return err_set(err, DAMAGED, "cannot use '%s': its payload is '%.60s', not '%s'", name,
                       text, type);
    TRY(json_get_text(&text, json, "payload", name, err));
    if (!base64_read(arena, &dsse->payload, text))
        return err_set(err, DAMAGED, "cannot use '%s': its payload is no base64", name);
    TRY(json_get_array(&signatures, json, "signatures", name, err));
    size_t count = json_array_size(signatures);
    if (!count || count > DSSE_SIGNATURES || json_object_size(json) != 3)
        return err_set(err, DAMAGED, "cannot use '%s': it is no envelope of 1 to %d signatures",
                       name, DSSE_SIGNATURES);
    for (size_t i = 0; i < count; i++)
        TRY(read_signature(dsse, arena, json_array_get(signatures, i), name, err));
    return OK;
}

enum code dsse_read(struct arena *arena, struct dsse *dsse, const struct bytes *bytes,
                    const char *type, const char *name, struct err *err)
{
    json_t *json;
    memset(dsse, 0, sizeof *dsse);
    TRY(json_parse(&json, bytes->at, bytes->len, name, err));
    enum code code = json_is_object(json)
                         ? read_members(arena, dsse, json, type, name, err)
                         : err_set(err, DAMAGED, "cannot use '%s': it is no envelope", name);
    json_decref(json);
    return code;
}
