/* One run and one registered model of an MLflow file store. */
#include "registry/mlflow_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const statuses[] = {
    "", "running", "scheduled", "finished", "failed", "killed"
};

/* Milliseconds since the epoch as RFC 3339; "" for what is none. */
static const char *time_text(struct arena *arena, const char *text)
{
    char *end;
    struct tm parts;
    long long ms = strtoll(text, &end, 10);
    time_t seconds = (time_t)(ms / 1000);
    if (!*text || *end || ms < 0 || ms > 253402300799999LL || !gmtime_r(&seconds, &parts))
        return "";
    return arena_format(arena, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900,
                        parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

static void take_value(struct mlflow_reading *reading, json_t *into, const char *name,
                       const char *path)
{
    struct bytes bytes;
    if (!mlflow_file(reading, &bytes, path, MLFLOW_VALUE)) return;
    json_t *text = json_stringn(bytes.at, bytes.len);
    if (text)
        json_object_set_new(into, name, text);
    else
        mlflow_refuse(reading, path, "it is not UTF-8 text");
}

/* "TIME VALUE STEP"; older stores leave the step out. */
static bool read_point(json_t *points, const char *line)
{
    char *end;
    strtoll(line, &end, 10);
    if (end == line || *end != ' ') return false;
    const char *at = end + 1;
    double value = strtod(at, &end);
    if (end == at || (*end && *end != ' ')) return false;
    long long step = 0;
    if (*end == ' ') {
        at = end + 1;
        step = strtoll(at, &end, 10);
        if (end == at || *end) return false;
    }
    json_array_append_new(points, json_pack("[Io]", (json_int_t)step,
                                            isfinite(value) ? json_real(value) : json_null()));
    return true;
}

/* A line that is damaged costs itself alone. */
static void take_metric(struct mlflow_reading *reading, json_t *into, const char *name,
                        const char *path)
{
    struct bytes bytes;
    int64_t damaged = json_integer_value(json_object_get(into, "damaged_lines"));
    if (!mlflow_file(reading, &bytes, path, MLFLOW_METRIC)) return;
    json_t *points = json_array();
    char *text = arena_copy_len(&reading->arena, bytes.at, bytes.len), *line = text, *end;
    for (; line < text + bytes.len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + bytes.len - line));
        if (!end) end = text + bytes.len;
        *end = '\0';
        if (*line && !read_point(points, line)) damaged++;
    }
    json_object_set_new(json_object_get(into, "metrics"), name, points);
    json_object_set_new(into, "damaged_lines", json_integer(damaged));
}

static void take_artifact(struct mlflow_reading *reading, json_t *into, const char *name,
                          const char *path)
{
    struct stat info;
    (void)reading;
    if (fs_stat(path, &info, NULL)) return;
    json_array_append_new(into,
                          json_pack("{ss sI}", "path", name, "size", (json_int_t)info.st_size));
}

static json_t *values_of(struct mlflow_reading *reading, const char *folder, const char *what)
{
    json_t *json = json_object();
    mlflow_walk(reading, json, path_join(&reading->arena, folder, what), take_value);
    return json;
}

/* Ids name folders: letters and digits only. */
static bool is_id(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len <= 64 &&
           strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") == len;
}

void mlflow_run(struct mlflow_reading *reading, const char *folder, const char *experiment)
{
    struct arena *arena = &reading->arena;
    const struct node *meta = mlflow_meta(reading, folder);
    if (!meta) {
        mlflow_refuse(reading, folder, "it has no readable meta.yaml");
        return;
    }
    const char *id = mlflow_text(meta, "run_id"), *status = mlflow_text(meta, "status");
    if (!is_id(id) || strcmp(id, path_base(folder)) != 0) {
        mlflow_refuse(reading, folder, "its run_id is not its folder's name");
        return;
    }
    long code = strtol(status, NULL, 10);
    const char *word = code > 0 && code < (long)(sizeof statuses / sizeof *statuses)
                           ? statuses[code]
                           : "unknown";
    json_t *run = json_pack("{ss ss ss ss ss ss ss ss s{} sI}", "id", id, "name",
                            mlflow_text(meta, "run_name"), "experiment", experiment, "status", word,
                            "started", time_text(arena, mlflow_text(meta, "start_time")), "ended",
                            time_text(arena, mlflow_text(meta, "end_time")), "user",
                            mlflow_text(meta, "user_id"), "dir", folder, "metrics", "damaged_lines",
                            (json_int_t)0);
    if (!run) {
        mlflow_refuse(reading, folder, "its meta.yaml is not UTF-8 text");
        return;
    }
    json_object_set_new(run, "params", values_of(reading, folder, "params"));
    json_object_set_new(run, "tags", values_of(reading, folder, "tags"));
    mlflow_walk(reading, run, path_join(arena, folder, "metrics"), take_metric);
    json_t *artifacts = json_array();
    json_object_set_new(run, "artifacts", artifacts);
    mlflow_walk(reading, artifacts, path_join(arena, folder, "artifacts"), take_artifact);
    json_array_append_new(reading->runs, run);
}

