/* The append loop seen from the registry: state, refusal of what cannot be honoured, views. */
#include "registry/commit.h"

#include "base/log.h"
#include "base/str.h"
#include "registry/trust.h"
#include "registry/views.h"

#include <string.h>

struct change {
    struct registry *registry;
    registry_decide decide;
    void *context;
};

static enum code apply(void *context, const struct entry *entry, struct err *err)
{
    const struct change *change = context;
    struct registry *registry = change->registry;
    TRY(state_apply(&registry->state, entry, err));
    registry->state.head = (struct head){ .seq = entry->seq, .digest = entry->digest };
    registry->open = registry->state.open;
    return OK;
}

static enum code decide(void *context, struct draft *draft, struct err *err)
{
    const struct change *change = context;
    const struct state *state = &change->registry->state;
    TRY(change->decide(change->context, state, draft, err));
    if (draft->kind == ENTRY_NONE) return OK;
    const struct key *key = change->registry->key;
    bool first = draft->kind == ENTRY_POLICY && state->open; /* the new policy says who may */
    if (!first) TRY(trust_may(state, draft->kind, key, err));
    draft->key = state->open && !first ? NULL : key;
    draft->not_before = state->time_s;
    return OK;
}

/* A view is written after its entry is durable, so what it knows must be in the journal. */
enum code registry_check_view(const struct registry *registry, struct err *err)
{
    struct head head;
    if (channels_view_look(registry, &head, NULL, NULL, NULL)) return OK;
    return journal_holds(&registry->journal, &head, err);
}

enum code registry_hint_damage(enum code code, struct err *err)
{
    if (code == DAMAGED && err && !*err->hint)
        err_hint(err, "`pawl registry verify` lists all that is wrong; a copy of the registry has "
                      "what is lost.");
    return code;
}

enum code registry_read_on(struct registry *registry, struct err *err)
{
    struct change change = { .registry = registry };
    struct head head = registry->state.head;
    return registry_hint_damage(journal_end(&registry->journal, &head, apply, &change, err), err);
}

enum code registry_refresh(struct registry *registry, struct err *err)
{
    enum code code = registry_check_view(registry, err);
    return code ? registry_hint_damage(code, err) : registry_read_on(registry, err);
}

enum code registry_commit(struct registry *registry, registry_decide with, void *context,
                          int64_t *seq, struct err *err)
{
    struct change change = { .registry = registry, .decide = with, .context = context };
    struct journal_writer writer = { .apply = apply, .decide = decide, .context = &change };
    struct head head = registry->state.head;
    struct err ignored;
    bool new_entry;
    enum code code = registry_check_view(registry, err);
    if (!code) code = journal_commit(&registry->journal, &head, &writer, &new_entry, err);
    if (code) return registry_hint_damage(code, err);
    if (seq) *seq = new_entry ? head.seq : 0;
    if (new_entry && views_write(registry, &ignored))
        log_warn("entry %lld is recorded, but a view of it was not written: %s",
                 (long long)head.seq, ignored.message);
    return OK;
}

static char *mark_path(struct arena *arena, const struct registry *registry)
{
    return arena_format(arena, "%s/store/closed", registry->dir);
}

enum code registry_mark_closed(const struct registry *registry, struct err *err)
{
    static const char text[] = "this registry has keys\n";
    struct arena arena = { 0 };
    bool won;
    enum code code = fs_create_exclusive(mark_path(&arena, registry), text, strlen(text), &won,
                                         err);
    arena_release(&arena);
    return code;
}

bool registry_marked_closed(const struct registry *registry)
{
    struct arena arena = { 0 };
    bool marked = fs_exists(mark_path(&arena, registry));
    arena_release(&arena);
    return marked;
}

bool registry_believes_views(const struct registry *registry)
{
    return registry->open && !registry_marked_closed(registry);
}

enum code state_find_model(const struct state *state, const struct model_line **model,
                           const char *name, struct err *err)
{
    *model = state_model(state, name);
    if (*model) return OK;
    struct arena arena = { 0 };
    const char **names = ARENA_ARRAY(&arena, state->model_count + 1, const char *);
    for (size_t i = 0; i < state->model_count; i++) names[i] = state->models[i].name;
    const char *nearest = text_nearest(name, names);
    err_set(err, NOT_FOUND, "no model '%s' in the registry", name);
    if (nearest) err_hint(err, "Did you mean '%s'?", nearest);
    arena_release(&arena);
    return NOT_FOUND;
}

enum code state_find_version(const struct state *state, const struct model_line **model,
                             const struct version **version, const char *name, int64_t number,
                             struct err *err)
{
    TRY(state_find_model(state, model, name, err));
    *version = model_version(*model, number);
    if (*version) return OK;
    return err_set(err, NOT_FOUND, "no version '%s@%lld': the newest is %s@%zu", name,
                   (long long)number, name, (*model)->version_count);
}

void json_set_digest(json_t *object, const char *key, const struct digest *digest)
{
    char text[DIGEST_TEXT];
    REQUIRE(json_object_set_new(object, key, json_string(digest_text(digest, text))) == 0);
}
