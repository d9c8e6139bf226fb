/* From a layout's blobs to content that an entry cites: hashed on the way in, the entry last. */
#include "registry/adopt_internal.h"

#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/weights.h"

#include <string.h>

struct taking {
    struct adopting *adopting;
    const struct foreign *foreign;
    const struct digest *version;
    struct oci_version files;
    struct digest documents; /* zero: none */
    json_t *evidence;        /* of evidence: its one row; borrowed */
    json_t *card;            /* of a version: names of what people wrote on its card; borrowed */
    int64_t number;
};

/* The layout's file stays another tool's to write to: the store gets a copy, and the layout a link
 * to that. */
static enum code take_blob(struct adopting *adopting, const struct digest *digest, struct err *err)
{
    struct stat info;
    struct digest got;
    char text[DIGEST_TEXT];
    const struct store *store = &adopting->registry->store;
    const char *path = adopt_blob_path(adopting, digest);
    enum code code = fs_stat(path, &info, err);
    if (code == NOT_FOUND) {
        if (fs_exists(store_locate(&adopting->arena, store, digest)))
            return store_check(store, digest, NULL, err);
        return err_set(err, DAMAGED, "it names content %s, which is not there",
                       digest_text(digest, text));
    }
    if (code) return code;
    if (!S_ISREG(info.st_mode))
        return err_set(err, DAMAGED, "blob '%s' is not a regular file", path);
    if (fs_exists(store_path(&adopting->arena, store, digest)))
        return store_check(store, digest, NULL, err);
    TRY(fs_digest_own(path, &got, NULL, err)); /* nothing false gets a name in the store */
    if (digest_equal(&got, digest)) TRY(store_put_file(store, &got, NULL, path, err));
    if (digest_equal(&got, digest)) return OK;
    return err_set(err, DAMAGED, "blob '%s' is damaged: its bytes have another digest", path);
}

static enum code take_document(void *context, const struct digest *digest, const char *what,
                               struct err *err)
{
    (void)what;
    return take_blob(context, digest, err);
}

static bool is_set(const struct digest *digest)
{
    static const struct digest none;
    return !digest_equal(digest, &none);
}

/* Where it came from: a layout and its tag, for people. */
static json_t *origin_of(const struct taking *taking)
{
    const char *tag = taking->foreign->tag;
    json_t *name = tag ? json_string(tag) : json_null();
    if (!name) name = json_null();
    return json_pack("{ss so ss}", "layout", taking->adopting->model, "tag", name, "type",
                     taking->foreign->type);
}

static void fill(const struct taking *taking, struct draft *draft)
{
    const struct adopt_opts *opts = taking->adopting->opts;
    draft->kind = ENTRY_ADOPT;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{ss so so}", "model", taking->adopting->model, "origin",
                            origin_of(taking), "evidence",
                            taking->evidence ? json_incref(taking->evidence) : json_array());
    json_set_digest(draft->body, "digest", taking->version);
    draft_subject(draft, taking->version);
    if (!is_set(&taking->documents)) return;
    json_set_digest(draft->body, "documents", &taking->documents);
    draft_subject(draft, &taking->documents);
}

static enum code decide_version(void *context, const struct state *state, struct draft *draft,
                                struct err *err)
{
    (void)err;
    struct taking *taking = context;
    const struct model_line *model = state_model(state, taking->adopting->model);
    const struct version *same = model ? model_version_of(model, taking->version) : NULL;
    taking->number = same ? same->number : model ? (int64_t)model->version_count + 1 : 1;
    if (same) return OK;
    fill(taking, draft);
    json_object_set_new(draft->body, "number", json_integer(taking->number));
    json_set_digest(draft->body, "model_digest", &taking->files.model_digest);
    json_object_set_new(draft->body, "facts", json_object());
    json_object_set_new(draft->body, "variant",
                        json_string(taking->files.variant == WEIGHTS_EMA ? "ema" : "raw"));
    json_object_set(draft->body, "card", taking->card);
    draft_subject(draft, &taking->files.model_digest);
    return OK;
}

/* Manifest, config and layers; then the weights as they lie in the store are the model. */
static enum code take_content(struct taking *taking, struct err *err)
{
    struct adopting *adopting = taking->adopting;
    struct registry *registry = adopting->registry;
    struct resolved version = { .digest = *taking->version };
    struct weights weights;
    TRY(take_blob(adopting, taking->version, err));
    TRY(oci_read(registry, &taking->files, taking->version, err));
    TRY(take_blob(adopting, &taking->files.config.digest, err));
    for (int i = 0; i < taking->files.layer_count; i++)
        TRY(take_blob(adopting, &taking->files.layers[i].digest, err));
    memcpy(version.model, adopting->model, strlen(adopting->model) + 1);
    version.model_digest = taking->files.model_digest;
    TRY(registry_weights(registry, &weights, &version, err));
    weights_release(&weights);
    return oci_place(registry, adopting->model, taking->version, &taking->files, err);
}

