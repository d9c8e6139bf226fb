/* The rules of a promotion at their boundaries, on states made by hand: exactly as old as allowed,
 * exactly as many persons, candidates and seconds; which channel held what. No files, so that each
 * row is about one rule alone. */
#include "registry/policy_rules.h"
#include "registry/trust.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ADA = 1, GRACE, LINUS, GRACE_TWO, KEYS };
enum { REPORT_SEQ = 20, SEAL_SEQ = 10, CONSENT_SEQ = 30 };

#define LONG_NAME "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static const double NOW = 1000000;

static struct digest named(const char *text)
{
    return digest_of(text, strlen(text));
}

static struct signer signer_of(int who)
{
    static const char *const persons[] = { NULL, "ada", "grace", "linus", "grace" };
    char key[16];
    snprintf(key, sizeof key, "key %d", who);
    return (struct signer){ named(key), persons[who] };
}

/* A closed registry: ada trains, evaluates and releases, the others approve; one version of m, one
 * sealed report that passes, and a channel "prod" with no conditions. */
struct world {
    struct state state;
    struct policy_key keys[KEYS];
    struct policy_channel channels[2];
    struct model_line model, models[1];
    struct version versions[2];
    struct report_note reports[3];
    struct open_gate gates[2];
    struct seal_note seals[1];
    struct sealed_baseline baselines[1];
    struct look_note looks[4];
    struct consent consents[4];
    struct digest seen[2], suites[1];
    struct revocation revoked[1];
    struct channel lines[2];
    struct move moves[2][4];
    struct asking asking;
    struct relied relied;
    struct arena arena;
    struct err err;
};

static struct world w;

static void begin(void)
{
    arena_release(&w.arena);
    memset(&w, 0, sizeof w);
    struct state *state = &w.state;
    state->policy.digest = named("policy");
    state->policy.keys = w.keys;
    for (int i = ADA; i < KEYS; i++) {
        struct signer signer = signer_of(i);
        struct policy_key *key = &w.keys[state->policy.key_count++];
        key->key.id = signer.key;
        key->person = signer.person;
        key->roles = i == ADA
                         ? 1u << SIGNER_TRAINER | 1u << SIGNER_EVALUATOR | 1u << SIGNER_RELEASER
                         : 1u << SIGNER_APPROVER;
    }
    w.channels[0] = (struct policy_channel){ .name = "prod" };
    w.channels[1] = (struct policy_channel){ .name = "stage" };
    state->policy.channels = w.channels;
    state->policy.channel_count = 2;
    for (int i = 0; i < 2; i++)
        w.versions[i] = (struct version){ .number = i + 1,
                                          .seq = 5 + i,
                                          .digest = named(i ? "version 2" : "version 1"),
                                          .model_digest = named(i ? "model 2" : "model 1"),
                                          .signer = signer_of(ADA) };
    w.models[0] = (struct model_line){
        .name = "m", .versions = w.versions, .version_count = 2, .channels = w.lines
    };
    state->models = w.models;
    state->model_count = 1;
    w.seals[0] = (struct seal_note){
        .seq = SEAL_SEQ, .data = named("data"), .baselines = w.baselines, .signer = signer_of(ADA)
    };
    state->seals = w.seals;
    state->seal_count = 1;
    w.reports[0] = (struct report_note){ .seq = REPORT_SEQ,
                                         .number = 1,
                                         .seal = SEAL_SEQ,
                                         .model = "m",
                                         .verdict = "pass",
                                         .model_digest = named("model 1"),
                                         .suite = named("suite"),
                                         .report = named("report"),
                                         .time_s = NOW - 100,
                                         .gates = w.gates,
                                         .signer = signer_of(ADA) };
    state->reports = w.reports;
    state->report_count = 1;
    state->consents = w.consents;
    state->looks = w.looks;
    state->revoked = w.revoked;
    w.asking = (struct asking){
        .state = state, .model = w.models, .version = w.versions, .channel = "prod", .now_s = NOW
    };
}

static void add_look(const char *model, const char *data)
{
    w.looks[w.state.look_count++] = (struct look_note){ named("suite"), named(model), named(data) };
}

