/* Making documents: gather the record, run the makers of a stage, store what they say, bundle it.
 *
 * Everything here is content behind which an entry is written later: what an interrupted command
 * leaves is unreferenced. */
#include "registry/commit.h"
#include "registry/documents_table.h"

#include <stdlib.h>
#include <string.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE    "application/vnd.oci.image.index.v1+json"
#define EMPTY_TYPE    "application/vnd.oci.empty.v1+json"

struct bundling {
    const struct registry *registry;
    const struct record *record;
    struct arena *arena;
    bool at_report;
    uint64_t version_size;        /* of the version's manifest */
    json_t *made[DOCUMENT_TYPES]; /* descriptor of a new document, or NULL */
};

static json_t *descriptor(const char *media_type, const struct digest *digest, uint64_t size)
{
    char text[DIGEST_TEXT];
    return json_pack("{ss ss sI}", "mediaType", media_type, "digest", digest_text(digest, text),
                     "size", (json_int_t)size);
}

static enum code put_json(struct oci_layer *layer, const struct bundling *bundling,
                          const json_t *json, struct err *err)
{
    size_t len;
    const char *text = json_canonical(bundling->arena, json, &len);
    layer->size = len;
    return store_put(&bundling->registry->store, &layer->digest, text, len, err);
}

/* A bundle keeps its members in the order in which they were set, and has none that old clients do
 * not know: skopeo writes an index anew in that order, and only so its digest stays. */
static enum code put_index(struct oci_layer *layer, const struct bundling *bundling,
                           const json_t *json, struct err *err)
{
    char *text = json_dumps(json, JSON_COMPACT);
    REQUIRE(text);
    layer->size = strlen(text);
    enum code code = store_put(&bundling->registry->store, &layer->digest, text, layer->size, err);
    free(text);
    return code;
}

/* The model's folder gets the blob too, so that the bundle is whole in its layout. */
static enum code place(const struct bundling *bundling, const struct digest *digest,
                       struct err *err)
{
    struct arena arena = { 0 };
    bool made;
    const struct registry *registry = bundling->registry;
    const char *to = arena_format(&arena, "%s/models/%s/blobs/sha256/%s", registry->dir,
                                  bundling->record->model, digest_hex(&arena, digest));
    enum code code = store_link(&registry->store, digest, to, &made, err);
    arena_release(&arena);
    return code;
}

static enum code put_parts(json_t *layers, const struct bundling *bundling,
                           struct evidence *evidence, struct err *err)
{
    for (int i = 0; i < evidence->count; i++) {
        struct document_part *part = &evidence->parts[i];
        if (part->bytes.at) {
            part->layer.size = part->bytes.len;
            TRY(store_put(&bundling->registry->store, &part->layer.digest, part->bytes.at,
                          part->bytes.len, err));
        }
        json_t *json = descriptor(part->media_type, &part->layer.digest, part->layer.size);
        json_object_set_new(json, "annotations", json_pack("{ss}", TITLE_NOTE, part->file));
        json_array_append_new(layers, json);
        TRY(place(bundling, &part->layer.digest, err));
    }
    return OK;
}

static json_t *subject_json(const struct bundling *bundling)
{
    return descriptor(MANIFEST_TYPE, &bundling->record->digest, bundling->version_size);
}

/* One document as an OCI artifact (opencontainers/image-spec, manifest.md: guidelines for artifact
 * usage). */
static enum code put_document(struct bundling *bundling, enum document_type type,
                              struct evidence *evidence, struct err *err)
{
    const struct document_kind *kind = &document_table[type];
    struct oci_layer empty = { .size = 2 }, manifest = { 0 };
    json_t *layers = json_array(), *json = NULL;
    enum code code = put_parts(layers, bundling, evidence, err);
    if (!code) code = store_put(&bundling->registry->store, &empty.digest, "{}", 2, err);
    if (!code) code = place(bundling, &empty.digest, err);
    json = json_pack("{si ss ss so sO so}", "schemaVersion", 2, "mediaType", MANIFEST_TYPE,
                     "artifactType", kind->artifact_type, "config",
                     descriptor(EMPTY_TYPE, &empty.digest, empty.size), "layers", layers, "subject",
                     subject_json(bundling));
    if (!code) code = put_json(&manifest, bundling, json, err);
    if (!code) code = place(bundling, &manifest.digest, err);
    if (!code) {
        bool is_signed = type == DOCUMENT_SIGNATURE ||
                         strstr(evidence->parts[0].media_type, "+dsse") != NULL;
        bundling->made[type] = descriptor(MANIFEST_TYPE, &manifest.digest, manifest.size);
        json_object_set_new(bundling->made[type], "annotations",
                            json_pack("{ss ss}", DOCUMENT_NOTE, kind->name, SIGNED_NOTE,
                                      is_signed ? "true" : "false"));
    }
    json_decref(layers);
    json_decref(json);
    return code;
}

