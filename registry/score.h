/* The ML Test Score: 28 tests of how ready for production a model's making is.
 *
 * Source: Breck, Cai, Nielsen, Salib, Sculley, "The ML Test Score: A Rubric for ML Production
 * Readiness and Technical Debt Reduction" (IEEE Big Data 2017). A test counts 1 where what pawl
 * recorded shows that it is done automatically, 0.5 where people documented that they did it by
 * hand (`tests` of card/1), else 0. Each of the four sections is summed; the smallest sum is the
 * score.
 *
 * One row per test: its question, the check that looks for it in the evidence, and what would
 * supply it. A check sees recorded facts alone; where nothing that pawl records could show it,
 * there is no check, and only people's documentation counts. */
#ifndef PAWL_REGISTRY_SCORE_H
#define PAWL_REGISTRY_SCORE_H

#include "registry/registry.h"

enum { SCORE_TESTS = 28, SCORE_SECTIONS = 4, SCORE_EVIDENCE = 240 };

/* What there is to look at; all borrowed, and each may be NULL. */
struct score_evidence {
    const char *subject; /* "fashion@7", "runs/a" */
    const char *model;   /* its name in the registry */
    int64_t number;
    const json_t *facts;   /* run/1 */
    const json_t *profile; /* profile/1 of the training data */
    const json_t *card;    /* card/1 */
    const json_t *reports; /* list of report/1, the newest of each suite */
    const json_t *notes;   /* list of {seq, seal, verdict, data?}: the entries that recorded them */
    const json_t *history; /* entries of history/1 about the model */
    const json_t *files;   /* list of {name}: of the version */
    const json_t *twins;   /* list of {subject, seq, facts}: other entries with the same weights */
    bool finished;         /* the run came to its end without an alarm */
};

/* scored/1 {subject, score, sections: [{section, sum}], tests: [{test, section, question, points,
 * how: "automatic" | "by hand" | "missing", evidence | supply}]}. New reference. */
json_t *score_json(const struct score_evidence *evidence);

/* The score in a document that score_json made. */
double score_of(const json_t *scored);

/* Whether there is such a test ("D2"). */
bool score_knows(const char *test);

/* scored/1 of a version, from the registry alone. `card` (borrowed, may be NULL) stands in for the
 * one that was added with it. NOT_FOUND, DAMAGED. */
enum code registry_score(struct registry *registry, json_t **scored, const char *model,
                         int64_t number, const json_t *card, struct err *err);

/* The same for policies, which demand a smallest score, on the state that an entry would follow. */
enum code registry_score_value(double *score, const struct registry *registry,
                               const struct state *state, const char *model, int64_t number,
                               struct err *err);

#endif
