/* The IDX importer. A file is: two zero bytes, the type (8: unsigned bytes), the number of
 * dimensions, each dimension as a big-endian u32, then the values, last dimension fastest. */
#include "dataset/import.h"

#include "base/fs.h"
#include "dataset/build.h"
#include "dataset/source.h"

#include <string.h>

enum part { TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS, PART_COUNT };
enum { IDX_BYTES = 8, HEADER_MIN = 4, DIMS_LIMIT = 4, ROW_LIMIT = 1 << 28 };

static const struct {
    const char *prefix, *what;
    int dims_min, dims_max;
} parts[PART_COUNT] = {
    [TRAIN_IMAGES] = { "train-images", "training images", 3, 4 },
    [TRAIN_LABELS] = { "train-labels", "training labels", 1, 1 },
    [TEST_IMAGES] = { "t10k-images", "test images", 3, 4 },
    [TEST_LABELS] = { "t10k-labels", "test labels", 1, 1 },
};

struct idx {
    const char *path;
    int dims;
    uint64_t dim[DIMS_LIMIT];
    uint64_t row_bytes, header_bytes;
    void *bytes;     /* owned */
    int32_t *labels; /* owned; of label files */
};

struct import {
    const struct import_opts *opts;
    struct arena arena;
    struct idx idx[PART_COUNT];
    json_t *sources;
    const char *const *class_names;
    size_t class_count;
};

static const char *const digit_names[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };

static enum part part_of(const char *path)
{
    enum part part = 0;
    while (part < PART_COUNT && !text_starts(path_base(path), parts[part].prefix)) part++;
    return part;
}

static enum code add_path(struct import *import, enum part part, const char *path, struct err *err)
{
    struct idx *idx = &import->idx[part];
    if (idx->path)
        return err_set(err, USAGE, "cannot import both '%s' and '%s': each holds the %s", idx->path,
                       path, parts[part].what);
    idx->path = path;
    return OK;
}

static enum code add_source(struct import *import, const char *path, struct err *err)
{
    enum part part = part_of(path);
    if (!fs_is_dir(path)) {
        if (part < PART_COUNT) return add_path(import, part, path, err);
        if (!fs_exists(path))
            return err_set(err, NOT_FOUND, "cannot open '%s': no such file", path);
        err_set(err, USAGE, "cannot import '%s': its name does not say what it holds", path);
        err_hint(err, "Names begin with train-images, train-labels, t10k-images or t10k-labels.");
        return USAGE;
    }
    char **names;
    size_t count;
    TRY(fs_list(&import->arena, &names, &count, path, err));
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        part = part_of(names[i]);
        if (part == PART_COUNT) continue;
        found = true;
        TRY(add_path(import, part, path_join(&import->arena, path, names[i]), err));
    }
    if (found) return OK;
    return err_set(err, USAGE, "cannot import '%s': the folder holds no IDX file", path);
}

static enum code find_parts(struct import *import, struct err *err)
{
    for (size_t i = 0; i < import->opts->count; i++)
        TRY(add_source(import, import->opts->sources[i], err));
    const struct idx *idx = import->idx;
    enum part lacking = PART_COUNT;
    if (!idx[TRAIN_IMAGES].path)
        lacking = TRAIN_IMAGES;
    else if (!idx[TRAIN_LABELS].path)
        lacking = TRAIN_LABELS;
    else if (idx[TEST_LABELS].path && !idx[TEST_IMAGES].path)
        lacking = TEST_IMAGES;
    else if (idx[TEST_IMAGES].path && !idx[TEST_LABELS].path)
        lacking = TEST_LABELS;
    if (lacking == PART_COUNT) return OK;
    err_set(err, USAGE, "cannot import '%s': the %s are missing",
            import->opts->count ? import->opts->sources[0] : "", parts[lacking].what);
    return err_hint(err, "Give the folder, or the file whose name begins with %s.",
                    parts[lacking].prefix);
}

