/* registry_verify: every byte that versions and reports refer to, and every model's layout. */
#include "registry/verify.h"

#include "base/str.h"
#include "registry/card.h"
#include "registry/documents.h"
#include "registry/oci.h"

#include <stdlib.h>
#include <string.h>

static int by_text(const void *a, const void *b)
{
    return strcmp(a, *(char *const *)b);
}

/* The place of a digest among the names in the store, or -1. */
static ptrdiff_t place_of(const struct verifying *verifying, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    char **at = bsearch(hex, verifying->names, verifying->name_count, sizeof *at, by_text);
    return at ? at - verifying->names : -1;
}

bool verify_blob(struct verifying *verifying, const struct digest *digest, const char *what)
{
    struct err err;
    struct stat info;
    uint64_t size;
    const struct store *store = &verifying->registry.store;
    ptrdiff_t place = place_of(verifying, digest);
    if (place >= 0 && verifying->seen[place]) return true;
    const char *path = store_locate(&verifying->arena, store, digest);
    enum code code = fs_stat(path, &info, &err);
    if (!code && !S_ISREG(info.st_mode))
        code = err_set(&err, DAMAGED, "content '%s' is not a regular file", path);
    if (code == NOT_FOUND) code = err_set(&err, DAMAGED, "content '%s' is missing", path);
    if (!code) code = store_check(store, digest, &size, &err);
    if (code) {
        verify_wrong(verifying, "%s: %s", what, err.message);
        return false;
    }
    if (place < 0 && strstr(path, "/trash/"))
        verify_note(verifying, "%s: '%s' is named, but lies aside: a collector was interrupted",
                    what, path);
    if (place >= 0) verifying->seen[place] = true;
    verifying->content++;
    verifying->bytes += size;
    return true;
}

/* What an entry says of the card is on the card; that this can be read is the bundle's to show. */
static void verify_card(struct verifying *verifying, const struct version *version,
                        const char *what)
{
    json_t *card = NULL;
    if (!version->card) return;
    if (documents_card(&card, &verifying->registry, &version->evidence, NULL)) return;
    unsigned missing = version->card & ~card_stated(card);
    json_decref(card);
    if (missing)
        verify_wrong(verifying, "%s: the journal says that its card states %s, which it does not",
                     what, card_fields_text(&verifying->arena, missing));
}

static void verify_version(struct verifying *verifying, const struct model_line *model,
                           const struct version *version)
{
    struct oci_version files;
    struct err err;
    const char *what = arena_format(&verifying->arena, "%s@%lld", model->name,
                                    (long long)version->number);
    if (!verify_blob(verifying, &version->digest, what)) return;
    if (oci_read(&verifying->registry, &files, &version->digest, &err)) {
        verify_wrong(verifying, "%s: %s", what, err.message);
        return;
    }
    if (!digest_equal(&files.model_digest, &version->model_digest))
        verify_wrong(verifying, "%s: manifest and journal name different models", what);
    verify_card(verifying, version, what);
    verify_blob(verifying, &files.config.digest, what);
    bool retired = verify_retired(verifying, &version->digest);
    for (int i = 0; i < files.layer_count; i++) {
        const struct oci_layer *layer = &files.layers[i];
        bool let_go = retired && oci_is_weights(layer->name) &&
                      !fs_exists(store_locate(&verifying->arena, &verifying->registry.store,
                                              &layer->digest));
        if (!let_go)
            verify_blob(verifying, &layer->digest,
                        arena_format(&verifying->arena, "%s, %s", what, layer->name));
    }
}

static enum code verify_document(void *context, const struct digest *digest, const char *what,
                                 struct err *err)
{
    (void)err;
    verify_blob(context, digest, what);
    return OK;
}

/* What is missing was reported when it was visited. */
static void verify_bundle(struct verifying *verifying, const struct digest *bundle)
{
    struct err err;
    size_t before = json_array_size(verifying->problems);
    if (documents_walk(&verifying->registry, bundle, verify_document, verifying, &err) &&
        json_array_size(verifying->problems) == before)
        verify_problem(verifying, &err);
}

