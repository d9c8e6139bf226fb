/* What the parts of mlflow_read share. For files of this room. */
#ifndef PAWL_REGISTRY_MLFLOW_INTERNAL_H
#define PAWL_REGISTRY_MLFLOW_INTERNAL_H

#include "base/arena.h"
#include "base/yaml.h"
#include "registry/mlflow.h"

struct mlflow_reading {
    struct arena arena;
    const char *dir;
    json_t *runs, *models, *refused;
};

/* Remembers what was not read, and why. */
void mlflow_refuse(struct mlflow_reading *reading, const char *path, const char *reason);

/* The names in a folder without those that begin with a dot; none where there is no such folder, or
 * it is a link or no folder (then refused). */
char **mlflow_names(struct mlflow_reading *reading, const char *dir);

/* Reads a regular file of at most `limit` bytes; false where it is refused. */
bool mlflow_file(struct mlflow_reading *reading, struct bytes *bytes, const char *path,
                 size_t limit);

/* Reads FOLDER/meta.yaml; NULL where there is none or it is refused. */
const struct node *mlflow_meta(struct mlflow_reading *reading, const char *folder);
/* A scalar of it; "" where there is none. */
const char *mlflow_text(const struct node *meta, const char *key);

/* Calls `take` with each regular file below a folder, named by its path there ("val/loss"). */
typedef void (*mlflow_take)(struct mlflow_reading *reading, json_t *into, const char *name,
                            const char *path);
void mlflow_walk(struct mlflow_reading *reading, json_t *into, const char *dir, mlflow_take take);

/* Appends one run, one registered model. */
void mlflow_run(struct mlflow_reading *reading, const char *folder, const char *experiment);
void mlflow_model(struct mlflow_reading *reading, const char *folder);

#endif
