/* Work on a registry as a process of its own: races, and operations that end in the middle.
 *
 * tool make WORK                   makes a registry with two versions, a report and a channel, and
 *                                  prints the versions' digests
 * tool sign WORK                   makes a registry whose key signs, with a version and reports;
 *                                  its documents go to WORK/evidence, the key to WORK/key.pem
 * tool race WORK ROUNDS SEED       promotes versions of fashion in turn, stating what it saw
 * tool add WORK SEED COUNT         adds COUNT checkpoints to fashion
 * tool swap WORK COUNT             deploys fashion@1 and fashion@2 in turn to WORK/deploy
 * tool collect WORK ROUNDS 0        collects ROUNDS times
 * tool crashes WORK VARIANTS STEP SEED   crash states of every operation (drill.h)
 * tool forgetful WORK VARIANTS STEP SEED   the same without fsync: must find wrong ones
 * tool damage WORK STEP FLIPS SEED flipped bits and cuts that verify must notice (drill.h)
 * tool races WORK RACES SEED       races of 2 to 64 promoters (drill.h)
 * tool kill WORK OP FAULT AT       runs one operation under a fault (shared_faults.h)
 *
 * WORK is a folder of shared_support.h. Each acknowledged change prints its number on a line. */
#include "registry/gc.h"
#include "tests/registry/shared_evidence.h"
#include "tests/registry/shared_faults.h"
#include "tests/registry/shared_support.h"
#include "tests/registry/tools/drill.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    struct registry registry;
    struct err err;
    struct arena arena;
    const char *work;
    char **rest;
};

static enum code make(struct job *job)
{
    struct added added;
    struct moved moved;
    char text[DIGEST_TEXT];
    const char *path = path_join(&job->arena, job->work, "registry");
    TRY(registry_init(path, "founder", "to test", &job->err));
    TRY(registry_open(&job->registry, path, &job->err));
    for (int seed = 1; seed <= 2; seed++) {
        TRY(support_add(&job->registry, &added, job->work, "fashion", seed, &job->err));
        printf("%s\n", digest_text(&added.digest, text));
    }
    TRY(support_report(&job->registry, NULL, job->work, "fashion", 2, "suite", "pass", &job->err));
    return support_promote(&job->registry, &moved, "fashion", 2, "production", &job->err);
}

static enum code sign(struct job *job)
{
    struct added added;
    struct key key;
    struct registry *registry = &job->registry;
    struct err *err = &job->err;
    const char *path = path_join(&job->arena, job->work, "registry");
    TRY(registry_init(path, "founder", "to test", err));
    TRY(registry_open(registry, path, err));
    TRY(key_make(&key, err));
    const char *pem = key_public_pem(&job->arena, &key);
    registry->key = &key;
    enum code code = evidence_add(registry, &added, job->work, "fashion", 2, err);
    if (!code)
        code = evidence_report(registry, job->work, "fashion", 1, "first", "pass", 0.75, err);
    if (!code)
        code = evidence_report(registry, job->work, "fashion", 1, "second", "fail", 0.5, err);
    if (!code) code = registry_refresh(registry, err);
    if (!code)
        code = documents_export(registry, &added.digest,
                                &state_model(&registry->state, "fashion")->versions[0].evidence,
                                path_join(&job->arena, job->work, "evidence"), true, err);
    if (!code)
        code = fs_publish(path_join(&job->arena, job->work, "key.pem"), pem, strlen(pem), err);
    registry->key = NULL;
    key_release(&key);
    return code;
}

static enum code race(struct job *job)
{
    int rounds = (int)strtol(job->rest[0], NULL, 10);
    uint64_t seed = strtoull(job->rest[1], NULL, 10);
    for (int i = 0; i < rounds; i++) {
        struct resolved seen;
        struct moved moved;
        enum code code = registry_resolve(&job->registry, &seen, "fashion@production", &job->err);
        if (code && code != NOT_FOUND) return code;
        int64_t held = code ? 0 : seen.number;
        int64_t next = 1 + (held + philox4x32(seed, (uint64_t)i, 0).word[0] % 2) % 3;
        struct move_opts opts = { .model = "fashion",
                                  .channel = "production",
                                  .number = next,
                                  .from = held,
                                  .actor = job->rest[1],
                                  .reason = "race" };
        code = registry_promote(&job->registry, &moved, &opts, &job->err);
        if (code && code != CONFLICT) return code;
        if (!code) printf("%lld\n", (long long)moved.seq);
    }
    return OK;
}

