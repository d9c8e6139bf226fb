/* pawl registry, promote, rollback, deploy: history and channels. */
#include "cli/groups.h"
#include "cli/shared.h"
#include "registry/deploy.h"
#include "registry/verify.h"
#include "workflow/add.h"
#include "workflow/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option plain_options[] = { REGISTRY_OPTION, { 0 } };

static const struct option init_options[] = { REASON_OPTION, { 0 } };

static const struct option add_options[] = {
    { "as", OPTION_TEXT, "NAME", "The model's name; default the run's name." },
    REGISTRY_OPTION,
    REASON_OPTION,
    { 0 },
};

static const struct option history_options[] = {
    REGISTRY_OPTION,
    { "channel", OPTION_TEXT, "NAME", "Only moves of this channel." },
    { 0 },
};

static const struct option verify_options[] = {
    REGISTRY_OPTION,
    { "expect", OPTION_TEXT, "SEQ:DIGEST", "This entry must be in the journal." },
    { 0 },
};

static const struct option promote_options[] = {
    { "from", OPTION_TEXT, "NAME@N|none", "What you saw the channel hold; else exit 7." },
    REGISTRY_OPTION,
    REASON_OPTION,
    { 0 },
};

static const struct option rollback_options[] = {
    { "to", OPTION_TEXT, "NAME@N", "The version to go back to; default the one before." },
    { "from", OPTION_TEXT, "NAME@N|none", "What you saw the channel hold; else exit 7." },
    REGISTRY_OPTION,
    REASON_OPTION,
    { 0 },
};

