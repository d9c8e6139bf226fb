/* The collector: two readings of the journal around one rename per candidate. */
#include "registry/gc.h"

#include "base/str.h"
#include "registry/reach.h"

#include <string.h>
#include <time.h>

struct candidate {
    struct digest digest;
    uint64_t size;
    bool done; /* given back or removed */
};

struct collecting {
    struct registry *registry;
    const struct gc_opts *opts;
    struct arena arena;
    struct reach reach;
    double now; /* the file system's time */
    struct candidate *candidates;
    size_t count;
    char **models; /* the layouts' names, NULL-terminated */
    bool *had;     /* those that had the content at hand */
    int64_t removed, restored, young, held, leftovers;
    uint64_t bytes;
};

/* Ages are differences of times that one file system gave. */
static enum code read_time(struct collecting *collecting, struct err *err)
{
    struct arena *arena = &collecting->arena;
    char path[1100];
    struct stat info;
    const struct store *store = &collecting->registry->store;
    fs_temporary_name(path, sizeof path, path_join(arena, store->staging, "now"));
    TRY(fs_publish_view(path, "", 0, err));
    enum code code = fs_stat(path, &info, err);
    fs_remove(path, NULL);
    if (!code) collecting->now = (double)info.st_mtime;
    return code;
}

static bool old(const struct collecting *collecting, const struct stat *info)
{
    return collecting->now - (double)info->st_mtime >= (double)collecting->opts->grace_s;
}

static bool digest_of_name(struct digest *digest, const char *name)
{
    char text[DIGEST_TEXT + 8];
    if (strlen(name) != 64) return false;
    memcpy(text, "sha256:", 7);
    memcpy(text + 7, name, 65);
    return digest_parse(digest, text);
}

/* A hold as old as the grace time is nobody's any more. */
static bool is_held(struct collecting *collecting, const struct digest *digest)
{
    struct stat info;
    struct arena arena = { 0 };
    const char *path = store_hold_path(&arena, &collecting->registry->store, digest);
    enum code code = fs_stat(path, &info, NULL);
    bool held = code ? code != NOT_FOUND : !old(collecting, &info); /* in doubt it is */
    arena_release(&arena);
    return held;
}

static void add_candidate(struct collecting *collecting, const struct digest *digest, uint64_t size)
{
    size_t count = collecting->count;
    if ((count & (count - 1)) == 0) {
        struct candidate *more = ARENA_ARRAY(&collecting->arena, count ? count * 2 : 1,
                                             struct candidate);
        if (count) memcpy(more, collecting->candidates, count * sizeof *more);
        collecting->candidates = more;
    }
    collecting->candidates[collecting->count++] = (struct candidate){ *digest, size, false };
}

/* A name in trash/ that nobody else makes. */
static const char *own_name(struct arena *arena, const struct store *store,
                            const struct digest *digest)
{
    uint64_t nonce;
    random_bytes(&nonce, sizeof nonce);
    return arena_format(arena, "%s.%016llx", store_trash_path(arena, store, digest),
                        (unsigned long long)nonce);
}

static bool same_file(const char *a, const char *b)
{
    struct stat left, right;
    return !fs_stat(a, &left, NULL) && !fs_stat(b, &right, NULL) && left.st_ino == right.st_ino &&
           left.st_dev == right.st_dev;
}

/* Renames content. A power cut may leave both names of an earlier rename, and between two names of
 * one file rename does nothing: then the one it comes from goes, under a name of this collector's
 * own first, so that nothing is removed but what was looked at. */
static enum code move(const struct store *store, const struct digest *digest, const char *from,
                      const char *to, struct err *err)
{
    TRY(fs_replace(from, to, err));
    if (!same_file(from, to)) return OK;
    struct arena arena = { 0 };
    const char *own = own_name(&arena, store, digest);
    enum code code = fs_replace(from, own, err);
    if (code && !fs_exists(from))
        code = OK; /* another collector took it */
    else if (!code)
        code = same_file(own, to) ? fs_remove(own, err) : fs_replace(own, to, err);
    arena_release(&arena);
    return code;
}

/* A collector that died between its two names left content under its own: anybody's again. */
static void take_over(const struct store *store, const char *dir, const char *name)
{
    struct arena arena = { 0 };
    struct digest digest;
    if (strlen(name) != 64 + 17 || name[64] != '.') return; /* not such a name */
    char *plain = arena_copy_len(&arena, name, 64);
    if (digest_of_name(&digest, plain))
        move(store, &digest, path_join(&arena, dir, name), path_join(&arena, dir, plain), NULL);
    arena_release(&arena);
}

