/* Moving channels. Each rule is asked again after every lost race, on the state that the entry
 * would follow; what the caller saw, stated or not, must still be so. */
#include "registry/registry.h"

#include "registry/commit.h"
#include "registry/policy_rules.h"
#include "registry/score.h"
#include "registry/trust.h"

#include <stdio.h>
#include <string.h>

struct moving {
    const struct registry *registry;
    const struct move_opts *opts;
    enum entry_kind kind;
    struct moved *moved;
    bool looked;       /* the channel was seen before in this call: */
    int64_t seen;      /* the entry that had moved it last then, 0 for none */
    int64_t seen_held; /* and the version it held */
};

/* "fashion@7" or "none". */
static const char *held_text(char *text, size_t size, const char *model, int64_t number)
{
    if (number)
        snprintf(text, size, "%s@%lld", model, (long long)number);
    else
        snprintf(text, size, "empty");
    return text;
}

static enum code moved_meanwhile(const struct moving *moving, const struct channel *channel,
                                 int64_t expected, struct err *err)
{
    const struct move_opts *opts = moving->opts;
    char was[NAME_LIMIT + 32], is[NAME_LIMIT + 32];
    held_text(was, sizeof was, opts->model, expected);
    if (!channel) {
        err_set(err, CONFLICT, "'%s' is no longer %s: it holds nothing", opts->channel, was);
    } else {
        const struct move *now = channel_now(channel);
        err_set(err, CONFLICT, "'%s' is no longer %s but %s: entry %lld by %.80s at %s: %.160s",
                opts->channel, was, held_text(is, sizeof is, opts->model, now->number),
                (long long)now->seq, *now->actor ? now->actor : "somebody", now->time, now->reason);
    }
    err_hint(err, "Look at `pawl registry history %s`, then decide again.", opts->model);
    return CONFLICT;
}

/* What the caller stated with `from`, and what this call saw before it lost a race. */
static enum code check_from(struct moving *moving, const struct channel *channel, struct err *err)
{
    const struct move *now = channel ? channel_now(channel) : NULL;
    int64_t held = now ? now->number : 0, from = moving->opts->from;
    if (from != CHANNEL_ANY && from != held) return moved_meanwhile(moving, channel, from, err);
    if (!moving->looked) {
        moving->looked = true;
        moving->seen = now ? now->seq : 0;
        moving->seen_held = held;
        return OK;
    }
    if (moving->seen == (now ? now->seq : 0)) return OK;
    return moved_meanwhile(moving, channel, moving->seen_held, err);
}

static void fill(struct moving *moving, struct draft *draft, const struct asking *asking)
{
    const struct move_opts *opts = moving->opts;
    const struct version *version = asking->version;
    struct moved *moved = moving->moved;
    *moved = (struct moved){
        .number = version->number,
        .from = asking->held,
        .digest = version->digest,
        .model_digest = version->model_digest,
        .unchanged = asking->held == version->number,
    };
    draft->kind = moving->kind;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{ss sI ss sb so}", "model", opts->model, "number",
                            (json_int_t)version->number, "channel", opts->channel, "unchanged",
                            (int)moved->unchanged, "from",
                            asking->held ? json_integer(asking->held) : json_null());
    json_set_digest(draft->body, "digest", &version->digest);
    json_set_digest(draft->body, "model_digest", &version->model_digest);
    draft_subject(draft, &version->digest);
    draft_subject(draft, &version->model_digest);
}

/* On what the promotion stands, for people: replay works it out by itself. */
static void fill_relied(struct draft *draft, const struct relied *relied, const struct state *state)
{
    for (size_t i = 0; i < relied->report_count; i++)
        draft_subject(draft, &relied->reports[i]->report);
    json_set_digest(draft->body, "report", &relied->reports[0]->report);
    if (state->open) return;
    json_t *consents = json_array();
    for (size_t i = 0; i < relied->consent_count; i++)
        json_array_append_new(consents, json_integer(relied->consents[i]));
    json_object_set_new(draft->body, "consents", consents);
    json_set_digest(draft->body, "policy", &state->policy.digest);
}

/* The score is worked out only where the policy asks for one. */
static enum code ask_score(const struct moving *moving, struct asking *asking, struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    asking->score = -1;
    if (!rules || !(rules->score > 0)) return OK;
    return registry_score_value(&asking->score, moving->registry, asking->state,
                                asking->model->name, asking->version->number, err);
}

