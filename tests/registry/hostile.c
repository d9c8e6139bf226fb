/* Whoever may write into a registry's folders puts something there that it must not follow, believe
 * or wait for. Each row is a shell script in a copy of a sound registry; then every command meets
 * it: none hangs or dies, none reads or writes outside, and what is refused is refused in words. */
#include "registry/adopt.h"
#include "registry/export.h"
#include "registry/find.h"
#include "registry/gc.h"
#include "registry/repair.h"
#include "registry/snapshot.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HARMLESS, DAMAGE, ROOT_DAMAGE }; /* the last: only where the test may make device nodes */

#define ENTRY  "journal/000/0000000002.json"
#define LAST   "journal/000/0000000005.json"
#define NEXT   "journal/000/0000000006.json"
#define BLOB   "$(ls -S store/sha256/* | head -1)" /* the largest content: golden rows */
#define LAYOUT "models/fashion"

/* In the scripts, $O is a folder outside with a file `secret`; all paths are in the registry. */
static const struct {
    const char *script;
    int kind;
} rows[] = {
    /* links in place of files */
    { "mv registry.json $O/moved; ln -s $O/moved registry.json", DAMAGE },
    { "mv " ENTRY " $O/moved; ln -s $O/moved " ENTRY, DAMAGE },
    { "mv " LAST " $O/moved; ln -s $O/moved " LAST, DAMAGE },
    { "ln -s $O/secret " NEXT, DAMAGE },
    { "ln -s /dev/zero " NEXT, DAMAGE },
    { "B=" BLOB "; mv $B $O/moved; ln -s $O/moved $B", DAMAGE },
    { "B=" BLOB "; rm $B; ln -s /dev/zero $B", DAMAGE },
    { "B=" BLOB "; rm $B; ln -s $B $B", DAMAGE },
    { "B=" LAYOUT "/blobs/sha256/$(basename " BLOB "); rm $B; ln -s $O/secret $B", DAMAGE },
    { "rm " LAYOUT "/oci-layout; ln -s $O/secret " LAYOUT "/oci-layout", DAMAGE },
    { "rm " LAYOUT "/index.json; ln -s $O/secret " LAYOUT "/index.json", HARMLESS },
    { "rm cache/channels.json; ln -s $O/secret cache/channels.json", HARMLESS },
    { "rm -f cache/snapshot; ln -s $O/secret cache/snapshot", HARMLESS },
    { "ln -s $O/secret store/closed", HARMLESS },
    /* links in place of folders */
    { "mv journal $O/moved; ln -s $O/moved journal", DAMAGE },
    { "mv journal/000 $O/moved; ln -s $O/moved journal/000", DAMAGE },
    { "ln -s $O journal/001", DAMAGE },
    { "mv store $O/moved; ln -s $O/moved store", DAMAGE },
    { "mv store/sha256 $O/moved; ln -s $O/moved store/sha256", DAMAGE },
    { "mv models $O/moved; ln -s $O/moved models", DAMAGE },
    { "mv " LAYOUT " $O/moved; ln -s $O/moved " LAYOUT, DAMAGE },
    { "mv " LAYOUT "/blobs $O/moved; ln -s $O/moved " LAYOUT "/blobs", DAMAGE },
    { "ln -s $O models/new; ln -s $O models/other", DAMAGE },
    { "mv cache $O/moved; ln -s $O/moved cache", DAMAGE },
    { "rm -r staging; ln -s $O staging", DAMAGE },
    { "rm -r trash; ln -s $O trash", DAMAGE },
    { "ln -s $O staging/import.0000; touch -h -d '9 days ago' staging/import.0000", HARMLESS },
    { "ln -s $O/secret staging/hold.00; touch -h -d '9 days ago' staging/hold.00", HARMLESS },
    /* FIFOs: opening one for reading waits for a writer */
    { "rm registry.json; mkfifo registry.json", DAMAGE },
    { "rm -f " ENTRY "; mkfifo " ENTRY, DAMAGE },
    { "mkfifo " NEXT, DAMAGE },
    { "B=" BLOB "; rm -f $B; mkfifo $B", DAMAGE },
    { "rm " LAYOUT "/index.json; mkfifo " LAYOUT "/index.json", HARMLESS },
    { "rm " LAYOUT "/oci-layout; mkfifo " LAYOUT "/oci-layout", DAMAGE },
    { "mkfifo " LAYOUT "/blobs/sha256/$(printf 'a%.0s' $(seq 64))", DAMAGE },
    { "rm cache/channels.json; mkfifo cache/channels.json", HARMLESS },
    { "rm -f cache/snapshot; mkfifo cache/snapshot", HARMLESS },
    { "mkfifo staging/pipe trash/pipe", HARMLESS },
    { "rm -r staging; mkfifo staging", DAMAGE },
    /* folders in place of files, files in place of folders */
    { "rm registry.json; mkdir registry.json", DAMAGE },
    { "rm -f " ENTRY "; mkdir " ENTRY, DAMAGE },
    { "mkdir " NEXT, DAMAGE },
    { "B=" BLOB "; rm -f $B; mkdir $B", DAMAGE },
    { "rm " LAYOUT "/index.json; mkdir " LAYOUT "/index.json", HARMLESS },
    { "rm cache/channels.json; mkdir cache/channels.json", HARMLESS },
    { "rm -r cache; touch cache", DAMAGE },
    { "rm -r journal; touch journal", DAMAGE },
    { "rm -rf " LAYOUT "; touch " LAYOUT, DAMAGE },
    /* names */
    { "touch 'journal/000/..json' 'journal/000/0000000006.json~'", DAMAGE },
    { "touch 'journal/x\ny'", DAMAGE },
    { "touch $'journal/000/\\xff\\xfe'", DAMAGE },
    { "mkdir 'models/..hidden' 'models/A B' $'models/\\xff' models/-rf", HARMLESS },
    { "touch " LAYOUT "/blobs/sha256/.. " LAYOUT "/blobs/sha256/...x store/sha256/...", HARMLESS },
    { "touch $'store/sha256/\\xff\\n' 'store/sha256/$(touch pwned)'", HARMLESS },
    { "touch \"models/$(printf 'm%.0s' $(seq 250))\"", HARMLESS },
    /* hard links: one file under two names that both count */
    { "rm -f " LAST "; ln " ENTRY " " LAST, DAMAGE },
    { "ln " LAST " " NEXT, DAMAGE },
    { "B=" BLOB "; rm -f $B; ln $O/secret $B", DAMAGE },
    { "rm " LAYOUT "/index.json; ln $O/secret " LAYOUT "/index.json", HARMLESS },
    /* huge and deep documents */
    { "truncate -s 1T " NEXT, DAMAGE },
    { "truncate -s 1T registry.json", DAMAGE },
    { "rm cache/channels.json; truncate -s 1T cache/channels.json", HARMLESS },
    { "rm -f cache/snapshot; truncate -s 1T cache/snapshot", HARMLESS },
    { "rm " LAYOUT "/index.json; truncate -s 1T " LAYOUT "/index.json", HARMLESS },
    { "python3 -c 'print(\"[\" * 200000)' > " NEXT, DAMAGE },
    { "python3 -c 'print(\"{\\\"a\\\":\" * 100000)' > cache/channels.json", HARMLESS },
    { "rm " LAYOUT "/index.json; python3 -c 'print(\"[\" * 3000000)' > " LAYOUT "/index.json",
      HARMLESS },
    { "python3 -c 'print(\"[\" * 1000 + \"]\" * 1000)' > registry.json", DAMAGE },
    { "python3 -c 'print(\"{\\\"manifests\\\":\" + \"[\" * 1900 + \"]\" * 1900 + \"}\")' > x; "
      "rm " LAYOUT "/index.json; mv x " LAYOUT "/index.json",
      HARMLESS },
    /* devices */
    { "rm -f " LAST "; mknod " LAST " c 1 5", ROOT_DAMAGE },
    { "B=" BLOB "; rm -f $B; mknod $B c 1 5", ROOT_DAMAGE },
    { "rm cache/channels.json; mknod cache/channels.json c 1 5", HARMLESS },
};

