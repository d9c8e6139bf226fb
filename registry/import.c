/* Taking a bundle in: nothing is believed but what its digests say, nothing is named by the file
 * but content, and the entry comes last. */
#include "registry/export.h"

#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/oci.h"
#include "registry/reach.h"
#include "registry/tar.h"
#include "registry/weights.h"

#include <stdlib.h>
#include <string.h>

enum { PART = 1 << 20 };

struct importing {
    struct arena arena;
    struct registry *registry;
    const struct import_opts *opts;
    struct tar tar;
    const char *dir; /* in staging */
    json_t *bundle, *result;
};

/* One version of the bundle on its way in. */
struct incoming {
    struct importing *importing;
    const char *model; /* here */
    struct entry entry;
    struct digest digest, model_digest;
    struct digest documents; /* the bundle of documents about it; zero: none */
    json_t *card;            /* the names of what people wrote on its card */
    json_t *evidence;        /* [{suite, report, verdict, files, entry}] */
    struct reach known;      /* reports that are here already */
    int64_t number;
    bool existed;
};

static const struct tar_member *blob_of(const struct importing *importing,
                                        const struct digest *digest)
{
    struct arena arena = { 0 };
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    const struct tar_member *member = tar_find(&importing->tar,
                                               arena_format(&arena, "blobs/sha256/%s", hex));
    arena_release(&arena);
    return member;
}

static enum code pour(const struct tar *tar, struct fs_writer *writer,
                      const struct tar_member *member, struct err *err)
{
    void *part = NULL;
    enum code code = block_alloc(&part, PART, "a copy buffer", err);
    for (uint64_t at = 0; !code && at < member->size; at += PART) {
        size_t len = member->size - at < PART ? (size_t)(member->size - at) : PART;
        code = fs_pread(tar->fd - 1, part, len, member->at + at, tar->path, err);
        if (!code) code = fs_writer_add(writer, part, len, err);
    }
    block_free(part);
    return code;
}

/* Unpacks content into staging, hashed on the way, and gives it to the store. */
static enum code take_blob(struct importing *importing, const struct digest *digest,
                           struct err *err)
{
    struct fs_writer writer = { 0 };
    struct digest got;
    char text[DIGEST_TEXT];
    const struct tar_member *member = blob_of(importing, digest);
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    if (!member)
        return err_set(err, DAMAGED, "cannot import '%s': it lacks content %s",
                       importing->opts->path, text);
    const char *path = path_join(&importing->arena, importing->dir, hex);
    enum code code = fs_writer_open(&writer, path, err);
    if (!code) code = pour(&importing->tar, &writer, member, err);
    if (!code) code = fs_writer_publish(&writer, &got, NULL, err);
    fs_writer_abandon(&writer);
    if (!code && !digest_equal(&got, digest))
        code = err_set(err, DAMAGED, "cannot import '%s': content %s is damaged",
                       importing->opts->path, text);
    if (!code) code = store_adopt(&importing->registry->store, path, digest, err);
    fs_remove(path, NULL);
    return code;
}

/* An entry of the bundle, checked by itself. */
static enum code read_entry(struct importing *importing, struct entry *entry, int64_t seq,
                            struct err *err)
{
    struct arena *arena = &importing->arena;
    struct bytes bytes;
    const char *name = arena_format(arena, "pawl/entries/%010lld.json", (long long)seq);
    const struct tar_member *member = tar_find(&importing->tar, name);
    if (!member)
        return err_set(err, DAMAGED, "cannot import '%s': it lacks entry %lld",
                       importing->opts->path, (long long)seq);
    TRY(tar_read(&importing->tar, arena, &bytes, member, ENTRY_LIMIT, err));
    return entry_parse(entry, &bytes, seq, name, err);
}

