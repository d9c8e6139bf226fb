/* Gathering what belongs to the versions, then one pass over it in the order of names. */
#include "registry/export.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/oci.h"
#include "registry/reach.h"
#include "registry/tar.h"

#include <stdlib.h>
#include <string.h>

struct exporting {
    struct arena arena;
    struct registry *registry;
    struct reach blobs, entries; /* content; entry numbers are kept in `seqs` */
    int64_t *seqs;
    size_t seq_count;
    json_t *versions, *manifests; /* of bundle.json, of index.json */
    struct fs_writer writer;
    struct exported *exported;
};

bool export_expects(const char *name)
{
    static const char entries[] = "pawl/entries/", blobs[] = "blobs/sha256/";
    static const char *const fixed[] = { "index.json", "oci-layout", "pawl/bundle.json" };
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(name, fixed[i]) == 0) return true;
    if (text_starts(name, blobs)) {
        const char *hex = name + strlen(blobs);
        return strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
    }
    if (!text_starts(name, entries)) return false;
    size_t digits = strspn(name + strlen(entries), "0123456789");
    return digits >= 10 && digits <= 18 && strcmp(name + strlen(entries) + digits, ".json") == 0;
}

static void add_seq(struct exporting *exporting, int64_t seq)
{
    size_t count = exporting->seq_count;
    for (size_t i = 0; i < count; i++)
        if (exporting->seqs[i] == seq) return;
    if ((count & (count - 1)) == 0) {
        int64_t *more = ARENA_ARRAY(&exporting->arena, count ? count * 2 : 1, int64_t);
        if (count) memcpy(more, exporting->seqs, count * sizeof *more);
        exporting->seqs = more;
    }
    exporting->seqs[exporting->seq_count++] = seq;
}

/* The reports about exactly this version, and their content. */
static enum code add_reports(struct exporting *exporting, json_t *row,
                             const struct model_line *model, const struct version *version,
                             struct err *err)
{
    struct registry *registry = exporting->registry;
    json_t *reports = json_array();
    json_object_set_new(row, "reports", reports);
    for (size_t i = 0; i < registry->state.report_count; i++) {
        const struct report_note *report = &registry->state.reports[i];
        struct entry entry;
        if (report->number != version->number || strcmp(report->model, model->name) != 0) continue;
        TRY(journal_read(&registry->journal, &entry, report->seq, err));
        reach_json(&exporting->blobs, json_object_get(entry.body, "files"));
        entry_release(&entry);
        add_seq(exporting, report->seq);
        json_array_append_new(reports, json_integer(report->seq));
    }
    return OK;
}

static enum code add_document(void *context, const struct digest *digest, const char *what,
                              struct err *err)
{
    (void)what;
    (void)err;
    reach_add(context, digest);
    return OK;
}

static enum code add_version(struct exporting *exporting, const char *ref, struct err *err)
{
    struct resolved resolved;
    struct oci_version files;
    struct registry *registry = exporting->registry;
    struct stat info;
    TRY(registry_resolve(registry, &resolved, ref, err));
    TRY(registry_refresh(registry, err));
    const struct model_line *model = state_model(&registry->state, resolved.model);
    const struct version *version = model_version(model, resolved.number);
    if (!reach_add(&exporting->entries, &version->digest)) return OK; /* named twice */
    TRY(oci_read(registry, &files, &version->digest, err));
    reach_add(&exporting->blobs, &version->digest);
    reach_add(&exporting->blobs, &files.config.digest);
    for (int i = 0; i < files.layer_count; i++)
        reach_add(&exporting->blobs, &files.layers[i].digest);
    add_seq(exporting, version->seq);
    json_t *row = json_pack("{ss sI sI}", "model", model->name, "number",
                            (json_int_t)version->number, "entry", (json_int_t)version->seq);
    json_array_append_new(exporting->versions, row);
    exporting->exported->versions++;
    TRY(fs_stat(store_path(&exporting->arena, &registry->store, &version->digest), &info, err));
    json_t *descriptor = json_pack(
        "{ss ss sI s{ss}}", "mediaType", "application/vnd.oci.image.manifest.v1+json",
        "artifactType", "application/vnd.cncf.model.manifest.v1+json", "size",
        (json_int_t)info.st_size, "annotations", "org.opencontainers.image.ref.name",
        arena_format(&exporting->arena, "%s-v%lld", model->name, (long long)version->number));
    json_set_digest(descriptor, "digest", &version->digest);
    json_array_append_new(exporting->manifests, descriptor);
    TRY(documents_walk(registry, &version->evidence, add_document, &exporting->blobs, err));
    return add_reports(exporting, row, model, version, err);
}

