/* Content, links and layouts: each blob of each version is looked for in every place that may have
 * it, and hashed before it is trusted. */
#include "registry/repair_internal.h"

#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/oci.h"
#include "registry/reach.h"

#include <string.h>

static bool is_sound(const char *path, const struct digest *digest)
{
    struct digest got;
    return fs_digest_own(path, &got, NULL, NULL) == OK && digest_equal(&got, digest);
}

/* A path in some layout, or aside in trash/, whose bytes have this digest; NULL for none. */
static const char *stand_in(struct repairing *repairing, const struct digest *digest)
{
    struct arena *arena = &repairing->arena;
    const struct registry *registry = &repairing->registry;
    const struct state *state = &registry->state;
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    const char *aside = store_trash_path(arena, &registry->store, digest);
    if (fs_exists(aside) && is_sound(aside, digest)) return aside;
    for (size_t m = 0; m < state->model_count; m++) {
        const char *path = oci_path(arena, registry, state->models[m].name,
                                    arena_format(arena, "blobs/sha256/%s", hex));
        if (fs_exists(path) && is_sound(path, digest)) return path;
    }
    return NULL;
}

/* Puts a link to `from` where `to` is, or is not. */
static enum code link_over(const char *from, const char *to, struct err *err)
{
    char temporary[1100];
    bool made;
    fs_temporary_name(temporary, sizeof temporary, to);
    TRY(fs_link(from, temporary, &made, err));
    enum code code = fs_replace(temporary, to, err);
    if (code) fs_remove(temporary, NULL);
    return code;
}

/* Makes sure that the store has the content; *sound is false where nothing has it. */
static enum code mend_content(struct repairing *repairing, const struct digest *digest,
                              const char *what, bool *sound, struct err *err)
{
    struct arena *arena = &repairing->arena;
    const char *path = store_path(arena, &repairing->registry.store, digest);
    bool there = fs_exists(path);
    *sound = there && is_sound(path, digest);
    if (*sound) return OK;
    const char *from = stand_in(repairing, digest);
    if (!from) {
        repair_say(repairing->left, "%s: content '%s' is %s and nothing stands in for it", what,
                   path, there ? "damaged" : "missing");
        return OK;
    }
    TRY(link_over(from, path, err));
    TRY(fs_protect(path, err));
    if (strstr(from, "/trash/")) TRY(fs_remove(from, err));
    repair_say(repairing->done, "%s: content '%s' again from '%s'", what, path, from);
    *sound = true;
    return OK;
}

/* The blob of a model is a link to sound content. */
static enum code mend_blob(struct repairing *repairing, const char *model,
                           const struct digest *digest, const char *what, struct err *err)
{
    struct arena *arena = &repairing->arena;
    struct registry *registry = &repairing->registry;
    struct stat stored, there;
    char text[DIGEST_TEXT];
    bool sound;
    TRY(mend_content(repairing, digest, what, &sound, err));
    if (!sound) return OK;
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    const char *to = oci_path(arena, registry, model, arena_format(arena, "blobs/sha256/%s", hex));
    const char *from = store_path(arena, &registry->store, digest);
    TRY(fs_stat(from, &stored, err));
    if (fs_stat(to, &there, NULL) == OK && stored.st_ino == there.st_ino &&
        stored.st_dev == there.st_dev)
        return OK;
    TRY(link_over(from, to, err));
    repair_say(repairing->done, "%s: linked '%s'", what, to);
    return OK;
}

struct mending {
    struct repairing *repairing;
    const char *model, *what;
};

static enum code mend_document(void *context, const struct digest *digest, const char *name,
                               struct err *err)
{
    const struct mending *mending = context;
    const char *what = arena_format(&mending->repairing->arena, "%s, %s", mending->what, name);
    if (!reach_add(&mending->repairing->mended, digest)) return OK;
    return mend_blob(mending->repairing, mending->model, digest, what, err);
}

/* What cannot be read on is among what is left. */
static enum code mend_bundle(struct repairing *repairing, const char *model, const char *what,
                             const struct digest *bundle, struct err *err)
{
    struct mending mending = { repairing, model, what };
    enum code code = documents_walk(&repairing->registry, bundle, mend_document, &mending, err);
    return code == DAMAGED ? OK : code;
}

