/* Reading a manifest: every member is checked before it is used, sizes by checked arithmetic. */
#include "dataset/manifest.h"

#include "dataset/blocks.h"

#include <math.h>
#include <string.h>

enum { COLUMN_LIMIT = 4096, NAME_LIMIT = 63 };

static const char *const type_names[H5_TYPE_COUNT] = {
    [H5_U8] = "u8",   [H5_U16] = "u16", [H5_U32] = "u32", [H5_I32] = "i32",
    [H5_I64] = "i64", [H5_U64] = "u64", [H5_F32] = "f32", [H5_F64] = "f64",
};

const char *manifest_path(struct arena *arena, const char *path)
{
    return arena_format(arena, "%s.json", path);
}

const char *manifest_type_name(enum h5_type type)
{
    return type_names[type];
}

enum h5_type manifest_type(const char *name)
{
    enum h5_type type = 0;
    while (type < H5_TYPE_COUNT && strcmp(type_names[type], name) != 0) type++;
    return type;
}

struct digest manifest_digest(const json_t *manifest)
{
    json_t *rest = json_copy((json_t *)(uintptr_t)manifest);
    REQUIRE(rest);
    json_object_del(rest, "digest");
    struct digest digest = json_digest(rest);
    json_decref(rest);
    return digest;
}

struct digest manifest_split_digest(const json_t *columns)
{
    return json_digest(columns);
}

/* What a parse works on; `name` is the manifest's path for messages. */
struct parse {
    struct dataset *dataset;
    const char *name;
};

static enum code wrong(const struct parse *parse, const char *member, const char *what,
                       struct err *err)
{
    return err_set(err, DAMAGED, "cannot use '%s': %s %s", parse->name, member, what);
}

static enum code get_count(uint64_t *value, const json_t *object, const char *key,
                           const struct parse *parse, struct err *err)
{
    int64_t got;
    TRY(json_get_int(&got, object, key, parse->name, err));
    if (got < 0) return wrong(parse, key, "is negative", err);
    *value = (uint64_t)got;
    return OK;
}

/* Names become parts of paths inside the file, so their alphabet is closed. */
static bool good_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= NAME_LIMIT &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static enum code parse_texts(const struct parse *parse, const char ***texts, size_t *count,
                             const char *key, struct err *err)
{
    const json_t *list = json_object_get(parse->dataset->manifest, key);
    *texts = NULL;
    *count = 0;
    if (!list || json_is_null(list)) return OK;
    if (!json_is_array(list)) return wrong(parse, key, "is not a list", err);
    *count = json_array_size(list);
    *texts = ARENA_ARRAY(&parse->dataset->arena, *count + 1, const char *);
    for (size_t i = 0; i < *count; i++) {
        (*texts)[i] = json_string_value(json_array_get(list, i));
        if (!(*texts)[i]) return wrong(parse, key, "holds something that is not text", err);
    }
    return OK;
}

static enum code parse_task(const struct parse *parse, struct err *err)
{
    struct dataset *dataset = parse->dataset;
    const char *task;
    size_t classes;
    TRY(json_get_text(&task, dataset->manifest, "task", parse->name, err));
    TRY(json_get_text(&dataset->input, dataset->manifest, "input", parse->name, err));
    TRY(json_get_text(&dataset->target, dataset->manifest, "target", parse->name, err));
    TRY(parse_texts(parse, &dataset->class_names, &classes, "class_names", err));
    dataset->classes = (int64_t)classes;
    if (strcmp(task, "classification") == 0) {
        dataset->task = TASK_CLASSIFICATION;
        return classes ? OK : wrong(parse, "class_names", "is empty", err);
    }
    dataset->task = TASK_REGRESSION;
    if (strcmp(task, "regression") != 0) return wrong(parse, "task", "is unknown", err);
    return classes ? wrong(parse, "class_names", "is given for a regression", err) : OK;
}

