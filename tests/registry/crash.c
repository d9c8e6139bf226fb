/* Races of processes, failing calls and sudden ends: nothing acknowledged is lost, nothing half
 * made is visible, and doing it again works. */
#include "registry/bundle.h"
#include "tests/registry/shared_faults.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

/* Versions 1 to 3 of fashion with passing reports; production held 1, then 2. */
static void begin(struct support *support)
{
    struct moved moved;
    struct added added;
    struct err *err = &support->err;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", err->message);
    struct registry *registry = &support->registry;
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(support_add(registry, &added, support->dir, "fashion", i, err), OK, "%s",
                     err->message);
        cr_assert_eq(
            support_report(registry, NULL, support->dir, "fashion", i, "suite", "pass", err), OK);
    }
    for (int i = 1; i <= 2; i++)
        cr_assert_eq(support_promote(registry, &moved, "fashion", i, "production", err), OK);
}

static void expect_sound(struct support *support, const char *when)
{
    json_t *result;
    cr_expect_eq(registry_verify(support->path, &result, NULL, &support->err), OK, "%s: %s", when,
                 support->err.message);
    json_decref(result);
}

/* Runs a command of the helper program in the background. */
__attribute__((format(printf, 2, 3))) static FILE *start(struct support *support,
                                                         const char *format, ...)
{
    char args[256];
    va_list list;
    va_start(list, format);
    vsnprintf(args, sizeof args, format, list);
    va_end(list);
    FILE *pipe = popen(arena_format(&support->arena, "OMP_NUM_THREADS=1 %s %s", PAWL_TOOL, args),
                       "r");
    cr_assert(pipe);
    return pipe;
}

