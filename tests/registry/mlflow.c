/* Reading an MLflow file store: what MLflow 2.x writes is understood; what leaves the folder, is
 * too large or is no file is refused by name and hides nothing beside it. */
#include "registry/mlflow.h"
#include "registry/documents.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN "418ed2f217704925b43d4a4d5e3dabe9"
#define EXP "638952288569093021"

struct fixture {
    char dir[64];
    struct arena arena;
    struct err err;
};

static const char *in(struct fixture *f, const char *name)
{
    return arena_format(&f->arena, "%s/%s", f->dir, name);
}

static void put(struct fixture *f, const char *name, const char *text)
{
    const char *path = in(f, name);
    cr_assert_eq(fs_mkdirs(path_dir(&f->arena, path), &f->err), OK, "%s", f->err.message);
    cr_assert_eq(fs_publish_view(path, text, strlen(text), &f->err), OK, "%s", f->err.message);
}

/* One experiment with one run, and one registered model, as MLflow 2.22 writes them. */
static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/pawl-mlflow-XXXXXX");
    cr_assert(mkdtemp(f->dir));
    put(f, EXP "/meta.yaml",
        "artifact_location: file:///somewhere/mlruns/" EXP "\ncreation_time: 1795571379956\n"
        "experiment_id: '" EXP "'\nlast_update_time: 1795571379956\nlifecycle_stage: active\n"
        "name: Cloth sorting\n");
    put(f, EXP "/" RUN "/meta.yaml",
        "artifact_uri: file:///somewhere/mlruns/" EXP "/" RUN "/artifacts\n"
        "end_time: 1795571380011\nentry_point_name: ''\nexperiment_id: '" EXP "'\n"
        "lifecycle_stage: active\nrun_id: " RUN "\nrun_name: first try\nrun_uuid: " RUN "\n"
        "source_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: 1795571379956\n"
        "status: 3\ntags: []\nuser_id: ana\n");
    put(f, EXP "/" RUN "/params/lr", "0.01");
    put(f, EXP "/" RUN "/params/layer/units", "128");
    put(f, EXP "/" RUN "/tags/mlflow.runName", "first try");
    put(f, EXP "/" RUN "/metrics/accuracy",
        "1795571379981 0.5 0\n1795571379982 0.75 1\n1795571379995 nan 2\n179557");
    put(f, EXP "/" RUN "/metrics/val/loss", "1795571379995 0.25 2\n1795571379995 x 2\n");
    put(f, EXP "/" RUN "/artifacts/model/model.json", "{}");
    put(f, "models/Cloth Sorter/meta.yaml",
        "aliases:\n  champion: '1'\ncreation_timestamp: 1795571380016\ndescription: sorts\n"
        "last_updated_timestamp: 1795571380055\nname: Cloth Sorter\n");
    put(f, "models/Cloth Sorter/aliases/champion", "1");
}

static void version(struct fixture *f, int number, const char *source, const char *run)
{
    put(f, arena_format(&f->arena, "models/Cloth Sorter/version-%d/meta.yaml", number),
        arena_format(&f->arena,
                     "aliases: []\ncreation_timestamp: 1795571380034\ncurrent_stage: None\n"
                     "description: good one\nname: Cloth Sorter\nrun_id: %s\nrun_link: null\n"
                     "source: %s\nstatus: READY\nstatus_message: null\nversion: %d\n",
                     run, source, number));
}

static void end(struct fixture *f)
{
    fs_remove_tree(f->dir, NULL);
    arena_release(&f->arena);
}

Test(mlflow, what_mlflow_writes_is_understood)
{
    struct fixture f;
    json_t *store;
    begin(&f);
    version(&f, 10, "runs:/" RUN "/model", RUN);
    version(&f, 9, "file:///elsewhere/mlruns/" EXP "/" RUN "/artifacts/model", RUN);
    cr_assert_eq(mlflow_read(&store, f.dir, &f.err), OK, "%s", f.err.message);
    cr_expect_eq(json_array_size(json_object_get(store, "refused")), 0);
    const json_t *run = json_array_get(json_object_get(store, "runs"), 0);
    cr_expect_str_eq(member_text(run, "experiment"), "Cloth sorting");
    cr_expect_str_eq(member_text(run, "started"), "2026-11-25T01:49:39Z");
    cr_expect_str_eq(member_text(run, "status"), "finished");
    cr_expect_str_eq(member_text(json_object_get(run, "params"), "layer/units"), "128");
    const json_t *metrics = json_object_get(run, "metrics");
    cr_expect_eq(json_array_size(json_object_get(metrics, "accuracy")), 3);
    cr_expect(
        json_is_null(json_array_get(json_array_get(json_object_get(metrics, "accuracy"), 2), 1)));
    cr_expect_eq(json_array_size(json_object_get(metrics, "val/loss")), 1);
    cr_expect_eq(json_integer_value(json_object_get(run, "damaged_lines")), 2);
    const json_t *model = json_array_get(json_object_get(store, "models"), 0);
    const json_t *versions = json_object_get(model, "versions");
    cr_assert_eq(json_array_size(versions), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *row = json_array_get(versions, i);
        cr_expect_eq(json_integer_value(json_object_get(row, "version")), (int)i + 9);
        cr_expect_str_eq(member_text(row, "path"), in(&f, EXP "/" RUN "/artifacts/model"));
    }
    cr_expect_str_eq(member_text(json_object_get(model, "aliases"), "champion"), "1");
    json_decref(store);
    end(&f);
}

