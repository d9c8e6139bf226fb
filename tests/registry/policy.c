/* Each rule of a policy refuses, says what is missing, and is satisfied by what its hint names. */
#include "registry/approve.h"
#include "registry/commit.h"
#include "registry/policy_rules.h"
#include "registry/trust.h"
#include "tests/registry/shared_trust.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", t.s.err.message)
#define SAYS(text)                                                                                 \
    cr_expect(strstr(t.s.err.message, (text)), "'%s' in '%s'", (text), t.s.err.message)
#define HINTS(text) cr_expect(strstr(t.s.err.hint, (text)), "'%s' in '%s'", (text), t.s.err.hint)

static const struct digest *model_of(struct trusted *t, int64_t number)
{
    const struct model_line *line = state_model(&t->s.registry.state, "fashion");
    return &model_version(line, number)->model_digest;
}

/* How one evaluation goes: under which suite, with which verdict and gates. */
struct evaluated {
    const char *suite, *verdict, *split, *baseline;
    const char *gate, *reason; /* one that does not pass */
    bool unsealed;
};

/* What `pawl eval SUITE --model fashion@N` does with a registry: seal, look, record. As ada. */
static enum code evaluated(struct trusted *t, int64_t number, struct evaluated how)
{
    struct registry *registry = &t->s.registry;
    const char *suite = how.suite ? how.suite : "suite", *split = how.split ? how.split : "test";
    const char *verdict = how.verdict ? how.verdict : "pass";
    const char *name = arena_format(&t->arena, "%s/%llx", t->s.dir,
                                    (long long)registry->state.head.seq);
    struct digest suite_digest = digest_of(suite, strlen(suite));
    struct digest data = digest_of(split, strlen(split));
    const struct key *before = registry->key;
    struct err *err = &t->s.err;
    int64_t seal = 0;
    trusted_as(t, ADA);
    json_t *body = json_pack("{ss so}", "name", "bar", "baselines", json_object());
    json_set_digest(body, "suite", &suite_digest);
    json_set_digest(body, "data", &data);
    json_set_digest(body, "model_digest", model_of(t, number));
    if (how.baseline) {
        struct resolved held = { .number = 0 };
        bool there = registry_resolve(registry, &held, how.baseline, NULL) == OK;
        json_t *baselines = json_object_get(body, "baselines");
        json_object_set_new(baselines, how.baseline, json_null());
        if (there) json_set_digest(baselines, how.baseline, &held.model_digest);
    }
    enum code code = how.unsealed ? OK : registry_seal(registry, &seal, body, "ada", err);
    if (!code) code = registry_look(registry, NULL, body, "ada", err);
    json_decref(body);
    json_t *report = json_pack("{ss ss s{s[]}}", "pawl", "report/1", "name", name, "quality",
                               "gates");
    if (how.gate)
        json_array_append_new(json_object_get(json_object_get(report, "quality"), "gates"),
                              json_pack("{ss ss ss sb}", "id", how.gate, "verdict", verdict,
                                        "reason", how.reason, "counts", 1));
    if (!code) code = fs_mkdirs(name, err);
    if (!code) code = json_publish(report, path_join(&t->arena, name, "report.json"), err);
    if (!code) code = fs_publish(path_join(&t->arena, name, "scores.h5"), "scores", 6, err);
    struct report_opts opts = { .model = "fashion",
                                .number = number,
                                .dir = name,
                                .model_digest = *model_of(t, number),
                                .suite = suite_digest,
                                .report = json_digest(report),
                                .verdict = verdict,
                                .seal = seal,
                                .actor = "ada" };
    if (!code) code = registry_record_report(registry, NULL, &opts, err);
    json_decref(report);
    registry->key = before;
    return code;
}

static enum code promote(struct trusted *t, int64_t number, const char *channel)
{
    struct moved moved;
    trusted_as(t, ADA);
    return support_promote(&t->s.registry, &moved, "fashion", number, channel, &t->s.err);
}

static enum code approve(struct trusted *t, enum person person, int64_t number)
{
    struct consented consented;
    struct consent_opts opts = { .model = "fashion",
                                 .channel = "production",
                                 .number = number,
                                 .from = CHANNEL_ANY,
                                 .actor = "a",
                                 .reason = "looked at it" };
    trusted_as(t, person);
    return registry_approve(&t->s.registry, &consented, &opts, &t->s.err);
}

