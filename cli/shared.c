/* What several commands share. */
#include "cli/shared.h"

#include "base/log.h"
#include "base/utf8.h"
#include "workflow/ref.h"

#include <stdio.h>
#include <string.h>

const char *registry_dir(const struct invocation *in, const char *experiment)
{
    const char *dir = text_of(in, "registry");
    if (!dir) dir = variable(in, "PAWL_REGISTRY");
    return dir && *dir ? dir : experiment;
}

enum code need_registry(const struct invocation *in, const char **dir, struct err *err)
{
    *dir = registry_dir(in, NULL);
    if (*dir) return OK;
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

enum code open_named(const struct invocation *in, struct registry *registry, struct err *err)
{
    const char *dir;
    TRY(need_registry(in, &dir, err));
    TRY(registry_open(registry, dir, err));
    say_open(in, registry->open);
    return OK;
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
