/* From a REF to one version. A channel is looked up in the view, and what the journal says behind
 * the view's head is read on top of it, so that the answer is never older than the journal. Where a
 * registry has keys, the journal alone answers: every signature up to the answer is checked. */
#include "registry/registry.h"

#include "base/str.h"
#include "registry/commit.h"
#include "registry/snapshot.h"
#include "registry/views.h"

#include <stdlib.h>
#include <string.h>

bool ref_is_registry(const char *ref)
{
    return strchr(ref, '@') != NULL;
}

/* A REF taken apart: exactly one of number, digest and channel is given. */
struct ref {
    char model[NAME_LIMIT + 1];
    const char *tail;
    int64_t number;
    bool by_digest, by_channel;
    struct digest digest;
};

static enum code malformed(const char *text, const char *why, struct err *err)
{
    err_set(err, USAGE, "cannot use '%.120s': %s", text, why);
    err_hint(err, "A version is NAME@7, NAME@sha256:… or NAME@CHANNEL.");
    return USAGE;
}

static enum code ref_parse(struct ref *ref, const char *text, struct err *err)
{
    const char *at = strchr(text, '@');
    memset(ref, 0, sizeof *ref);
    if (!at || at == text || at - text > NAME_LIMIT)
        return malformed(text, "it does not begin with a model's name and '@'", err);
    memcpy(ref->model, text, (size_t)(at - text));
    TRY(name_check_model(ref->model, err));
    ref->tail = at + 1;
    size_t digits = strspn(ref->tail, "0123456789");
    if (digits && digits <= 18 && !ref->tail[digits]) {
        ref->number = strtoll(ref->tail, NULL, 10);
        return ref->number ? OK : malformed(text, "versions count from 1", err);
    }
    if (text_starts(ref->tail, "sha256:")) {
        ref->by_digest = digest_parse(&ref->digest, ref->tail);
        return ref->by_digest ? OK : malformed(text, "its digest is not 64 hex digits", err);
    }
    ref->by_channel = true;
    return name_check_channel(ref->tail, err);
}

static void fill(struct resolved *resolved, const struct version *version)
{
    resolved->number = version->number;
    resolved->seq = version->seq;
    resolved->digest = version->digest;
    resolved->model_digest = version->model_digest;
}

static enum code no_channel(const struct model_line *model, const char *name, struct err *err)
{
    struct arena arena = { 0 };
    const char **names = ARENA_ARRAY(&arena, model->channel_count + 1, const char *);
    for (size_t i = 0; i < model->channel_count; i++) names[i] = model->channels[i].name;
    const char *nearest = text_nearest(name, names);
    err_set(err, NOT_FOUND, "'%s' has no channel '%s'", model->name, name);
    if (nearest)
        err_hint(err, "Did you mean '%s@%s'?", model->name, nearest);
    else
        err_hint(err, "A promotion makes it: `pawl promote %s@N %s --reason TEXT`.", model->name,
                 name);
    arena_release(&arena);
    return NOT_FOUND;
}

/* The row is only where to look: the entry that it cites must register that version. */
static enum code check_row(const struct registry *registry, struct resolved *resolved,
                           const struct snap_version *row, bool *found, struct err *err)
{
    struct entry entry;
    struct version version = { .number = row->number, .seq = (int64_t)row->seq };
    TRY(journal_read(&registry->journal, &entry, version.seq, err));
    const char *model = entry_text(&entry, "model");
    *found = entry_registers(&entry) && model && strcmp(model, resolved->model) == 0 &&
             entry_int(&entry, "number") == version.number &&
             entry_digest(&entry, &version.digest, "digest") &&
             digest_equal(&version.digest, &row->digest) &&
             entry_digest(&entry, &version.model_digest, "model_digest");
    entry_release(&entry);
    if (*found) fill(resolved, &version);
    return OK;
}

/* A version never changes, so an old snapshot answers as well as a new one; what it does not have
 * is looked for in the journal. */
static enum code from_snapshot(struct registry *registry, struct resolved *resolved,
                               const struct ref *ref, bool *found, struct err *err)
{
    struct snapshot s;
    *found = false;
    if (snapshot_map(registry, &s, NULL)) return OK;
    enum code code = registry_check_view(registry, err);
    if (!code) code = journal_holds(&registry->journal, &s.head, NULL) ? CONFLICT : OK;
    const struct snap_model *model = code ? NULL : snapshot_model(&s, ref->model);
    for (uint32_t i = 0; model && !*found && !code && i < model->version_count; i++) {
        if (ref->number && ref->number != i + 1) {
            if (ref->number > model->version_count) break;
            i = (uint32_t)ref->number - 1;
        }
        const struct snap_version *row = &s.versions[model->first_version + i];
        if (ref->by_digest && !digest_equal(&row->digest, &ref->digest)) continue;
        code = check_row(registry, resolved, row, found, err);
        if (ref->number) break;
    }
    snapshot_close(&s);
    return code == CONFLICT ? OK : code; /* a snapshot of another chain says nothing */
}

