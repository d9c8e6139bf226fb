/* Taking a run: who may, who must wait, who is told to stop trying. */
#include "small.h"
#include "tests/registry/shared_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct launch plain = { 0 };

static enum code take(struct small *small, struct run *run, const struct launch *launch,
                      struct err *err)
{
    json_t *manifest = json_pack("{s:s,s:s}", "pawl", "run/1", "name", "small");
    struct algorithms table;
    algorithms_init(&table, "a table");
    algorithms_set(&table, &(struct algorithm_row){ "card", "call", "choice", "name", 1 });
    struct run_contents contents = { .manifest = manifest,
                                     .config = "pawl: experiment/1\n",
                                     .algorithms = &table };
    enum code code = run_take(run, small_path(small, "run"), &contents, launch, err);
    algorithms_release(&table);
    json_decref(manifest);
    return code;
}

/* Makes the run as if somebody else had taken it: incarnation 1 of this process with one member
 * changed (NULL: as it is). */
static void held_by(struct small *small, const char *key, json_t *value,
                    const struct launch *launch)
{
    struct err err = { 0 };
    struct run run;
    json_t *document;
    MUST(fs_remove_tree(small_path(small, "run"), &err));
    MUST(take(small, &run, launch, &err));
    cr_assert_eq(run.incarnation, 1);
    run_release(&run);
    const char *path = small_path(small, "run/incarnations/0001.json");
    MUST(json_read_checked(&document, path, 1 << 20, "incarnation/1", &err));
    if (key) json_object_set_new(document, key, value);
    MUST(fs_remove(path, &err));
    MUST(json_publish_checked(document, path, &err));
    json_decref(document);
}

static pid_t ended_process(void)
{
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    return pid;
}

Test(run, only_who_is_known_to_be_gone_is_replaced)
{
    const struct launch first = { .job = "77", .restart = 1 },
                        again = { .job = "77", .restart = 2 };
    const struct launch other = { .job = "78", .restart = 5 }, forced = { .take_over = true };
    const struct {
        const char *name, *key;
        json_t *value;
        const struct launch *held, *taken;
        enum code code;
    } rows[] = {
        { "a living process", NULL, NULL, &plain, &plain, CONFLICT },
        { "a living process, forced", NULL, NULL, &plain, &forced, OK },
        { "a dead process", "pid", json_integer(ended_process()), &plain, &plain, OK },
        { "a number given to another process", "started", json_integer(1), &plain, &plain, OK },
        { "a start that could not be read", "started", json_integer(-1), &plain, &plain, CONFLICT },
        { "another boot of this machine", "boot", json_string("earlier"), &plain, &plain, OK },
        { "another host", "host", json_string("elsewhere"), &plain, &plain, CONFLICT },
        { "another host, forced", "host", json_string("elsewhere"), &plain, &forced, OK },
        { "the job's restart on another host", "host", json_string("node7"), &first, &again, OK },
        { "the same start of the job", "host", json_string("node7"), &first, &first, CONFLICT },
        { "an older start of the job", "host", json_string("node7"), &again, &first, CONFLICT },
        { "another job", "host", json_string("node7"), &first, &other, CONFLICT },
        { "no job", "host", json_string("node7"), &first, &plain, CONFLICT },
    };
    struct small small;
    small_open(&small);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = { 0 };
        struct run run = { 0 };
        held_by(&small, rows[i].key, rows[i].value, rows[i].held);
        enum code code = take(&small, &run, rows[i].taken, &err);
        cr_expect_eq(code, rows[i].code, "%s: %s", rows[i].name, err.message);
        if (code == OK) cr_expect(run.incarnation == 2 && run.resuming, "%s", rows[i].name);
        if (code == CONFLICT) {
            char pid[32];
            snprintf(pid, sizeof pid, "process %d", (int)getpid());
            cr_expect(strstr(err.message, pid) && strstr(err.hint, "--take-over"), "%s: %s",
                      rows[i].name, err.message);
        }
        run_release(&run);
    }
    small_close(&small);
}

Test(run, a_damaged_incarnation_stops_all_but_a_take_over)
{
    const struct launch forced = { .take_over = true };
    struct small small;
    struct err err = { 0 };
    struct run run = { 0 };
    small_open(&small);
    held_by(&small, NULL, NULL, &plain);
    cr_assert_eq(truncate(small_path(&small, "run/incarnations/0001.json"), 40), 0);
    cr_expect_eq(take(&small, &run, &plain, &err), DAMAGED);
    cr_expect(strstr(err.message, "0001.json") && strstr(err.hint, "--take-over"), "%s; %s",
              err.message, err.hint);
    cr_expect_eq(take(&small, &run, &forced, &err), OK, "%s", err.message);
    cr_expect_eq(run.incarnation, 2);
    run_release(&run);
    small_close(&small);
}

/* One more start that ends at once, after this record (or none). */
static void start(struct small *small, const char *record)
{
    struct err err = { 0 };
    struct run run;
    const struct launch forced = { .take_over = true };
    MUST(take(small, &run, &forced, &err));
    struct run_opening opening = { .steps = 9 };
    MUST(run_begin(&run, &opening, &err));
    if (record) MUST(run_log_add(&run.log, json_loads(record, 0, NULL), &err));
    run_release(&run);
}

/* Makes every holder a process that has ended. */
static void all_gone(struct small *small, int starts)
{
    struct err err = { 0 };
    for (int i = 1; i <= starts; i++) {
        json_t *document;
        const char *path = arena_format(&small->arena, "%s/run/incarnations/%04d.json", small->dir,
                                        i);
        MUST(json_read_checked(&document, path, 1 << 20, "incarnation/1", &err));
        json_object_set_new(document, "boot", json_string("earlier"));
        MUST(fs_remove(path, &err));
        MUST(json_publish_checked(document, path, &err));
        json_decref(document);
    }
}

