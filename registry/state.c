/* Replaying the chain. One row per kind says how an entry changes the state. */
#include "registry/state.h"

#include "registry/card.h"
#include "registry/notes.h"
#include "registry/policy_rules.h"
#include "registry/trust.h"

#include <string.h>

void *array_grown(struct arena *arena, void *array, size_t count, size_t size)
{
    if (count & (count - 1) || (count > 0 && count < 4)) return array;
    void *more = arena_array(arena, count ? count * 2 : 4, size);
    if (count) memcpy(more, array, count * size);
    return more;
}

enum code entry_nonsense(const struct entry *entry, const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "journal entry %lld (%s) makes no sense: %s",
                   (long long)entry->seq, entry_kind_name(entry->kind), what);
}

/* Position of a name among the sorted models. */
static size_t place_of(const struct state *state, const char *name, bool *found)
{
    size_t low = 0, high = state->model_count;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, state->models[middle].name);
        *found = order == 0;
        if (order > 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

static struct model_line *model_take(struct state *state, const char *name)
{
    bool found;
    size_t at = place_of(state, name, &found);
    if (found) return &state->models[at];
    state->models = array_grown(&state->arena, state->models, state->model_count,
                                sizeof *state->models);
    memmove(&state->models[at + 1], &state->models[at],
            (state->model_count - at) * sizeof *state->models);
    state->model_count++;
    state->models[at] = (struct model_line){ .name = arena_copy(&state->arena, name) };
    return &state->models[at];
}

static enum code apply_init(struct state *state, const struct entry *entry,
                            const struct signer *signer, struct err *err)
{
    (void)signer;
    state->id = entry->digest;
    state->open = true;
    if (!json_is_true(json_object_get(entry->body, "open")))
        return trust_apply_policy(state, entry, err);
    bool bare = !entry->signature && !json_object_get(entry->body, "policy");
    return bare ? OK : entry_nonsense(entry, "it is open and has keys", err);
}

static enum code apply_version(struct state *state, const struct entry *entry,
                               const struct signer *signer, struct err *err)
{
    const char *name = entry_text(entry, "model");
    struct version version = {
        .number = entry_int(entry, "number"),
        .seq = entry->seq,
        .actor = arena_copy(&state->arena, entry->actor),
        .time = arena_copy(&state->arena, entry->time),
        .signer = *signer,
        .card = card_fields_of(json_object_get(entry->body, "card")),
    };
    if (name_check_model(name, NULL)) return entry_nonsense(entry, "no legal model name", err);
    const struct model_line *known = state_model(state, name);
    if (version.number != (known ? (int64_t)known->version_count : 0) + 1)
        return entry_nonsense(entry, "its number is not the next one", err);
    struct model_line *model = model_take(state, name);
    entry_digest(entry, &version.digest, "digest");
    entry_digest(entry, &version.model_digest, "model_digest");
    entry_digest(entry, &version.evidence, "documents");
    model->versions = array_grown(&state->arena, model->versions, model->version_count,
                                  sizeof *model->versions);
    model->versions[model->version_count++] = version;
    return OK;
}

static struct channel *channel_take(struct state *state, struct model_line *model, const char *name)
{
    for (size_t i = 0; i < model->channel_count; i++)
        if (strcmp(model->channels[i].name, name) == 0) return &model->channels[i];
    model->channels = array_grown(&state->arena, model->channels, model->channel_count,
                                  sizeof *model->channels);
    struct channel *channel = &model->channels[model->channel_count++];
    *channel = (struct channel){ .name = arena_copy(&state->arena, name) };
    return channel;
}

/* A signature is not enough for a move: the policy must have allowed it on the state before. */
static enum code check_allowed(const struct asking *asking, const struct entry *entry,
                               struct err *err)
{
    struct arena arena = { 0 };
    struct relied relied;
    struct err why;
    enum code code = entry->kind == ENTRY_PROMOTE ? rules_promote(&relied, &arena, asking, &why)
                                                  : rules_rollback(asking, &why);
    if (!code && entry->kind == ENTRY_ROLLBACK &&
        !channel_held(model_channel(asking->model, asking->channel), asking->version->number))
        code = err_set(&why, REFUSED, "the channel never held that version");
    arena_release(&arena);
    return code ? entry_nonsense(entry, why.message, err) : OK;
}

/* As the releaser signed it; `registry verify` works it out again from what it stands on. */
static double stated_score(const struct entry *entry)
{
    const json_t *score = json_object_get(entry->body, "score");
    return json_is_number(score) ? json_number_value(score) : -1;
}

static enum code apply_move(struct state *state, const struct entry *entry,
                            const struct signer *signer, struct err *err)
{
    (void)signer;
    struct move move = {
        .seq = entry->seq,
        .number = entry_int(entry, "number"),
        .entry = entry->digest,
        .rollback = entry->kind == ENTRY_ROLLBACK,
        .unchanged = json_is_true(json_object_get(entry->body, "unchanged")),
    };
    struct digest digest, model_digest;
    bool found;
    size_t at = place_of(state, entry_text(entry, "model"), &found);
    struct model_line *model = found ? &state->models[at] : NULL;
    const struct version *version = model ? model_version(model, move.number) : NULL;
    entry_digest(entry, &digest, "digest");
    entry_digest(entry, &model_digest, "model_digest");
    if (!version) return entry_nonsense(entry, "it names an unknown version", err);
    if (!digest_equal(&version->digest, &digest) ||
        !digest_equal(&version->model_digest, &model_digest))
        return entry_nonsense(entry, "it names another digest than its version has", err);
    if (name_check_channel(entry_text(entry, "channel"), NULL))
        return entry_nonsense(entry, "no legal channel name", err);
    const struct channel *known = model_channel(model, entry_text(entry, "channel"));
    int64_t held = known ? channel_now(known)->number : 0;
    if (entry_int(entry, "from") != held)
        return entry_nonsense(entry, "it does not start from what the channel held", err);
    if (move.unchanged != (held == move.number) || (move.rollback && !held))
        return entry_nonsense(entry, "it does not say truly whether it changes the channel", err);
    if (!state->open) {
        struct asking asking = { .state = state,
                                 .model = model,
                                 .version = version,
                                 .channel = entry_text(entry, "channel"),
                                 .held = held,
                                 .score = stated_score(entry),
                                 .now_s = state->time_s };
        TRY(check_allowed(&asking, entry, err));
    }
    move.actor = arena_copy(&state->arena, entry->actor);
    move.reason = arena_copy(&state->arena, entry->reason);
    move.time = arena_copy(&state->arena, entry->time);
    struct channel *channel = channel_take(state, model, entry_text(entry, "channel"));
    channel->moves = array_grown(&state->arena, channel->moves, channel->count,
                                 sizeof *channel->moves);
    channel->moves[channel->count++] = move;
    return OK;
}

static enum code apply_retire(struct state *state, const struct entry *entry,
                              const struct signer *signer, struct err *err)
{
    (void)signer;
    struct digest digest;
    bool found;
    size_t at = place_of(state, entry_text(entry, "model"), &found);
    struct model_line *model = found ? &state->models[at] : NULL;
    int64_t number = entry_int(entry, "number");
    entry_digest(entry, &digest, "digest");
    if (!model || !model_version(model, number) ||
        !digest_equal(&model_version(model, number)->digest, &digest))
        return entry_nonsense(entry, "it names an unknown version", err);
    for (size_t c = 0; c < model->channel_count; c++)
        if (channel_now(&model->channels[c])->number == number)
            return entry_nonsense(entry, "a channel holds the version", err);
    if (!model->versions[number - 1].retired) model->versions[number - 1].retired = entry->seq;
    return OK;
}

/* People's words about a version that is here: its documents with the new card. */
static enum code apply_card(struct state *state, const struct entry *entry, struct err *err)
{
    struct digest digest, documents;
    bool found;
    size_t at = place_of(state, entry_text(entry, "model"), &found);
    entry_digest(entry, &digest, "digest");
    const struct version *known = found ? model_version_of(&state->models[at], &digest) : NULL;
    if (!known) return entry_nonsense(entry, "it names an unknown version", err);
    if (!entry_digest(entry, &documents, "documents"))
        return entry_nonsense(entry, "it has a card and no documents", err);
    struct version *version = &state->models[at].versions[known->number - 1];
    version->card = card_fields_of(json_object_get(entry->body, "card"));
    version->evidence = documents;
    state->models[at].evidence_seq = entry->seq;
    return OK;
}

/* Foreign content that is taken in: a version where the entry gives it a number, else evidence, or
 * a card. */
static enum code apply_adopt(struct state *state, const struct entry *entry,
                             const struct signer *signer, struct err *err)
{
    struct digest unused;
    bool numbered = json_object_get(entry->body, "number") != NULL;
    if (!numbered && json_object_get(entry->body, "card")) return apply_card(state, entry, err);
    if (!numbered) return OK;
    if (!entry_digest(entry, &unused, "model_digest"))
        return entry_nonsense(entry, "its version has no model digest", err);
    return apply_version(state, entry, signer, err);
}

static enum code apply_policy(struct state *state, const struct entry *entry,
                              const struct signer *signer, struct err *err)
{
    (void)signer;
    return trust_apply_policy(state, entry, err);
}

static enum code apply_revoke(struct state *state, const struct entry *entry,
                              const struct signer *signer, struct err *err)
{
    (void)signer;
    return trust_apply_revoke(state, entry, err);
}

/* `recover` says what a restore lost: the chain itself goes on. */
static enum code apply_nothing(struct state *state, const struct entry *entry,
                               const struct signer *signer, struct err *err)
{
    (void)state;
    (void)entry;
    (void)signer;
    (void)err;
    return OK;
}

static enum code (*const applies[ENTRY_KIND_COUNT])(struct state *, const struct entry *,
                                                    const struct signer *, struct err *) = {
    [ENTRY_INIT] = apply_init,      [ENTRY_POLICY] = apply_policy, [ENTRY_REGISTER] = apply_version,
    [ENTRY_SEAL] = note_seal,       [ENTRY_LOOK] = note_look,      [ENTRY_REPORT] = note_report,
    [ENTRY_APPROVE] = note_consent, [ENTRY_PROMOTE] = apply_move,  [ENTRY_ROLLBACK] = apply_move,
    [ENTRY_WAIVE] = note_consent,   [ENTRY_REVOKE] = apply_revoke, [ENTRY_RETIRE] = apply_retire,
    [ENTRY_IMPORT] = apply_version, [ENTRY_ADOPT] = apply_adopt,   [ENTRY_RECOVER] = apply_nothing,
};

/* Documents that a report brought; note_report has checked that there is such a version. */
static void take_documents(struct state *state, const struct entry *entry)
{
    struct digest documents;
    bool found;
    if (entry->kind != ENTRY_REPORT || !entry_digest(entry, &documents, "documents")) return;
    size_t at = place_of(state, entry_text(entry, "model"), &found);
    REQUIRE(found);
    state->models[at].versions[entry_int(entry, "number") - 1].evidence = documents;
    state->models[at].evidence_seq = entry->seq;
}

enum code state_apply(void *context, const struct entry *entry, struct err *err)
{
    struct state *state = context;
    struct signer signer;
    TRY(trust_check(state, &signer, entry, err));
    TRY(applies[entry->kind](state, entry, &signer, err));
    take_documents(state, entry);
    double time_s = time_parse(entry->time);
    if (time_s > state->time_s) state->time_s = time_s;
    return OK;
}

void state_release(struct state *state)
{
    policy_release(&state->policy);
    json_decref(state->policy_json);
    arena_release(&state->arena);
    memset(state, 0, sizeof *state);
}

const struct model_line *state_model(const struct state *state, const char *name)
{
    bool found;
    size_t at = place_of(state, name, &found);
    return found ? &state->models[at] : NULL;
}

const struct channel *model_channel(const struct model_line *model, const char *name)
{
    for (size_t i = 0; i < model->channel_count; i++)
        if (strcmp(model->channels[i].name, name) == 0) return &model->channels[i];
    return NULL;
}

const struct version *model_version(const struct model_line *model, int64_t number)
{
    bool there = number >= 1 && number <= (int64_t)model->version_count;
    return there ? &model->versions[number - 1] : NULL;
}

const struct version *model_version_of(const struct model_line *model, const struct digest *digest)
{
    for (size_t i = 0; i < model->version_count; i++)
        if (digest_equal(&model->versions[i].digest, digest)) return &model->versions[i];
    return NULL;
}

const struct version *model_version_by_weights(const struct model_line *model,
                                               const struct digest *model_digest)
{
    for (size_t i = model->version_count; i-- > 0;)
        if (digest_equal(&model->versions[i].model_digest, model_digest))
            return &model->versions[i];
    return NULL;
}