static enum code waive(struct trusted *t, enum waivable rule, const char *gate)
{
    struct consented consented;
    struct consent_opts opts = { .model = "fashion",
                                 .channel = "production",
                                 .number = 1,
                                 .from = CHANNEL_ANY,
                                 .rule = rule,
                                 .gate = gate,
                                 .actor = "a",
                                 .expires_s = trust_now(&t->s.registry.state) + 3600,
                                 .reason = "this once" };
    trusted_as(t, GRACE);
    return registry_waive(&t->s.registry, &consented, &opts, &t->s.err);
}

/* A closed registry with `count` versions of fashion that ada added. */
static void begin(struct trusted *t, const char *channels, int count)
{
    struct added added;
    cr_assert_eq(trusted_open(t, 1, channels), OK, "%s", t->s.err.message);
    for (int i = 1; i <= count; i++)
        cr_assert_eq(support_add(&t->s.registry, &added, t->s.dir, "fashion", i, &t->s.err), OK);
}

/* What was allowed when it was written is allowed to whoever reads it. */
static void end(struct trusted *t)
{
    json_t *result;
    cr_expect_eq(registry_verify(t->s.path, &result, NULL, &t->s.err), OK, "%s", t->s.err.message);
    cr_expect_eq(json_array_size(json_object_get(result, "notes")), 0);
    json_decref(result);
    trusted_close(t);
}

Test(policy, channels_that_it_does_not_name_cannot_be_moved)
{
    struct trusted t;
    begin(&t, "  - {name: production}", 1);
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    cr_expect_eq(promote(&t, 1, "canary"), REFUSED);
    SAYS("'canary'");
    SAYS("only production");
    HINTS("policy set");
    MUST(promote(&t, 1, "production"));
    json_t *policy = trusted_policy(&t, 1, "  - {name: production}\n  - {name: canary}");
    struct policy_opts opts = { .policy = policy, .actor = "a" };
    int64_t seq;
    MUST(registry_set_policy(&t.s.registry, &seq, &opts, &t.s.err));
    MUST(promote(&t, 1, "canary"));
    json_decref(policy);
    end(&t);
}

