/* Adding a version: build the bundle in staging, prove it, give it to the store, then say so.
 *
 * Everything before the entry is content that nobody refers to: an interrupted add leaves a folder
 * in staging/ and unreferenced content, never half a version. The folder's intent says who is at
 * work, before anything is looked for in the store. */
#include "registry/registry.h"

#include "model/safetensors.h"
#include "registry/bundle.h"
#include "registry/card.h"
#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/golden.h"
#include "registry/oci.h"

#include <string.h>

enum { FACTS_LIMIT = 64 << 10 };

struct adding {
    const struct add_opts *opts;
    const struct registry *registry;
    struct arena arena;
    const char *dir; /* the staging folder */
    struct oci_version version;
    struct added *added;
    struct digest weights; /* of model.safetensors, hashed while it was written */
    bool has_profile;
};

static enum code check_opts(const struct add_opts *opts, struct err *err)
{
    TRY(name_check_model(opts->model, err));
    if (!opts->facts) return OK;
    struct arena arena = { 0 };
    size_t len;
    json_canonical(&arena, opts->facts, &len);
    arena_release(&arena);
    if (json_is_object(opts->facts) && len <= FACTS_LIMIT) return OK;
    return err_set(err, USAGE, "cannot add '%s': its facts are no object of at most %d bytes",
                   opts->model, FACTS_LIMIT);
}

static enum code publish_intent(const struct adding *adding, struct err *err)
{
    struct arena arena = { 0 };
    char time[TIME_TEXT];
    const char *actor = adding->opts->actor;
    json_t *intent = json_pack("{ss ss ss ss* ss}", "pawl", "intent/1", "kind", "register", "model",
                               adding->opts->model, "actor", actor, "time", clock_utc(time));
    enum code code = intent ? OK : err_set(err, USAGE, "cannot record the actor: not UTF-8 text");
    if (!code) code = json_publish(intent, path_join(&arena, adding->dir, "intent.json"), err);
    json_decref(intent);
    arena_release(&arena);
    return code;
}

static enum code stage(struct adding *adding, const struct registry *registry, struct err *err)
{
    uint64_t nonce[2];
    random_bytes(nonce, sizeof nonce);
    adding->dir = arena_format(&adding->arena, "%s/add.%016llx%016llx", registry->store.staging,
                               (unsigned long long)nonce[0], (unsigned long long)nonce[1]);
    TRY(fs_mkdir_like(adding->dir, err));
    return publish_intent(adding, err);
}

static char *staged(struct adding *adding, const char *name)
{
    return path_join(&adding->arena, adding->dir, name);
}

/* The groups that are the model, as one list. */
static enum code model_tensors(struct arena *arena, struct named_tensor **tensors, size_t *count,
                               const struct checkpoint *checkpoint, struct err *err)
{
    bool ema = checkpoint->variant == WEIGHTS_EMA;
    const struct tensor_group *groups[2] = {
        checkpoint_group(checkpoint, ema ? "ema" : "param"),
        checkpoint_group(checkpoint, ema ? "ema_state" : "state"),
    };
    *count = 0;
    if (!groups[0])
        return err_set(err, DAMAGED, "cannot add the checkpoint: it has no group '%s'",
                       ema ? "ema" : "param");
    *tensors = ARENA_ARRAY(arena, groups[0]->count + (groups[1] ? groups[1]->count : 0),
                           struct named_tensor);
    for (int g = 0; g < 2 && groups[g]; g++)
        for (size_t i = 0; i < groups[g]->count; i++)
            (*tensors)[(*count)++] = groups[g]->tensors[i];
    return OK;
}

/* What the model is made of, wherever it came from. */
struct parts {
    const json_t *model, *profile;
    struct named_tensor *tensors;
    size_t count;
    enum weights_variant variant;
};

static enum code write_files(struct adding *adding, const struct parts *parts, struct err *err)
{
    adding->has_profile = parts->profile != NULL;
    TRY(json_publish(parts->model, staged(adding, "model.json"), err));
    if (adding->has_profile) TRY(json_publish(parts->profile, staged(adding, "profile.json"), err));
    return safetensors_write(staged(adding, "model.safetensors"), parts->tensors, parts->count,
                             parts->variant, &adding->weights, NULL, err);
}

