/* Making and opening registries. registry.json is written last: a folder without it is no registry,
 * and an interrupted init is completed by the next one. */
#include "registry/registry.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/policy_set.h"
#include "registry/views.h"

#include <stdio.h>
#include <string.h>

enum { REGISTRY_LIMIT = 4096, SETGID = 02000, STICKY = 01000 };

/* In `shared` folders members of the group add and nobody removes what another one made. */
static const struct {
    const char *name;
    mode_t bits;
} folders[] = {
    { "journal", SETGID | STICKY },
    { "store", SETGID | STICKY },
    { "store/sha256", SETGID | STICKY },
    { "models", SETGID },
    { "cache", SETGID },
    { "staging", SETGID },
    { "trash", SETGID },
};

enum { FOLDERS = sizeof folders / sizeof *folders };

static enum code set_paths(struct registry *registry, const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    memset(registry, 0, sizeof *registry);
    int len = snprintf(registry->dir, sizeof registry->dir - 64, "%s", dir);
    enum code code = OK;
    if (len <= 0 || (size_t)len >= sizeof registry->dir - 64)
        code = err_set(err, USAGE, "cannot use registry '%.80s': %s", dir,
                       len > 0 ? "the path is too long" : "the path is empty");
    if (!code) code = journal_init(&registry->journal, path_join(&arena, dir, "journal"), err);
    if (!code)
        code = store_init(&registry->store, path_join(&arena, dir, "store/sha256"),
                          path_join(&arena, dir, "staging"), err);
    arena_release(&arena);
    return code;
}

struct bytes registry_identity(struct arena *arena, const struct digest *id)
{
    json_t *json = json_pack("{ss}", "pawl", "registry/1");
    size_t len;
    json_set_digest(json, "id", id);
    const char *text = json_canonical(arena, json, &len);
    json_decref(json);
    return (struct bytes){ .at = arena_format(arena, "%s\n", text), .len = len + 1 };
}

enum code registry_check_identity(const struct registry *registry, struct digest *id,
                                  struct err *err)
{
    struct arena arena = { 0 };
    struct bytes got, want;
    struct entry first = { 0 };
    const char *path = path_join(&arena, registry->dir, "registry.json");
    enum code code = fs_read_own(&arena, &got, path, REGISTRY_LIMIT, err);
    if (code == NOT_FOUND) {
        err_set(err, NOT_FOUND, "'%s' is not a registry: it has no registry.json", registry->dir);
        if (fs_is_dir(registry->journal.dir))
            err_hint(err, "A journal is there: `pawl registry init %s` writes that file again.",
                     registry->dir);
        else
            err_hint(err, "Create one with `pawl registry init DIR` in a new or empty directory.");
        goto out;
    }
    if (code) goto out;
    code = journal_read(&registry->journal, &first, 1, err);
    if (code == NOT_FOUND)
        code = err_set(err, DAMAGED, "registry '%s' has lost its first journal entry",
                       registry->dir);
    if (code) goto out;
    want = registry_identity(&arena, &first.digest);
    if (got.len != want.len || memcmp(got.at, want.at, got.len) != 0)
        code = err_set(err, DAMAGED, "'%s' is damaged: it is not what journal entry 1 demands",
                       path);
    if (code == DAMAGED && first.seq)
        err_hint(err, "Remove it; `pawl registry init %s` writes it again from the journal.",
                 registry->dir);
    *id = first.digest;
out:
    entry_release(&first);
    arena_release(&arena);
    return code;
}

/* Says which registry was meant, when one beside the path has a similar name. */
static enum code no_registry(const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    char **names;
    size_t count;
    const char *parent = path_dir(&arena, dir), *nearest = NULL;
    if (fs_list(&arena, &names, &count, parent, NULL) == OK) {
        const char **registries = ARENA_ARRAY(&arena, count + 1, const char *);
        size_t used = 0;
        for (size_t i = 0; i < count; i++)
            if (fs_exists(arena_format(&arena, "%s/%s/registry.json", parent, names[i])))
                registries[used++] = names[i];
        nearest = text_nearest(path_base(dir), registries);
    }
    err_set(err, NOT_FOUND, "cannot open registry '%s': no such directory", dir);
    if (nearest)
        err_hint(err, "Did you mean '%s'?", path_join(&arena, parent, nearest));
    else
        err_hint(err, "Create one with `pawl registry init %s`.", dir);
    arena_release(&arena);
    return NOT_FOUND;
}

enum code registry_check_folders(const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    enum code code = OK;
    for (size_t i = 0; !code && i < FOLDERS; i++) {
        struct stat info;
        const char *path = path_join(&arena, dir, folders[i].name);
        if (fs_stat(path, &info, NULL) == OK && !S_ISDIR(info.st_mode))
            code = err_set(err, DAMAGED, "'%s' is not a folder", path);
    }
    if (code) err_hint(err, "A registry holds no links and nothing else in place of its folders.");
    arena_release(&arena);
    return code;
}

enum code registry_open(struct registry *registry, const char *dir, struct err *err)
{
    TRY(set_paths(registry, dir, err));
    if (!fs_is_dir(dir)) {
        if (!fs_exists(dir)) return no_registry(dir, err);
        return err_set(err, NOT_FOUND, "cannot open registry '%s': it is not a directory", dir);
    }
    TRY(registry_check_folders(dir, err));
    TRY(registry_check_identity(registry, &registry->id, err));
    struct entry first;
    TRY(journal_read(&registry->journal, &first, 1, err));
    registry->open = json_is_true(json_object_get(first.body, "open"));
    entry_release(&first);
    return OK;
}

