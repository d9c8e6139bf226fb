/* From an MLflow file store to run records and versions. */
#include "workflow/import_mlflow.h"

#include "registry/documents.h"
#include "registry/mlflow.h"
#include "trainer/log.h"
#include "trainer/run.h"
#include "workflow/add.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FACTS_ROOM = 48 << 10 };

struct import {
    const struct mlflow_request *request;
    struct registry *registry;
    struct arena arena;
    json_t *store, *runs, *versions, *refused;
};

/* Other people's names in the alphabet of ours. */
static const char *plain_name(struct arena *arena, const char *name)
{
    char *out = arena_copy_len(arena, name, strnlen(name, NAME_LIMIT - 10));
    for (char *c = out; *c; c++) {
        *c = (char)tolower((unsigned char)*c);
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789._-", *c)) *c = '-';
    }
    if (!isalnum((unsigned char)*out)) return arena_format(arena, "m%s", out);
    return out;
}

struct point {
    json_int_t step;
    const char *metric;
    json_t *value;
};

static int by_step(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->step != y->step) return x->step < y->step ? -1 : 1;
    return strcmp(x->metric, y->metric);
}

static struct point *points_of(struct arena *arena, size_t *count, const json_t *metrics)
{
    const char *name;
    json_t *list, *point;
    size_t i, total = 0;
    json_object_foreach((json_t *)(uintptr_t)metrics, name, list) total += json_array_size(list);
    struct point *points = ARENA_ARRAY(arena, total, struct point);
    *count = 0;
    json_object_foreach((json_t *)(uintptr_t)metrics, name, list) json_array_foreach(list, i, point)
        points[(*count)++] = (struct point){ json_integer_value(json_array_get(point, 0)), name,
                                             json_array_get(point, 1) };
    qsort(points, total, sizeof *points, by_step);
    return points;
}

/* One record per step, then the end. */
static enum code write_log(struct arena *arena, const char *path, const json_t *run,
                           struct err *err)
{
    struct run_log log = { 0 };
    size_t count;
    struct point *points = points_of(arena, &count, json_object_get(run, "metrics"));
    json_int_t last = count ? points[count - 1].step : 0;
    TRY(run_log_open(&log, path, err));
    enum code code = run_log_add(
        &log,
        json_pack("{ss sI sI}", "kind", "begin", "resumed_step", (json_int_t)0, "steps", last),
        err);
    for (size_t i = 0; !code && i < count;) {
        json_t *metrics = json_object();
        json_int_t step = points[i].step;
        for (; i < count && points[i].step == step; i++)
            json_object_set(metrics, points[i].metric, points[i].value);
        code = run_log_add(
            &log, json_pack("{ss sI so}", "kind", "validation", "step", step, "metrics", metrics),
            err);
    }
    bool finished = strcmp(member_text(run, "status"), "finished") == 0;
    if (!code)
        code = run_log_add(&log,
                           json_pack("{ss sI ss}", "kind", finished ? "end" : "stop", "step", last,
                                     "reason", finished ? "complete" : member_text(run, "status")),
                           err);
    run_log_close(&log);
    return code;
}

/* run/1 of what another program did: what it did not write down stays unsaid. */
static json_t *manifest_of(const char *name, const json_t *run)
{
    static const char *const kept[] = { "id",   "name", "experiment", "status",
                                        "user", "tags", "artifacts",  "damaged_lines" };
    json_t *config = json_pack("{sO}", "params", json_object_get(run, "params"));
    json_t *mlflow = json_object();
    char digest[DIGEST_TEXT];
    struct digest config_digest = json_digest(config);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        json_object_set(mlflow, kept[i], json_object_get(run, kept[i]));
    json_object_set(mlflow, "ended", json_object_get(run, "ended"));
    return json_pack("{ss ss so ss ss sO so s{} s{} sI}", "pawl", "run/1", "name", name, "config",
                     config, "config_digest", digest_text(&config_digest, digest), "source",
                     "MLflow", "started", json_object_get(run, "started"), "mlflow", mlflow, "data",
                     "device", "seed", (json_int_t)0);
}