/* What stays of the bundle before, then what is new, in the order of the table. */
static json_t *merge(const struct bundling *bundling, const json_t *before)
{
    json_t *list = json_array(), *row;
    json_t *version = subject_json(bundling);
    size_t i;
    json_array_append_new(list, version);
    for (int type = 0; type < DOCUMENT_TYPES; type++) {
        json_array_foreach(before, i, row)
        {
            const json_t *notes = json_object_get(row, "annotations");
            const char *name = json_string_value(json_object_get(notes, DOCUMENT_NOTE));
            bool replaced = bundling->made[type] && !document_table[type].many;
            if (document_find(name) == (enum document_type)type && !replaced)
                json_array_append(list, row);
        }
        if (bundling->made[type]) json_array_append(list, bundling->made[type]);
    }
    return list;
}

static enum code read_before(json_t **index, struct bundling *bundling, const struct digest *before,
                             struct err *err)
{
    static const struct digest none;
    struct bytes bytes;
    char name[DIGEST_TEXT];
    *index = NULL;
    if (!before || digest_equal(before, &none)) return OK;
    digest_text(before, name);
    TRY(store_read(&bundling->registry->store, bundling->arena, &bytes, before, BUNDLE_INDEX_LIMIT,
                   err));
    return json_parse(index, bytes.at, bytes.len, name, err);
}

static enum code sync_layout(const struct bundling *bundling, struct err *err)
{
    return fs_sync_dir(arena_format(bundling->arena, "%s/models/%s/blobs/sha256",
                                    bundling->registry->dir, bundling->record->model),
                       err);
}

static enum code make_bundle(struct digest *bundle, struct bundling *bundling,
                             const struct digest *before, struct err *err)
{
    json_t *index = NULL, *json = NULL;
    struct oci_layer layer;
    enum code code = oci_check_layout(bundling->registry, bundling->record->model, err);
    if (!code)
        code = store_size(&bundling->registry->store, &bundling->record->digest,
                          &bundling->version_size, err);
    for (int type = 0; !code && type < DOCUMENT_TYPES; type++) {
        const struct document_kind *kind = &document_table[type];
        struct evidence evidence = { .count = 0 };
        if (!(bundling->at_report ? kind->at_report : kind->at_register)) continue;
        kind->make(&evidence, bundling->arena, bundling->record);
        if (evidence.count) code = put_document(bundling, (enum document_type)type, &evidence, err);
    }
    if (!code) code = read_before(&index, bundling, before, err);
    if (!code)
        json = json_pack("{si ss so}", "schemaVersion", 2, "mediaType", INDEX_TYPE, "manifests",
                         merge(bundling, json_object_get(index, "manifests")));
    if (!code) code = put_index(&layer, bundling, json, err);
    if (!code) code = place(bundling, &layer.digest, err);
    if (!code) code = sync_layout(bundling, err);
    if (!code) *bundle = layer.digest;
    for (int type = 0; type < DOCUMENT_TYPES; type++) json_decref(bundling->made[type]);
    json_decref(index);
    json_decref(json);
    return code;
}

static enum code read_stored(json_t **json, struct arena *arena, const struct registry *registry,
                             const struct digest *digest, const char *name, struct err *err)
{
    struct bytes bytes;
    *json = NULL;
    TRY(store_read(&registry->store, arena, &bytes, digest, DOCUMENT_LIMIT, err));
    return json_parse(json, bytes.at, bytes.len, name, err);
}

static enum code read_description(json_t **json, struct arena *arena,
                                  const struct registry *registry, const struct oci_version *files,
                                  struct err *err)
{
    const struct oci_layer *layer = oci_layer(files, "model.json");
    *json = json_object();
    if (!layer) return OK;
    json_decref(*json);
    return read_stored(json, arena, registry, &layer->digest, "model.json", err);
}

enum code documents_register(struct digest *bundle, const struct registry *registry,
                             const struct add_opts *opts, const struct oci_version *files,
                             const struct digest *digest, struct err *err)
{
    struct arena arena = { 0 };
    json_t *description = NULL, *facts = opts->facts ? json_incref(opts->facts) : json_object();
    enum code code = read_description(&description, &arena, registry, files, err);
    if (!code) {
        struct record record = { .model = opts->model,
                                 .digest = *digest,
                                 .files = files,
                                 .facts = facts,
                                 .description = description,
                                 .card = opts->card,
                                 .key = registry->key };
        struct bundling bundling = { .registry = registry, .record = &record, .arena = &arena };
        code = make_bundle(bundle, &bundling, NULL, err);
    }
    json_decref(description);
    json_decref(facts);
    arena_release(&arena);
    return code;
}

/* Whether a report is the newest of its suite, which is not `but`. */
static bool counts(const struct state *state, size_t at, const struct digest *model,
                   const struct digest *but)
{
    const struct report_note *report = &state->reports[at];
    return digest_equal(&report->model_digest, model) &&
           !(but && digest_equal(&report->suite, but)) &&
           state_report(state, model, &report->suite) == report;
}