Test(policy, a_stage_cannot_be_skipped)
{
    struct trusted t;
    begin(&t, "  - {name: staging}\n  - {name: production, after: [staging], waive: [stage]}", 2);
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    MUST(evaluated(&t, 2, (struct evaluated){ 0 }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("rule after: it was never on staging");
    HINTS("pawl promote fashion@1 staging");
    MUST(waive(&t, WAIVE_STAGE, NULL));
    MUST(promote(&t, 1, "production"));
    cr_expect_eq(promote(&t, 2, "production"), REFUSED, "the waiver is for version 1");
    MUST(promote(&t, 2, "staging"));
    MUST(promote(&t, 2, "production"));
    end(&t);
}

Test(policy, suites_verdicts_and_seals_are_asked_for)
{
    struct trusted t;
    char text[DIGEST_TEXT];
    struct digest suite = digest_of("strict", 6);
    char rows[200];
    snprintf(rows, sizeof rows,
             "  - {name: production, suites: [%s], verdicts: [pass, inconclusive]}",
             digest_text(&suite, text));
    begin(&t, rows, 1);
    MUST(evaluated(&t, 1, (struct evaluated){ .suite = "lax" }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("no report under suite sha256:");
    SAYS(text);
    HINTS("pawl eval SUITE --model fashion@1");
    MUST(evaluated(&t, 1, (struct evaluated){ .suite = "strict", .verdict = "fail" }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("'fail'");
    MUST(evaluated(&t, 1, (struct evaluated){ .suite = "strict", .unsealed = true }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("was not sealed before");
    HINTS("pawl eval SUITE --model fashion@1");
    MUST(evaluated(&t, 1, (struct evaluated){ .suite = "strict", .verdict = "inconclusive" }));
    MUST(promote(&t, 1, "production"));
    end(&t);
}

/* What the mover asks for on top is no rule of the policy: written down is what any reader will
 * find by the policy alone. */
Test(policy, suites_that_the_mover_requires_change_nothing_that_is_written)
{
    struct trusted t;
    static const char *const names[] = { "first", "second" };
    begin(&t, "  - {name: production}", 2);
    for (int number = 1; number <= 2; number++) {
        struct moved moved;
        struct digest required = digest_of(names[number - 1], strlen(names[number - 1]));
        struct move_opts opts = { .model = "fashion",
                                  .channel = "production",
                                  .number = number,
                                  .from = CHANNEL_ANY,
                                  .required = &required,
                                  .required_count = 1,
                                  .actor = "a",
                                  .reason = "r" };
        for (int i = 0; i < 2; i++)
            MUST(evaluated(&t, number, (struct evaluated){ .suite = names[i] }));
        trusted_as(&t, ADA);
        MUST(registry_promote(&t.s.registry, &moved, &opts, &t.s.err));
    }
    end(&t);
}

Test(policy, reports_grow_old_by_the_later_of_two_clocks)
{
    struct trusted t;
    begin(&t, "  - {name: production, fresh: 30d, waive: [fresh]}", 2);
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    MUST(promote(&t, 1, "production"));
    t.s.registry.state.time_s += 31 * 86400.0; /* the journal knows that time has passed */
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("rule fresh");
    HINTS("pawl eval SUITE --model fashion@1");
    MUST(waive(&t, WAIVE_FRESH, NULL));
    MUST(promote(&t, 1, "production"));
    t.s.registry.state.time_s += 7200.0; /* the waiver was for an hour */
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    MUST(evaluated(&t, 1, (struct evaluated){ .suite = "again" }));
    MUST(promote(&t, 1, "production"));
    end(&t);
}

Test(policy, candidates_shown_to_one_split_are_counted)
{
    struct trusted t;
    begin(&t, "  - {name: production, exposure: 2, waive: [exposure]}", 3);
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    MUST(evaluated(&t, 1, (struct evaluated){ .suite = "other" }));
    MUST(evaluated(&t, 2, (struct evaluated){ 0 }));
    MUST(promote(&t, 1, "production")); /* looks at the same candidate are one */
    MUST(evaluated(&t, 3, (struct evaluated){ 0 }));
    cr_expect_eq(promote(&t, 3, "production"), REFUSED);
    SAYS("rule exposure: 3 candidates");
    HINTS("pawl eval SUITE --model fashion@3");
    MUST(evaluated(&t, 3, (struct evaluated){ .suite = "new rows", .split = "new rows" }));
    MUST(promote(&t, 3, "production"));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    MUST(waive(&t, WAIVE_EXPOSURE, NULL));
    MUST(promote(&t, 1, "production"));
    end(&t);
}

Test(policy, a_sealed_baseline_must_be_current_unless_it_is_pinned)
{
    static const char *const rows[] = { "  - {name: production}",
                                        "  - {name: production, baseline: pinned}" };
    for (int pinned = 0; pinned < 2; pinned++) {
        struct trusted t;
        begin(&t, rows[pinned], 3);
        struct evaluated how = { .baseline = "fashion@production" };
        for (int64_t i = 1; i <= 3; i++) MUST(evaluated(&t, i, how));
        MUST(promote(&t, 1, "production"));
        cr_expect_eq(promote(&t, 2, "production"), pinned ? OK : CONFLICT);
        if (!pinned) {
            SAYS("'fashion@production' is no longer what its report");
            HINTS("pawl eval SUITE --model fashion@2");
            MUST(promote(&t, 1, "production")); /* what it holds is not compared */
            MUST(evaluated(&t, 2, how));
            MUST(promote(&t, 2, "production"));
        }
        end(&t);
    }
}

Test(policy, approvals_count_persons_and_nobody_approves_what_they_added)
{
    struct trusted t;
    struct added added;
    begin(&t, "  - {name: production, approvals: {approver: 2}}", 1);
    cr_expect_eq(approve(&t, GRACE, 1), REFUSED);
    SAYS("no report about it yet");
    HINTS("pawl eval SUITE --model fashion@1");
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("rule approvals: 0 of 2 persons with the role approver");
    HINTS("pawl registry approve fashion@1 --for production");
    HINTS("grace, linus");
    cr_expect_eq(approve(&t, ADA, 1), REFUSED);
    SAYS("does not have the role");
    MUST(approve(&t, GRACE, 1));
    int64_t before = t.s.registry.state.head.seq;
    MUST(approve(&t, GRACE, 1));
    cr_expect_eq(t.s.registry.state.head.seq, before, "said before");
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("1 of 2");
    MUST(approve(&t, LINUS, 1));
    MUST(promote(&t, 1, "production"));

    /* a newer report takes them back */
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    SAYS("there is a newer report than it was about");

    /* grace becomes a trainer too, and may not approve what she added */
    json_t *policy = trusted_policy(&t, 1, "  - {name: production, approvals: {approver: 2}}");
    json_array_append_new(
        json_object_get(json_array_get(json_object_get(policy, "keys"), 1), "roles"),
        json_string("trainer"));
    int64_t seq;
    struct policy_opts opts = { .policy = policy, .actor = "a" };
    trusted_as(&t, ADA);
    MUST(registry_set_policy(&t.s.registry, &seq, &opts, &t.s.err));
    trusted_as(&t, GRACE);
    MUST(support_add(&t.s.registry, &added, t.s.dir, "fashion", 2, &t.s.err));
    MUST(evaluated(&t, 2, (struct evaluated){ 0 }));
    cr_expect_eq(approve(&t, GRACE, 2), REFUSED);
    SAYS("nobody approves what they added");
    json_decref(policy);
    end(&t);
}

Test(policy, consent_is_bound_to_policy_channel_holder_and_time)
{
    struct trusted t;
    struct consented consented;
    int64_t seq;
    begin(&t, "  - {name: production, approvals: {approver: 1}}", 2);
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    MUST(evaluated(&t, 2, (struct evaluated){ 0 }));
    struct consent_opts opts = { .model = "fashion",
                                 .channel = "production",
                                 .number = 2,
                                 .from = CHANNEL_NONE,
                                 .actor = "a",
                                 .reason = "r" };
    trusted_as(&t, GRACE);
    MUST(registry_approve(&t.s.registry, &consented, &opts, &t.s.err));
    MUST(approve(&t, GRACE, 1));
    MUST(promote(&t, 1, "production"));
    cr_expect_eq(promote(&t, 2, "production"), REFUSED);
    SAYS("given for a channel that held something else");
    opts.from = 1;
    opts.expires_s = trust_now(&t.s.registry.state) + 60;
    trusted_as(&t, LINUS);
    MUST(registry_approve(&t.s.registry, &consented, &opts, &t.s.err));
    t.s.registry.state.time_s = opts.expires_s;
    cr_expect_eq(promote(&t, 2, "production"), REFUSED);
    SAYS("it has expired");
    trusted_as(&t, LINUS);
    cr_expect_eq(registry_approve(&t.s.registry, &consented, &opts, &t.s.err), USAGE);
    opts.expires_s += 3600;
    MUST(registry_approve(&t.s.registry, &consented, &opts, &t.s.err));
    json_t *policy = trusted_policy(&t, 1,
                                    "  - {name: production, approvals: {approver: 1}, fresh: 9d}");
    struct policy_opts set = { .policy = policy, .actor = "a" };
    trusted_as(&t, ADA);
    MUST(registry_set_policy(&t.s.registry, &seq, &set, &t.s.err));
    cr_expect_eq(promote(&t, 2, "production"), REFUSED);
    SAYS("given under another policy");
    MUST(approve(&t, LINUS, 2));
    MUST(promote(&t, 2, "production"));
    json_decref(policy);
    end(&t);
}

Test(policy, waivers_cover_named_gates_and_never_what_is_no_number)
{
    struct trusted t;
    begin(&t, "  - {name: production, waive: [verdict]}\n  - {name: strict}", 1);
    MUST(evaluated(&t, 1,
                   (struct evaluated){ .verdict = "fail", .gate = "speed", .reason = "bound" }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    cr_expect_eq(waive(&t, WAIVE_VERDICT, "quality"), REFUSED);
    SAYS("no gate of that name");
    cr_expect_eq(waive(&t, WAIVE_FRESH, NULL), REFUSED);
    SAYS("lets nobody waive rule fresh");
    cr_expect_eq(waive(&t, WAIVE_VERDICT, NULL), USAGE);
    MUST(waive(&t, WAIVE_VERDICT, "speed"));
    MUST(promote(&t, 1, "production"));
    cr_expect_eq(promote(&t, 1, "strict"), REFUSED);
    cr_expect_str_eq(t.s.registry.state.reports[0].verdict, "fail", "the report is as it was");
    /* the same gate in a newer report is not waived; one that is no number cannot be */
    MUST(evaluated(
        &t, 1, (struct evaluated){ .verdict = "fail", .gate = "speed", .reason = "not_finite" }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    cr_expect_eq(waive(&t, WAIVE_VERDICT, "speed"), REFUSED);
    SAYS("no waiver covers 'not_finite'");
    /* a report that fails without saying by which gate */
    MUST(evaluated(&t, 1, (struct evaluated){ .verdict = "fail" }));
    cr_expect_eq(promote(&t, 1, "production"), REFUSED);
    end(&t);
}

Test(policy, a_move_that_it_did_not_allow_is_damage_however_well_it_is_signed)
{
    struct trusted t;
    struct registry fresh;
    struct bytes bytes;
    begin(&t, "  - {name: production, approvals: {approver: 1}}", 1);
    MUST(evaluated(&t, 1, (struct evaluated){ 0 }));
    const struct version *version = model_version(state_model(&t.s.registry.state, "fashion"), 1);
    const struct head *head = &t.s.registry.state.head;
    struct draft draft = { .kind = ENTRY_PROMOTE, .key = &t.keys[ADA] };
    draft.body = json_pack("{ss sI ss sb sn}", "model", "fashion", "number", (json_int_t)1,
                           "channel", "production", "unchanged", 0, "from");
    json_set_digest(draft.body, "digest", &version->digest);
    json_set_digest(draft.body, "model_digest", &version->model_digest);
    json_set_digest(draft.body, "report", &version->digest);
    MUST(entry_render(&t.arena, &bytes, &draft, head->seq + 1, &head->digest, &t.s.err));
    draft_release(&draft);
    const char *path = journal_path(&t.arena, &t.s.registry.journal, head->seq + 1);
    MUST(fs_publish_view(path, bytes.at, bytes.len, &t.s.err));
    MUST(registry_open(&fresh, t.s.path, &t.s.err));
    cr_expect_eq(registry_refresh(&fresh, &t.s.err), DAMAGED);
    SAYS("rule approvals");
    registry_close(&fresh);
    unlink(path);
    end(&t);
}

struct retiring {
    const struct version *version;
};

static enum code decide_retire(void *context, const struct state *state, struct draft *draft,
                               struct err *err)
{
    (void)state;
    (void)err;
    const struct retiring *retiring = context;
    draft->kind = ENTRY_RETIRE;
    draft->actor = "a";
    draft->body = json_pack("{ss sI}", "model", "fashion", "number",
                            (json_int_t)retiring->version->number);
    json_set_digest(draft->body, "digest", &retiring->version->digest);
    return OK;
}

Test(policy, what_is_retired_or_was_added_by_a_revoked_key_goes_nowhere)
{
    struct trusted t;
    struct moved moved;
    int64_t seq;
    begin(&t, "  - {name: production}", 3);
    struct registry *registry = &t.s.registry;
    for (int64_t i = 1; i <= 3; i++) {
        MUST(evaluated(&t, i, (struct evaluated){ 0 }));
        MUST(promote(&t, i, "production"));
    }
    struct retiring retiring = { model_version(state_model(&registry->state, "fashion"), 2) };
    trusted_as(&t, GRACE);
    MUST(registry_commit(registry, decide_retire, &retiring, NULL, &t.s.err));
    cr_expect_eq(promote(&t, 2, "production"), REFUSED);
    SAYS("it is retired");
    struct move_opts back = { .model = "fashion",
                              .channel = "production",
                              .number = 2,
                              .from = CHANNEL_ANY,
                              .actor = "a",
                              .reason = "r" };
    cr_expect_eq(registry_rollback(registry, &moved, &back, &t.s.err), REFUSED);
    back.number = 0;
    MUST(registry_rollback(registry, &moved, &back, &t.s.err));
    cr_expect_eq(moved.number, 1, "not to the retired one");
    /* ada's key counts no more from the entry that added version 3 on */
    struct revoke_opts revoke = {
        .key = t.keys[ADA].id,
        .actor = "a",
        .reason = "r",
        .from = model_version(state_model(&registry->state, "fashion"), 3)->seq
    };
    json_t *policy = trusted_policy(&t, 1, "  - {name: production}");
    json_array_append_new(
        json_object_get(json_array_get(json_object_get(policy, "keys"), 2), "roles"),
        json_string("releaser"));
    struct policy_opts opts = { .policy = policy, .actor = "a" };
    trusted_as(&t, LINUS);
    MUST(registry_set_policy(registry, &seq, &opts, &t.s.err));
    MUST(registry_revoke(registry, &seq, &revoke, &t.s.err));
    back.number = 3;
    cr_expect_eq(registry_rollback(registry, &moved, &back, &t.s.err), REFUSED);
    SAYS("the key that added it is revoked");
    cr_expect_eq(support_promote(registry, &moved, "fashion", 1, "production", &t.s.err), REFUSED);
    SAYS("no report about its model"); /* ada's do not count any more */
    json_decref(policy);
    end(&t);
}
