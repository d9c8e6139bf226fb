/* Documents for people: what `--format text` prints of history/1, version/1, verify/1,
 * status/1, and of the facts in a run's manifest. */
#ifndef PAWL_CLI_DOCUMENTS_H
#define PAWL_CLI_DOCUMENTS_H

#include "base/json.h"
#include "base/str.h"

/* Members of a document: "" and 0 where there is none. */
const char *text_in(const json_t *object, const char *key);
long long number_in(const json_t *object, const char *key);

/* A line per entry: what it did, who and why. */
void history_text(struct str *out, const json_t *history);
/* One version: digests, files, reports, and the run that made it. */
void version_text(struct str *out, const json_t *version);
/* Counts, problems, notes and the head; "sound" where there is no problem. */
void verify_text(struct str *out, const json_t *result);
/* The bundle in use and those kept. `dir` is the folder of deployments that was asked about. */
void status_text(struct str *out, const json_t *status, const char *dir);

/* The facts of a run's manifest that people ask for, a line each. */
void run_facts_text(struct str *out, const json_t *facts);

#endif
