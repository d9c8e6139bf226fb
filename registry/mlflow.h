/* Reading an MLflow file store (`mlruns/`), as MLflow 2.x writes it: experiments and their runs,
 * and registered models. Nothing is written, and nothing outside the folder is read.
 *
 *   EXPERIMENT/meta.yaml, EXPERIMENT/RUN/meta.yaml
 *   EXPERIMENT/RUN/params/KEY, tags/KEY        the value; KEY may have folders
 *   EXPERIMENT/RUN/metrics/KEY                 lines "TIME_MS VALUE STEP"
 *   EXPERIMENT/RUN/artifacts/...
 *   models/NAME/meta.yaml, models/NAME/version-N/meta.yaml
 *
 * The store comes from anywhere: a link, a name that leaves its folder, a file that is no regular
 * one or larger than its limit is refused, with its place and the reason, and never hides what is
 * sound beside it. */
#ifndef PAWL_REGISTRY_MLFLOW_H
#define PAWL_REGISTRY_MLFLOW_H

#include "base/json.h"

enum { MLFLOW_KEYS = 10000, MLFLOW_VALUE = 64 << 10, MLFLOW_METRIC = 16 << 20, MLFLOW_LEVELS = 8 };

/* *store is {runs, models, refused} (new reference).
 *   runs: {id, name, experiment, status, started, ended (RFC 3339 or ""), user, params {key: text},
 *     tags {key: text}, metrics {key: [[step, value | null], ...]}, damaged_lines,
 *     artifacts [{path, size}], dir}
 *   models: {name, versions: [{version, run_id, description, source, path}], aliases {name: version
 *     as text}}; `path` is the folder of the version's artifacts under `dir`, or null where the
 *     source lies elsewhere
 *   refused: {path, reason}
 * NOT_FOUND when `dir` is no folder, DAMAGED when it is no file store, IO. */
enum code mlflow_read(json_t **store, const char *dir, struct err *err);

#endif
