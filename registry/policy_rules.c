/* The rules one by one: channel, version, stage; then what reports and persons say. */
#include "registry/policy_rules.h"

#include "registry/card.h"
#include "registry/trust.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum code rules_refuse(const struct asking *asking, struct err *err, const char *format, ...)
{
    char why[400];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    return err_set(err, REFUSED, "cannot promote %s@%lld to '%s': %s", asking->model->name,
                   (long long)asking->version->number, asking->channel, why);
}

const struct policy_channel *asking_rules(const struct asking *asking)
{
    if (asking->state->open) return NULL;
    return policy_channel_find(&asking->state->policy, asking->channel);
}

/* "staging, production". */
static const char *channel_names(struct arena *arena, const char *const *names, size_t count)
{
    const char *text = "";
    for (size_t i = 0; i < count; i++)
        text = arena_format(arena, "%s%s%s", text, i ? ", " : "", names[i]);
    return text;
}

static enum code check_channel(const struct asking *asking, struct err *err)
{
    struct arena arena = { 0 };
    const struct policy *policy = &asking->state->policy;
    if (asking->state->open || asking_rules(asking)) return OK;
    const char **names = ARENA_ARRAY(&arena, policy->channel_count, const char *);
    for (size_t i = 0; i < policy->channel_count; i++) names[i] = policy->channels[i].name;
    rules_refuse(asking, err, "the policy does not name this channel, only %s",
                 channel_names(&arena, names, policy->channel_count));
    err_hint(err, "`pawl registry policy set FILE` sets a policy that does.");
    arena_release(&arena);
    return REFUSED;
}

static enum code check_version(const struct asking *asking, struct err *err)
{
    const char *barred = version_barred(asking->state, asking->version);
    if (!barred) return OK;
    rules_refuse(asking, err, "%s", barred);
    return err_hint(err,
                    "Add the model as another version, or promote another one: `pawl registry "
                    "list %s`.",
                    asking->model->name);
}

static bool was_on(const struct asking *asking, const char *channel)
{
    const struct channel *row = model_channel(asking->model, channel);
    return row && channel_held(row, asking->version->number);
}

static enum code check_stage(struct relied *relied, struct arena *arena,
                             const struct asking *asking, struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    if (!rules || !rules->after_count) return OK;
    for (size_t i = 0; i < rules->after_count; i++)
        if (was_on(asking, rules->after[i])) return OK;
    if (rules_waived(relied, arena, asking, WAIVE_STAGE, NULL, NULL)) return OK;
    rules_refuse(asking, err, "rule after: it was never on %s",
                 channel_names(arena, rules->after, rules->after_count));
    return err_hint(err, "Run `pawl promote %s@%lld %s --reason TEXT` first.", asking->model->name,
                    (long long)asking->version->number, rules->after[0]);
}

static enum code check_card(const struct asking *asking, struct err *err)
{
    struct arena arena = { 0 };
    const struct policy_channel *rules = asking_rules(asking);
    unsigned missing = rules ? rules->card & ~asking->version->card : 0;
    if (!missing) return OK;
    rules_refuse(asking, err, "rule card: its card does not state %s",
                 card_fields_text(&arena, missing));
    err_hint(err,
             "Write them (card/1) and run `pawl registry add SOURCE --as %s --card FILE` with "
             "what it was added from.",
             asking->model->name);
    arena_release(&arena);
    return REFUSED;
}

static enum code check_score(const struct asking *asking, struct err *err)
{
    const struct policy_channel *rules = asking_rules(asking);
    if (!rules || !(rules->score > 0) || asking->score >= rules->score) return OK;
    if (asking->score < 0)
        rules_refuse(asking, err, "rule score: nothing states its ML Test Score, %g is needed",
                     rules->score);
    else
        rules_refuse(asking, err, "rule score: its ML Test Score is %g, at least %g is needed",
                     asking->score, rules->score);
    return err_hint(err,
                    "`pawl score %s@%lld` says which tests are missing and what supplies each.",
                    asking->model->name, (long long)asking->version->number);
}

enum code rules_promote(struct relied *relied, struct arena *arena, const struct asking *asking,
                        struct err *err)
{
    memset(relied, 0, sizeof *relied);
    TRY(check_channel(asking, err));
    TRY(check_version(asking, err));
    TRY(check_stage(relied, arena, asking, err));
    TRY(check_card(asking, err));
    TRY(rules_reports(relied, arena, asking, err));
    TRY(check_score(asking, err));
    return rules_approvals(relied, arena, asking, err);
}

enum code rules_rollback(const struct asking *asking, struct err *err)
{
    enum code code = check_channel(asking, err);
    const char *barred = code ? NULL : version_barred(asking->state, asking->version);
    if (!barred) return code;
    err_set(err, REFUSED, "cannot roll back '%s' to %s@%lld: %s", asking->channel,
            asking->model->name, (long long)asking->version->number, barred);
    return err_hint(err, "--to NAME@N states another version that the channel held.");
}
