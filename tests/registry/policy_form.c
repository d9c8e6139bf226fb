/* The effective form of a policy with one member changed: what is legal at its limit, and what is
 * refused right beyond it. Revocations at their limits. */
#include "registry/trust.h"
#include "tests/registry/shared_trust.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static json_t *parsed(const char *text)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    cr_assert_not_null(json, "%s", text);
    return json;
}

/* Sets a/0/b to a value, "-" takes it away, "+" appends a list's first item once more. */
static void change(json_t *json, const char *path, const char *value)
{
    char part[40];
    for (;;) {
        size_t len = strcspn(path, "/");
        bool last = !path[len], listed = json_is_array(json);
        memcpy(part, path, len);
        part[len] = '\0';
        size_t at = (size_t)strtoul(part, NULL, 10);
        json_t *next = listed ? json_array_get(json, at) : json_object_get(json, part);
        path += len + !last;
        if (!last) {
            json = next;
            continue;
        }
        if (strcmp(value, "+") == 0)
            json_array_append(next, json_array_get(next, 0));
        else if (strcmp(value, "-") == 0)
            json_object_del(json, part);
        else if (listed)
            json_array_set_new(json, at, parsed(value));
        else
            json_object_set_new(json, part, parsed(value));
        return;
    }
}

static const struct {
    const char *path, *value, *says; /* NULL: legal */
} rows[] = {
    { "name", "\"other\"", NULL },
    { "pawl", "\"policy/2\"", "no policy/1" },
    { "pawl", "7", "no policy/1" },
    { "extra", "1", "too many members" },
    { "signatures", "0", "more signatures than persons" },
    { "signatures", "3", NULL },
    { "signatures", "4", "more signatures than persons" },
    { "keys", "+", "a key twice" },
    { "keys/0/person", "\"Ada\"", "a person without a name" },
    { "keys/0/roles", "[]", "a key in keys" },
    { "keys/0/roles", "[\"trainer\", \"trainer\"]", "a wrong word in roles" },
    { "keys/0/roles", "[\"tailor\"]", "a wrong word in roles" },
    { "keys/0/roles", "[7]", "a wrong word in roles" },
    { "keys/0/extra", "1", "a key in keys" },
    { "keys/0/key", "\"rubbish\"", "" },
    { "channels", "+", "a wrong or doubled name" },
    { "channels/0/name", "\"v7\"", "a wrong or doubled name" },
    { "channels/0/name", "\"beta\"", NULL },
    { "channels/0/after", "[\"stage\"]", NULL },
    { "channels/0/after", "[7]", "no channel name" },
    { "channels/0/after", "[\"7\"]", "no channel name" },
    { "channels/0/suites", "[\"sha256:12\"]", "no digest" },
    { "channels/0/verdicts", "[\"inconclusive\"]", "verdicts without 'pass'" },
    { "channels/0/verdicts", "[\"inconclusive\", \"pass\"]", NULL },
    { "channels/0/verdicts", "[\"fail\"]", "a wrong word in verdicts" },
    { "channels/0/fresh", "0.0", NULL },
    { "channels/0/fresh", "-0.5", "a number below zero" },
    { "channels/0/exposure", "0", NULL },
    { "channels/0/exposure", "-1", "a number below zero" },
    { "channels/0/approvals/approver", "64", NULL },
    { "channels/0/approvals/approver", "65", "a wrong number" },
    { "channels/0/approvals/approver", "0", NULL },
    { "channels/0/approvals/approver", "-1", "a wrong number" },
    { "channels/0/approvals/policy", "-", "a wrong role" },
    { "channels/0/approvals/tailor", "0", "a wrong role" },
    { "channels/0/baseline", "\"pinned\"", NULL },
    { "channels/0/baseline", "\"current\"", NULL },
    { "channels/0/baseline", "\"old\"", "a wrong word in baseline" },
    { "channels/0/unsealed", "\"allow\"", NULL },
    { "channels/0/unsealed", "\"refuse\"", NULL },
    { "channels/0/unsealed", "true", "" },
    { "channels/0/waive", "[\"verdict\", \"fresh\", \"stage\", \"exposure\"]", NULL },
    { "channels/0/waive", "[\"seal\"]", "a wrong word in waive" },
    { "channels/0/card", "[\"license\", \"tests\"]", NULL },
    { "channels/0/card", "[\"licence\"]", "a wrong word in card" },
    { "channels/0/card", "[\"license\", \"license\"]", "a wrong word in card" },
    { "channels/0/card", "true", "" },
    { "channels/0/card", "-", "" },
    { "channels/0/score", "7.0", NULL },
    { "channels/0/score", "0.0", NULL },
    { "channels/0/score", "7.5", "a score below 0 or above 7" },
    { "channels/0/score", "-0.5", "a score below 0 or above 7" },
    { "channels/0/score", "true", "" },
    { "channels/0/score", "-", "" },
    { "channels/0/extra", "1", "members in" },
    { "name", "true", "" },
    { "keys", "true", "" },
    { "channels", "true", "" },
    { "keys/0", "true", "" },
    { "keys/0/person", "true", "" },
    { "keys/0/roles", "true", "" },
    { "keys/0/key", "true", "" },
    { "channels/0", "true", "" },
    { "channels/0/name", "true", "" },
    { "channels/0/after", "true", "" },
    { "channels/0/suites", "true", "" },
    { "channels/0/verdicts", "true", "" },
    { "channels/0/fresh", "true", "" },
    { "channels/0/exposure", "true", "" },
    { "channels/0/approvals", "true", "" },
    { "channels/0/approvals/approver", "true", "" },
    { "channels/0/approvals/trainer", "true", "" },
    { "channels/0/baseline", "true", "" },
    { "channels/0/unsealed", "true", "" },
    { "channels/0/waive", "true", "" },
    { "signatures", "true", "" },
};

