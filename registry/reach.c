/* A hash set of digests, filled from entries and from the manifests that they name. The digests are
 * hashes already: their first bytes are the slot. */
#include "registry/reach.h"

#include "registry/oci.h"

#include <string.h>

static const struct digest zero;

static size_t slot_of(const struct reach *reach, const struct digest *digest)
{
    uint64_t at;
    memcpy(&at, digest->bytes, sizeof at);
    at &= reach->size - 1;
    while (!digest_equal(&reach->slots[at], &zero) && !digest_equal(&reach->slots[at], digest))
        at = (at + 1) & (reach->size - 1);
    return at;
}

static void grow(struct reach *reach)
{
    reach->size = reach->size ? reach->size * 2 : 1024;
    reach->slots = ARENA_ARRAY(&reach->arena, reach->size, struct digest);
    struct digest *order = ARENA_ARRAY(&reach->arena, reach->size / 2, struct digest);
    if (reach->count) memcpy(order, reach->order, reach->count * sizeof *order);
    reach->order = order;
    for (size_t i = 0; i < reach->count; i++) reach->slots[slot_of(reach, &order[i])] = order[i];
}

bool reach_add(struct reach *reach, const struct digest *digest)
{
    if (digest_equal(digest, &zero)) return false;
    if (reach->count == reach->size / 2) grow(reach);
    size_t at = slot_of(reach, digest);
    if (digest_equal(&reach->slots[at], digest)) return false;
    reach->slots[at] = *digest;
    reach->order[reach->count++] = *digest;
    return true;
}

bool reach_has(const struct reach *reach, const struct digest *digest)
{
    return reach->size && digest_equal(&reach->slots[slot_of(reach, digest)], digest) &&
           !digest_equal(digest, &zero);
}

static void add_text(struct reach *reach, const char *text)
{
    struct digest digest;
    if (digest_parse(&digest, text)) reach_add(reach, &digest);
}

void reach_json(struct reach *reach, json_t *json)
{
    const char *key;
    json_t *member;
    size_t i;
    add_text(reach, json_string_value(json));
    json_array_foreach(json, i, member) reach_json(reach, member);
    json_object_foreach(json, key, member)
    {
        add_text(reach, key);
        reach_json(reach, member);
    }
}

static void append(struct arena *arena, struct digest **list, size_t *count,
                   const struct digest *digest)
{
    if ((*count & (*count - 1)) == 0) {
        struct digest *more = ARENA_ARRAY(arena, *count ? *count * 2 : 1, struct digest);
        if (*count) memcpy(more, *list, *count * sizeof *more);
        *list = more;
    }
    (*list)[(*count)++] = *digest;
}

static bool retired(const struct reach *reach, const struct digest *manifest)
{
    for (size_t i = 0; i < reach->retired_count; i++)
        if (digest_equal(&reach->retired[i], manifest)) return true;
    return false;
}

static enum code visit(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct reach *reach = context;
    struct digest digest;
    reach_json(reach, json_object_get(entry->json, "subjects"));
    reach_json(reach, json_object_get(entry->json, "body"));
    if (entry->kind == ENTRY_RETIRE && entry_digest(entry, &digest, "digest"))
        append(&reach->arena, &reach->retired, &reach->retired_count, &digest);
    if (entry_registers(entry) && entry_digest(entry, &digest, "digest"))
        append(&reach->arena, &reach->manifests, &reach->manifest_count, &digest);
    return OK;
}

/* The layers of a retired version without those that are weights. */
static void reach_kept_layers(struct reach *reach, json_t *layers)
{
    json_t *layer;
    size_t i;
    json_array_foreach(layers, i, layer)
    {
        const json_t *notes = json_object_get(layer, "annotations");
        const char *name = json_string_value(json_object_get(notes, "org.cncf.model.filepath"));
        if (!name || !oci_is_weights(name)) reach_json(reach, layer);
    }
}

/* Whether the store has content, and how much. Only absence is absence: it may move between its two
 * places from one look to the next, so one that finds nothing is made again. */
static enum code look(const struct registry *registry, const struct digest *digest, bool *there,
                      uint64_t *size, struct err *err)
{
    enum { LOOKS = 10 };
    struct arena arena = { 0 };
    struct stat info;
    const char *place[] = { store_path(&arena, &registry->store, digest),
                            store_trash_path(&arena, &registry->store, digest) };
    enum code code = NOT_FOUND;
    for (int i = 0; i < 2 * LOOKS && code == NOT_FOUND; i++)
        code = fs_stat(place[i % 2], &info, err);
    *there = code == OK;
    *size = *there ? (uint64_t)info.st_size : 0;
    arena_release(&arena);
    return code == NOT_FOUND ? OK : code;
}

/* What a manifest or an index lists; any other document reaches nothing. */
static void reach_members(struct reach *reach, json_t *json, bool lets_go)
{
    const char *name;
    json_t *member;
    if (!json_object_get(json, "schemaVersion")) return;
    json_object_foreach(json, name, member)
    {
        if (lets_go && strcmp(name, "layers") == 0)
            reach_kept_layers(reach, member);
        else
            reach_json(reach, member);
    }
}

static enum code follow(struct reach *reach, const struct registry *registry,
                        const struct digest *digest, struct err *err)
{
    bool there;
    uint64_t size;
    TRY(look(registry, digest, &there, &size, err));
    if (!there || size > OCI_MANIFEST_LIMIT) return OK;
    struct arena arena = { 0 };
    struct bytes bytes;
    json_t *json = NULL;
    enum code code = store_read(&registry->store, &arena, &bytes, digest, OCI_MANIFEST_LIMIT, err);
    if (!code && bytes.len && bytes.at[0] == '{' &&
        json_parse(&json, bytes.at, bytes.len, "content", NULL) == OK)
        reach_members(reach, json, retired(reach, digest));
    json_decref(json);
    arena_release(&arena);
    return code;
}

/* Without its manifest nobody knows what a version holds. */
static enum code check_manifests(struct reach *reach, const struct registry *registry,
                                 struct err *err)
{
    for (; reach->checked < reach->manifest_count; reach->checked++) {
        bool there;
        uint64_t size;
        char text[DIGEST_TEXT];
        const struct digest *digest = &reach->manifests[reach->checked];
        TRY(look(registry, digest, &there, &size, err));
        if (there) continue;
        err_set(err, DAMAGED, "the manifest %s of a version is missing", digest_text(digest, text));
        return err_hint(err, "`pawl registry repair` looks for it.");
    }
    return OK;
}

enum code reach_read(struct reach *reach, const struct registry *registry, struct err *err)
{
    TRY(journal_end(&registry->journal, &reach->head, visit, reach, err));
    for (; reach->followed < reach->count; reach->followed++) {
        struct digest digest = reach->order[reach->followed]; /* the array may move */
        TRY(follow(reach, registry, &digest, err));
    }
    return check_manifests(reach, registry, err);
}

void reach_release(struct reach *reach)
{
    arena_release(&reach->arena);
    memset(reach, 0, sizeof *reach);
}
