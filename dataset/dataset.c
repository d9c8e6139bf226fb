/* Opening a dataset: the manifest is checked by its own digest, the file by the manifest.
 *
 * HDF5 parses nothing before the block that holds it was verified (the guard below). After opening,
 * HDF5 is closed again: columns are read by pread at the offsets taken here. */
#include "dataset/dataset.h"

#include "base/fs.h"
#include "dataset/blocks.h"
#include "dataset/checked.h"
#include "dataset/manifest.h"

#include <errno.h>
#include <string.h>

enum { MANIFEST_LIMIT = 256 << 20 };

static enum code read_manifest(struct dataset *dataset, struct err *err)
{
    const char *path = manifest_path(&dataset->arena, dataset->path);
    enum code code = json_read(&dataset->manifest, path, MANIFEST_LIMIT, "dataset/1", err);
    if (code != NOT_FOUND) return code;
    if (fs_exists(dataset->path)) {
        err_set(err, NOT_FOUND, "cannot open dataset '%s': its manifest '%s' is missing",
                dataset->path, path);
        err_hint(err, "Import the data again with the same command; an equal file is kept.");
        return NOT_FOUND;
    }
    err_errno(err, NOT_FOUND, ENOENT, "cannot open dataset '%s'", dataset->path);
    err_hint(err, "Run `pawl data import idx SOURCE... --out %s` (or `import csv`) to make it.",
             dataset->path);
    return NOT_FOUND;
}

static enum code guard(void *context, uint64_t at, uint64_t len, struct err *err)
{
    return blocks_touch(context, at, len, NULL, err);
}

static enum code differs(const struct dataset *dataset, const char *what, const char *detail,
                         struct err *err)
{
    err_set(err, DAMAGED, "cannot open dataset '%s': %s%s%s", dataset->path, what,
            detail ? " " : "", detail ? detail : "");
    err_hint(err, "File and manifest do not belong together; import the data again with "
                  "`--replace`.");
    return DAMAGED;
}

/* Takes the place of a column in the file; everything else must be as the manifest says. */
static enum code place_column(const struct dataset *dataset, struct h5 *h5, struct column *column,
                              struct err *err)
{
    struct h5_info info;
    enum code code = h5_info(h5, column->path, &info, err);
    if (code == NOT_FOUND) return differs(dataset, "the file has no column", column->path, err);
    if (code) return code;
    bool same = info.type == column->type && info.rank == column->rank;
    for (int i = 0; same && i < info.rank; i++) same = info.dim[i] == column->dim[i];
    if (!same) return differs(dataset, "the manifest describes another", column->path, err);
    bool empty = column->dim[0] == 0;
    if (!info.contiguous && !empty)
        return differs(dataset, "the data is not contiguous in", column->path, err);
    column->offset = info.offset;
    return OK;
}

static enum code place_columns(struct dataset *dataset, struct err *err)
{
    struct h5 h5;
    struct h5_guard guarded = { .check = guard, .context = dataset->blocks };
    TRY(h5_open_guarded(&h5, dataset->fd - 1, dataset->bytes, dataset->path, &guarded, err));
    enum code code = OK;
    for (size_t s = 0; s < dataset->split_count; s++)
        for (size_t c = 0; !code && c < dataset->splits[s].column_count; c++)
            code = place_column(dataset, &h5, &dataset->splits[s].columns[c], err);
    h5_close(&h5);
    return code;
}

static enum code open_file(struct dataset *dataset, const struct manifest_file *file,
                           struct err *err)
{
    int fd;
    enum code code = fs_open(&fd, dataset->path, &dataset->bytes, err);
    if (code == NOT_FOUND)
        return differs(dataset, "there is a manifest, but no such file", NULL, err);
    if (code) return code;
    dataset->fd = fd + 1;
    if (dataset->bytes != file->bytes) {
        err_set(err, DAMAGED, "cannot open dataset '%s': %llu bytes, but the manifest says %llu",
                dataset->path, (unsigned long long)dataset->bytes, (unsigned long long)file->bytes);
        err_hint(err, "The file was cut or replaced; import the data again with `--replace`.");
        return DAMAGED;
    }
    dataset->blocks = blocks_new(&dataset->arena, fd, file->bytes, dataset->path, file->leaf);
    return OK;
}

enum code dataset_open(struct dataset *dataset, const char *path, struct err *err)
{
    struct manifest_file file;
    memset(dataset, 0, sizeof *dataset);
    dataset->path = arena_copy(&dataset->arena, path);
    enum code code = read_manifest(dataset, err);
    if (!code) code = manifest_parse(dataset, &file, err);
    if (!code) code = open_file(dataset, &file, err);
    if (!code && checked_recall(dataset)) blocks_trust(dataset->blocks);
    if (!code) code = place_columns(dataset, err);
    if (code) dataset_close(dataset);
    return code;
}

void dataset_close(struct dataset *dataset)
{
    json_decref(dataset->manifest);
    if (dataset->fd) fs_close(dataset->fd - 1);
    arena_release(&dataset->arena);
    memset(dataset, 0, sizeof *dataset);
}

const struct split *dataset_split(const struct dataset *dataset, const char *name)
{
    for (size_t i = 0; i < dataset->split_count; i++)
        if (strcmp(dataset->splits[i].name, name) == 0) return &dataset->splits[i];
    return NULL;
}

const struct column *split_column(const struct split *split, const char *name)
{
    for (size_t i = 0; i < split->column_count; i++)
        if (strcmp(split->columns[i].name, name) == 0) return &split->columns[i];
    return NULL;
}

