/* Datasets of HDF5 files: writing contiguous ones, describing and reading those of others.
 *
 * Space is taken when a dataset is created and never filled, so the bytes of a file depend only on
 * the order of calls. Every name is walked link by link first: only hard links are followed. */
#include "base/fs.h"
#include "base/h5_impl.h"

#include <hdf5.h>
#include <string.h>

enum { NAME_LIMIT = 512, LIST_LIMIT = 1000000 };

static const size_t sizes[H5_TYPE_COUNT] = {
    [H5_U8] = 1,  [H5_U16] = 2, [H5_U32] = 4, [H5_I32] = 4,
    [H5_I64] = 8, [H5_U64] = 8, [H5_F32] = 4, [H5_F64] = 8,
};

size_t h5_type_size(enum h5_type type)
{
    return sizes[type];
}

/* The library's type identifiers are not constants, so this table is a function. */
static hid_t library_type(enum h5_type type)
{
    const hid_t types[H5_TYPE_COUNT] = {
        [H5_U8] = H5T_STD_U8LE,    [H5_U16] = H5T_STD_U16LE,  [H5_U32] = H5T_STD_U32LE,
        [H5_I32] = H5T_STD_I32LE,  [H5_I64] = H5T_STD_I64LE,  [H5_U64] = H5T_STD_U64LE,
        [H5_F32] = H5T_IEEE_F32LE, [H5_F64] = H5T_IEEE_F64LE,
    };
    return types[type];
}

/* Calls `visit` for each prefix of a path that ends before a slash, and for the path itself. */
static enum code walk(struct h5 *h5, const char *name,
                      enum code (*visit)(struct h5 *h5, const char *part, bool last,
                                         struct err *err),
                      struct err *err)
{
    char part[NAME_LIMIT];
    size_t len = strlen(name);
    if (len >= sizeof part || name[0] != '/')
        return err_set(err, USAGE, "cannot use name '%.80s' in '%s': not a path from the root",
                       name, h5->path);
    for (size_t i = 1; i <= len; i++) {
        if ((name[i] != '/' && name[i] != '\0') || i == 1) continue;
        memcpy(part, name, i);
        part[i] = '\0';
        TRY(visit(h5, part, i == len, err));
    }
    return OK;
}

static enum code require_hard(struct h5 *h5, const char *part, bool last, struct err *err)
{
    (void)last;
    H5L_info_t info;
    htri_t there = H5Lexists(h5->file, part, H5P_DEFAULT);
    if (there < 0) return h5_fail(h5, DAMAGED, "read", part, err);
    if (!there) return err_set(err, NOT_FOUND, "cannot find '%s' in '%s'", part, h5->path);
    if (H5Lget_info(h5->file, part, &info, H5P_DEFAULT) < 0)
        return h5_fail(h5, DAMAGED, "read", part, err);
    if (info.type != H5L_TYPE_HARD)
        return err_set(err, DAMAGED, "cannot read '%s' in '%s': it is a link to elsewhere", part,
                       h5->path);
    return OK;
}

enum code h5_open_object(struct h5 *h5, int64_t *object, const char *name, struct err *err)
{
    h5_quiet();
    TRY(walk(h5, name, require_hard, err));
    *object = H5Oopen(h5->file, name, H5P_DEFAULT);
    return *object < 0 ? h5_fail(h5, DAMAGED, "read", name, err) : OK;
}

enum code h5_open_dataset(struct h5 *h5, int64_t *dataset, const char *name, struct err *err)
{
    TRY(h5_open_object(h5, dataset, name, err));
    if (H5Iget_type(*dataset) == H5I_DATASET) return OK;
    H5Oclose(*dataset);
    return err_set(err, DAMAGED, "cannot read '%s' in '%s': it is not a dataset", name, h5->path);
}

/* Groups are made one by one: those that the library makes by itself would track times. */
static enum code make_group(struct h5 *h5, const char *part, bool last, struct err *err)
{
    if (last || H5Lexists(h5->file, part, H5P_DEFAULT) > 0) return OK;
    enum code code = OK;
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE), group = -1;
    if (creation >= 0 && H5Pset_obj_track_times(creation, false) >= 0)
        group = H5Gcreate2(h5->file, part, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (group < 0) code = h5_fail(h5, IO, "create group", part, err);
    if (group >= 0) H5Gclose(group);
    if (creation >= 0) H5Pclose(creation);
    return code;
}