Test(policy_form, one_member_makes_the_difference)
{
    struct trusted t;
    cr_assert_eq(trusted_open(&t, 1, "  - {name: prod}"), OK, "%s", t.s.err.message);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *json = trusted_policy(&t, 1, "  - {name: prod}\n  - {name: stage}");
        struct arena arena = { 0 };
        struct policy policy;
        struct err err = { 0 };
        change(json, rows[i].path, rows[i].value);
        enum code code = policy_parse(&policy, &arena, json, "p", &err);
        cr_expect_eq(code == OK, rows[i].says == NULL, "%s %s: %s", rows[i].path, rows[i].value,
                     err.message);
        if (rows[i].says)
            cr_expect(strstr(err.message, rows[i].says), "%s %s: %s", rows[i].path, rows[i].value,
                      err.message);
        if (!code) {
            const struct policy_channel *channel = &policy.channels[0];
            const char *path = rows[i].path, *value = rows[i].value;
            cr_expect_eq(policy.channel_count, 2);
            cr_expect_eq(channel->pinned, strstr(value, "pinned") != NULL, "%s", value);
            cr_expect_eq(channel->unsealed, strstr(value, "allow") != NULL, "%s", value);
            cr_expect_eq(channel->inconclusive, strstr(value, "inconclusive") != NULL, "%s", value);
            cr_expect_eq(channel->waive, strstr(path, "waive") ? 15 : 0, "%s", value);
            cr_expect_eq(channel->after_count, strstr(path, "after") ? 1 : 0, "%s", value);
            cr_expect_eq(policy.signatures, strstr(path, "signatures") ? 3 : 1);
            cr_expect_eq(channel->approvals[SIGNER_APPROVER], *value == '6' ? 64 : 0);
            struct digest want = json_digest(json);
            cr_expect(digest_equal(&policy.digest, &want));
            policy_release(&policy);
        }
        json_decref(json);
        arena_release(&arena);
    }
    struct policy policy;
    struct arena arena = { 0 };
    json_t *list = json_array();
    cr_expect_eq(policy_parse(&policy, &arena, list, "p", &t.s.err), DAMAGED);
    json_decref(list);
    arena_release(&arena);
    trusted_close(&t);
}

/* Keys can be revoked from any entry up to the next one, sooner but not later than before, and only
 * while enough persons can sign a new policy. */
Test(policy_form, revocations_at_their_limits)
{
    struct trusted t;
    cr_assert_eq(trusted_open(&t, 2, "  - {name: prod}"), OK, "%s", t.s.err.message);
    struct registry *registry = &t.s.registry;
    cr_assert_eq(registry_refresh(registry, &t.s.err), OK);
    int64_t head = registry->state.head.seq, seq = 0;
    struct revoke_opts opts = { .key = t.keys[GRACE].id, .actor = "a", .reason = "r" };
    trusted_as(&t, ADA);
    opts.from = head + 2;
    cr_expect_eq(registry_revoke(registry, &seq, &opts, &t.s.err), USAGE);
    opts.from = head + 1;
    opts.reason = "";
    cr_expect_eq(registry_revoke(registry, &seq, &opts, &t.s.err), USAGE);
    opts.reason = "r";
    cr_assert_eq(registry_revoke(registry, &seq, &opts, &t.s.err), OK, "%s", t.s.err.message);
    cr_expect_eq(registry->state.head.seq, head + 1);
    cr_expect_eq(trust_revoked(&registry->state, &opts.key), head + 1);
    cr_assert_eq(registry_revoke(registry, &seq, &opts, &t.s.err), OK);
    cr_expect_eq(registry->state.head.seq, head + 1, "said before");
    opts.from = 0;
    cr_assert_eq(registry_revoke(registry, &seq, &opts, &t.s.err), OK);
    cr_expect_eq(registry->state.head.seq, head + 1, "from now on is later");
    opts.from = head;
    cr_assert_eq(registry_revoke(registry, &seq, &opts, &t.s.err), OK, "%s", t.s.err.message);
    cr_expect_eq(trust_revoked(&registry->state, &opts.key), head, "sooner");
    /* ada and linus are left, and two must sign */
    opts.key = t.keys[LINUS].id;
    cr_expect_eq(registry_revoke(registry, &seq, &opts, &t.s.err), REFUSED);
    cr_expect(strstr(t.s.err.message, "too few persons"), "%s", t.s.err.message);
    opts.key = t.keys[MALLORY].id;
    cr_expect_eq(registry_revoke(registry, &seq, &opts, &t.s.err), NOT_FOUND);
    json_t *keys;
    cr_assert_eq(registry_keys(registry, &keys, &t.s.err), OK);
    json_t *list = json_object_get(keys, "keys");
    cr_assert_eq(json_array_size(list), 3);
    json_t *grace = json_array_get(list, GRACE);
    cr_expect_eq(json_integer_value(json_object_get(grace, "revoked")), head);
    cr_expect(json_is_null(json_object_get(json_array_get(list, ADA), "revoked")));
    cr_expect_eq(json_array_size(json_object_get(grace, "roles")), 2);
    json_decref(keys);
    trusted_close(&t);
}
