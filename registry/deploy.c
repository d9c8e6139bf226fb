/* The order of a deployment: remember, write, verify, probe, swap, remember, clear away. */
#include "registry/deploy.h"

#include "base/str.h"
#include "registry/bundle.h"
#include "registry/checked.h"
#include "registry/commit.h"
#include "registry/hook.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { STATE_LIMIT = 1 << 20, LEFTOVER_AGE_S = 3600 };

struct deploying {
    struct arena arena;
    struct registry *registry;
    const char *ref, *dir, *device;
    enum deploy_layout layout;
    struct deployed *deployed;
    struct oci_version files;
    const char *path, *current; /* the bundle's path; what `current` points to, "" for nothing */
    json_t *state;              /* deploy/1, or NULL before the first deployment */
};

/* Where the link points: "" when there is none. */
static enum code read_current(struct arena *arena, const char **target, const char *dir,
                              struct err *err)
{
    char text[256];
    const char *path = path_join(arena, dir, "current");
    ssize_t len = readlink(path, text, sizeof text);
    *target = "";
    if (len < 0 && errno == ENOENT) return OK;
    if (len < 0 && errno != EINVAL) return err_errno(err, IO, errno, "cannot read '%s'", path);
    *target = len > 0 ? arena_copy_len(arena, text, (size_t)len) : "";
    if (len > 0 && (size_t)len < sizeof text && bundle_is_name(*target)) return OK;
    err_set(err, USAGE, "cannot deploy to '%s': 'current' is not a link to a bundle there", dir);
    err_hint(err, "Give a directory of its own for deployments.");
    return USAGE;
}

/* NULL state when nothing was deployed yet. */
static enum code read_state(json_t **state, const char *dir, struct err *err)
{
    struct arena arena = { 0 };
    struct bytes bytes;
    const char *path = path_join(&arena, dir, "state.json");
    *state = NULL;
    enum code code = fs_read_own(&arena, &bytes, path, STATE_LIMIT, err);
    if (!code) code = json_parse(state, bytes.at, bytes.len, path, err);
    if (!code && !checked_holds(&bytes, *state)) {
        code = err_set(err, DAMAGED, "'%s' is damaged: its bytes do not have the digest it states",
                       path);
        err_hint(err, "Remove it to forget which registry this place follows, then deploy again.");
    }
    if (code) {
        json_decref(*state);
        *state = NULL;
    }
    arena_release(&arena);
    return code == NOT_FOUND ? OK : code;
}

/* An old copy or a fork of the registry must not bring back what was replaced for a reason. */
static enum code check_lineage(const struct deploying *deploying, struct err *err)
{
    struct registry *registry = deploying->registry;
    struct digest id, digest;
    int64_t seq;
    char text[DIGEST_TEXT];
    struct entry entry;
    if (!deploying->state) return OK;
    TRY(json_get_digest(&id, deploying->state, "registry", "state.json", err));
    TRY(json_get_digest(&digest, deploying->state, "entry", "state.json", err));
    TRY(json_get_int(&seq, deploying->state, "seq", "state.json", err));
    if (!digest_equal(&id, &registry->id)) {
        err_set(err, REFUSED, "cannot deploy to '%s': it follows registry %s, not '%s'",
                deploying->dir, digest_text(&id, text), registry->dir);
        err_hint(err, "Use that registry, or remove state.json there to follow this one.");
        return REFUSED;
    }
    enum code code = journal_read(&registry->journal, &entry, seq, err);
    if (code == NOT_FOUND) {
        err_set(err, REFUSED,
                "cannot deploy from '%s': it is older than at the last deployment: entry %lld is "
                "missing",
                registry->dir, (long long)seq);
        err_hint(err,
                 "An old copy was restored, or entries were lost: see `pawl registry verify`.");
        return REFUSED;
    }
    if (code) return code;
    bool same = digest_equal(&entry.digest, &digest);
    entry_release(&entry);
    if (same) return OK;
    return err_set(err, DAMAGED,
                   "cannot deploy from '%s': its history was rewritten: entry %lld is not %s",
                   registry->dir, (long long)seq, digest_text(&digest, text));
}

/* A damaged bundle that nobody uses is written again; the one in use is not pulled away. */
static enum code replace_damaged(struct deploying *deploying, struct err *err)
{
    if (strcmp(deploying->current, deploying->deployed->bundle) == 0) {
        err_hint(err, "It is in use: deploy another version, then this one again.");
        return DAMAGED;
    }
    char temporary[1100];
    fs_temporary_name(temporary, sizeof temporary, deploying->path);
    TRY(fs_replace(deploying->path, temporary, err));
    fs_remove_tree(temporary, NULL);
    return bundle_write(deploying->path, deploying->registry, &deploying->deployed->version,
                        &deploying->files, err);
}