/* Content in a folder that nothing reaches. What lies in trash/ was old when it came there. */
static enum code find_candidates(struct collecting *collecting, const char *dir, bool trash,
                                 struct err *err)
{
    struct arena *arena = &collecting->arena;
    char **names;
    size_t count;
    TRY(fs_list(arena, &names, &count, dir, err));
    for (size_t i = 0; trash && !collecting->opts->dry_run && i < count; i++)
        take_over(&collecting->registry->store, dir, names[i]);
    if (trash) TRY(fs_list(arena, &names, &count, dir, err));
    for (size_t i = 0; i < count; i++) {
        struct digest digest;
        struct stat info;
        if (!digest_of_name(&digest, names[i])) continue;
        bool reached = reach_has(&collecting->reach, &digest);
        if (reached && !trash) continue;
        if (fs_stat(path_join(arena, dir, names[i]), &info, NULL) || !S_ISREG(info.st_mode))
            continue;
        if (!trash && !old(collecting, &info))
            collecting->young++;
        else if (!trash && is_held(collecting, &digest))
            collecting->held++;
        else
            add_candidate(collecting, &digest, (uint64_t)info.st_size);
    }
    return OK;
}

/* What is not there is aside already, or on its way back: another collector is at work. From here
 * on all that lies in trash/ is a candidate. */
static enum code put_aside(struct collecting *collecting, struct err *err)
{
    enum { TRIES = 5 };
    const struct store *store = &collecting->registry->store;
    for (size_t i = 0; i < collecting->count; i++) {
        const struct candidate *candidate = &collecting->candidates[i];
        struct arena arena = { 0 };
        const char *from = store_path(&arena, store, &candidate->digest);
        const char *to = store_trash_path(&arena, store, &candidate->digest);
        enum code code = IO;
        for (int t = 0; t < TRIES && code; t++)
            code = fs_exists(from) ? move(store, &candidate->digest, from, to, err) : OK;
        arena_release(&arena);
        if (code) return code;
    }
    return OK;
}

/* One rename, so that the content is at one of its two places all the time. What a writer put anew
 * meanwhile is the same bytes. */
static enum code give_back(struct collecting *collecting, struct candidate *candidate,
                           const char *aside, struct err *err)
{
    struct arena arena = { 0 };
    const struct store *store = &collecting->registry->store;
    const char *to = store_path(&arena, store, &candidate->digest);
    enum code code = move(store, &candidate->digest, aside, to, err);
    if (!code)
        collecting->restored++;
    else if (!fs_exists(aside))
        code = OK; /* another collector gave it back */
    candidate->done = true;
    arena_release(&arena);
    return code;
}

static enum code give_back_aside(struct collecting *collecting, struct candidate *candidate,
                                 struct err *err)
{
    struct arena arena = { 0 };
    const char *aside = store_trash_path(&arena, &collecting->registry->store, &candidate->digest);
    enum code code = give_back(collecting, candidate, aside, err);
    arena_release(&arena);
    return code;
}

/* Reads the journal and the holds as they are now; what is named or held goes back. */
static enum code look_again(struct collecting *collecting, struct err *err)
{
    TRY(reach_read(&collecting->reach, collecting->registry, err));
    for (size_t i = 0; i < collecting->count; i++) {
        struct candidate *candidate = &collecting->candidates[i];
        if (candidate->done) continue;
        if (reach_has(&collecting->reach, &candidate->digest) ||
            is_held(collecting, &candidate->digest))
            TRY(give_back_aside(collecting, candidate, err));
    }
    return OK;
}

/* Removes the name of content in each model's layout, which would keep its bytes, or makes it
 * again where there was one. */
static enum code change_blobs(struct collecting *collecting, const struct digest *digest,
                              bool remove, struct err *err)
{
    char text[DIGEST_TEXT];
    const char *hex = digest_text(digest, text) + strlen("sha256:");
    enum code code = OK;
    for (size_t m = 0; collecting->models[m] && !code; m++) {
        struct arena arena = { 0 };
        bool made;
        const char *path = arena_format(&arena, "%s/models/%s/blobs/sha256/%s",
                                        collecting->registry->dir, collecting->models[m], hex);
        const char *from = store_path(&arena, &collecting->registry->store, digest);
        if (remove) {
            collecting->had[m] = fs_exists(path);
            if (collecting->had[m]) code = fs_remove(path, err);
        } else if (collecting->had[m] && fs_exists(from)) {
            code = fs_link(from, path, &made, err);
        }
        arena_release(&arena);
    }
    return code;
}

/* Under a name of this collector's own nobody else can put anything, so what is removed is what was
 * looked at: a hold that is not there by now is no earlier than that name. A writer that holds the
 * content later may have taken its name in a layout for its own. */
static enum code remove_one(struct collecting *collecting, struct candidate *candidate,
                            struct err *err)
{
    struct arena arena = { 0 };
    const struct store *store = &collecting->registry->store;
    const char *aside = store_trash_path(&arena, store, &candidate->digest);
    const char *own = own_name(&arena, store, &candidate->digest);
    enum code code = fs_replace(aside, own, err);
    candidate->done = true;
    if (code) {
        if (!fs_exists(aside)) code = OK; /* another collector has it */
        goto out;
    }
    if (is_held(collecting, &candidate->digest)) {
        code = give_back(collecting, candidate, own, err);
        goto out;
    }
    if ((code = change_blobs(collecting, &candidate->digest, true, err))) goto out;
    if ((code = fs_remove(own, err))) goto out;
    if (is_held(collecting, &candidate->digest))
        code = change_blobs(collecting, &candidate->digest, false, err);
    collecting->removed++;
    collecting->bytes += candidate->size;
out:
    arena_release(&arena);
    return code;
}

