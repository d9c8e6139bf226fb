/* Walking an MLflow file store without following anything that leaves it. */
#include "registry/mlflow.h"

#include "base/utf8.h"
#include "registry/mlflow_internal.h"

#include <string.h>

void mlflow_refuse(struct mlflow_reading *reading, const char *path, const char *reason)
{
    char *shown = arena_copy(&reading->arena, path);
    char *why = arena_copy(&reading->arena, reason);
    utf8_make_printable(shown);
    utf8_make_printable(why);
    json_array_append_new(reading->refused, json_pack("{ss ss}", "path", shown, "reason", why));
}

char **mlflow_names(struct mlflow_reading *reading, const char *dir)
{
    static char *none[] = { NULL };
    struct stat info;
    struct err err;
    char **names;
    size_t count, kept = 0;
    enum code code = fs_stat(dir, &info, &err);
    if (code == NOT_FOUND) return none;
    if (code || !S_ISDIR(info.st_mode)) {
        mlflow_refuse(reading, dir, code ? err.message : "it is a link or no folder");
        return none;
    }
    if (fs_list(&reading->arena, &names, &count, dir, &err)) {
        mlflow_refuse(reading, dir, err.message);
        return none;
    }
    for (size_t i = 0; i < count; i++) {
        if (names[i][0] == '.') continue;
        if (utf8_valid(names[i], strlen(names[i])))
            names[kept++] = names[i];
        else
            mlflow_refuse(reading, path_join(&reading->arena, dir, names[i]),
                          "its name is not UTF-8");
    }
    names[kept] = NULL;
    return names;
}

bool mlflow_file(struct mlflow_reading *reading, struct bytes *bytes, const char *path,
                 size_t limit)
{
    struct stat info;
    struct err err;
    enum code code = fs_stat(path, &info, &err);
    if (!code && !S_ISREG(info.st_mode))
        code = err_set(&err, DAMAGED, "it is a link or no regular file");
    if (!code) code = fs_read(&reading->arena, bytes, path, limit, &err);
    if (code) mlflow_refuse(reading, path, err.message);
    return !code;
}

const struct node *mlflow_meta(struct mlflow_reading *reading, const char *folder)
{
    struct bytes bytes;
    struct node *root;
    struct err err;
    const char *path = path_join(&reading->arena, folder, "meta.yaml");
    if (!fs_exists(path) || !mlflow_file(reading, &bytes, path, YAML_BYTES)) return NULL;
    if (yaml_parse(&root, &reading->arena, bytes.at, bytes.len, path, &err)) {
        mlflow_refuse(reading, path, err.message);
        return NULL;
    }
    if (root->kind == NODE_MAP) return root;
    mlflow_refuse(reading, path, "it is no map");
    return NULL;
}

const char *mlflow_text(const struct node *meta, const char *key)
{
    const struct node *node = node_child(meta, key);
    bool null = node && node->text && !node->quoted && strcmp(node->text, "null") == 0;
    return node && node->text && !null ? node->text : "";
}

struct walking {
    struct mlflow_reading *reading;
    json_t *into;
    mlflow_take take;
    int files;
};

static void walk(struct walking *walking, const char *dir, const char *prefix, int level)
{
    struct mlflow_reading *reading = walking->reading;
    for (char **name = mlflow_names(reading, dir); *name; name++) {
        struct stat info;
        const char *path = path_join(&reading->arena, dir, *name);
        const char *key = *prefix ? arena_format(&reading->arena, "%s/%s", prefix, *name) : *name;
        if (fs_stat(path, &info, NULL)) continue;
        if (S_ISDIR(info.st_mode) && level < MLFLOW_LEVELS)
            walk(walking, path, key, level + 1);
        else if (S_ISDIR(info.st_mode))
            mlflow_refuse(reading, path, "it lies too deep");
        else if (!S_ISREG(info.st_mode))
            mlflow_refuse(reading, path, "it is a link or no regular file");
        else if (walking->files++ < MLFLOW_KEYS)
            walking->take(reading, walking->into, key, path);
        else if (walking->files == MLFLOW_KEYS + 1)
            mlflow_refuse(reading, dir, "it has too many files");
    }
}

void mlflow_walk(struct mlflow_reading *reading, json_t *into, const char *dir, mlflow_take take)
{
    struct walking walking = { reading, into, take, 0 };
    walk(&walking, dir, "", 1);
}

static void read_experiment(struct mlflow_reading *reading, const char *folder,
                            const struct node *meta)
{
    const char *name = mlflow_text(meta, "name");
    for (char **run = mlflow_names(reading, folder); *run; run++) {
        const char *path = path_join(&reading->arena, folder, *run);
        struct stat info;
        if (strcmp(*run, "meta.yaml") == 0 || strcmp(*run, "tags") == 0) continue;
        if (fs_stat(path, &info, NULL) || !S_ISDIR(info.st_mode))
            mlflow_refuse(reading, path, "it is a link or no folder");
        else
            mlflow_run(reading, path, name);
    }
}

/* Whether an experiment is there. */
static bool read_experiments(struct mlflow_reading *reading)
{
    bool any = false;
    for (char **name = mlflow_names(reading, reading->dir); *name; name++) {
        const char *path = path_join(&reading->arena, reading->dir, *name);
        struct stat info;
        if (strcmp(*name, "models") == 0 || fs_stat(path, &info, NULL)) continue;
        if (!S_ISDIR(info.st_mode)) {
            mlflow_refuse(reading, path, "it is a link or no folder");
            continue;
        }
        const struct node *meta = mlflow_meta(reading, path);
        if (!meta || !node_child(meta, "experiment_id")) continue;
        any = true;
        read_experiment(reading, path, meta);
    }
    return any;
}

/* Models come last: their versions name runs. */
static bool read_all(struct mlflow_reading *reading)
{
    bool any = read_experiments(reading);
    const char *models = path_join(&reading->arena, reading->dir, "models");
    for (char **model = mlflow_names(reading, models); *model; model++, any = true)
        mlflow_model(reading, path_join(&reading->arena, models, *model));
    return any;
}

enum code mlflow_read(json_t **store, const char *dir, struct err *err)
{
    struct mlflow_reading reading = {
        .dir = dir, .runs = json_array(), .models = json_array(), .refused = json_array()
    };
    enum code code = OK;
    *store = NULL;
    if (!fs_is_dir(dir))
        code = err_set(err, NOT_FOUND, "cannot read '%s': no such directory", dir);
    else if (!read_all(&reading) && !json_array_size(reading.refused))
        code = err_set(err, DAMAGED, "'%s' is no MLflow file store: no experiment is there", dir);
    if (!code)
        *store = json_pack("{sO sO sO}", "runs", reading.runs, "models", reading.models, "refused",
                           reading.refused);
    json_decref(reading.runs);
    json_decref(reading.models);
    json_decref(reading.refused);
    arena_release(&reading.arena);
    return code;
}
