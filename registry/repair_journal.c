/* The chain as far as it is sound, and what proves that there was more: entries behind a gap, a
 * view that knows a later head, an index with a tag of a version that no entry registers. */
#include "registry/repair_internal.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/oci.h"
#include "registry/trust.h"
#include "registry/views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INTENT_LIMIT = 64 << 10, INDEX_LIMIT = 4 << 20 };

/* What the walk collects beside the state. */
struct walking {
    struct repairing *repairing;
    struct lost_range *recovered; /* ranges that recover entries name */
    size_t count;
    bool accepted; /* the accepted loss of staging/repair.json has its entry */
};

static void read_range(struct lost_range *range, const json_t *json)
{
    *range = (struct lost_range){
        .from = json_integer_value(json_object_get(json, "from")),
        .to = json_integer_value(json_object_get(json, "to")),
    };
    range->has_digest = digest_parse(&range->digest,
                                     json_string_value(json_object_get(json, "digest")));
}

static enum code apply(void *context, const struct entry *entry, struct err *err)
{
    struct walking *walking = context;
    struct repairing *repairing = walking->repairing;
    struct registry *registry = &repairing->registry;
    TRY(state_apply(&registry->state, entry, err));
    registry->state.head = (struct head){ .seq = entry->seq, .digest = entry->digest };
    registry->open = registry->state.open;
    if (entry->seq == 1) registry->id = entry->digest;
    if (entry->kind != ENTRY_RECOVER) return OK;
    struct lost_range *more = ARENA_ARRAY(&repairing->arena, walking->count + 1, struct lost_range);
    if (walking->count) memcpy(more, walking->recovered, walking->count * sizeof *more);
    walking->recovered = more;
    read_range(&more[walking->count++], json_object_get(entry->body, "lost"));
    const char *nonce = entry_text(entry, "nonce");
    if (nonce && *repairing->nonce && strcmp(nonce, repairing->nonce) == 0)
        walking->accepted = true;
    return OK;
}

static void found(struct lost_range *lost, int64_t from, int64_t to, const struct digest *digest)
{
    if (!lost->from || from < lost->from) lost->from = from;
    if (to < lost->to) return;
    lost->to = to;
    lost->has_digest = digest != NULL;
    if (digest) lost->digest = *digest;
}

/* The number in an entry's name, 0 for another name. */
static int64_t seq_of(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits >= 10 && digits <= 18 && strcmp(name + digits, ".json") == 0
               ? strtoll(name, NULL, 10)
               : 0;
}

typedef enum code (*entry_file)(struct repairing *repairing, const char *path, int64_t seq,
                                struct err *err);

/* Each file behind the sound head, and each that is no entry (seq 0). */
static enum code each_beyond(struct repairing *repairing, entry_file with, struct err *err)
{
    struct arena *arena = &repairing->arena;
    const char *dir = repairing->registry.journal.dir;
    char **folders, **names;
    TRY(fs_list(arena, &folders, NULL, dir, err));
    for (size_t f = 0; folders[f]; f++) {
        const char *folder = path_join(arena, dir, folders[f]);
        if (!fs_is_dir(folder)) {
            if (!fs_is_temporary(folders[f])) TRY(with(repairing, folder, 0, err));
            continue;
        }
        TRY(fs_list(arena, &names, NULL, folder, err));
        for (size_t i = 0; names[i]; i++) {
            int64_t seq = seq_of(names[i]);
            if (fs_is_temporary(names[i])) continue;
            if (seq && seq <= repairing->registry.state.head.seq) continue;
            TRY(with(repairing, path_join(arena, folder, names[i]), seq, err));
        }
    }
    return OK;
}

static enum code note_beyond(struct repairing *repairing, const char *path, int64_t seq,
                             struct err *err)
{
    (void)path;
    (void)err;
    if (seq) found(&repairing->lost, repairing->registry.state.head.seq + 1, seq, NULL);
    return OK;
}