static enum code take_report(struct incoming *incoming, int64_t seq, struct err *err)
{
    struct importing *importing = incoming->importing;
    struct entry entry;
    struct digest report, model;
    const char *name;
    json_t *file;
    TRY(read_entry(importing, &entry, seq, err));
    enum code code = OK;
    if (entry.kind != ENTRY_REPORT || !entry_digest(&entry, &model, "model_digest") ||
        !digest_equal(&model, &incoming->model_digest))
        code = err_set(err, DAMAGED, "cannot import '%s': entry %lld reports on another model",
                       importing->opts->path, (long long)seq);
    entry_digest(&entry, &report, "report");
    if (!code) entry_digest(&entry, &incoming->documents, "documents");
    bool known = !code && reach_has(&incoming->known, &report);
    json_t *files = json_object_get(entry.body, "files");
    json_object_foreach(files, name, file)
    {
        struct digest digest;
        if (code || known) break;
        code = digest_parse(&digest, json_string_value(file))
                   ? take_blob(importing, &digest, err)
                   : err_set(err, DAMAGED, "cannot import '%s': entry %lld cites no content",
                             importing->opts->path, (long long)seq);
    }
    if (!code && !known) {
        json_t *row = json_pack(
            "{ss sO sO sO sO sI}", "kind", "report", "suite", json_object_get(entry.body, "suite"),
            "report", json_object_get(entry.body, "report"), "verdict",
            json_object_get(entry.body, "verdict"), "files", files, "entry", (json_int_t)seq);
        json_array_append_new(incoming->evidence, row);
    }
    entry_release(&entry);
    return code;
}

static bool has_documents(const struct incoming *incoming)
{
    static const struct digest none;
    return !digest_equal(&incoming->documents, &none);
}

static enum code take_document(void *context, const struct digest *digest, const char *what,
                               struct err *err)
{
    (void)what;
    return take_blob(context, digest, err);
}

/* The documents came with the version; they are about it or the file is damaged. Where it is here
 * already they matter with evidence that is new. */
static enum code take_documents(struct incoming *incoming, struct err *err)
{
    struct importing *importing = incoming->importing;
    const struct model_line *model = state_model(&importing->registry->state, incoming->model);
    bool here = model && model_version_of(model, &incoming->digest);
    if (!has_documents(incoming) || (here && !json_array_size(incoming->evidence))) return OK;
    TRY(documents_walk(importing->registry, &incoming->documents, take_document, importing, err));
    TRY(documents_card_names(&incoming->card, importing->registry, &incoming->documents, err));
    return documents_place(importing->registry, incoming->model, &incoming->documents,
                           &incoming->digest, err);
}

static json_t *origin_of(const struct incoming *incoming)
{
    const struct importing *importing = incoming->importing;
    const struct entry *entry = &incoming->entry;
    json_t *json = json_pack(
        "{sO sO ss sI sI}", "registry", json_object_get(importing->bundle, "registry"), "head",
        json_object_get(importing->bundle, "head"), "model", entry_text(entry, "model"), "number",
        (json_int_t)entry_int(entry, "number"), "seq", (json_int_t)entry->seq);
    json_set_digest(json, "entry", &entry->digest);
    return json;
}

/* A version that is new here, or evidence that is new about one that is not. */
static enum code decide(void *context, const struct state *state, struct draft *draft,
                        struct err *err)
{
    (void)err;
    struct incoming *incoming = context;
    const struct import_opts *opts = incoming->importing->opts;
    const struct model_line *model = state_model(state, incoming->model);
    const struct version *same = model ? model_version_of(model, &incoming->digest) : NULL;
    json_t *facts = json_object_get(incoming->entry.body, "facts");
    json_t *variant = json_object_get(incoming->entry.body, "variant");
    incoming->existed = same != NULL;
    incoming->number = same ? same->number : model ? (int64_t)model->version_count + 1 : 1;
    if (same && !json_array_size(incoming->evidence)) return OK;
    draft->kind = same ? ENTRY_ADOPT : ENTRY_IMPORT;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{ss so sO}", "model", incoming->model, "origin", origin_of(incoming),
                            "evidence", incoming->evidence);
    json_set_digest(draft->body, "digest", &incoming->digest);
    draft_subject(draft, &incoming->digest);
    if (has_documents(incoming)) {
        json_set_digest(draft->body, "documents", &incoming->documents);
        draft_subject(draft, &incoming->documents);
    }
    if (same) return OK;
    json_object_set_new(draft->body, "number", json_integer(incoming->number));
    json_set_digest(draft->body, "model_digest", &incoming->model_digest);
    json_object_set_new(draft->body, "facts", facts ? json_incref(facts) : json_object());
    if (variant) json_object_set(draft->body, "variant", variant);
    if (incoming->card) json_object_set(draft->body, "card", incoming->card);
    draft_subject(draft, &incoming->model_digest);
    return OK;
}

