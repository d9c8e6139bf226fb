/* The ML Test Score: each test counts for what shows it and for nothing else; the smallest section
 * is the score. */
#include "registry/score.h"
#include "registry/card.h"
#include "tests/registry/shared_evidence.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

enum part { FACTS, PROFILE, CARD, REPORTS, NOTES, HISTORY, FILES_OF, TWINS, PARTS };

static double points_of(const json_t *scored, const char *test, const char **how)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(scored, "tests"), i, row)
    {
        if (strcmp(member_text(row, "test"), test) != 0) continue;
        *how = member_text(row, "how");
        return json_number_value(json_object_get(row, "points"));
    }
    cr_assert_fail("no test %s", test);
    return -1;
}

/* Sum over all tests. */
static double total(const json_t *scored)
{
    double sum = 0;
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(scored, "tests"), i, row)
        sum += json_number_value(json_object_get(row, "points"));
    return sum;
}

/* Facts of a run, and another version whose run they are. */
#define RUN(config, data, start)                                                                   \
    "{\"config_digest\":\"sha256:" config "\",\"data\":{\"digest\":\"sha256:" data                 \
    "\"},\"started\":\"" start "\"}"
#define TWIN(run) "[{\"subject\":\"again@1\",\"seq\":7,\"facts\":" run "}]"
#define HEX2      "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define NOTE(seq, verdict, data)                                                                   \
    "{\"seq\":" seq ",\"seal\":0,\"verdict\":\"" verdict "\",\"data\":\"sha256:" data "\"}"
#define PROMOTED "[{\"seq\":5,\"kind\":\"promote\",\"subject\":\"m@2\"}]"

#define GATE(body) "[{\"quality\":{\"gates\":[{\"id\":\"g\",\"counts\":true," body "}]}}]"

