/* The table of documents, and what a bundle says: one row per kind, one reader. */
#include "registry/documents.h"

#include "registry/card.h"
#include "registry/commit.h"
#include "registry/documents_table.h"
#include "registry/dsse.h"

#include <string.h>

static void report_make(struct evidence *evidence, struct arena *arena, const struct record *record)
{
    static const char *const types[] = { "application/vnd.pawl.report+json", "application/x-hdf5" };
    (void)arena;
    for (int i = 0; record->report && i < 2; i++)
        evidence->parts[evidence->count++] = (struct document_part){
            .file = record->report_files[i].name,
            .media_type = types[i],
            .layer = record->report_files[i],
        };
}

const struct document_kind document_table[DOCUMENT_TYPES] = {
    [DOCUMENT_PROVENANCE] = { .name = "provenance",
                              .artifact_type = INTOTO_TYPE,
                              .at_register = true,
                              .make = provenance_make },
    [DOCUMENT_MLBOM] = { .name = "ml-bom",
                         .artifact_type = "application/vnd.cyclonedx+json",
                         .at_register = true,
                         .at_report = true,
                         .make = mlbom_make },
    [DOCUMENT_CARD] = { .name = "card",
                        .artifact_type = "application/vnd.pawl.model-card.v1",
                        .at_register = true,
                        .at_report = true,
                        .make = card_make },
    [DOCUMENT_SIGNATURE] = { .name = "signature",
                             .artifact_type = "application/vnd.dev.sigstore.bundle.v0.3+json",
                             .at_register = true,
                             .make = signature_make },
    [DOCUMENT_REPORT] = { .name = "report",
                          .artifact_type = "application/vnd.pawl.report.v1",
                          .at_report = true,
                          .many = true,
                          .make = report_make },
    [DOCUMENT_TEST_RESULT] = { .name = "test-result",
                               .artifact_type = INTOTO_TYPE,
                               .at_report = true,
                               .many = true,
                               .make = test_result_make },
};

const char *document_name(enum document_type type)
{
    return document_table[type].name;
}

enum document_type document_find(const char *name)
{
    int type = 0;
    while (type < DOCUMENT_TYPES && (!name || strcmp(document_table[type].name, name) != 0)) type++;
    return (enum document_type)type;
}

bool record_signs(const struct record *record)
{
    return record->key && record->key->pkey && record->key->secret;
}

void document_text(struct evidence *evidence, const char *file, const char *media_type,
                   const char *text, size_t len)
{
    REQUIRE(evidence->count < DOCUMENT_PARTS);
    evidence->parts[evidence->count++] = (struct document_part){
        .file = file, .media_type = media_type, .bytes = { .at = text, .len = len }
    };
}

const char *digest_hex(struct arena *arena, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    return arena_copy(arena, digest_text(digest, text) + strlen("sha256:"));
}

const char *member_hex(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    struct digest digest;
    return digest_parse(&digest, text) ? text + strlen("sha256:") : NULL;
}

const char *member_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static void add_subject(json_t *subjects, struct arena *arena, const char *name,
                        const struct digest *digest)
{
    json_array_append_new(subjects, json_pack("{ss s{ss}}", "name", name, "digest", "sha256",
                                              digest_hex(arena, digest)));
}

/* in-toto Statement v1 (in-toto/attestation, spec/v1/statement.md, envelope.md). */
void document_statement(struct evidence *evidence, struct arena *arena, const struct record *record,
                        const char *file, const char *predicate_type, json_t *predicate)
{
    json_t *subjects = json_array();
    add_subject(subjects, arena, record->model, &record->digest);
    for (int i = 0; i < record->files->layer_count; i++)
        add_subject(subjects, arena, record->files->layers[i].name,
                    &record->files->layers[i].digest);
    json_t *json = json_pack("{ss so ss so}", "_type", "https://in-toto.io/Statement/v1", "subject",
                             subjects, "predicateType", predicate_type, "predicate", predicate);
    REQUIRE(json);
    size_t len;
    const char *text = json_canonical(arena, json, &len);
    json_decref(json);
    struct bytes bytes = { .at = text, .len = len };
    const char *type = INTOTO_TYPE;
    if (record_signs(record)) {
        bytes = dsse_sign(arena, INTOTO_TYPE, &bytes, record->key);
        type = strcmp(predicate_type, PROVENANCE_TYPE) == 0
                   ? "application/vnd.in-toto.provenance+dsse"
                   : "application/vnd.in-toto.test-result+dsse";
    }
    document_text(evidence, file, type, bytes.at, bytes.len);
}

static enum code damaged(const char *name, const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "cannot use evidence '%s': %s", name, what);
}

