/* Who may write what, and what becomes of entries that nobody had the right to write. */
#include "registry/trust.h"
#include "registry/commit.h"
#include "registry/statement.h"
#include "tests/registry/shared_trust.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", t.s.err.message)
#define SAYS(text)                                                                                 \
    cr_expect(strstr(t.s.err.message, (text)), "'%s' in '%s'", (text), t.s.err.message)
#define HINTS(text) cr_expect(strstr(t.s.err.hint, (text)), "'%s' in '%s'", (text), t.s.err.hint)

static const char plain[] = "  - {name: production, unsealed: allow}";

static enum code set_policy(struct trusted *t, json_t *policy, const char *with, int64_t *seq)
{
    const char *files[2] = { with, NULL };
    struct policy_opts opts = { .policy = policy, .with = files, .actor = "a", .reason = "r" };
    return registry_set_policy(&t->s.registry, seq, &opts, &t->s.err);
}

static enum code revoke_key(struct trusted *t, enum person person, int64_t from)
{
    int64_t seq;
    struct revoke_opts opts = {
        .key = t->keys[person].id, .from = from, .actor = "a", .reason = "lost"
    };
    return registry_revoke(&t->s.registry, &seq, &opts, &t->s.err);
}

Test(trust, an_entry_needs_a_signature_of_its_role)
{
    struct trusted t;
    struct added added;
    struct moved moved;
    struct registry *registry = &t.s.registry;
    MUST(trusted_open(&t, 1, plain));
    cr_expect_not(registry->open);

    /* a version is the trainer's, a report the evaluator's, a move the releaser's: ada */
    static const struct {
        int person; /* PERSONS: nobody */
        const char *says;
    } rows[] = { { PERSONS, "it is not signed" },
                 { MALLORY, "does not know your key" },
                 { GRACE, "does not have the role" } };
    for (size_t i = 0; i < 3; i++) {
        registry->key = rows[i].person < PERSONS ? &t.keys[rows[i].person] : NULL;
        cr_expect_eq(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err), REFUSED);
        SAYS(rows[i].says);
        HINTS("role trainer (ada)");
    }
    trusted_as(&t, ADA);
    MUST(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    trusted_as(&t, GRACE);
    cr_expect_eq(support_report(registry, NULL, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err),
                 REFUSED);
    HINTS("role evaluator (ada)");
    trusted_as(&t, ADA);
    MUST(support_report(registry, NULL, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
    trusted_as(&t, LINUS);
    cr_expect_eq(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err), REFUSED);
    HINTS("role releaser (ada)");
    trusted_as(&t, ADA);
    MUST(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err));

    /* every kind has a role, and the roles are those of the design */
    static const enum signer_role roles[ENTRY_KIND_COUNT] = {
        [ENTRY_NONE] = SIGNER_POLICY,      [ENTRY_INIT] = SIGNER_POLICY,
        [ENTRY_POLICY] = SIGNER_POLICY,    [ENTRY_REGISTER] = SIGNER_TRAINER,
        [ENTRY_SEAL] = SIGNER_EVALUATOR,   [ENTRY_LOOK] = SIGNER_EVALUATOR,
        [ENTRY_REPORT] = SIGNER_EVALUATOR, [ENTRY_APPROVE] = SIGNER_APPROVER,
        [ENTRY_PROMOTE] = SIGNER_RELEASER, [ENTRY_ROLLBACK] = SIGNER_RELEASER,
        [ENTRY_WAIVE] = SIGNER_APPROVER,   [ENTRY_REVOKE] = SIGNER_POLICY,
        [ENTRY_RETIRE] = SIGNER_POLICY,    [ENTRY_IMPORT] = SIGNER_TRAINER,
        [ENTRY_ADOPT] = SIGNER_TRAINER,    [ENTRY_RECOVER] = SIGNER_POLICY,
    };
    for (int kind = 1; kind < ENTRY_KIND_COUNT; kind++)
        for (int p = ADA; p <= GRACE; p++) {
            unsigned has = policy_key_find(&registry->state.policy, &t.keys[p].id)->roles;
            cr_expect_eq(trust_may(&registry->state, (enum entry_kind)kind, &t.keys[p], NULL) == OK,
                         (has >> roles[kind] & 1) == 1, "%s by %d",
                         entry_kind_name((enum entry_kind)kind), p);
        }
    trusted_close(&t);
}

