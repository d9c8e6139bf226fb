/* The table of entry kinds, and the one writer and the one reader of an entry's bytes. */
#include "registry/entry.h"
#include "registry/checked.h"
#include "registry/dsse.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum body_type { BODY_TEXT, BODY_INT, BODY_FLAG, BODY_DIGEST, BODY_OBJECT, BODY_LIST };

static const char *const body_type_names[] = {
    [BODY_TEXT] = "a string",   [BODY_INT] = "an integer",   [BODY_FLAG] = "true or false",
    [BODY_DIGEST] = "a digest", [BODY_OBJECT] = "an object", [BODY_LIST] = "a list",
};

struct body_key {
    const char *name;
    enum body_type type;
};

enum { BODY_KEYS = 8 };

/* Keys that a body must have; further ones are facts that the kind's readers may use. A channel's
 * `from` (the version number that it held) is null where it held none, so it is not listed. */
static const struct {
    const char *name;
    struct body_key keys[BODY_KEYS];
} kinds[ENTRY_KIND_COUNT] = {
    [ENTRY_NONE] = { .name = "none" },
    [ENTRY_INIT] = { .name = "init", .keys = { { "open", BODY_FLAG } } },
    [ENTRY_POLICY] = { .name = "policy",
                       .keys = { { "policy", BODY_DIGEST },
                                 { "document", BODY_OBJECT },
                                 { "signatures", BODY_LIST } } },
    [ENTRY_REGISTER] = { .name = "register",
                         .keys = { { "model", BODY_TEXT },
                                   { "number", BODY_INT },
                                   { "digest", BODY_DIGEST },
                                   { "model_digest", BODY_DIGEST },
                                   { "variant", BODY_TEXT },
                                   { "facts", BODY_OBJECT } } },
    [ENTRY_SEAL] = { .name = "seal", .keys = { { "suite", BODY_DIGEST } } },
    [ENTRY_LOOK] = { .name = "look",
                     .keys = { { "suite", BODY_DIGEST },
                               { "model_digest", BODY_DIGEST },
                               { "look", BODY_INT } } },
    [ENTRY_REPORT] = { .name = "report",
                       .keys = { { "model", BODY_TEXT },
                                 { "number", BODY_INT },
                                 { "model_digest", BODY_DIGEST },
                                 { "suite", BODY_DIGEST },
                                 { "verdict", BODY_TEXT },
                                 { "report", BODY_DIGEST },
                                 { "files", BODY_OBJECT } } },
    [ENTRY_APPROVE] = { .name = "approve",
                        .keys = { { "model", BODY_TEXT },
                                  { "number", BODY_INT },
                                  { "digest", BODY_DIGEST },
                                  { "channel", BODY_TEXT },
                                  { "statement", BODY_DIGEST } } },
    [ENTRY_PROMOTE] = { .name = "promote",
                        .keys = { { "model", BODY_TEXT },
                                  { "number", BODY_INT },
                                  { "digest", BODY_DIGEST },
                                  { "model_digest", BODY_DIGEST },
                                  { "channel", BODY_TEXT },
                                  { "unchanged", BODY_FLAG },
                                  { "report", BODY_DIGEST } } },
    [ENTRY_ROLLBACK] = { .name = "rollback",
                         .keys = { { "model", BODY_TEXT },
                                   { "number", BODY_INT },
                                   { "digest", BODY_DIGEST },
                                   { "model_digest", BODY_DIGEST },
                                   { "channel", BODY_TEXT },
                                   { "unchanged", BODY_FLAG } } },
    [ENTRY_WAIVE] = { .name = "waive",
                      .keys = { { "model", BODY_TEXT },
                                { "number", BODY_INT },
                                { "digest", BODY_DIGEST },
                                { "channel", BODY_TEXT },
                                { "rule", BODY_TEXT },
                                { "expires", BODY_TEXT },
                                { "statement", BODY_DIGEST } } },
    [ENTRY_REVOKE] = { .name = "revoke", .keys = { { "key", BODY_DIGEST }, { "from", BODY_INT } } },
    [ENTRY_RETIRE] = { .name = "retire",
                       .keys = { { "model", BODY_TEXT },
                                 { "number", BODY_INT },
                                 { "digest", BODY_DIGEST } } },
    [ENTRY_IMPORT] = { .name = "import",
                       .keys = { { "model", BODY_TEXT },
                                 { "number", BODY_INT },
                                 { "digest", BODY_DIGEST },
                                 { "model_digest", BODY_DIGEST },
                                 { "origin", BODY_OBJECT } } },
    [ENTRY_ADOPT] = { .name = "adopt",
                      .keys = { { "model", BODY_TEXT }, { "digest", BODY_DIGEST } } },
    [ENTRY_RECOVER] = { .name = "recover", .keys = { { "lost", BODY_OBJECT } } },
};

const char *entry_kind_name(enum entry_kind kind)
{
    return kinds[kind].name;
}

static enum entry_kind kind_of(const char *name)
{
    for (int kind = ENTRY_NONE + 1; kind < ENTRY_KIND_COUNT; kind++)
        if (strcmp(kinds[kind].name, name) == 0) return (enum entry_kind)kind;
    return ENTRY_NONE;
}

