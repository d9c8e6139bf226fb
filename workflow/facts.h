/* What the registry knows that a decision rests on: how many models were looked at on the same
 * rows, and what earlier versions of a channel reached. Both come from the journal and from
 * reports that it records, and go into the report's inputs, so that a replay needs no registry. */
#ifndef PAWL_WORKFLOW_FACTS_H
#define PAWL_WORKFLOW_FACTS_H

#include "eval/suite.h"
#include "registry/registry.h"

/* The values that each trend of the suite looks back at: {gate id: [{version, value}, ...]}, oldest
 * first. A version counts once, by the newest recorded report on the same rows that has the value;
 * `candidate` (a model digest) is left out. *history is NULL when the suite has no trends, else a
 * new reference. A channel that nobody moved yet has no values. USAGE without a registry,
 * NOT_FOUND for an unknown model, DAMAGED. */
enum code facts_history(json_t **history, const struct suite *suite, const char *registry,
                        const struct digest *data, const struct digest *candidate, struct err *err);

#endif
