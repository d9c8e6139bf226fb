/* The collector takes what no entry names and nobody holds, and nothing else, also beside writers.
 */
#include "registry/gc.h"

#include "registry/oci.h"
#include "registry/reach.h"
#include "tests/registry/shared_faults.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

enum { HOUR = 3600 };

static void begin(struct support *support)
{
    struct added added;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", support->err.message);
    for (int i = 1; i <= 2; i++)
        cr_assert_eq(
            support_add(&support->registry, &added, support->dir, "fashion", i, &support->err), OK);
    cr_assert_eq(support_report(&support->registry, NULL, support->dir, "fashion", 1, "suite",
                                "pass", &support->err),
                 OK);
}

/* Makes a path look as if it had not changed for two days. */
static void age(const char *path)
{
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 48 * HOUR;
    times[1] = times[0];
    cr_assert_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0, "%s", path);
}

static void age_all(struct support *support, const char *folder)
{
    char **names;
    const char *dir = path_join(&support->arena, support->path, folder);
    cr_assert_eq(fs_list(&support->arena, &names, NULL, dir, &support->err), OK);
    for (size_t i = 0; names[i]; i++) age(path_join(&support->arena, dir, names[i]));
}

/* Collects; the member of its result. */
static int64_t collect(struct support *support, const char *member, bool dry_run)
{
    json_t *result;
    struct gc_opts opts = { .grace_s = HOUR, .dry_run = dry_run };
    cr_assert_eq(registry_gc(&support->registry, &result, &opts, &support->err), OK, "%s",
                 support->err.message);
    int64_t value = json_integer_value(json_object_get(result, member));
    json_decref(result);
    return value;
}

static size_t findings(struct support *support)
{
    json_t *result = NULL;
    registry_verify(support->path, &result, NULL, &support->err);
    size_t count = json_array_size(json_object_get(result, "problems")) +
                   json_array_size(json_object_get(result, "notes"));
    json_decref(result);
    return count;
}

Test(gc, takes_what_is_old_and_named_by_nothing_and_no_more)
{
    struct support s;
    struct digest digest;
    begin(&s);
    const char *staged = path_join(&s.arena, s.path, "staging/add.0123");
    age_all(&s, "store/sha256");
    age_all(&s, "staging");
    cr_expect_eq(collect(&s, "content", false), 0, "everything is named");
    cr_expect_eq(findings(&s), 0, "%s", s.err.message);
    MUST(store_put(&s.registry.store, &digest, "stray", 5, &s.err));
    const char *stray = store_path(&s.arena, &s.registry.store, &digest);
    bool made;
    const char *blob = arena_format(&s.arena, "%s/models/fashion/blobs/sha256/%s", s.path,
                                    path_base(stray));
    MUST(fs_link(stray, blob, &made, &s.err));
    MUST(fs_mkdirs(staged, &s.err));
    cr_expect_eq(collect(&s, "young", false), 1);
    age(stray);
    cr_expect_eq(collect(&s, "held", false), 1, "its writer may be at work");
    age_all(&s, "staging");
    cr_expect_eq(collect(&s, "content", true), 1);
    cr_expect(fs_exists(stray) && fs_exists(staged), "a dry run takes nothing");
    cr_expect_eq(collect(&s, "bytes", false), 5);
    cr_expect_not(fs_exists(stray) || fs_exists(blob) || fs_exists(staged));
    cr_expect_eq(findings(&s), 0, "%s", s.err.message);
    char **names;
    size_t count;
    MUST(fs_list(&s.arena, &names, &count, path_join(&s.arena, s.path, "staging"), &s.err));
    cr_expect_eq(count, 0, "old holds went: %zu", count);
    support_close(&s);
}