/* The folder is renamed into place when all is durable. */
static enum code write_record(struct import *import, const char *path, const char *name,
                              const json_t *run, struct err *err)
{
    char temporary[1100];
    json_t *manifest = manifest_of(name, run);
    fs_temporary_name(temporary, sizeof temporary, path);
    enum code code = fs_mkdirs(temporary, err);
    if (!code)
        code = json_publish_checked(manifest, path_join(&import->arena, temporary, "manifest.json"),
                                    err);
    if (!code)
        code = write_log(&import->arena, path_join(&import->arena, temporary, "log-0001.jsonl"),
                         run, err);
    if (!code) code = fs_sync_dir(temporary, err);
    if (!code) code = fs_publish_dir(temporary, path, err);
    if (code) fs_remove_tree(temporary, NULL);
    json_decref(manifest);
    return code;
}

/* Whether the record there is of this run. */
static bool is_record_of(const char *path, const char *id)
{
    json_t *manifest = NULL;
    bool is = run_manifest(&manifest, path, NULL) == OK &&
              strcmp(member_text(json_object_get(manifest, "mlflow"), "id"), id) == 0;
    json_decref(manifest);
    return is;
}

static void refuse(struct import *import, const char *path, const char *reason)
{
    json_array_append_new(import->refused, json_pack("{ss ss}", "path", path, "reason", reason));
}

static enum code take_run(struct import *import, const json_t *run, struct err *err)
{
    struct arena *arena = &import->arena;
    const char *id = member_text(run, "id"), *own = member_text(run, "name");
    const char *name = arena_format(arena, "%.40s-%.8s", plain_name(arena, *own ? own : "run"), id);
    const char *path = path_join(arena, import->request->runs, name);
    bool existed = fs_exists(path);
    if (existed && !is_record_of(path, id)) {
        refuse(import, path, "another run has this place");
        return OK;
    }
    if (!existed) TRY(write_record(import, path, name, run, err));
    json_array_append_new(import->runs, json_pack("{ss ss ss sb}", "id", id, "name", name, "record",
                                                  path, "existed", (int)existed));
    return OK;
}

static const json_t *run_of_id(const struct import *import, const char *id)
{
    size_t i;
    json_t *run;
    json_array_foreach(json_object_get(import->store, "runs"), i, run)
    {
        if (strcmp(member_text(run, "id"), id) == 0) return run;
    }
    return NULL;
}

/* What the entry says of a version's making; large parts are left to the run's record. */
static json_t *facts_of(const json_t *model, const json_t *version, const json_t *run)
{
    struct arena arena = { 0 };
    size_t len;
    json_t *facts = json_pack(
        "{ss ss* sO* s{ss sO sO sO sO}}", "source", "MLflow", "name", member_text(run, "name"),
        "started", json_object_get(run, "started"), "mlflow", "model", member_text(model, "name"),
        "version", json_object_get(version, "version"), "run_id",
        json_object_get(version, "run_id"), "description", json_object_get(version, "description"),
        "aliases", json_object_get(model, "aliases"));
    json_t *params = json_object_get(run, "params");
    if (params) json_object_set(json_object_get(facts, "mlflow"), "params", params);
    json_canonical(&arena, facts, &len);
    if (len > FACTS_ROOM) json_object_del(json_object_get(facts, "mlflow"), "params");
    arena_release(&arena);
    return facts;
}

/* Why a version's files are not taken in; NULL where they are a model of ours without links. */
static const char *foreign(struct import *import, const char *path)
{
    static const char *const files[] = { "model.json",   "model.safetensors", "profile.json",
                                         "sample.h5",    "bundle.json",       "state.h5",
                                         "trainer.json", "manifest.json" };
    struct arena *arena = &import->arena;
    if (!path) return "its files are not in this store";
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct stat info;
        if (!fs_stat(path_join(arena, path, files[i]), &info, NULL) && !S_ISREG(info.st_mode))
            return "a file of it is a link or no regular file";
    }
    if (fs_exists(path_join(arena, path, "model.json")) &&
        (fs_exists(path_join(arena, path, "model.safetensors")) ||
         fs_exists(path_join(arena, path, "state.h5"))))
        return NULL;
    if (fs_exists(path_join(arena, path, "model.safetensors")))
        return "foreign: its weights have no model.json, so nobody here could run them";
    return "foreign: neither model.json with model.safetensors nor a checkpoint";
}