static enum code from_state(struct registry *registry, struct resolved *resolved,
                            const struct ref *ref, struct err *err)
{
    const struct state *state = &registry->state;
    const struct model_line *model;
    const struct version *version;
    char text[DIGEST_TEXT];
    TRY(registry_refresh(registry, err));
    TRY(state_find_model(state, &model, ref->model, err));
    if (ref->by_channel) {
        const struct channel *channel = model_channel(model, ref->tail);
        if (!channel) return no_channel(model, ref->tail, err);
        const struct move *now = channel_now(channel);
        fill(resolved, model_version(model, now->number));
        resolved->seq = now->seq;
        return OK;
    }
    if (ref->by_digest) {
        version = model_version_of(model, &ref->digest);
        if (!version)
            return err_set(err, NOT_FOUND, "'%s' has no version %s", ref->model,
                           digest_text(&ref->digest, text));
    } else {
        TRY(state_find_version(state, &model, &version, ref->model, ref->number, err));
    }
    fill(resolved, version);
    return OK;
}

struct following {
    const struct ref *ref;
    struct resolved *resolved;
    bool found;
};

/* Takes an entry that moves the channel. */
static enum code follow(void *context, const struct entry *entry, struct err *err)
{
    (void)err;
    struct following *following = context;
    const struct ref *ref = following->ref;
    struct resolved *resolved = following->resolved;
    if (entry->kind != ENTRY_PROMOTE && entry->kind != ENTRY_ROLLBACK) return OK;
    if (strcmp(entry_text(entry, "model"), ref->model) != 0) return OK;
    if (strcmp(entry_text(entry, "channel"), ref->tail) != 0) return OK;
    resolved->number = entry_int(entry, "number");
    resolved->seq = entry->seq;
    entry_digest(entry, &resolved->digest, "digest");
    entry_digest(entry, &resolved->model_digest, "model_digest");
    following->found = true;
    return OK;
}

/* The row is only where to look: what counts is the entry that it cites. */
static enum code follow_row(const struct registry *registry, struct following *following,
                            const json_t *row, struct err *err)
{
    struct digest want;
    struct entry entry;
    int64_t seq = json_integer_value(json_object_get(row, "seq"));
    if (!digest_parse(&want, json_string_value(json_object_get(row, "entry")))) return OK;
    TRY(journal_read(&registry->journal, &entry, seq, err));
    if (digest_equal(&entry.digest, &want)) follow(following, &entry, err);
    entry_release(&entry);
    return OK;
}

/* *found stays false when there is no usable view or it does not know the channel. */
static enum code from_view(struct registry *registry, struct resolved *resolved,
                           const struct ref *ref, bool *found, struct err *err)
{
    json_t *row = NULL;
    struct head head;
    struct following following = { .ref = ref, .resolved = resolved };
    if (channels_view_look(registry, &head, &row, ref->model, ref->tail)) return OK;
    enum code code = journal_holds(&registry->journal, &head, err);
    if (!code && row) code = follow_row(registry, &following, row, err);
    if (!code) code = journal_walk(&registry->journal, &head, follow, &following, err);
    *found = following.found;
    json_decref(row);
    return code;
}

enum code registry_resolve(struct registry *registry, struct resolved *resolved, const char *text,
                           struct err *err)
{
    struct ref ref;
    bool found = false;
    memset(resolved, 0, sizeof *resolved);
    TRY(ref_parse(&ref, text, err));
    memcpy(resolved->model, ref.model, sizeof resolved->model);
    if (ref.by_channel) {
        memcpy(resolved->channel, ref.tail, strlen(ref.tail) + 1);
    }
    /* views are anybody's to write: where keys decide, only the journal answers */
    if (registry_believes_views(registry)) {
        if (ref.by_channel)
            TRY(from_view(registry, resolved, &ref, &found, err));
        else
            TRY(from_snapshot(registry, resolved, &ref, &found, err));
    }
    return found ? OK : from_state(registry, resolved, &ref, err);
}