/* An approval, or with `waives` a waiver of a rule and a gate, of version 1 on prod. */
static struct consent *add_consent(int who, bool waives, enum waivable rule, const char *gate)
{
    struct consent *consent = &w.consents[w.state.consent_count];
    w.seen[0] = named("report");
    *consent = (struct consent){ .seq = CONSENT_SEQ + (int64_t)w.state.consent_count++,
                                 .waives = waives,
                                 .rule = rule,
                                 .gate = gate,
                                 .model = "m",
                                 .channel = "prod",
                                 .digest = named("version 1"),
                                 .policy = named("policy"),
                                 .from = -1,
                                 .reports = w.seen,
                                 .report_count = 1,
                                 .signer = signer_of(who) };
    return consent;
}

/* The channel of this name held these versions one after another. */
static struct channel *add_channel(const char *name, const char *moves)
{
    size_t at = w.models[0].channel_count++;
    struct channel *channel = &w.lines[at];
    *channel = (struct channel){ .name = name, .moves = w.moves[at] };
    for (const char *m = moves; *m; m++)
        channel->moves[channel->count++] = (struct move){ .number = *m - '0' };
    return channel;
}

static void expect(const char *what, enum code code, const char *says)
{
    w.err = (struct err){ 0 };
    enum code got = rules_promote(&w.relied, &w.arena, &w.asking, &w.err);
    cr_expect_eq(got, code, "%s: %d %s", what, got, w.err.message);
    if (says) cr_expect(strstr(w.err.message, says), "%s: %s", what, w.err.message);
}

Test(promote_rules, reports_may_be_exactly_as_old_as_is_allowed)
{
    begin();
    expect("no limit", OK, NULL);
    cr_expect(w.relied.report_count == 1 && w.relied.reports[0] == w.reports);
    w.channels[0].fresh_s = 100;
    expect("exactly", OK, NULL);
    w.channels[0].fresh_s = 99.5;
    expect("older", REFUSED, "rule fresh: its report (entry 20)");
    struct consent *waiver = add_consent(GRACE, true, WAIVE_FRESH, "");
    expect("waived, which the policy does not let", REFUSED, "rule fresh");
    w.channels[0].waive = 1u << WAIVE_STAGE;
    expect("another rule may be", REFUSED, "rule fresh");
    w.channels[0].waive = 1u << WAIVE_FRESH;
    expect("waived", OK, NULL);
    cr_expect(w.relied.consent_count == 1 && w.relied.consents[0] == CONSENT_SEQ);
    waiver->expires_s = NOW;
    expect("expires now", REFUSED, "rule fresh");
    waiver->expires_s = NOW + 0.5;
    expect("expires soon", OK, NULL);
    waiver->expires_s = 0;
    expect("expires never", OK, NULL);
    waiver->rule = WAIVE_EXPOSURE;
    expect("another rule was waived", REFUSED, "rule fresh");
    waiver->rule = WAIVE_FRESH;
    waiver->waives = false;
    expect("an approval is no waiver", REFUSED, "rule fresh");
    waiver->waives = true;
    w.seen[0] = named("another report");
    expect("of another report", REFUSED, "rule fresh");
}

Test(promote_rules, exposure_may_be_reached_exactly)
{
    begin();
    add_look("model 1", "data");
    add_look("model 1", "data");
    add_look("model 2", "data");
    add_look("model 3", "other data");
    w.channels[0].exposure = 2;
    expect("exactly", OK, NULL);
    w.channels[0].exposure = 1;
    expect("one too many", REFUSED, "rule exposure: 2 candidates");
    w.channels[0].waive = 1u << WAIVE_EXPOSURE;
    add_consent(GRACE, true, WAIVE_EXPOSURE, "");
    expect("waived", OK, NULL);
    w.state.consent_count = 0;
    w.channels[0].exposure = 5;
    w.channels[0].unsealed = true;
    w.reports[0].seal = 0;
    expect("no split is known", REFUSED, "nothing says which split");
    w.channels[0].exposure = 0;
    expect("any number", OK, NULL);
    w.channels[0].unsealed = false;
    expect("no seal", REFUSED, "was not sealed before");
    w.reports[0].seal = SEAL_SEQ;
    w.revoked[0] = (struct revocation){ signer_of(LINUS).key, SEAL_SEQ };
    w.state.revoked_count = 1;
    w.seals[0].signer = signer_of(LINUS);
    expect("sealed by what is revoked from there on", REFUSED, "sealed by a key that is revoked");
    w.revoked[0].from = SEAL_SEQ + 1;
    expect("revoked right after", OK, NULL);
}

