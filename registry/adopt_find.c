/* Looking a layout through. index.json names what was put there, by whomever; a manifest whose tag
 * was lost again (every writer rewrites that file whole) is found among the blobs. */
#include "registry/adopt_internal.h"

#include "registry/commit.h"
#include "registry/documents.h"

#include <string.h>

enum { INDEX_LIMIT = 4 << 20, MANIFEST_LIMIT = OCI_MANIFEST_LIMIT, FOREIGN_MOST = 10000 };

#define TAG_NOTE "org.opencontainers.image.ref.name"

const char *adopt_blob_path(struct adopting *adopting, const struct digest *digest)
{
    struct arena *arena = &adopting->arena;
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    return oci_path(arena, adopting->registry, adopting->model,
                    arena_format(arena, "blobs/sha256/%s", hex));
}

static bool is_regular(const char *path)
{
    struct stat info;
    return fs_stat(path, &info, NULL) == OK && S_ISREG(info.st_mode);
}

static bool in_store(struct adopting *adopting, const struct digest *digest)
{
    return fs_exists(store_locate(&adopting->arena, &adopting->registry->store, digest));
}

/* A manifest or an index, from the layout or from the store, if its bytes are what its digest says;
 * NULL for anything else. */
static json_t *read_manifest(struct adopting *adopting, const struct digest *digest)
{
    struct bytes bytes;
    json_t *json = NULL;
    const char *path = adopt_blob_path(adopting, digest);
    if (!is_regular(path))
        path = store_locate(&adopting->arena, &adopting->registry->store, digest);
    if (fs_read_own(&adopting->arena, &bytes, path, MANIFEST_LIMIT, NULL)) return NULL;
    struct digest got = digest_of(bytes.at, bytes.len);
    if (!digest_equal(&got, digest) || !bytes.len || bytes.at[0] != '{') return NULL;
    if (json_parse(&json, bytes.at, bytes.len, path, NULL)) return NULL;
    if (json_object_get(json, "schemaVersion")) return json;
    json_decref(json);
    return NULL;
}

/* Everything that a manifest names is accounted for, and what a manifest in an index names too. */
static void cover(struct adopting *adopting, json_t *json, int depth)
{
    enum { DEPTH = 3 };
    const json_t *row;
    size_t i;
    reach_json(&adopting->covered, json);
    json_array_foreach(json_object_get(json, "manifests"), i, row)
    {
        struct digest digest;
        if (depth == DEPTH || !digest_parse(&digest, member_text(row, "digest"))) continue;
        json_t *member = read_manifest(adopting, &digest);
        if (member) cover(adopting, member, depth + 1);
        json_decref(member);
    }
}

static void classify(struct adopting *adopting, struct foreign *foreign)
{
    const json_t *json = foreign->json;
    const json_t *first = json_array_get(json_object_get(json, "manifests"), 0);
    const json_t *subject = json_object_get(json, "subject");
    const char *model_digest = member_text(json_object_get(json, "annotations"),
                                           "pawl.model.digest");
    const char *type = member_text(json, "artifactType");
    if (!*type) type = member_text(json, "mediaType");
    foreign->type = arena_copy(&adopting->arena, *type ? type : "of no stated type");
    foreign->kind = FOREIGN_IMAGE;
    if (!json)
        foreign->why = "its manifest is missing from the layout, damaged or larger than 1 MiB";
    else if (digest_parse(&foreign->about, member_text(first, "digest")))
        foreign->kind = FOREIGN_BUNDLE;
    else if (digest_parse(&foreign->about, member_text(subject, "digest")))
        foreign->kind = FOREIGN_REFERRER;
    else if (*model_digest)
        foreign->kind = FOREIGN_VERSION;
    else
        foreign->why =
            "it is no version (a manifest with pawl.model.digest) and says nothing about "
            "one";
}

static bool listed(const struct adopting *adopting, const struct digest *digest, const char *tag)
{
    for (size_t i = 0; i < adopting->count; i++) {
        const struct foreign *one = &adopting->list[i];
        bool same_tag = !tag || (one->tag && strcmp(tag, one->tag) == 0);
        if (digest_equal(&one->digest, digest) && same_tag) return true;
    }
    return false;
}

static bool is_known(const struct adopting *adopting, const struct digest *digest)
{
    const struct model_line *line = adopting->line;
    if (reach_has(&adopting->known, digest)) return true;
    for (size_t i = 0; line && i < line->version_count; i++)
        if (digest_equal(&line->versions[i].digest, digest) ||
            digest_equal(&line->versions[i].evidence, digest))
            return true;
    return false;
}

