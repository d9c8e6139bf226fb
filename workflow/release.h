/* The whole way: train, add, eval, promote, deploy. A step that was done before is skipped.
 *
 * Each step is what its own command does, on files; the chain can be stopped anywhere and started
 * again, and goes on from what is there. */
#ifndef PAWL_WORKFLOW_RELEASE_H
#define PAWL_WORKFLOW_RELEASE_H

#include "base/schema.h"
#include "trainer/train.h"

enum release_step { STEP_TRAIN, STEP_ADD, STEP_EVAL, STEP_PROMOTE, STEP_DEPLOY, STEP_COUNT };

/* The step of a name ("promote"); STEP_COUNT when there is none. */
enum release_step release_step(const char *name);
const char *release_step_name(enum release_step step);

struct release_request {
    const struct experiment *experiment;
    const struct train_opts *train;
    const char *registry; /* directory, or NULL */
    const char *reason;   /* NULL: "release of <configuration digest, 12 digits>" */
    const char *actor;
    const struct key *key; /* signs what the registry records; NULL: none */
    enum release_step to;  /* the last step to take; STEP_COUNT: as far as the experiment says */
    /* Called after each step with what it did: a line, whether it was skipped, and its digest. */
    void (*done)(void *context, enum release_step step, bool skipped, const char *text,
                 const char *digest);
    void *context;
};

struct released {
    char version[140]; /* "fashion@1" */
    char report[1100]; /* the report's directory */
    bool open;         /* the registry has no keys */
    json_t *steps;     /* list of {step, skipped, text, digest}; the caller decrefs */
};

/* Releases. Fails as the step that failed; a verdict that is not a pass ends the chain with its
 * code. With STEP_COUNT it ends after deploy, or after promote without deploy.path. Registry and
 * suite are looked at before training: where a step needs one that is missing or unsound, nothing
 * is started. CONFLICT when the channel moved after the candidate was judged. */
enum code release(struct released *released, const struct release_request *request,
                  struct problems *problems, struct err *err);

#endif
