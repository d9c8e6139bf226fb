/* Writing a version's documents as plain files, for readers that know no registry. */
#include "registry/documents_table.h"

#include <string.h>

struct exporting {
    const struct registry *registry;
    const char *dir; /* unfinished */
    struct arena arena;
};

/* What there is many of goes into a folder per report, in the order in which they were recorded. */
static const char *folder_of(struct exporting *exporting, const struct document_row *rows,
                             size_t at)
{
    size_t number = 1;
    if (!document_table[rows[at].type].many) return exporting->dir;
    for (size_t i = 0; i < at; i++) number += rows[i].type == rows[at].type;
    return arena_format(&exporting->arena, "%s/report-%zu", exporting->dir, number);
}

static enum code export_row(struct exporting *exporting, const struct document_row *row,
                            const char *folder, struct err *err)
{
    TRY(fs_mkdirs(folder, err));
    for (int p = 0; p < row->part_count; p++)
        TRY(store_copy(&exporting->registry->store, &row->parts[p].digest,
                       path_join(&exporting->arena, folder, row->parts[p].name), err));
    return OK;
}

/* The version's files and, beside them, its signature: what a verifier of signatures takes. */
static enum code export_model(struct exporting *exporting, const struct oci_version *files,
                              const struct document_row *rows, size_t count, struct err *err)
{
    const char *folder = path_join(&exporting->arena, exporting->dir, "model");
    TRY(fs_mkdirs(folder, err));
    for (int i = 0; i < files->layer_count; i++)
        TRY(store_copy(&exporting->registry->store, &files->layers[i].digest,
                       path_join(&exporting->arena, folder, files->layers[i].name), err));
    for (size_t i = 0; i < count; i++)
        if (rows[i].type == DOCUMENT_SIGNATURE) TRY(export_row(exporting, &rows[i], folder, err));
    return fs_sync_dir(folder, err);
}

enum code documents_export(const struct registry *registry, const struct digest *version,
                           const struct digest *bundle, const char *dir, bool with_model,
                           struct err *err)
{
    struct exporting exporting = { .registry = registry };
    struct document_row *rows;
    struct oci_version files;
    size_t count;
    char temporary[1100];
    if (fs_exists(dir))
        return err_set(err, CONFLICT, "cannot write evidence '%s': it exists already", dir);
    fs_temporary_name(temporary, sizeof temporary, dir);
    exporting.dir = temporary;
    enum code code = documents_read(&exporting.arena, &rows, &count, registry, bundle, err);
    if (!code) code = fs_mkdirs(temporary, err);
    for (size_t i = 0; !code && i < count; i++)
        code = export_row(&exporting, &rows[i], folder_of(&exporting, rows, i), err);
    if (!code && with_model) {
        code = oci_read(registry, &files, version, err);
        if (!code) code = export_model(&exporting, &files, rows, count, err);
    }
    if (!code) code = fs_sync_dir(temporary, err);
    if (!code) code = fs_publish_dir(temporary, dir, err);
    if (code) fs_remove_tree(temporary, NULL);
    arena_release(&exporting.arena);
    return code;
}
