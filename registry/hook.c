/* The spool: entries become files, files become calls. */
#include "registry/hook.h"

#include "base/log.h"
#include "base/str.h"
#include "registry/commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_LIMIT = 4096, NAME_MOST = 100 };

struct hooking {
    struct arena arena;
    struct registry *registry;
    const struct hook_opts *opts;
    char **hooks; /* names of executables, sorted, NULL-terminated */
    const char *spool;
    int64_t seen, spooled, called, pending;
    json_t *failed;
};

/* Files that can be run, by names that can stand in a file's name. */
static enum code find_hooks(struct hooking *hooking, struct err *err)
{
    struct arena *arena = &hooking->arena;
    char **names;
    size_t count, used = 0;
    TRY(fs_list(arena, &names, &count, hooking->opts->dir, err));
    for (size_t i = 0; i < count; i++) {
        struct stat info;
        const char *path = path_join(arena, hooking->opts->dir, names[i]);
        if (names[i][0] == '.' || strlen(names[i]) > NAME_MOST) continue;
        if (fs_stat(path, &info, NULL) == OK && S_ISREG(info.st_mode) && info.st_mode & 0111)
            names[used++] = names[i];
    }
    names[used] = NULL;
    hooking->hooks = names;
    return OK;
}

static char *state_path(struct hooking *hooking)
{
    char text[DIGEST_TEXT];
    digest_text(&hooking->registry->id, text);
    return arena_format(&hooking->arena, "%s/%.16s.json", hooking->spool, text + strlen("sha256:"));
}

static enum code read_state(struct hooking *hooking, struct err *err)
{
    json_t *state = NULL;
    enum code code = json_read(&state, state_path(hooking), STATE_LIMIT, "hooks/1", err);
    if (code == NOT_FOUND) {
        hooking->seen = hooking->opts->after >= 0 ? hooking->opts->after
                                                  : hooking->registry->state.head.seq;
        return OK;
    }
    if (!code) code = json_get_int(&hooking->seen, state, "seq", "hooks/1", err);
    json_decref(state);
    return code;
}

static enum code write_state(struct hooking *hooking, int64_t seq, struct err *err)
{
    json_t *state = json_pack("{ss sI}", "pawl", "hooks/1", "seq", (json_int_t)seq);
    json_set_digest(state, "registry", &hooking->registry->id);
    enum code code = json_publish(state, state_path(hooking), err);
    json_decref(state);
    return code;
}

static enum code spool(void *context, const struct entry *entry, struct err *err)
{
    struct hooking *hooking = context;
    struct arena *arena = &hooking->arena;
    struct bytes bytes;
    if (entry->seq <= hooking->seen) return OK;
    if (entry->kind != ENTRY_PROMOTE && entry->kind != ENTRY_ROLLBACK) return OK;
    const char *path = journal_path(arena, &hooking->registry->journal, entry->seq);
    TRY(fs_read(arena, &bytes, path, ENTRY_LIMIT, err));
    for (size_t i = 0; hooking->hooks[i]; i++) {
        const char *name = arena_format(arena, "%s/%010lld.%s", hooking->spool,
                                        (long long)entry->seq, hooking->hooks[i]);
        TRY(fs_publish(name, bytes.at, bytes.len, err));
    }
    hooking->spooled++;
    return OK;
}

static void note_failure(struct hooking *hooking, const char *hook, int64_t seq,
                         const struct err *why)
{
    log_warn("hook '%s' was not done with entry %lld and will be called again: %s", hook,
             (long long)seq, why->message);
    json_array_append_new(hooking->failed, json_pack("{ss sI ss}", "hook", hook, "seq",
                                                     (json_int_t)seq, "reason", why->message));
}

/* The files of one hook in the order of their entries; the first failure ends its turn. */
static enum code call_hook(struct hooking *hooking, const char *hook, char **files, struct err *err)
{
    struct arena *arena = &hooking->arena;
    bool failed = false;
    for (size_t i = 0; files[i]; i++) {
        size_t digits = strspn(files[i], "0123456789");
        struct err why;
        if (digits < 10 || files[i][digits] != '.' || strcmp(files[i] + digits + 1, hook) != 0)
            continue;
        if (failed) {
            hooking->pending++;
            continue;
        }
        const char *path = path_join(arena, hooking->spool, files[i]);
        const char *args[] = { path_join(arena, hooking->opts->dir, hook), NULL };
        struct command_run run = {
            .args = args,
            .input = path,
            .environment = hooking->opts->environment,
            .timeout_s = hooking->opts->timeout_s ? hooking->opts->timeout_s : HOOK_TIMEOUT_S,
        };
        failed = command_run(&run, &why) != OK;
        if (failed) {
            note_failure(hooking, hook, strtoll(files[i], NULL, 10), &why);
            hooking->pending++;
        } else {
            hooking->called++;
            TRY(fs_remove(path, err));
        }
    }
    return OK;
}

static enum code follow(struct hooking *hooking, struct err *err)
{
    struct registry *registry = hooking->registry;
    struct arena *arena = &hooking->arena;
    struct head head = { 0 };
    char **files;
    hooking->spool = path_join(arena, hooking->opts->dir, "spool");
    TRY(find_hooks(hooking, err));
    TRY(fs_mkdirs(hooking->spool, err));
    TRY(registry_refresh(registry, err));
    TRY(read_state(hooking, err));
    TRY(journal_walk(&registry->journal, &head, spool, hooking, err));
    TRY(write_state(hooking, head.seq, err));
    TRY(fs_list(arena, &files, NULL, hooking->spool, err));
    for (size_t i = 0; hooking->hooks[i]; i++)
        TRY(call_hook(hooking, hooking->hooks[i], files, err));
    return OK;
}

enum code registry_hooks(struct registry *registry, json_t **result, const struct hook_opts *opts,
                         struct err *err)
{
    struct hooking hooking = { .registry = registry, .opts = opts, .failed = json_array() };
    enum code code = follow(&hooking, err);
    *result = code ? NULL
                   : json_pack("{ss sI sI sO sI}", "pawl", "hooks/1", "spooled",
                               (json_int_t)hooking.spooled, "called", (json_int_t)hooking.called,
                               "failed", hooking.failed, "pending", (json_int_t)hooking.pending);
    json_decref(hooking.failed);
    arena_release(&hooking.arena);
    return code;
}