static void say(struct import *import, const json_t *model, const json_t *version,
                const char *added, bool existed, const char *note)
{
    json_array_append_new(import->versions,
                          json_pack("{ss sO ss? sb ss?}", "model", member_text(model, "name"),
                                    "version", json_object_get(version, "version"), "added", added,
                                    "existed", (int)existed, "note", note));
}

static enum code take_version(struct import *import, const json_t *model, const char *name,
                              const json_t *version, struct err *err)
{
    struct arena *arena = &import->arena;
    const char *path = json_string_value(json_object_get(version, "path"));
    const char *why = foreign(import, path);
    struct added added;
    if (why) {
        say(import, model, version, NULL, false, why);
        return OK;
    }
    json_t *facts = facts_of(model, version, run_of_id(import, member_text(version, "run_id")));
    struct add_request request = {
        .source = path, .name = name, .facts = facts, .actor = import->request->actor
    };
    request.reason = arena_format(
        arena, "from MLflow: %.60s version %lld", member_text(model, "name"),
        (long long)json_integer_value(json_object_get(version, "version")));
    enum code code = add_run(import->registry, &added, &request, err);
    json_decref(facts);
    if (code == DAMAGED || code == CONFIG || code == HOPELESS || code == USAGE) {
        refuse(import, path, err->message); /* it costs itself alone */
        return OK;
    }
    if (code) return code;
    say(import, model, version, arena_format(arena, "%s@%lld", name, (long long)added.number),
        added.existed, NULL);
    return OK;
}

/* Two names that are one in our alphabet would be mixed up. */
static const char *name_of_model(struct import *import, const json_t *model)
{
    struct arena *arena = &import->arena;
    const char *name = plain_name(arena, member_text(model, "name"));
    size_t i;
    json_t *other;
    json_array_foreach(json_object_get(import->store, "models"), i, other)
    {
        if (other == model) return name;
        if (strcmp(plain_name(arena, member_text(other, "name")), name) == 0) break;
    }
    refuse(import, member_text(model, "name"), "another model has this name in our alphabet");
    return NULL;
}

static enum code take_all(struct import *import, struct err *err)
{
    size_t i, v;
    json_t *run, *model, *version;
    TRY(fs_mkdirs(import->request->runs, err));
    json_array_foreach(json_object_get(import->store, "runs"), i, run)
        TRY(take_run(import, run, err));
    if (!import->registry) return OK;
    json_array_foreach(json_object_get(import->store, "models"), i, model)
    {
        const char *name = name_of_model(import, model);
        if (!name) continue;
        json_array_foreach(json_object_get(model, "versions"), v, version)
            TRY(take_version(import, model, name, version, err));
    }
    return OK;
}

enum code import_mlflow(json_t **result, struct registry *registry,
                        const struct mlflow_request *request, struct err *err)
{
    struct import import = { .request = request, .registry = registry };
    *result = NULL;
    TRY(mlflow_read(&import.store, request->dir, err));
    import.runs = json_array();
    import.versions = json_array();
    import.refused = json_object_get(import.store, "refused");
    enum code code = take_all(&import, err);
    size_t refused = json_array_size(import.refused);
    if (!code || refused)
        *result = json_pack("{ss sO sO sO}", "pawl", "mlflow/1", "runs", import.runs, "versions",
                            import.versions, "refused", import.refused);
    if (!code && refused)
        code = err_set(err, DAMAGED,
                       "'%s' holds %zu thing%s that %s refused; the rest was taken "
                       "over",
                       request->dir, refused, refused == 1 ? "" : "s",
                       refused == 1 ? "was" : "were");
    json_decref(import.runs);
    json_decref(import.versions);
    json_decref(import.store);
    arena_release(&import.arena);
    return code;
}
