/* Policies as files: what is wrong with one is said with its place; what a journal carries is read
 * strictly. */
#include "tests/registry/shared_trust.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", t.s.err.message)

/* The file of a policy with one thing that is wrong, and what is said about it. */
static const struct {
    const char *keys, *rest, *says;
} wrong[] = {
    { "  - {person: a, roles: [policy], key: rubbish}", "channels: [{name: x}]", "no public key" },
    { "  - {person: a, roles: [king], key: KEY}", "channels: [{name: x}]", "unknown word 'king'" },
    { "  - {person: a, roles: [trainer], key: KEY}", "channels: [{name: x}]",
      "1 persons must sign a new policy, but 0" },
    { "  - {person: a, roles: [policy], key: KEY}\n  - {person: b, roles: [policy], key: KEY}",
      "channels: [{name: x}]", "a key twice" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x}, {name: x}]", "doubled" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: v7}]", "version's tag" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, suites: [abc]}]",
      "no digest of a suite" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, after: [y]}]",
      "no such channel 'y'" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, after: [x]}]",
      "no other channel 'x'" },
    { "  - {person: a, roles: [policy], key: KEY}",
      "channels: [{name: x, approvals: {approver: 1}}]",
      "1 persons must approve as approver, but 0" },
    { "  - {person: a, roles: [policy], key: KEY}",
      "channels: [{name: x, verdicts: [inconclusive]}]", "do not contain 'pass'" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, surprise: 1}]",
      "unknown key 'surprise'" },
    { "  - {person: '../../etc', roles: [policy], key: KEY}", "channels: [{name: x}]", "person" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: '${env:HOME}'}]", "env" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x}]\nextends: /etc/passwd",
      "extends another file" },
    { "  - {person: a, roles: [], key: KEY}", "channels: [{name: x}]",
      "'roles' must have at least one item" },
    { "  - {roles: [policy], key: KEY}", "channels: [{name: x}]", "missing key 'person'" },
    { "  - {person: a, key: KEY}", "channels: [{name: x}]", "missing key 'roles'" },
    { "  - {person: a, roles: [policy]}", "channels: [{name: x}]", "missing key 'key'" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: []",
      "'channels' must have at least one item" },
    { "  - {person: a, roles: [policy], key: KEY}", "", "missing key 'channels'" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{after: [x]}]",
      "missing key 'name' in channels.0" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, verdicts: []}]",
      "'verdicts' must have at least one item" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x}]\nsignatures: 0",
      "from 1 to 64, got 0" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x}]\nsignatures: 65",
      "from 1 to 64, got 65" },
    { "  - {person: a, roles: [policy], key: KEY}",
      "channels: [{name: x, approvals: {policy: 65}}]", "from 0 to 64, got 65" },
    { "  - {person: a, roles: [policy], key: KEY}",
      "channels: [{name: x, approvals: {policy: -1}}]", "from 0 to 64, got -1" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, exposure: -1}]",
      "at least 0, got -1" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, fresh: -1s}]",
      "at least 0, got -1s" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, baseline: old}]",
      "'old' for channels.0.baseline" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, unsealed: old}]",
      "'old' for channels.0.unsealed" },
    { "  - {person: a, roles: [policy], key: KEY}", "channels: [{name: x, waive: [old]}]",
      "'old' for channels.0.waive.0" },
};

Test(policy, what_is_wrong_with_a_file_is_said_with_its_place)
{
    struct trusted t;
    MUST(trusted_open(&t, 0, NULL));
    const char *key = key_public_text(&t.arena, &t.keys[ADA]);
    const char *path = path_join(&t.arena, t.s.dir, "wrong.yaml");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct str text = { 0 };
        struct problems problems = { .arena = &t.arena };
        json_t *json;
        str_add(&text, "pawl: policy/1\nname: test\nkeys:\n");
        for (const char *at = wrong[i].keys; *at; at++) {
            bool here = strncmp(at, "KEY", 3) == 0;
            if (here)
                str_add(&text, key);
            else
                str_add_char(&text, *at);
            at += here ? 2 : 0;
        }
        str_addf(&text, "\n%s\n", wrong[i].rest);
        MUST(fs_publish_view(path, text.at, text.len, &t.s.err));
        cr_expect_eq(policy_load(&json, &t.arena, path, &problems, &t.s.err), CONFIG, "row %zu", i);
        const char *said = problems.first ? problems.first->message : t.s.err.message;
        int line = problems.first ? problems.first->mark.line : t.s.err.line;
        cr_expect(strstr(said, wrong[i].says), "row %zu: '%s' in '%s'", i, wrong[i].says, said);
        cr_expect_gt(line, 0, "row %zu", i);
        str_release(&text);
    }
    trusted_close(&t);
}

/* Members of an effective form that no writer makes: each is damage, none is believed. */
Test(policy, an_effective_form_is_read_strictly)
{
    static const struct {
        const char *path, *value; /* "channels.0.fresh"; JSON, "" to take it away */
    } rows[] = {
        { "pawl", "\"policy/2\"" },
        { "name", "1" },
        { "signatures", "0" },
        { "signatures", "9" },
        { "signatures", "\"1\"" },
        { "keys", "{}" },
        { "channels", "null" },
        { "more", "1" },
        { "keys.0.person", "\"../a\"" },
        { "keys.0.roles", "[]" },
        { "keys.0.roles", "[\"policy\",\"policy\"]" },
        { "keys.0.key", "\"AAAA\"" },
        { "keys.0.more", "1" },
        { "channels.0.name", "\"v1\"" },
        { "channels.0.after", "[1]" },
        { "channels.0.suites", "[\"x\"]" },
        { "channels.0.verdicts", "[\"fail\"]" },
        { "channels.0.verdicts", "[]" },
        { "channels.0.fresh", "-1.0" },
        { "channels.0.fresh", "" },
        { "channels.0.exposure", "-1" },
        { "channels.0.approvals", "{}" },
        { "channels.0.approvals.approver", "-1" },
        { "channels.0.baseline", "\"old\"" },
        { "channels.0.unsealed", "true" },
        { "channels.0.waive", "[\"digest\"]" },
        { "channels.0.more", "1" },
    };
    struct trusted t;
    struct policy policy;
    MUST(trusted_open(&t, 0, NULL));
    json_t *sound = trusted_policy(&t, 1, "  - {name: production}");
    cr_assert(sound);
    MUST(policy_parse(&policy, &t.arena, sound, "p", &t.s.err));
    policy_release(&policy);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *json = json_deep_copy(sound), *at = json, *value = NULL;
        char path[64], *name = path, *dot;
        snprintf(path, sizeof path, "%s", rows[i].path);
        for (; (dot = strchr(name, '.')); name = dot + 1) {
            *dot = '\0';
            at = json_is_array(at) ? json_array_get(at, (size_t)(*name - '0'))
                                   : json_object_get(at, name);
        }
        if (*rows[i].value) value = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
        if (value)
            json_object_set_new(at, name, value);
        else
            json_object_del(at, name);
        cr_expect_eq(policy_parse(&policy, &t.arena, json, "p", &t.s.err), DAMAGED, "%s = %s",
                     rows[i].path, rows[i].value);
        json_decref(json);
    }
    json_decref(sound);
    trusted_close(&t);
}
