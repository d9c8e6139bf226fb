/* What an MLflow file store knows, taken over: its runs as run records, its registered models as
 * versions.
 *
 * A run record is a folder with manifest.json (run/1) and a log, as `pawl runs` reads them; it
 * cannot be resumed. A registered version becomes a version where its artifacts are a model of pawl
 * (model.json with model.safetensors, or a checkpoint); anything else (pickles, weights without a
 * description) is foreign: it is named in the record of its run with its size, and not taken in,
 * since nobody here could run or check it. Taking the same store over again changes nothing. */
#ifndef PAWL_WORKFLOW_IMPORT_MLFLOW_H
#define PAWL_WORKFLOW_IMPORT_MLFLOW_H

#include "registry/registry.h"

struct mlflow_request {
    const char *dir;  /* mlruns */
    const char *runs; /* the folder for run records */
    const char *actor;
};

/* *result is mlflow/1 {runs: [{id, name, record, existed}], versions: [{model, version, added |
 * null, existed, note}], refused: [{path, reason}]} (new reference; also with DAMAGED). Without a
 * `registry` (NULL) runs alone are taken over. NOT_FOUND, IO; DAMAGED when something was refused,
 * after all else was taken over. */
enum code import_mlflow(json_t **result, struct registry *registry,
                        const struct mlflow_request *request, struct err *err);

#endif