static void note_unreferenced(struct verifying *verifying)
{
    size_t unreferenced = 0;
    for (size_t i = 0; i < verifying->name_count; i++) unreferenced += !verifying->seen[i];
    if (unreferenced)
        verify_note(verifying, "%zu files in the store that no entry refers to", unreferenced);
}

void verify_content(struct verifying *verifying)
{
    const struct state *state = &verifying->registry.state;
    struct err err;
    if (fs_list(&verifying->arena, &verifying->names, &verifying->name_count,
                verifying->registry.store.dir, &err)) {
        verify_problem(verifying, &err);
        return;
    }
    verifying->seen = ARENA_ARRAY(&verifying->arena, verifying->name_count, bool);
    for (size_t m = 0; m < state->model_count; m++)
        for (size_t i = 0; i < state->models[m].version_count; i++)
            verify_version(verifying, &state->models[m], &state->models[m].versions[i]);
    for (size_t i = 0; i < verifying->extra_count; i++)
        verify_blob(verifying, &verifying->extra[i], "a report");
    for (size_t i = 0; i < verifying->bundle_count; i++)
        verify_bundle(verifying, &verifying->bundles[i]);
    note_unreferenced(verifying);
}

/* A link into the store was hashed there; anything else is hashed here. */
static void verify_link(struct verifying *verifying, const char *model, const struct digest *digest)
{
    struct stat here, there;
    struct err err;
    struct digest got;
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    const char *path = arena_format(&verifying->arena, "%s/models/%s/blobs/sha256/%s",
                                    verifying->registry.dir, model, hex);
    const char *stored = store_path(&verifying->arena, &verifying->registry.store, digest);
    if (fs_stat(path, &here, &err)) {
        verify_problem(verifying, &err);
        return;
    }
    bool link = fs_stat(stored, &there, &err) == OK && here.st_ino == there.st_ino &&
                here.st_dev == there.st_dev;
    if (link) return;
    if (!S_ISREG(here.st_mode)) {
        verify_wrong(verifying, "blob '%s' is not a regular file", path);
    } else if (fs_digest_own(path, &got, NULL, &err)) {
        verify_problem(verifying, &err);
    } else if (!digest_equal(&got, digest)) {
        verify_wrong(verifying, "blob '%s' is damaged: its bytes have another digest", path);
    } else {
        verify_note(verifying, "blob '%s' is a copy, not a link into the store", path);
    }
}

struct linking {
    struct verifying *verifying;
    const char *model;
};

static enum code verify_document_link(void *context, const struct digest *digest, const char *what,
                                      struct err *err)
{
    const struct linking *linking = context;
    (void)what;
    (void)err;
    verify_link(linking->verifying, linking->model, digest);
    return OK;
}

static void verify_links(struct verifying *verifying, const struct model_line *model)
{
    for (size_t i = 0; i < model->version_count; i++) {
        struct oci_version files;
        const struct digest *digest = &model->versions[i].digest;
        if (oci_read(&verifying->registry, &files, digest, NULL)) continue; /* reported before */
        verify_link(verifying, model->name, digest);
        verify_link(verifying, model->name, &files.config.digest);
        bool retired = verify_retired(verifying, digest);
        for (int l = 0; l < files.layer_count; l++)
            if (!retired || !oci_is_weights(files.layers[l].name))
                verify_link(verifying, model->name, &files.layers[l].digest);
        struct linking linking = { verifying, model->name };
        documents_walk(&verifying->registry, &model->versions[i].evidence, verify_document_link,
                       &linking, NULL); /* what it cannot read was reported before */
    }
}

/* A blob that no version has: other tools may put one there. Its bytes must be what its name
 * says. */
static void verify_foreign(struct verifying *verifying, const char *dir, const char *name)
{
    struct err err;
    struct digest want, got;
    const char *path = path_join(&verifying->arena, dir, name);
    if (fs_is_temporary(name)) {
        verify_note(verifying, "unfinished work in '%s'", path);
    } else if (!digest_parse(&want, arena_format(&verifying->arena, "sha256:%s", name))) {
        verify_note(verifying, "'%s' is no blob", path);
    } else if (place_of(verifying, &want) >= 0) {
        return;
    } else if (fs_digest_own(path, &got, NULL, &err)) {
        verify_problem(verifying, &err);
    } else if (!digest_equal(&got, &want)) {
        verify_wrong(verifying, "blob '%s' is damaged: its bytes have another digest", path);
    } else {
        verify_note(verifying, "blob '%s' belongs to no version: `pawl registry adopt` takes it in",
                    path);
    }
}

