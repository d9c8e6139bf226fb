/* The 28 rows and their sums. */
#include "registry/score.h"

#include "registry/documents.h"
#include "registry/score_checks.h"

#include <string.h>

static const char *const sections[SCORE_SECTIONS] = { "data", "model", "infrastructure",
                                                      "monitoring" };

struct score_test {
    const char *name;
    int section;
    const char *question;
    const char *supply;
};

#define BY_HAND "Do it and say where it is written, in `tests` of the card."

static const struct score_test tests[SCORE_TESTS] = {
    { "D1", 0, "Feature expectations are captured in a schema",
      "Train with a dataset that `pawl data import` made: its profile comes along." },
    { "D2", 0, "All features are beneficial", BY_HAND },
    { "D3", 0, "No feature's cost is too much", BY_HAND },
    { "D4", 0, "Features adhere to meta-level requirements", BY_HAND },
    { "D5", 0, "The data pipeline has appropriate privacy controls", BY_HAND },
    { "D6", 0, "New features can be added quickly", BY_HAND },
    { "D7", 0, "All input feature code is tested",
      "Add the model to a registry: its golden rows are kept and run again." },
    { "M1", 1, "Every model specification is reviewed and checked in",
      "Approve the version (`pawl registry approve`), trained by a program of a known commit." },
    { "M2", 1, "Offline metrics correlate with online ones", BY_HAND },
    { "M3", 1, "All hyperparameters are tuned", BY_HAND },
    { "M4", 1, "The impact of model staleness is known",
      "Let the suite compare with an older version: `against: NAME@CHANNEL`." },
    { "M5", 1, "A simpler model is not better",
      "Give the suite a gate `{against: linear, better_by: ...}`." },
    { "M6", 1, "Quality is sufficient on important slices", "Give the suite gates with `slice:`." },
    { "M7", 1, "The model is tested for considerations of inclusion",
      "Give the suite a gate `{gap: [GROUP, rest], at_most: ...}`." },
    { "I1", 2, "Training is reproducible",
      "Train it again in another run and add that under another name: the weights must be equal." },
    { "I2", 2, "Model specifications are unit tested", BY_HAND },
    { "I3", 2, "The whole pipeline is integration tested", "Go the whole way: `pawl release`." },
    { "I4", 2, "Model quality is validated before serving",
      "Evaluate the version: `pawl eval SUITE --model NAME@N`; it must pass." },
    { "I5", 2, "The model can be debugged on a single example", BY_HAND },
    { "I6", 2, "Models are tested by a canary before serving", BY_HAND },
    { "I7", 2, "Serving models can be rolled back",
      "Roll a channel back once: `pawl rollback NAME CHANNEL`." },
    { "O1", 3, "Dependency changes result in notification", BY_HAND },
    { "O2", 3, "Data invariants hold in training and serving inputs", BY_HAND },
    { "O3", 3, "Training and serving features compute the same values", BY_HAND },
    { "O4", 3, "Models are not too stale", BY_HAND },
    { "O5", 3, "The model is numerically stable",
      "Train with `non_finite: stop` and evaluate; no value may be missing." },
    { "O6", 3, "Computing performance has not regressed",
      "Give the suite a blocking gate on latency, throughput or memory." },
    { "O7", 3, "Prediction quality has not regressed on served data",
      "After a promotion evaluate the version on newer labelled rows: `pawl eval SUITE --model`." },
};

bool score_knows(const char *test)
{
    for (int i = 0; test && i < SCORE_TESTS; i++)
        if (strcmp(tests[i].name, test) == 0) return true;
    return false;
}

/* What people wrote about a test: where, and who says so. */
static const json_t *by_hand(const json_t *card, const char *test)
{
    const json_t *list = json_object_get(card, "tests");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *row = json_array_get(list, i);
        if (strcmp(member_text(row, "test"), test) == 0 && *member_text(row, "evidence"))
            return row;
    }
    return NULL;
}

static json_t *test_json(const struct score_test *test, const struct score_evidence *evidence,
                         double *points)
{
    char seen[SCORE_EVIDENCE] = "";
    score_check check = score_check_of(test->name);
    bool automatic = check && check(evidence, seen);
    const json_t *row = automatic ? NULL : by_hand(evidence->card, test->name);
    *points = automatic ? 1 : row ? 0.5 : 0;
    json_t *json = json_pack("{ss ss ss sf ss}", "test", test->name, "section",
                             sections[test->section], "question", test->question, "points", *points,
                             "how",
                             automatic ? "automatic"
                             : row     ? "by hand"
                                       : "missing");
    if (automatic) json_object_set_new(json, "evidence", json_string(seen));
    if (row) json_object_set(json, "evidence", json_object_get(row, "evidence"));
    if (row && *member_text(row, "by")) json_object_set(json, "by", json_object_get(row, "by"));
    if (!automatic && !row) json_object_set_new(json, "supply", json_string(test->supply));
    return json;
}

json_t *score_json(const struct score_evidence *evidence)
{
    double sums[SCORE_SECTIONS] = { 0 }, points, score;
    json_t *list = json_array(), *sections_json = json_array();
    for (int i = 0; i < SCORE_TESTS; i++) {
        json_array_append_new(list, test_json(&tests[i], evidence, &points));
        sums[tests[i].section] += points;
    }
    score = sums[0];
    for (int i = 0; i < SCORE_SECTIONS; i++) {
        if (sums[i] < score) score = sums[i];
        json_array_append_new(sections_json,
                              json_pack("{ss sf}", "section", sections[i], "sum", sums[i]));
    }
    json_t *json = json_pack("{ss ss sf so so}", "pawl", "scored/1", "subject", evidence->subject,
                             "score", score, "sections", sections_json, "tests", list);
    REQUIRE(json);
    return json;
}

double score_of(const json_t *scored)
{
    return json_number_value(json_object_get(scored, "score"));
}