static bool recovered(const struct walking *walking, const struct head *head)
{
    for (size_t i = 0; i < walking->count; i++) {
        const struct lost_range *range = &walking->recovered[i];
        if (range->has_digest && range->to == head->seq &&
            digest_equal(&range->digest, &head->digest))
            return true;
    }
    return false;
}

static void look_at_views(const struct walking *walking)
{
    struct repairing *repairing = walking->repairing;
    struct registry *registry = &repairing->registry;
    struct channels_view view;
    const struct head *head = &registry->state.head;
    if (channels_view_read(registry, &view, NULL)) return;
    bool holds = view.head.seq <= head->seq &&
                 journal_holds(&registry->journal, &view.head, NULL) == OK;
    if (!holds && !recovered(walking, &view.head))
        found(&repairing->lost, view.head.seq <= head->seq ? view.head.seq : head->seq + 1,
              view.head.seq, &view.head.digest);
    channels_view_release(&view);
}

/* An index is as old as the view at least; one that a recover entry explains is not looked at. */
static void look_at_indexes(const struct walking *walking)
{
    struct repairing *repairing = walking->repairing;
    struct registry *registry = &repairing->registry;
    struct arena *arena = &repairing->arena;
    char **models;
    if (fs_list(arena, &models, NULL, path_join(arena, registry->dir, "models"), NULL)) return;
    for (size_t m = 0; models[m]; m++) {
        struct bytes bytes;
        const char *path = oci_path(arena, registry, models[m], "index.json");
        if (fs_read_own(arena, &bytes, path, INDEX_LIMIT, NULL)) continue;
        const struct model_line *model = state_model(&registry->state, models[m]);
        int64_t known = model ? (int64_t)model->version_count : 0;
        int64_t missing = oci_index_highest(&bytes) - known, head = registry->state.head.seq;
        if (missing > 0) found(&repairing->lost, head + 1, head + missing, NULL);
    }
}

static char *intent_path(struct repairing *repairing)
{
    return path_join(&repairing->arena, repairing->registry.store.staging, "repair.json");
}

static enum code refuse(const struct repairing *repairing, const struct err *why, struct err *err)
{
    const struct registry *registry = &repairing->registry;
    const struct lost_range *lost = &repairing->lost;
    err_set(err, DAMAGED,
            "cannot repair '%s': entries %lld to %lld are lost; the journal is sound up to %lld%s"
            "%.200s",
            registry->dir, (long long)lost->from, (long long)lost->to,
            (long long)registry->state.head.seq, *why->message ? ": " : "", why->message);
    err_hint(err, "Restore them from a copy of the registry, or say --accept-loss to go on without "
                  "them; a recover entry then names what is missing.");
    return DAMAGED;
}

static json_t *range_json(const struct lost_range *lost)
{
    json_t *json = json_pack("{sI sI sn}", "from", (json_int_t)lost->from, "to",
                             (json_int_t)lost->to, "digest");
    if (lost->has_digest) json_set_digest(json, "digest", &lost->digest);
    return json;
}

static enum code publish_intent(struct repairing *repairing, struct err *err)
{
    uint64_t random[2];
    if (!*repairing->nonce) {
        random_bytes(random, sizeof random);
        snprintf(repairing->nonce, sizeof repairing->nonce, "%016llx%016llx",
                 (unsigned long long)random[0], (unsigned long long)random[1]);
    }
    json_t *json = json_pack("{ss ss so}", "pawl", "loss/1", "nonce", repairing->nonce, "lost",
                             range_json(&repairing->lost));
    enum code code = json_publish(json, intent_path(repairing), err);
    json_decref(json);
    return code;
}

static enum code move_away(struct repairing *repairing, const char *path, int64_t seq,
                           struct err *err)
{
    struct arena *arena = &repairing->arena;
    (void)seq;
    const char *dir = arena_format(arena, "%s/trash/lost.%s", repairing->registry.dir,
                                   repairing->nonce);
    TRY(fs_mkdirs(dir, err));
    TRY(fs_replace(path, path_join(arena, dir, path_base(path)), err));
    TRY(fs_sync_parent(path, err));
    repair_say(repairing->done, "moved '%s' to '%s'", path, dir);
    return OK;
}