static uint32_t big_endian(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static enum code read_exactly(struct source *source, void *bytes, size_t len, struct err *err)
{
    size_t got;
    TRY(source_read(source, bytes, len, &got, err));
    if (got == len) return OK;
    return err_set(err, DAMAGED, "cannot import '%s': it ends in its header at byte %llu",
                   source->path, (unsigned long long)source->at);
}

static enum code read_header(struct idx *idx, enum part part, struct source *source,
                             struct err *err)
{
    unsigned char magic[HEADER_MIN], dims[4 * DIMS_LIMIT];
    TRY(read_exactly(source, magic, sizeof magic, err));
    idx->dims = magic[3];
    bool known = !magic[0] && !magic[1] && magic[2] == IDX_BYTES &&
                 idx->dims >= parts[part].dims_min && idx->dims <= parts[part].dims_max;
    if (!known)
        return err_set(err, DAMAGED,
                       "cannot import '%s': magic number 0x%08x at byte 0, expected 0x%08x for %s",
                       idx->path, (unsigned)big_endian(magic),
                       (unsigned)(IDX_BYTES << 8 | parts[part].dims_min), parts[part].what);
    TRY(read_exactly(source, dims, 4 * (size_t)idx->dims, err));
    idx->row_bytes = 1;
    for (int i = 0; i < idx->dims; i++) {
        idx->dim[i] = big_endian(dims + 4 * i);
        if (i && __builtin_mul_overflow(idx->row_bytes, idx->dim[i], &idx->row_bytes))
            idx->row_bytes = UINT64_MAX;
        if (!idx->dim[i])
            return err_set(err, DAMAGED, "cannot import '%s': dimension %d at byte %d is 0",
                           idx->path, i, 4 + 4 * i);
    }
    if (idx->row_bytes > ROW_LIMIT)
        return err_set(err, DAMAGED, "cannot import '%s': rows of more than %d bytes", idx->path,
                       ROW_LIMIT);
    idx->header_bytes = source->at;
    return OK;
}

static enum code cut_short(const struct idx *idx, uint64_t end, bool bound, struct err *err)
{
    uint64_t expected = idx->header_bytes + idx->dim[0] * idx->row_bytes;
    return err_set(err, DAMAGED,
                   "cannot import '%s': it ends %s byte %llu (row %llu), expected %llu bytes",
                   idx->path, bound ? "before" : "at", (unsigned long long)end,
                   (unsigned long long)((end - idx->header_bytes) / idx->row_bytes),
                   (unsigned long long)expected);
}

static enum code read_values(struct idx *idx, struct source *source, struct err *err)
{
    uint64_t len = idx->dim[0] * idx->row_bytes, bound = source_bound(source);
    size_t got;
    char more;
    /* A header may claim anything, so memory is taken only for what the file can hold. */
    if (len > bound) return cut_short(idx, source->at + bound, source->gzip, err);
    TRY(block_alloc(&idx->bytes, (size_t)len, "the source's rows", err));
    enum code code = source_read(source, idx->bytes, (size_t)len, &got, err);
    if (code == DAMAGED && err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, " (in row %llu)",
                 (unsigned long long)((source->at - idx->header_bytes) / idx->row_bytes));
    }
    if (code) return code;
    if (got < len) return cut_short(idx, source->at, false, err);
    TRY(source_read(source, &more, 1, &got, err));
    if (got)
        return err_set(err, DAMAGED, "cannot import '%s': more than the %llu bytes of its header",
                       idx->path, (unsigned long long)source->at - 1);
    return OK;
}

static enum code read_idx(struct import *import, enum part part, struct err *err)
{
    struct idx *idx = &import->idx[part];
    struct source source;
    enum code code = source_open(&source, idx->path, err);
    if (!code) code = read_header(idx, part, &source, err);
    if (!code) code = read_values(idx, &source, err);
    if (!code) json_array_append_new(import->sources, source_describe(&source));
    source_close(&source);
    return code;
}

/* Labels as i32, each below the number of classes. */
static enum code widen_labels(struct import *import, struct idx *idx, struct err *err)
{
    void *block;
    TRY(block_alloc(&block, idx->dim[0] * sizeof(int32_t), "the labels", err));
    idx->labels = block;
    const unsigned char *labels = idx->bytes;
    for (uint64_t i = 0; i < idx->dim[0]; i++) {
        if (labels[i] >= import->class_count) {
            err_set(err, DAMAGED,
                    "cannot import '%s': label %d in row %llu (byte %llu), but %zu "
                    "classes",
                    idx->path, labels[i], (unsigned long long)i,
                    (unsigned long long)(idx->header_bytes + i), import->class_count);
            err_hint(err, "Labels count from 0; give the names of all classes with `--classes`.");
            return DAMAGED;
        }
        idx->labels[i] = labels[i];
    }
    return OK;
}