/* One registry with two versions, a report and a channel, and its copy that a row spoils. */
struct spoiled {
    struct support s;
    const char *copy, *outside;
};

static int sh(struct spoiled *spoiled, const char *dir, const char *script)
{
    struct arena arena = { 0 };
    const char *path = path_join(&arena, spoiled->s.dir, "script");
    const char *text = arena_format(&arena, "set -e; O=%s; cd %s\n%s\n", spoiled->outside, dir,
                                    script);
    fs_publish_view(path, text, strlen(text), NULL);
    int status = system(arena_format(&arena, "bash %s 2>/dev/null", path));
    arena_release(&arena);
    return status;
}

static void begin(struct spoiled *spoiled)
{
    struct added added;
    struct moved moved;
    struct support *s = &spoiled->s;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(s), OK, "%s", s->err.message);
    for (int i = 1; i <= 2; i++)
        cr_assert_eq(support_add(&s->registry, &added, s->dir, "fashion", i, &s->err), OK);
    cr_assert_eq(support_report(&s->registry, NULL, s->dir, "fashion", 2, "suite", "pass", &s->err),
                 OK);
    cr_assert_eq(support_promote(&s->registry, &moved, "fashion", 2, "production", &s->err), OK);
    cr_assert_eq(snapshot_write(&s->registry, 0, &s->err), OK);
    spoiled->copy = path_join(&s->arena, s->dir, "copy");
    spoiled->outside = path_join(&s->arena, s->dir, "outside");
}

