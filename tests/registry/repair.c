/* registry_repair: what follows from journal and content comes back; what does not is named, and
 * nothing is touched before that is accepted. */
#include "registry/repair.h"

#include "registry/oci.h"
#include "tests/registry/shared_faults.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

static const struct repair_opts careful = { .actor = "mender", .reason = "to test" };
static const struct repair_opts accepting = { .accept_loss = true,
                                              .actor = "mender",
                                              .reason = "the disk is gone" };

/* Two versions of fashion with reports; production moved twice: entries 1 to 7. */
static void begin(struct support *support)
{
    struct moved moved;
    struct added added;
    struct err *err = &support->err;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", err->message);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(support_add(&support->registry, &added, support->dir, "fashion", i, err), OK);
        cr_assert_eq(support_report(&support->registry, NULL, support->dir, "fashion", i, "suite",
                                    "pass", err),
                     OK);
    }
    for (int i = 1; i <= 2; i++)
        cr_assert_eq(support_promote(&support->registry, &moved, "fashion", i, "production", err),
                     OK, "%s", err->message);
}

/* Problems plus notes of a verification. */
static size_t findings(struct support *support)
{
    json_t *result = NULL;
    registry_verify(support->path, &result, NULL, &support->err);
    size_t count = result ? json_array_size(json_object_get(result, "problems")) +
                                json_array_size(json_object_get(result, "notes"))
                          : 1000;
    json_decref(result);
    return count;
}

static enum code repair(struct support *support, const struct repair_opts *opts)
{
    json_t *result = NULL;
    enum code code = registry_repair(support->path, &result, opts, &support->err);
    json_decref(result);
    return code;
}

/* Shell on the registry; $R is its folder. */
static void sh(struct support *support, const char *script)
{
    const char *line = arena_format(&support->arena, "R=%s; set -e; cd $R; chmod -R u+w .; %s",
                                    support->path, script);
    cr_assert_eq(system(arena_format(&support->arena, "bash -c '%s'", line)), 0, "%s", script);
}

static const char *const mendable[] = {
    "rm registry.json",
    "echo >> registry.json",
    "rm models/fashion/oci-layout",
    "rm -f models/fashion/oci-layout; echo x > models/fashion/oci-layout",
    "rm -r models/fashion",
    "rm models/fashion/index.json",
    "rm cache/channels.json",
    "echo {} > cache/channels.json",
    "rm $(ls -d $R/store/sha256/* | while read f; do [ $(stat -c %h $f) = 2 ] && echo $f; done)",
    "for f in models/fashion/blobs/sha256/*; do cp $f x; mv -f x $f; done",
    "for f in models/fashion/blobs/sha256/*; do cp $f x; echo y >> x; mv -f x $f; done",
    "for f in models/fashion/blobs/*/*; do cp $f x; mv -f x $f; echo >> store/${f#*/*/*/}; done",
    "mv store/sha256/* trash/; rm -r models/fashion/blobs",
    "rm models/fashion/blobs/sha256/*",
};

Test(repair, what_follows_from_journal_and_content_comes_back)
{
    struct support s;
    begin(&s);
    const char *pristine = path_join(&s.arena, s.dir, "pristine");
    cr_assert_eq(system(arena_format(&s.arena, "cp -a %s %s", s.path, pristine)), 0);
    cr_assert_eq(findings(&s), 0, "%s", s.err.message);
    for (size_t i = 0; i < sizeof mendable / sizeof *mendable; i++) {
        sh(&s, mendable[i]);
        cr_expect_gt(findings(&s), 0, "%s: verify says so", mendable[i]);
        cr_expect_eq(repair(&s, &careful), OK, "%s: %s", mendable[i], s.err.message);
        cr_expect_eq(findings(&s), 0, "%s: %s", mendable[i], s.err.message);
        cr_expect_eq(repair(&s, &careful), OK, "%s, again: %s", mendable[i], s.err.message);
    }
    sh(&s, "diff -r . ../pristine -x staging -x trash -x snapshot");
    support_close(&s);
}

Test(repair, content_that_nothing_has_is_named)
{
    struct support s;
    json_t *result;
    begin(&s);
    sh(&s, "f=$(ls store/sha256 | head -1); rm -f store/sha256/$f models/fashion/blobs/sha256/$f");
    cr_expect_eq(registry_repair(s.path, &result, &careful, &s.err), DAMAGED);
    cr_expect_eq(json_array_size(json_object_get(result, "left")), 1);
    json_decref(result);
    cr_expect_gt(findings(&s), 0);
    support_close(&s);
}