/* Reports about this version that entries here cite. */
static enum code note_known(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct incoming *incoming = context;
    struct digest digest;
    json_t *row;
    size_t i;
    if (entry->kind == ENTRY_REPORT && entry_digest(entry, &digest, "model_digest") &&
        digest_equal(&digest, &incoming->model_digest) && entry_digest(entry, &digest, "report"))
        reach_add(&incoming->known, &digest);
    json_array_foreach(
        json_object_get(entry->body, "evidence"), i,
        row) if (digest_parse(&digest, json_string_value(json_object_get(row, "report"))))
        reach_add(&incoming->known, &digest);
    return OK;
}

/* Manifest, config, layers; then the weights as they lie in the store are the model. */
static enum code take_content(struct incoming *incoming, struct oci_version *files, struct err *err)
{
    struct importing *importing = incoming->importing;
    struct resolved version = { .number = entry_int(&incoming->entry, "number"),
                                .digest = incoming->digest,
                                .model_digest = incoming->model_digest };
    struct weights weights;
    memcpy(version.model, incoming->model, strlen(incoming->model) + 1);
    TRY(take_blob(importing, &incoming->digest, err));
    TRY(oci_read(importing->registry, files, &incoming->digest, err));
    TRY(take_blob(importing, &files->config.digest, err));
    for (int i = 0; i < files->layer_count; i++)
        TRY(take_blob(importing, &files->layers[i].digest, err));
    TRY(registry_weights(importing->registry, &weights, &version, err));
    weights_release(&weights);
    return OK;
}

static enum code check_entry(struct incoming *incoming, const json_t *row, struct err *err)
{
    const struct entry *entry = &incoming->entry;
    const char *path = incoming->importing->opts->path, *model;
    int64_t number;
    TRY(json_get_text(&model, row, "model", path, err));
    TRY(json_get_int(&number, row, "number", path, err));
    bool registers = entry_registers(entry);
    const char *stated = entry_text(entry, "model");
    if (registers && stated && strcmp(stated, model) == 0 && entry_int(entry, "number") == number &&
        entry_digest(entry, &incoming->digest, "digest") &&
        entry_digest(entry, &incoming->model_digest, "model_digest")) {
        entry_digest(entry, &incoming->documents, "documents");
        incoming->model = incoming->importing->opts->as ? incoming->importing->opts->as : model;
        return name_check_model(incoming->model, err);
    }
    return err_set(err, DAMAGED, "cannot import '%s': entry %lld does not register %.80s@%lld",
                   path, (long long)entry->seq, model, (long long)number);
}

static enum code take_version(struct incoming *incoming, const json_t *row, struct err *err)
{
    struct importing *importing = incoming->importing;
    struct registry *registry = importing->registry;
    struct oci_version files;
    struct head head = { 0 };
    json_t *reports, *seq;
    size_t i;
    TRY(check_entry(incoming, row, err));
    TRY(registry_refresh(registry, err));
    TRY(journal_walk(&registry->journal, &head, note_known, incoming, err));
    TRY(take_content(incoming, &files, err));
    TRY(json_get_array(&reports, row, "reports", importing->opts->path, err));
    json_array_foreach(reports, i, seq) TRY(take_report(incoming, json_integer_value(seq), err));
    TRY(oci_place(registry, incoming->model, &incoming->digest, &files, err));
    TRY(take_documents(incoming, err));
    TRY(registry_commit(registry, decide, incoming, NULL, err));
    json_t *line = json_pack("{ss sI sb sI}", "model", incoming->model, "number",
                             (json_int_t)incoming->number, "existed", (int)incoming->existed,
                             "evidence", (json_int_t)json_array_size(incoming->evidence));
    json_set_digest(line, "digest", &incoming->digest);
    json_array_append_new(importing->result, line);
    return OK;
}

