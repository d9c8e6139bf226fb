/* Operations under the recorder, and the questions asked of every state. */
#include "tests/registry/tools/drill.h"

#include "registry/export.h"
#include "registry/gc.h"
#include "registry/repair.h"
#include "tests/registry/tools/crash_model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One operation on the registry in WORK/registry; whether its effect is there. */
struct operation {
    const char *name;
    enum code (*run)(struct registry *registry, const char *work, struct err *err);
    bool (*effect)(struct registry *registry, const char *work);
    bool moves_on;  /* doing it again would do more */
    bool may_lapse; /* a power cut may undo it without harm */
};

static char *in(struct arena *arena, const char *work, const char *name)
{
    return path_join(arena, work, name);
}

static enum code run_add(struct registry *registry, const char *work, struct err *err)
{
    struct added added;
    return support_add(registry, &added, work, "new", 50, err);
}

static bool effect_add(struct registry *registry, const char *work)
{
    (void)work;
    return state_model(&registry->state, "new") != NULL;
}

static enum code run_report(struct registry *registry, const char *work, struct err *err)
{
    return support_report(registry, NULL, work, "fashion", 1, "second", "pass", err);
}

static bool effect_report(struct registry *registry, const char *work)
{
    (void)work;
    const struct digest suite = digest_of("second", 6);
    const struct model_line *model = state_model(&registry->state, "fashion");
    return state_report(&registry->state, &model->versions[0].model_digest, &suite) != NULL;
}

static enum code run_promote(struct registry *registry, const char *work, struct err *err)
{
    struct moved moved;
    (void)work;
    return support_promote(registry, &moved, "fashion", 1, "production", err);
}

static enum code run_rollback(struct registry *registry, const char *work, struct err *err)
{
    struct moved moved;
    (void)work;
    struct move_opts back = { .model = "fashion",
                              .channel = "production",
                              .from = CHANNEL_ANY,
                              .actor = "a",
                              .reason = "r" };
    return registry_rollback(registry, &moved, &back, err);
}

static bool effect_moved(struct registry *registry, const char *work)
{
    (void)work;
    const struct model_line *model = state_model(&registry->state, "fashion");
    return channel_now(model_channel(model, "production"))->number == 1;
}

static enum code run_gc(struct registry *registry, const char *work, struct err *err)
{
    json_t *result = NULL;
    (void)work;
    struct gc_opts opts = { .grace_s = 3600 };
    enum code code = registry_gc(registry, &result, &opts, err);
    json_decref(result);
    return code;
}

static bool effect_gc(struct registry *registry, const char *work)
{
    struct arena arena = { 0 };
    const struct digest stray = digest_of("stray", 5);
    (void)work;
    bool gone = !fs_exists(store_path(&arena, &registry->store, &stray));
    arena_release(&arena);
    return gone;
}

static const char *const exported_refs[] = { "fashion@1", "fashion@2", NULL };

static enum code run_export(struct registry *registry, const char *work, struct err *err)
{
    struct arena arena = { 0 };
    struct exported exported;
    enum code code = registry_export(registry, &exported, in(&arena, work, "out.tar"),
                                     exported_refs, err);
    arena_release(&arena);
    return code;
}

/* Where the file is there it is the whole one. */
static bool effect_export(struct registry *registry, const char *work)
{
    struct arena arena = { 0 };
    struct digest want, got;
    (void)registry;
    bool there = fs_exists(in(&arena, work, "out.tar"));
    if (there) {
        REQUIRE(fs_digest(in(&arena, work, "want.tar"), &want, NULL, NULL) == OK);
        there = fs_digest(in(&arena, work, "out.tar"), &got, NULL, NULL) == OK;
        if (!there || !digest_equal(&got, &want)) printf("WRONG: half of a bundle is visible\n");
    }
    arena_release(&arena);
    return there;
}

static enum code run_import(struct registry *registry, const char *work, struct err *err)
{
    struct arena arena = { 0 };
    json_t *result = NULL;
    struct import_opts opts = {
        .path = in(&arena, work, "want.tar"), .as = "copied", .actor = "a", .reason = "r"
    };
    enum code code = registry_import(registry, &result, &opts, err);
    json_decref(result);
    arena_release(&arena);
    return code;
}

static bool effect_import(struct registry *registry, const char *work)
{
    (void)work;
    const struct model_line *model = state_model(&registry->state, "copied");
    return model && model->version_count == 2;
}

