/* pawl registry key: making keys and looking at them. */
#include "base/log.h"
#include "cli/documents.h"
#include "cli/groups.h"
#include "cli/secret.h"
#include "cli/shared.h"
#include "registry/policy_set.h"

#include <stdio.h>
#include <string.h>

static const struct option new_options[] = {
    { "out", OPTION_TEXT, "FILE", "Where the secret key goes; only you can read it." },
    { "passphrase-file", OPTION_TEXT, "FILE", "Encrypts it with the file's first line." },
    { 0 },
};

static const struct option list_options[] = { REGISTRY_OPTION, { 0 } };

static const struct option show_options[] = {
    { "pem", OPTION_FLAG, NULL, "Prints the public half as PEM, for other tools." },
    { "passphrase-file", OPTION_TEXT, "FILE",
      "Its passphrase; else PAWL_PASSPHRASE_FILE, else a terminal is asked." },
    { 0 },
};

static void print_key(const struct invocation *in, const struct key *key, const char *path,
                      const char *did)
{
    char id[DIGEST_TEXT];
    const char *text = key_public_text(in->arena, key);
    json_t *document = json_pack("{s:s,s:s,s:s,s:s}", "pawl", "key/1", "file", path, "id",
                                 digest_text(&key->id, id), "key", text);
    if (!print_json(in, document)) {
        if (did) printf("%s '%s'\n", did, path);
        printf("  id   %s\n  key  %s\n", id, text);
    }
    json_decref(document);
}

static enum code run_new(struct invocation *in, struct err *err)
{
    const char *out;
    struct key key;
    char *passphrase = NULL;
    TRY(need_text(in, &out, "out", err));
    if (fs_exists(out)) return err_set(err, CONFLICT, "cannot write '%s': it exists already", out);
    TRY(secret_passphrase(in, &passphrase, arena_format(in->arena, "the new key '%s'", out), true,
                          err));
    enum code code = key_make(&key, err);
    if (!code) code = key_write_secret(&key, out, passphrase, err);
    if (!code && (!passphrase || !*passphrase) && !in->json)
        log_note("note: the key has no passphrase: whoever reads '%s' can sign as you", out);
    if (!code) print_key(in, &key, out, "wrote a secret key to");
    if (!code && !in->json) puts("Put the line `key` into a policy to give it a person and roles.");
    secret_wipe(passphrase);
    key_release(&key);
    return code;
}

/* Either half of a pair: the public one is what is shown. */
static enum code read_either(const struct invocation *in, struct key *key, const char *path,
                             struct err *err)
{
    struct bytes text;
    enum code code = fs_read(in->arena, &text, path, KEY_FILE_LIMIT, err);
    if (code == NOT_FOUND)
        return err_set(err, NOT_FOUND, "cannot open key '%s': no such file", path);
    if (code) return code;
    bool secret = memmem(text.at, text.len, "PRIVATE KEY", 11) != NULL;
    if (!secret) return key_read_public(key, text.at, text.len, path, err);
    key_wipe(&text);
    return secret_key_read(in, key, path, err);
}

static enum code run_show(struct invocation *in, struct err *err)
{
    struct key key;
    TRY(read_either(in, &key, in->args[0], err));
    if (given(in, "pem"))
        print_text(in, key_public_pem(in->arena, &key));
    else
        print_key(in, &key, in->args[0], NULL);
    key_release(&key);
    return OK;
}

static void keys_text(struct str *out, const json_t *keys)
{
    const json_t *rows = json_object_get(keys, "keys");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        str_addf(out, "%s  %-16s ", text_in(row, "id"), text_in(row, "person"));
        size_t r;
        json_t *role;
        json_array_foreach(json_object_get(row, "roles"), r, role)
            str_addf(out, "%s%s", r ? ", " : "", json_string_value(role));
        if (json_is_integer(json_object_get(row, "revoked")))
            str_addf(out, "  revoked from entry %lld", number_in(row, "revoked"));
        str_add(out, "\n");
    }
    if (!json_array_size(rows)) str_add(out, "no keys\n");
}

static enum code run_list(struct invocation *in, struct err *err)
{
    struct registry registry;
    json_t *keys = NULL;
    TRY(open_named(in, &registry, err));
    enum code code = registry_keys(&registry, &keys, err);
    if (!code) print_document(in, keys, keys_text);
    json_decref(keys);
    registry_close(&registry);
    return code;
}

const struct command key_commands[] = {
    { .name = "registry key list",
      .args = "",
      .least = 0,
      .most = 0,
      .help = "Lists the keys of the policy in force: persons, roles, revocations.",
      .example = "pawl registry key list --registry registry",
      .options = list_options,
      .run = run_list },
    { .name = "registry key new",
      .args = "--out FILE",
      .least = 0,
      .most = 0,
      .help = "Makes a key to sign with (ECDSA P-256) and prints its public half.",
      .example = "pawl registry key new --out ada.key",
      .options = new_options,
      .run = run_new },
    { .name = "registry key show",
      .args = "FILE",
      .least = 1,
      .most = 1,
      .help = "Prints the id and the public half of a key's file.",
      .example = "pawl registry key show ada.key --pem",
      .options = show_options,
      .run = run_show },
    { 0 },
};