/* What lies outside, with bytes and times, so that a write there shows. */
static const char *outside_of(struct spoiled *spoiled)
{
    struct bytes bytes = { .at = "" };
    const char *path = path_join(&spoiled->s.arena, spoiled->s.dir, "listing");
    sh(spoiled, spoiled->outside,
       "{ find . -printf '%p %y %s %T@\\n' | sort; find . -type f -exec sha256sum {} + | sort; } "
       "> ../listing");
    fs_read(&spoiled->s.arena, &bytes, path, 1 << 20, NULL);
    return bytes.at;
}

typedef enum code act(struct spoiled *spoiled, struct registry *registry, struct err *err);

static enum code act_list(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    json_t *result = NULL;
    (void)spoiled;
    enum code code = registry_list(registry, &result, NULL, err);
    json_decref(result);
    return code;
}

static enum code act_find(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    json_t *result = NULL;
    (void)spoiled;
    enum code code = registry_find(registry, &result, "number > 0", err);
    json_decref(result);
    return code;
}

static enum code act_resolve(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    struct resolved resolved;
    (void)spoiled;
    enum code code = registry_resolve(registry, &resolved, "fashion@production", err);
    cr_expect(code || resolved.number == 2);
    return code;
}

static enum code act_show(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    json_t *result = NULL;
    (void)spoiled;
    enum code code = registry_show(registry, &result, "fashion@1", err);
    json_decref(result);
    return code;
}

static enum code act_deploy(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    struct deployed deployed;
    const char *dir = path_join(&spoiled->s.arena, spoiled->s.dir, "deploy");
    enum code code = registry_deploy(registry, &deployed, "fashion@2", dir, NULL, err);
    fs_remove_tree(dir, NULL);
    return code;
}

static enum code act_export(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    static const char *const refs[] = { "fashion@1", NULL };
    struct exported exported;
    const char *path = path_join(&spoiled->s.arena, spoiled->s.dir, "out.tar");
    enum code code = registry_export(registry, &exported, path, refs, err);
    fs_remove(path, NULL);
    return code;
}