enum code registry_pin(const struct registry *registry, const struct digest *id, struct err *err)
{
    char want[DIGEST_TEXT], got[DIGEST_TEXT];
    if (digest_equal(&registry->id, id)) return OK;
    err_set(err, REFUSED, "registry '%.200s' is %s, not the expected %s", registry->dir,
            digest_text(&registry->id, got), digest_text(id, want));
    return err_hint(err, "It was replaced, or the wrong one is named.");
}

void registry_close(struct registry *registry)
{
    state_release(&registry->state);
}

/* Whether this mount does what every guarantee rests on. Leaves nothing behind. */
static enum code probe(const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    char one[1100], two[1100];
    struct stat info = { 0 };
    bool first = false, second = true;
    fs_temporary_name(one, sizeof one, path_join(&arena, dir, "probe"));
    fs_temporary_name(two, sizeof two, path_join(&arena, dir, "probe"));
    enum code code = fs_publish(one, "probe", 5, err);
    if (!code) code = fs_link(one, two, &first, err);
    if (!code) code = fs_link(one, two, &second, err);
    if (!code) code = fs_stat(one, &info, err);
    if (!code) code = fs_sync_dir(dir, err);
    if (!code && (!first || second || info.st_nlink != 2))
        code = err_set(err, HOPELESS,
                       "cannot keep a registry in '%s': link(2) is not exclusive there", dir);
    else if (code)
        err_hint(err, "A registry needs hard links and fsync on directories: use another mount.");
    fs_remove(one, NULL);
    fs_remove(two, NULL);
    arena_release(&arena);
    return code;
}

static bool ours(const char *name)
{
    for (size_t i = 0; i < FOLDERS; i++)
        if (strcmp(folders[i].name, name) == 0) return true;
    return fs_is_temporary(name);
}

/* A new or empty directory, or what an interrupted init left. */
static enum code claim(const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    char **names;
    size_t count;
    enum code code = fs_mkdirs(dir, err);
    if (!code) code = fs_list(&arena, &names, &count, dir, err);
    for (size_t i = 0; !code && i < count; i++) {
        if (strcmp(names[i], "registry.json") == 0)
            code = err_set(err, CONFLICT, "cannot create registry '%s': there is one already", dir);
        else if (!ours(names[i]))
            code = err_set(err, USAGE, "cannot create registry '%s': it holds '%s'", dir, names[i]);
    }
    if (code == USAGE) err_hint(err, "Give a new or empty directory.");
    arena_release(&arena);
    return code;
}

static enum code make_folders(const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    struct stat parent;
    enum code code = fs_stat(path_dir(&arena, dir), &parent, err);
    mode_t rights = !code && parent.st_mode & 020 ? 0775 : 0755;
    for (size_t i = 0; !code && i < FOLDERS; i++) {
        const char *path = path_join(&arena, dir, folders[i].name);
        code = fs_mkdirs(path, err);
        if (!code) code = fs_set_mode(path, rights | folders[i].bits, err);
    }
    arena_release(&arena);
    return code;
}

struct founding {
    const struct policy_opts *policy; /* NULL: open */
    const char *actor, *reason;
    struct digest id;
    bool open; /* as entry 1 says */
};

static enum code found_apply(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct founding *founding = context;
    if (entry->seq != 1) return OK;
    founding->id = entry->digest;
    founding->open = json_is_true(json_object_get(entry->body, "open"));
    return OK;
}

static enum code found_decide(void *context, struct draft *draft, struct err *err)
{
    static const struct state nothing = { .open = true };
    const struct founding *founding = context;
    struct digest none = { 0 };
    if (!digest_equal(&founding->id, &none)) { /* an interrupted init came so far */
        if (founding->open == (founding->policy == NULL)) return OK;
        err_set(err, CONFLICT, "cannot go on with an interrupted init: it began %s",
                founding->open ? "without a policy" : "with a policy");
        return err_hint(err, "Do as it did, or remove what it left.");
    }
    if (founding->policy) {
        TRY(policy_draft(draft, &nothing, founding->policy, err));
        draft->key = founding->policy->key;
    } else {
        draft->body = json_object();
    }
    draft->kind = ENTRY_INIT;
    draft->actor = founding->actor;
    draft->reason = founding->reason;
    json_object_set_new(draft->body, "open", json_boolean(!founding->policy));
    json_object_set_new(draft->body, "version", json_string(PAWL_VERSION));
    return OK;
}

static enum code found(const char *dir, struct founding *founding, struct err *err)
{
    struct registry registry;
    struct head head = { 0 };
    struct journal_writer writer = { found_apply, found_decide, founding };
    TRY(set_paths(&registry, dir, err));
    TRY(claim(dir, err));
    TRY(probe(dir, err));
    TRY(make_folders(dir, err));
    TRY(journal_commit(&registry.journal, &head, &writer, NULL, err));
    struct arena arena = { 0 };
    struct bytes bytes = registry_identity(&arena, &founding->id);
    enum code code = fs_publish(path_join(&arena, dir, "registry.json"), bytes.at, bytes.len, err);
    arena_release(&arena);
    return code;
}

enum code registry_init(const char *dir, const char *actor, const char *reason, struct err *err)
{
    struct founding founding = { .actor = actor, .reason = reason };
    return found(dir, &founding, err);
}

enum code registry_init_closed(const char *dir, const struct policy_opts *opts, struct err *err)
{
    static const struct state nothing = { .open = true };
    struct founding founding = { .policy = opts, .actor = opts->actor, .reason = opts->reason };
    struct draft trial = { 0 }; /* what cannot be signed leaves no folder behind */
    enum code code = policy_draft(&trial, &nothing, opts, err);
    draft_release(&trial);
    return code ? code : found(dir, &founding, err);
}