Test(promote_rules, approvals_are_of_enough_persons)
{
    begin();
    w.channels[0].approvals[SIGNER_APPROVER] = 2;
    expect("nobody", REFUSED, "0 of 2 persons with the role approver");
    add_consent(GRACE, false, 0, "");
    expect("one", REFUSED, "1 of 2 persons");
    add_consent(GRACE_TWO, false, 0, "");
    expect("her other key", REFUSED, "1 of 2 persons");
    struct consent *last = add_consent(LINUS, false, 0, "");
    expect("two", OK, NULL);
    cr_expect(w.relied.consent_count == 2 && w.relied.consents[0] == CONSENT_SEQ &&
              w.relied.consents[1] == CONSENT_SEQ + 2);
    w.channels[0].approvals[SIGNER_APPROVER] = 3;
    expect("three", REFUSED, "2 of 3 persons");
    w.channels[0].approvals[SIGNER_APPROVER] = 2;
    last->expires_s = NOW;
    expect("expired", REFUSED, "entry 32 by linus does not count: it has expired");
    last->expires_s = NOW + 1;
    expect("not yet", OK, NULL);
    last->from = 0;
    expect("for an empty channel", OK, NULL);
    w.asking.held = 2;
    expect("which holds something", REFUSED, "held something else");
    last->from = 2;
    expect("that", OK, NULL);
    last->policy = named("old policy");
    expect("another policy", REFUSED, "under another policy");
    last->policy = named("policy");
    last->digest = named("version 2");
    expect("another version", REFUSED, "1 of 2");
    last->digest = named("version 1");
    last->channel = "stage";
    expect("another channel", REFUSED, "1 of 2");
    last->channel = "prod";
    last->model = "n";
    expect("another model", REFUSED, "1 of 2");
    last->model = "m";
    last->waives = true;
    expect("a waiver", REFUSED, "1 of 2");
    last->waives = false;
    w.versions[0].signer = signer_of(LINUS);
    expect("what he added", REFUSED, "nobody approves what they added");
    w.versions[0].signer = (struct signer){ 0 };
    expect("added while it was open", OK, NULL);
    w.channels[0].approvals[SIGNER_TRAINER] = 1;
    expect("approvers are no trainers", REFUSED, "0 of 1 persons with the role trainer");
    w.channels[0].approvals[SIGNER_TRAINER] = 0;
    w.revoked[0] = (struct revocation){ signer_of(LINUS).key, CONSENT_SEQ + 2 };
    w.state.revoked_count = 1;
    expect("revoked from that entry on", REFUSED, "its key is revoked");
    w.revoked[0].from = CONSENT_SEQ + 3;
    expect("revoked right after", OK, NULL);
    w.seen[1] = named("newer");
    w.reports[1] = w.reports[0];
    w.reports[1].report = named("newer");
    w.reports[1].seq++;
    w.state.report_count = 2;
    expect("a newer report", REFUSED, "newer report than it was about");
    for (int i = 0; i < 3; i++) w.consents[i].report_count = 2;
    expect("which they saw too", OK, NULL);
    cr_expect(w.relied.report_count == 1 && w.relied.reports[0] == &w.reports[1]);
}