static enum code read_json(json_t **json, struct arena *arena, const struct registry *registry,
                           const struct digest *digest, struct err *err)
{
    struct bytes bytes;
    char name[DIGEST_TEXT];
    digest_text(digest, name);
    TRY(store_read(&registry->store, arena, &bytes, digest, BUNDLE_INDEX_LIMIT, err));
    return json_parse(json, bytes.at, bytes.len, name, err);
}

static enum code read_part(struct document_row *row, struct arena *arena, const json_t *json,
                           const char *name, struct err *err)
{
    json_t *notes;
    const char *file, *type;
    int64_t size;
    struct oci_layer *part = &row->parts[row->part_count];
    TRY(json_get_object(&notes, json, "annotations", name, err));
    TRY(json_get_text(&file, notes, TITLE_NOTE, name, err));
    TRY(json_get_text(&type, json, "mediaType", name, err));
    TRY(json_get_digest(&part->digest, json, "digest", name, err));
    TRY(json_get_int(&size, json, "size", name, err));
    if (size < 0 || !*file || strchr(file, '/') || *file == '.')
        return damaged(name, "a file of it has no plain name or size", err);
    part->size = (uint64_t)size;
    part->name = arena_copy(arena, file);
    row->media_types[row->part_count++] = arena_copy(arena, type);
    return OK;
}

static enum code read_manifest(struct document_row *row, struct arena *arena, const json_t *json,
                               const char *name, struct err *err)
{
    json_t *layers, *config;
    struct digest empty = digest_of("{}", 2), config_digest;
    TRY(json_get_object(&config, json, "config", name, err));
    TRY(json_get_digest(&config_digest, config, "digest", name, err));
    TRY(json_get_array(&layers, json, "layers", name, err));
    size_t count = json_array_size(layers);
    if (!digest_equal(&empty, &config_digest) || count < 1 || count > DOCUMENT_PARTS)
        return damaged(name, "it is no document's manifest", err);
    for (size_t i = 0; i < count; i++)
        TRY(read_part(row, arena, json_array_get(layers, i), name, err));
    return OK;
}

/* What the index says of a document; its manifest is not read yet. */
static enum code read_row(struct document_row *row, const json_t *json, const char *name,
                          struct err *err)
{
    json_t *notes;
    int64_t size;
    TRY(json_get_digest(&row->manifest, json, "digest", name, err));
    TRY(json_get_int(&size, json, "size", name, err));
    TRY(json_get_object(&notes, json, "annotations", name, err));
    row->type = document_find(json_string_value(json_object_get(notes, DOCUMENT_NOTE)));
    row->is_signed = strcmp(member_text(notes, SIGNED_NOTE), "true") == 0;
    row->manifest_size = (uint64_t)size;
    if (size < 0 || row->type == DOCUMENT_TYPES)
        return damaged(name, "it lists a document of unknown kind", err);
    return OK;
}

static enum code read_parts(struct document_row *row, struct arena *arena,
                            const struct registry *registry, struct err *err)
{
    json_t *manifest;
    char name[DIGEST_TEXT];
    digest_text(&row->manifest, name);
    TRY(read_json(&manifest, arena, registry, &row->manifest, err));
    enum code code = read_manifest(row, arena, manifest, name, err);
    json_decref(manifest);
    return code;
}

static enum code read_index(struct arena *arena, struct document_row **rows, size_t *count,
                            const struct registry *registry, const struct digest *bundle,
                            struct err *err)
{
    json_t *index, *list;
    char name[DIGEST_TEXT];
    digest_text(bundle, name);
    TRY(read_json(&index, arena, registry, bundle, err));
    enum code code = json_get_array(&list, index, "manifests", name, err);
    size_t n = code ? 0 : json_array_size(list); /* the version itself comes first */
    if (!code && n < 1) code = damaged(name, "it lists nothing", err);
    *rows = ARENA_ARRAY(arena, n, struct document_row);
    for (size_t i = 1; !code && i < n; i++)
        code = read_row(&(*rows)[(*count)++], json_array_get(list, i), name, err);
    json_decref(index);
    return code;
}

enum code documents_read(struct arena *arena, struct document_row **rows, size_t *count,
                         const struct registry *registry, const struct digest *bundle,
                         struct err *err)
{
    static const struct digest none;
    *rows = NULL;
    *count = 0;
    if (digest_equal(bundle, &none)) return OK;
    TRY(read_index(arena, rows, count, registry, bundle, err));
    for (size_t i = 0; i < *count; i++) TRY(read_parts(&(*rows)[i], arena, registry, err));
    return OK;
}

static enum code walk_row(struct arena *arena, const struct registry *registry,
                          struct document_row *row, documents_visit visit, void *context,
                          struct err *err)
{
    TRY(visit(context, &row->manifest, document_name(row->type), err));
    TRY(read_parts(row, arena, registry, err));
    for (int p = 0; p < row->part_count; p++)
        TRY(visit(context, &row->parts[p].digest, row->parts[p].name, err));
    return OK;
}

