/* Taking a run, its files, and finding checkpoints in it. */
#include "trainer/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DOCUMENT_LIMIT = 16 << 20 };

enum code run_manifest(json_t **manifest, const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    const char *path = path_join(&arena, dir, "manifest.json");
    enum code code = json_read_checked(manifest, path, DOCUMENT_LIMIT, "run/1", err);
    if (code == NOT_FOUND) err_set(err, NOT_FOUND, "cannot find a run in '%s'", dir);
    arena_release(&arena);
    return code;
}

void run_release(struct run *run)
{
    run_log_close(&run->log);
    tensorboard_close(&run->board);
    json_decref(run->manifest);
    arena_release(&run->arena);
    memset(run, 0, sizeof *run);
}

enum code run_begin(struct run *run, const struct run_opening *opening, struct err *err)
{
    char name[32];
    snprintf(name, sizeof name, "log-%04d.jsonl", run->incarnation);
    TRY(run_log_open(&run->log, path_join(&run->arena, run->dir, name), err));
    struct err unused; /* the view is optional */
    tensorboard_open(&run->board, path_join(&run->arena, run->dir, "view"), run->incarnation,
                     &unused);
    json_t *record = json_pack("{s:s,s:I,s:s*,s:I,s:O*}", "kind", "begin", "resumed_step",
                               (json_int_t)opening->resumed_step, "checkpoint", opening->checkpoint,
                               "steps", (json_int_t)opening->steps, "schedule_end",
                               opening->schedule_end);
    return run_log_add(&run->log, record, err);
}

const char *run_checkpoint_path(struct run *run, int64_t step)
{
    return arena_format(&run->arena, "%s/checkpoints/step-%010lld-%04d", run->dir, (long long)step,
                        run->incarnation);
}

bool run_parse_checkpoint(const char *name, int64_t *step, int *incarnation)
{
    long long number;
    char again[64];
    if (sscanf(name, "step-%10lld-%9d", &number, incarnation) != 2) return false;
    *step = number;
    snprintf(again, sizeof again, "step-%010lld-%04d", number, *incarnation);
    return strcmp(again, name) == 0;
}

static int newest_first(const void *a, const void *b)
{
    int64_t left_step = 0, right_step = 0;
    int left = 0, right = 0;
    run_parse_checkpoint(*(char *const *)a, &left_step, &left);
    run_parse_checkpoint(*(char *const *)b, &right_step, &right);
    if (left != right) return left > right ? -1 : 1;
    return left_step > right_step ? -1 : left_step < right_step;
}

enum code run_checkpoints(struct arena *arena, char ***names, size_t *count, const char *dir,
                          struct err *err)
{
    *count = 0;
    const char *path = path_join(arena, dir, "checkpoints");
    if (!fs_is_dir(path)) {
        *names = ARENA_ARRAY(arena, 1, char *);
        return OK;
    }
    size_t total;
    TRY(fs_list(arena, names, &total, path, err));
    for (size_t i = 0; i < total; i++) {
        int64_t step;
        int incarnation;
        if (run_parse_checkpoint((*names)[i], &step, &incarnation))
            (*names)[(*count)++] = (*names)[i];
    }
    (*names)[*count] = NULL;
    qsort(*names, *count, sizeof **names, newest_first);
    return OK;
}

enum code run_best(struct arena *arena, const char **path, const char *dir, struct err *err)
{
    json_t *manifest, *records;
    TRY(run_manifest(&manifest, dir, err));
    json_decref(manifest);
    TRY(run_log_read_all(&records, dir, err));
    *path = NULL;
    for (size_t i = json_array_size(records); i-- > 0 && !*path;) {
        const json_t *record = json_array_get(records, i);
        const char *kind = json_string_value(json_object_get(record, "kind"));
        const char *name = json_string_value(json_object_get(record, "name"));
        if (!kind || strcmp(kind, "best") != 0 || !name) continue;
        const char *candidate = arena_format(arena, "%s/checkpoints/%s", dir, name);
        if (fs_is_dir(candidate)) *path = candidate;
    }
    json_decref(records);
    if (*path) return OK;
    char **names;
    size_t count;
    TRY(run_checkpoints(arena, &names, &count, dir, err));
    if (!count)
        return err_set(err, NOT_FOUND, "cannot use run '%s': it has no checkpoint yet", dir);
    *path = arena_format(arena, "%s/checkpoints/%s", dir, names[0]);
    return OK;
}

static void follow(struct run_progress *progress, const json_t *record)
{
    const char *kind = json_string_value(json_object_get(record, "kind"));
    const json_t *step = json_object_get(record, "step");
    if (!kind) return;
    if (json_is_integer(step)) progress->step = json_integer_value(step);
    if (strcmp(kind, "begin") == 0) {
        progress->finished = false;
        progress->step = json_integer_value(json_object_get(record, "resumed_step"));
        progress->steps = json_integer_value(json_object_get(record, "steps"));
        json_decref(progress->schedule_end);
        progress->schedule_end = json_incref(json_object_get(record, "schedule_end"));
    } else if (strcmp(kind, "end") == 0) {
        progress->finished = true;
    } else if (strcmp(kind, "validation") == 0) {
        json_decref(progress->metrics);
        progress->metrics = json_incref(json_object_get(record, "metrics"));
    }
}

enum code run_progress_read(struct run_progress *progress, const char *dir, struct err *err)
{
    json_t *records;
    *progress = (struct run_progress){ 0 };
    TRY(run_log_read_all(&records, dir, err));
    for (size_t i = 0; i < json_array_size(records); i++)
        follow(progress, json_array_get(records, i));
    json_decref(records);
    return OK;
}

void run_progress_release(struct run_progress *progress)
{
    json_decref(progress->schedule_end);
    json_decref(progress->metrics);
    *progress = (struct run_progress){ 0 };
}
