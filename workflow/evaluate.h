/* Evaluation as users ask for it: a suite, a REF, baselines by name, and the registry's record.
 *
 * `eval` itself knows no REFs and no registry. Here they are resolved; for a version of a registry
 * the bar is sealed and the look written down before anything is scored, and the report is recorded
 * after it was replayed from its own scores. */
#ifndef PAWL_WORKFLOW_EVALUATE_H
#define PAWL_WORKFLOW_EVALUATE_H

#include "base/schema.h"
#include "registry/key.h"

struct evaluate_request {
    const char *suite;                /* path */
    const char *model;                /* REF; NULL: predictions */
    const char *predictions;          /* what another program predicted, instead of a model */
    const char *baseline;             /* REF for `against: baseline`, or NULL */
    const char *baseline_predictions; /* the same from a file, or NULL */
    const char *registry;             /* directory, or NULL */
    const char *out;    /* report directory; NULL: reports/<suite>-<model digest, 12 digits> */
    const char *device; /* or NULL */
    const char *actor;
    const struct key *key; /* signs what the registry records; NULL: none */
    int threads;           /* 0: all */
    bool raw;              /* --weights raw */
    bool reuse; /* a report under the default name that answers the same question is taken */
};

struct evaluated {
    char report[1100]; /* the report's directory */
    char verdict[16];  /* "pass", "fail", "inconclusive" */
    struct digest report_digest, suite_digest, model_digest;
    bool sealed, reused, open; /* open: the registry has no keys */
    json_t *report_json;       /* report/1 */
};

/* What can be said before there is a model: the suite is sound and fits its data. Fails as evaluate
 * does. */
enum code evaluate_check(const char *suite, struct problems *problems, struct err *err);

/* What the suite could decide with its data, or with the rows of `request->predictions`, before
 * there is a model: forecast/1 into *json (new reference). `assumed` are texts "WHAT=VALUE" (NULL-
 * terminated, or NULL; "disagree=0.1" says on which share of rows two models differ), `like` a
 * report directory or NULL. Fails as evaluate does. */
enum code evaluate_forecast(json_t **json, const struct evaluate_request *request,
                            const char *const *assumed, const char *like, struct problems *problems,
                            struct err *err);

/* Evaluates, writes the report and, for a version, records it. The result is OK, GATE_FAILED or
 * INCONCLUSIVE by the verdict (then `evaluated` is filled in too); other codes are failures: CONFIG
 * with `problems` for the suite, NOT_FOUND, DAMAGED, REFUSED, ... */
enum code evaluate(struct evaluated *evaluated, const struct evaluate_request *request,
                   struct problems *problems, struct err *err);
void evaluated_release(struct evaluated *evaluated);

#endif
