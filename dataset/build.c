/* From rows in memory to NAME.h5 and NAME.h5.json.
 *
 * The bytes of the file depend on the table alone: columns are created in one order, attributes
 * hold no times. That is why an equal import can be told from another one by the hash tree. */
#include "dataset/build.h"

#include "base/fs.h"
#include "dataset/blocks.h"
#include "dataset/manifest.h"
#include "dataset/profile.h"

#include <string.h>

enum { GATHER_BYTES = 4 << 20 };

struct build {
    const struct table *table;
    const struct import_opts *opts;
    struct arena arena;
    struct h5 h5;
    const struct moments *moments; /* of the training split's input */
    json_t *splits;
};

static const char *column_path(struct build *build, const struct table_split *split,
                               const struct table_column *column)
{
    return arena_format(&build->arena, "/%s/%s", split->name, column->name);
}

static enum code begin_column(struct build *build, const struct table_split *split,
                              const struct table_column *column, struct err *err)
{
    uint64_t dim[H5_DIMS];
    memcpy(dim, column->dim, sizeof dim);
    dim[0] = split->count;
    return h5_begin(&build->h5, column_path(build, split, column), column->type, column->rank, dim,
                    err);
}

/* Writes the rows of a split in its order, gathered in parts, and digests them. */
static enum code write_column(struct build *build, struct digest *digest,
                              const struct table_split *split, const struct table_column *column,
                              struct err *err)
{
    uint64_t row_bytes = table_row_bytes(column), part = GATHER_BYTES / row_bytes;
    const char *path = column_path(build, split, column);
    struct sha256 sha;
    void *block;
    if (part == 0) part = 1;
    if (part > split->count) part = split->count;
    TRY(block_alloc(&block, part * row_bytes, "a row buffer", err));
    sha256_begin(&sha);
    enum code code = OK;
    for (uint64_t row = 0; row < split->count && !code; row += part) {
        uint64_t rows = split->count - row < part ? split->count - row : part;
        for (uint64_t i = 0; i < rows; i++)
            memcpy((char *)block + i * row_bytes,
                   (const char *)column->data + split->rows[row + i] * row_bytes, row_bytes);
        sha256_add(&sha, block, rows * row_bytes);
        code = h5_write_rows(&build->h5, path, row, rows, block, err);
    }
    sha256_end(&sha, digest);
    block_free(block);
    return code;
}

static json_t *column_json(const struct table_split *split, const struct table_column *column,
                           const struct digest *digest)
{
    char text[DIGEST_TEXT];
    json_t *shape = json_pack("[I]", (json_int_t)split->count);
    for (int i = 1; i < column->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)column->dim[i]));
    return json_pack("{s:s, s:s, s:o, s:s}", "name", column->name, "type",
                     manifest_type_name(column->type), "shape", shape, "digest",
                     digest_text(digest, text));
}

/* Both columns of a split, and its entry in the manifest. */
static enum code write_split(struct build *build, const struct table_split *split, struct err *err)
{
    struct digest input, target;
    char text[DIGEST_TEXT];
    TRY(write_column(build, &input, split, split->input, err));
    TRY(write_column(build, &target, split, split->target, err));
    json_t *columns = json_pack("[o, o]", column_json(split, split->input, &input),
                                column_json(split, split->target, &target));
    struct digest logical = manifest_split_digest(columns);
    json_t *profile = profile_build(build->table, split, build->moments);
    json_object_set_new(build->splits, split->name,
                        json_pack("{s:I, s:s, s:o, s:o}", "rows", (json_int_t)split->count,
                                  "digest", digest_text(&logical, text), "columns", columns,
                                  "profile", profile));
    return OK;
}

static json_t *texts_json(const char *const *texts, size_t count)
{
    if (!texts) return json_null();
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) json_array_append_new(list, json_string(texts[i]));
    return list;
}

static uint64_t input_width(const struct build *build)
{
    const struct table_column *input = build->table->splits[0].input;
    return input->dim[input->rank - 1];
}

