/* What several commands share. */
#include "cli/shared.h"

#include "base/log.h"
#include "base/utf8.h"
#include "cli/secret.h"
#include "registry/commit.h"
#include "workflow/ref.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *registry_dir(const struct invocation *in, const char *experiment)
{
    const char *dir = text_of(in, "registry");
    if (!dir) dir = variable(in, "PAWL_REGISTRY");
    return dir && *dir ? dir : experiment;
}

/* The id that --registry-id or PAWL_REGISTRY_ID asks for. */
static enum code check_pin(const struct invocation *in, const struct registry *registry,
                           struct err *err)
{
    struct digest id;
    const char *text = text_of(in, "registry-id");
    if (!text) text = variable(in, "PAWL_REGISTRY_ID");
    if (!text || !*text) return OK;
    if (!digest_parse(&id, text))
        return err_set(err, USAGE, "the id of a registry is sha256:..., not '%s'", text);
    return registry_pin(registry, &id, err);
}

/* What is damaged has no id that could be checked: that is for the command itself to tell. */
static enum code check_pin_of(const struct invocation *in, const char *dir, struct err *err)
{
    struct registry registry;
    if (registry_open(&registry, dir, NULL)) return OK;
    enum code code = check_pin(in, &registry, err);
    registry_close(&registry);
    return code;
}

enum code need_registry(const struct invocation *in, const char **dir, struct err *err)
{
    *dir = registry_dir(in, NULL);
    if (*dir) return check_pin_of(in, *dir, err);
    err_set(err, USAGE, "`pawl %s` needs a registry", in->command->name);
    return err_hint(err, "Say --registry DIR or set PAWL_REGISTRY; `pawl registry init DIR` makes "
                         "one.");
}

void print_document(const struct invocation *in, json_t *document,
                    void (*make)(struct str *out, const json_t *document))
{
    struct str text = { 0 };
    if (print_json(in, document)) return;
    make(&text, document);
    if (text.at) utf8_make_printable(text.at); /* names and reasons are other people's */
    fputs(str_text(&text), stdout);
    str_release(&text);
}

void say_open(const struct invocation *in, bool open)
{
    if (open && !in->json) log_note("note: integrity only: this registry has no keys");
}

/* Opens, and knows then whether it has keys. */
static enum code open_dir(const struct invocation *in, struct registry *registry, const char *dir,
                          struct err *err)
{
    TRY(registry_open(registry, dir, err));
    enum code code = check_pin(in, registry, err);
    if (!code && registry->open && registry_marked_closed(registry))
        code = registry_refresh(registry, err);
    if (code) registry_close(registry);
    return code;
}

enum code open_named(const struct invocation *in, struct registry *registry, struct err *err)
{
    const char *dir;
    TRY(need_registry(in, &dir, err));
    TRY(open_dir(in, registry, dir, err));
    say_open(in, registry->open);
    return OK;
}

static enum code read_key(const struct invocation *in, struct key *key, bool open, struct err *err)
{
    memset(key, 0, sizeof *key);
    if (!open) return secret_key(in, key, err);
    if (!given(in, "key")) return OK;
    err_set(err, USAGE, "option '--key' does not apply: the registry has no keys");
    return err_hint(err, "`pawl registry policy set FILE` gives it keys and roles.");
}

enum code open_signing(struct invocation *in, struct registry *registry, struct key *key,
                       struct err *err)
{
    TRY(open_named(in, registry, err));
    enum code code = read_key(in, key, registry->open, err);
    if (code)
        registry_close(registry);
    else
        registry->key = key->pkey ? key : NULL;
    return code;
}

enum code check_registry(const struct invocation *in, struct key *key, const char *dir,
                         struct err *err)
{
    struct registry registry;
    if (key) memset(key, 0, sizeof *key);
    if (!dir) return OK;
    TRY(open_dir(in, &registry, dir, err));
    enum code code = key ? read_key(in, key, registry.open, err) : OK;
    registry_close(&registry);
    return code;
}

enum code read_version(const char *text, const char *model, int64_t *number, struct err *err)
{
    size_t len = strlen(model), digits;
    if (strncmp(text, model, len) == 0 && text[len] == '@') {
        const char *tail = text + len + 1;
        digits = strspn(tail, "0123456789");
        *number = strtoll(tail, NULL, 10);
        if (digits && digits <= 18 && !tail[digits] && *number > 0) return OK;
    }
    return err_set(err, USAGE, "'%s' is not a version of %s: write %s@N", text, model, model);
}

enum code read_from(const struct invocation *in, const char *model, int64_t *number,
                    struct err *err)
{
    const char *text = text_of(in, "from");
    *number = text ? CHANNEL_NONE : CHANNEL_ANY;
    if (!text || strcmp(text, "none") == 0) return OK;
    return read_version(text, model, number, err);
}

enum code load_experiment(struct invocation *in, struct document *document,
                          struct experiment *experiment, const char *path, struct err *err)
{
    const struct kind *const kinds[] = { &experiment_kind, NULL };
    TRY(load_document(in, document, path, kinds, err));
    return experiment_read(experiment, in->arena, document, err);
}

const char *short_digest(struct arena *arena, const char *digest)
{
    return strlen(digest) > 19 ? arena_copy_len(arena, digest, 19) : digest;
}

enum code load_warm_start(const struct invocation *in, const struct experiment *experiment,
                          struct weights *weights, struct err *err)
{
    struct ref ref;
    if (!experiment->init) return OK;
    TRY(ref_open(&ref, experiment->init, registry_dir(in, experiment->registry), err));
    enum code code = ref_load(&ref, weights, false, err);
    ref_close(&ref);
    return code;
}