/* Streams a file into the tar; what it holds must have the digest (NULL: not asked). */
static enum code put_file(struct exporting *exporting, const char *name, const char *path,
                          const struct digest *digest, struct err *err)
{
    enum { PART = 1 << 20 };
    int fd;
    uint64_t size;
    void *part = NULL;
    struct sha256 sha;
    struct digest got;
    TRY(fs_open_own(&fd, path, &size, err));
    sha256_begin(&sha);
    enum code code = tar_header(&exporting->writer, name, size, err);
    if (!code) code = block_alloc(&part, PART, "a copy buffer", err);
    for (uint64_t at = 0; !code && at < size; at += PART) {
        size_t len = size - at < PART ? (size_t)(size - at) : PART;
        code = fs_pread(fd, part, len, at, path, err);
        if (!code) sha256_add(&sha, part, len);
        if (!code) code = fs_writer_add(&exporting->writer, part, len, err);
    }
    sha256_end(&sha, &got);
    if (!code) code = tar_pad(&exporting->writer, size, err);
    if (!code && digest && !digest_equal(&got, digest))
        code = err_set(err, DAMAGED, "content '%s' is damaged: its bytes have another digest",
                       path);
    block_free(part);
    fs_close(fd);
    return code;
}

static enum code put_bytes(struct exporting *exporting, const char *name, const void *bytes,
                           size_t len, struct err *err)
{
    TRY(tar_header(&exporting->writer, name, len, err));
    TRY(fs_writer_add(&exporting->writer, bytes, len, err));
    return tar_pad(&exporting->writer, len, err);
}

static enum code put_json(struct exporting *exporting, const char *name, const json_t *json,
                          struct err *err)
{
    struct arena arena = { 0 };
    size_t len;
    const char *text = json_canonical(&arena, json, &len);
    enum code code = put_bytes(exporting, name, text, len, err);
    arena_release(&arena);
    return code;
}

static int by_digest(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct digest));
}

static int by_seq(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static enum code put_blobs(struct exporting *exporting, struct err *err)
{
    struct reach *blobs = &exporting->blobs;
    const struct store *store = &exporting->registry->store;
    qsort(blobs->order, blobs->count, sizeof *blobs->order, by_digest);
    for (size_t i = 0; i < blobs->count; i++) {
        struct arena arena = { 0 };
        char text[DIGEST_TEXT];
        const struct digest *digest = &blobs->order[i];
        const char *hex = digest_text(digest, text) + strlen("sha256:");
        const char *path = store_locate(&arena, store, digest);
        enum code code = put_file(exporting, arena_format(&arena, "blobs/sha256/%s", hex), path,
                                  digest, err);
        if (code == NOT_FOUND) {
            code = err_set(err, DAMAGED, "content '%s' is missing", path);
            err_hint(err, "A retired version's weights may be gone: it cannot be exported.");
        }
        arena_release(&arena);
        if (code) return code;
    }
    exporting->exported->blobs = blobs->count;
    return OK;
}

static enum code put_entries(struct exporting *exporting, struct err *err)
{
    qsort(exporting->seqs, exporting->seq_count, sizeof *exporting->seqs, by_seq);
    for (size_t i = 0; i < exporting->seq_count; i++) {
        struct arena *arena = &exporting->arena;
        const char *path = journal_path(arena, &exporting->registry->journal, exporting->seqs[i]);
        TRY(put_file(exporting, arena_format(arena, "pawl/entries/%s", path_base(path)), path, NULL,
                     err));
    }
    return OK;
}

/* In the order of names. */
static enum code put_all(struct exporting *exporting, struct err *err)
{
    const struct registry *registry = exporting->registry;
    json_t *index = json_pack("{si ss sO}", "schemaVersion", 2, "mediaType",
                              "application/vnd.oci.image.index.v1+json", "manifests",
                              exporting->manifests);
    json_t *head = json_pack("{sI}", "seq", (json_int_t)registry->state.head.seq);
    json_set_digest(head, "digest", &registry->state.head.digest);
    json_t *bundle = json_pack("{ss so sO}", "pawl", "export/1", "head", head, "versions",
                               exporting->versions);
    json_set_digest(bundle, "registry", &registry->id);
    enum code code = put_blobs(exporting, err);
    if (!code) code = put_json(exporting, "index.json", index, err);
    if (!code)
        code = put_bytes(exporting, "oci-layout", oci_layout_text, strlen(oci_layout_text), err);
    if (!code) code = put_json(exporting, "pawl/bundle.json", bundle, err);
    if (!code) code = put_entries(exporting, err);
    if (!code) code = tar_end(&exporting->writer, err);
    json_decref(index);
    json_decref(bundle);
    return code;
}

enum code registry_export(struct registry *registry, struct exported *exported, const char *path,
                          const char *const *refs, struct err *err)
{
    struct exporting exporting = { .registry = registry, .exported = exported };
    memset(exported, 0, sizeof *exported);
    exporting.versions = json_array();
    exporting.manifests = json_array();
    enum code code = OK;
    for (size_t i = 0; !code && refs[i]; i++) code = add_version(&exporting, refs[i], err);
    if (!code) code = fs_writer_open(&exporting.writer, path, err);
    if (!code) code = put_all(&exporting, err);
    if (!code) {
        exported->bytes = exporting.writer.written;
        code = fs_writer_publish(&exporting.writer, &exported->digest, NULL, err);
    }
    fs_writer_abandon(&exporting.writer);
    json_decref(exporting.versions);
    json_decref(exporting.manifests);
    reach_release(&exporting.blobs);
    reach_release(&exporting.entries);
    arena_release(&exporting.arena);
    return code;
}
