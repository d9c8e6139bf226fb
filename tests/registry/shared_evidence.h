/* A version with everything that documents are made from: a run's manifest, a card, reports with
 * numbers, and names that try to break out of every format. */
#ifndef PAWL_TESTS_REGISTRY_SHARED_EVIDENCE_H
#define PAWL_TESTS_REGISTRY_SHARED_EVIDENCE_H

#include "registry/documents.h"
#include "tests/registry/shared_support.h"

/* A text of people with what each format could stumble over. */
#define EVIDENCE_HOSTILE "bar | quote \" less < amp & back \\ hash # colon: \xc3\xa9"

/* Adds a version of `model` (weights by seed) with run/1 facts and a card. */
enum code evidence_add(struct registry *registry, struct added *added, const char *dir,
                       const char *model, int seed, struct err *err);

/* Records a report/1 with numbers about it: `suite` names it, `value` is its accuracy. */
enum code evidence_report(struct registry *registry, const char *dir, const char *model,
                          int64_t number, const char *suite, const char *verdict, double value,
                          struct err *err);

/* The text of a document of the newest bundle of model@number, by the name of its file (the first
 * one); NULL when there is none. */
const struct bytes *evidence_file(struct support *support, const char *model, int64_t number,
                                  const char *file);

#endif