/* Makes sure that the bundle lies there complete and sound; *made says that it is new. */
static enum code place_bundle(struct deploying *deploying, bool *made, struct err *err)
{
    const struct resolved *version = &deploying->deployed->version;
    struct stat info;
    enum code code = fs_stat(deploying->path, &info, err);
    *made = code == NOT_FOUND;
    if (code && code != NOT_FOUND) return code;
    if (*made) {
        code = bundle_write(deploying->path, deploying->registry, version, &deploying->files, err);
        if (code != CONFLICT) return code;
        *made = false;
    }
    code = bundle_check(deploying->path, deploying->registry, version, &deploying->files, err);
    if (code != DAMAGED) return code;
    *made = true;
    return replace_damaged(deploying, err);
}

static enum code probe_bundle(struct deploying *deploying, bool made, struct err *err)
{
    struct golden_result result = { 0 };
    struct deployed *deployed = deploying->deployed;
    enum code code = bundle_probe(&result, deploying->path, &deployed->version, deploying->device,
                                  err);
    deployed->rows = result.rows;
    deployed->worst = result.worst;
    if (!code) return OK;
    if (code == HOPELESS) {
        char reason[320];
        snprintf(reason, sizeof reason, "%.319s", err ? err->message : "");
        err_set(err, HOPELESS, "probe of %s@%lld failed: %s", deployed->version.model,
                (long long)deployed->version.number, reason);
        err_hint(err, "'current' was not changed.");
    }
    if (made) fs_remove_tree(deploying->path, NULL);
    return code;
}

static json_t *bundle_row(const struct deploying *deploying)
{
    const struct resolved *version = &deploying->deployed->version;
    char time[TIME_TEXT];
    json_t *row = json_pack("{ss ss sI ss ss}", "bundle", deploying->deployed->bundle, "model",
                            version->model, "number", (json_int_t)version->number, "ref",
                            deploying->ref, "time", clock_utc(time));
    json_set_digest(row, "digest", &version->digest);
    json_set_digest(row, "model_digest", &version->model_digest);
    return row;
}

/* The bundles in the order of their last deployment, this one first. */
static json_t *bundle_rows(const struct deploying *deploying)
{
    json_t *rows = json_array(), *row;
    json_t *before = json_object_get(deploying->state, "bundles");
    size_t i;
    json_array_append_new(rows, bundle_row(deploying));
    json_array_foreach(before, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "bundle"));
        if (!name || strcmp(name, deploying->deployed->bundle) == 0) {
            /* unchanged: the time of its swap stays */
            if (name && i == 0 && deploying->deployed->unchanged) json_array_set(rows, 0, row);
            continue;
        }
        if (json_array_size(rows) < DEPLOY_KEEP) json_array_append(rows, row);
    }
    return rows;
}

static enum code write_state(struct deploying *deploying, struct err *err)
{
    const struct registry *registry = deploying->registry;
    json_t *state = json_pack("{ss so sI ss}", "pawl", "deploy/1", "bundles",
                              bundle_rows(deploying), "seq", (json_int_t)registry->state.head.seq,
                              "version", PAWL_VERSION);
    json_set_digest(state, "registry", &registry->id);
    json_set_digest(state, "entry", &registry->state.head.digest);
    struct bytes bytes = checked_render(&deploying->arena, state);
    json_decref(deploying->state);
    deploying->state = state;
    return fs_publish(path_join(&deploying->arena, deploying->dir, "state.json"), bytes.at,
                      bytes.len, err);
}

static bool kept(const struct deploying *deploying, const char *name)
{
    size_t i;
    json_t *row;
    if (strcmp(name, deploying->current) == 0) return true;
    json_array_foreach(json_object_get(deploying->state, "bundles"), i, row)
    {
        const char *bundle = json_string_value(json_object_get(row, "bundle"));
        if (bundle && strcmp(bundle, name) == 0) return true;
    }
    return false;
}

/* What an interrupted deployment left, once nobody can be at work on it any more. */
static bool leftover(struct deploying *deploying, const char *name)
{
    struct stat info;
    if (!fs_is_temporary(name)) return false;
    return fs_stat(path_join(&deploying->arena, deploying->dir, name), &info, NULL) == OK &&
           clock_wall() - (double)info.st_mtime > LEFTOVER_AGE_S;
}

/* A bundle loses its name before its files, so that nobody opens half of one. Failing to clear away
 * is no failure: the next deployment tries again. */
static void clear_away(struct deploying *deploying)
{
    char **names, temporary[1100];
    size_t count;
    if (read_current(&deploying->arena, &deploying->current, deploying->dir, NULL)) return;
    if (fs_list(&deploying->arena, &names, &count, deploying->dir, NULL)) return;
    for (size_t i = 0; i < count; i++) {
        const char *path = path_join(&deploying->arena, deploying->dir, names[i]);
        if (leftover(deploying, names[i])) fs_remove_tree(path, NULL);
        if (!bundle_is_name(names[i]) || kept(deploying, names[i])) continue;
        fs_temporary_name(temporary, sizeof temporary, path);
        if (fs_replace(path, temporary, NULL) == OK) fs_remove_tree(temporary, NULL);
    }
}