/* Images and labels of one half of the data must be as many, and all images of one shape. */
static enum code check_pair(struct import *import, enum part images, enum part labels,
                            struct err *err)
{
    const struct idx *first = &import->idx[TRAIN_IMAGES], *image = &import->idx[images];
    struct idx *label = &import->idx[labels];
    if (image->dim[0] != label->dim[0])
        return err_set(err, DAMAGED, "cannot import '%s': %llu labels, but %llu images in '%s'",
                       label->path, (unsigned long long)label->dim[0],
                       (unsigned long long)image->dim[0], image->path);
    bool same = image->dims == first->dims;
    for (int i = 1; same && i < image->dims; i++) same = image->dim[i] == first->dim[i];
    if (!same)
        return err_set(err, DAMAGED, "cannot import '%s': images of another shape than in '%s'",
                       image->path, first->path);
    return widen_labels(import, label, err);
}

static struct table_column image_column(const struct idx *idx)
{
    return (struct table_column){
        .name = "image",
        .type = H5_U8,
        .rank = 4,
        .dim = { idx->dim[0], idx->dim[1], idx->dim[2], idx->dims == 4 ? idx->dim[3] : 1 },
        .data = idx->bytes,
    };
}

static struct table_column label_column(const struct idx *idx)
{
    return (struct table_column){
        .name = "label", .type = H5_I32, .rank = 1, .dim = { idx->dim[0] }, .data = idx->labels
    };
}

static enum code build(struct import *import, struct err *err)
{
    const struct import_opts *opts = import->opts;
    const struct idx *idx = import->idx;
    struct table_column train[] = { image_column(&idx[TRAIN_IMAGES]),
                                    label_column(&idx[TRAIN_LABELS]) };
    struct table_column test[] = { image_column(&idx[TEST_IMAGES]),
                                   label_column(&idx[TEST_LABELS]) };
    struct table table = {
        .importer = "idx",
        .task = TASK_CLASSIFICATION,
        .sources = import->sources,
        .class_names = import->class_names,
        .class_count = import->class_count,
        .splits[0] = { .name = "train", .input = &train[0], .target = &train[1] },
        .splits[1] = { .name = "validate",
                       .count = opts->validate,
                       .input = &train[0],
                       .target = &train[1] },
        .split_count = opts->validate ? 2 : 1,
    };
    TRY(table_draw(table.splits, table.split_count, &import->arena, train[0].dim[0], opts->seed,
                   err));
    if (idx[TEST_IMAGES].path) {
        struct table_split *split = &table.splits[table.split_count++];
        *split = (struct table_split){ .name = "test", .input = &test[0], .target = &test[1] };
        split->count = test[0].dim[0];
        uint64_t *rows = ARENA_ARRAY(&import->arena, split->count, uint64_t);
        for (uint64_t i = 0; i < split->count; i++) rows[i] = i;
        split->rows = rows;
    }
    return build_dataset(&table, opts, err);
}

static enum code run(struct import *import, struct err *err)
{
    if (import->opts->test)
        return err_set(err, USAGE,
                       "cannot take a test split out of IDX files: they bring their own");
    TRY(find_parts(import, err));
    for (enum part part = 0; part < PART_COUNT; part++)
        if (import->idx[part].path) TRY(read_idx(import, part, err));
    TRY(check_pair(import, TRAIN_IMAGES, TRAIN_LABELS, err));
    if (import->idx[TEST_IMAGES].path) TRY(check_pair(import, TEST_IMAGES, TEST_LABELS, err));
    return build(import, err);
}

enum code import_idx(const struct import_opts *opts, struct err *err)
{
    struct import import = { .opts = opts, .sources = json_array() };
    import.class_names = opts->class_names ? opts->class_names : digit_names;
    import.class_count = opts->class_names ? opts->class_count : 10;
    enum code code = run(&import, err);
    for (enum part part = 0; part < PART_COUNT; part++) {
        block_free(import.idx[part].bytes);
        block_free(import.idx[part].labels);
    }
    json_decref(import.sources);
    arena_release(&import.arena);
    return code;
}
