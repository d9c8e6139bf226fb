/* Replaying the chain. One row per kind says how an entry changes the state. */
#include "registry/state.h"

#include <ctype.h>
#include <string.h>

/* Room for one more element: arrays double, the old one stays in the arena. */
static void *grown(struct arena *arena, void *array, size_t count, size_t size)
{
    if (count & (count - 1) || (count > 0 && count < 4)) return array;
    void *more = arena_array(arena, count ? count * 2 : 4, size);
    if (count) memcpy(more, array, count * size);
    return more;
}

static enum code nonsense(const struct entry *entry, const char *what, struct err *err)
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
    state->models = grown(&state->arena, state->models, state->model_count, sizeof *state->models);
    memmove(&state->models[at + 1], &state->models[at],
            (state->model_count - at) * sizeof *state->models);
    state->model_count++;
    state->models[at] = (struct model_line){ .name = arena_copy(&state->arena, name) };
    return &state->models[at];
}

static enum code apply_init(struct state *state, const struct entry *entry, struct err *err)
{
    (void)err;
    state->id = entry->digest;
    state->open = json_is_true(json_object_get(entry->body, "open"));
    return OK;
}

static enum code apply_version(struct state *state, const struct entry *entry, struct err *err)
{
    const char *name = entry_text(entry, "model");
    struct version version = {
        .number = entry_int(entry, "number"),
        .seq = entry->seq,
        .actor = arena_copy(&state->arena, entry->actor),
        .time = arena_copy(&state->arena, entry->time),
    };
    if (name_check_model(name, NULL)) return nonsense(entry, "no legal model name", err);
    const struct model_line *known = state_model(state, name);
    if (version.number != (known ? (int64_t)known->version_count : 0) + 1)
        return nonsense(entry, "its number is not the next one", err);
    struct model_line *model = model_take(state, name);
    entry_digest(entry, &version.digest, "digest");
    entry_digest(entry, &version.model_digest, "model_digest");
    model->versions = grown(&state->arena, model->versions, model->version_count,
                            sizeof *model->versions);
    model->versions[model->version_count++] = version;
    return OK;
}

static enum code apply_report(struct state *state, const struct entry *entry, struct err *err)
{
    struct report_note report = { .seq = entry->seq,
                                  .number = entry_int(entry, "number"),
                                  .seal = json_integer_value(
                                      json_object_get(entry->body, "seal")) };
    const struct model_line *model = state_model(state, entry_text(entry, "model"));
    const struct version *version = model ? model_version(model, report.number) : NULL;
    entry_digest(entry, &report.model_digest, "model_digest");
    entry_digest(entry, &report.suite, "suite");
    entry_digest(entry, &report.report, "report");
    if (!version) return nonsense(entry, "it reports on an unknown version", err);
    if (!digest_equal(&version->model_digest, &report.model_digest))
        return nonsense(entry, "it reports on another model than its version", err);
    report.model = model->name;
    report.verdict = arena_copy(&state->arena, entry_text(entry, "verdict"));
    state->reports = grown(&state->arena, state->reports, state->report_count,
                           sizeof *state->reports);
    state->reports[state->report_count++] = report;
    return OK;
}

static enum code apply_look(struct state *state, const struct entry *entry, struct err *err)
{
    struct look_note look;
    entry_digest(entry, &look.suite, "suite");
    entry_digest(entry, &look.model_digest, "model_digest");
    if (entry_int(entry, "look") != state_looks(state, &look.model_digest, &look.suite) + 1)
        return nonsense(entry, "it does not count the looks before it", err);
    state->looks = grown(&state->arena, state->looks, state->look_count, sizeof *state->looks);
    state->looks[state->look_count++] = look;
    return OK;
}