Test(gc, gives_back_what_an_interrupted_collector_took_and_readers_find_it_meanwhile)
{
    struct support s;
    json_t *result;
    begin(&s);
    cr_assert_eq(system(arena_format(&s.arena, "mv %s/store/sha256/* %s/trash/", s.path, s.path)),
                 0);
    MUST(registry_verify(s.path, &result, NULL, &s.err));
    json_decref(result);
    MUST(registry_show(&s.registry, &result, "fashion@1", &s.err));
    json_decref(result);
    cr_expect_gt(collect(&s, "restored", false), 8);
    cr_expect_eq(findings(&s), 0, "%s", s.err.message);
    support_close(&s);
}

Test(gc, whatever_call_fails_nothing_named_is_lost, .timeout = 120)
{
    struct support s;
    struct digest digest;
    begin(&s);
    for (int kind = FAULT_ONCE; kind <= FAULT_FOR_GOOD; kind++) {
        int n = 0, calls;
        do {
            json_t *result = NULL;
            struct gc_opts opts = { .grace_s = HOUR };
            MUST(store_put(&s.registry.store, &digest, "stray", 5, &s.err));
            age_all(&s, "store/sha256");
            age_all(&s, "staging");
            faults_begin((enum fault)kind, ++n);
            registry_gc(&s.registry, &result, &opts, &s.err);
            calls = faults_end();
            fs_calls.fsync = support_no_fsync;
            json_decref(result);
            enum code code = registry_verify(s.path, &result, NULL, &s.err);
            cr_expect_eq(code, OK, "fault %d at call %d: %s", kind, n, s.err.message);
            json_decref(result);
        } while (n <= calls && n < 2000);
        cr_expect_gt(n, 40, "%d calls", n);
        collect(&s, "content", false);
        cr_expect_eq(findings(&s), 0, "%s", s.err.message);
    }
    support_close(&s);
}

/* Renames that a power cut left half done: content has a second name in trash/, of the collector's
 * two kinds. What an entry names is in the store alone afterwards, the rest is gone. */
Test(gc, content_with_two_names_is_kept_once_or_goes_whole)
{
    struct support s;
    struct digest stray;
    begin(&s);
    const struct store *store = &s.registry.store;
    const struct digest named = state_model(&s.registry.state, "fashion")->versions[0].digest;
    MUST(store_put(store, &stray, "stray", 5, &s.err));
    const struct digest digests[] = { named, stray };
    for (int own = 0; own < 2; own++) {
        for (int d = 0; d < 2; d++) {
            const char *aside = store_trash_path(&s.arena, store, &digests[d]);
            if (own) aside = arena_format(&s.arena, "%s.0123456789abcdef", aside);
            if (!fs_exists(store_path(&s.arena, store, &digests[d]))) /* gone in the round before */
                MUST(store_put(store, &stray, "stray", 5, &s.err));
            bool made;
            MUST(fs_link(store_path(&s.arena, store, &digests[d]), aside, &made, &s.err));
        }
        age_all(&s, "store/sha256");
        age_all(&s, "staging");
        cr_expect_eq(collect(&s, "content", false), 1, "own %d", own);
        char **names;
        MUST(fs_list(&s.arena, &names, NULL, path_join(&s.arena, s.path, "trash"), &s.err));
        cr_expect_null(names[0], "own %d: '%s' is left", own, names[0]);
        cr_expect(fs_exists(store_path(&s.arena, store, &named)), "own %d", own);
        cr_expect_not(fs_exists(store_path(&s.arena, store, &stray)), "own %d", own);
    }
    cr_expect_eq(findings(&s), 0);
    support_close(&s);
}

Test(gc, a_damaged_journal_stops_it_before_it_takes_anything)
{
    struct support s;
    json_t *result;
    struct gc_opts opts = { .grace_s = HOUR };
    begin(&s);
    age_all(&s, "store/sha256");
    age_all(&s, "staging");
    MUST(fs_remove(journal_path(&s.arena, &s.registry.journal, 3), &s.err));
    struct registry fresh;
    MUST(registry_open(&fresh, s.path, &s.err));
    cr_expect_eq(registry_gc(&fresh, &result, &opts, &s.err), DAMAGED);
    registry_close(&fresh);
    char **names;
    size_t count;
    MUST(fs_list(&s.arena, &names, &count, s.registry.store.dir, &s.err));
    cr_expect_gt(count, 8);
    support_close(&s);
}

