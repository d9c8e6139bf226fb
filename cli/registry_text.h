/* The registry's documents for people: what `--format text` prints of list/1, history/1, version/1,
 * verify/1 and status/1. */
#ifndef PAWL_CLI_REGISTRY_TEXT_H
#define PAWL_CLI_REGISTRY_TEXT_H

#include "base/json.h"
#include "base/str.h"

/* Members of a document: "" and 0 where there is none. */
const char *text_in(const json_t *object, const char *key);
long long number_in(const json_t *object, const char *key);

void list_text(struct str *out, const json_t *list);
void history_text(struct str *out, const json_t *history);
void version_text(struct str *out, const json_t *version);
void verify_text(struct str *out, const json_t *result);
/* `dir` is the folder of deployments that was asked about. */
void status_text(struct str *out, const json_t *status, const char *dir);

#endif
