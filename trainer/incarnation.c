/* Taking a run: one incarnation per start, numbers by exclusive creation.
 *
 * Who may take over: the same host and boot with a dead process at once, an older boot of the same
 * host too, the same job with a higher restart count; anybody else must say --take-over. */
#include "base/clock.h"
#include "base/process.h"
#include "trainer/run.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DOCUMENT_LIMIT = 1 << 20, HOST_TEXT = 128, BOOT_TEXT = 64, STARTS_WITHOUT_PROGRESS = 3 };

/* What identifies a process on a host, as far as another process can check it. */
struct holder {
    char host[HOST_TEXT], boot[BOOT_TEXT];
    int64_t pid, started; /* started: clock ticks since boot, from /proc */
};

static void this_holder(struct holder *holder)
{
    memset(holder, 0, sizeof *holder);
    gethostname(holder->host, sizeof holder->host - 1);
    int fd;
    if (!fs_open(&fd, "/proc/sys/kernel/random/boot_id", NULL, NULL)) {
        ssize_t len = fs_calls.pread(fd, holder->boot, sizeof holder->boot - 1, 0);
        fs_close(fd);
        if (len > 0) holder->boot[strcspn(holder->boot, "\n")] = '\0';
    }
    holder->pid = getpid();
    holder->started = process_started(holder->pid);
}

static json_t *incarnation_document(const struct holder *me, const struct launch *launch,
                                    int number)
{
    uint64_t nonce[2];
    char time[TIME_TEXT], hex[40];
    random_bytes(nonce, sizeof nonce);
    snprintf(hex, sizeof hex, "%016llx%016llx", (unsigned long long)nonce[0],
             (unsigned long long)nonce[1]);
    return json_pack("{s:s,s:i,s:s,s:s,s:s,s:I,s:I,s:s,s:s*,s:I}", "pawl", "incarnation/1",
                     "number", number, "nonce", hex, "host", me->host, "boot", me->boot, "pid",
                     (json_int_t)me->pid, "started", (json_int_t)me->started, "time",
                     clock_utc(time), "job", launch->job, "restart", (json_int_t)launch->restart);
}

/* Whether the process that an incarnation names may still be writing. */
static bool may_be_alive(const json_t *document, const struct holder *me,
                         const struct launch *launch)
{
    const char *host = json_string_value(json_object_get(document, "host"));
    const char *boot = json_string_value(json_object_get(document, "boot"));
    const char *job = json_string_value(json_object_get(document, "job"));
    int64_t restart = json_integer_value(json_object_get(document, "restart"));
    if (job && launch->job && strcmp(job, launch->job) == 0 && launch->restart > restart)
        return false;
    if (!host || strcmp(host, me->host) != 0) return true;
    if (!boot || strcmp(boot, me->boot) != 0) return false;
    int64_t pid = json_integer_value(json_object_get(document, "pid"));
    if (!process_runs(pid)) return false;
    int64_t started = json_integer_value(json_object_get(document, "started"));
    int64_t found = process_started(pid);
    return found < 0 || started < 0 || found == started; /* who cannot be told apart may live */
}

static enum code check_holder(const char *path, const struct holder *me,
                              const struct launch *launch, const char *dir, struct err *err)
{
    json_t *document;
    enum code code = OK;
    if (launch->take_over) return OK; /* who says so need not be able to read who held it */
    if ((code = json_read_checked(&document, path, DOCUMENT_LIMIT, "incarnation/1", err))) {
        if (code == DAMAGED)
            err_hint(err, "Say --take-over if no other process holds run '%s'.", dir);
        return code;
    }
    if (may_be_alive(document, me, launch)) {
        code = err_set(err, CONFLICT, "cannot take run '%s': process %lld on host '%s' holds it",
                       dir, (long long)json_integer_value(json_object_get(document, "pid")),
                       json_string_value(json_object_get(document, "host")));
        err_hint(err, "Wait for it, or say --take-over if it is gone for good.");
    }
    json_decref(document);
    return code;
}

/* The highest incarnation number there is; 0 when there is none. */
static enum code last_incarnation(struct arena *arena, int *last, const char *folder,
                                  struct err *err)
{
    char **names;
    *last = 0;
    TRY(fs_list(arena, &names, NULL, folder, err));
    for (; *names; names++) {
        int number, used = 0;
        if (sscanf(*names, "%d.json%n", &number, &used) == 1 && used && !(*names)[used] &&
            number > *last)
            *last = number;
    }
    return OK;
}

/* Whether an incarnation got anywhere: it left a checkpoint, or its log tells of one, of a stop or
 * of an end. */