static const struct {
    const char *script;
    long long from, to;
} losses[] = {
    { "rm journal/000/0000000007.json", 7, 7 },
    { "rm journal/000/000000000[567].json", 5, 7 },
    { "rm journal/000/0000000003.json", 3, 7 },
    { "rm cache/channels.json journal/000/0000000004.json", 4, 7 },
    { "rm cache/channels.json journal/000/000000000[34567].json", 3, 3 },
    { "f=journal/000/0000000006.json; sed -i s/better/worse/ $f", 6, 7 },
    { "mkdir journal/001; cp journal/000/0000000002.json journal/001/0000001001.json", 8, 1001 },
};

Test(repair, lost_entries_are_refused_then_named_and_the_registry_goes_on)
{
    struct support s;
    begin(&s);
    const char *pristine = path_join(&s.arena, s.dir, "pristine");
    const char *before = path_join(&s.arena, s.dir, "before");
    cr_assert_eq(system(arena_format(&s.arena, "cp -a %s %s", s.path, pristine)), 0);
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        const char *what = losses[i].script;
        json_t *result;
        struct registry after;
        sh(&s, "cd ..; rm -rf registry before; cp -a pristine registry");
        sh(&s, what);
        sh(&s, "cp -a . ../before");
        cr_expect_eq(repair(&s, &careful), DAMAGED, "%s", what);
        cr_expect(strstr(s.err.message, "are lost"), "%s: %s", what, s.err.message);
        sh(&s, arena_format(&s.arena, "diff -r . %s", before)); /* nothing was touched */
        cr_expect_eq(registry_repair(s.path, &result, &accepting, &s.err), OK, "%s: %s", what,
                     s.err.message);
        json_t *lost = json_object_get(result, "lost");
        cr_expect_eq(json_integer_value(json_object_get(lost, "from")), losses[i].from, "%s", what);
        cr_expect_eq(json_integer_value(json_object_get(lost, "to")), losses[i].to, "%s: %lld",
                     what, (long long)json_integer_value(json_object_get(lost, "to")));
        json_decref(result);
        cr_expect_eq(registry_verify(s.path, &result, NULL, &s.err), OK, "%s: %s", what,
                     s.err.message);
        json_decref(result);
        /* the next writer goes on behind the recover entry */
        struct added added;
        MUST(registry_open(&after, s.path, &s.err));
        MUST(support_add(&after, &added, s.dir, "fashion", 9, &s.err));
        registry_close(&after);
        cr_expect_eq(repair(&s, &careful), OK, "%s, once more: %s", what, s.err.message);
    }
    support_close(&s);
}

Test(repair, an_accepted_loss_survives_an_interruption_anywhere, .timeout = 120)
{
    struct support s;
    int n = 0, calls;
    begin(&s);
    sh(&s, "rm journal/000/0000000005.json; cp -a . ../pristine");
    do {
        sh(&s, "cd ..; rm -rf registry; cp -a pristine registry");
        faults_begin(FAULT_FOR_GOOD, ++n);
        enum code code = repair(&s, &accepting);
        calls = faults_end();
        fs_calls.fsync = support_no_fsync;
        cr_expect(code || n > calls, "call %d", n);
        cr_expect_eq(repair(&s, &accepting), OK, "call %d: %s", n, s.err.message);
        struct registry after;
        json_t *history, *entry;
        size_t i, recovers = 0;
        MUST(registry_open(&after, s.path, &s.err));
        MUST(registry_history(&after, &history, NULL, NULL, &s.err));
        json_array_foreach(json_object_get(history, "entries"), i, entry)
            recovers += strcmp(json_string_value(json_object_get(entry, "kind")), "recover") == 0;
        cr_expect_eq(recovers, 1, "call %d: %zu", n, recovers);
        cr_expect_eq(json_array_size(json_object_get(history, "entries")), 5, "call %d", n);
        json_decref(history);
        registry_close(&after);
    } while (n <= calls && n < 2000);
    cr_expect_gt(n, 50, "%d calls", n);
    support_close(&s);
}