/* Folders that hold nothing any more would count as a gap. */
static enum code remove_empty_folders(struct repairing *repairing, struct err *err)
{
    struct arena *arena = &repairing->arena;
    const char *dir = repairing->registry.journal.dir;
    char **folders, **names;
    TRY(fs_list(arena, &folders, NULL, dir, err));
    for (size_t f = 0; folders[f]; f++) {
        const char *folder = path_join(arena, dir, folders[f]);
        if (fs_list(arena, &names, NULL, folder, NULL) == OK && !names[0] && f)
            TRY(fs_remove_tree(folder, err));
    }
    return OK;
}

static enum code decide(void *context, struct draft *draft, struct err *err)
{
    (void)err;
    const struct repairing *repairing = ((struct walking *)context)->repairing;
    const struct state *state = &repairing->registry.state;
    if (((struct walking *)context)->accepted) return OK;
    draft->key = state->open ? NULL : repairing->opts->key;
    draft->not_before = state->time_s;
    draft->kind = ENTRY_RECOVER;
    draft->actor = repairing->opts->actor;
    draft->reason = repairing->opts->reason;
    draft->body = json_pack("{so ss}", "lost", range_json(&repairing->lost), "nonce",
                            repairing->nonce);
    if (repairing->lost.has_digest) draft_subject(draft, &repairing->lost.digest);
    return OK;
}

static enum code accept_loss(struct walking *walking, struct err *err)
{
    struct repairing *repairing = walking->repairing;
    struct registry *registry = &repairing->registry;
    struct journal_writer writer = { .apply = apply, .decide = decide, .context = walking };
    struct head head = registry->state.head;
    TRY(trust_may(&registry->state, ENTRY_RECOVER, repairing->opts->key, err));
    TRY(publish_intent(repairing, err));
    TRY(each_beyond(repairing, move_away, err));
    TRY(remove_empty_folders(repairing, err));
    TRY(journal_commit(&registry->journal, &head, &writer, NULL, err));
    repair_say(repairing->done, "entry %lld says that entries %lld to %lld are lost",
               (long long)head.seq, (long long)repairing->lost.from, (long long)repairing->lost.to);
    return OK;
}

/* An accepted loss that an earlier repair could not bring to its end. */
static enum code read_intent(struct repairing *repairing, struct err *err)
{
    json_t *json = NULL;
    const char *nonce;
    enum code code = json_read(&json, intent_path(repairing), INTENT_LIMIT, "loss/1", err);
    if (code) return code == NOT_FOUND ? OK : code;
    code = json_get_text(&nonce, json, "nonce", "repair.json", err);
    if (!code) snprintf(repairing->nonce, sizeof repairing->nonce, "%s", nonce);
    if (!code) read_range(&repairing->lost, json_object_get(json, "lost"));
    json_decref(json);
    return code;
}

enum code repair_journal(struct repairing *repairing, struct err *err)
{
    struct walking walking = { .repairing = repairing };
    struct registry *registry = &repairing->registry;
    struct head head = { 0 };
    struct err why = { 0 };
    TRY(read_intent(repairing, err));
    enum code code = journal_walk(&registry->journal, &head, apply, &walking, &why);
    if (code && code != DAMAGED) {
        if (err) *err = why;
        return code;
    }
    if (!head.seq) {
        if (code && err) *err = why;
        return code ? code
                    : err_set(err, DAMAGED, "cannot repair '%s': its first journal entry is lost",
                              registry->dir);
    }
    if (code) found(&repairing->lost, head.seq + 1, head.seq + 1, NULL);
    TRY(each_beyond(repairing, note_beyond, err));
    if (walking.accepted) return OK; /* only the views are late */
    look_at_views(&walking);
    if (!walking.count) look_at_indexes(&walking);
    if (!repairing->lost.from) return OK;
    if (!repairing->opts->accept_loss) return refuse(repairing, &why, err);
    return accept_loss(&walking, err);
}
