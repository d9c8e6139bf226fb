/* The keys of a policy, and the way from its file to the effective form. */
#include "registry/policy.h"

#include "registry/card.h"
#include "registry/state.h"

#include <string.h>

static const char *const role_words[] = { "trainer",  "evaluator", "approver",
                                          "releaser", "policy",    NULL };
static const char *const verdict_words[] = { "pass", "inconclusive", NULL };
static const char *const baseline_words[] = { "current", "pinned", NULL };
static const char *const unsealed_words[] = { "refuse", "allow", NULL };
static const char *const waive_words[] = { "verdict", "fresh", "stage", "exposure", NULL };

static const struct field role_item = { .type = FIELD_WORD,
                                        .words = role_words,
                                        .example = "trainer" };

static const struct field key_fields[] = {
    { .key = "person",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .help = "Whose key it is. Approvals count persons, however many keys each has.",
      .example = "ada" },
    { .key = "roles",
      .type = FIELD_LIST,
      .item = &role_item,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "What the key may sign: trainer adds versions, evaluator seals and reports, approver "
              "approves and waives, releaser moves channels, policy sets policies, revokes keys "
              "and retires versions.",
      .example = "[trainer, evaluator]" },
    { .key = "key",
      .type = FIELD_TEXT,
      .required = true,
      .since = "0.1",
      .help = "The public key, as `pawl registry key new` prints it, or as PEM text.",
      .example = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE..." },
    { 0 },
};

static const struct field key_item = { .type = FIELD_MAP, .fields = key_fields };

#define PERSONS(role, whose)                                                                       \
    {                                                                                              \
        .key = role, .type = FIELD_INT, .low = 0, .high = 64, .fallback = "0", .since = "0.1",     \
        .help = "Persons with the role " role " who must approve" whose ".", .example = "2"        \
    }

static const struct field approval_fields[] = {
    PERSONS("approver", ""),
    PERSONS("trainer", ", approvers too"),
    PERSONS("evaluator", ", approvers too"),
    PERSONS("releaser", ", approvers too"),
    PERSONS("policy", ", approvers too"),
    { 0 },
};

static const struct field name_item = { .type = FIELD_NAME, .example = "staging" };
static const struct field digest_item = { .type = FIELD_TEXT, .example = "sha256:0123..." };
static const struct field verdict_item = { .type = FIELD_WORD,
                                           .words = verdict_words,
                                           .example = "pass" };
static const struct field waive_item = { .type = FIELD_WORD,
                                         .words = waive_words,
                                         .example = "fresh" };

static const struct field card_item = { .type = FIELD_WORD,
                                        .words = card_words,
                                        .example = "license" };

static const struct field channel_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .help = "The channel. One that no row names cannot be moved.",
      .example = "production" },
    { .key = "after",
      .type = FIELD_LIST,
      .item = &name_item,
      .fallback = "[]",
      .since = "0.1",
      .help = "The version must have been on one of these channels before.",
      .example = "[staging]" },
    { .key = "suites",
      .type = FIELD_LIST,
      .item = &digest_item,
      .fallback = "[]",
      .since = "0.1",
      .help = "Digests of suites; each must have a report that passes. Without any, one suite of "
              "the evaluator's choice.",
      .example = "[sha256:0123...]" },
    { .key = "verdicts",
      .type = FIELD_LIST,
      .item = &verdict_item,
      .nonempty = true,
      .fallback = "[pass]",
      .since = "0.1",
      .help = "Verdicts that count as passing.",
      .example = "[pass, inconclusive]" },
    { .key = "fresh",
      .type = FIELD_TIME,
      .low = 0,
      .high = -1,
      .fallback = "0s",
      .since = "0.1",
      .help = "How old a report may be; 0s: as old as it likes.",
      .example = "30d" },
    { .key = "approvals",
      .type = FIELD_MAP,
      .fields = approval_fields,
      .since = "0.1",
      .help = "How many persons must approve, by role. Nobody approves what they added.",
      .example = "{approver: 2}" },
    { .key = "exposure",
      .type = FIELD_INT,
      .low = 0,
      .high = -1,
      .fallback = "0",
      .since = "0.1",
      .help = "How many different candidates may have been shown to the report's split; 0: any "
              "number.",
      .example = "20" },
    { .key = "card",
      .type = FIELD_LIST,
      .item = &card_item,
      .fallback = "[]",
      .since = "0.2",
      .help = "Fields that people must have written on the version's card (`registry add --card`).",
      .example = "[license, intended_use, limitations]" },
    { .key = "score",
      .type = FIELD_REAL,
      .low = 0,
      .high = 7,
      .fallback = "0",
      .since = "0.2",
      .help = "The smallest ML Test Score (`pawl score`): of each section's sum the least; 0: any.",
      .example = "2.5" },
    { .key = "baseline",
      .type = FIELD_WORD,
      .words = baseline_words,
      .fallback = "current",
      .since = "0.1",
      .help = "current: what a report compared with must still be what that channel holds; pinned: "
              "it need not.",
      .example = "pinned" },
    { .key = "unsealed",
      .type = FIELD_WORD,
      .words = unsealed_words,
      .fallback = "refuse",
      .since = "0.1",
      .help = "Whether reports count whose bar was not sealed before.",
      .example = "allow" },
    { .key = "waive",
      .type = FIELD_LIST,
      .item = &waive_item,
      .fallback = "[]",
      .since = "0.1",
      .help = "Rules that approvers may set aside with a signed waiver.",
      .example = "[verdict, fresh]" },
    { 0 },
};