static const struct option deploy_options[] = {
    REGISTRY_OPTION,
    DEVICE_OPTION,
    { "status", OPTION_TEXT, "DIR", "Shows what DIR holds, every file hashed." },
    { 0 },
};

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static long long number_in(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

static enum code open_named(const struct invocation *in, struct registry *registry, struct err *err)
{
    const char *dir;
    TRY(need_registry(in, &dir, err));
    return registry_open(registry, dir, err);
}

/* Says what the registry cannot promise. */
static void say_open(const struct invocation *in, const struct registry *registry)
{
    if (registry->open && !in->json && !given(in, "quiet"))
        fputs("note: integrity only: this registry has no keys\n", stderr);
}

static enum code run_init(struct invocation *in, struct err *err)
{
    const char *reason = text_of(in, "reason");
    TRY(registry_init(in->args[0], actor_of(in), reason ? reason : "registry created", err));
    struct registry registry;
    TRY(registry_open(&registry, in->args[0], err));
    char id[DIGEST_TEXT];
    json_t *document = json_pack("{s:s,s:s,s:s,s:b}", "pawl", "registry/1", "path", in->args[0],
                                 "id", digest_text(&registry.id, id), "open", registry.open);
    if (!print_json(in, document)) printf("registry %s\n  id %s\n", in->args[0], id);
    say_open(in, &registry);
    json_decref(document);
    registry_close(&registry);
    return OK;
}

static enum code run_add(struct invocation *in, struct err *err)
{
    struct registry registry;
    TRY(open_named(in, &registry, err));
    struct added added;
    struct add_request request = { .source = in->args[0],
                                   .name = text_of(in, "as"),
                                   .actor = actor_of(in),
                                   .reason = text_of(in, "reason") };
    enum code code = add_run(&registry, &added, &request, err);
    if (!code) {
        char version[DIGEST_TEXT], model[DIGEST_TEXT];
        json_t *document = json_pack(
            "{s:s,s:s,s:I,s:s,s:s,s:b}", "pawl", "added/1", "model", request.name, "number",
            (json_int_t)added.number, "digest", digest_text(&added.digest, version), "model_digest",
            digest_text(&added.model_digest, model), "existed", added.existed);
        if (!print_json(in, document))
            printf("%s@%lld%s\n  version digest %s\n  model digest   %s\n", request.name,
                   (long long)added.number, added.existed ? " (was there already)" : "", version,
                   model);
        json_decref(document);
    }
    registry_close(&registry);
    return code;
}

static void print_list(const json_t *list)
{
    const json_t *versions = json_object_get(list, "versions");
    const json_t *channels = json_object_get(list, "channels");
    for (size_t i = 0; i < json_array_size(versions); i++) {
        const json_t *v = json_array_get(versions, i);
        printf("%s@%lld  %.19s  %s  %s\n", text_in(v, "model"), number_in(v, "number"),
               text_in(v, "digest"), text_in(v, "time"), text_in(v, "actor"));
    }
    for (size_t i = 0; i < json_array_size(channels); i++) {
        const json_t *c = json_array_get(channels, i);
        printf("%s@%s -> %s@%lld\n", text_in(c, "model"), text_in(c, "channel"),
               text_in(c, "model"), number_in(c, "number"));
    }
    if (!json_array_size(versions)) puts("no versions");
}

static enum code run_list(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *list = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_list(&registry, &list, in->arg_count ? in->args[0] : NULL, err);
    if (!code && !print_json(in, list)) print_list(list);
    json_decref(list);
    registry_close(&registry);
    return code;
}

static enum code run_show(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *show = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_show(&registry, &show, in->args[0], err);
    if (!code && !print_json(in, show)) puts(json_pretty(in->arena, show, NULL));
    json_decref(show);
    registry_close(&registry);
    return code;
}

static void print_history(const json_t *history)
{
    const json_t *entries = json_object_get(history, "entries");
    for (size_t i = 0; i < json_array_size(entries); i++) {
        const json_t *e = json_array_get(entries, i);
        const json_t *subject = json_object_get(e, "subject");
        char *about = json_is_string(subject) ? NULL
                                              : json_dumps(subject, JSON_ENCODE_ANY | JSON_COMPACT);
        printf("%6lld  %s  %-9s %-24s %s  %s\n", number_in(e, "seq"), text_in(e, "time"),
               text_in(e, "kind"), about ? about : text_in(e, "subject"), text_in(e, "actor"),
               text_in(e, "reason"));
        free(about);
    }
}

static enum code run_history(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *history = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_history(&registry, &history, in->arg_count ? in->args[0] : NULL,
                                      text_of(in, "channel"), err);
    if (!code && !print_json(in, history)) print_history(history);
    json_decref(history);
    registry_close(&registry);
    return code;
}

static enum code run_resolve(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct resolved version;
    TRY(open_named(in, &registry, err));
    enum code code = registry_resolve(&registry, &version, in->args[0], err);
    if (!code) {
        char digest[DIGEST_TEXT], model[DIGEST_TEXT];
        json_t *document = json_pack("{s:s,s:s,s:I,s:s,s:s,s:I}", "pawl", "resolved/1", "model",
                                     version.model, "number", (json_int_t)version.number, "digest",
                                     digest_text(&version.digest, digest), "model_digest",
                                     digest_text(&version.model_digest, model), "seq",
                                     (json_int_t)version.seq);
        if (!print_json(in, document))
            printf("%s@%lld %s\n", version.model, (long long)version.number, digest);
        json_decref(document);
    }
    registry_close(&registry);
    return code;
}

static enum code read_expect(const struct invocation *in, struct verify_opts *opts, struct err *err)
{
    const char *text = text_of(in, "expect");
    if (!text) return OK;
    char *end;
    opts->seq = strtoll(text, &end, 10);
    if (opts->seq > 0 && *end == ':' && digest_parse(&opts->digest, end + 1)) return OK;
    return err_set(err, USAGE, "option '--expect' needs SEQ:sha256:..., not '%s'", text);
}

static void print_verify(const json_t *result)
{
    const char *const lists[] = { "problems", "notes" };
    printf("%lld entries, %lld files of content, %lld bytes hashed\n", number_in(result, "entries"),
           number_in(result, "content"), number_in(result, "bytes"));
    for (int l = 0; l < 2; l++) {
        const json_t *list = json_object_get(result, lists[l]);
        for (size_t i = 0; i < json_array_size(list); i++)
            printf("  %.*s: %s\n", (int)strlen(lists[l]) - 1, lists[l],
                   json_string_value(json_array_get(list, i)));
    }
    const json_t *head = json_object_get(result, "head");
    if (json_is_string(head))
        printf("head %s\n", json_string_value(head));
    else
        printf("head %lld:%s\n", number_in(head, "seq"), text_in(head, "digest"));
}

static enum code run_verify(struct invocation *in, struct err *err)
{
    struct verify_opts opts = { 0 };
    const char *dir;
    json_t *result = NULL;
    TRY(read_expect(in, &opts, err));
    TRY(need_registry(in, &dir, err));
    enum code code = registry_verify(dir, &result, &opts, err);
    if (result && !print_json(in, result)) print_verify(result);
    json_decref(result);
    return code;
}

/* Splits "fashion@7" into model and number; "none" gives CHANNEL_NONE. */
static enum code read_version(const char *text, const char *model, int64_t *number, struct err *err)
{
    *number = CHANNEL_ANY;
    if (!text) return OK;
    *number = CHANNEL_NONE;
    if (strcmp(text, "none") == 0) return OK;
    size_t len = strlen(model);
    char *end;
    if (strncmp(text, model, len) == 0 && text[len] == '@') {
        *number = strtoll(text + len + 1, &end, 10);
        if (*number > 0 && !*end) return OK;
    }
    return err_set(err, USAGE, "'%s' is not a version of %s: write %s@N", text, model, model);
}

static enum code need_reason(const struct invocation *in, struct err *err)
{
    const char *reason = text_of(in, "reason");
    if (reason && *reason) return OK;
    return err_set(err, USAGE, "`pawl %s` needs --reason TEXT", in->command->name);
}

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
        printf(", entry %lld\n", (long long)moved->seq);
    }
    json_decref(document);
}

static enum code run_promote(struct invocation *in, struct err *err)
{
    TRY(need_reason(in, err));
    struct registry registry;
    struct resolved version;
    struct moved moved;
    TRY(open_named(in, &registry, err));
    struct move_opts opts = { .channel = in->args[1],
                              .actor = actor_of(in),
                              .reason = text_of(in, "reason") };
    enum code code = registry_resolve(&registry, &version, in->args[0], err);
    if (!code) {
        opts.model = version.model;
        opts.number = version.number;
        code = read_version(text_of(in, "from"), version.model, &opts.from, err);
    }
    if (!code) code = registry_promote(&registry, &moved, &opts, err);
    if (!code) {
        print_moved(in, &opts, &moved);
        say_open(in, &registry);
    }
    registry_close(&registry);
    return code;
}

