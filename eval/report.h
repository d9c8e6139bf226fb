/* Reports: what an evaluation found and decided, as a directory that anyone can check.
 *
 * report.json has four parts, each with its digest, and a digest over all four: `inputs` (what was
 * evaluated), `quality` (values and gates on them, the same bytes for any batch size and number of
 * threads), `measured` (this machine) and `verdict`. scores.h5 holds what every number is computed
 * from; junit.xml, report.md and report.html are views of report.json. The directory is published
 * whole or not at all. */
#ifndef PAWL_EVAL_REPORT_H
#define PAWL_EVAL_REPORT_H

#include "eval/gate.h"
#include "eval/harness.h"

/* A baseline of the suite, resolved by the caller. */
struct eval_baseline {
    const char *name;                      /* as the suite's `against` */
    const char *ref;                       /* what it resolved to ("fashion@3"); NULL: its name */
    const struct weights *weights;         /* NULL: predictions, majority, or missing */
    const struct predictions *predictions; /* instead of weights, or NULL */
    bool missing;                          /* there is none yet: `first` of the suite applies */
};

struct eval_inputs {
    const struct document *document;       /* the suite */
    struct problems *problems;             /* receives what is wrong with the suite, with places */
    const struct dataset *dataset;         /* NULL: the predictions stand alone */
    const char *model;                     /* as the user named it ("fashion@1", a path) */
    const struct weights *weights;         /* NULL: predictions */
    const struct predictions *predictions; /* what another program predicted, or NULL */
    const struct eval_baseline *baselines; /* every `against` of the suite, in any order */
    size_t baseline_count;
    json_t *registry;   /* registry facts (seal, look, exposures), or NULL: unsealed */
    json_t *history;    /* for trends: {gate id: [{version, value}, ...]}, oldest first, or NULL */
    const char *device; /* NULL: "cpu" */
    int threads;        /* 0: all processors */
    int64_t call_rows;  /* rows per call; 0: default. Changes no result */
};

struct eval_result {
    enum verdict verdict;
    struct digest report, suite, model;
    json_t *json;        /* report/1; released by eval_result_release */
    struct str markdown; /* report.md */
};
/* Accepts a zeroed result. */
void eval_result_release(struct eval_result *result);

/* Evaluates, decides and publishes the report at `out_dir`, which must not exist (CONFLICT).
 *
 * Returns OK, GATE_FAILED or INCONCLUSIVE by the verdict, with `err` saying which gates; then there
 * is a report. Otherwise there is none: CONFIG (the suite or the model does not fit; see problems),
 * DAMAGED, IO, NO_MEMORY, DEVICE. */
enum code eval_run(const struct eval_inputs *inputs, const char *out_dir,
                   struct eval_result *result, struct err *err);

/* A report for a terminal: what was judged, then one line a gate, those that do not pass first. */
void report_text(struct str *out, const json_t *report);

struct replay_opts {
    const struct digest *model; /* the report must be about this model; NULL: any */
    const struct digest *suite; /* and under this suite; NULL: any */
    const char *explain;        /* id of a gate to explain in `explained`; NULL: none */
    struct str *explained;
    int threads; /* 0: all processors */
};

/* Decides again from stored scores alone. `path` is the report's directory or its report.json.
 *
 * Every part is recomputed and must be the same bytes, every digest must hold, and model and suite
 * must be the ones asked for; anything else is DAMAGED. Otherwise the result is filled and OK,
 * GATE_FAILED or INCONCLUSIVE returned as in eval_run. An unknown gate to explain is USAGE. */
enum code gate_replay(const char *path, const struct replay_opts *opts, struct eval_result *result,
                      struct err *err);

/* Default place of a report: "<suite>-<first 12 digits of the model digest>". Arena-owned. */
const char *report_name(struct arena *arena, const struct suite *suite, const struct digest *model);

#endif
