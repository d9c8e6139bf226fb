/* Moving channels: which report is needed, what was seen, lost races, where a rollback goes. */
#include "tests/registry/checks.h"

Test(promote, needs_a_passing_report_about_exactly_this_model)
{
    struct support s;
    struct added added;
    struct moved moved;
    begin(&s);
    fill(&s, 1);
    MUST(support_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    cr_expect_eq(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err), REFUSED);
    SAYS("fashion@2");
    HINTS("pawl eval SUITE --model fashion@2");
    MUST(support_report(&s.registry, NULL, s.dir, "fashion", 2, "suite", "fail", &s.err));
    cr_expect_eq(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err), REFUSED);
    SAYS("'fail'");
    MUST(support_report(&s.registry, NULL, s.dir, "fashion", 2, "suite", "inconclusive", &s.err));
    cr_expect_eq(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err), REFUSED);
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "production", &s.err));
    cr_expect(moved.from == 0 && !moved.unchanged);

    /* a pass that a later report under the same suite takes back */
    MUST(support_report(&s.registry, NULL, s.dir, "fashion", 2, "other", "pass", &s.err));
    MUST(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err));
    cr_expect_eq(moved.from, 1);
    MUST(support_report(&s.registry, NULL, s.dir, "fashion", 2, "other", "fail", &s.err));
    cr_expect_eq(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err), REFUSED);

    /* required suites, each by its digest */
    struct digest suites[2] = { digest_of("suite", 5), digest_of("missing", 7) };
    struct move_opts opts = { .model = "fashion",
                              .channel = "production",
                              .number = 1,
                              .from = CHANNEL_ANY,
                              .required = suites,
                              .required_count = 1,
                              .actor = "a",
                              .reason = "r" };
    MUST(registry_promote(&s.registry, &moved, &opts, &s.err));
    opts.required_count = 2;
    cr_expect_eq(registry_promote(&s.registry, &moved, &opts, &s.err), REFUSED);
    SAYS("no report under suite sha256:");
    suites[1] = digest_of("other", 5);
    opts.number = 2;
    cr_expect_eq(registry_promote(&s.registry, &moved, &opts, &s.err), REFUSED);
    suites[0] = suites[1];
    opts.required_count = 1;
    cr_expect_eq(registry_promote(&s.registry, &moved, &opts, &s.err), REFUSED);
    SAYS("'fail'");
    opts.number = 1;
    opts.reason = "";
    cr_expect_eq(registry_promote(&s.registry, &moved, &opts, &s.err), USAGE);
    cr_expect_eq(support_promote(&s.registry, &moved, "fashoin", 1, "production", &s.err),
                 NOT_FOUND);
    HINTS("'fashion'");
    cr_expect_eq(support_promote(&s.registry, &moved, "fashion", 9, "production", &s.err),
                 NOT_FOUND);
    support_close(&s);
}

Test(promote, states_what_was_seen_and_says_who_moved_it)
{
    struct support s;
    struct moved moved;
    struct move_opts opts = { .model = "fashion",
                              .channel = "production",
                              .number = 2,
                              .from = CHANNEL_NONE,
                              .actor = "late",
                              .reason = "r" };
    begin(&s);
    fill(&s, 3);
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "production", &s.err));
    cr_expect_eq(registry_promote(&s.registry, &moved, &opts, &s.err), CONFLICT);
    SAYS("is no longer empty but fashion@1");
    opts.from = 3;
    cr_expect_eq(registry_promote(&s.registry, &moved, &opts, &s.err), CONFLICT);
    SAYS("'production' is no longer fashion@3 but fashion@1");
    SAYS("releaser");
    SAYS("it is better");
    opts.from = 1;
    MUST(registry_promote(&s.registry, &moved, &opts, &s.err));
    MUST(registry_promote(&s.registry, &moved,
                          &(struct move_opts){ .model = "fashion",
                                               .channel = "production",
                                               .number = 2,
                                               .from = CHANNEL_ANY,
                                               .actor = "a",
                                               .reason = "again" },
                          &s.err));
    cr_expect(moved.unchanged && moved.from == 2);
    json_t *history;
    MUST(registry_history(&s.registry, &history, "fashion", "production", &s.err));
    json_t *entries = json_object_get(history, "entries");
    cr_assert_eq(json_array_size(entries), 3);
    cr_expect(json_is_true(json_object_get(json_array_get(entries, 2), "unchanged")));
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(entries, 1), "actor")),
                     "late");
    json_decref(history);
    support_close(&s);
}