Test(run, three_starts_without_progress_are_enough)
{
    static const char *const progress[] = { NULL,
                                            "{\"kind\":\"checkpoint\",\"step\":3,\"name\":\"x\"}",
                                            "{\"kind\":\"stop\",\"step\":3}",
                                            "{\"kind\":\"end\",\"step\":9}",
                                            "{\"kind\":\"step\",\"step\":3}",
                                            "{\"kind\":\"alarm\",\"step\":3}" };
    struct small small;
    small_open(&small);
    for (size_t p = 0; p < sizeof progress / sizeof *progress; p++) {
        struct err err = { 0 };
        struct run run;
        const struct launch forced = { .take_over = true };
        bool hopeless = p == 0 || p > 3;
        MUST(fs_remove_tree(small_path(&small, "run"), &err));
        start(&small, NULL);
        start(&small, progress[p]);
        all_gone(&small, 2);
        MUST(take(&small, &run, &plain, &err)); /* the third: nothing is known of it yet */
        run_release(&run);
        all_gone(&small, 3);
        cr_expect_eq(take(&small, &run, &plain, &err), hopeless ? HOPELESS : OK, "row %zu: %s", p,
                     err.message);
        run_release(&run);
        if (!hopeless) continue;
        MUST(take(&small, &run, &forced, &err));
        run_release(&run);
    }
    struct err err = { 0 };
    struct run run;
    MUST(fs_remove_tree(small_path(&small, "run"), &err));
    for (int i = 0; i < 3; i++) start(&small, NULL);
    all_gone(&small, 3);
    MUST(fs_mkdirs(small_path(&small, "run/checkpoints/step-0000000004-0002"), &err));
    cr_expect_eq(take(&small, &run, &plain, &err), OK, "a checkpoint is progress");
    run_release(&run);
    small_close(&small);
}

/* Starts at one moment: the children wait at a pipe, take, say so, and live until told to end. */
Test(run, of_many_starts_at_one_moment_one_wins)
{
    enum { STARTS = 8 };
    struct small small;
    small_open(&small);
    for (int round = 0; round < 5; round++) {
        struct err err = { 0 };
        int go[2], told[2], won = 0;
        MUST(fs_remove_tree(small_path(&small, "run"), &err));
        cr_assert(pipe(go) == 0 && pipe(told) == 0);
        for (int i = 0; i < STARTS; i++) {
            if (fork() != 0) continue;
            struct run run;
            char c = 0;
            close(go[1]);
            unsigned char answer = 255;
            if (read(told[0], &c, 0) == 0) answer = (unsigned char)take(&small, &run, &plain, &err);
            if (write(told[1], &answer, 1) != 1) _exit(1);
            while (read(go[0], &c, 1) > 0) {}
            _exit(0);
        }
        for (int i = 0; i < STARTS; i++) {
            unsigned char answer;
            cr_assert_eq(read(told[0], &answer, 1), 1);
            cr_expect(answer == OK || answer == CONFLICT, "code %d", answer);
            won += answer == OK;
        }
        cr_expect_eq(won, 1, "%d winners", won);
        close(go[1]);
        for (int i = 0; i < STARTS; i++) wait(NULL);
        close(go[0]);
        close(told[0]);
        close(told[1]);
    }
    small_close(&small);
}

Test(run, whatever_call_fails_the_next_start_gets_the_run)
{
    struct small small;
    const struct launch forced = { .take_over = true };
    small_open(&small);
    for (int at = 1, counted = 1; at <= counted; at++) {
        struct err err = { 0 };
        struct run run = { 0 };
        MUST(fs_remove_tree(small_path(&small, "run"), &err));
        faults_begin(FAULT_ONCE, at);
        enum code code = take(&small, &run, &plain, &err);
        counted = faults_end();
        run_release(&run);
        int before = code ? 0 : 1;
        /* a manifest cites nothing that is not there */
        cr_expect(fs_exists(small_path(&small, "run/algorithms.json")) ||
                      !fs_exists(small_path(&small, "run/manifest.json")),
                  "call %d", at);
        MUST(take(&small, &run, &forced, &err));
        cr_expect(run.incarnation > before, "call %d", at);
        cr_expect(fs_exists(small_path(&small, "run/manifest.json")), "call %d", at);
        struct algorithms kept;
        algorithms_init(&kept, "a table");
        MUST(algorithms_load(&kept, small_path(&small, "run/algorithms.json"), &err));
        cr_expect_eq(kept.count, 1);
        algorithms_release(&kept);
        run_release(&run);
    }
    small_close(&small);
}

Test(run, checkpoints_are_tried_from_the_newest_start_and_step)
{
    static const char *const names[] = { "step-0000000009-0001",        "step-0000000007-0002",
                                         "step-0000000008-0002",        "step-0000000002-0010",
                                         ".step-0000000009-0011.x.tmp", "step-9-12",
                                         "step-0000000009-0011x",       "notes" };
    static const char *const want[] = { "step-0000000002-0010", "step-0000000008-0002",
                                        "step-0000000007-0002", "step-0000000009-0001" };
    struct small small;
    struct err err = { 0 };
    char **found;
    size_t count;
    small_open(&small);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        MUST(fs_mkdirs(arena_format(&small.arena, "%s/checkpoints/%s", small.dir, names[i]), &err));
    MUST(run_checkpoints(&small.arena, &found, &count, small.dir, &err));
    cr_assert_eq(count, 4);
    for (size_t i = 0; i < count; i++) cr_expect_str_eq(found[i], want[i]);
    small_close(&small);
}
