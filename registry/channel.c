/* Channels: what one holds, where a rollback goes, and which names are legal. */
#include "registry/state.h"

#include "registry/trust.h"

#include <string.h>

const struct move *channel_now(const struct channel *channel)
{
    REQUIRE(channel->count);
    return &channel->moves[channel->count - 1];
}

bool channel_held(const struct channel *channel, int64_t number)
{
    for (size_t i = 0; i < channel->count; i++)
        if (channel->moves[i].number == number) return true;
    return false;
}

/* Whether a version stands rolled back from after all moves: its last leaving was a rollback, and
 * nobody chose it again since. */
static bool rolled_back_from(const struct channel *channel, int64_t number)
{
    bool left = false;
    for (size_t i = 0; i < channel->count; i++) {
        const struct move *move = &channel->moves[i];
        if (move->number == number)
            left = false;
        else if (i && move->rollback && channel->moves[i - 1].number == number)
            left = true;
    }
    return left;
}

const char *version_barred(const struct state *state, const struct version *version)
{
    if (version->retired) return "it is retired";
    bool signed_once = version->signer.person != NULL; /* not in a registry that was still open */
    if (signed_once && !trust_counts(state, &version->signer, version->seq))
        return "the key that added it is revoked";
    return NULL;
}

/* The versions that the channel stands on are a stack: a promotion goes on top, a rollback takes
 * away what is above its target (or, to one that is no longer there, everything). */
int64_t channel_before(const struct state *state, const struct model_line *model,
                       const struct channel *channel)
{
    struct arena arena = { 0 };
    int64_t *stack = ARENA_ARRAY(&arena, channel->count, int64_t), before = 0;
    size_t depth = 0;
    for (size_t i = 0; i < channel->count; i++) {
        const struct move *move = &channel->moves[i];
        if (move->unchanged) continue;
        if (move->rollback)
            while (depth && stack[depth - 1] != move->number) depth--;
        if (!depth || stack[depth - 1] != move->number) stack[depth++] = move->number;
    }
    while (depth > 1 && !before) {
        int64_t candidate = stack[--depth - 1];
        if (candidate != channel_now(channel)->number && !rolled_back_from(channel, candidate) &&
            !version_barred(state, model_version(model, candidate)))
            before = candidate;
    }
    arena_release(&arena);
    return before;
}

/* The first character that is not legal, or -1: [a-z0-9._-], the first one a letter or digit. */
static int illegal(const char *name)
{
    for (const char *c = name; *c; c++) {
        bool plain = (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9');
        if (!plain && (c == name || (*c != '.' && *c != '_' && *c != '-'))) return (int)(c - name);
    }
    return -1;
}

static enum code check(const char *what, const char *name, struct err *err)
{
    size_t len = strlen(name);
    int at = illegal(name);
    if (len >= 1 && len <= NAME_LIMIT && at < 0) return OK;
    if (len == 0 || len > NAME_LIMIT)
        err_set(err, USAGE, "cannot use %s name '%.80s': it has %zu characters, not 1 to %d", what,
                name, len, NAME_LIMIT);
    else
        err_set(err, USAGE, "cannot use %s name '%s': character %d is not allowed there", what,
                name, at + 1);
    err_hint(err,
             "Names are made of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit.");
    return USAGE;
}

enum code name_check_model(const char *name, struct err *err)
{
    return check("model", name, err);
}

/* v7 and v7-bundle are tags of versions. */
static bool looks_like_tag(const char *name)
{
    size_t digits = name[0] == 'v' ? strspn(name + 1, "0123456789") : 0;
    return digits && (!name[1 + digits] || strcmp(name + 1 + digits, "-bundle") == 0);
}

enum code name_check_channel(const char *name, struct err *err)
{
    TRY(check("channel", name, err));
    if (name[0] >= '0' && name[0] <= '9') {
        err_set(err, USAGE, "cannot use channel name '%s': it begins with a digit", name);
        err_hint(err, "NAME@7 is a version; channels begin with a letter.");
        return USAGE;
    }
    if (looks_like_tag(name))
        return err_set(err, USAGE, "cannot use channel name '%s': it reads like a version's tag",
                       name);
    return OK;
}