/* What is shown by which record, and what is not. */
static const struct {
    const char *test;
    double points;
    struct {
        enum part part;
        const char *json;
    } given[3];
} cases[] = {
    { "D1", 1, { { PROFILE, "{\"columns\":[{}]}" } } },
    { "D1", 0, { { PROFILE, "{\"columns\":[]}" } } },
    { "D2", 0.5, { { CARD, "{\"tests\":[{\"test\":\"D2\",\"evidence\":\"a.md\"}]}" } } },
    { "D2", 0, { { CARD, "{\"tests\":[{\"test\":\"D2\",\"evidence\":\"\"}]}" } } },
    { "D3", 0, { { CARD, "{\"tests\":[{\"test\":\"D2\",\"evidence\":\"a.md\"}]}" } } },
    { "D7", 1, { { FILES_OF, "[{\"name\":\"model.json\"},{\"name\":\"sample.h5\"}]" } } },
    { "M1",
      1,
      { { FACTS, "{\"config_digest\":\"sha256:" HEX "\",\"build\":\"0.1 abcdef123456 GNU\"}" },
        { HISTORY, "[{\"seq\":4,\"kind\":\"approve\",\"subject\":\"m@2\"}]" } } },
    { "M1",
      0,
      { { FACTS, "{\"config_digest\":\"sha256:" HEX "\",\"build\":\"0.1 abcdef-dirty GNU\"}" },
        { HISTORY, "[{\"seq\":4,\"kind\":\"approve\",\"subject\":\"m@2\"}]" } } },
    { "M1",
      0,
      { { FACTS, "{\"config_digest\":\"sha256:" HEX "\",\"build\":\"0.1 abcdef123456 GNU\"}" },
        { HISTORY, "[{\"seq\":4,\"kind\":\"approve\",\"subject\":\"m@1\"}]" } } },
    { "M4",
      1,
      { { REPORTS, "[{\"digests\":{\"report\":\"sha256:" HEX "\"},"
                   "\"inputs\":{\"baselines\":[{\"ref\":\"m@1\"}]}}]" } } },
    { "M4",
      0,
      { { REPORTS, "[{\"digests\":{\"report\":\"sha256:" HEX "\"},"
                   "\"inputs\":{\"baselines\":[{\"ref\":\"mm@1\"},{\"ref\":\"linear\"}]}}]" } } },
    { "M5",
      1,
      { { REPORTS, GATE("\"rule\":\"better_by\",\"against\":\"linear\",\"slice\":\"all\","
                        "\"verdict\":\"pass\"") } } },
    { "M5",
      0,
      { { REPORTS, GATE("\"rule\":\"better_by\",\"against\":\"m@1\",\"slice\":\"all\","
                        "\"verdict\":\"pass\"") } } },
    { "M5",
      0,
      { { REPORTS, GATE("\"rule\":\"better_by\",\"against\":\"linear\",\"slice\":\"all\","
                        "\"verdict\":\"inconclusive\"") } } },
    { "M6",
      1,
      { { REPORTS, GATE("\"rule\":\"at_least\",\"slice\":\"dark\",\"verdict\":\"pass\"") } } },
    { "M6",
      0,
      { { REPORTS, "[{\"quality\":{\"gates\":[{\"id\":\"g\",\"counts\":false,\"slice\":\"dark\","
                   "\"verdict\":\"pass\"}]}}]" } } },
    { "M7", 1, { { REPORTS, GATE("\"rule\":\"gap\",\"slice\":\"all\",\"verdict\":\"pass\"") } } },
    { "I3",
      1,
      { { HISTORY, "[{\"kind\":\"register\",\"subject\":\"m@2\"},{\"kind\":\"report\",\"subject\":"
                   "\"m@2\"},{\"kind\":\"promote\",\"subject\":\"m@2\"}]" } } },
    { "I3",
      0,
      { { HISTORY, "[{\"kind\":\"register\",\"subject\":\"m@2\"},{\"kind\":\"report\",\"subject\":"
                   "\"m@2\"},{\"kind\":\"promote\",\"subject\":\"m@1\"}]" } } },
    { "I4", 1, { { NOTES, "[{\"seq\":5,\"seal\":3,\"verdict\":\"pass\"}]" } } },
    { "I4", 0, { { NOTES, "[{\"seq\":5,\"seal\":0,\"verdict\":\"pass\"}]" } } },
    { "I4", 0, { { NOTES, "[{\"seq\":5,\"seal\":3,\"verdict\":\"fail\"}]" } } },
    { "I7", 1, { { HISTORY, "[{\"seq\":9,\"kind\":\"rollback\",\"subject\":\"m@1\"}]" } } },
    { "O5",
      1,
      { { FACTS, "{\"config\":{\"train\":{\"non_finite\":\"stop\"}}}" },
        { REPORTS, "[{\"quality\":{\"values\":[{\"value\":0.5}]}}]" } } },
    { "O5",
      0,
      { { FACTS, "{\"config\":{\"train\":{\"non_finite\":\"stop\"}}}" },
        { REPORTS, "[{\"quality\":{\"values\":[{\"value\":null}]}}]" } } },
    { "O5", 0, { { REPORTS, "[{\"quality\":{\"values\":[{\"value\":0.5}]}}]" } } },
    { "O6",
      1,
      { { REPORTS, "[{\"measured\":{\"gates\":[{\"id\":\"g\",\"counts\":true,\"metric\":"
                   "\"latency_p99\",\"verdict\":\"pass\",\"slice\":\"all\"}]}}]" } } },
    { "O6", 0, { { REPORTS, GATE("\"metric\":\"accuracy\",\"verdict\":\"pass\"") } } },
    { "I1", 1, { { FACTS, RUN(HEX, HEX, "a") }, { TWINS, TWIN(RUN(HEX, HEX, "b")) } } },
    { "I1", 0, { { FACTS, RUN(HEX, HEX, "a") }, { TWINS, TWIN(RUN(HEX, HEX, "a")) } } },
    { "I1", 0, { { FACTS, RUN(HEX, HEX, "a") }, { TWINS, TWIN(RUN(HEX2, HEX, "b")) } } },
    { "I1", 0, { { FACTS, RUN(HEX, HEX, "a") }, { TWINS, TWIN(RUN(HEX, HEX2, "b")) } } },
    { "I1", 0, { { FACTS, RUN(HEX, HEX, "") }, { TWINS, TWIN(RUN(HEX, HEX, "b")) } } },
    { "I1", 0, { { FACTS, RUN(HEX, HEX, "a") }, { TWINS, TWIN("{}") } } },
    { "O7",
      1,
      { { NOTES, "[" NOTE("3", "pass", HEX) "," NOTE("9", "pass", HEX2) "]" },
        { HISTORY, PROMOTED } } },
    { "O7",
      0,
      { { NOTES, "[" NOTE("3", "pass", HEX) "," NOTE("9", "pass", HEX) "]" },
        { HISTORY, PROMOTED } } },
    { "O7",
      0,
      { { NOTES, "[" NOTE("3", "pass", HEX) "," NOTE("4", "pass", HEX2) "]" },
        { HISTORY, PROMOTED } } },
    { "O7",
      0,
      { { NOTES,
          "[" NOTE("3", "pass", HEX) "," NOTE("8", "pass", HEX2) "," NOTE("9", "fail", HEX2) "]" },
        { HISTORY, PROMOTED } } },
    { "O7", 0, { { NOTES, "[" NOTE("9", "pass", HEX2) "]" } } },
};