static enum code add(struct job *job)
{
    int seed = (int)strtol(job->rest[0], NULL, 10), count = (int)strtol(job->rest[1], NULL, 10);
    for (int i = 0; i < count; i++) {
        struct added added;
        TRY(support_add(&job->registry, &added, job->work, "fashion", seed + i, &job->err));
        printf("%lld\n", (long long)added.number);
    }
    return OK;
}

static enum code collect(struct job *job)
{
    int rounds = (int)strtol(job->rest[0], NULL, 10);
    for (int i = 0; i < rounds; i++) {
        json_t *result;
        struct gc_opts opts = { .grace_s = 3600, .wait_s = 0.002 };
        TRY(registry_gc(&job->registry, &result, &opts, &job->err));
        json_decref(result);
    }
    return OK;
}

static enum code swap(struct job *job)
{
    int count = (int)strtol(job->rest[0], NULL, 10);
    struct deploy_opts opts = { .dir = path_join(&job->arena, job->work, "deploy"),
                                .layout = deploy_layout_find(job->rest[1]) };
    for (int i = 0; i < count; i++) {
        struct deployed deployed;
        opts.ref = i % 2 ? "fashion@2" : "fashion@1";
        TRY(registry_deploy_probed(&job->registry, &deployed, &opts, &job->err));
    }
    printf("%d\n", count);
    return OK;
}

static enum code run(struct job *job, const char *what)
{
    struct added added;
    struct moved moved;
    struct deployed deployed;
    struct registry *registry = &job->registry;
    struct err *err = &job->err;
    const char *dir = path_join(&job->arena, job->work, "deploy");
    struct move_opts back = { .model = "fashion",
                              .channel = "production",
                              .from = CHANNEL_ANY,
                              .actor = "a",
                              .reason = "r" };
    if (strcmp(what, "add") == 0) return support_add(registry, &added, job->work, "new", 50, err);
    if (strcmp(what, "report") == 0)
        return support_report(registry, NULL, job->work, "fashion", 1, "second", "pass", err);
    if (strcmp(what, "promote") == 0)
        return support_promote(registry, &moved, "fashion", 1, "production", err);
    if (strcmp(what, "rollback") == 0) return registry_rollback(registry, &moved, &back, err);
    if (strcmp(what, "deploy") == 0)
        return registry_deploy(registry, &deployed, "fashion@2", dir, NULL, err);
    return err_set(err, USAGE, "no operation '%s'", what);
}

/* Drills make registries of their own. */
static int drill(int argc, char **argv)
{
    struct err err;
    if (fs_mkdirs(argv[2], &err)) return 1;
    int first = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    int second = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 0;
    uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    if (argc == 6 && strcmp(argv[1], "crashes") == 0)
        return drill_crashes(argv[2], first, second, seed, false) != 0;
    if (argc == 6 && strcmp(argv[1], "forgetful") == 0)
        return drill_crashes(argv[2], first, second, seed, true) == 0;
    if (argc == 6 && strcmp(argv[1], "damage") == 0)
        return drill_damage(argv[2], first, second, seed) != 0;
    if (argc == 5 && strcmp(argv[1], "races") == 0)
        return drill_races(argv[2], first, (uint64_t)second) != 0;
    return -1;
}

static enum code under_fault(struct job *job)
{
    faults_begin((enum fault)strtol(job->rest[1], NULL, 10), (int)strtol(job->rest[2], NULL, 10));
    enum code code = run(job, job->rest[0]);
    faults_end();
    if (!code) printf("1\n");
    return code;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int args;
        enum code (*work)(struct job *);
        bool makes;
    } commands[] = {
        { "make", 3, make, true },         { "race", 5, race, false },
        { "add", 5, add, false },          { "swap", 5, swap, false },
        { "kill", 6, under_fault, false }, { "collect", 5, collect, false },
        { "sign", 3, sign, true },
    };
    int drilled = argc > 4 ? drill(argc, argv) : -1;
    if (drilled >= 0) return drilled;
    for (size_t i = 0; argc > 2 && i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name) != 0 || argc != commands[i].args) continue;
        struct job job = { .work = argv[2], .rest = argv + 3 };
        fs_calls.fsync = support_no_fsync;
        const char *path = path_join(&job.arena, argv[2], "registry");
        enum code code = commands[i].makes ? OK : registry_open(&job.registry, path, &job.err);
        if (!code) code = commands[i].work(&job);
        if (code) fprintf(stderr, "tool: %s\n", job.err.message);
        registry_close(&job.registry);
        arena_release(&job.arena);
        return code_exit(code);
    }
    fprintf(stderr, "usage: tool make|race|add|swap|kill WORK ...\n");
    return 2;
}