/* What was written, read back: the version's model digest is taken from it and from nothing
 * else. */
static enum code prove(struct adding *adding, const struct digest *want, struct err *err)
{
    struct weights weights;
    char text[DIGEST_TEXT];
    TRY(weights_load(&weights, adding->dir, false, err));
    struct digest got = model_digest(weights.model, weights.variant, weights.tensors,
                                     weights.count);
    enum code code = OK;
    if (!digest_equal(&got, want))
        code = err_set(err, DAMAGED, "cannot add '%s': the weights written are not model %s",
                       adding->opts->checkpoint, digest_text(want, text));
    adding->version.model_digest = got;
    adding->version.variant = weights.variant;
    if (!code)
        code = golden_write(staged(adding, "sample.h5"), &weights, &adding->opts->sample, err);
    weights_release(&weights);
    return code;
}

static enum code build_from_checkpoint(struct adding *adding, struct digest *digest,
                                       struct err *err)
{
    struct checkpoint checkpoint;
    TRY(checkpoint_open(&checkpoint, adding->opts->checkpoint, err));
    struct parts parts = { .model = checkpoint.model,
                           .profile = checkpoint.profile,
                           .variant = checkpoint.variant };
    *digest = checkpoint.model_digest;
    enum code code = model_tensors(&adding->arena, &parts.tensors, &parts.count, &checkpoint, err);
    if (!code) code = write_files(adding, &parts, err);
    checkpoint_close(&checkpoint);
    return code;
}

/* A bundle that states its files' digests is held to them. */
static enum code build_from_bundle(struct adding *adding, struct digest *digest, struct err *err)
{
    struct weights weights;
    json_t *bundle = NULL;
    const char *dir = adding->opts->checkpoint;
    if (fs_exists(path_join(&adding->arena, dir, "bundle.json")))
        TRY(bundle_check_alone(&bundle, dir, err));
    json_decref(bundle);
    TRY(weights_load(&weights, dir, false, err));
    struct parts parts = { .model = weights.model,
                           .profile = weights.profile,
                           .tensors = weights.tensors,
                           .count = weights.count,
                           .variant = weights.variant };
    *digest = weights.digest;
    enum code code = write_files(adding, &parts, err);
    weights_release(&weights);
    return code;
}

static enum code build(struct adding *adding, struct err *err)
{
    struct digest digest;
    const char *dir = adding->opts->checkpoint;
    if (fs_exists(path_join(&adding->arena, dir, "model.safetensors")))
        TRY(build_from_bundle(adding, &digest, err));
    else
        TRY(build_from_checkpoint(adding, &digest, err));
    return prove(adding, &digest, err);
}

static enum code digest_staged(const struct adding *adding, const char *path,
                               struct oci_layer *layer, struct err *err)
{
    struct stat info;
    if (!oci_is_weights(layer->name)) return fs_digest(path, &layer->digest, &layer->size, err);
    layer->digest = adding->weights;
    TRY(fs_stat(path, &info, err));
    layer->size = (uint64_t)info.st_size;
    return OK;
}

/* Gives each file to the store under its digest: of the weights what was hashed on the way, which
 * prove() has read back tensor by tensor; of the small ones what lies there now. */
static enum code store_files(struct adding *adding, const struct registry *registry,
                             struct err *err)
{
    const char *const names[] = { "model.safetensors", "model.json", "sample.h5", "profile.json" };
    struct oci_version *version = &adding->version;
    version->layer_count = 0;
    for (size_t i = 0; i < (adding->has_profile ? 4 : 3); i++) {
        const char *path = staged(adding, names[i]);
        struct oci_layer *layer = &version->layers[version->layer_count++];
        layer->name = names[i];
        TRY(digest_staged(adding, path, layer, err));
        TRY(store_adopt(&registry->store, path, &layer->digest, err));
    }
    return OK;
}