static enum code run_deploy(struct registry *registry, const char *work, struct err *err)
{
    struct arena arena = { 0 };
    struct deployed deployed;
    enum code code = registry_deploy(registry, &deployed, "fashion@2", in(&arena, work, "deploy"),
                                     NULL, err);
    arena_release(&arena);
    return code;
}

/* The old or the new one is in place, whole, at every moment. */
static bool effect_deploy(struct registry *registry, const char *work)
{
    struct arena arena = { 0 };
    struct err err;
    json_t *status = NULL;
    (void)registry;
    enum code code = deploy_status(in(&arena, work, "deploy"), &status, &err);
    if (code) printf("WRONG: nothing whole is deployed: %s\n", err.message);
    json_t *number = json_object_get(json_object_get(status, "current"), "number");
    bool there = json_integer_value(number) == 2;
    json_decref(status);
    arena_release(&arena);
    return there;
}

static enum code run_repair(struct registry *registry, const char *work, struct err *err)
{
    json_t *result = NULL;
    (void)work;
    struct repair_opts opts = { .actor = "a", .reason = "r" };
    enum code code = registry_repair(registry->dir, &result, &opts, err);
    json_decref(result);
    return code;
}

static bool effect_repair(struct registry *registry, const char *work)
{
    struct arena arena = { 0 };
    (void)work;
    bool there = fs_exists(in(&arena, registry->dir, "cache/channels.json"));
    arena_release(&arena);
    return there;
}

static const struct operation operations[] = {
    { .name = "add", .run = run_add, .effect = effect_add },
    { .name = "report", .run = run_report, .effect = effect_report },
    { .name = "promote", .run = run_promote, .effect = effect_moved },
    { .name = "rollback", .run = run_rollback, .effect = effect_moved, .moves_on = true },
    { .name = "gc",
      .run = run_gc,
      .effect = effect_gc,
      .may_lapse = true }, /* what was removed may come back */
    { .name = "export", .run = run_export, .effect = effect_export },
    { .name = "import", .run = run_import, .effect = effect_import },
    { .name = "deploy", .run = run_deploy, .effect = effect_deploy },
    { .name = "repair",
      .run = run_repair,
      .effect = effect_repair,
      .may_lapse = true }, /* views are not fsynced */
};

static void must(enum code code, const struct err *err)
{
    if (!code) return;
    fprintf(stderr, "drill: %s\n", err->message);
    exit(1);
}

/* Opens WORK/registry, runs, closes. */
static enum code run_on(const struct operation *operation, const char *work, struct err *err)
{
    struct registry registry;
    struct arena arena = { 0 };
    enum code code = registry_open(&registry, in(&arena, work, "registry"), err);
    if (!code) code = operation->run(&registry, work, err);
    if (!code || registry.dir[0]) registry_close(&registry);
    arena_release(&arena);
    return code;
}

/* What every operation begins with: three versions, production held 1 and then 2, fashion@1
 * deployed, stray old content, a bundle to compare with; `before` is the head. */
static void make_fixture(const char *work, const struct operation *operation, struct head *before)
{
    struct arena arena = { 0 };
    struct registry registry;
    struct added added;
    struct moved moved;
    struct deployed deployed;
    struct exported exported;
    struct digest stray;
    struct err err;
    const char *path = in(&arena, work, "registry");
    fs_calls.fsync = support_no_fsync;
    must(fs_mkdirs(work, &err), &err);
    must(registry_init(path, "founder", "to drill", &err), &err);
    must(registry_open(&registry, path, &err), &err);
    for (int i = 1; i <= 3; i++) {
        must(support_add(&registry, &added, work, "fashion", i, &err), &err);
        must(support_report(&registry, NULL, work, "fashion", i, "suite", "pass", &err), &err);
    }
    for (int i = 1; i <= 2; i++)
        must(support_promote(&registry, &moved, "fashion", i, "production", &err), &err);
    must(registry_deploy(&registry, &deployed, "fashion@1", in(&arena, work, "deploy"), NULL, &err),
         &err);
    must(registry_export(&registry, &exported, in(&arena, work, "want.tar"), exported_refs, &err),
         &err);
    must(support_checkpoint(in(&arena, work, "checkpoints/seed-50"), 50, &err), &err);
    must(store_put(&registry.store, &stray, "stray", 5, &err), &err);
    struct timespec old[2] = { { .tv_sec = time(NULL) - 7200 }, { .tv_sec = time(NULL) - 7200 } };
    utimensat(AT_FDCWD, store_path(&arena, &registry.store, &stray), old, 0);
    utimensat(AT_FDCWD, store_hold_path(&arena, &registry.store, &stray), old, 0);
    *before = registry.state.head;
    registry_close(&registry);
    if (operation->run == run_repair)
        must(fs_remove(in(&arena, path, "cache/channels.json"), &err), &err);
    fs_calls = fs_calls_real;
    arena_release(&arena);
}