static hid_t contiguous_creation(void)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (creation < 0) return -1;
    if (H5Pset_layout(creation, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_alloc_time(creation, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(creation, H5D_FILL_TIME_NEVER) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0)
        return creation;
    H5Pclose(creation);
    return -1;
}

enum code h5_begin(struct h5 *h5, const char *name, enum h5_type type, int rank,
                   const uint64_t *dim, struct err *err)
{
    REQUIRE(h5->writing && rank >= 0 && rank <= H5_DIMS);
    h5_quiet();
    TRY(walk(h5, name, make_group, err));
    hsize_t dims[H5_DIMS];
    for (int i = 0; i < rank; i++) dims[i] = dim[i];
    hid_t space = rank ? H5Screate_simple(rank, dims, NULL) : H5Screate(H5S_SCALAR);
    hid_t creation = contiguous_creation(), set = -1;
    if (space >= 0 && creation >= 0)
        set = H5Dcreate2(h5->file, name, library_type(type), space, H5P_DEFAULT, creation,
                         H5P_DEFAULT);
    enum code code = OK;
    if (set < 0 || h5->fault.code) code = h5_fail(h5, IO, "create dataset", name, err);
    if (set >= 0) H5Dclose(set);
    if (creation >= 0) H5Pclose(creation);
    if (space >= 0) H5Sclose(space);
    return code;
}

/* The type of a dataset among ours, in little-endian order; H5_TYPE_COUNT when it is another. */
static enum h5_type type_of(hid_t set)
{
    hid_t type = H5Dget_type(set);
    enum h5_type found = 0;
    while (found < H5_TYPE_COUNT && (type < 0 || H5Tequal(type, library_type(found)) <= 0)) found++;
    if (type >= 0) H5Tclose(type);
    return found;
}

static bool shape_of(struct h5_info *info, hid_t set)
{
    hsize_t dims[H5S_MAX_RANK] = { 0 };
    hid_t space = H5Dget_space(set);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    bool simple = rank >= 0 && rank <= H5_DIMS && H5Sget_simple_extent_type(space) != H5S_NULL &&
                  H5Sget_simple_extent_dims(space, dims, NULL) >= 0;
    if (space >= 0) H5Sclose(space);
    if (!simple) return false;
    info->rank = rank;
    for (int i = 0; i < rank; i++) info->dim[i] = dims[i];
    return true;
}

/* Bytes of a whole dataset; false on overflow. */
static bool bytes_of(uint64_t *bytes, const struct h5_info *info)
{
    *bytes = sizes[info->type];
    for (int i = 0; i < info->rank; i++)
        if (__builtin_mul_overflow(*bytes, info->dim[i], bytes)) return false;
    return true;
}

/* Where the data lies. False for storage outside the file and for layouts that we do not read. */
static bool layout_of(struct h5_info *info, hid_t set)
{
    hsize_t chunk[H5S_MAX_RANK] = { 0 };
    hid_t creation = H5Dget_create_plist(set);
    if (creation < 0) return false;
    H5D_layout_t layout = H5Pget_layout(creation);
    bool known = H5Pget_external_count(creation) == 0;
    if (layout == H5D_CONTIGUOUS) {
        haddr_t offset = H5Dget_offset(set);
        info->contiguous = offset != HADDR_UNDEF;
        info->offset = info->contiguous ? offset : 0;
    } else if (layout == H5D_CHUNKED) {
        known = known && H5Pget_chunk(creation, H5_DIMS, chunk) >= 0;
        info->chunk_rows = chunk[0];
        info->compressed = H5Pget_nfilters(creation) > 0;
    } else if (layout != H5D_COMPACT) {
        known = false;
    }
    H5Pclose(creation);
    return known;
}

static enum code describe(struct h5 *h5, struct h5_info *info, hid_t set, const char *name,
                          struct err *err)
{
    uint64_t bytes;
    memset(info, 0, sizeof *info);
    info->type = type_of(set);
    const char *wrong = NULL;
    if (info->type == H5_TYPE_COUNT)
        wrong = "its type is not one of u8, u16, u32, u64, i32, i64, f32, f64 (little-endian)";
    else if (!shape_of(info, set) || !bytes_of(&bytes, info))
        wrong = "its shape cannot be used";
    else if (!layout_of(info, set))
        wrong = "its data lies outside this file or in an unknown layout";
    else if (info->contiguous && !h5->writing &&
             (info->offset > h5->end || bytes > h5->end - info->offset))
        wrong = "it reaches beyond the end of the file";
    if (!wrong) return OK;
    if (h5->fault.code) return h5_fail(h5, DAMAGED, "read", name, err);
    return err_set(err, DAMAGED, "cannot read '%s' in '%s': %s", name, h5->path, wrong);
}

enum code h5_info(struct h5 *h5, const char *name, struct h5_info *info, struct err *err)
{
    int64_t set;
    TRY(h5_open_dataset(h5, &set, name, err));
    enum code code = describe(h5, info, set, name, err);
    H5Dclose(set);
    return code;
}

bool h5_has(struct h5 *h5, const char *name)
{
    struct err unused;
    h5_quiet();
    return walk(h5, name, require_hard, &unused) == OK;
}

struct h5_range {
    const char *name;
    enum h5_type type; /* in memory */
    uint64_t row, rows;
    const void *from; /* to write; NULL: to read ... */
    void *to;         /* ... into this */
};

/* Moves rows between memory and a dataset that was opened and described. */
static enum code move_rows(struct h5 *h5, hid_t set, const struct h5_info *info,
                           const struct h5_range *range, struct err *err)
{
    hsize_t start[H5_DIMS] = { range->row }, count[H5_DIMS] = { range->rows };
    for (int i = 1; i < info->rank; i++) count[i] = info->dim[i];
    bool scalar = info->rank == 0;
    hid_t file = H5Dget_space(set);
    hid_t memory = scalar ? H5Screate(H5S_SCALAR) : H5Screate_simple(info->rank, count, NULL);
    enum code code = OK;
    bool good = file >= 0 && memory >= 0 &&
                (scalar ||
                 H5Sselect_hyperslab(file, H5S_SELECT_SET, start, NULL, count, NULL) >= 0);
    hid_t type = library_type(range->type);
    if (good && range->from)
        good = H5Dwrite(set, type, memory, file, H5P_DEFAULT, range->from) >= 0;
    else if (good)
        good = H5Dread(set, type, memory, file, H5P_DEFAULT, range->to) >= 0;
    if (!good || h5->fault.code)
        code = h5_fail(h5, range->from ? IO : DAMAGED, range->from ? "write" : "read", range->name,
                       err);
    if (memory >= 0) H5Sclose(memory);
    if (file >= 0) H5Sclose(file);
    return code;
}

/* Opens, checks that the rows are there, moves them. The whole must have `size` bytes in memory. */
static enum code open_and_move(struct h5 *h5, struct h5_range *range, bool whole, size_t size,
                               struct err *err)
{
    int64_t set;
    struct h5_info info;
    TRY(h5_open_dataset(h5, &set, range->name, err));
    uint64_t bytes = 0;
    enum code code = describe(h5, &info, set, range->name, err);
    uint64_t there = info.rank ? info.dim[0] : 1;
    if (!code && whole) {
        range->rows = there;
        (void)bytes_of(&bytes, &info);
        bytes = bytes / sizes[info.type] * sizes[range->type];
        if (bytes != size)
            code = err_set(err, DAMAGED, "cannot read '%s' in '%s': %llu bytes, expected %zu",
                           range->name, h5->path, (unsigned long long)bytes, size);
    } else if (!code && (range->row > there || range->rows > there - range->row)) {
        code = err_set(err, DAMAGED, "cannot use rows %llu to %llu of '%s' in '%s': it has %llu",
                       (unsigned long long)range->row,
                       (unsigned long long)(range->row + range->rows), range->name, h5->path,
                       (unsigned long long)there);
    }
    if (!code) code = move_rows(h5, set, &info, range, err);
    H5Dclose(set);
    return code;
}

enum code h5_write_rows(struct h5 *h5, const char *name, uint64_t row, uint64_t rows,
                        const void *data, struct err *err)
{
    REQUIRE(h5->writing);
    struct h5_info info;
    TRY(h5_info(h5, name, &info, err));
    struct h5_range range = {
        .name = name, .type = info.type, .row = row, .rows = rows, .from = data
    };
    return rows ? open_and_move(h5, &range, false, 0, err) : OK;
}

enum code h5_write(struct h5 *h5, const char *name, enum h5_type type, int rank,
                   const uint64_t *dim, const void *data, struct err *err)
{
    TRY(h5_begin(h5, name, type, rank, dim, err));
    return h5_write_rows(h5, name, 0, rank ? dim[0] : 1, data, err);
}

enum code h5_read(struct h5 *h5, const char *name, enum h5_type type, void *data, size_t size,
                  struct err *err)
{
    struct h5_range range = { .name = name, .type = type, .to = data };
    return open_and_move(h5, &range, true, size, err);
}

enum code h5_read_rows(struct h5 *h5, const char *name, enum h5_type type, uint64_t row,
                       uint64_t rows, void *data, struct err *err)
{
    struct h5_range range = { .name = name, .type = type, .row = row, .rows = rows, .to = data };
    return open_and_move(h5, &range, false, 0, err);
}

/* One name of a group by its place in the order of names; NULL on failure. */
static char *name_at(hid_t group, struct arena *arena, hsize_t index)
{
    ssize_t len = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, index, NULL, 0,
                                     H5P_DEFAULT);
    if (len <= 0 || len >= NAME_LIMIT) return NULL;
    char *name = arena_take(arena, (size_t)len + 1);
    ssize_t got = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, index, name,
                                     (size_t)len + 1, H5P_DEFAULT);
    return got == len ? name : NULL;
}

enum code h5_list(struct h5 *h5, struct arena *arena, char ***names, size_t *count,
                  const char *group, struct err *err)
{
    int64_t object;
    H5G_info_t info = { 0 };
    TRY(h5_open_object(h5, &object, group, err));
    enum code code = OK;
    if (H5Iget_type(object) != H5I_GROUP || H5Gget_info(object, &info) < 0 ||
        info.nlinks > LIST_LIMIT)
        code = h5_fail(h5, DAMAGED, "list", group, err);
    char **list = ARENA_ARRAY(arena, code ? 1 : info.nlinks + 1, char *);
    for (hsize_t i = 0; !code && i < info.nlinks; i++) {
        list[i] = name_at(object, arena, i);
        if (!list[i]) code = h5_fail(h5, DAMAGED, "list", group, err);
    }
    H5Oclose(object);
    *names = list;
    *count = code ? 0 : (size_t)info.nlinks;
    return code;
}