/* What a rival does right before our entry is linked. */
static struct {
    const char *path, *dir, *channel, *report; /* a channel to move, or a report to record */
} rival;

static int link_after_rival(const char *from, const char *to)
{
    if (!strstr(to, "/journal/")) return fs_calls_real.link(from, to);
    struct registry registry;
    struct moved moved;
    struct err err;
    fs_calls.link = fs_calls_real.link;
    cr_assert_eq(registry_open(&registry, rival.path, &err), OK);
    if (rival.channel)
        cr_assert_eq(support_promote(&registry, &moved, "fashion", 3, rival.channel, &err), OK);
    if (rival.report)
        cr_assert_eq(
            support_report(&registry, NULL, rival.dir, "fashion", 1, "suite", rival.report, &err),
            OK);
    registry_close(&registry);
    return fs_calls_real.link(from, to);
}

Test(promote, after_a_lost_race_is_decided_again)
{
    static const struct {
        const char *channel, *report;
        enum code code;
        const char *says;
    } rows[] = {
        { "staging", NULL, OK, NULL }, /* unrelated: tried again */
        { "production", NULL, CONFLICT, "'production' is no longer fashion@2 but fashion@3" },
        { NULL, "fail", REFUSED, "'fail'" },
    };
    struct support s;
    struct moved moved;
    begin(&s);
    fill(&s, 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        MUST(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err));
        rival.path = s.path;
        rival.dir = s.dir;
        rival.channel = rows[i].channel;
        rival.report = rows[i].report;
        fs_calls.link = link_after_rival;
        enum code code = support_promote(&s.registry, &moved, "fashion", 1, "production", &s.err);
        cr_expect_eq(code, rows[i].code, "row %zu: %d %s", i, code, code ? s.err.message : "");
        if (code) SAYS(rows[i].says);
    }
    support_close(&s);
}

/* Steps on one channel: p = promote, b = roll back to the version before, t = roll back to a stated
 * one; then what the channel holds, 0 for a refusal. */
static const struct step {
    char what;
    int64_t number, holds;
} steps[] = {
    { 'b', 0, 0 },
    { 'p', 1, 1 },
    { 'b', 0, 0 },
    { 'p', 2, 2 },
    { 'p', 3, 3 },
    { 'b', 0, 2 },
    { 'b', 0, 1 }, /* not back to 3 */
    { 'b', 0, 0 }, /* nothing before 1 */
    { 't', 4, 0 }, /* was never there */
    { 't', 3, 3 }, /* was, so it may be stated */
    { 'p', 4, 4 },
    { 'b', 0, 3 },
    { 'p', 2, 2 },
    { 'p', 1, 1 },
    { 'b', 0, 2 },
    { 'b', 0, 3 },
    /* 3 is below 1 once more, and was rolled back from */
    { 'p', 1, 1 },
    { 'p', 3, 3 },
    { 'b', 0, 1 },
    { 'b', 0, 0 },
};

Test(rollback, goes_to_the_version_before_and_never_to_one_rolled_back_from)
{
    struct support s;
    struct moved moved;
    begin(&s);
    fill(&s, 4);
    int64_t holds = 0;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct move_opts opts = { .model = "fashion",
                                  .channel = "production",
                                  .number = steps[i].number,
                                  .from = CHANNEL_ANY,
                                  .actor = "a",
                                  .reason = "r" };
        enum code code = steps[i].what == 'p'
                             ? registry_promote(&s.registry, &moved, &opts, &s.err)
                             : registry_rollback(&s.registry, &moved, &opts, &s.err);
        if (steps[i].holds == 0) {
            bool chosen = steps[i].number != 0;
            cr_expect_eq(code, holds ? REFUSED : NOT_FOUND, "step %zu: %d %s", i, code,
                         s.err.message);
            if (holds && chosen) HINTS("pawl promote fashion@");
            if (holds && !chosen) HINTS("Versions that were rolled back from are skipped");
        } else {
            cr_expect_eq(code, OK, "step %zu: %s", i, s.err.message);
            cr_expect_eq(moved.number, steps[i].holds, "step %zu holds %lld", i,
                         (long long)moved.number);
            holds = steps[i].holds;
        }
        struct resolved resolved;
        if (!holds) continue;
        MUST(registry_resolve(&s.registry, &resolved, "fashion@production", &s.err));
        cr_expect_eq(resolved.number, holds, "step %zu", i);
    }
    support_close(&s);
}
