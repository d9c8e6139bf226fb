/* pawl promote, rollback, deploy: channels, and what stands behind them in production. */
#include "base/log.h"
#include "base/utf8.h"
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/deploy.h"
#include "registry/hook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option promote_options[] = {
    { "from", OPTION_TEXT, "NAME@N|none", "What you saw the channel hold; else exit 7." },
    { "hooks", OPTION_TEXT, "DIR", "Calls the programs there with the entry; else PAWL_HOOKS." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
    REASON_OPTION,
    { 0 },
};

static const struct option rollback_options[] = {
    { "to", OPTION_TEXT, "NAME@N", "The version to go back to; default the one before." },
    { "from", OPTION_TEXT, "NAME@N|none", "What you saw the channel hold; else exit 7." },
    { "hooks", OPTION_TEXT, "DIR", "Calls the programs there with the entry; else PAWL_HOOKS." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
    REASON_OPTION,
    { 0 },
};

static const struct option deploy_options[] = {
    REGISTRY_OPTION,
    DEVICE_OPTION,
    { "layout", OPTION_TEXT, "NAME",
      "folder (default), or image: a plain OCI image for Kubernetes volumes." },
    { "status", OPTION_TEXT, "DIR", "Shows what DIR holds, every file hashed." },
    { "probe", OPTION_TEXT, "CMD", "Asks the server after the swap; swaps back when it fails." },
    { "probe-timeout", OPTION_INT, "SECONDS", "How long CMD may take; default 60." },
    { 0 },
};

static void print_moved(const struct invocation *in, const struct move_opts *opts,
                        const struct moved *moved)
{
    json_t *document = json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:b}", "pawl", "moved/1", "model",
                                 opts->model, "channel", opts->channel, "number",
                                 (json_int_t)moved->number, "from", (json_int_t)moved->from, "seq",
                                 (json_int_t)moved->seq, "unchanged", moved->unchanged);
    if (!print_json(in, document)) {
        printf("%s@%s -> %s@%lld", opts->model, opts->channel, opts->model,
               (long long)moved->number);
        if (moved->unchanged)
            printf(" (unchanged)");
        else if (moved->from)
            printf(" (was %s@%lld)", opts->model, (long long)moved->from);
        else
            printf(" (was empty)");
        printf(", entry %lld\n", (long long)moved->seq);
    }
    json_decref(document);
}

/* The move is recorded, so what goes wrong from here on is a warning. */
static void call_hooks(const struct invocation *in, struct registry *registry, int64_t seq)
{
    const char *dir = text_of(in, "hooks");
    struct err err;
    json_t *result = NULL;
    if (!dir) dir = variable(in, "PAWL_HOOKS");
    if (!dir || !*dir) return;
    struct hook_opts opts = { .dir = dir, .environment = in->environment, .after = seq - 1 };
    if (registry_hooks(registry, &result, &opts, &err))
        log_warn("entry %lld is recorded, but its hooks were not called: %s", (long long)seq,
                 err.message);
    json_decref(result);
}

static enum code run_promote(struct invocation *in, struct err *err)
{
    const char *reason;
    TRY(need_text(in, &reason, "reason", err));
    struct registry registry;
    struct resolved version;
    struct moved moved;
    struct key key;
    TRY(open_signing(in, &registry, &key, err));
    struct move_opts opts = { .channel = in->args[1], .actor = actor_of(in), .reason = reason };
    enum code code = registry_resolve(&registry, &version, in->args[0], err);
    if (!code) {
        opts.model = version.model;
        opts.number = version.number;
        code = read_from(in, version.model, &opts.from, err);
    }
    if (!code) code = registry_promote(&registry, &moved, &opts, err);
    if (!code) print_moved(in, &opts, &moved);
    if (!code) call_hooks(in, &registry, moved.seq);
    key_release(&key);
    registry_close(&registry);
    return code;
}

static enum code run_rollback(struct invocation *in, struct err *err)
{
    const char *reason;
    TRY(need_text(in, &reason, "reason", err));
    struct registry registry;
    struct moved moved;
    struct key key;
    TRY(open_signing(in, &registry, &key, err));
    struct move_opts opts = {
        .model = in->args[0], .channel = in->args[1], .actor = actor_of(in), .reason = reason
    };
    const char *to = text_of(in, "to");
    enum code code = read_from(in, opts.model, &opts.from, err);
    if (!code && to) code = read_version(to, opts.model, &opts.number, err);
    if (!code) code = registry_rollback(&registry, &moved, &opts, err);
    if (!code) print_moved(in, &opts, &moved);
    if (!code) call_hooks(in, &registry, moved.seq);
    key_release(&key);
    registry_close(&registry);
    return code;
}