/* Puts an entry behind the last one as somebody with access to the files could. */
static void forge(struct trusted *t, const struct draft *draft, const char *path)
{
    struct bytes bytes;
    struct err err;
    const struct head *head = &t->s.registry.state.head;
    cr_assert_eq(entry_render(&t->arena, &bytes, draft, head->seq + 1, &head->digest, &err), OK);
    unlink(path);
    cr_assert_eq(fs_publish_view(path, bytes.at, bytes.len, &err), OK, "%s", err.message);
}

static json_t *retire_body(const struct version *version)
{
    json_t *body = json_pack("{ss sI}", "model", "fashion", "number", (json_int_t)version->number);
    json_set_digest(body, "digest", &version->digest);
    return body;
}

Test(trust, forged_entries_are_damage_whoever_wrote_them)
{
    struct trusted t;
    struct added added;
    struct registry fresh;
    struct resolved resolved;
    json_t *result;
    MUST(trusted_open(&t, 1, plain));
    MUST(support_add(&t.s.registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    const struct version *version = model_version(state_model(&t.s.registry.state, "fashion"), 1);
    const char *path = journal_path(&t.arena, &t.s.registry.journal,
                                    t.s.registry.state.head.seq + 1);
    const struct {
        const struct key *key;
        const char *says;
    } rows[] = { { NULL, "not signed" },
                 { &t.keys[MALLORY], "does not know" },
                 { &t.keys[ADA], NULL } };
    for (size_t i = 0; i < 3; i++) {
        struct draft draft = { .kind = ENTRY_RETIRE, .key = rows[i].key };
        draft.body = retire_body(version);
        forge(&t, &draft, path);
        draft_release(&draft);
        MUST(registry_open(&fresh, t.s.path, &t.s.err));
        enum code code = registry_refresh(&fresh, &t.s.err);
        cr_expect_eq(code, rows[i].says ? DAMAGED : OK, "row %zu", i);
        if (rows[i].says) SAYS(rows[i].says);
        cr_expect_eq(registry_resolve(&fresh, &resolved, "fashion@1", &t.s.err), code);
        cr_expect_eq(registry_verify(t.s.path, &result, NULL, &t.s.err), code);
        json_decref(result);
        registry_close(&fresh);
    }
    /* the role: grace may not add versions; a signature that belongs to other content; an init that
     * was signed, but says something else now */
    struct draft draft = { .kind = ENTRY_LOOK, .key = &t.keys[GRACE] };
    draft.body = json_pack("{sI}", "look", (json_int_t)1);
    json_set_digest(draft.body, "suite", &added.digest);
    json_set_digest(draft.body, "model_digest", &added.digest);
    forge(&t, &draft, path);
    draft_release(&draft);
    MUST(registry_open(&fresh, t.s.path, &t.s.err));
    cr_expect_eq(registry_refresh(&fresh, &t.s.err), DAMAGED);
    SAYS("role evaluator");
    registry_close(&fresh);
    trusted_close(&t);
}

Test(trust, no_signature_may_stand_under_other_words)
{
    struct trusted t;
    struct added added;
    MUST(trusted_open(&t, 1, plain));
    MUST(support_add(&t.s.registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    struct bytes bytes;
    struct entry entry;
    const char *path = journal_path(&t.arena, &t.s.registry.journal, 2);
    MUST(fs_read(&t.arena, &bytes, path, ENTRY_LIMIT, &t.s.err));
    MUST(entry_parse(&entry, &bytes, 2, "e", &t.s.err));
    cr_expect(entry_signed_by(&entry, &t.keys[ADA]) && !entry_signed_by(&entry, &t.keys[GRACE]));
    static const char *const members[] = { "actor", "reason", "time", "nonce" };
    for (size_t i = 0; i < 4; i++) {
        json_t *before = json_deep_copy(json_object_get(entry.json, members[i]));
        json_object_set_new(entry.json, members[i], json_string("another"));
        cr_expect_not(entry_signed_by(&entry, &t.keys[ADA]), "%s", members[i]);
        json_object_set_new(entry.json, members[i], before);
        cr_expect(entry_signed_by(&entry, &t.keys[ADA]), "%s", members[i]);
    }
    json_object_set_new(json_object_get(entry.json, "body"), "more", json_true());
    cr_expect_not(entry_signed_by(&entry, &t.keys[ADA]));
    entry_release(&entry);
    /* nor may the same words be written in another way, with `self` computed anew */
    struct sha256 sha;
    struct digest self;
    char text[DIGEST_TEXT];
    char *at = strstr(bytes.at, "\"self\":\""), *behind = strchr(at, ',') + 1;
    sha256_begin(&sha);
    sha256_add(&sha, bytes.at, (size_t)(at - bytes.at));
    sha256_add(&sha, " ", 1);
    sha256_add(&sha, behind, strlen(behind));
    sha256_end(&sha, &self);
    const char *spaced = arena_format(&t.arena, "%.*s\"self\":\"%s\", %s", (int)(at - bytes.at),
                                      bytes.at, digest_text(&self, text), behind);
    struct bytes other = { .at = spaced, .len = strlen(spaced) };
    cr_expect_eq(entry_parse(&entry, &other, 2, "e", &t.s.err), DAMAGED);
    SAYS("canonical form");
    trusted_close(&t);
}

Test(trust, a_policy_needs_enough_persons_of_the_old_one_and_of_the_new_one)
{
    struct trusted t;
    int64_t seq;
    MUST(trusted_open(&t, 2, plain));
    json_t *second = trusted_policy(&t, 1, "  - {name: production}\n  - {name: staging}");
    json_t *third = trusted_policy(&t, 3, plain), *fourth = trusted_policy(&t, 2, plain);
    /* the old one wants two */
    cr_expect_eq(set_policy(&t, second, NULL, &seq), REFUSED);
    SAYS("1 of 2 persons");
    HINTS("policy sign");
    const char *by_mallory = trusted_signature(&t, second, MALLORY, "m.sig");
    cr_expect_eq(set_policy(&t, second, by_mallory, &seq), REFUSED);
    const char *by_grace = trusted_signature(&t, second, GRACE, "g.sig");
    const char *again = trusted_signature(&t, second, ADA, "a.sig");
    cr_expect_eq(set_policy(&t, second, again, &seq), REFUSED, "one person twice is one");
    cr_expect_eq(set_policy(&t, third, by_grace, &seq), CONFLICT, "it is for another policy");
    trusted_as(&t, MALLORY);
    cr_expect_eq(set_policy(&t, second, by_grace, &seq), REFUSED);
    trusted_as(&t, ADA);
    MUST(set_policy(&t, second, by_grace, &seq));
    cr_expect_eq(seq, 2);
    MUST(set_policy(&t, second, NULL, &seq));
    cr_expect_eq(seq, 0, "it is in force already");
    /* the new one wants more than the old one does */
    cr_expect_eq(set_policy(&t, fourth, NULL, &seq), REFUSED);
    SAYS("by the new policy");
    MUST(set_policy(&t, fourth, trusted_signature(&t, fourth, LINUS, "l.sig"), &seq));
    /* and a signature is for one step only: the way back to `second` is not signed */
    cr_expect_eq(set_policy(&t, second, by_grace, &seq), CONFLICT);
    struct registry fresh;
    MUST(registry_open(&fresh, t.s.path, &t.s.err));
    MUST(registry_refresh(&fresh, &t.s.err));
    cr_expect(fresh.state.policy_seq == 3 && fresh.state.policy.signatures == 2);
    registry_close(&fresh);
    json_decref(second);
    json_decref(third);
    json_decref(fourth);
    trusted_close(&t);
}

Test(trust, a_revoked_key_signs_nothing_and_what_it_signed_from_there_on_does_not_count)
{
    struct trusted t;
    struct added added;
    struct moved moved;
    struct registry *registry = &t.s.registry;
    int64_t seq;
    MUST(trusted_open(&t, 1, plain));
    MUST(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    MUST(support_report(registry, &seq, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
    MUST(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err));
    const struct digest suite = digest_of("suite", 5);
    trusted_as(&t, GRACE);
    cr_expect_eq(revoke_key(&t, MALLORY, 0), NOT_FOUND);
    cr_expect_eq(revoke_key(&t, ADA, 99), USAGE);
    MUST(revoke_key(&t, ADA, seq + 1));
    cr_expect(state_report(&registry->state, &added.model_digest, &suite), "it was before");
    trusted_as(&t, ADA);
    cr_expect_eq(support_report(registry, NULL, t.s.dir, "fashion", 1, "next", "pass", &t.s.err),
                 REFUSED);
    SAYS("your key is revoked");
    trusted_as(&t, LINUS);
    MUST(revoke_key(&t, ADA, seq));
    cr_expect_not(state_report(&registry->state, &added.model_digest, &suite));
    cr_expect(model_version(state_model(&registry->state, "fashion"), 1), "it is still there");
    MUST(registry_resolve(registry, &(struct resolved){ .number = 0 }, "fashion@production",
                          &t.s.err));
    /* nobody is left alone with the policy's threshold */
    MUST(revoke_key(&t, GRACE, 0));
    cr_expect_eq(revoke_key(&t, LINUS, 0), REFUSED);
    HINTS("policy set");
    json_t *result, *keys;
    MUST(registry_verify(t.s.path, &result, NULL, &t.s.err));
    json_decref(result);
    MUST(registry_keys(registry, &keys, &t.s.err));
    const json_t *rows = json_object_get(keys, "keys");
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(rows, 0), "revoked")), seq);
    cr_expect(json_is_null(json_object_get(json_array_get(rows, 2), "revoked")));
    json_decref(keys);
    trusted_close(&t);
}

Test(trust, an_open_registry_is_closed_for_good_by_its_first_policy)
{
    struct trusted t;
    struct added added;
    struct resolved resolved;
    struct moved moved;
    struct registry *registry = &t.s.registry;
    int64_t seq;
    MUST(trusted_open(&t, 0, NULL));
    MUST(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    MUST(support_report(registry, NULL, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
    MUST(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err));
    cr_expect_eq(revoke_key(&t, ADA, 0), REFUSED);
    json_t *policy = trusted_policy(&t, 1, plain);
    cr_expect_eq(set_policy(&t, policy, NULL, &seq), REFUSED);
    trusted_as(&t, MALLORY);
    cr_expect_eq(set_policy(&t, policy, NULL, &seq), REFUSED);
    trusted_as(&t, ADA);
    MUST(set_policy(&t, policy, NULL, &seq));
    cr_expect_not(registry->open);
    /* what nobody signed does not count as evidence any more; the version and the channel stay */
    cr_expect_eq(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err), REFUSED);
    MUST(registry_resolve(registry, &resolved, "fashion@production", &t.s.err));
    MUST(support_report(registry, NULL, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
    MUST(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err));
    registry->key = NULL;
    cr_expect_eq(support_add(registry, &added, t.s.dir, "fashion", 2, &t.s.err), REFUSED);
    /* a view does not help: a forged move is found out when a channel is asked for */
    struct draft draft = { .kind = ENTRY_PROMOTE };
    draft.body = json_pack("{ss sI ss sb sI}", "model", "fashion", "number", (json_int_t)1,
                           "channel", "production", "unchanged", 1, "from", (json_int_t)1);
    json_set_digest(draft.body, "digest", &added.digest);
    json_set_digest(draft.body, "model_digest", &added.model_digest);
    json_set_digest(draft.body, "report", &added.digest);
    forge(&t, &draft, journal_path(&t.arena, &registry->journal, registry->state.head.seq + 1));
    draft_release(&draft);
    struct registry fresh;
    MUST(registry_open(&fresh, t.s.path, &t.s.err));
    cr_expect_eq(registry_resolve(&fresh, &resolved, "fashion@production", &t.s.err), DAMAGED);
    registry_close(&fresh);
    json_decref(policy);
    trusted_close(&t);
}

Test(trust, statements_say_what_their_entries_say)
{
    struct trusted t;
    struct added added;
    struct entry entry;
    struct digest digest;
    json_t *result;
    int64_t seq;
    MUST(trusted_open(&t, 1, plain));
    struct registry *registry = &t.s.registry;
    MUST(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    MUST(support_report(registry, &seq, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
    MUST(journal_read(&registry->journal, &entry, seq, &t.s.err));
    cr_assert(statement_of(&entry, &digest));
    MUST(statement_check(registry, &entry, &t.s.err));
    json_object_set_new(json_object_get(entry.json, "body"), "verdict", json_string("fail"));
    cr_expect_eq(statement_check(registry, &entry, &t.s.err), DAMAGED);
    SAYS("does not say what entry");
    entry_release(&entry);
    MUST(registry_verify(t.s.path, &result, NULL, &t.s.err));
    cr_expect_eq(json_array_size(json_object_get(result, "notes")), 0, "it is referred to");
    json_decref(result);
    unlink(store_path(&t.arena, &registry->store, &digest));
    cr_expect_eq(registry_verify(t.s.path, &result, NULL, &t.s.err), DAMAGED);
    json_decref(result);
    trusted_close(&t);
}

Test(trust, times_never_run_backwards)
{
    struct trusted t;
    struct added added;
    MUST(trusted_open(&t, 1, plain));
    struct state *state = &t.s.registry.state;
    MUST(registry_refresh(&t.s.registry, &t.s.err));
    state->time_s = time_parse("2099-01-02T03:04:05Z"); /* as another writer's clock had it */
    cr_expect_eq(state->time_s, 4071006245.0);
    cr_expect_eq(trust_now(state), state->time_s);
    MUST(support_add(&t.s.registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    cr_expect_str_eq(model_version(state_model(state, "fashion"), 1)->time, "2099-01-02T03:04:05Z");
    static const char *const wrong[] = { "",
                                         "2099-01-02",
                                         "2099-02-30T00:00:00Z",
                                         "2099-01-02T03:04:05+",
                                         "2099-01-02T25:04:05Z",
                                         "2099-1-02T03:04:05Zx" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_eq(time_parse(wrong[i]), 0, "%s", wrong[i]);
    trusted_close(&t);
}

/* tests/golden/journal-1 was written before registries had keys. */
Test(trust, a_journal_of_an_older_pawl_is_read_as_it_was)
{
    struct journal journal;
    struct state state = { 0 };
    struct head head = { 0 };
    struct err err;
    cr_assert_eq(journal_init(&journal, PAWL_SOURCE_DIR "/tests/golden/journal-1", &err), OK);
    cr_assert_eq(journal_end(&journal, &head, state_apply, &state, &err), OK, "%s", err.message);
    const struct model_line *model = state_model(&state, "small");
    cr_assert(head.seq == 13 && state.open && model);
    cr_expect(model->version_count == 2 && state.report_count == 2 && state.seal_count == 2);
    const struct channel *production = model_channel(model, "production");
    cr_assert(production && production->count == 4);
    cr_expect(channel_now(production)->number == 1 && channel_now(production)->rollback);
    cr_expect_eq(state_exposure(&state, &state.seals[0].data), 2);
    cr_expect_eq(state.time_s, time_parse(channel_now(production)->time));
    state_release(&state);
}