static const struct field channel_item = { .type = FIELD_MAP, .fields = channel_fields };

static const struct field policy_fields[] = {
    { .key = "name",
      .type = FIELD_NAME,
      .required = true,
      .since = "0.1",
      .help = "Name of the policy, for people.",
      .example = "release" },
    { .key = "signatures",
      .type = FIELD_INT,
      .low = 1,
      .high = 64,
      .fallback = "1",
      .since = "0.1",
      .help = "Persons with the role policy who must sign a new policy: this many by the policy in "
              "force and this many by the new one.",
      .example = "2" },
    { .key = "keys",
      .type = FIELD_LIST,
      .item = &key_item,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "Who may sign what.",
      .example = "[{person: ada, roles: [policy], key: MFkw...}]" },
    { .key = "channels",
      .type = FIELD_LIST,
      .item = &channel_item,
      .required = true,
      .nonempty = true,
      .since = "0.1",
      .help = "What each channel asks of a version.",
      .example = "[{name: staging}]" },
    { 0 },
};

const struct kind policy_kind = {
    .name = "policy",
    .version = 1,
    .help = "Who may do what in a registry, and what a channel asks of a version.",
    .fields = policy_fields,
    .no_environment = true,
};

/* A key in its one spelling. */
static void check_key(json_t *row, struct arena *arena, const struct node *node,
                      struct problems *problems)
{
    struct key key;
    struct err err;
    const struct node *at = node_at(node, "key");
    const char *text = node_text(node, "key");
    if (key_read_public(&key, text, strlen(text), node_text(node, "person"), &err)) {
        problem_add(problems, at->mark, "%s", arena_copy(arena, err.message))->hint = arena_copy(
            arena, err.hint);
        return;
    }
    json_object_set_new(row, "key", json_string(key_public_text(arena, &key)));
    key_release(&key);
}

static void check_channel(const struct node *channel, struct problems *problems)
{
    struct digest digest;
    struct err err;
    const struct node *name = node_at(channel, "name");
    if (name_check_channel(name->text, &err))
        problem_add(problems, name->mark, "%s", arena_copy(problems->arena, err.message))->hint =
            arena_copy(problems->arena, err.hint);
    for (const struct node *item = node_at(channel, "suites")->first; item; item = item->next)
        if (!digest_parse(&digest, item->text))
            problem_add(problems, item->mark, "no digest of a suite: '%s'",
                        text_shown(problems->arena, item->text))
                ->hint = "`pawl eval` and `pawl gate` print a suite's digest, sha256:...";
    bool passes = false;
    const struct node *verdicts = node_at(channel, "verdicts");
    for (const struct node *item = verdicts->first; item; item = item->next)
        passes |= strcmp(item->text, "pass") == 0;
    if (!passes) problem_add(problems, verdicts->mark, "the verdicts do not contain 'pass'");
}

