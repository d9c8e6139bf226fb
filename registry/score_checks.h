/* The checks behind the rows of the ML Test Score. For score.c.
 *
 * Each looks for one thing; where it is there it writes what it saw into `out` and gives true. */
#ifndef PAWL_REGISTRY_SCORE_CHECKS_H
#define PAWL_REGISTRY_SCORE_CHECKS_H

#include "registry/score.h"

typedef bool (*score_check)(const struct score_evidence *evidence, char out[SCORE_EVIDENCE]);

/* The check of a test ("D1"); NULL where nothing that pawl records shows that one. */
score_check score_check_of(const char *test);

#endif
