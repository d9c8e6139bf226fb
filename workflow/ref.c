/* Paths and versions behind one name. */
#include "workflow/ref.h"

#include "registry/weights.h"
#include "trainer/run.h"

#include <stdio.h>
#include <string.h>

static enum code open_path(struct ref *ref, const char *text, struct err *err)
{
    struct arena *arena = &ref->arena;
    if (!fs_is_dir(text)) {
        err_set(err, NOT_FOUND, "cannot find model '%s': no such directory", text);
        return err_hint(err, "Name a run, a checkpoint or a bundle by its path, or a version as "
                             "NAME@7 or NAME@CHANNEL.");
    }
    bool run = fs_exists(path_join(arena, text, "incarnations"));
    if (run) return run_best(arena, &ref->path, text, err);
    ref->path = arena_copy(arena, text);
    if (fs_exists(path_join(arena, text, "model.json"))) return OK;
    return err_set(err, NOT_FOUND,
                   "cannot use '%s' as a model: no run, checkpoint or bundle is there", text);
}

static enum code open_version(struct ref *ref, const char *text, const char *registry,
                              struct err *err)
{
    ref->in_registry = true;
    if (!registry) {
        err_set(err, USAGE, "cannot resolve '%s': no registry is named", text);
        return err_hint(err, "Say --registry DIR, set PAWL_REGISTRY, or give registry.path in the "
                             "experiment.");
    }
    TRY(registry_open(&ref->registry, registry, err));
    return registry_resolve(&ref->registry, &ref->version, text, err);
}

enum code ref_open_model(struct ref *ref, const char *digest, const char *registry, struct err *err)
{
    struct digest wanted;
    memset(ref, 0, sizeof *ref);
    ref->text = arena_copy(&ref->arena, digest);
    ref->in_registry = true;
    enum code code = OK;
    if (!digest_parse(&wanted, digest))
        code = err_set(err, USAGE, "'%s' is no digest", digest);
    else if (!registry)
        code = err_set(err, USAGE, "cannot find model %.19s...: no registry is named", digest);
    if (!code) code = registry_open(&ref->registry, registry, err);
    if (!code) code = registry_refresh(&ref->registry, err);
    if (!code) {
        const struct state *state = &ref->registry.state;
        const char *name = NULL;
        for (size_t m = 0; m < state->model_count && !name; m++) {
            const struct version *version = model_version_by_weights(&state->models[m], &wanted);
            if (version)
                name = arena_format(&ref->arena, "%s@%lld", state->models[m].name,
                                    (long long)version->number);
        }
        code = name ? registry_resolve(&ref->registry, &ref->version, name, err)
                    : err_set(err, NOT_FOUND, "no version in '%s' has the model digest %.19s...",
                              registry, digest);
    }
    if (code) ref_close(ref);
    return code;
}

enum code ref_open(struct ref *ref, const char *text, const char *registry, struct err *err)
{
    memset(ref, 0, sizeof *ref);
    ref->text = arena_copy(&ref->arena, text);
    enum code code = ref_is_registry(text) ? open_version(ref, text, registry, err)
                                           : open_path(ref, text, err);
    if (code) ref_close(ref);
    return code;
}

void ref_close(struct ref *ref)
{
    registry_close(&ref->registry);
    arena_release(&ref->arena);
    memset(ref, 0, sizeof *ref);
}

bool ref_is_empty_channel(const char *text, const char *registry_dir)
{
    struct registry registry;
    char name[NAME_LIMIT + 1];
    const char *at = strchr(text, '@');
    if (!at || at - text > NAME_LIMIT || !registry_dir) return false;
    snprintf(name, sizeof name, "%.*s", (int)(at - text), text);
    if (registry_open(&registry, registry_dir, NULL)) return false;
    bool empty = false;
    if (registry_refresh(&registry, NULL) == OK) {
        const struct model_line *model = state_model(&registry.state, name);
        empty = model && name_check_channel(at + 1, NULL) == OK && !model_channel(model, at + 1);
    }
    registry_close(&registry);
    return empty;
}

enum code ref_load(struct ref *ref, struct weights *weights, bool raw, struct err *err)
{
    if (ref->in_registry)
        TRY(registry_weights(&ref->registry, weights, &ref->version, err));
    else
        TRY(weights_load(weights, ref->path, raw, err));
    ref->model_digest = weights->digest;
    if (!raw || weights->variant == WEIGHTS_RAW) return OK;
    weights_release(weights);
    err_set(err, USAGE, "'%s' holds the averaged weights alone", ref->text);
    return err_hint(err, "Name the run or its checkpoint for --weights raw.");
}

const char *ref_name(const struct ref *ref, char *text, size_t size)
{
    if (ref->in_registry)
        snprintf(text, size, "%s@%lld", ref->version.model, (long long)ref->version.number);
    else
        snprintf(text, size, "%s", ref->path);
    return text;
}