/* "block 3 of 47 is damaged (/train/image rows 10 to 20)" for the block within one column. */
static enum code name_rows(const struct dataset *dataset, const struct column *column,
                           uint64_t block, struct err *err)
{
    uint64_t begin = block * BLOCK_BYTES, end = begin + BLOCK_BYTES;
    uint64_t column_end = column->offset + column->dim[0] * column->row_bytes;
    if (begin < column->offset) begin = column->offset;
    if (end > column_end) end = column_end;
    err_set(err, DAMAGED, "cannot read '%s': block %llu of %llu is damaged (%s rows %llu to %llu)",
            dataset->path, (unsigned long long)block,
            (unsigned long long)blocks_count(dataset->bytes), column->path,
            (unsigned long long)((begin - column->offset) / column->row_bytes),
            (unsigned long long)((end - 1 - column->offset) / column->row_bytes));
    return err_hint(err, "Run `pawl data check %s` to see all of it, then import the data again.",
                    dataset->path),
           DAMAGED;
}

static enum code touch_rows(const struct dataset *dataset, const struct column *column,
                            uint64_t row, uint64_t rows, struct err *err)
{
    REQUIRE(row <= column->dim[0] && rows <= column->dim[0] - row);
    uint64_t bad = UINT64_MAX; /* stays so when the file ends early */
    enum code code = blocks_touch(dataset->blocks, column->offset + row * column->row_bytes,
                                  rows * column->row_bytes, &bad, err);
    return code == DAMAGED && bad != UINT64_MAX ? name_rows(dataset, column, bad, err) : code;
}

enum code dataset_read(const struct dataset *dataset, const struct column *column, uint64_t row,
                       uint64_t rows, void *out, struct err *err)
{
    TRY(touch_rows(dataset, column, row, rows, err));
    return fs_pread(dataset->fd - 1, out, (size_t)(rows * column->row_bytes),
                    column->offset + row * column->row_bytes, dataset->path, err);
}

enum code dataset_gather(const struct dataset *dataset, const struct column *column,
                         const int64_t *row, int64_t count, void *out, struct err *err)
{
    int fd = dataset->fd - 1;
    size_t bytes = column->row_bytes;
    char *to = out;
    for (int64_t i = 0; i < count && !blocks_done(dataset->blocks); i++)
        TRY(touch_rows(dataset, column, (uint64_t)row[i], 1, err));
    /* Every call and return between two system calls costs: fs_pread is for the rest. */
    for (int64_t i = 0; i < count; i++, to += bytes) {
        uint64_t at = column->offset + (uint64_t)row[i] * bytes;
        ssize_t got = fs_calls.pread(fd, to, bytes, (off_t)at);
        if (got == (ssize_t)bytes) continue;
        if (got < 0 && errno != EINTR)
            return err_errno(err, IO, errno, "cannot read '%s'", dataset->path);
        TRY(fs_pread(fd, to, bytes, at, dataset->path, err));
    }
    return OK;
}

/* The first column that has bytes in a block, or NULL. */
static const struct column *column_in(const struct dataset *dataset, uint64_t block)
{
    uint64_t begin = block * BLOCK_BYTES, end = begin + BLOCK_BYTES;
    for (size_t s = 0; s < dataset->split_count; s++) {
        for (size_t c = 0; c < dataset->splits[s].column_count; c++) {
            const struct column *column = &dataset->splits[s].columns[c];
            uint64_t len = column->dim[0] * column->row_bytes;
            if (len && column->offset < end && column->offset + len > begin) return column;
        }
    }
    return NULL;
}

enum code dataset_check(struct dataset *dataset, uint64_t *bytes, struct err *err)
{
    uint64_t count = blocks_count(dataset->bytes), bad_count = 0, first = 0;
    blocks_forget(dataset->blocks);
    for (uint64_t i = 0; i < count; i++) {
        enum code code = blocks_touch(dataset->blocks, i * BLOCK_BYTES, 1, NULL, err);
        if (code && code != DAMAGED) return code;
        if (code && !bad_count++) first = i;
    }
    if (bytes) *bytes = dataset->bytes;
    if (!bad_count) return checked_remember(dataset), OK;
    const struct column *column = column_in(dataset, first);
    if (column)
        name_rows(dataset, column, first, err);
    else
        (void)blocks_touch(dataset->blocks, first * BLOCK_BYTES, 1, NULL, err);
    if (bad_count > 1 && err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, ", and %llu more blocks are",
                 (unsigned long long)bad_count - 1);
    }
    return err_hint(err, "Import the data again with `--replace`."), DAMAGED;
}

const json_t *dataset_profile(const struct dataset *dataset, const char *split)
{
    const json_t *splits = json_object_get(dataset->manifest, "splits");
    return json_object_get(json_object_get(splits, split), "profile");
}

enum code dataset_class_counts(const struct dataset *dataset, const struct split *split,
                               int64_t *counts, struct err *err)
{
    const json_t *list = json_object_get(dataset_profile(dataset, split->name), "classes");
    if (json_array_size(list) != (size_t)dataset->classes || !dataset->classes)
        return err_set(err, DAMAGED, "cannot use '%s': the profile of '%s' counts no classes",
                       dataset->path, split->name);
    for (size_t i = 0; i < json_array_size(list); i++)
        counts[i] = json_integer_value(json_array_get(list, i));
    return OK;
}