static enum code mend_version(struct repairing *repairing, const struct reach *retired,
                              const struct model_line *model, const struct version *version,
                              struct err *err)
{
    struct oci_version files;
    struct registry *registry = &repairing->registry;
    const char *what = arena_format(&repairing->arena, "%s@%lld", model->name,
                                    (long long)version->number);
    TRY(mend_blob(repairing, model->name, &version->digest, what, err));
    enum code code = oci_read(registry, &files, &version->digest, NULL);
    if (code == DAMAGED) return OK; /* the manifest is among what is left */
    if (code) return err_set(err, code, "cannot read the manifest of %s", what);
    TRY(mend_blob(repairing, model->name, &files.config.digest, what, err));
    for (int i = 0; i < files.layer_count; i++) {
        const struct oci_layer *layer = &files.layers[i];
        bool let_go = oci_is_weights(layer->name) && reach_has(retired, &version->digest);
        if (!let_go) TRY(mend_blob(repairing, model->name, &layer->digest, what, err));
    }
    return OK;
}

static enum code mend_layout(struct repairing *repairing, const struct model_line *model,
                             struct err *err)
{
    struct arena *arena = &repairing->arena;
    struct registry *registry = &repairing->registry;
    struct bytes bytes = { 0 };
    TRY(oci_check_layout(registry, model->name, err));
    const char *fixed = oci_path(arena, registry, model->name, "oci-layout");
    bool whole = fs_is_dir(oci_path(arena, registry, model->name, "blobs/sha256")) &&
                 fs_read_own(arena, &bytes, fixed, 4096, NULL) == OK &&
                 bytes.len == strlen(oci_layout_text) &&
                 memcmp(bytes.at, oci_layout_text, bytes.len) == 0;
    if (whole) return OK;
    if (fs_exists(fixed)) TRY(fs_remove(fixed, err));
    TRY(oci_make_layout(registry, model->name, err));
    repair_say(repairing->done, "made the layout 'models/%s' again", model->name);
    return OK;
}

static enum code note_retired(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct digest digest;
    if (entry->kind == ENTRY_RETIRE && entry_digest(entry, &digest, "digest"))
        reach_add(context, &digest);
    return OK;
}

static enum code mend_files(struct repairing *repairing, json_t *files, struct err *err)
{
    const char *name;
    json_t *file;
    json_object_foreach(files, name, file)
    {
        struct digest digest;
        bool sound;
        if (!digest_parse(&digest, json_string_value(file))) continue;
        if (!reach_add(&repairing->mended, &digest)) continue;
        TRY(mend_content(repairing, &digest, name, &sound, err));
    }
    return OK;
}

static enum code mend_evidence(void *context, const struct entry *entry, struct err *err)
{
    json_t *row;
    size_t i;
    struct repairing *repairing = context;
    struct digest bundle;
    if (entry_digest(entry, &bundle, "documents"))
        TRY(mend_bundle(repairing, entry_text(entry, "model"),
                        arena_format(&repairing->arena, "entry %lld", (long long)entry->seq),
                        &bundle, err));
    TRY(mend_files(context, json_object_get(entry->body, "files"), err));
    json_array_foreach(json_object_get(entry->body, "evidence"), i, row)
        TRY(mend_files(context, json_object_get(row, "files"), err));
    return OK;
}

enum code repair_content(struct repairing *repairing, struct err *err)
{
    const struct registry *registry = &repairing->registry;
    const struct state *state = &registry->state;
    struct reach retired = { 0 };
    struct head head = { 0 }, again = { 0 };
    enum code code = journal_walk(&registry->journal, &head, note_retired, &retired, err);
    for (size_t m = 0; !code && m < state->model_count; m++)
        code = mend_layout(repairing, &state->models[m], err);
    for (size_t m = 0; !code && m < state->model_count; m++)
        for (size_t i = 0; !code && i < state->models[m].version_count; i++)
            code = mend_version(repairing, &retired, &state->models[m],
                                &state->models[m].versions[i], err);
    if (!code) code = journal_walk(&registry->journal, &again, mend_evidence, repairing, err);
    reach_release(&retired);
    return code;
}

enum code repair_model(struct repairing *repairing, const struct model_line *model, struct err *err)
{
    struct reach retired = { 0 };
    struct head head = { 0 };
    const struct registry *registry = &repairing->registry;
    enum code code = journal_walk(&registry->journal, &head, note_retired, &retired, err);
    if (!code) code = mend_layout(repairing, model, err);
    for (size_t i = 0; !code && i < model->version_count; i++) {
        const struct version *version = &model->versions[i];
        const char *what = arena_format(&repairing->arena, "%s@%lld", model->name,
                                        (long long)version->number);
        code = mend_version(repairing, &retired, model, version, err);
        if (!code) code = mend_bundle(repairing, model->name, what, &version->evidence, err);
    }
    reach_release(&retired);
    return code;
}
