/* pawl registry policy and revoke: who may do what, and who no longer. */
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/policy_set.h"

#include <stdio.h>
#include <string.h>

static const struct option set_options[] = {
    { "with", OPTION_LIST, "SIG", "Another person's signature under it; may be repeated." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
    REASON_OPTION,
    { 0 },
};

static const struct option sign_options[] = {
    { "out", OPTION_TEXT, "SIG", "Where the signature goes (a DSSE envelope)." },
    { "init", OPTION_FLAG, NULL, "For a registry that is yet to be made." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
    { 0 },
};

static const struct option show_options[] = { REGISTRY_OPTION, { 0 } };

static const struct option revoke_options[] = {
    { "from", OPTION_INT, "SEQ", "The first entry in which its signatures do not count." },
    REGISTRY_OPTION,
    KEY_OPTIONS,
    REASON_OPTION,
    { 0 },
};

static enum code need_key(const struct invocation *in, struct key *key, struct err *err)
{
    TRY(secret_key(in, key, err));
    if (key->pkey) return OK;
    err_set(err, USAGE, "`pawl %s` needs --key FILE or PAWL_KEY", in->command->name);
    return err_hint(err, "`pawl registry key new --out FILE` makes a key.");
}

static enum code run_set(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct key key = { 0 };
    int64_t seq = 0;
    struct policy_opts opts = { .with = list_of(in, "with"),
                                .actor = actor_of(in),
                                .reason = text_of(in, "reason") };
    TRY(policy_load(&opts.policy, in->arena, in->args[0], in->problems, err));
    struct digest digest = json_digest(opts.policy);
    enum code code = open_named(in, &registry, err);
    if (code) {
        json_decref(opts.policy);
        return code;
    }
    code = need_key(in, &key, err);
    if (!code) {
        registry.key = &key;
        code = registry_set_policy(&registry, &seq, &opts, err);
    }
    if (!code) {
        char text[DIGEST_TEXT];
        json_t *document = json_pack("{s:s,s:s,s:I,s:b}", "pawl", "policy-set/1", "policy",
                                     digest_text(&digest, text), "seq", (json_int_t)seq,
                                     "unchanged", seq == 0);
        if (!print_json(in, document)) {
            if (seq)
                printf("policy %s is in force, entry %lld\n", text, (long long)seq);
            else
                printf("policy %s was in force already\n", text);
        }
        json_decref(document);
    }
    key_release(&key);
    json_decref(opts.policy);
    registry_close(&registry);
    return code;
}

static enum code sign_for(struct invocation *in, const char *out, struct policy_opts *opts,
                          struct err *err)
{
    struct registry registry;
    if (given(in, "init")) return policy_sign(NULL, out, opts, err);
    TRY(open_named(in, &registry, err));
    enum code code = policy_sign(&registry, out, opts, err);
    registry_close(&registry);
    return code;
}

static enum code run_sign(struct invocation *in, struct err *err)
{
    const char *out;
    struct key key = { 0 };
    struct policy_opts opts = { .key = &key };
    TRY(need_text(in, &out, "out", err));
    TRY(policy_load(&opts.policy, in->arena, in->args[0], in->problems, err));
    enum code code = need_key(in, &key, err);
    if (!code) code = sign_for(in, out, &opts, err);
    if (!code) {
        char policy[DIGEST_TEXT], id[DIGEST_TEXT];
        struct digest digest = json_digest(opts.policy);
        json_t *document = json_pack("{s:s,s:s,s:s,s:s}", "pawl", "policy-signed/1", "policy",
                                     digest_text(&digest, policy), "key", digest_text(&key.id, id),
                                     "file", out);
        if (!print_json(in, document)) printf("signed policy %s: '%s'\n", policy, out);
        json_decref(document);
    }
    key_release(&key);
    json_decref(opts.policy);
    return code;
}

static void policy_text(struct str *out, const json_t *policy)
{
    struct arena arena = { 0 };
    struct digest digest = json_digest(policy);
    char text[DIGEST_TEXT];
    str_addf(out, "policy %s\n%s\n", digest_text(&digest, text), json_pretty(&arena, policy, NULL));
    arena_release(&arena);
}

static enum code run_show(struct invocation *in, struct err *err)
{
    struct registry registry;
    TRY(open_named(in, &registry, err));
    enum code code = registry_refresh(&registry, err);
    if (!code && registry.state.open) {
        code = err_set(err, NOT_FOUND, "no policy is in force: the registry has no keys");
        err_hint(err, "`pawl registry policy set FILE` sets one.");
    }
    if (!code) print_document(in, registry.state.policy_json, policy_text);
    registry_close(&registry);
    return code;
}

static enum code run_revoke(struct invocation *in, struct err *err)
{
    struct registry registry;
    struct key key;
    int64_t seq = 0;
    struct revoke_opts opts = { .from = int_of(in, "from", 0), .actor = actor_of(in) };
    TRY(need_text(in, &opts.reason, "reason", err));
    if (!digest_parse(&opts.key, in->args[0])) {
        err_set(err, USAGE, "'%s' is not the id of a key", in->args[0]);
        return err_hint(err, "`pawl registry key list` shows the ids, sha256:...");
    }
    TRY(open_signing(in, &registry, &key, err));
    enum code code = registry_revoke(&registry, &seq, &opts, err);
    if (!code) {
        json_t *document = json_pack("{s:s,s:s,s:I,s:b}", "pawl", "revoked/1", "key", in->args[0],
                                     "seq", (json_int_t)seq, "unchanged", seq == 0);
        if (!print_json(in, document)) {
            if (seq)
                printf("revoked %s, entry %lld\n", in->args[0], (long long)seq);
            else
                printf("%s was revoked before\n", in->args[0]);
        }
        json_decref(document);
    }
    key_release(&key);
    registry_close(&registry);
    return code;
}

const struct command trust_commands[] = {
    { .name = "registry policy set",
      .args = "FILE --key FILE",
      .least = 1,
      .most = 1,
      .help = "Sets the policy: keys, persons, roles, and what channels ask for.",
      .detail = "As many persons of role policy as `signatures` says must sign, by the policy in "
                "force and by\nthe new one. The first policy closes an open registry for good.",
      .example = "pawl registry policy set policy.yaml --key ada.key --with grace.sig --registry "
                 "registry",
      .options = set_options,
      .run = run_set },
    { .name = "registry policy sign",
      .args = "FILE --key FILE --out SIG",
      .least = 1,
      .most = 1,
      .help = "Signs a policy for somebody else to set it.",
      .example = "pawl registry policy sign policy.yaml --key grace.key --out grace.sig --registry "
                 "registry",
      .options = sign_options,
      .run = run_sign },
    { .name = "registry policy show",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Shows the policy in force, with its digest.",
      .example = "pawl registry policy show --registry registry",
      .options = show_options,
      .run = run_show },
    { .name = "registry revoke",
      .args = "KEY --reason TEXT",
      .least = 1,
      .most = 1,
      .help = "Revokes a key: what it signs, or signed from an entry on, counts no more.",
      .example =
          "pawl registry revoke sha256:0123... --from 41 --key ada.key --reason 'laptop lost' "
          "--registry registry",
      .options = revoke_options,
      .run = run_revoke },
    { 0 },
};
