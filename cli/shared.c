/* What several commands share. */
#include "cli/shared.h"

#include "workflow/ref.h"

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