Test(promote_rules, each_gate_that_is_open_needs_its_waivers)
{
    begin();
    w.reports[0].verdict = "fail";
    expect("failed", REFUSED, "its newest report is 'fail' (entry 20)");
    w.channels[0].waive = 1u << WAIVE_VERDICT;
    expect("no gate is named", REFUSED, "'fail'");
    w.gates[0] = (struct open_gate){ "speed", "bound", true };
    w.gates[1] = (struct open_gate){ "size", "bound", true };
    w.reports[0].gate_count = 2;
    add_consent(GRACE, true, WAIVE_VERDICT, "speed");
    expect("one of two", REFUSED, "'fail'");
    struct consent *other = add_consent(GRACE, true, WAIVE_VERDICT, "size");
    expect("both", OK, NULL);
    cr_expect_eq(w.relied.consent_count, 2);
    w.channels[0].approvals[SIGNER_APPROVER] = 1;
    other->waives = false;
    w.reports[0].gate_count = 1;
    expect("an approval beside the waiver", OK, NULL);
    other->waives = true;
    w.reports[0].gate_count = 2;
    w.channels[0].approvals[SIGNER_APPROVER] = 2;
    expect("as many persons as must approve", REFUSED, "'fail'");
    w.channels[0].approvals[SIGNER_APPROVER] = 0;
    w.gates[1].waivable = false;
    expect("one that nobody may waive", REFUSED, "'fail'");
    w.reports[0].verdict = "inconclusive";
    w.state.consent_count = 0;
    expect("open", REFUSED, "'inconclusive'");
    w.channels[0].inconclusive = true;
    expect("open counts", OK, NULL);
    w.reports[0].verdict = "fail";
    expect("failing does not", REFUSED, "'fail'");
}

Test(promote_rules, stages_channels_and_suites)
{
    static const char *after[2] = { "canary", "stage" };
    begin();
    w.asking.channel = "beta";
    expect("unnamed", REFUSED, "only prod, stage");
    w.asking.channel = "prod";
    w.channels[0].after = after;
    w.channels[0].after_count = 2;
    expect("never there", REFUSED, "it was never on canary, stage");
    struct channel *stage = add_channel("stage", "2");
    expect("another was", REFUSED, "rule after");
    stage->moves[stage->count++].number = 1;
    stage->moves[stage->count++].number = 2;
    expect("was on the second", OK, NULL);
    w.channels[0].suites = w.suites;
    w.channels[0].suite_count = 1;
    w.suites[0] = named("suite");
    expect("the suite", OK, NULL);
    w.suites[0] = named("strict");
    expect("another suite", REFUSED, "no report under suite sha256:");
    w.suites[0] = named("suite");
    struct digest wanted = named("wanted");
    w.asking.required = &wanted;
    w.asking.required_count = 1;
    expect("the caller's too", REFUSED, "no report under suite sha256:");
    wanted = named("suite");
    expect("which is there", OK, NULL);
    cr_expect_eq(w.relied.report_count, 2);
    w.versions[0].retired = 40;
    expect("retired", REFUSED, "it is retired");
    cr_expect_eq(rules_rollback(&w.asking, &w.err), REFUSED);
    w.versions[0].retired = 0;
    cr_expect_eq(rules_rollback(&w.asking, &w.err), OK);
    w.asking.channel = "beta";
    cr_expect_eq(rules_rollback(&w.asking, &w.err), REFUSED);
    w.state.open = true;
    cr_expect_eq(rules_rollback(&w.asking, &w.err), OK);
}

/* One waiver about two reports is relied on once; so is one that two channels' rules ask about. */
Test(promote_rules, a_waiver_is_relied_on_once)
{
    begin();
    struct digest suites[2] = { named("suite"), named("other suite") };
    w.reports[1] = w.reports[0];
    w.reports[1].suite = suites[1];
    w.reports[1].report = named("other report");
    w.reports[1].seq++;
    w.state.report_count = 2;
    w.channels[0].suites = suites;
    w.channels[0].suite_count = 2;
    w.channels[0].fresh_s = 1;
    w.channels[0].waive = 1u << WAIVE_FRESH;
    struct consent *waiver = add_consent(GRACE, true, WAIVE_FRESH, "");
    expect("it is about one of them", REFUSED, "entry 21");
    w.seen[1] = named("other report");
    waiver->report_count = 2;
    expect("it is about both", OK, NULL);
    cr_expect(w.relied.report_count == 2 && w.relied.consent_count == 1);
    add_consent(GRACE_TWO, true, WAIVE_FRESH, "")->report_count = 2;
    expect("her other key says nothing new", OK, NULL);
    cr_expect(w.relied.consent_count == 1 && w.relied.consents[0] == CONSENT_SEQ);
}

