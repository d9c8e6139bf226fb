/* pawl registry: making one, adding versions, asking questions. */
#include "base/log.h"
#include "base/utf8.h"
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/card.h"
#include "registry/policy_set.h"
#include "registry/snapshot.h"
#include "registry/verify.h"
#include "workflow/add.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct option plain_options[] = { REGISTRY_OPTION, { 0 } };

static const struct option init_options[] = {
    { "policy", OPTION_TEXT, "FILE", "Keys, roles and channels from the beginning; needs a key." },
    { "with", OPTION_LIST, "SIG", "Another person's signature under the policy; may be repeated." },
    KEY_OPTIONS,
    REASON_OPTION,
    { 0 },
};

static const struct option add_options[] = {
    { "as", OPTION_TEXT, "NAME", "The model's name; default the run's name." },
    { "card", OPTION_TEXT, "FILE", "What people say about it, for its model card (card/1)." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
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

/* With a policy in entry 1. */
static enum code init_closed(struct invocation *in, const char *reason, struct err *err)
{
    struct key key = { 0 };
    struct policy_opts opts = { .with = list_of(in, "with"),
                                .actor = actor_of(in),
                                .reason = reason };
    TRY(policy_load(&opts.policy, in->arena, text_of(in, "policy"), in->problems, err));
    enum code code = secret_key(in, &key, err);
    opts.key = key.pkey ? &key : NULL;
    if (!code) code = registry_init_closed(in->args[0], &opts, err);
    key_release(&key);
    json_decref(opts.policy);
    return code;
}

static enum code run_init(struct invocation *in, struct err *err)
{
    const char *reason = text_of(in, "reason");
    if (!reason) reason = "registry created";
    if (!given(in, "policy") && (given(in, "key") || given(in, "with")))
        return err_set(err, USAGE, "options '--key' and '--with' need --policy FILE");
    if (given(in, "policy"))
        TRY(init_closed(in, reason, err));
    else
        TRY(registry_init(in->args[0], actor_of(in), reason, err));
    struct registry registry;
    TRY(registry_open(&registry, in->args[0], err));
    char id[DIGEST_TEXT];
    json_t *document = json_pack("{s:s,s:s,s:s,s:b}", "pawl", "registry/1", "path", in->args[0],
                                 "id", digest_text(&registry.id, id), "open", registry.open);
    if (!print_json(in, document)) printf("made a registry in '%s'\n  id %s\n", in->args[0], id);
    say_open(in, registry.open);
    json_decref(document);
    registry_close(&registry);
    return OK;
}

/* The key of whoever adds. Where the registry has keys it signs entry and documents; in one
 * without, only --key is asked, and it signs the documents alone: model.sig says who made the
 * files, whatever the registry trusts. */
static enum code open_adding(struct invocation *in, struct registry *registry, struct key *key,
                             struct err *err)
{
    memset(key, 0, sizeof *key);
    TRY(open_named(in, registry, err));
    enum code code = registry->open && !given(in, "key") ? OK : secret_key(in, key, err);
    if (code)
        registry_close(registry);
    else
        registry->key = key->pkey ? key : NULL;
    return code;
}

static enum code run_add(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct key key;
    TRY(open_adding(in, &registry, &key, err));
    struct added added;
    struct add_request request = { .source = in->args[0],
                                   .name = text_of(in, "as"),
                                   .actor = actor_of(in),
                                   .reason = text_of(in, "reason") };
    json_t *card = NULL;
    enum code code = OK;
    if (given(in, "card"))
        code = card_load(&card, in->arena, text_of(in, "card"), in->problems, err);
    request.card = card;
    if (!code) code = add_run(&registry, &added, &request, err);
    json_decref(card);
    if (!code) {
        char version[DIGEST_TEXT], model[DIGEST_TEXT];
        json_t *document = json_pack("{s:s,s:s,s:I,s:s,s:s,s:b,s:b}", "pawl", "added/1", "model",
                                     request.name, "number", (json_int_t)added.number, "digest",
                                     digest_text(&added.digest, version), "model_digest",
                                     digest_text(&added.model_digest, model), "existed",
                                     added.existed, "signed", key.pkey != NULL && !added.existed);
        if (!print_json(in, document))
            printf("%s@%lld%s\n  version digest %s\n  model digest   %s\n", request.name,
                   (long long)added.number, added.existed ? " (was there already)" : "", version,
                   model);
        json_decref(document);
        if (!key.pkey && !added.existed && !in->json)
            log_note("note: added without a key: its documents are unsigned, and there is no "
                     "model.sig; --key FILE makes it");
    }
    key_release(&key);
    registry_close(&registry);
    return code;
}

static enum code run_list(struct invocation *in, struct err *err)
{
    struct registry registry;
    TRY(open_named(in, &registry, err));
    const char *model = in->arg_count ? in->args[0] : NULL;
    struct str text = { 0 };
    enum code code = in->json ? registry_list_json(&registry, &text, model, err)
                              : registry_list_text(&registry, &text, model, err);
    if (!code && in->json) *in->printed = puts(text.at) >= 0;
    if (!code && !in->json) {
        utf8_make_printable(text.at); /* names and reasons are other people's */
        fputs(text.at, stdout);
    }
    str_release(&text);
    registry_close(&registry);
    return code;
}

static enum code run_show(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *show = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_show(&registry, &show, in->args[0], err);
    if (!code) print_document(in, show, version_text);
    json_decref(show);
    registry_close(&registry);
    return code;
}

static enum code run_history(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *history = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_history(&registry, &history, in->arg_count ? in->args[0] : NULL,
                                      text_of(in, "channel"), err);
    if (!code) print_document(in, history, history_text);
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

static enum code run_verify(struct invocation *in, struct err *err)
{
    struct verify_opts opts = { 0 };
    const char *dir;
    json_t *result = NULL;
    TRY(read_expect(in, &opts, err));
    TRY(need_registry(in, &dir, err));
    enum code code = registry_verify(dir, &result, &opts, err);
    if (result) {
        say_open(in, json_is_true(json_object_get(result, "open")));
        print_document(in, result, verify_text);
    }
    json_decref(result);
    return code;
}

const struct command registry_commands[] = {
    { .name = "registry init",
      .args = "DIR",
      .least = 1,
      .most = 1,
      .help = "Makes a registry; the only command that does.",
      .detail = "Without a policy it has no keys and vouches for integrity alone; the first policy "
                "that is set\ngives it keys for good.",
      .example = "pawl registry init registry --policy policy.yaml --key ada.key",
      .options = init_options,
      .run = run_init },
    { .name = "registry add",
      .args = "SOURCE",
      .least = 1,
      .most = 1,
      .help = "Adds a run's best checkpoint, a checkpoint or a bundle as a model's next version.",
      .detail =
          "SOURCE is the directory of a run, a checkpoint or a bundle. The same content is the "
          "same version:\nadding it again prints the number that it has; with a card that says "
          "something new, that is\nrecorded. In a registry without keys, --key signs the documents "
          "about the version, model.sig\namong them, and nothing else.",
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