static enum code parse_reals(const struct parse *parse, double **values, size_t *count,
                             const json_t *list, struct err *err)
{
    *count = json_array_size(list);
    *values = ARENA_ARRAY(&parse->dataset->arena, *count, double);
    for (size_t i = 0; i < *count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value)) return wrong(parse, "normalisation", "is not numbers", err);
        (*values)[i] = json_number_value(value);
    }
    return OK;
}

static enum code parse_normalisation(const struct parse *parse, struct err *err)
{
    struct dataset *dataset = parse->dataset;
    json_t *object, *mean, *deviation;
    size_t count;
    TRY(json_get_object(&object, dataset->manifest, "normalisation", parse->name, err));
    TRY(json_get_array(&mean, object, "mean", parse->name, err));
    TRY(json_get_array(&deviation, object, "deviation", parse->name, err));
    TRY(parse_reals(parse, &dataset->mean, &dataset->constants, mean, err));
    TRY(parse_reals(parse, &dataset->deviation, &count, deviation, err));
    if (count != dataset->constants || !count)
        return wrong(parse, "normalisation", "has lists of different or no length", err);
    for (size_t i = 0; i < count; i++)
        if (!(dataset->deviation[i] > 0)) return wrong(parse, "deviation", "is not positive", err);
    return OK;
}

static enum code parse_file(const struct parse *parse, struct manifest_file *file, struct err *err)
{
    json_t *object, *blocks;
    struct digest root, leaves;
    uint64_t block = 0;
    TRY(json_get_object(&object, parse->dataset->manifest, "file", parse->name, err));
    TRY(get_count(&file->bytes, object, "bytes", parse, err));
    TRY(get_count(&block, object, "block", parse, err));
    TRY(json_get_digest(&root, object, "digest", parse->name, err));
    TRY(json_get_array(&blocks, object, "blocks", parse->name, err));
    size_t count = json_array_size(blocks);
    if (block != BLOCK_BYTES || count != blocks_count(file->bytes))
        return wrong(parse, "blocks", "do not cover the file", err);
    file->leaf = ARENA_ARRAY(&parse->dataset->arena, count, struct digest);
    for (size_t i = 0; i < count; i++)
        if (!digest_parse(&file->leaf[i], json_string_value(json_array_get(blocks, i))))
            return wrong(parse, "blocks", "holds something that is not a digest", err);
    leaves = blocks_root(file->leaf, count);
    return digest_equal(&leaves, &root) ? OK : wrong(parse, "blocks", "has another digest", err);
}

static enum code parse_shape(const struct parse *parse, struct column *column, const json_t *list,
                             struct err *err)
{
    size_t rank = json_array_size(list);
    if (rank < 1 || rank > H5_DIMS) return wrong(parse, "shape", "has no usable rank", err);
    column->rank = (int)rank;
    column->row_bytes = h5_type_size(column->type);
    for (size_t i = 0; i < rank; i++) {
        json_int_t dim = json_integer_value(json_array_get(list, i));
        if (dim < (i ? 1 : 0)) return wrong(parse, "shape", "is not made of sizes", err);
        column->dim[i] = (uint64_t)dim;
        if (i && __builtin_mul_overflow(column->row_bytes, column->dim[i], &column->row_bytes))
            return wrong(parse, "shape", "is too large", err);
    }
    uint64_t total;
    if (__builtin_mul_overflow(column->row_bytes, column->dim[0], &total))
        return wrong(parse, "shape", "is too large", err);
    return OK;
}