static void add(struct adopting *adopting, const struct digest *digest, const char *tag)
{
    struct foreign one = { .digest = *digest,
                           .tag = tag ? arena_copy(&adopting->arena, tag) : NULL };
    if (adopting->count == FOREIGN_MOST || listed(adopting, digest, tag)) return;
    if (is_known(adopting, digest)) {
        one.kind = FOREIGN_TAG;
        one.why = "tags follow the journal; `pawl promote` moves channels";
    } else {
        one.json = read_manifest(adopting, digest);
        classify(adopting, &one);
        if (one.json) cover(adopting, one.json, 0);
    }
    adopting->list = array_grown(&adopting->arena, adopting->list, adopting->count,
                                 sizeof *adopting->list);
    adopting->list[adopting->count++] = one;
}

/* Whether the index that the journal demands has this tag for this digest. */
static bool demanded(const json_t *want, const struct digest *digest, const char *tag)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(want, "manifests"), i, row)
    {
        struct digest has;
        const char *name = member_text(json_object_get(row, "annotations"), TAG_NOTE);
        if (!digest_parse(&has, member_text(row, "digest")) || !digest_equal(&has, digest))
            continue;
        if (!tag || strcmp(name, tag) == 0) return true;
    }
    return false;
}

static enum code demand(struct adopting *adopting, json_t **want, struct err *err)
{
    struct bytes bytes;
    *want = NULL;
    if (!adopting->line) return OK;
    TRY(oci_index_render(&adopting->arena, &bytes, adopting->registry, adopting->line, err));
    return json_parse(want, bytes.at, bytes.len, "index.json", err);
}

static enum code find_in_index(struct adopting *adopting, struct err *err)
{
    struct bytes bytes;
    json_t *index = NULL, *want = NULL, *manifests, *row;
    size_t i;
    const char *path = oci_path(&adopting->arena, adopting->registry, adopting->model,
                                "index.json");
    if (!fs_exists(path)) return OK;
    if (!is_regular(path)) return err_set(err, DAMAGED, "'%s' is not a regular file", path);
    enum code code = fs_read_own(&adopting->arena, &bytes, path, INDEX_LIMIT, err);
    if (!code) code = json_parse(&index, bytes.at, bytes.len, path, err);
    if (!code) code = json_get_array(&manifests, index, "manifests", path, err);
    if (!code) code = demand(adopting, &want, err);
    for (i = 0; !code && (row = json_array_get(manifests, i)); i++) {
        struct digest digest;
        const char *tag = member_text(json_object_get(row, "annotations"), TAG_NOTE);
        if (!digest_parse(&digest, member_text(row, "digest"))) continue; /* no SHA-256: nothing */
        if (!demanded(want, &digest, *tag ? tag : NULL)) add(adopting, &digest, *tag ? tag : NULL);
    }
    json_decref(index);
    json_decref(want);
    return code;
}

/* Manifests that no index names; first indexes, which may name the others. */
static void find_untagged(struct adopting *adopting, char **names, size_t count, bool indexes)
{
    for (size_t i = 0; i < count; i++) {
        struct digest digest;
        const char *text = arena_format(&adopting->arena, "sha256:%s", names[i]);
        if (!digest_parse(&digest, text) || in_store(adopting, &digest)) continue;
        if (reach_has(&adopting->covered, &digest) || listed(adopting, &digest, NULL)) continue;
        json_t *json = read_manifest(adopting, &digest);
        if (json && (json_object_get(json, "manifests") != NULL) == indexes)
            add(adopting, &digest, NULL);
        json_decref(json);
    }
}

/* Blobs that belong to nothing: no rule says what they are for. */
static void find_strays(struct adopting *adopting, char **names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct digest digest;
        struct foreign one = { .kind = FOREIGN_KINDS };
        const char *text = arena_format(&adopting->arena, "sha256:%s", names[i]);
        if (fs_is_temporary(names[i]) || !digest_parse(&digest, text)) continue;
        if (in_store(adopting, &digest) || reach_has(&adopting->covered, &digest)) continue;
        if (listed(adopting, &digest, NULL)) continue;
        one.digest = digest;
        adopt_say(adopting, &one, "refused", 0, "no manifest here names it");
    }
}

enum code adopt_find(struct adopting *adopting, struct err *err)
{
    char **names;
    size_t count = 0;
    const char *dir = oci_path(&adopting->arena, adopting->registry, adopting->model,
                               "blobs/sha256");
    TRY(find_in_index(adopting, err));
    enum code code = fs_list(&adopting->arena, &names, &count, dir, err);
    if (code) return code == NOT_FOUND ? OK : code;
    find_untagged(adopting, names, count, true);
    find_untagged(adopting, names, count, false);
    find_strays(adopting, names, count);
    return OK;
}