struct tally {
    int states, wrong, redone;
    bool quiet;
};

static void wrong(struct tally *tally, const char *name, size_t calls, unsigned variant,
                  const char *what)
{
    if (!tally->quiet)
        printf("WRONG: %s after %zu calls, variant %u: %s\n", name, calls, variant, what);
    tally->wrong++;
}

/* Whether the effect is there for a process that knows nothing yet. */
static bool look(const struct operation *operation, const char *state)
{
    struct registry fresh;
    struct arena arena = { 0 };
    struct err err;
    must(registry_open(&fresh, in(&arena, state, "registry"), &err), &err);
    must(registry_refresh(&fresh, &err), &err);
    bool effect = operation->effect(&fresh, state);
    registry_close(&fresh);
    arena_release(&arena);
    return effect;
}

static bool sound(const char *state, const struct head *before, struct err *err)
{
    struct arena arena = { 0 };
    json_t *result = NULL;
    struct verify_opts opts = { .seq = before->seq, .digest = before->digest };
    enum code code = registry_verify(in(&arena, state, "registry"), &result, &opts, err);
    json_decref(result);
    arena_release(&arena);
    return code == OK;
}

static void check_state(struct tally *tally, const struct operation *operation, const char *state,
                        const struct head *before, const struct crash_record *record, size_t calls,
                        unsigned variant)
{
    struct err err;
    tally->states++;
    if (!sound(state, before, &err)) {
        wrong(tally, operation->name, calls, variant, err.message);
        return;
    }
    bool effect = look(operation, state);
    if (calls == record->call_count && !effect && !operation->may_lapse)
        wrong(tally, operation->name, calls, variant, "acknowledged, but not there");
    if ((calls + variant) % 4 || (operation->moves_on && effect)) return;
    tally->redone++;
    fs_calls.fsync = support_no_fsync;
    enum code code = run_on(operation, state, &err);
    fs_calls = fs_calls_real;
    if (code)
        wrong(tally, operation->name, calls, variant, err.message);
    else if (!look(operation, state))
        wrong(tally, operation->name, calls, variant, "done again, but not there");
    else if (!sound(state, before, &err))
        wrong(tally, operation->name, calls, variant, err.message);
}

static int drill_operation(const char *work, const struct operation *operation, int variants,
                           int step, uint64_t seed, bool forgetful)
{
    struct arena arena = { 0 };
    struct crash_record record;
    struct head before;
    struct tally tally = { .quiet = forgetful };
    struct err err;
    const char *live = in(&arena, work, "live"), *state = in(&arena, work, "state");
    make_fixture(live, operation, &before);
    crash_begin(&record, live);
    enum code code = run_on(operation, live, &err);
    crash_end(&record);
    must(code, &err);
    REQUIRE(crash_agrees(&record, state));
    if (forgetful) crash_forget_syncs(&record);
    for (size_t calls = 0; calls <= record.call_count; calls++) {
        bool last = calls == record.call_count;
        if (calls % (size_t)step && !last) continue;
        for (unsigned variant = 0; variant < (unsigned)variants; variant++) {
            crash_make(&record, calls, variant, seed, state);
            check_state(&tally, operation, state, &before, &record, calls, variant);
        }
    }
    printf("%-10s %5zu calls %7d states %6d done again %4d wrong\n", operation->name,
           record.call_count, tally.states, tally.redone, tally.wrong);
    fflush(stdout);
    fs_remove_tree(live, NULL);
    fs_remove_tree(state, NULL);
    crash_release(&record);
    arena_release(&arena);
    return tally.wrong;
}

int drill_crashes(const char *work, int variants, int step, uint64_t seed, bool forgetful)
{
    int found = 0;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const struct operation *operation = &operations[i];
        bool fits = operation->run == run_add || operation->run == run_promote;
        if (forgetful && !fits) continue; /* whole states of these are enough to see it */
        found += drill_operation(work, operation, variants, step, seed + i, forgetful);
    }
    return found;
}