static enum code parse_column(const struct parse *parse, struct column *column, const json_t *json,
                              const struct split *split, struct err *err)
{
    const char *type;
    json_t *shape;
    struct digest digest;
    TRY(json_get_text(&column->name, json, "name", parse->name, err));
    TRY(json_get_text(&type, json, "type", parse->name, err));
    TRY(json_get_array(&shape, json, "shape", parse->name, err));
    TRY(json_get_digest(&digest, json, "digest", parse->name, err));
    if (!good_name(column->name)) return wrong(parse, "name", "is not a column's name", err);
    column->type = manifest_type(type);
    if (column->type == H5_TYPE_COUNT) return wrong(parse, "type", "is unknown", err);
    TRY(parse_shape(parse, column, shape, err));
    if (column->dim[0] != split->rows) return wrong(parse, "shape", "has other rows", err);
    column->path = arena_format(&parse->dataset->arena, "/%s/%s", split->name, column->name);
    return OK;
}

/* Input and target must be what the loader delivers. */
static enum code check_roles(const struct parse *parse, const struct split *split, struct err *err)
{
    const struct dataset *dataset = parse->dataset;
    const struct column *input = split_column(split, dataset->input);
    const struct column *target = split_column(split, dataset->target);
    if (!input || !target) return wrong(parse, split->name, "lacks its input or target", err);
    if (input->rank < 2 || input->dim[input->rank - 1] != dataset->constants)
        return wrong(parse, "normalisation", "does not fit the input", err);
    bool label = dataset->task == TASK_CLASSIFICATION;
    if (label ? target->type != H5_I32 || target->rank != 1
              : target->type != H5_F32 || target->rank != 2)
        return wrong(parse, "target", "has a type or rank that its task does not have", err);
    return OK;
}

static enum code parse_split(const struct parse *parse, struct split *split, const char *name,
                             const json_t *json, struct err *err)
{
    json_t *columns;
    split->name = name;
    if (!good_name(name)) return wrong(parse, "splits", "has a name that is none", err);
    TRY(get_count(&split->rows, json, "rows", parse, err));
    TRY(json_get_digest(&split->digest, json, "digest", parse->name, err));
    TRY(json_get_array(&columns, json, "columns", parse->name, err));
    size_t count = json_array_size(columns);
    if (count > COLUMN_LIMIT) return wrong(parse, "columns", "are too many", err);
    split->columns = ARENA_ARRAY(&parse->dataset->arena, count, struct column);
    split->column_count = count;
    for (size_t i = 0; i < count; i++)
        TRY(parse_column(parse, &split->columns[i], json_array_get(columns, i), split, err));
    struct digest logical = manifest_split_digest(columns);
    if (!digest_equal(&logical, &split->digest))
        return wrong(parse, name, "has another digest than its columns", err);
    return check_roles(parse, split, err);
}

static enum code parse_splits(const struct parse *parse, struct err *err)
{
    json_t *splits, *json;
    const char *name;
    TRY(json_get_object(&splits, parse->dataset->manifest, "splits", parse->name, err));
    struct dataset *dataset = parse->dataset;
    dataset->splits = ARENA_ARRAY(&dataset->arena, json_object_size(splits), struct split);
    json_object_foreach(splits, name, json)
        TRY(parse_split(parse, &dataset->splits[dataset->split_count++], name, json, err));
    return OK;
}

enum code manifest_parse(struct dataset *dataset, struct manifest_file *file, struct err *err)
{
    struct parse parse = { dataset, manifest_path(&dataset->arena, dataset->path) };
    struct digest stated;
    size_t features;
    TRY(json_get_digest(&stated, dataset->manifest, "digest", parse.name, err));
    dataset->digest = manifest_digest(dataset->manifest);
    if (!digest_equal(&stated, &dataset->digest))
        return wrong(&parse, "digest", "is not that of its content", err);
    TRY(parse_task(&parse, err));
    TRY(parse_normalisation(&parse, err));
    TRY(parse_texts(&parse, &dataset->feature_names, &features, "feature_names", err));
    if (dataset->feature_names && features != dataset->constants)
        return wrong(&parse, "feature_names", "does not fit the input", err);
    TRY(parse_file(&parse, file, err));
    return parse_splits(&parse, err);
}