void draft_release(struct draft *draft)
{
    json_decref(draft->subjects);
    json_decref(draft->body);
    memset(draft, 0, sizeof *draft);
}

void draft_subject(struct draft *draft, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    if (!draft->subjects) draft->subjects = json_array();
    REQUIRE(json_array_append_new(draft->subjects, json_string(digest_text(digest, text))) == 0);
}

static bool body_has(const json_t *body, const struct body_key *key)
{
    const json_t *value = json_object_get(body, key->name);
    struct digest digest;
    switch (key->type) {
    case BODY_TEXT:
        return json_is_string(value);
    case BODY_INT:
        return json_is_integer(value);
    case BODY_FLAG:
        return json_is_boolean(value);
    case BODY_DIGEST:
        return digest_parse(&digest, json_string_value(value));
    case BODY_OBJECT:
        return json_is_object(value);
    case BODY_LIST:
        return json_is_array(value);
    }
    return false;
}

/* The first key that the body lacks, or NULL. */
static const struct body_key *body_lacks(const json_t *body, enum entry_kind kind)
{
    for (int i = 0; i < BODY_KEYS && kinds[kind].keys[i].name; i++)
        if (!body_has(body, &kinds[kind].keys[i])) return &kinds[kind].keys[i];
    return NULL;
}

static enum code text_member(json_t *json, const char *key, const char *text, size_t limit,
                             struct err *err)
{
    if (!text) text = "";
    if (strlen(text) > limit)
        return err_set(err, USAGE, "cannot record the %s '%.40s...': %zu bytes, more than %zu", key,
                       text, strlen(text), limit);
    json_t *value = json_string(text);
    if (!value) return err_set(err, USAGE, "cannot record the %s: it is not UTF-8 text", key);
    REQUIRE(json_object_set_new(json, key, value) == 0);
    return OK;
}

double time_parse(const char *text)
{
    struct tm parts = { 0 };
    const char *end = strlen(text) == 20 ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &parts) : NULL;
    char again[TIME_TEXT];
    if (!end || *end) return 0;
    time_t seconds = timegm(&parts);
    strftime(again, sizeof again, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return seconds > 0 && strcmp(again, text) == 0 ? (double)seconds : 0;
}