static enum code run_rollback(struct invocation *in, struct err *err)
{
    TRY(need_reason(in, err));
    struct registry registry;
    struct moved moved;
    TRY(open_named(in, &registry, err));
    struct move_opts opts = { .model = in->args[0],
                              .channel = in->args[1],
                              .actor = actor_of(in),
                              .reason = text_of(in, "reason") };
    int64_t to;
    enum code code = read_version(text_of(in, "from"), opts.model, &opts.from, err);
    if (!code) code = read_version(text_of(in, "to"), opts.model, &to, err);
    if (!code) {
        opts.number = to > 0 ? to : 0;
        code = registry_rollback(&registry, &moved, &opts, err);
    }
    if (!code) {
        print_moved(in, &opts, &moved);
        say_open(in, &registry);
    }
    registry_close(&registry);
    return code;
}

static enum code show_status(struct invocation *in, const char *dir, struct err *err)
{
    json_t *status = NULL;
    enum code code = deploy_status(dir, &status, err);
    if (!code && !print_json(in, status)) puts(json_pretty(in->arena, status, NULL));
    json_decref(status);
    return code;
}

static enum code run_deploy(struct invocation *in, struct err *err)
{
    if (given(in, "status")) return show_status(in, text_of(in, "status"), err);
    if (in->arg_count < 2) return err_set(err, USAGE, "`pawl deploy` needs REF DIR");
    struct registry registry;
    struct deployed deployed;
    const char *device = text_of(in, "device");
    if (device && strcmp(device, "auto") == 0) device = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_deploy(&registry, &deployed, in->args[0], in->args[1], device, err);
    if (!code) {
        json_t *document = json_pack("{s:s,s:s,s:I,s:s,s:s,s:b,s:I,s:f}", "pawl", "deployed/1",
                                     "model", deployed.version.model, "number",
                                     (json_int_t)deployed.version.number, "directory", in->args[1],
                                     "bundle", deployed.bundle, "unchanged", deployed.unchanged,
                                     "probed", (json_int_t)deployed.rows, "worst", deployed.worst);
        if (!print_json(in, document)) {
            printf("%s@%lld %s %s/current", deployed.version.model,
                   (long long)deployed.version.number,
                   deployed.unchanged ? "is in place at" : "deployed to", in->args[1]);
            if (!deployed.unchanged)
                printf(" (%lld golden rows, largest deviation %.2g)", (long long)deployed.rows,
                       deployed.worst);
            puts("");
        }
        say_open(in, &registry);
        json_decref(document);
    }
    registry_close(&registry);
    return code;
}

const struct command registry_commands[] = {
    { .name = "promote",
      .args = "REF CHANNEL",
      .least = 2,
      .most = 2,
      .help = "Moves a channel to a version with a recorded passing report.",
      .example = "pawl promote fashion@1 staging --registry registry --reason 'first release'",
      .options = promote_options,
      .run = run_promote },
    { .name = "rollback",
      .args = "MODEL CHANNEL",
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
    { .name = "registry init",
      .args = "DIR",
      .least = 1,
      .most = 1,
      .help = "Makes a registry; the only command that does.",
      .example = "pawl registry init registry",
      .options = init_options,
      .run = run_init },
    { .name = "registry add",
      .args = "RUN",
      .least = 1,
      .most = 1,
      .help = "Adds a run's best checkpoint (or a checkpoint) as a model's next version.",
      .example = "pawl registry add runs/fashion-cnn --as fashion --registry registry",
      .options = add_options,
      .run = run_add },
    { .name = "registry list",
      .args = "[MODEL]",
      .least = 0,
      .most = 1,
      .help = "Lists versions and channels.",
      .example = "pawl registry list --registry registry",
      .options = plain_options,
      .run = run_list },
    { .name = "registry show",
      .args = "REF",
      .least = 1,
      .most = 1,
      .help = "Shows one version with files, facts and reports.",
      .example = "pawl registry show fashion@1 --registry registry",
      .options = plain_options,
      .run = run_show },
    { .name = "registry history",
      .args = "[MODEL]",
      .least = 0,
      .most = 1,
      .help = "Shows who did what, when and why.",
      .example = "pawl registry history fashion --registry registry",
      .options = history_options,
      .run = run_history },
    { .name = "registry resolve",
      .args = "REF",
      .least = 1,
      .most = 1,
      .help = "Prints the version that a REF means, with its digest.",
      .example = "pawl registry resolve fashion@staging --registry registry",
      .options = plain_options,
      .run = run_resolve },
    { .name = "registry verify",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Re-hashes everything that the journal reaches and checks the chain.",
      .example = "pawl registry verify --registry registry",
      .options = verify_options,
      .run = run_verify },
    { 0 },
};