static bool got_anywhere(struct arena *arena, const char *dir, int number)
{
    json_t *records;
    int damaged, by;
    int64_t step;
    struct err unused;
    char **names;
    size_t count;
    if (run_checkpoints(arena, &names, &count, dir, &unused)) return false;
    for (size_t i = 0; i < count; i++)
        if (run_parse_checkpoint(names[i], &step, &by) && by == number) return true;
    if (run_log_read(&records, &damaged, arena_format(arena, "%s/log-%04d.jsonl", dir, number),
                     &unused))
        return false;
    bool progress = false;
    for (size_t i = 0; i < json_array_size(records); i++) {
        const char *kind = json_string_value(json_object_get(json_array_get(records, i), "kind"));
        progress |= kind && (strcmp(kind, "checkpoint") == 0 || strcmp(kind, "stop") == 0 ||
                             strcmp(kind, "end") == 0);
    }
    json_decref(records);
    return progress;
}

static enum code check_progress(struct arena *arena, const char *dir, int last,
                                const struct launch *launch, struct err *err)
{
    if (last < STARTS_WITHOUT_PROGRESS || launch->take_over) return OK;
    for (int back = 0; back < STARTS_WITHOUT_PROGRESS; back++)
        if (got_anywhere(arena, dir, last - back)) return OK;
    err_set(err, HOPELESS, "cannot go on with run '%s': the last %d starts made no progress", dir,
            STARTS_WITHOUT_PROGRESS);
    err_hint(err, "Read %s/log-%04d.jsonl for the cause; --take-over starts once more.", dir, last);
    return HOPELESS;
}

static enum code take_number(struct run *run, const struct launch *launch, struct err *err)
{
    struct holder me;
    this_holder(&me);
    const char *folder = path_join(&run->arena, run->dir, "incarnations");
    for (;;) {
        int last;
        TRY(last_incarnation(&run->arena, &last, folder, err));
        if (last)
            TRY(check_holder(arena_format(&run->arena, "%s/%04d.json", folder, last), &me, launch,
                             run->dir, err));
        TRY(check_progress(&run->arena, run->dir, last, launch, err));
        json_t *document = incarnation_document(&me, launch, last + 1);
        size_t len;
        const char *text = json_checked(&run->arena, document, &len);
        json_decref(document);
        bool won;
        TRY(fs_create_exclusive(arena_format(&run->arena, "%s/%04d.json", folder, last + 1), text,
                                len, &won, err));
        if (!won) continue; /* somebody started at the same moment: look at them */
        run->incarnation = last + 1;
        return OK;
    }
}

/* Removes what killed starts left half written or half removed: who holds the run has no other
 * writer beside it. Failing to is no failure. */
static void sweep_checkpoints(struct run *run)
{
    char **names;
    struct err unused;
    const char *folder = path_join(&run->arena, run->dir, "checkpoints");
    if (fs_list(&run->arena, &names, NULL, folder, &unused)) return;
    for (; *names; names++)
        if (fs_is_temporary(*names))
            fs_remove_tree(path_join(&run->arena, folder, *names), &unused);
}

/* The manifest comes last: what it cites is there. */
static enum code take(struct run *run, const struct run_contents *contents,
                      const struct launch *launch, struct err *err)
{
    struct arena *arena = &run->arena;
    const struct algorithms *algorithms = contents->algorithms;
    const char *config = contents->config;
    TRY(fs_mkdirs(path_join(arena, run->dir, "incarnations"), err));
    TRY(fs_mkdirs(path_join(arena, run->dir, "checkpoints"), err));
    TRY(take_number(run, launch, err));
    sweep_checkpoints(run);
    enum code code = run_manifest(&run->manifest, run->dir, err);
    run->resuming = code == OK;
    if (code && code != NOT_FOUND) return code;
    if (algorithms && (!run->resuming || algorithms->changed))
        TRY(algorithms_publish(algorithms, path_join(arena, run->dir, RUN_ALGORITHMS), err));
    if (run->resuming) return OK;
    TRY(fs_publish(path_join(arena, run->dir, "config.yaml"), config, strlen(config), err));
    run->manifest = json_deep_copy(contents->manifest);
    return json_publish_checked(contents->manifest, path_join(arena, run->dir, "manifest.json"),
                                err);
}

enum code run_take(struct run *run, const char *dir, const struct run_contents *contents,
                   const struct launch *launch, struct err *err)
{
    memset(run, 0, sizeof *run);
    run->dir = arena_copy(&run->arena, dir);
    enum code code = take(run, contents, launch, err);
    if (code) run_release(run);
    return code;
}