static enum code take_row(struct importing *importing, const json_t *row, struct err *err)
{
    struct incoming incoming = { .importing = importing, .evidence = json_array() };
    int64_t seq;
    enum code code = json_get_int(&seq, row, "entry", importing->opts->path, err);
    if (!code) code = read_entry(importing, &incoming.entry, seq, err);
    if (!code) {
        code = take_version(&incoming, row, err);
        entry_release(&incoming.entry);
    }
    json_decref(incoming.evidence);
    json_decref(incoming.card);
    reach_release(&incoming.known);
    return code;
}

static enum code read_bundle(struct importing *importing, struct err *err)
{
    const char *path = importing->opts->path;
    const struct tar_member *member = tar_find(&importing->tar, "pawl/bundle.json");
    struct bytes bytes;
    struct digest id;
    json_t *head;
    if (!member) return err_set(err, DAMAGED, "cannot import '%s': it has no bundle.json", path);
    TRY(tar_read(&importing->tar, &importing->arena, &bytes, member, EXPORT_DOCUMENT, err));
    TRY(json_parse(&importing->bundle, bytes.at, bytes.len, "bundle.json", err));
    const char *pawl = json_string_value(json_object_get(importing->bundle, "pawl"));
    if (!pawl || strcmp(pawl, "export/1") != 0)
        return err_set(err, DAMAGED, "cannot import '%s': it is no export/1 bundle", path);
    TRY(json_get_digest(&id, importing->bundle, "registry", path, err));
    return json_get_object(&head, importing->bundle, "head", path, err);
}

static enum code stage(struct importing *importing, struct err *err)
{
    uint64_t nonce[2];
    random_bytes(nonce, sizeof nonce);
    importing->dir = arena_format(&importing->arena, "%s/import.%016llx%016llx",
                                  importing->registry->store.staging, (unsigned long long)nonce[0],
                                  (unsigned long long)nonce[1]);
    return fs_mkdir_like(importing->dir, err);
}

static enum code take_all(struct importing *importing, struct err *err)
{
    json_t *versions, *row;
    size_t i;
    TRY(read_bundle(importing, err));
    TRY(json_get_array(&versions, importing->bundle, "versions", importing->opts->path, err));
    for (i = 1; importing->opts->as && i < json_array_size(versions); i++)
        if (!json_equal(json_object_get(json_array_get(versions, i), "model"),
                        json_object_get(json_array_get(versions, 0), "model")))
            return err_set(err, USAGE, "cannot import '%s' as '%s': it holds several models",
                           importing->opts->path, importing->opts->as);
    TRY(stage(importing, err));
    json_array_foreach(versions, i, row) TRY(take_row(importing, row, err));
    return OK;
}

enum code registry_import(struct registry *registry, json_t **result,
                          const struct import_opts *opts, struct err *err)
{
    struct importing importing = { .registry = registry, .opts = opts, .result = json_array() };
    *result = NULL;
    enum code code = tar_open(&importing.tar, &importing.arena, opts->path, EXPORT_MEMBERS,
                              export_expects, err);
    if (!code) code = take_all(&importing, err);
    if (!code) *result = json_pack("{ss sO}", "pawl", "import/1", "versions", importing.result);
    if (importing.dir) fs_remove_tree(importing.dir, NULL);
    tar_close(&importing.tar);
    json_decref(importing.bundle);
    json_decref(importing.result);
    arena_release(&importing.arena);
    return code;
}