static enum code add_report(json_t *reports, struct arena *arena, const struct registry *registry,
                            int64_t seq, struct err *err)
{
    struct entry entry;
    struct digest digest;
    json_t *report;
    TRY(journal_read(&registry->journal, &entry, seq, err));
    const json_t *files = json_object_get(entry.body, "files");
    bool cited = digest_parse(&digest, member_text(files, "report.json"));
    entry_release(&entry);
    if (!cited)
        return err_set(err, DAMAGED, "journal entry %lld cites no report.json", (long long)seq);
    TRY(read_stored(&report, arena, registry, &digest, "report.json", err));
    json_array_append_new(reports, report);
    return OK;
}

enum code documents_reports(json_t *reports, const struct registry *registry,
                            const struct state *state, const struct digest *model,
                            const struct digest *but, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = OK;
    for (size_t i = 0; !code && i < state->report_count; i++)
        if (counts(state, i, model, but))
            code = add_report(reports, &arena, registry, state->reports[i].seq, err);
    arena_release(&arena);
    return code;
}

/* What a record borrows. */
struct gathered {
    const struct registry *registry;
    const struct state *state;
    const struct version *version;
    const struct report_opts *opts;
    struct arena arena;
    json_t *description, *card, *reports, *report;
    struct entry entry;
    struct oci_version files;
};

static void gathered_release(struct gathered *gathered)
{
    json_decref(gathered->description);
    json_decref(gathered->card);
    json_decref(gathered->reports);
    json_decref(gathered->report);
    entry_release(&gathered->entry);
    arena_release(&gathered->arena);
}

static enum code gather(struct gathered *gathered, const struct digest *report, struct err *err)
{
    const struct registry *registry = gathered->registry;
    const struct version *version = gathered->version;
    struct arena *arena = &gathered->arena;
    gathered->reports = json_array();
    TRY(journal_read(&registry->journal, &gathered->entry, version->seq, err));
    TRY(oci_read(registry, &gathered->files, &version->digest, err));
    TRY(read_description(&gathered->description, arena, registry, &gathered->files, err));
    TRY(documents_card(&gathered->card, registry, &version->evidence, err));
    TRY(documents_reports(gathered->reports, registry, gathered->state, &version->model_digest,
                          &gathered->opts->suite, err));
    TRY(read_stored(&gathered->report, arena, registry, report, "report.json", err));
    json_array_append(gathered->reports, gathered->report);
    return OK;
}

enum code documents_report(struct digest *bundle, const struct registry *registry,
                           const struct state *state, const struct report_opts *opts,
                           const struct digest *document, const struct digest *scores,
                           struct err *err)
{
    struct gathered gathered = { .registry = registry, .state = state, .opts = opts };
    struct oci_layer files[2] = { { .name = "report.json", .digest = *document },
                                  { .name = "scores.h5", .digest = *scores } };
    gathered.version = model_version(state_model(state, opts->model), opts->number);
    enum code code = gather(&gathered, document, err);
    for (int i = 0; !code && i < 2; i++)
        code = store_size(&registry->store, &files[i].digest, &files[i].size, err);
    if (!code) {
        struct record record = { .model = opts->model,
                                 .digest = gathered.version->digest,
                                 .files = &gathered.files,
                                 .facts = json_object_get(gathered.entry.body, "facts"),
                                 .description = gathered.description,
                                 .card = gathered.card,
                                 .reports = gathered.reports,
                                 .report = gathered.report,
                                 .verdict = opts->verdict,
                                 .report_files = { files[0], files[1] },
                                 .key = registry->key };
        struct bundling bundling = {
            .registry = registry, .record = &record, .arena = &gathered.arena, .at_report = true
        };
        code = make_bundle(bundle, &bundling, &gathered.version->evidence, err);
    }
    gathered_release(&gathered);
    return code;
}

enum code documents_recard(struct digest *bundle, const struct registry *registry,
                           const struct model_line *model, const struct version *version,
                           const json_t *card, struct err *err)
{
    struct gathered gathered = { .registry = registry, .version = version };
    struct arena *arena = &gathered.arena;
    gathered.reports = json_array();
    enum code code = journal_read(&registry->journal, &gathered.entry, version->seq, err);
    if (!code) code = oci_read(registry, &gathered.files, &version->digest, err);
    if (!code)
        code = read_description(&gathered.description, arena, registry, &gathered.files, err);
    if (!code)
        code = documents_reports(gathered.reports, registry, &registry->state,
                                 &version->model_digest, NULL, err);
    if (!code) {
        struct record record = { .model = model->name,
                                 .digest = version->digest,
                                 .files = &gathered.files,
                                 .facts = json_object_get(gathered.entry.body, "facts"),
                                 .description = gathered.description,
                                 .card = card,
                                 .reports = gathered.reports,
                                 .key = registry->key };
        struct bundling bundling = { .registry = registry, .record = &record, .arena = arena };
        code = make_bundle(bundle, &bundling, &version->evidence, err);
    }
    gathered_release(&gathered);
    return code;
}