static const char *task_name(const struct build *build)
{
    return build->table->task == TASK_CLASSIFICATION ? "classification" : "regression";
}

static const char *licence(const struct build *build)
{
    return build->opts->licence ? build->opts->licence : "unknown";
}

static json_t *names_json(const struct build *build, bool classes)
{
    const struct table *table = build->table;
    return classes ? texts_json(table->class_names, table->class_count)
                   : texts_json(table->feature_names, input_width(build));
}

/* The deviation to divide by: a constant column stays what it is less its mean. */
static double divisor(const struct moments *moments)
{
    return moments->deviation > 0 ? moments->deviation : 1;
}

static enum code write_attributes(struct build *build, struct err *err)
{
    struct h5 *h5 = &build->h5;
    struct arena *arena = &build->arena;
    json_t *classes = names_json(build, true), *features = names_json(build, false);
    const char *const texts[][2] = {
        { "pawl", "dataset/1" },
        { "task", task_name(build) },
        { "class_names", json_canonical(arena, classes, NULL) },
        { "feature_names", json_canonical(arena, features, NULL) },
        { "licence", licence(build) },
        { "sources", json_canonical(arena, build->table->sources, NULL) },
    };
    json_decref(classes);
    json_decref(features);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        TRY(h5_set_text(h5, "/", texts[i][0], texts[i][1], err));
    uint64_t width = input_width(build);
    double *mean = ARENA_ARRAY(arena, width, double),
           *deviation = ARENA_ARRAY(arena, width, double);
    for (uint64_t i = 0; i < width; i++) {
        mean[i] = build->moments[i].mean;
        deviation[i] = divisor(&build->moments[i]);
    }
    TRY(h5_set_reals(h5, "/", "mean", mean, width, err));
    return h5_set_reals(h5, "/", "deviation", deviation, width, err);
}

static enum code write_file(struct build *build, struct err *err)
{
    const struct table *table = build->table;
    for (size_t s = 0; s < table->split_count; s++) {
        TRY(begin_column(build, &table->splits[s], table->splits[s].input, err));
        TRY(begin_column(build, &table->splits[s], table->splits[s].target, err));
    }
    TRY(write_attributes(build, err));
    for (size_t s = 0; s < table->split_count; s++) TRY(write_split(build, &table->splits[s], err));
    return OK;
}

/* The hash tree of a file as the manifest's member "file". */
static enum code hash_file(json_t **tree, const char *path, struct err *err)
{
    int fd;
    uint64_t bytes;
    char text[DIGEST_TEXT];
    struct arena arena = { 0 };
    TRY(fs_open(&fd, path, &bytes, err));
    uint64_t count = blocks_count(bytes);
    struct digest *leaf = ARENA_ARRAY(&arena, count, struct digest);
    enum code code = blocks_hash(leaf, fd, bytes, path, err);
    fs_close(fd);
    if (!code) {
        json_t *blocks = json_array();
        for (uint64_t i = 0; i < count; i++)
            json_array_append_new(blocks, json_string(digest_text(&leaf[i], text)));
        struct digest root = blocks_root(leaf, count);
        *tree = json_pack("{s:I, s:I, s:s, s:o}", "bytes", (json_int_t)bytes, "block",
                          (json_int_t)BLOCK_BYTES, "digest", digest_text(&root, text), "blocks",
                          blocks);
    }
    arena_release(&arena);
    return code;
}

