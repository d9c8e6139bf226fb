/* Moving channels. Each rule is asked again after every lost race, on the state that the entry
 * would follow; what the caller saw, stated or not, must still be so. */
#include "registry/registry.h"

#include "registry/commit.h"

#include <stdio.h>
#include <string.h>

struct moving {
    const struct move_opts *opts;
    const struct registry *registry;
    enum entry_kind kind;
    struct moved *moved;
    bool looked;       /* the channel was seen before in this call: */
    int64_t seen;      /* the entry that had moved it last then, 0 for none */
    int64_t seen_held; /* and the version it held */
    int64_t held;      /* what the channel holds now, 0 for nothing */
    struct digest report;
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

static enum code refuse_suite(const struct move_opts *opts, const struct digest *suite,
                              const struct report_note *report, struct err *err)
{
    char text[DIGEST_TEXT] = "";
    if (suite) digest_text(suite, text);
    if (!report) {
        err_set(err, REFUSED, "cannot promote %s@%lld to '%s': no report%s%s about its model",
                opts->model, (long long)opts->number, opts->channel, suite ? " under suite " : "",
                text);
        err_hint(err, "Run `pawl eval SUITE --model %s@%lld` to evaluate it and record the report.",
                 opts->model, (long long)opts->number);
    } else {
        err_set(err, REFUSED,
                "cannot promote %s@%lld to '%s': its newest report%s%s is '%s' (entry %lld)",
                opts->model, (long long)opts->number, opts->channel, suite ? " under suite " : "",
                text, report->verdict, (long long)report->seq);
        err_hint(err,
                 "Promote a version that passes; `pawl eval SUITE --model %s@%lld` evaluates "
                 "this one again.",
                 opts->model, (long long)opts->number);
    }
    return REFUSED;
}

static bool passes(const struct report_note *report)
{
    return strcmp(report->verdict, "pass") == 0;
}

/* What a sealed baseline NAME@CHANNEL means now: the version held, NULL for none. False for other
 * names: a path, a number and a trained baseline do not move. */
static bool baseline_now(const struct version **now, const struct state *state, const char *name)
{
    char model_name[NAME_LIMIT + 1];
    const char *at = strchr(name, '@');
    *now = NULL;
    if (!at || at - name > NAME_LIMIT || name_check_channel(at + 1, NULL)) return false;
    snprintf(model_name, sizeof model_name, "%.*s", (int)(at - name), name);
    const struct model_line *model = state_model(state, model_name);
    const struct channel *channel = model ? model_channel(model, at + 1) : NULL;
    if (channel) *now = model_version(model, channel_now(channel)->number);
    return true;
}

/* A report says how the candidate did beside what the channels held when its bar was sealed. Where
 * one of them holds something else now, the comparison is about the past. */
static enum code check_baselines(const struct moving *moving, const struct state *state,
                                 const struct report_note *report, struct err *err)
{
    const struct move_opts *opts = moving->opts;
    struct entry seal;
    const char *name;
    json_t *sealed;
    enum code code = OK;
    if (!report->seal || moving->held == opts->number) return OK;
    TRY(journal_read(&moving->registry->journal, &seal, report->seal, err));
    json_object_foreach(json_object_get(seal.body, "baselines"), name, sealed)
    {
        const struct version *now;
        struct digest then;
        bool was = digest_parse(&then, json_string_value(sealed));
        if (!baseline_now(&now, state, name)) continue;
        if (!now ? !was : was && digest_equal(&then, &now->model_digest)) continue;
        if (now && digest_equal(&now->model_digest, &report->model_digest)) continue;
        code = err_set(err, CONFLICT,
                       "cannot promote %s@%lld to '%s': '%s' is no longer what its report (entry "
                       "%lld) compared it with",
                       opts->model, (long long)opts->number, opts->channel, name,
                       (long long)report->seq);
        err_hint(err, "Run `pawl eval SUITE --model %s@%lld` to compare it with what is there now.",
                 opts->model, (long long)opts->number);
        break;
    }
    entry_release(&seal);
    return code;
}

/* Without required suites: the newest report of at least one suite passes, and is not stale. */
static enum code check_any(struct moving *moving, const struct state *state,
                           const struct digest *model_digest, struct err *err)
{
    const struct report_note *last = NULL;
    enum code stale = OK;
    for (size_t i = state->report_count; i-- > 0;) {
        const struct report_note *report = &state->reports[i];
        if (!digest_equal(&report->model_digest, model_digest)) continue;
        bool newest = state_report(state, model_digest, &report->suite) == report;
        if (newest && passes(report)) {
            enum code code = check_baselines(moving, state, report, err);
            moving->report = report->report;
            if (code != CONFLICT) return code;
            stale = code;
        }
        if (!last) last = report;
    }
    return stale ? stale : refuse_suite(moving->opts, NULL, last, err);
}

static enum code check_reports(struct moving *moving, const struct state *state,
                               const struct digest *model_digest, struct err *err)
{
    const struct move_opts *opts = moving->opts;
    if (!opts->required_count) return check_any(moving, state, model_digest, err);
    for (size_t i = 0; i < opts->required_count; i++) {
        const struct digest *suite = &opts->required[i];
        const struct report_note *report = state_report(state, model_digest, suite);
        if (!report || !passes(report)) return refuse_suite(opts, suite, report, err);
        TRY(check_baselines(moving, state, report, err));
        if (i == 0) moving->report = report->report;
    }
    return OK;
}

static void fill(struct moving *moving, struct draft *draft, const struct version *version,
                 int64_t held)
{
    const struct move_opts *opts = moving->opts;
    struct moved *moved = moving->moved;
    *moved = (struct moved){
        .number = version->number,
        .from = held,
        .digest = version->digest,
        .model_digest = version->model_digest,
        .unchanged = held == version->number,
    };
    draft->kind = moving->kind;
    draft->actor = opts->actor;
    draft->reason = opts->reason;
    draft->body = json_pack("{ss sI ss sb so}", "model", opts->model, "number",
                            (json_int_t)version->number, "channel", opts->channel, "unchanged",
                            (int)moved->unchanged, "from", held ? json_integer(held) : json_null());
    json_set_digest(draft->body, "digest", &version->digest);
    json_set_digest(draft->body, "model_digest", &version->model_digest);
    draft_subject(draft, &version->digest);
    draft_subject(draft, &version->model_digest);
    if (moving->kind != ENTRY_PROMOTE) return;
    json_set_digest(draft->body, "report", &moving->report);
    draft_subject(draft, &moving->report);
}

static enum code decide_promote(void *context, const struct state *state, struct draft *draft,
                                struct err *err)
{
    struct moving *moving = context;
    const struct move_opts *opts = moving->opts;
    const struct model_line *model;
    const struct version *version;
    TRY(state_find_version(state, &model, &version, opts->model, opts->number, err));
    const struct channel *channel = model_channel(model, opts->channel);
    TRY(check_from(moving, channel, err));
    moving->held = channel ? channel_now(channel)->number : 0;
    TRY(check_reports(moving, state, &version->model_digest, err));
    fill(moving, draft, version, moving->held);
    return OK;
}

static enum code rollback_target(int64_t *target, const struct move_opts *opts,
                                 const struct channel *channel, struct err *err)
{
    *target = opts->number ? opts->number : channel_before(channel);
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
    TRY(rollback_target(&target, opts, channel, err));
    fill(moving, draft, model_version(model, target), channel_now(channel)->number);
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
        .opts = opts, .registry = registry, .kind = ENTRY_PROMOTE, .moved = moved
    };
    return move(registry, &moving, decide_promote, err);
}

enum code registry_rollback(struct registry *registry, struct moved *moved,
                            const struct move_opts *opts, struct err *err)
{
    struct moving moving = {
        .opts = opts, .registry = registry, .kind = ENTRY_ROLLBACK, .moved = moved
    };
    return move(registry, &moving, decide_rollback, err);
}
