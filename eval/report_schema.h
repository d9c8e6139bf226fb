/* What report.json holds, member by member: one table from which the JSON Schema is made and
 * against which reports are held in the tests, in both directions. */
#ifndef PAWL_EVAL_REPORT_SCHEMA_H
#define PAWL_EVAL_REPORT_SCHEMA_H

#include "base/json.h"
#include "base/str.h"

/* JSON Schema (draft 2020-12) of report/1. New reference. */
json_t *report_schema(void);

/* Whether a report has every required member, each of its type, and no member that the table does
 * not know; otherwise `why` says what is wrong. */
bool report_conforms(const json_t *report, struct str *why);

#endif