static struct asking ask(const struct moving *moving, const struct state *state,
                         const struct model_line *model, const struct version *version)
{
    const struct move_opts *opts = moving->opts;
    const struct channel *channel = model_channel(model, opts->channel);
    return (struct asking){ .state = state,
                            .model = model,
                            .version = version,
                            .channel = opts->channel,
                            .held = channel ? channel_now(channel)->number : 0,
                            .required = opts->required,
                            .required_count = opts->required_count,
                            .now_s = trust_now(state) };
}

static enum code decide_promote(void *context, const struct state *state, struct draft *draft,
                                struct err *err)
{
    struct moving *moving = context;
    const struct move_opts *opts = moving->opts;
    const struct model_line *model;
    const struct version *version;
    TRY(state_find_version(state, &model, &version, opts->model, opts->number, err));
    TRY(check_from(moving, model_channel(model, opts->channel), err));
    struct arena arena = { 0 };
    struct relied relied;
    struct asking asking = ask(moving, state, model, version);
    enum code code = ask_score(moving, &asking, err);
    if (!code) code = rules_promote(&relied, &arena, &asking, err);
    if (!code && !state->open && opts->required_count) { /* and as replay will ask it */
        asking.required_count = 0;
        code = rules_promote(&relied, &arena, &asking, err);
    }
    if (!code) {
        fill(moving, draft, &asking);
        fill_relied(draft, &relied, state);
        if (asking.score >= 0) json_object_set_new(draft->body, "score", json_real(asking.score));
    }
    arena_release(&arena);
    return code;
}

static enum code rollback_target(int64_t *target, const struct move_opts *opts,
                                 const struct state *state, const struct model_line *model,
                                 const struct channel *channel, struct err *err)
{
    *target = opts->number ? opts->number : channel_before(state, model, channel);
    if (!*target) {
        err_set(err, REFUSED, "cannot roll back '%s' of '%s': no version before %s@%lld is left",
                opts->channel, opts->model, opts->model, (long long)channel_now(channel)->number);
        err_hint(err, "Versions that were rolled back from are skipped; --to NAME@N states one.");
        return REFUSED;
    }
    if (channel_held(channel, *target)) return OK;
    err_set(err, REFUSED, "cannot roll back '%s' to %s@%lld: the channel never held it",
            opts->channel, opts->model, (long long)*target);
    err_hint(err, "Use `pawl promote %s@%lld %s` for a version that is new there.", opts->model,
             (long long)*target, opts->channel);
    return REFUSED;
}

static enum code decide_rollback(void *context, const struct state *state, struct draft *draft,
                                 struct err *err)
{
    struct moving *moving = context;
    const struct move_opts *opts = moving->opts;
    const struct model_line *model;
    int64_t target;
    TRY(state_find_model(state, &model, opts->model, err));
    const struct channel *channel = model_channel(model, opts->channel);
    if (!channel)
        return err_set(err, NOT_FOUND, "cannot roll back '%s': '%s' has no such channel",
                       opts->channel, opts->model);
    TRY(check_from(moving, channel, err));
    TRY(rollback_target(&target, opts, state, model, channel, err));
    struct asking asking = ask(moving, state, model, model_version(model, target));
    TRY(rules_rollback(&asking, err));
    fill(moving, draft, &asking);
    return OK;
}

static enum code move(struct registry *registry, struct moving *moving, registry_decide decide,
                      struct err *err)
{
    const struct move_opts *opts = moving->opts;
    TRY(name_check_model(opts->model, err));
    TRY(name_check_channel(opts->channel, err));
    if (!opts->reason || !*opts->reason || !opts->actor || !*opts->actor)
        return err_set(err, USAGE, "cannot move '%s' of '%s' without %s", opts->channel,
                       opts->model, opts->reason && *opts->reason ? "an actor" : "a reason");
    int64_t seq;
    TRY(registry_commit(registry, decide, moving, &seq, err));
    moving->moved->seq = seq;
    return OK;
}

enum code registry_promote(struct registry *registry, struct moved *moved,
                           const struct move_opts *opts, struct err *err)
{
    struct moving moving = {
        .registry = registry, .opts = opts, .kind = ENTRY_PROMOTE, .moved = moved
    };
    return move(registry, &moving, decide_promote, err);
}

enum code registry_rollback(struct registry *registry, struct moved *moved,
                            const struct move_opts *opts, struct err *err)
{
    struct moving moving = {
        .registry = registry, .opts = opts, .kind = ENTRY_ROLLBACK, .moved = moved
    };
    return move(registry, &moving, decide_rollback, err);
}