Test(score, each_test_counts_for_what_shows_it_and_for_nothing_else)
{
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct err err;
        const char *how;
        json_t *parts[PARTS] = { 0 };
        for (int g = 0; g < 3 && cases[c].given[g].json; g++)
            cr_assert_eq(json_parse(&parts[cases[c].given[g].part], cases[c].given[g].json,
                                    strlen(cases[c].given[g].json), "case", &err),
                         OK, "case %zu: %s", c, err.message);
        struct score_evidence evidence = { .subject = "m@2",
                                           .model = "m",
                                           .number = 2,
                                           .facts = parts[FACTS],
                                           .profile = parts[PROFILE],
                                           .card = parts[CARD],
                                           .reports = parts[REPORTS],
                                           .notes = parts[NOTES],
                                           .history = parts[HISTORY],
                                           .files = parts[FILES_OF],
                                           .twins = parts[TWINS] };
        json_t *scored = score_json(&evidence);
        double points = points_of(scored, cases[c].test, &how);
        cr_expect(points == cases[c].points, "case %zu: %s counts %g (%s)", c, cases[c].test,
                  points, how);
        if (points > 0)
            cr_expect(total(scored) == points, "case %zu: more than %s counts", c, cases[c].test);
        cr_expect(strcmp(how, points == 1     ? "automatic"
                              : points == 0.5 ? "by hand"
                                              : "missing") == 0);
        json_decref(scored);
        for (int p = 0; p < PARTS; p++) json_decref(parts[p]);
    }
}

Test(score, is_the_smallest_of_four_sections_of_seven_tests_each)
{
    static const char *const sections[] = { "data", "model", "infrastructure", "monitoring" };
    static const double want[] = { 3.5, 3.5, 3.5, 3 };
    struct score_evidence evidence = { .subject = "x" };
    json_t *list = json_array(), *row;
    json_t *all = json_pack("{so}", "tests", list);
    size_t i;
    json_t *scored = score_json(&evidence);
    cr_expect_eq(json_array_size(json_object_get(scored, "tests")), SCORE_TESTS);
    cr_expect(score_of(scored) == 0);
    json_array_foreach(json_object_get(scored, "tests"), i, row)
    {
        const char *test = member_text(row, "test");
        cr_expect(score_knows(test) && *member_text(row, "supply") &&
                  *member_text(row, "question"));
        cr_expect_str_eq(member_text(row, "section"), sections[i / 7], "%s", test);
        if (strcmp(test, "O4") != 0)
            json_array_append_new(
                list, json_pack("{ss ss ss}", "test", test, "evidence", "here", "by", "ana"));
    }
    json_decref(scored);
    evidence.card = all;
    scored = score_json(&evidence);
    json_array_foreach(json_object_get(scored, "sections"), i, row)
        cr_expect(json_number_value(json_object_get(row, "sum")) == want[i], "%s", sections[i]);
    cr_expect(score_of(scored) == 3);
    cr_expect_not(score_knows("D8"));
    json_decref(scored);
    json_decref(all);
}

Test(score, of_a_version_comes_from_its_registry)
{
    struct support s;
    struct added added;
    struct moved moved;
    json_t *scored;
    const char *how;
    double value;
    MUST(support_open(&s));
    fs_calls.fsync = support_no_fsync;
    MUST(evidence_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    MUST(evidence_report(&s.registry, s.dir, "fashion", 1, "first", "pass", 0.75, &s.err));
    MUST(registry_score(&s.registry, &scored, "fashion", 1, NULL, &s.err));
    cr_expect(points_of(scored, "D7", &how) == 1 && points_of(scored, "I3", &how) == 0);
    json_decref(scored);
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "staging", &s.err));
    json_t *card = json_pack("{s[{ss ss}]}", "tests", "test", "O1", "evidence", "a.md");
    MUST(registry_score(&s.registry, &scored, "fashion", 1, card, &s.err));
    cr_expect(points_of(scored, "I3", &how) == 1 && points_of(scored, "O1", &how) == 0.5);
    cr_expect(score_of(scored) == 0, "nothing is known of the model's quality on slices");
    json_decref(scored);
    json_decref(card);
    MUST(registry_score_value(&value, &s.registry, &s.registry.state, "fashion", 1, &s.err));
    cr_expect(value == 0);
    cr_expect_eq(registry_score(&s.registry, &scored, "fashion", 2, NULL, &s.err), NOT_FOUND);
    cr_expect_eq(registry_score_value(&value, &s.registry, &s.registry.state, "shoes", 1, &s.err),
                 NOT_FOUND);
    support_close(&s);
}