/* Takes over `tree` and build->splits. */
static json_t *make_manifest(struct build *build, json_t *tree)
{
    const struct table *table = build->table;
    const struct import_opts *opts = build->opts;
    json_t *mean = json_array(), *deviation = json_array();
    for (uint64_t i = 0; i < input_width(build); i++) {
        json_array_append_new(mean, json_real(build->moments[i].mean));
        json_array_append_new(deviation, json_real(divisor(&build->moments[i])));
    }
    json_t *made = json_pack("{s:s, s:I, s:I, s:I}", "by", table->importer, "seed",
                             (json_int_t)opts->seed, "validate", (json_int_t)opts->validate, "test",
                             (json_int_t)opts->test);
    json_t *manifest = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:{s:o, s:o}, s:s, s:O, s:o, s:o, s:o}", "pawl",
        "dataset/1", "task", task_name(build), "input", table->splits[0].input->name, "target",
        table->splits[0].target->name, "class_names", names_json(build, true), "feature_names",
        names_json(build, false), "normalisation", "mean", mean, "deviation", deviation, "licence",
        licence(build), "sources", table->sources, "splits", build->splits, "file", tree, "made",
        made);
    REQUIRE(manifest);
    build->splits = NULL;
    char text[DIGEST_TEXT];
    struct digest digest = manifest_digest(manifest);
    json_object_set_new(manifest, "digest", json_string(digest_text(&digest, text)));
    return manifest;
}

static enum code taken(const char *path, struct err *err)
{
    err_set(err, CONFLICT, "cannot import into '%s': it exists with other content", path);
    return err_hint(err, "Give another `--out`, or `--replace` to overwrite it."), CONFLICT;
}

/* Whether the file at `path` has this hash tree. */
static enum code same_file(bool *same, const char *path, const json_t *tree, struct err *err)
{
    json_t *there = NULL;
    TRY(hash_file(&there, path, err));
    *same = json_equal(there, tree);
    json_decref(there);
    return OK;
}

/* Puts the finished temporary in place, or finds that an equal file lies there (*same). */
static enum code place_file(const struct build *build, const json_t *tree, bool *same,
                            struct err *err)
{
    const char *out = build->opts->out, *temporary = build->h5.temporary;
    bool made = false;
    if (fs_exists(out)) {
        TRY(same_file(same, out, tree, err));
        if (*same) return OK;
    } else {
        TRY(fs_link(temporary, out, &made, err));
        return made ? fs_sync_parent(out, err) : taken(out, err);
    }
    if (!build->opts->replace) return taken(out, err);
    /* Without a manifest nobody can take the new file for the old one or the reverse. */
    struct arena arena = { 0 };
    enum code code = fs_remove(manifest_path(&arena, out), err);
    arena_release(&arena);
    return code ? code : fs_replace(temporary, out, err);
}

/* Publishes the manifest unless an equal one lies there already. */
static enum code place_manifest(const struct build *build, const json_t *manifest, bool *same,
                                struct err *err)
{
    struct err unused;
    struct arena arena = { 0 };
    json_t *there = NULL;
    const char *path = manifest_path(&arena, build->opts->out);
    *same = json_read(&there, path, SIZE_MAX, "dataset/1", &unused) == OK &&
            json_equal(there, manifest);
    enum code code = *same ? OK : json_publish(manifest, path, err);
    json_decref(there);
    arena_release(&arena);
    return code;
}

static enum code place(struct build *build, struct err *err)
{
    json_t *tree = NULL, *manifest = NULL;
    bool same_data = false, same_manifest = false;
    enum code code = hash_file(&tree, build->h5.temporary, err);
    if (code) goto out;
    manifest = make_manifest(build, json_incref(tree));
    if ((code = place_file(build, tree, &same_data, err))) goto out;
    if ((code = place_manifest(build, manifest, &same_manifest, err))) goto out;
    if (build->opts->unchanged) *build->opts->unchanged = same_data && same_manifest;
out:
    fs_calls.unlink(build->h5.temporary);
    json_decref(tree);
    json_decref(manifest);
    return code;
}

enum code build_dataset(const struct table *table, const struct import_opts *opts, struct err *err)
{
    struct build build = { .table = table, .opts = opts };
    const struct table_split *train = &table->splits[0];
    enum code code = h5_create(&build.h5, opts->out, err);
    if (code) return code;
    build.moments = profile_moments(&build.arena, train->input, train->rows, train->count);
    build.splits = json_object();
    code = write_file(&build, err);
    if (code)
        h5_close(&build.h5);
    else
        code = h5_finish(&build.h5, err);
    if (!code) code = place(&build, err);
    json_decref(build.splits);
    arena_release(&build.arena);
    return code;
}
