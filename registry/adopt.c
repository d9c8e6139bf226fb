/* The order of an adoption: look, take versions in, then what is said about them, then put the
 * layout right. */
#include "registry/adopt_internal.h"

#include "registry/commit.h"
#include "registry/repair_internal.h"

#include <stdio.h>
#include <string.h>

static const char *const kind_names[] = {
    [FOREIGN_VERSION] = "version", [FOREIGN_BUNDLE] = "evidence", [FOREIGN_REFERRER] = "evidence",
    [FOREIGN_TAG] = "tag",         [FOREIGN_IMAGE] = "image",     [FOREIGN_KINDS] = "blob",
};

void adopt_say(struct adopting *adopting, const struct foreign *foreign, const char *done,
               int64_t number, const char *reason)
{
    json_t *tag = foreign->tag ? json_string(foreign->tag) : json_null();
    if (!tag) tag = json_string("a name that is not UTF-8");
    json_t *row = json_pack("{ss ss so ss}", "model", adopting->model, "what",
                            kind_names[foreign->kind], "tag", tag, "done", done);
    json_set_digest(row, "digest", &foreign->digest);
    if (number) json_object_set_new(row, "number", json_integer(number));
    if (reason) json_object_set_new(row, "reason", json_string(reason));
    json_array_append_new(adopting->rows, row);
    if (strcmp(done, "refused") != 0 || adopting->refused++) return;
    char text[DIGEST_TEXT];
    err_set(&adopting->first, REFUSED, "cannot adopt %s %.19s of 'models/%s': %s",
            kind_names[foreign->kind], digest_text(&foreign->digest, text), adopting->model,
            reason ? reason : "");
    err_hint(&adopting->first, "What is refused stays where it lies: remove its blobs there, or "
                               "copy the whole version in again.");
}

static bool is_here(const struct adopting *adopting, const struct digest *digest)
{
    const struct model_line *line = state_model(&adopting->registry->state, adopting->model);
    return line && model_version_of(line, digest);
}

/* The documents that came with a version. */
static const struct foreign *bundle_of(const struct adopting *adopting, const struct digest *digest)
{
    for (size_t i = 0; i < adopting->count; i++)
        if (adopting->list[i].kind == FOREIGN_BUNDLE &&
            digest_equal(&adopting->list[i].about, digest))
            return &adopting->list[i];
    return NULL;
}

/* Damage and refusals are about one thing: the others are taken in all the same. */
static enum code settle(struct adopting *adopting, const struct foreign *foreign, int64_t number,
                        enum code code, struct err *err)
{
    if (!code) {
        adopt_say(adopting, foreign, "adopted", number, NULL);
        return OK;
    }
    if (code != DAMAGED && code != REFUSED) return code;
    adopt_say(adopting, foreign, "refused", 0, err->message);
    return OK;
}

static enum code take_version(struct adopting *adopting, const struct foreign *foreign,
                              const struct digest *digest, struct err *err)
{
    struct err trouble = { 0 };
    struct foreign version = *foreign;
    int64_t number = 0;
    const struct foreign *bundle = bundle_of(adopting, digest);
    version.digest = *digest;
    version.kind = FOREIGN_VERSION;
    if (is_here(adopting, digest)) return OK;
    enum code code = OK;
    if (!adopting->opts->dry_run)
        code = adopt_version(adopting, &number, &version, bundle ? &bundle->digest : NULL,
                             &trouble);
    code = settle(adopting, &version, number, code, &trouble);
    if (code) *err = trouble;
    return code;
}

static enum code take_evidence(struct adopting *adopting, const struct foreign *foreign,
                               struct err *err)
{
    struct err trouble = { 0 };
    bool about_new = !is_here(adopting, &foreign->about);
    enum code code = OK;
    if (about_new && !adopting->opts->dry_run) {
        adopt_say(adopting, foreign, "refused", 0, "the version that it is about is not here");
        return OK;
    }
    if (!adopting->opts->dry_run) code = adopt_evidence(adopting, foreign, &trouble);
    code = settle(adopting, foreign, 0, code, &trouble);
    if (code) *err = trouble;
    return code;
}

static enum code take_all(struct adopting *adopting, struct err *err)
{
    for (size_t i = 0; i < adopting->count; i++) {
        const struct foreign *one = &adopting->list[i];
        if (one->kind == FOREIGN_VERSION) TRY(take_version(adopting, one, &one->digest, err));
        if (one->kind == FOREIGN_BUNDLE) TRY(take_version(adopting, one, &one->about, err));
    }
    for (size_t i = 0; i < adopting->count; i++) {
        const struct foreign *one = &adopting->list[i];
        if (one->kind == FOREIGN_BUNDLE || one->kind == FOREIGN_REFERRER)
            TRY(take_evidence(adopting, one, err));
        else if (one->kind == FOREIGN_TAG || one->kind == FOREIGN_IMAGE)
            adopt_say(adopting, one, one->kind == FOREIGN_TAG ? "dropped" : "refused", 0, one->why);
    }
    return OK;
}

