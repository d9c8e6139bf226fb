/* Doctor: does this machine have what pawl needs, and does this file system keep its promises? */
#ifndef PAWL_WORKFLOW_DOCTOR_H
#define PAWL_WORKFLOW_DOCTOR_H

#include "base/json.h"

/* doctor/1 {checks: [{name, state: ok | note | broken, text}]} (new reference). `dir` is where
 * link, exclusive creation and the fsync of a directory are tried. HOPELESS when anything is
 * broken; the report is there all the same. */
enum code doctor_examine(json_t **report, const char *dir, struct err *err);

#endif