static enum code take_bundle(struct taking *taking, struct err *err)
{
    struct adopting *adopting = taking->adopting;
    TRY(documents_walk(adopting->registry, &taking->documents, take_document, adopting, err));
    return documents_place(adopting->registry, adopting->model, &taking->documents, taking->version,
                           err);
}

enum code adopt_version(struct adopting *adopting, int64_t *number, const struct foreign *foreign,
                        const struct digest *bundle, struct err *err)
{
    struct taking taking = { .adopting = adopting,
                             .foreign = foreign,
                             .version = &foreign->digest };
    const struct add_opts opts = { .model = adopting->model };
    TRY(take_content(&taking, err));
    if (bundle) {
        taking.documents = *bundle;
        TRY(take_bundle(&taking, err));
    } else {
        TRY(documents_register(&taking.documents, adopting->registry, &opts, &taking.files,
                               &foreign->digest, err));
    }
    TRY(documents_card_names(&taking.card, adopting->registry, &taking.documents, err));
    enum code code = registry_commit(adopting->registry, decide_version, &taking, NULL, err);
    json_decref(taking.card);
    *number = taking.number;
    return code;
}

static enum code decide_evidence(void *context, const struct state *state, struct draft *draft,
                                 struct err *err)
{
    (void)state;
    (void)err;
    fill(context, draft);
    return OK;
}

/* A document by other hands: its manifest and everything that this names. */
static enum code take_referrer(struct taking *taking, json_t *files, struct err *err)
{
    struct adopting *adopting = taking->adopting;
    const json_t *json = taking->foreign->json, *row;
    struct digest digest;
    char text[DIGEST_TEXT];
    size_t i;
    json_t *layers = json_object_get(json, "layers");
    TRY(take_blob(adopting, &taking->foreign->digest, err));
    json_object_set_new(files, "manifest",
                        json_string(digest_text(&taking->foreign->digest, text)));
    if (!digest_parse(&digest, member_text(json_object_get(json, "config"), "digest")))
        return err_set(err, DAMAGED, "its manifest has no config");
    TRY(take_blob(adopting, &digest, err));
    json_object_set_new(files, "config", json_string(digest_text(&digest, text)));
    json_array_foreach(layers, i, row)
    {
        if (!digest_parse(&digest, member_text(row, "digest")))
            return err_set(err, DAMAGED, "layer %zu of its manifest has no digest", i + 1);
        TRY(take_blob(adopting, &digest, err));
        json_object_set_new(files, arena_format(&adopting->arena, "layer-%zu", i + 1),
                            json_string(digest_text(&digest, text)));
    }
    return OK;
}

static enum code link_files(struct adopting *adopting, json_t *files, struct err *err)
{
    const char *name;
    json_t *file;
    json_object_foreach(files, name, file)
    {
        struct digest digest;
        char temporary[1100];
        bool made;
        if (!digest_parse(&digest, json_string_value(file))) continue;
        const char *to = adopt_blob_path(adopting, &digest);
        fs_temporary_name(temporary, sizeof temporary, to);
        TRY(store_link(&adopting->registry->store, &digest, temporary, &made, err));
        enum code code = fs_replace(temporary, to, err);
        fs_remove(temporary, NULL); /* rename does nothing between two names of one file */
        if (code) return code;
    }
    return OK;
}

enum code adopt_evidence(struct adopting *adopting, const struct foreign *foreign, struct err *err)
{
    struct taking taking = { .adopting = adopting, .foreign = foreign, .version = &foreign->about };
    if (reach_has(&adopting->known, &foreign->digest)) return OK;
    const struct model_line *line = state_model(&adopting->registry->state, adopting->model);
    if (digest_equal(&model_version_of(line, &foreign->about)->evidence, &foreign->digest))
        return OK; /* it came in with its version */
    json_t *files = json_object();
    taking.evidence = json_pack("[{ss ss so}]", "kind",
                                foreign->kind == FOREIGN_BUNDLE ? "bundle" : "referrer", "type",
                                foreign->type, "files", files);
    enum code code;
    if (foreign->kind == FOREIGN_BUNDLE) {
        taking.documents = foreign->digest;
        code = take_bundle(&taking, err);
    } else {
        code = take_referrer(&taking, files, err);
        if (!code) code = link_files(adopting, files, err);
    }
    if (!code) code = registry_commit(adopting->registry, decide_evidence, &taking, NULL, err);
    json_decref(taking.evidence);
    return code;
}
