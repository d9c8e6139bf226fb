/* pawl registry approve and waive: signed consent to put a version on a channel. */
#include "base/units.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/approve.h"
#include "registry/trust.h"

#include <stdio.h>
#include <string.h>

#define CONSENT_OPTIONS                                                                            \
    { "for", OPTION_TEXT, "CHANNEL", "The channel that it is for." },                              \
        { "from", OPTION_TEXT, "NAME@N|none", "Counts only while the channel holds this." },       \
        { "expires", OPTION_TEXT, "TIME", "Counts until then: 14d, or 2027-01-31T12:00:00Z." },    \
        REGISTRY_OPTION, KEY_OPTIONS, REASON_OPTION

static const struct option approve_options[] = { CONSENT_OPTIONS, { 0 } };

static const struct option waive_options[] = {
    { "rule", OPTION_TEXT, "RULE", "fresh, stage or exposure: the rule to set aside." },
    { "gate", OPTION_TEXT, "ID", "The gate of a report that may fail." },
    CONSENT_OPTIONS,
    { 0 },
};

/* A time, or how long from now. */
static enum code read_expiry(const struct invocation *in, double *expires_s, double now_s,
                             struct err *err)
{
    const char *text = text_of(in, "expires");
    double span_s;
    *expires_s = 0;
    if (!text) return OK;
    *expires_s = time_parse(text);
    if (*expires_s > 0) return OK;
    if (units_time(&span_s, text, NULL, NULL) && span_s > 0 && span_s < 3.2e9) {
        *expires_s = now_s + span_s;
        return OK;
    }
    return err_set(err, USAGE, "option '--expires' needs 14d or 2027-01-31T12:00:00Z, not '%s'",
                   text);
}

static enum code read_rule(const struct invocation *in, struct consent_opts *opts, struct err *err)
{
    const char *rule = text_of(in, "rule");
    opts->gate = text_of(in, "gate");
    if (!rule == !opts->gate)
        return err_set(err, USAGE, "say --rule RULE or --gate ID, one of them");
    opts->rule = opts->gate ? WAIVE_VERDICT : waivable_find(rule);
    if (opts->rule == WAIVABLE_COUNT || (rule && opts->rule == WAIVE_VERDICT))
        return err_set(err, USAGE, "no waiver sets aside '%s': fresh, stage, exposure, or a --gate",
                       rule);
    return OK;
}

static void print_consent(const struct invocation *in, const struct consent_opts *opts,
                          const struct consented *consented, bool waives)
{
    json_t *document = json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:I,s:b}", "pawl", waives ? "waived/1" : "approved/1", "model",
        opts->model, "number", (json_int_t)opts->number, "channel", opts->channel, "person",
        consented->person, "seq", (json_int_t)consented->seq, "existed", consented->existed);
    if (waives) json_object_set_new(document, "rule", json_string(waivable_name(opts->rule)));
    if (waives && opts->gate) json_object_set_new(document, "gate", json_string(opts->gate));
    if (!print_json(in, document)) {
        printf("%s %s %s@%lld for %s", consented->person, waives ? "waives" : "approves",
               opts->model, (long long)opts->number, opts->channel);
        if (waives)
            printf(": %s%s", opts->gate ? "gate " : "rule ",
                   opts->gate ? opts->gate : waivable_name(opts->rule));
        printf("%s, entry %lld\n", consented->existed ? " (said before)" : "",
               (long long)consented->seq);
    }
    json_decref(document);
}

static enum code consent(struct invocation *in, struct registry *registry, bool waives,
                         struct err *err)
{
    struct consent_opts opts = { .actor = actor_of(in) };
    struct consented consented;
    struct resolved version;
    TRY(need_text(in, &opts.channel, "for", err));
    TRY(need_text(in, &opts.reason, "reason", err));
    if (waives) TRY(read_rule(in, &opts, err));
    TRY(registry_resolve(registry, &version, in->args[0], err));
    TRY(registry_refresh(registry, err));
    TRY(read_expiry(in, &opts.expires_s, trust_now(&registry->state), err));
    opts.model = version.model;
    opts.number = version.number;
    TRY(read_from(in, opts.model, &opts.from, err));
    TRY((waives ? registry_waive : registry_approve)(registry, &consented, &opts, err));
    print_consent(in, &opts, &consented, waives);
    return OK;
}

static enum code run(struct invocation *in, bool waives, struct err *err)
{
    struct registry registry;
    struct key key;
    TRY(open_signing(in, &registry, &key, err));
    enum code code = consent(in, &registry, waives, err);
    key_release(&key);
    registry_close(&registry);
    return code;
}

static enum code run_approve(struct invocation *in, struct err *err)
{
    return run(in, false, err);
}

static enum code run_waive(struct invocation *in, struct err *err)
{
    return run(in, true, err);
}

const struct command consent_commands[] = {
    { .name = "registry approve",
      .args = "REF --for CHANNEL --reason TEXT",
      .least = 1,
      .most = 1,
      .help = "Approves a version for a channel, on the reports that are there now.",
      .detail = "Signed by your key. It counts while its reports are the newest, the policy is the "
                "same and it has\nnot expired; nobody approves what they added.",
      .example = "pawl registry approve fashion@7 --for production --key ada.key --reason 'looked "
                 "at its errors'",
      .options = approve_options,
      .run = run_approve },
    { .name = "registry waive",
      .args = "REF --for CHANNEL --rule RULE | --gate ID --expires TIME --reason TEXT",
      .least = 1,
      .most = 1,
      .help = "Sets one rule of a channel aside for a version, until it expires.",
      .detail = "Only what the policy lets be waived; never damage, digests, or what is missing or "
                "not a number.\nThe report stays as it is: promote applies the waiver.",
      .example = "pawl registry waive fashion@7 --for staging --gate speed --expires 14d --key "
                 "ada.key --reason 'new belt'",
      .options = waive_options,
      .run = run_waive },
    { 0 },
};