/* Sources that lead elsewhere have no place here. */
Test(mlflow, a_source_outside_the_store_has_no_place_in_it)
{
    static const struct {
        const char *source, *run;
    } rows[] = {
        { "runs:/" RUN "/../../../../etc", RUN },
        { "runs:/" RUN "/model/..", RUN },
        { "runs:/" RUN "//model", RUN },
        { "runs:/" RUN "/.hidden", RUN },
        { "runs:/" RUN "/", RUN },
        { "/etc", RUN },
        { "s3://bucket/model", RUN },
        { "runs:/" RUN "/model", "../" RUN },
        { "runs:/" RUN "/model", "unknown" },
        { "runs:/" RUN "/link", RUN },
        { "runs:/" RUN "/model/model.json", RUN },
    };
    struct fixture f;
    json_t *store;
    size_t i;
    begin(&f);
    put(&f, "outside/model.json", "{}");
    cr_assert_eq(symlink(in(&f, "outside"), in(&f, EXP "/" RUN "/artifacts/link")), 0);
    for (i = 0; i < sizeof rows / sizeof *rows; i++)
        version(&f, (int)i + 1, rows[i].source, rows[i].run);
    cr_assert_eq(mlflow_read(&store, f.dir, &f.err), OK, "%s", f.err.message);
    const json_t *versions = json_object_get(json_array_get(json_object_get(store, "models"), 0),
                                             "versions");
    cr_assert_eq(json_array_size(versions), sizeof rows / sizeof *rows);
    for (i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_expect(json_is_null(json_object_get(json_array_get(versions, i), "path")), "%s",
                  rows[i].source);
    json_decref(store);
    end(&f);
}

static const struct {
    const char *script, *path; /* run in the store; what is refused */
} hostile[] = {
    { "ln -s /etc/passwd " EXP "/" RUN "/params/secret", "params/secret" },
    { "ln -s /etc " EXP "/" RUN "/tags/all", "tags/all" },
    { "mkfifo " EXP "/" RUN "/metrics/pipe", "metrics/pipe" },
    { "head -c 70000 /dev/zero | tr '\\0' a > " EXP "/" RUN "/params/large", "params/large" },
    { "printf '\\377\\376' > " EXP "/" RUN "/params/bytes", "params/bytes" },
    { "mkdir -p " EXP "/" RUN "/params/a/b/c/d/e/f/g/h/i && "
      "touch " EXP "/" RUN "/params/a/b/c/d/e/f/g/h/i/j",
      "params/a/b" },
    { "ln -s / " EXP "/root", EXP "/root" },
    { "cp -r " EXP "/" RUN " " EXP "/other", EXP "/other" },
    { "mkdir " EXP "/empty", EXP "/empty" },
    { "mkdir " EXP "/torn && printf 'run_id: [' > " EXP "/torn/meta.yaml", EXP "/torn" },
    { "mkdir " EXP "/bomb && printf 'a: &a [x]\\nb: *a\\n' > " EXP "/bomb/meta.yaml", EXP "/bomb" },
    { "mkdir models/none", "models/none" },
    { "rm -r models && ln -s /etc models", "models" },
    { "mkdir -p 'models/Cloth Sorter/version-x' && printf 'version: x\\n' > "
      "'models/Cloth Sorter/version-x/meta.yaml'",
      "version-x" },
};

Test(mlflow, hostile_things_are_refused_by_name_and_hide_nothing)
{
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        struct fixture f;
        json_t *store, *row;
        size_t r, found = 0;
        begin(&f);
        cr_assert_eq(system(arena_format(&f.arena, "cd %s && (%s)", f.dir, hostile[i].script)), 0);
        cr_assert_eq(mlflow_read(&store, f.dir, &f.err), OK, "%s: %s", hostile[i].script,
                     f.err.message);
        json_array_foreach(json_object_get(store, "refused"), r, row)
            found += strstr(member_text(row, "path"), hostile[i].path) != NULL;
        cr_expect_gt(found, 0, "%s: not refused", hostile[i].script);
        cr_expect_eq(json_array_size(json_object_get(store, "runs")), 1, "%s: the run is there",
                     hostile[i].script);
        const json_t *run = json_array_get(json_object_get(store, "runs"), 0);
        cr_expect_str_eq(member_text(json_object_get(run, "params"), "lr"), "0.01");
        json_decref(store);
        end(&f);
    }
}

Test(mlflow, other_folders_are_no_file_store)
{
    struct fixture f;
    json_t *store;
    begin(&f);
    cr_expect_eq(mlflow_read(&store, in(&f, "nowhere"), &f.err), NOT_FOUND);
    cr_expect_eq(mlflow_read(&store, in(&f, EXP "/" RUN "/artifacts"), &f.err), DAMAGED);
    end(&f);
}