static FILE *start(struct support *support, const char *what, int from, int count)
{
    FILE *pipe = popen(arena_format(&support->arena, "OMP_NUM_THREADS=1 %s %s %s %d %d", PAWL_TOOL,
                                    what, support->dir, from, count),
                       "r");
    cr_assert(pipe);
    return pipe;
}

/* Content of versions that were never registered, old enough to be taken, is what the adders
 * reuse. */
Test(gc, adders_and_collectors_at_once_lose_nothing, .timeout = 120)
{
    enum { ADDERS = 3, EACH = 6, COLLECTORS = 2, ROUNDS = 60 };
    struct support s, other;
    struct added added;
    json_t *result;
    begin(&s);
    cr_assert_eq(support_open(&other), OK);
    for (int i = 0; i < ADDERS * EACH; i++)
        MUST(support_add(&other.registry, &added, s.dir, "fashion", 100 + i, &s.err));
    cr_assert_eq(system(arena_format(&s.arena, "cp -n %s/store/sha256/* %s/store/sha256/",
                                     other.path, s.path)),
                 0);
    support_close(&other);
    fs_calls.fsync = support_no_fsync;
    age_all(&s, "store/sha256");
    age_all(&s, "staging");
    FILE *pipes[ADDERS + COLLECTORS];
    for (int i = 0; i < ADDERS; i++) pipes[i] = start(&s, "add", 100 + i * EACH, EACH);
    for (int i = 0; i < COLLECTORS; i++) pipes[ADDERS + i] = start(&s, "collect", ROUNDS, 0);
    int lines = 0;
    char line[64];
    for (int i = 0; i < ADDERS + COLLECTORS; i++) {
        while (fgets(line, sizeof line, pipes[i])) lines += i < ADDERS;
        cr_expect_eq(WEXITSTATUS(pclose(pipes[i])), 0, "process %d", i);
    }
    cr_expect_eq(lines, ADDERS * EACH);
    cr_expect_eq(registry_verify(s.path, &result, NULL, &s.err), OK, "%s", s.err.message);
    json_decref(result);
    MUST(registry_refresh(&s.registry, &s.err));
    cr_expect_eq(s.registry.state.models[0].version_count, ADDERS * EACH + 2);
    support_close(&s);
}

Test(gc, a_retired_versions_weights_go_unless_another_version_has_them)
{
    struct support s;
    struct oci_version files;
    json_t *result;
    begin(&s);
    const struct version *first = &state_model(&s.registry.state, "fashion")->versions[0];
    MUST(oci_read(&s.registry, &files, &first->digest, &s.err));
    struct digest weights = oci_layer(&files, "model.safetensors")->digest;
    struct draft draft = { .kind = ENTRY_RETIRE };
    struct bytes bytes;
    char text[DIGEST_TEXT];
    draft.body = json_pack("{ss si ss}", "model", "fashion", "number", 1, "digest",
                           digest_text(&first->digest, text));
    MUST(registry_refresh(&s.registry, &s.err));
    struct head head = s.registry.state.head;
    MUST(entry_render(&s.arena, &bytes, &draft, head.seq + 1, &head.digest, &s.err));
    draft_release(&draft);
    MUST(fs_publish(journal_path(&s.arena, &s.registry.journal, head.seq + 1), bytes.at, bytes.len,
                    &s.err));
    age_all(&s, "store/sha256");
    age_all(&s, "staging");
    cr_expect_eq(collect(&s, "content", false), 1);
    cr_expect_not(fs_exists(store_path(&s.arena, &s.registry.store, &weights)));
    cr_expect(fs_exists(store_path(&s.arena, &s.registry.store, &first->digest)));
    cr_expect_eq(registry_verify(s.path, &result, NULL, &s.err), OK, "%s", s.err.message);
    json_decref(result);
    support_close(&s);
}