/* What the sealed baseline was then and is now. */
Test(promote_rules, baselines_must_be_what_they_were)
{
    static const struct {
        const char *what, *name, *model; /* the model that it was; NULL: none was there */
        const char *moves;               /* what stage held */
        int64_t held;
        bool pinned;
        enum code code;
    } rows[] = {
        { "as it was", "m@stage", "model 2", "2", 0, false, OK },
        { "moved on", "m@stage", "model 3", "2", 0, false, CONFLICT },
        { "moved on, pinned", "m@stage", "model 3", "2", 0, true, OK },
        { "moved on, held already", "m@stage", "model 3", "2", 1, false, OK },
        { "moved on, another is held", "m@stage", "model 3", "2", 2, false, CONFLICT },
        { "there was none and is none", "m@stage", NULL, "", 0, false, OK },
        { "there was none and is one", "m@stage", NULL, "2", 0, false, CONFLICT },
        { "there was one and is none", "m@stage", "model 2", "", 0, false, CONFLICT },
        { "the candidate itself", "m@stage", "model 2", "1", 0, false, OK },
        { "a number does not move", "m@2", "model 3", "2", 0, false, OK },
        { "nor does a trained one", "linear", "model 3", "2", 0, false, OK },
        { "of a model that is not there", "n@stage", "model 2", "2", 0, false, CONFLICT },
        { "of a channel with a short name", "m@s", "model 3", "2", 0, false, CONFLICT },
        { "what is no channel", "m@2b", "model 3", "2", 0, false, OK },
        { "of the longest name", LONG_NAME "@s", "model 3", "2", 0, false, CONFLICT },
        { "longer than names are", "n" LONG_NAME "@s", "model 3", "2", 0, false, OK },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        begin();
        w.seals[0].baseline_count = 1;
        w.baselines[0] = (struct sealed_baseline){ rows[i].name, rows[i].model != NULL,
                                                   named(rows[i].model ? rows[i].model : "") };
        if (*rows[i].moves) add_channel("stage", rows[i].moves);
        w.channels[0].pinned = rows[i].pinned;
        w.asking.held = rows[i].held;
        expect(rows[i].what, rows[i].code, rows[i].code ? "is no longer what its report" : NULL);
    }
}

/* Without required suites one suite is enough, and the first reason why the others are not. */
Test(promote_rules, any_suite_will_do)
{
    begin();
    w.reports[1] = w.reports[0];
    w.reports[1].suite = named("lax");
    w.reports[1].report = named("lax report");
    w.reports[1].verdict = "fail";
    w.reports[1].seq++;
    w.state.report_count = 2;
    expect("the older passes", OK, NULL);
    cr_expect(w.relied.report_count == 1 && w.relied.reports[0] == w.reports);
    w.reports[0].verdict = "fail";
    expect("none", REFUSED, "its newest report is 'fail' (entry 21)");
    w.reports[1].verdict = "pass";
    expect("the newer passes", OK, NULL);
    w.reports[1].seal = 0;
    expect("it is not sealed", REFUSED, "(entry 21) was not sealed");
    w.reports[0].verdict = "pass";
    expect("the other one is", OK, NULL);
    w.reports[0].seal = 0;
    expect("neither", REFUSED, "(entry 21) was not sealed");
    w.reports[0].model_digest = w.reports[1].model_digest = named("model 2");
    expect("about another model", REFUSED, "no report about its model");
    w.reports[0].model_digest = named("model 1");
    w.reports[0].signer = (struct signer){ 0 };
    expect("signed by nobody", REFUSED, "no report about its model");
    w.state.open = true;
    expect("in an open registry", OK, NULL);
    size_t count;
    w.state.open = false;
    rules_seen(&w.arena, &count, &w.asking);
    cr_expect_eq(count, 0);
    w.reports[0].signer = signer_of(ADA);
    cr_expect_eq(rules_seen(&w.arena, &count, &w.asking)[0], w.reports);
    cr_expect_eq(count, 1);
    w.channels[0].suites = w.suites;
    w.channels[0].suite_count = 1;
    rules_seen(&w.arena, &count, &w.asking);
    cr_expect_eq(count, 0, "not asked for");
    w.suites[0] = named("suite");
    rules_seen(&w.arena, &count, &w.asking);
    cr_expect_eq(count, 1);
}