/* A path below the artifacts: plain names with single slashes between them. */
static bool is_plain(const char *path)
{
    for (const char *at = path; *at;) {
        size_t len = strcspn(at, "/");
        if (len == 0 || at[0] == '.') return false;
        at += len;
        if (*at == '/' && !*++at) return false;
    }
    return true;
}

/* The part of a source behind the run's artifacts: "runs:/RUN/model", ".../RUN/artifacts/model". */
static const char *behind_artifacts(struct arena *arena, const char *source, const char *run)
{
    const char *start = arena_format(arena, "runs:/%s/", run);
    if (strncmp(source, start, strlen(start)) == 0) return source + strlen(start);
    const char *middle = arena_format(arena, "/%s/artifacts/", run);
    const char *at = strstr(source, middle);
    return at ? at + strlen(middle) : NULL;
}

static const char *dir_of_run(const struct mlflow_reading *reading, const char *id)
{
    size_t i;
    json_t *run;
    json_array_foreach(reading->runs, i, run)
    {
        if (strcmp(json_string_value(json_object_get(run, "id")), id) == 0)
            return json_string_value(json_object_get(run, "dir"));
    }
    return NULL;
}

/* Where a version's files lie: below its run in this store and nowhere else, no link on the way. */
static const char *place_of(struct mlflow_reading *reading, const char *source, const char *run)
{
    struct arena *arena = &reading->arena;
    const char *dir = is_id(run) ? dir_of_run(reading, run) : NULL;
    const char *rest = dir ? behind_artifacts(arena, source, run) : NULL;
    if (!rest || !*rest || !is_plain(rest)) return NULL;
    const char *path = path_join(arena, dir, "artifacts");
    for (char *part = arena_copy(arena, rest), *next; part; part = next) {
        struct stat info;
        next = strchr(part, '/');
        if (next) *next++ = '\0';
        path = path_join(arena, path, part);
        if (fs_stat(path, &info, NULL) || !S_ISDIR(info.st_mode)) return NULL;
    }
    return path;
}

static void read_version(struct mlflow_reading *reading, json_t *versions, const char *folder)
{
    const struct node *meta = mlflow_meta(reading, folder);
    char *end;
    if (!meta) {
        mlflow_refuse(reading, folder, "it has no readable meta.yaml");
        return;
    }
    const char *text = mlflow_text(meta, "version"), *run = mlflow_text(meta, "run_id");
    long long number = strtoll(text, &end, 10);
    const char *source = mlflow_text(meta, "source");
    const char *path = place_of(reading, source, run);
    json_t *json = json_pack("{sI ss ss ss ss?}", "version", (json_int_t)number, "run_id", run,
                             "description", mlflow_text(meta, "description"), "source", source,
                             "path", path);
    if (json && *text && !*end && number > 0) {
        json_array_append_new(versions, json);
    } else {
        json_decref(json);
        mlflow_refuse(reading, folder, "its meta.yaml states no version");
    }
}

static int by_version(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    json_int_t left = json_integer_value(json_object_get(*x, "version"));
    json_int_t right = json_integer_value(json_object_get(*y, "version"));
    return (left > right) - (left < right);
}

/* Versions in the order of their numbers, so that they keep it. */
static json_t *sorted(struct arena *arena, json_t *versions)
{
    size_t count = json_array_size(versions);
    json_t **rows = ARENA_ARRAY(arena, count, json_t *), *list = json_array();
    for (size_t i = 0; i < count; i++) rows[i] = json_array_get(versions, i);
    qsort(rows, count, sizeof *rows, by_version);
    for (size_t i = 0; i < count; i++) json_array_append(list, rows[i]);
    json_decref(versions);
    return list;
}

void mlflow_model(struct mlflow_reading *reading, const char *folder)
{
    const struct node *meta = mlflow_meta(reading, folder);
    json_t *versions = json_array();
    if (!meta || !*mlflow_text(meta, "name")) {
        mlflow_refuse(reading, folder, "it has no readable meta.yaml");
        json_decref(versions);
        return;
    }
    for (char **name = mlflow_names(reading, folder); *name; name++)
        if (strncmp(*name, "version-", 8) == 0)
            read_version(reading, versions, path_join(&reading->arena, folder, *name));
    json_array_append_new(reading->models,
                          json_pack("{ss so so}", "name", mlflow_text(meta, "name"), "aliases",
                                    values_of(reading, folder, "aliases"), "versions",
                                    sorted(&reading->arena, versions)));
}