/* Now, or the time of the journal where the own clock is behind it. */
static const char *time_text(char text[TIME_TEXT], double not_before)
{
    clock_utc(text);
    if (time_parse(text) >= not_before) return text;
    time_t seconds = (time_t)not_before;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, TIME_TEXT, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

/* What a signature is over, in the arena. */
static struct bytes signed_bytes(struct arena *arena, json_t *entry)
{
    json_t *bare = json_copy(entry);
    size_t len;
    json_object_del(bare, "self");
    json_object_del(bare, "signature");
    const char *text = json_canonical(arena, bare, &len);
    json_decref(bare);
    struct bytes payload = { .at = text, .len = len };
    return dsse_pae(arena, DSSE_ENTRY, &payload);
}

static void sign(struct arena *arena, json_t *entry, const struct key *key)
{
    char id[DIGEST_TEXT];
    struct bytes message = signed_bytes(arena, entry);
    json_t *signature = json_pack("{ss ss}", "key", digest_text(&key->id, id), "value",
                                  key_sign(arena, key, &message));
    REQUIRE(json_object_set_new(entry, "signature", signature) == 0);
}

bool entry_signed_by(const struct entry *entry, const struct key *key)
{
    struct arena arena = { 0 };
    struct bytes message = signed_bytes(&arena, entry->json);
    bool good = entry->signature && key_verifies(key, &message, entry->signature);
    arena_release(&arena);
    return good;
}

static json_t *digest_json(const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return digest ? json_string(digest_text(digest, text)) : json_null();
}

enum code entry_render(struct arena *arena, struct bytes *bytes, const struct draft *draft,
                       int64_t seq, const struct digest *previous, struct err *err)
{
    REQUIRE(!body_lacks(draft->body, draft->kind));
    char time[TIME_TEXT], nonce[33];
    uint64_t random[2];
    random_bytes(random, sizeof random);
    snprintf(nonce, sizeof nonce, "%016llx%016llx", (unsigned long long)random[0],
             (unsigned long long)random[1]);
    json_t *json = json_pack("{ss so ss ss sI so sO ss}", "pawl", "entry/1", "previous",
                             digest_json(previous), "kind", kinds[draft->kind].name, "nonce", nonce,
                             "seq", (json_int_t)seq, "subjects",
                             draft->subjects ? json_incref(draft->subjects) : json_array(), "body",
                             draft->body, "time", time_text(time, draft->not_before));
    REQUIRE(json);
    enum code code = text_member(json, "actor", draft->actor, ENTRY_ACTOR_LIMIT, err);
    if (!code) code = text_member(json, "reason", draft->reason, ENTRY_REASON_LIMIT, err);
    if (code) goto out;
    if (draft->key) sign(arena, json, draft->key);
    *bytes = checked_render(arena, json);
    if (bytes->len > ENTRY_LIMIT)
        code = err_set(err, USAGE, "cannot record a '%s' entry: %zu bytes, more than %d",
                       kinds[draft->kind].name, bytes->len, ENTRY_LIMIT);
out:
    json_decref(json);
    return code;
}

/* `signature`, where there is one: {key, value}. */
static enum code check_signature(struct entry *entry, const char *name, struct err *err)
{
    const json_t *signature = json_object_get(entry->json, "signature");
    if (!signature) return OK;
    TRY(json_get_digest(&entry->signer, signature, "key", name, err));
    TRY(json_get_text(&entry->signature, signature, "value", name, err));
    if (json_object_size(signature) == 2) return OK;
    return err_set(err, DAMAGED, "cannot use '%s': its signature is malformed", name);
}

static enum code check_members(struct entry *entry, int64_t seq, const char *name, struct err *err)
{
    enum { MEMBERS = 11 };
    const json_t *json = entry->json;
    const char *kind, *nonce;
    json_t *member;
    TRY(json_get_text(&kind, json, "kind", name, err));
    TRY(json_get_text(&nonce, json, "nonce", name, err));
    TRY(json_get_text(&entry->actor, json, "actor", name, err));
    TRY(json_get_text(&entry->reason, json, "reason", name, err));
    TRY(json_get_text(&entry->time, json, "time", name, err));
    TRY(json_get_int(&entry->seq, json, "seq", name, err));
    TRY(json_get_array(&member, json, "subjects", name, err));
    entry->subjects = member;
    TRY(json_get_object(&member, json, "body", name, err));
    entry->body = member;
    if (seq > 1) TRY(json_get_digest(&entry->previous, json, "previous", name, err));
    if (seq == 1 && !json_is_null(json_object_get(json, "previous")))
        return err_set(err, DAMAGED, "cannot use '%s': the first entry follows another", name);
    if (entry->seq != seq)
        return err_set(err, DAMAGED, "cannot use '%s': it says that it is entry %lld", name,
                       (long long)entry->seq);
    TRY(check_signature(entry, name, err));
    if (json_object_size(json) != MEMBERS + (entry->signature != NULL))
        return err_set(err, DAMAGED, "cannot use '%s': it has %zu members, not %d", name,
                       json_object_size(json), MEMBERS + (entry->signature != NULL));
    entry->kind = kind_of(kind);
    if (entry->kind == ENTRY_NONE)
        return err_set(err, DAMAGED, "cannot use '%s': unknown kind '%.40s'", name, kind);
    if ((entry->kind == ENTRY_INIT) != (seq == 1))
        return err_set(err, DAMAGED, "cannot use '%s': entry %lld is of kind '%s'", name,
                       (long long)seq, kind);
    const struct body_key *lacks = body_lacks(entry->body, entry->kind);
    if (lacks)
        return err_set(err, DAMAGED, "cannot use '%s': '%s' is missing or not %s", name,
                       lacks->name, body_type_names[lacks->type]);
    return OK;
}

/* One signature stands for one file: what it is over could be written in other ways. */
static bool is_canonical(const struct bytes *bytes, const json_t *json)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = json_canonical(&arena, json, &len);
    bool same = bytes->len == len + 1 && bytes->at[len] == '\n' &&
                memcmp(bytes->at, text, len) == 0;
    arena_release(&arena);
    return same;
}

enum code entry_parse(struct entry *entry, const struct bytes *bytes, int64_t seq, const char *name,
                      struct err *err)
{
    memset(entry, 0, sizeof *entry);
    TRY(json_parse(&entry->json, bytes->at, bytes->len, name, err));
    const char *pawl = json_string_value(json_object_get(entry->json, "pawl"));
    enum code code = OK;
    if (!pawl || strcmp(pawl, "entry/1") != 0)
        code = err_set(err, DAMAGED, "cannot use '%s': it is no entry/1 document", name);
    else if (!checked_holds(bytes, entry->json))
        code = err_set(err, DAMAGED, "cannot use '%s': its bytes do not have the digest it states",
                       name);
    else
        code = check_members(entry, seq, name, err);
    if (!code && entry->signature && !is_canonical(bytes, entry->json))
        code = err_set(err, DAMAGED, "cannot use '%s': it is not in canonical form", name);
    if (code)
        entry_release(entry);
    else
        entry->digest = digest_of(bytes->at, bytes->len);
    return code;
}

void entry_release(struct entry *entry)
{
    json_decref(entry->json);
    memset(entry, 0, sizeof *entry);
}

const char *entry_text(const struct entry *entry, const char *key)
{
    return json_string_value(json_object_get(entry->body, key));
}

int64_t entry_int(const struct entry *entry, const char *key)
{
    return json_integer_value(json_object_get(entry->body, key));
}

bool entry_digest(const struct entry *entry, struct digest *digest, const char *key)
{
    return digest_parse(digest, entry_text(entry, key));
}

bool entry_registers(const struct entry *entry)
{
    return entry->kind == ENTRY_REGISTER || entry->kind == ENTRY_IMPORT ||
           (entry->kind == ENTRY_ADOPT && json_object_get(entry->body, "number"));
}