static void verify_blobs(struct verifying *verifying, const char *model)
{
    char **names;
    size_t count;
    struct err err;
    const char *dir = arena_format(&verifying->arena, "%s/models/%s/blobs/sha256",
                                   verifying->registry.dir, model);
    if (fs_list(&verifying->arena, &names, &count, dir, &err)) return; /* missing: reported */
    for (size_t i = 0; i < count; i++) verify_foreign(verifying, dir, names[i]);
}

static void verify_index(struct verifying *verifying, const char *name,
                         const struct model_line *model)
{
    enum { INDEX_LIMIT = 4 << 20 };
    struct bytes got, want;
    struct err err;
    const char *path = arena_format(&verifying->arena, "%s/models/%s/index.json",
                                    verifying->registry.dir, name);
    if (fs_read_own(&verifying->arena, &got, path, INDEX_LIMIT, &err)) {
        verify_note(verifying, "no usable index: %s", err.message);
        return;
    }
    int64_t highest = oci_index_highest(&got);
    if (!model || highest > (int64_t)model->version_count) {
        verify_read_on(verifying); /* somebody may just have added it */
        model = state_model(&verifying->registry.state, name);
    }
    if (highest > (model ? (int64_t)model->version_count : 0))
        verify_wrong(verifying,
                     "'%s' knows %s@%lld, but the journal ends before it: it lost entries", path,
                     name, (long long)highest);
    else if (!model ||
             oci_index_render(&verifying->arena, &want, &verifying->registry, model, &err) ||
             got.len != want.len || memcmp(got.at, want.at, got.len) != 0)
        verify_note(verifying, "'%s' is not what the journal says now", path);
}

static void verify_layout(struct verifying *verifying, const char *name)
{
    struct bytes bytes;
    struct err err;
    struct stat info;
    const struct model_line *model = state_model(&verifying->registry.state, name);
    const char *place = arena_format(&verifying->arena, "%s/models/%s", verifying->registry.dir,
                                     name);
    if (fs_stat(place, &info, &err) == OK && S_ISLNK(info.st_mode)) {
        verify_wrong(verifying, "'%s' is a symbolic link", place);
        return;
    }
    if (oci_check_layout(&verifying->registry, name, &err)) {
        if (model)
            verify_problem(verifying, &err);
        else
            verify_note(verifying, "'models/%s' is no model's layout", name);
        return;
    }
    const char *path = arena_format(&verifying->arena, "%s/models/%s/oci-layout",
                                    verifying->registry.dir, name);
    if (fs_read_own(&verifying->arena, &bytes, path, 4096, &err)) {
        if (model)
            verify_problem(verifying, &err);
        else
            verify_note(verifying, "'models/%s' is no model's layout", name);
    } else if (bytes.len != strlen(oci_layout_text) ||
               memcmp(bytes.at, oci_layout_text, bytes.len) != 0) {
        verify_wrong(verifying, "'%s' is damaged: it is not %s", path, oci_layout_text);
    }
    if (model) verify_links(verifying, model);
    verify_blobs(verifying, name);
    verify_index(verifying, name, model);
}

void verify_layouts(struct verifying *verifying)
{
    const struct state *state = &verifying->registry.state;
    char **names;
    size_t count;
    struct err err;
    const char *dir = path_join(&verifying->arena, verifying->registry.dir, "models");
    if (fs_list(&verifying->arena, &names, &count, dir, &err)) {
        verify_problem(verifying, &err);
        return;
    }
    for (size_t i = 0; i < count; i++) verify_layout(verifying, names[i]);
    for (size_t m = 0; m < state->model_count; m++)
        if (!fs_is_dir(path_join(&verifying->arena, dir, state->models[m].name)))
            verify_wrong(verifying, "the layout 'models/%s' is missing", state->models[m].name);
}