/* The version is here already; what people write about it may be new. */
static enum code decide_card(const struct adding *adding, const struct model_line *model,
                             const struct version *same, struct draft *draft, struct err *err)
{
    const struct add_opts *opts = adding->opts;
    json_t *before = NULL;
    struct digest evidence;
    if (!opts->card) return OK;
    TRY(documents_card(&before, adding->registry, &same->evidence, err));
    bool known = json_equal(before, opts->card) && same->card == card_stated(opts->card);
    json_decref(before);
    if (known) return OK;
    TRY(documents_recard(&evidence, adding->registry, model, same, opts->card, err));
    draft->kind = ENTRY_ADOPT;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{ss so so s{ss}}", "model", opts->model, "card",
                            card_names(card_stated(opts->card)), "evidence", json_array(), "origin",
                            "type", "card/1");
    json_set_digest(draft->body, "digest", &same->digest);
    json_set_digest(draft->body, "documents", &evidence);
    draft_subject(draft, &same->digest);
    draft_subject(draft, &evidence);
    return OK;
}

static enum code decide(void *context, const struct state *state, struct draft *draft,
                        struct err *err)
{
    struct adding *adding = context;
    struct digest evidence;
    const struct add_opts *opts = adding->opts;
    const struct model_line *model = state_model(state, opts->model);
    const struct version *same = model ? model_version_of(model, &adding->added->digest) : NULL;
    adding->added->existed = same != NULL;
    adding->added->number = same ? same->number : model ? (int64_t)model->version_count + 1 : 1;
    if (same) return decide_card(adding, model, same, draft, err);
    TRY(documents_register(&evidence, adding->registry, opts, &adding->version,
                           &adding->added->digest, err));
    draft->kind = ENTRY_REGISTER;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{ss sI ss so}", "model", opts->model, "number",
                            (json_int_t)adding->added->number, "variant",
                            adding->version.variant == WEIGHTS_EMA ? "ema" : "raw", "facts",
                            opts->facts ? json_incref(opts->facts) : json_object());
    json_set_digest(draft->body, "digest", &adding->added->digest);
    json_set_digest(draft->body, "model_digest", &adding->added->model_digest);
    draft_subject(draft, &adding->added->digest);
    draft_subject(draft, &adding->added->model_digest);
    json_object_set_new(draft->body, "card", card_names(card_stated(opts->card)));
    json_set_digest(draft->body, "documents", &evidence);
    draft_subject(draft, &evidence);
    return OK;
}

static bool content_there(const struct adding *adding, const struct registry *registry)
{
    struct arena arena = { 0 };
    const struct oci_version *version = &adding->version;
    bool there = fs_exists(store_path(&arena, &registry->store, &adding->added->digest)) &&
                 fs_exists(store_path(&arena, &registry->store, &version->config.digest));
    for (int i = 0; there && i < version->layer_count; i++)
        there = fs_exists(store_path(&arena, &registry->store, &version->layers[i].digest));
    arena_release(&arena);
    return there;
}

/* Once more when content went away between its check and its link: its holds are seen by then. */
static enum code put_content(struct adding *adding, const struct registry *registry,
                             struct err *err)
{
    enum { TRIES = 4 };
    struct oci_version *version = &adding->version;
    const char *model = adding->opts->model;
    enum code code = OK;
    for (int i = 0; i < TRIES; i++) {
        code = store_files(adding, registry, err);
        if (!code) code = oci_put(registry, version, &adding->added->digest, model, err);
        if (!code) code = oci_place(registry, model, &adding->added->digest, version, err);
        if (!code || content_there(adding, registry)) break;
    }
    return code;
}

enum code registry_add(struct registry *registry, struct added *added, const struct add_opts *opts,
                       struct err *err)
{
    struct adding adding = { .opts = opts, .registry = registry, .added = added };
    memset(added, 0, sizeof *added);
    enum code code = check_opts(opts, err);
    if (code) goto out;
    if ((code = stage(&adding, registry, err))) goto out;
    if ((code = build(&adding, err))) goto out;
    if ((code = put_content(&adding, registry, err))) goto out;
    added->model_digest = adding.version.model_digest;
    if ((code = registry_commit(registry, decide, &adding, NULL, err))) goto out;
    if (!content_there(&adding, registry)) code = put_content(&adding, registry, err);
out:
    if (adding.dir) fs_remove_tree(adding.dir, NULL);
    arena_release(&adding.arena);
    return code;
}