/* What earlier entries took in: it is cited, though no tag is left for it. */
static enum code note_adopted(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct adopting *adopting = context;
    if (entry->kind == ENTRY_ADOPT && strcmp(entry_text(entry, "model"), adopting->model) == 0)
        reach_json(&adopting->known, json_object_get(entry->json, "body"));
    return OK;
}

/* The layout follows the journal again: oci-layout, links, index.json. */
static enum code put_right(struct adopting *adopting, json_t *mended, struct err *err)
{
    struct repairing repairing = { .registry = *adopting->registry,
                                   .done = mended,
                                   .left = json_array() };
    const struct model_line *line = state_model(&adopting->registry->state, adopting->model);
    enum code code = OK;
    if (line) code = repair_model(&repairing, line, err);
    if (!code && line) code = oci_index_write(adopting->registry, line, err);
    if (!code && json_array_size(repairing.left)) {
        const char *what = json_string_value(
            json_object_get(json_array_get(repairing.left, 0), "message"));
        code = err_set(err, DAMAGED, "'models/%s' is not whole: %s", adopting->model,
                       what ? what : "");
        err_hint(err, "`pawl registry repair` looks for what is missing in the whole registry.");
    }
    json_decref(repairing.left);
    reach_release(&repairing.mended);
    arena_release(&repairing.arena);
    return code;
}

static enum code check_folders(struct adopting *adopting, struct err *err)
{
    TRY(name_check_model(adopting->model, err));
    const char *path = oci_path(&adopting->arena, adopting->registry, adopting->model, "");
    if (fs_exists(path)) return oci_check_layout(adopting->registry, adopting->model, err);
    err_set(err, NOT_FOUND, "no layout '%s' in the registry", path);
    return err_hint(err, "`skopeo copy ... oci:%s:TAG` makes one.", path);
}

static enum code adopt_one(struct registry *registry, json_t *rows, json_t *mended,
                           const struct adopt_opts *opts, const char *model, struct err *first,
                           struct err *err)
{
    struct adopting adopting = { .registry = registry, .opts = opts, .model = model, .rows = rows };
    struct head head = { 0 };
    adopting.line = state_model(&registry->state, model);
    enum code code = check_folders(&adopting, err);
    if (!code) code = journal_walk(&registry->journal, &head, note_adopted, &adopting, err);
    if (!code) code = adopt_find(&adopting, err);
    if (!code) code = take_all(&adopting, err);
    if (!code && !opts->dry_run) code = put_right(&adopting, mended, err);
    if (adopting.refused && !first->code) *first = adopting.first;
    for (size_t i = 0; i < adopting.count; i++) json_decref(adopting.list[i].json);
    reach_release(&adopting.known);
    reach_release(&adopting.covered);
    arena_release(&adopting.arena);
    return code;
}

/* Names that no model can have are no layouts; `registry verify` tells of them. */
static enum code adopt_each(struct registry *registry, json_t *rows, json_t *mended,
                            const struct adopt_opts *opts, struct err *first, struct err *err)
{
    struct arena arena = { 0 };
    char **names;
    size_t count = 0;
    enum code code = OK;
    if (opts->model) return adopt_one(registry, rows, mended, opts, opts->model, first, err);
    code = fs_list(&arena, &names, &count, path_join(&arena, registry->dir, "models"), err);
    for (size_t i = 0; !code && i < count; i++)
        if (name_check_model(names[i], NULL) == OK)
            code = adopt_one(registry, rows, mended, opts, names[i], first, err);
    arena_release(&arena);
    return code;
}

enum code registry_adopt(struct registry *registry, json_t **result, const struct adopt_opts *opts,
                         struct err *err)
{
    json_t *rows = json_array(), *mended = json_array();
    struct err first = { 0 };
    *result = NULL;
    enum code code = registry_refresh(registry, err);
    if (!code) code = adopt_each(registry, rows, mended, opts, &first, err);
    if (!code)
        *result = json_pack("{ss so sb sO sO}", "pawl", "adopt/1", "model",
                            opts->model ? json_string(opts->model) : json_null(), "dry_run",
                            (int)opts->dry_run, "foreign", rows, "mended", mended);
    if (!code && first.code) {
        if (err) *err = first;
        code = first.code;
    }
    json_decref(rows);
    json_decref(mended);
    return code;
}