static enum code prepare(struct deploying *deploying, struct err *err)
{
    struct registry *registry = deploying->registry;
    struct deployed *deployed = deploying->deployed;
    TRY(read_state(&deploying->state, deploying->dir, err));
    TRY(check_lineage(deploying, err));
    TRY(registry_refresh(registry, err));
    TRY(registry_resolve(registry, &deployed->version, deploying->ref, err));
    TRY(oci_read(registry, &deploying->files, &deployed->version.digest, err));
    TRY(fs_mkdirs(deploying->dir, err));
    TRY(read_current(&deploying->arena, &deploying->current, deploying->dir, err));
    const char *name = bundle_name(&deploying->arena, deploying->layout, &deployed->version.digest);
    snprintf(deployed->bundle, sizeof deployed->bundle, "%s", name);
    deployed->unchanged = strcmp(deploying->current, name) == 0;
    deploying->path = path_join(&deploying->arena, deploying->dir, name);
    return OK;
}

/* Whether state.json says that the bundle in use was deployed to its end. */
static bool confirmed(const struct deploying *deploying)
{
    const json_t *newest = json_array_get(json_object_get(deploying->state, "bundles"), 0);
    const char *name = json_string_value(json_object_get(newest, "bundle"));
    return name && strcmp(name, deploying->deployed->bundle) == 0;
}

/* What `current` goes back to: what it held, or, when an interrupted call had swapped already, what
 * was confirmed last. "" where there was nothing. */
static const char *before_swap(const struct deploying *deploying)
{
    if (strcmp(deploying->current, deploying->deployed->bundle) != 0) return deploying->current;
    const json_t *newest = json_array_get(json_object_get(deploying->state, "bundles"), 0);
    const char *name = json_string_value(json_object_get(newest, "bundle"));
    return name && bundle_is_name(name) ? name : "";
}

static enum code ask_server(struct deploying *deploying, const struct deploy_opts *opts,
                            struct err *err)
{
    enum { TIMEOUT_S = 60 };
    char reason[320];
    struct arena *arena = &deploying->arena;
    const char *args[] = { "/bin/sh", "-c", opts->probe, "probe", deploying->path, NULL };
    struct command_run run = { .args = args,
                               .environment = opts->environment,
                               .timeout_s = opts->timeout_s ? opts->timeout_s : TIMEOUT_S };
    enum code code = command_run(&run, err);
    if (!code) return OK;
    snprintf(reason, sizeof reason, "%.319s", err ? err->message : "");
    const char *link = path_join(arena, deploying->dir, "current");
    const char *before = before_swap(deploying);
    TRY(*before ? fs_publish_link(before, link, err) : fs_remove(link, err));
    const struct resolved *version = &deploying->deployed->version;
    err_set(err, HOPELESS, "probe of %s@%lld failed: %s", version->model,
            (long long)version->number, reason);
    err_hint(err, *before ? "'current' is again what it was." : "'current' is gone again.");
    return HOPELESS;
}

enum code registry_deploy(struct registry *registry, struct deployed *deployed, const char *ref,
                          const char *dir, const char *device, struct err *err)
{
    const struct deploy_opts opts = { .ref = ref, .dir = dir, .device = device };
    return registry_deploy_probed(registry, deployed, &opts, err);
}

enum code registry_deploy_probed(struct registry *registry, struct deployed *deployed,
                                 const struct deploy_opts *opts, struct err *err)
{
    struct deploying deploying = { .registry = registry,
                                   .ref = opts->ref,
                                   .dir = opts->dir,
                                   .device = opts->device,
                                   .layout = opts->layout,
                                   .deployed = deployed };
    bool made;
    memset(deployed, 0, sizeof *deployed);
    enum code code = prepare(&deploying, err);
    if (code) goto out;
    if ((code = place_bundle(&deploying, &made, err))) goto out;
    if (opts->probe && !confirmed(&deploying)) deployed->unchanged = false;
    if (!deployed->unchanged) {
        if ((code = probe_bundle(&deploying, made, err))) goto out;
        code = fs_publish_link(deployed->bundle, path_join(&deploying.arena, opts->dir, "current"),
                               err);
        if (code) goto out;
        if (opts->probe && (code = ask_server(&deploying, opts, err))) goto out;
    }
    if ((code = write_state(&deploying, err))) goto out;
    clear_away(&deploying);
out:
    json_decref(deploying.state);
    arena_release(&deploying.arena);
    return code;
}

enum code deploy_status(const char *dir, json_t **status, struct err *err)
{
    struct arena arena = { 0 };
    const char *current;
    json_t *state = NULL, *bundle = NULL;
    *status = NULL;
    enum code code = read_current(&arena, &current, dir, err);
    if (code) goto out;
    if (!*current) {
        code = err_set(err, NOT_FOUND, "nothing is deployed in '%s'", dir);
        goto out;
    }
    if ((code = read_state(&state, dir, err))) goto out;
    if ((code = bundle_check_alone(&bundle, path_join(&arena, dir, current), err))) goto out;
    *status = json_pack("{ss sO sO? sO? sO?}", "pawl", "status/1", "current", bundle, "registry",
                        json_object_get(state, "registry"), "seq", json_object_get(state, "seq"),
                        "bundles", json_object_get(state, "bundles"));
out:
    json_decref(state);
    json_decref(bundle);
    arena_release(&arena);
    return code;
}
