/* Searching versions: 'accuracy > 0.92 and channel = production'.
 *
 *   expression   alternative { "or" alternative }
 *   alternative  part { "and" part }
 *   part         "not" part | "(" expression ")" | FIELD operator value
 *   operator     =  !=  <  <=  >  >=  ~ (contains)
 *   value        a number, a word, or text in '' or ""
 *
 * A FIELD is one of find_fields, a metric of the newest report (accuracy), or what is known of the
 * making by its path or the end of its path (seed, config.train.batch, batch). A version without
 * the field matches no comparison with it. `channel` is each channel that holds the version: = asks
 * whether one of them is, != whether none is. */
#ifndef PAWL_REGISTRY_FIND_H
#define PAWL_REGISTRY_FIND_H

#include "registry/registry.h"

/* The fields that every version has, NULL-terminated. */
extern const char *const find_fields[];

/* *found is find/1 {versions}: rows as in list/1, each with `values`, what it has of the fields
 * that were asked about. USAGE says what is wrong with the expression, where, and what is near. */
enum code registry_find(struct registry *registry, json_t **found, const char *expression,
                        struct err *err);

#endif