/* What the rows ask for must be there: channels that `after` names, persons to approve and sign. */
static void check_whole(const struct policy *policy, const struct node *root,
                        struct problems *problems)
{
    const struct node *row = node_at(root, "channels")->first;
    for (size_t c = 0; c < policy->channel_count; c++, row = row->next) {
        const struct policy_channel *channel = &policy->channels[c];
        const struct node *item = node_at(row, "after")->first;
        for (size_t a = 0; a < channel->after_count; a++, item = item->next) {
            bool itself = strcmp(channel->after[a], channel->name) == 0;
            if (itself || !policy_channel_find(policy, channel->after[a]))
                problem_add(problems, item->mark, "no %s channel '%s'", itself ? "other" : "such",
                            channel->after[a]);
        }
        for (int r = 0; r < SIGNER_COUNT; r++)
            if (channel->approvals[r] > policy_persons(policy, (enum signer_role)r, NULL))
                problem_add(problems, node_at(row, "approvals")->mark,
                            "%lld persons must approve as %s, but %lld have that role",
                            (long long)channel->approvals[r], role_name((enum signer_role)r),
                            (long long)policy_persons(policy, (enum signer_role)r, NULL));
    }
}

static void check_signatures(const json_t *json, const struct node *root, struct problems *problems)
{
    json_t *persons = json_object(), *key, *role;
    size_t i, r;
    json_array_foreach(json_object_get(json, "keys"), i, key) json_array_foreach(
        json_object_get(key, "roles"), r, role) if (strcmp(json_string_value(role), "policy") == 0)
        json_object_set_new(persons, json_string_value(json_object_get(key, "person")),
                            json_true());
    if (node_int(root, "signatures") > (int64_t)json_object_size(persons))
        problem_add(
            problems,
            node_at(root, node_at(root, "signatures")->is_default ? "keys" : "signatures")->mark,
            "%lld persons must sign a new policy, but %zu have the role policy",
            (long long)node_int(root, "signatures"), json_object_size(persons));
    json_decref(persons);
}

static enum code sum_up(const struct problems *problems, const char *path, struct err *err)
{
    if (!problems->count) return OK;
    return err_set(err, CONFIG, "cannot use policy '%s': %d problems", path, problems->count);
}

static enum code effective(json_t *json, struct arena *arena, const struct document *document,
                           struct problems *problems, struct err *err)
{
    struct policy policy;
    const struct node *keys = node_at(document->root, "keys");
    json_t *rows = json_object_get(json, "keys");
    size_t i = 0;
    for (const struct node *row = keys->first; row; row = row->next)
        check_key(json_array_get(rows, i++), arena, row, problems);
    for (const struct node *row = node_at(document->root, "channels")->first; row; row = row->next)
        check_channel(row, problems);
    check_signatures(json, document->root, problems);
    TRY(sum_up(problems, document->path, err));
    struct err inner;
    if (policy_parse(&policy, arena, json, document->path, &inner)) {
        problem_add(problems, document->root->mark, "%s", arena_copy(arena, inner.message));
        return sum_up(problems, document->path, err);
    }
    check_whole(&policy, document->root, problems);
    policy_release(&policy);
    return sum_up(problems, document->path, err);
}

enum code policy_load(json_t **json, struct arena *arena, const char *path,
                      struct problems *problems, struct err *err)
{
    const struct kind *const kinds[] = { &policy_kind, NULL };
    struct document document;
    struct node *root;
    *json = NULL;
    TRY(yaml_read(&root, arena, path, err));
    const struct node *extends = root->kind == NODE_MAP ? node_child(root, "extends") : NULL;
    if (extends) {
        err_set(err, CONFIG, "cannot use policy '%s': it extends another file", path);
        err_hint(err, "A policy is one file, so that who signs it has read all of it.");
        return err_at(err, path, extends->mark.line, extends->mark.column);
    }
    TRY(document_load(&document, arena, path, kinds, NULL, problems, err));
    *json = document_json(&document);
    enum code code = effective(*json, arena, &document, problems, err);
    if (code) {
        json_decref(*json);
        *json = NULL;
    }
    return code;
}
