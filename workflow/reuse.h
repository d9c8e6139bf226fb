/* Whether a report that is there already answers the question that is asked now. */
#ifndef PAWL_WORKFLOW_REUSE_H
#define PAWL_WORKFLOW_REUSE_H

#include "eval/report.h"
#include "registry/registry.h"

/* What the answer must be about. */
struct wanted {
    struct digest suite, model, data; /* resolved suite, candidate, logical split */
    struct digest train;              /* logical split that `majority` counts; zero: none */
    const struct eval_baseline *baselines;
    size_t baseline_count;
    const struct registry *registry;
    const struct resolved *version;
};

/* Whether the report in `dir` states the same suite, model, data, version and baselines, and was
 * sealed in this registry; *seal is that entry then. A baseline that has become the candidate
 * itself meanwhile is not compared: a channel that holds the candidate has nothing to defend. What
 * the report states is believed here; replaying it is the caller's part. */
bool report_answers(const char *dir, int64_t *seal, const struct wanted *wanted);

#endif