static enum code show_status(struct invocation *in, const char *dir, struct err *err)
{
    json_t *status = NULL;
    struct str text = { 0 };
    if (in->arg_count) {
        err_set(err, USAGE, "`pawl deploy --status DIR` does not take '%s'", in->args[0]);
        return err_hint(err, "Look first, deploy then: these are two calls.");
    }
    TRY(deploy_status(dir, &status, err));
    if (!print_json(in, status)) {
        status_text(&text, status, dir);
        utf8_make_printable(text.at);
        fputs(str_text(&text), stdout);
    }
    str_release(&text);
    json_decref(status);
    return OK;
}

static void print_deployed(const struct invocation *in, const struct deployed *deployed)
{
    const struct resolved *version = &deployed->version;
    json_t *document = json_pack("{s:s,s:s,s:I,s:s,s:s,s:b,s:I,s:f}", "pawl", "deployed/1", "model",
                                 version->model, "number", (json_int_t)version->number, "directory",
                                 in->args[1], "bundle", deployed->bundle, "unchanged",
                                 deployed->unchanged, "probed", (json_int_t)deployed->rows, "worst",
                                 deployed->worst);
    if (!print_json(in, document)) {
        printf("%s@%lld %s %s/current", version->model, (long long)version->number,
               deployed->unchanged ? "is in place already:" : "deployed:", in->args[1]);
        if (!deployed->unchanged)
            printf(" (probed with %lld golden rows, largest deviation %.2g)",
                   (long long)deployed->rows, deployed->worst);
        puts("");
    }
    json_decref(document);
}

static enum code run_deploy(struct invocation *in, struct err *err)
{
    if (given(in, "status")) return show_status(in, text_of(in, "status"), err);
    if (in->arg_count < 2) {
        err_set(err, USAGE, "`pawl deploy` needs REF DIR");
        return err_hint(err, "Usage: pawl deploy %s", in->command->args);
    }
    struct registry registry;
    struct deployed deployed;
    const char *device = text_of(in, "device"), *layout = text_of(in, "layout");
    if (device && strcmp(device, "auto") == 0) device = NULL;
    if (layout && deploy_layout_find(layout) == DEPLOY_LAYOUTS) {
        err_set(err, USAGE, "unknown layout '%s': folder or image", layout);
        return err_hint(err, "A folder holds the files themselves; an image is what container "
                             "tools copy and mount.");
    }
    TRY(open_named(in, &registry, err));
    struct deploy_opts opts = { .ref = in->args[0],
                                .dir = in->args[1],
                                .device = device,
                                .layout = layout ? deploy_layout_find(layout) : DEPLOY_FOLDER,
                                .probe = text_of(in, "probe"),
                                .environment = in->environment,
                                .timeout_s = (int)int_of(in, "probe-timeout", 0) };
    enum code code = registry_deploy_probed(&registry, &deployed, &opts, err);
    if (!code) print_deployed(in, &deployed);
    registry_close(&registry);
    return code;
}

const struct command channel_commands[] = {
    { .name = "promote",
      .args = "REF CHANNEL --reason TEXT",
      .least = 2,
      .most = 2,
      .help = "Moves a channel to a version with a recorded passing report.",
      .example = "pawl promote fashion@1 staging --registry registry --reason 'first release'",
      .options = promote_options,
      .run = run_promote },
    { .name = "rollback",
      .args = "MODEL CHANNEL --reason TEXT",
      .least = 2,
      .most = 2,
      .help = "Moves a channel back to the version before, or to one it held.",
      .example = "pawl rollback fashion staging --registry registry --reason 'complaints'",
      .options = rollback_options,
      .run = run_rollback },
    { .name = "deploy",
      .args = "REF DIR | --status DIR",
      .least = 0,
      .most = 2,
      .help = "Puts a version's verified bundle in place, probed before the swap.",
      .example = "pawl deploy fashion@staging /srv/fashion --registry registry",
      .options = deploy_options,
      .run = run_deploy },
    { 0 },
};