/* Reads the acknowledged numbers; its exit status is returned. */
static int finish(FILE *pipe, int64_t *numbers, size_t *count, size_t room)
{
    char line[64];
    while (fgets(line, sizeof line, pipe))
        if (*count < room) numbers[(*count)++] = strtoll(line, NULL, 10);
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

Test(race, sixteen_promoters_have_one_winner_each)
{
    enum { RACERS = 16, ROUNDS = 12, ROOM = RACERS * ROUNDS };
    struct support s;
    FILE *pipes[RACERS];
    int64_t won[ROOM];
    size_t count = 0;
    begin(&s);
    for (int i = 0; i < RACERS; i++) pipes[i] = start(&s, "race %s %d %d", s.dir, ROUNDS, i + 1);
    for (int i = 0; i < RACERS; i++)
        cr_expect_eq(finish(pipes[i], won, &count, ROOM), 0, "racer %d", i);
    qsort(won, count, sizeof *won, by_number);
    expect_sound(&s, "after the race"); /* each move starts from what was held: state.c */
    MUST(registry_refresh(&s.registry, &s.err));
    const struct model_line *model = state_model(&s.registry.state, "fashion");
    const struct channel *channel = model_channel(model, "production");
    cr_expect_eq(channel->count, count + 2, "%zu acknowledged, %zu in the journal", count,
                 channel->count - 2);
    cr_expect_gt(count, ROUNDS - 1, "the race went on: %zu", count);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(channel->moves[i + 2].seq, won[i], "win %zu", i);
    support_close(&s);
}

Test(race, adders_never_share_a_number)
{
    enum { ADDERS = 6, EACH = 4, ROOM = ADDERS * EACH };
    struct support s;
    FILE *pipes[ADDERS];
    int64_t numbers[ROOM];
    size_t count = 0;
    begin(&s);
    for (int i = 0; i < ADDERS; i++)
        pipes[i] = start(&s, "add %s %d %d", s.dir, 100 + i * EACH, EACH);
    for (int i = 0; i < ADDERS; i++) cr_expect_eq(finish(pipes[i], numbers, &count, ROOM), 0);
    qsort(numbers, count, sizeof *numbers, by_number);
    cr_assert_eq(count, ROOM);
    for (size_t i = 0; i < count; i++) cr_expect_eq(numbers[i], (int64_t)i + 4);
    expect_sound(&s, "after the race");
    support_close(&s);
}

/* What each operation must have left behind when it was acknowledged, and never half. */
static const char *const operations[] = { "add", "report", "promote", "rollback", "deploy" };
enum { OPERATIONS = sizeof operations / sizeof *operations };

static enum code operate(struct support *support, int operation)
{
    struct added added;
    struct moved moved;
    struct deployed deployed;
    struct registry *registry = &support->registry;
    struct err *err = &support->err;
    struct move_opts back = { .model = "fashion",
                              .channel = "production",
                              .from = CHANNEL_ANY,
                              .actor = "a",
                              .reason = "r" };
    const char *dir = path_join(&support->arena, support->dir, "deploy");
    switch (operation) {
    case 0:
        return support_add(registry, &added, support->dir, "new", 50, err);
    case 1:
        return support_report(registry, NULL, support->dir, "fashion", 1, "second", "pass", err);
    case 2:
        return support_promote(registry, &moved, "fashion", 1, "production", err);
    case 3:
        return registry_rollback(registry, &moved, &back, err);
    default:
        return registry_deploy(registry, &deployed, "fashion@2", dir, NULL, err);
    }
}

/* Whether the operation's effect is there, read by a process that knows nothing yet. */
static bool took_effect(struct support *support, int operation)
{
    struct registry fresh;
    json_t *status = NULL;
    bool effect = false;
    struct err *err = &support->err;
    const char *dir = path_join(&support->arena, support->dir, "deploy");
    if (operation == 4) {
        enum code code = deploy_status(dir, &status, err);
        cr_expect(code == OK || code == NOT_FOUND, "%s", err->message);
        json_decref(status);
        return code == OK;
    }
    cr_assert_eq(registry_open(&fresh, support->path, err), OK, "%s", err->message);
    cr_assert_eq(registry_refresh(&fresh, err), OK, "%s", err->message);
    const struct model_line *model = state_model(&fresh.state, "fashion");
    const struct digest second = digest_of("second", 6);
    if (operation == 0) effect = state_model(&fresh.state, "new") != NULL;
    if (operation == 1)
        effect = state_report(&fresh.state, &model->versions[0].model_digest, &second) != NULL;
    if (operation == 2 || operation == 3)
        effect = channel_now(model_channel(model, "production"))->number == 1;
    registry_close(&fresh);
    return effect;
}

static void copy_of(const char *from, const char *to)
{
    struct err err;
    struct arena arena = { 0 };
    cr_assert_eq(fs_remove_tree(to, &err), OK);
    cr_assert_eq(system(arena_format(&arena, "cp -a %s %s", from, to)), 0);
    arena_release(&arena);
}

/* Back to the state of begin(). */
static void reset(struct support *support)
{
    struct arena arena = { 0 };
    registry_close(&support->registry);
    copy_of(path_join(&arena, support->dir, "pristine"), support->path);
    fs_remove_tree(path_join(&arena, support->dir, "deploy"), NULL);
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(registry_open(&support->registry, support->path, &support->err), OK);
    arena_release(&arena);
}

static void fail_every_call(struct support *support, int operation, enum fault fault)
{
    const char *name = operations[operation];
    int n = 0, calls;
    do {
        reset(support);
        faults_begin(fault, ++n);
        enum code code = operate(support, operation);
        calls = faults_end();
        fs_calls.fsync = support_no_fsync;
        char when[80];
        snprintf(when, sizeof when, "%s, fault %d at call %d", name, (int)fault, n);
        cr_expect(code == OK || code == IO || code == DAMAGED || code == NOT_FOUND ||
                      code == REFUSED || code == CONFLICT,
                  "%s: %d", when, code);
        expect_sound(support, when);
        bool effect = took_effect(support, operation);
        cr_expect(effect || code, "%s: acknowledged, but not there", when);
        bool again_would_move_on = operation == 3 && effect;
        if (!again_would_move_on)
            cr_expect_eq(operate(support, operation), OK, "%s, again: %s", when,
                         support->err.message);
        cr_expect(took_effect(support, operation), "%s: not there after another try", when);
    } while (n <= calls && n < 2000);
    cr_expect_gt(n, 20, "%s: calls were failed: %d", name, n);
}

Test(faults, whatever_call_fails_nothing_acknowledged_is_lost_and_again_works, .timeout = 500)
{
    struct support s;
    begin(&s);
    copy_of(s.path, path_join(&s.arena, s.dir, "pristine"));
    for (int i = 0; i < OPERATIONS; i++) fail_every_call(&s, i, FAULT_ONCE);
    for (int i = 0; i < OPERATIONS; i++) fail_every_call(&s, i, FAULT_FOR_GOOD);
    support_close(&s);
}

Test(faults, an_interrupted_init_is_completed_by_the_next)
{
    static const enum fault faults[] = { FAULT_ONCE, FAULT_FOR_GOOD };
    struct support s;
    begin(&s);
    for (size_t i = 0; i < 2; i++) {
        int n = 0, calls;
        do {
            struct registry made;
            const char *dir = arena_format(&s.arena, "%s/init-%zu-%d", s.dir, i, n);
            faults_begin(faults[i], ++n);
            enum code code = registry_init(dir, "x", "", &s.err);
            calls = faults_end();
            fs_calls.fsync = support_no_fsync;
            enum code again = registry_init(dir, "x", "", &s.err);
            cr_expect(again == OK || again == CONFLICT, "call %d: %s", n, s.err.message);
            cr_expect(again == CONFLICT || code, "call %d", n);
            MUST(registry_open(&made, dir, &s.err));
            registry_close(&made);
        } while (n <= calls && n < 500);
        cr_expect_gt(n, 30, "%d calls", n);
    }
    support_close(&s);
}

static void kill_everywhere(struct support *support, int operation, enum fault fault)
{
    const char *name = operations[operation];
    int n = 0, status;
    do {
        int64_t acknowledged;
        size_t count = 0;
        char when[80];
        reset(support);
        snprintf(when, sizeof when, "%s, killed (%d) at call %d", name, (int)fault, ++n);
        status = finish(start(support, "kill %s %s %d %d", support->dir, name, (int)fault, n),
                        &acknowledged, &count, 1);
        cr_expect(status == 0 || status == FAULT_EXIT, "%s: %d", when, status);
        expect_sound(support, when);
        bool effect = took_effect(support, operation);
        cr_expect(effect || !count, "%s: acknowledged, but not there", when);
        if (!(operation == 3 && effect))
            cr_expect_eq(operate(support, operation), OK, "%s, again: %s", when,
                         support->err.message);
        cr_expect(took_effect(support, operation), "%s: not there after another try", when);
        expect_sound(support, when);
    } while (status == FAULT_EXIT && n < 2000);
    cr_expect_gt(n, 5, "%s: %d calls", name, n);
}

Test(faults, a_process_may_end_between_any_two_calls, .timeout = 500)
{
    struct support s;
    begin(&s);
    copy_of(s.path, path_join(&s.arena, s.dir, "pristine"));
    for (int i = 0; i < OPERATIONS; i++) {
        kill_everywhere(&s, i, FAULT_KILL_BEFORE);
        kill_everywhere(&s, i, FAULT_KILL_AFTER);
    }
    support_close(&s);
}

/* Reads one file of an opened folder whole. */
static size_t read_in(int dir, const char *name, char *bytes, size_t room)
{
    int fd = openat(dir, name, O_RDONLY);
    cr_assert_geq(fd, 0, "%s", name);
    ssize_t len = read(fd, bytes, room);
    close(fd);
    return len > 0 ? (size_t)len : 0;
}

/* A digest in a document, by the path to it; in a list its first item counts. */
static struct digest cited(const char *bytes, size_t len, const char *const *path)
{
    struct digest digest = { 0 };
    json_t *document = NULL;
    cr_assert_eq(json_parse(&document, bytes, len, "document", NULL), OK);
    const json_t *at = document;
    for (; *path; path++)
        at = json_is_array(at) ? json_array_get(at, 0) : json_object_get(at, *path);
    digest_parse(&digest, json_string_value(at));
    json_decref(document);
    return digest;
}

/* The digest of a blob of an image in `handle`; what it holds stays in `bytes`. */
static bool blob_is(int handle, const struct digest *digest, char *bytes, size_t *len, size_t room)
{
    char text[DIGEST_TEXT], name[DIGEST_TEXT + 32];
    digest_text(digest, text);
    snprintf(name, sizeof name, "blobs/sha256/%s", text + strlen("sha256:"));
    *len = read_in(handle, name, bytes, room);
    struct digest got = digest_of(bytes, *len);
    return digest_equal(&got, digest);
}

/* Index, manifest and layer of the image belong together; *layer is the layer's digest. */
static bool image_is_whole(int handle, struct digest *layer, char *bytes, size_t room)
{
    static const char *const by_index[] = { "manifests", "0", "digest", NULL };
    static const char *const by_bundle[] = { "image", "manifest", NULL };
    static const char *const by_manifest[] = { "layers", "0", "digest", NULL };
    size_t len = read_in(handle, "index.json", bytes, room);
    struct digest manifest = cited(bytes, len, by_index);
    len = read_in(handle, "bundle.json", bytes, room);
    struct digest again = cited(bytes, len, by_bundle);
    if (!digest_equal(&manifest, &again) || !blob_is(handle, &manifest, bytes, &len, room))
        return false;
    *layer = cited(bytes, len, by_manifest);
    return blob_is(handle, layer, bytes, &len, room);
}

/* The weights that bundle.json names. */
static struct digest named_weights(const char *bytes, size_t len)
{
    struct digest digest = { 0 };
    json_t *bundle = NULL, *file;
    size_t i;
    cr_assert_eq(json_parse(&bundle, bytes, len, "bundle.json", NULL), OK);
    json_array_foreach(json_object_get(bundle, "files"), i,
                       file) if (strcmp(json_string_value(json_object_get(file, "name")),
                                        "model.safetensors") == 0)
        digest_parse(&digest, json_string_value(json_object_get(file, "digest")));
    json_decref(bundle);
    return digest;
}

/* One read of a folder; *got is the digest of its weights. */
static bool folder_is_whole(int handle, struct digest *got, char *bytes, size_t room)
{
    struct digest want = named_weights(bytes, read_in(handle, "bundle.json", bytes, room));
    size_t len = read_in(handle, "model.safetensors", bytes, room);
    *got = digest_of(bytes, len);
    return digest_equal(got, &want);
}

static void read_while_swapping(const char *layout, int64_t swaps)
{
    enum { ROOM = 1 << 16 };
    struct support s;
    struct deployed deployed;
    int64_t done;
    size_t count = 0, reads = 0, changes = 0;
    begin(&s);
    bool image = strcmp(layout, "image") == 0;
    struct deploy_opts opts = { .ref = "fashion@2",
                                .dir = path_join(&s.arena, s.dir, "deploy"),
                                .layout = deploy_layout_find(layout) };
    MUST(registry_deploy_probed(&s.registry, &deployed, &opts, &s.err));
    const char *current = path_join(&s.arena, opts.dir, "current");
    char *bytes = arena_take(&s.arena, ROOM);
    struct digest last = { 0 }, got = { 0 };
    FILE *pipe = start(&s, "swap %s %lld %s", s.dir, (long long)swaps, layout);
    fcntl(fileno(pipe), F_SETFL, O_NONBLOCK);
    char line[32];
    while (!fgets(line, sizeof line, pipe) && !feof(pipe)) {
        clearerr(pipe);
        int handle = open(current, O_RDONLY | O_DIRECTORY);
        cr_assert_geq(handle, 0, "current is always there");
        bool whole = image ? image_is_whole(handle, &got, bytes, ROOM)
                           : folder_is_whole(handle, &got, bytes, ROOM);
        cr_expect(whole, "%s: read %zu is mixed", layout, reads);
        changes += reads && !digest_equal(&got, &last);
        last = got;
        reads++;
        close(handle);
    }
    done = strtoll(line, NULL, 10);
    cr_expect_eq(finish(pipe, &done, &count, 0), 0);
    cr_expect_eq(done, swaps);
    cr_expect_gt(changes, 10, "%s: swaps were seen: %zu in %zu reads", layout, changes, reads);
    support_close(&s);
}

Test(deploy, a_reader_that_opens_current_once_never_sees_two_versions_mixed, .timeout = 300)
{
    const char *wanted = getenv("PAWL_SWAPS"); /* ./dev drill registry asks for 10,000 */
    const int64_t swaps = wanted ? strtoll(wanted, NULL, 10) : 1000;
    read_while_swapping("folder", swaps);
    read_while_swapping("image", wanted ? swaps : 300);
}