static enum code act_gc(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    json_t *result = NULL;
    struct gc_opts opts = { .grace_s = 3600 };
    (void)spoiled;
    enum code code = registry_gc(registry, &result, &opts, err);
    json_decref(result);
    return code;
}

static enum code act_adopt(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    json_t *result = NULL;
    struct adopt_opts opts = { .actor = "a", .reason = "r" };
    (void)spoiled;
    enum code code = registry_adopt(registry, &result, &opts, err);
    json_decref(result);
    return code;
}

static enum code act_add(struct spoiled *spoiled, struct registry *registry, struct err *err)
{
    struct added added;
    TRY(support_add(registry, &added, spoiled->s.dir, "fashion", 1, err));
    return support_add(registry, &added, spoiled->s.dir, "new", 1, err);
}

static const struct {
    const char *name;
    act *act;
} acts[] = {
    { "list", act_list }, { "find", act_find },     { "resolve", act_resolve },
    { "show", act_show }, { "deploy", act_deploy }, { "export", act_export },
    { "gc", act_gc },     { "adopt", act_adopt },   { "add", act_add },
};

static void meet(struct spoiled *spoiled, const char *script)
{
    for (size_t a = 0; a < sizeof acts / sizeof *acts; a++) {
        struct registry registry = { 0 };
        struct err err = { 0 };
        enum code code = registry_open(&registry, spoiled->copy, &err);
        if (!code) code = acts[a].act(spoiled, &registry, &err);
        cr_expect(!code || *err.message, "%s: %s says nothing", script, acts[a].name);
        cr_expect_not(code == NO_MEMORY || code == CONFIG, "%s: %s: %s", script, acts[a].name,
                      err.message);
        registry_close(&registry);
    }
}

/* Verify before anything mends it, and a repair at the end, which may mend it or refuse. */
static void verify(struct spoiled *spoiled, const char *script, int kind)
{
    json_t *result = NULL;
    struct err err = { 0 };
    enum code code = registry_verify(spoiled->copy, &result, NULL, &err);
    json_decref(result);
    if (kind == HARMLESS) cr_expect_eq(code, OK, "%s: %s", script, err.message);
    if (kind != HARMLESS) cr_expect_eq(code, DAMAGED, "%s: %d %s", script, code, err.message);
    cr_expect(!code || *err.message);
}

static void repair(struct spoiled *spoiled, const char *script)
{
    json_t *result = NULL;
    struct err err = { 0 };
    struct repair_opts opts = { .actor = "a", .reason = "r" };
    enum code code = registry_repair(spoiled->copy, &result, &opts, &err);
    cr_expect(!code || *err.message, "%s: repair says nothing", script);
    json_decref(result);
}

Test(hostile, nothing_in_a_registry_is_followed_believed_or_waited_for, .timeout = 300)
{
    struct spoiled spoiled;
    struct support *s = &spoiled.s;
    size_t tried = 0;
    begin(&spoiled);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *script = rows[i].script;
        bool devices = strstr(script, "mknod") != NULL;
        cr_assert_eq(sh(&spoiled, s->dir,
                        "chmod -R u+w copy 2>/dev/null || true; rm -rf copy outside deploy; "
                        "cp -a registry copy; mkdir outside; echo secret > outside/secret"),
                     0);
        int made = sh(&spoiled, spoiled.copy, script);
        if (made && devices) continue; /* not ours to make */
        cr_assert_eq(made, 0, "%s", script);
        const char *before = outside_of(&spoiled);
        verify(&spoiled, script, rows[i].kind);
        meet(&spoiled, script);
        repair(&spoiled, script);
        cr_expect_str_eq(outside_of(&spoiled), before, "%s: changed what lies outside", script);
        tried++;
    }
    cr_expect_geq(tried, sizeof rows / sizeof *rows - 3);
    support_close(s);
}
