/* Proof that resuming changes nothing: one straight run, one that is killed again and again.
 *
 * Both are ordinary `pawl train` processes. The second gets SIGKILL after random steps and is
 * started again each time. Then weights, optimizer state, running statistics, position, metrics and
 * the loss of every step must be equal bit for bit. */
#ifndef PAWL_WORKFLOW_VERIFY_RESUME_H
#define PAWL_WORKFLOW_VERIFY_RESUME_H

#include "base/json.h"

struct verify_resume_opts {
    const char *experiment;                /* path */
    const char *const *set, *const *unset; /* overrides, NULL-terminated; or NULL */
    const char *device;                    /* or NULL */
    int ranks;                             /* of both runs; 0: alone */
    const char *dir; /* where the two runs go; emptied first, removed on success */
    int64_t kills;   /* at least 1 */
    uint64_t seed;   /* of the kill points */
    char **environment;
};

/* verify-resume/1 {steps, kills, compared, equal} (new reference). A difference is HOPELESS and
 * names the first thing that differs; the runs are kept then. A train process that fails otherwise
 * is reported with its exit code. */
enum code verify_resume(json_t **result, const struct verify_resume_opts *opts, struct err *err);

#endif
