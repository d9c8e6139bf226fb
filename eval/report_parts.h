/* The parts of report.json (internal to eval/): eval_run and gate_replay make them by the same
 * functions, so that a replay compares bytes. */
#ifndef PAWL_EVAL_REPORT_PARTS_H
#define PAWL_EVAL_REPORT_PARTS_H

#include "eval/report.h"

struct part_opts {
    uint64_t seed;
    const char *machine, *device;
    int threads;
};

/* What decides beside the scores, from the inputs of a report: the look and the values of earlier
 * versions. `history` of the result is a new reference (or NULL). */
struct decide_opts part_deciding(const json_t *inputs, const struct part_opts *opts);

/* Values with intervals, gates on them, confusion and reliability. New reference. NO_MEMORY. */
enum code part_quality(json_t **part, const struct suite *suite, const struct scores *scores,
                       const struct decision *decision, const struct part_opts *opts,
                       struct err *err);
/* Measurements and gates on them. New reference. */
enum code part_measured(json_t **part, const struct scores *scores, const struct decision *decision,
                        const struct part_opts *opts, struct err *err);
json_t *part_verdict(const struct decision *decision);

/* Appends the values of every subject under every condition to `values`. NO_MEMORY. */
enum code report_values(json_t *values, const struct suite *suite, const struct scores *scores,
                        const struct decision *decision, const struct part_opts *opts,
                        struct err *err);

/* One gate as JSON. New reference. */
json_t *trial_json(const struct trial *trial);

/* Joins four parts (references are taken over) into report/1 with all digests. */
json_t *report_join(json_t *inputs, json_t *quality, json_t *measured, json_t *verdict,
                    struct digest *digest);

/* "GATE_FAILED: 'a', 'b' fail", into err; returns the code of the verdict. */
enum code report_outcome(const struct decision *decision, struct err *err);

/* Views: JUnit XML, Markdown, HTML. */
void report_junit(struct str *out, const json_t *report);
void report_markdown(struct str *out, const json_t *report);

/* The numbers of one gate step by step, for `pawl gate --explain`. */
void explain_trial(struct str *out, const struct trial *trial, const struct suite *suite,
                   const struct decision *decision, const json_t *inputs);

/* "at_least" as people say it: "at least"; "" for no rule. */
const char *rule_words(const char *rule);
/* What a gate demands: "accuracy better by 0.0200 against linear on footwear". */
void demand_text(struct str *out, const json_t *gate);
/* Why a gate's verdict is what it is, with the rows that would decide. */
void gate_reason(struct str *out, const json_t *gate);

/* What was found: "0.9231 [0.9186, 0.9274], n = 10000". */
void numbers_text(struct str *out, const json_t *gate);
/* How often these rows were used to decide, and the chance that goes with it; nothing where nobody
 * counts. */
void exposure_text(struct str *out, const json_t *report);

/* A number for people: as many digits as say something, in its unit. */
enum { NUMBER_TEXT = 40 };
const char *number_text(char text[NUMBER_TEXT], double value, enum metric_unit unit);

/* null for what is not finite. New reference. */
json_t *real_or_null(double value);

#endif
