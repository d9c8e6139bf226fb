/* The order of a repair: identity, journal, content, views, last the end of a loss. */
#include "registry/repair_internal.h"

#include "registry/commit.h"
#include "registry/views.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void repair_say(json_t *list, const char *format, ...)
{
    char text[480];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *message = json_string(text);
    if (!message) message = json_string("a name that is not UTF-8");
    json_array_append_new(list, json_pack("{so}", "message", message));
}

/* registry.json follows from entry 1; only a folder that has neither is no registry. */
static enum code mend_identity(struct repairing *repairing, enum code opened, struct err *err)
{
    struct registry *registry = &repairing->registry;
    struct arena *arena = &repairing->arena;
    struct entry first;
    if (opened == OK) return OK;
    if (opened != DAMAGED && opened != NOT_FOUND) return opened;
    if (journal_read(&registry->journal, &first, 1, NULL)) return opened;
    struct bytes bytes = registry_identity(arena, &first.digest);
    registry->id = first.digest;
    entry_release(&first);
    TRY(fs_publish(path_join(arena, registry->dir, "registry.json"), bytes.at, bytes.len, err));
    repair_say(repairing->done, "wrote registry.json again from entry 1");
    return OK;
}

static enum code mend_views(struct repairing *repairing, struct err *err)
{
    struct registry *registry = &repairing->registry;
    struct channels_view view;
    bool current = channels_view_read(registry, &view, NULL) == OK;
    if (current) {
        current = view.head.seq == registry->state.head.seq &&
                  digest_equal(&view.head.digest, &registry->state.head.digest);
        channels_view_release(&view);
    }
    /* one that knows of accepted losses would make every reader refuse */
    if (!current)
        TRY(fs_remove(path_join(&repairing->arena, registry->dir, "cache/channels.json"), err));
    TRY(views_rebuild(registry, err));
    repair_say(repairing->done, "wrote the views up to entry %lld",
               (long long)registry->state.head.seq);
    return fs_remove(path_join(&repairing->arena, registry->store.staging, "repair.json"), err);
}

static json_t *result_of(const struct repairing *repairing)
{
    const struct lost_range *lost = &repairing->lost;
    json_t *range = lost->from ? json_pack("{sI sI sn}", "from", (json_int_t)lost->from, "to",
                                           (json_int_t)lost->to, "digest")
                               : json_null();
    if (lost->from && lost->has_digest) json_set_digest(range, "digest", &lost->digest);
    return json_pack("{ss sO sO so}", "pawl", "repair/1", "done", repairing->done, "left",
                     repairing->left, "lost", range);
}

enum code registry_repair(const char *dir, json_t **result, const struct repair_opts *opts,
                          struct err *err)
{
    struct repairing repairing = { .opts = opts };
    *result = NULL;
    repairing.done = json_array();
    repairing.left = json_array();
    enum code code = registry_check_folders(dir, err);
    if (code) goto out;
    code = registry_open(&repairing.registry, dir, err);
    if ((code = mend_identity(&repairing, code, err))) goto out;
    if ((code = repair_journal(&repairing, err))) goto out;
    if ((code = repair_content(&repairing, err))) goto out;
    if ((code = mend_views(&repairing, err))) goto out;
    *result = result_of(&repairing);
    size_t left = json_array_size(repairing.left);
    if (left)
        code = err_set(err, DAMAGED, "'%s' is not whole: %zu of its parts are lost", dir, left);
out:
    json_decref(repairing.done);
    json_decref(repairing.left);
    registry_close(&repairing.registry);
    reach_release(&repairing.mended);
    arena_release(&repairing.arena);
    return code;
}