static enum code remove_rest(struct collecting *collecting, struct err *err)
{
    struct arena *arena = &collecting->arena;
    size_t count;
    TRY(fs_list(arena, &collecting->models, &count,
                path_join(arena, collecting->registry->dir, "models"), err));
    collecting->had = ARENA_ARRAY(arena, count, bool);
    for (size_t i = 0; i < collecting->count; i++) {
        struct candidate *candidate = &collecting->candidates[i];
        if (candidate->done) continue;
        if (collecting->opts->dry_run) {
            bool named = reach_has(&collecting->reach, &candidate->digest);
            collecting->removed += !named;
            collecting->bytes += named ? 0 : candidate->size;
        } else if (is_held(collecting, &candidate->digest)) {
            TRY(give_back_aside(collecting, candidate, err));
        } else {
            TRY(remove_one(collecting, candidate, err));
        }
    }
    return OK;
}

/* The newest time of a folder and what lies in it: somebody may be writing one large file. */
static bool abandoned(struct collecting *collecting, const char *path)
{
    struct stat info;
    char **names;
    size_t count;
    if (fs_stat(path, &info, NULL) || !old(collecting, &info)) return false;
    if (!S_ISDIR(info.st_mode)) return true;
    if (fs_list(&collecting->arena, &names, &count, path, NULL)) return false;
    for (size_t i = 0; i < count; i++)
        if (fs_stat(path_join(&collecting->arena, path, names[i]), &info, NULL) == OK &&
            !old(collecting, &info))
            return false;
    return true;
}

/* Unfinished work in a folder: everything in staging/, temporaries elsewhere. */
static enum code clear_folder(struct collecting *collecting, const char *dir, bool all,
                              struct err *err)
{
    char **names;
    size_t count;
    enum code code = fs_list(&collecting->arena, &names, &count, dir, err);
    if (code) return code == NOT_FOUND ? OK : code;
    for (size_t i = 0; i < count; i++) {
        const char *path = path_join(&collecting->arena, dir, names[i]);
        if ((!all && !fs_is_temporary(names[i])) || !abandoned(collecting, path)) continue;
        if (!text_starts(names[i], "hold.")) collecting->leftovers++;
        if (!collecting->opts->dry_run) TRY(fs_remove_tree(path, err));
    }
    return OK;
}

static enum code clear_leftovers(struct collecting *collecting, struct err *err)
{
    static const char *const nested[] = { "journal", "models" };
    static const char *const plain[] = { "", "cache", "store/sha256" };
    struct arena *arena = &collecting->arena;
    const char *dir = collecting->registry->dir;
    TRY(clear_folder(collecting, collecting->registry->store.staging, true, err));
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        TRY(clear_folder(collecting, path_join(arena, dir, plain[i]), false, err));
    for (size_t i = 0; i < sizeof nested / sizeof *nested; i++) {
        char **names, *folder = path_join(arena, dir, nested[i]);
        TRY(fs_list(arena, &names, NULL, folder, err));
        for (size_t n = 0; names[n]; n++)
            TRY(clear_folder(collecting, path_join(arena, folder, names[n]), false, err));
    }
    return OK;
}

static void pause_for(double seconds)
{
    struct timespec left = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    while (seconds > 0 && nanosleep(&left, &left)) continue;
}

static enum code collect(struct collecting *collecting, struct err *err)
{
    const struct gc_opts *opts = collecting->opts;
    struct arena *arena = &collecting->arena;
    struct registry *registry = collecting->registry;
    TRY(registry_refresh(registry, err));
    TRY(read_time(collecting, err));
    TRY(reach_read(&collecting->reach, registry, err));
    TRY(find_candidates(collecting, registry->store.dir, false, err));
    if (!opts->dry_run) {
        TRY(put_aside(collecting, err));
        collecting->count = 0;
    }
    TRY(find_candidates(collecting, path_join(arena, registry->dir, "trash"), true, err));
    if (!opts->dry_run) {
        TRY(look_again(collecting, err));
        if (collecting->count) pause_for(opts->wait_s);
        TRY(look_again(collecting, err));
    }
    TRY(remove_rest(collecting, err));
    return clear_leftovers(collecting, err);
}

enum code registry_gc(struct registry *registry, json_t **result, const struct gc_opts *opts,
                      struct err *err)
{
    struct collecting collecting = { .registry = registry, .opts = opts };
    *result = NULL;
    enum code code = collect(&collecting, err);
    if (!code)
        *result = json_pack(
            "{ss sI sI sI sI sI sI sb}", "pawl", "gc/1", "content", (json_int_t)collecting.removed,
            "bytes", (json_int_t)collecting.bytes, "restored", (json_int_t)collecting.restored,
            "young", (json_int_t)collecting.young, "held", (json_int_t)collecting.held, "leftovers",
            (json_int_t)collecting.leftovers, "dry_run", (int)opts->dry_run);
    reach_release(&collecting.reach);
    arena_release(&collecting.arena);
    return code;
}