static struct channel *channel_take(struct state *state, struct model_line *model, const char *name)
{
    for (size_t i = 0; i < model->channel_count; i++)
        if (strcmp(model->channels[i].name, name) == 0) return &model->channels[i];
    model->channels = grown(&state->arena, model->channels, model->channel_count,
                            sizeof *model->channels);
    struct channel *channel = &model->channels[model->channel_count++];
    *channel = (struct channel){ .name = arena_copy(&state->arena, name) };
    return channel;
}

static enum code apply_move(struct state *state, const struct entry *entry, struct err *err)
{
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
    if (!version) return nonsense(entry, "it names an unknown version", err);
    if (!digest_equal(&version->digest, &digest) ||
        !digest_equal(&version->model_digest, &model_digest))
        return nonsense(entry, "it names another digest than its version has", err);
    if (name_check_channel(entry_text(entry, "channel"), NULL))
        return nonsense(entry, "no legal channel name", err);
    const struct channel *known = model_channel(model, entry_text(entry, "channel"));
    int64_t held = known ? channel_now(known)->number : 0;
    if (entry_int(entry, "from") != held)
        return nonsense(entry, "it does not start from what the channel held", err);
    if (move.unchanged != (held == move.number) || (move.rollback && !held))
        return nonsense(entry, "it does not say truly whether it changes the channel", err);
    move.actor = arena_copy(&state->arena, entry->actor);
    move.reason = arena_copy(&state->arena, entry->reason);
    move.time = arena_copy(&state->arena, entry->time);
    struct channel *channel = channel_take(state, model, entry_text(entry, "channel"));
    channel->moves = grown(&state->arena, channel->moves, channel->count, sizeof *channel->moves);
    channel->moves[channel->count++] = move;
    return OK;
}

static enum code apply_nothing(struct state *state, const struct entry *entry, struct err *err)
{
    (void)state;
    (void)entry;
    (void)err;
    return OK;
}

/* Rules that a later version of pawl applies: reading goes on, writing is refused. */
static enum code apply_beyond(struct state *state, const struct entry *entry, struct err *err)
{
    (void)err;
    if (entry->kind == ENTRY_POLICY) state->open = false;
    if (!state->beyond) state->beyond = entry_kind_name(entry->kind);
    return OK;
}

static enum code (*const applies[ENTRY_KIND_COUNT])(struct state *, const struct entry *,
                                                    struct err *) = {
    [ENTRY_INIT] = apply_init,      [ENTRY_POLICY] = apply_beyond, [ENTRY_REGISTER] = apply_version,
    [ENTRY_SEAL] = apply_nothing,   [ENTRY_LOOK] = apply_look,     [ENTRY_REPORT] = apply_report,
    [ENTRY_APPROVE] = apply_beyond, [ENTRY_PROMOTE] = apply_move,  [ENTRY_ROLLBACK] = apply_move,
    [ENTRY_WAIVE] = apply_beyond,   [ENTRY_REVOKE] = apply_beyond, [ENTRY_RETIRE] = apply_beyond,
    [ENTRY_IMPORT] = apply_version, [ENTRY_ADOPT] = apply_beyond,  [ENTRY_RECOVER] = apply_nothing,
};

enum code state_apply(void *context, const struct entry *entry, struct err *err)
{
    return applies[entry->kind](context, entry, err);
}

void state_release(struct state *state)
{
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

const struct report_note *state_report(const struct state *state, const struct digest *model_digest,
                                       const struct digest *suite)
{
    for (size_t i = state->report_count; i-- > 0;) {
        const struct report_note *report = &state->reports[i];
        if (digest_equal(&report->model_digest, model_digest) &&
            digest_equal(&report->suite, suite))
            return report;
    }
    return NULL;
}

int64_t state_looks(const struct state *state, const struct digest *model_digest,
                    const struct digest *suite)
{
    int64_t looks = 0;
    for (size_t i = 0; i < state->look_count; i++)
        looks += digest_equal(&state->looks[i].model_digest, model_digest) &&
                 digest_equal(&state->looks[i].suite, suite);
    return looks;
}
