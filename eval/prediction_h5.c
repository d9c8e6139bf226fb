/* Predictions in HDF5: every dataset of the root group is a column, /probability and wide targets
 * are several. */
#include "eval/prediction_grid.h"

#include "base/h5.h"

#include <string.h>

/* One dataset of the file: columns `first` to `first + width - 1` of the grid. */
struct part {
    const char *name; /* "/probability" */
    int64_t width;
    size_t first;
};

static enum code look_at(struct part *part, int64_t *rows, struct h5 *h5, const char *path,
                         struct err *err)
{
    struct h5_info info;
    TRY(h5_info(h5, part->name, &info, err));
    if (info.rank < 1 || info.rank > 2)
        return err_set(err, DAMAGED, "column '%s' of '%s' has %d dimensions", part->name + 1, path,
                       info.rank);
    part->width = info.rank == 2 ? (int64_t)info.dim[1] : 1;
    if (*rows >= 0 && (uint64_t)*rows != info.dim[0])
        return err_set(err, DAMAGED, "column '%s' of '%s' has %llu rows, not %lld", part->name + 1,
                       path, (unsigned long long)info.dim[0], (long long)*rows);
    if (info.dim[0] > 2000000000u || part->width > 20000)
        return err_set(err, DAMAGED, "column '%s' of '%s' is too large", part->name + 1, path);
    *rows = (int64_t)info.dim[0];
    return OK;
}

/* "/probability" with 3 columns: p_0, p_1, p_2; "/prediction" with 2: prediction_0, prediction_1.
 * */
static void name_columns(struct grid *grid, const struct part *part)
{
    const char *stem = part->name + 1;
    bool shares = strcmp(stem, "probability") == 0;
    for (int64_t j = 0; j < part->width; j++)
        grid->names[grid->count++] = shares ? arena_format(&grid->arena, "p_%lld", (long long)j)
                                     : part->width > 1
                                         ? arena_format(&grid->arena, "%s_%lld", stem, (long long)j)
                                         : arena_copy(&grid->arena, stem);
}

static enum code read_part(struct grid *grid, struct h5 *h5, const struct part *part,
                           struct err *err)
{
    void *memory = NULL;
    size_t bytes = (size_t)grid->n * (size_t)part->width * sizeof(double);
    if (part->width == 1)
        return h5_read(h5, part->name, H5_F64, grid->column[part->first], bytes, err);
    TRY(block_alloc(&memory, bytes + 8, "a column", err));
    const double *value = memory;
    enum code code = h5_read(h5, part->name, H5_F64, memory, bytes, err);
    for (int64_t j = 0; !code && j < part->width; j++)
        for (int64_t i = 0; i < grid->n; i++)
            grid->column[part->first + (size_t)j][i] = value[i * part->width + j];
    block_free(memory);
    return code;
}

static enum code read_parts(struct grid *grid, struct h5 *h5, struct err *err)
{
    char **names;
    size_t found, columns = 0;
    int64_t rows = -1;
    TRY(h5_list(h5, &grid->arena, &names, &found, "/", err));
    struct part *parts = ARENA_ARRAY(&grid->arena, found + 1, struct part);
    for (size_t i = 0; i < found; i++) {
        parts[i].name = arena_format(&grid->arena, "/%s", names[i]);
        TRY(look_at(&parts[i], &rows, h5, grid->path, err));
        parts[i].first = columns;
        columns += (size_t)parts[i].width;
    }
    if (rows < 0) return err_set(err, DAMAGED, "'%s' has no columns", grid->path);
    TRY(grid_room(grid, columns, rows, false, err));
    grid->n = rows;
    for (size_t i = 0; i < found; i++) {
        name_columns(grid, &parts[i]);
        TRY(read_part(grid, h5, &parts[i], err));
    }
    return OK;
}

enum code grid_read_h5(struct grid *grid, struct err *err)
{
    struct h5 h5 = { 0 };
    char *text;
    TRY(h5_open(&h5, grid->path, err));
    /* files of other programs carry no attributes of ours */
    if (h5_get_text(&h5, &grid->arena, "/", "data", &text, NULL) == OK) grid->data = text;
    enum code code = read_parts(grid, &h5, err);
    h5_close(&h5);
    return code;
}
