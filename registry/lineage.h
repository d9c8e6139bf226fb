/* Where versions come from and where they went: data → run → version → reports → channels. */
#ifndef PAWL_REGISTRY_LINEAGE_H
#define PAWL_REGISTRY_LINEAGE_H

#include "registry/registry.h"

/* Follows a REF, or any digest that an entry names (of data, a configuration, a program, a model,
 * a version, a report, a suite), both ways. *lineage is lineage/1 {subject, versions}: each version
 * with `named_as` (the members of its entry that hold the digest), `made_from` (what its run says
 * of configuration, data, program, parent), `reports`, and `channels` with the entries between
 * which each held it. NOT_FOUND when nothing names it; USAGE for neither a REF nor a digest. */
enum code registry_lineage(struct registry *registry, json_t **lineage, const char *subject,
                           struct err *err);

/* What differs between two versions. *diff is diff/1 {a, b, changes, files}: changes are {part,
 * path, a, b} for each leaf of the facts (parts config, data, code, run), of model.json (part
 * model) and of the metrics of the newest reports (part metrics) that is not equal, null where one
 * has none; files are {name, same}. */
enum code registry_diff(struct registry *registry, json_t **diff, const char *ref_a,
                        const char *ref_b, struct err *err);

#endif
