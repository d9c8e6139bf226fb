/* pawl score: the ML Test Score of whatever a REF means. */
#ifndef PAWL_WORKFLOW_SCORE_H
#define PAWL_WORKFLOW_SCORE_H

#include "registry/score.h"

/* scored/1 of a version (`registry` is its registry's directory) or of a run, whose reports and
 * channels nobody knows. `card` is card/1 or NULL. Fails as ref_open. */
enum code score_ref(json_t **scored, const char *ref, const char *registry, const json_t *card,
                    struct err *err);

#endif
