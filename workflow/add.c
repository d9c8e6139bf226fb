/* From a run directory to a version. */
#include "workflow/add.h"

#include "base/rng.h"
#include "dataset/dataset.h"
#include "model/infer.h"
#include "registry/golden.h"
#include "trainer/run.h"

#include <stdio.h>
#include <string.h>

/* The first rows of a split as raw inputs. */
static bool rows_of_dataset(const char *path, const struct model_io *io, void *rows, int64_t count)
{
    struct dataset dataset;
    struct err unused;
    if (dataset_open(&dataset, path, &unused)) return false;
    const struct split *split = dataset_split(&dataset, "validate");
    if (!split) split = dataset_split(&dataset, "train");
    const struct column *column = split ? split_column(split, dataset.input) : NULL;
    size_t bytes = (size_t)shape_count(&io->input) * dtype_size(io->input_dtype);
    bool fits = column && column->row_bytes == bytes && split->rows >= (uint64_t)count &&
                !dataset_read(&dataset, column, 0, (uint64_t)count, rows, &unused);
    dataset_close(&dataset);
    return fits;
}

/* Rows that depend on nothing but their shape: bytes, or normal numbers. */
static void made_up_rows(const struct model_io *io, void *rows, int64_t count)
{
    int64_t numbers = count * shape_count(&io->input);
    for (int64_t i = 0; i < numbers; i++) {
        if (io->input_dtype == DTYPE_U8)
            ((uint8_t *)rows)[i] = (uint8_t)philox4x32(1, (uint64_t)i, 0).word[0];
        else
            ((float *)rows)[i] = (float)rng_normal(1, (uint64_t)i);
    }
}

/* The run that a checkpoint directory lies in, or NULL. */
static const char *run_of(struct arena *arena, const char *checkpoint)
{
    const char *folder = path_dir(arena, checkpoint);
    if (strcmp(path_base(folder), "checkpoints") != 0) return NULL;
    return path_dir(arena, folder);
}

/* Rows that the model is probed with later: a bundle keeps its own, so that the same bundle is the
 * same version again. */
static enum code find_rows(struct arena *arena, struct golden_sample *sample, void **rows,
                           const char *source, const json_t *manifest, struct err *err)
{
    struct model_io io;
    json_t *model = NULL;
    const char *own = path_join(arena, source, "sample.h5");
    TRY(json_read(&model, path_join(arena, source, "model.json"), 64 << 20, "model/1", err));
    enum code code = model_io_read(&io, model, err);
    sample->rows = GOLDEN_ROWS;
    if (!code && fs_exists(own)) {
        code = golden_inputs(rows, &sample->rows, own, model, err);
    } else if (!code) {
        size_t bytes = (size_t)shape_count(&io.input) * dtype_size(io.input_dtype);
        const json_t *data = json_object_get(json_object_get(manifest, "data"), "path");
        code = block_alloc(rows, GOLDEN_ROWS * bytes, "golden rows", err);
        if (!code && (!json_is_string(data) ||
                      !rows_of_dataset(json_string_value(data), &io, *rows, GOLDEN_ROWS)))
            made_up_rows(&io, *rows, GOLDEN_ROWS);
    }
    sample->input = *rows;
    json_decref(model);
    return code;
}

static enum code prepare(struct arena *arena, struct add_opts *opts, struct add_request *request,
                         void **rows, struct err *err)
{
    const char *source = request->source, *run = source;
    if (!fs_is_dir(source))
        return err_set(err, NOT_FOUND, "cannot add '%s': no such directory", source);
    opts->checkpoint = source;
    if (fs_exists(path_join(arena, source, "incarnations")))
        TRY(run_best(arena, &opts->checkpoint, source, err));
    else
        run = run_of(arena, source);
    if (!fs_exists(path_join(arena, opts->checkpoint, "model.json")))
        return err_set(err, NOT_FOUND, "cannot add '%s': no run, checkpoint or bundle is there",
                       source);

    json_t *manifest = NULL;
    if (run && run_manifest(&manifest, run, NULL)) manifest = NULL;
    if (request->facts) {
        json_decref(manifest);
        manifest = json_incref(request->facts);
    }
    opts->facts = manifest;
    if (!request->name) {
        const char *name = json_string_value(json_object_get(manifest, "name"));
        if (!name) {
            err_set(err, USAGE, "cannot add '%s': no run tells its name", source);
            return err_hint(err, "Name the model with --as NAME.");
        }
        snprintf(request->text, sizeof request->text, "%s", name);
        request->name = request->text;
    }
    return find_rows(arena, &opts->sample, rows, opts->checkpoint, manifest, err);
}

enum code add_run(struct registry *registry, struct added *added, struct add_request *request,
                  struct err *err)
{
    struct arena arena = { 0 };
    struct add_opts opts = { .card = request->card,
                             .actor = request->actor,
                             .reason = request->reason };
    void *rows = NULL;
    enum code code = prepare(&arena, &opts, request, &rows, err);
    if (!code) {
        opts.model = request->name;
        if (!opts.reason) opts.reason = arena_format(&arena, "added from %s", request->source);
        code = registry_add(registry, added, &opts, err);
    }
    json_decref(opts.facts);
    block_free(rows);
    arena_release(&arena);
    return code;
}
