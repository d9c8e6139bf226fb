/* From a run directory to a version. */
#include "workflow/add.h"

#include "base/rng.h"
#include "dataset/dataset.h"
#include "model/infer.h"
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

    json_t *manifest = NULL, *model = NULL;
    if (run && run_manifest(&manifest, run, NULL)) manifest = NULL;
    opts->facts = manifest;
    if (!request->name) {
        const char *name = json_string_value(json_object_get(manifest, "name"));
        if (!name) return err_set(err, USAGE, "cannot add '%s': name the model with --as", source);
        snprintf(request->text, sizeof request->text, "%s", name);
        request->name = request->text;
    }
    struct model_io io;
    TRY(json_read(&model, path_join(arena, opts->checkpoint, "model.json"), 64 << 20, "model/1",
                  err));
    enum code code = model_io_read(&io, model, err);
    json_decref(model);
    if (code) return code;
    size_t bytes = (size_t)shape_count(&io.input) * dtype_size(io.input_dtype);
    TRY(block_alloc(rows, GOLDEN_ROWS * bytes, "golden rows", err));
    const char *data = json_string_value(
        json_object_get(json_object_get(manifest, "data"), "path"));
    if (!data || !rows_of_dataset(data, &io, *rows, GOLDEN_ROWS))
        made_up_rows(&io, *rows, GOLDEN_ROWS);
    opts->sample = (struct golden_sample){ .input = *rows, .rows = GOLDEN_ROWS };
    return OK;
}

enum code add_run(struct registry *registry, struct added *added, struct add_request *request,
                  struct err *err)
{
    struct arena arena = { 0 };
    struct add_opts opts = { .actor = request->actor, .reason = request->reason };
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