enum code documents_walk(const struct registry *registry, const struct digest *bundle,
                         documents_visit visit, void *context, struct err *err)
{
    static const struct digest none;
    struct arena arena = { 0 };
    struct document_row *rows;
    size_t count = 0;
    struct digest empty = digest_of("{}", 2);
    if (digest_equal(bundle, &none)) return OK;
    enum code code = visit(context, bundle, "evidence", err);
    if (!code) code = read_index(&arena, &rows, &count, registry, bundle, err);
    if (!code && count) code = visit(context, &empty, "evidence", err);
    for (size_t i = 0; !code && i < count; i++)
        code = walk_row(&arena, registry, &rows[i], visit, context, err);
    arena_release(&arena);
    return code;
}

struct placing {
    const struct registry *registry;
    const char *model;
};

static enum code place(void *context, const struct digest *digest, const char *what,
                       struct err *err)
{
    const struct placing *placing = context;
    const struct registry *registry = placing->registry;
    struct arena arena = { 0 };
    bool made;
    const char *to = oci_path(&arena, registry, placing->model,
                              arena_format(&arena, "blobs/sha256/%s", digest_hex(&arena, digest)));
    (void)what;
    enum code code = store_link(&registry->store, digest, to, &made, err);
    arena_release(&arena);
    return code;
}

enum code documents_place(const struct registry *registry, const char *model,
                          const struct digest *bundle, const struct digest *version,
                          struct err *err)
{
    struct placing placing = { registry, model };
    struct arena arena = { 0 };
    struct digest first;
    json_t *index = NULL;
    char name[DIGEST_TEXT];
    enum code code = oci_check_layout(registry, model, err);
    if (!code) code = read_json(&index, &arena, registry, bundle, err);
    const json_t *row = json_array_get(json_object_get(index, "manifests"), 0);
    if (!code &&
        (!digest_parse(&first, member_text(row, "digest")) || !digest_equal(&first, version)))
        code = damaged(digest_text(bundle, name), "it is about another version", err);
    if (!code) code = documents_walk(registry, bundle, place, &placing, err);
    if (!code) code = fs_sync_dir(oci_path(&arena, registry, model, "blobs/sha256"), err);
    json_decref(index);
    arena_release(&arena);
    return code;
}

static json_t *row_json(const struct document_row *row)
{
    json_t *files = json_array();
    for (int p = 0; p < row->part_count; p++) {
        json_t *file = json_pack("{ss sI ss}", "name", row->parts[p].name, "size",
                                 (json_int_t)row->parts[p].size, "media_type", row->media_types[p]);
        json_set_digest(file, "digest", &row->parts[p].digest);
        json_array_append_new(files, file);
    }
    json_t *json = json_pack("{ss sb so}", "type", document_name(row->type), "signed",
                             (int)row->is_signed, "files", files);
    json_set_digest(json, "manifest", &row->manifest);
    return json;
}

enum code documents_json(json_t **json, const struct registry *registry,
                         const struct digest *bundle, struct err *err)
{
    struct arena arena = { 0 };
    struct document_row *rows;
    size_t count;
    *json = NULL;
    enum code code = documents_read(&arena, &rows, &count, registry, bundle, err);
    if (!code) {
        json_t *list = json_array();
        for (size_t i = 0; i < count; i++) json_array_append_new(list, row_json(&rows[i]));
        *json = json_pack("{ss so}", "pawl", "evidence/1", "documents", list);
    }
    arena_release(&arena);
    return code;
}

enum code documents_card(json_t **card, const struct registry *registry,
                         const struct digest *bundle, struct err *err)
{
    struct arena arena = { 0 };
    struct document_row *rows;
    size_t count;
    *card = NULL;
    enum code code = documents_read(&arena, &rows, &count, registry, bundle, err);
    for (size_t i = 0; !code && !*card && i < count; i++)
        for (int p = 0; !code && rows[i].type == DOCUMENT_CARD && p < rows[i].part_count; p++)
            if (strcmp(rows[i].parts[p].name, CARD_FIELDS_FILE) == 0)
                code = read_json(card, &arena, registry, &rows[i].parts[p].digest, err);
    if (!code && !*card) *card = json_object();
    arena_release(&arena);
    return code;
}

enum code documents_card_names(json_t **names, const struct registry *registry,
                               const struct digest *bundle, struct err *err)
{
    json_t *card = NULL;
    *names = NULL;
    TRY(documents_card(&card, registry, bundle, err));
    *names = card_names(card_stated(card));
    json_decref(card);
    return OK;
}
