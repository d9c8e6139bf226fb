/* Races and failing calls in a registry with keys: what was signed survives a lost race, and what
 * was acknowledged is there. */
#include "registry/approve.h"
#include "registry/statement.h"
#include "tests/registry/shared_faults.h"
#include "tests/registry/shared_trust.h"

#include <criterion/criterion.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", t.s.err.message)

static const char plain[] = "  - {name: production, unsealed: allow}";

static enum code set_policy(struct trusted *t, json_t *policy, int64_t *seq)
{
    struct policy_opts opts = { .policy = policy, .actor = "a", .reason = "r" };
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

/* What a rival does right before our entry is linked. */
static struct {
    struct trusted *t;
    enum { RIVAL_ADDS, RIVAL_SETS_POLICY, RIVAL_REVOKES } does;
} rival;

static int link_after_rival(const char *from, const char *to)
{
    if (!strstr(to, "/journal/")) return fs_calls_real.link(from, to);
    fs_calls.link = fs_calls_real.link;
    struct trusted *t = rival.t;
    struct registry mine = t->s.registry;
    struct added added;
    struct err err;
    int64_t seq;
    cr_assert_eq(registry_open(&t->s.registry, t->s.path, &err), OK);
    trusted_as(t, rival.does == RIVAL_ADDS ? ADA : LINUS);
    if (rival.does == RIVAL_ADDS)
        cr_assert_eq(support_add(&t->s.registry, &added, t->s.dir, "rival", 9, &err), OK);
    if (rival.does == RIVAL_REVOKES) cr_assert_eq(revoke_key(t, GRACE, 0), OK);
    if (rival.does == RIVAL_SETS_POLICY) {
        json_t *policy = trusted_policy(t, 1, "  - {name: production, fresh: 1d}");
        cr_assert_eq(set_policy(t, policy, &seq), OK);
        json_decref(policy);
    }
    registry_close(&t->s.registry);
    t->s.registry = mine;
    return fs_calls_real.link(from, to);
}

Test(trust, a_lost_race_voids_no_statement_unless_the_rules_moved)
{
    static const enum code codes[] = { OK, CONFLICT, REFUSED };
    for (int i = 0; i < 3; i++) {
        struct trusted t;
        struct added added;
        struct consented consented = { 0 };
        struct entry entry;
        json_t *result;
        MUST(trusted_open(&t, 1, plain));
        struct registry *registry = &t.s.registry;
        MUST(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err));
        MUST(support_report(registry, NULL, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
        trusted_as(&t, GRACE);
        rival.t = &t;
        rival.does = (unsigned)i;
        fs_calls.link = link_after_rival;
        struct consent_opts opts = { .model = "fashion",
                                     .channel = "production",
                                     .number = 1,
                                     .from = CHANNEL_ANY,
                                     .actor = "a",
                                     .reason = "r" };
        enum code code = registry_approve(registry, &consented, &opts, &t.s.err);
        cr_expect_eq(code, codes[i], "row %d: %d %s", i, code, t.s.err.message);
        if (i == 0) {
            /* signed anew behind the rival's entry, over the same statement */
            MUST(journal_read(&registry->journal, &entry, consented.seq, &t.s.err));
            cr_expect(entry.seq == 5 && entry_signed_by(&entry, &t.keys[GRACE]));
            MUST(statement_check(registry, &entry, &t.s.err));
            entry_release(&entry);
        }
        MUST(registry_verify(t.s.path, &result, NULL, &t.s.err));
        json_decref(result);
        trusted_close(&t);
    }
}

Test(trust, whatever_call_fails_the_chain_is_sound_and_what_was_acknowledged_is_there)
{
    static const enum fault faults[] = { FAULT_ONCE, FAULT_FOR_GOOD };
    struct trusted t;
    struct added added;
    struct consented consented;
    struct registry fresh;
    int64_t seq = 0;
    MUST(trusted_open(&t, 1, plain));
    struct registry *registry = &t.s.registry;
    MUST(support_add(registry, &added, t.s.dir, "fashion", 1, &t.s.err));
    MUST(support_report(registry, NULL, t.s.dir, "fashion", 1, "suite", "pass", &t.s.err));
    json_t *policies[] = { trusted_policy(&t, 1, "  - {name: production, fresh: 1d}"),
                           trusted_policy(&t, 1, plain) };
    size_t acknowledged = 0;
    for (int row = 0; row < 4; row++) {
        bool approves = row / 2;
        int n = 0, calls;
        do {
            struct consent_opts opts = { .model = "fashion",
                                         .channel = "production",
                                         .number = 1,
                                         .from = row * 1000 + n, /* another one each time */
                                         .actor = "a",
                                         .reason = "r" };
            trusted_as(&t, approves ? GRACE : ADA);
            faults_begin(faults[row % 2], ++n);
            enum code code = approves ? registry_approve(registry, &consented, &opts, &t.s.err)
                                      : set_policy(&t, policies[n % 2], &seq);
            calls = faults_end();
            fs_calls.fsync = support_no_fsync;
            acknowledged += approves && !code;
            MUST(registry_open(&fresh, t.s.path, &t.s.err));
            cr_expect_eq(registry_refresh(&fresh, &t.s.err), OK, "row %d call %d: %s", row, n,
                         t.s.err.message);
            cr_expect_geq(fresh.state.consent_count, acknowledged, "row %d call %d", row, n);
            if (!code && !approves)
                cr_expect(digest_equal(&fresh.state.policy.digest, &registry->state.policy.digest));
            registry_close(&fresh);
        } while (calls >= n && n < 500);
        cr_expect_gt(n, 8, "row %d: %d calls were failed", row, n);
    }
    json_t *result;
    MUST(registry_verify(t.s.path, &result, NULL, &t.s.err));
    json_decref(result);
    json_decref(policies[0]);
    json_decref(policies[1]);
    trusted_close(&t);
}
