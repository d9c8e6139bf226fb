/* Spawning the two runs, and comparing what they left. */
#include "workflow/verify_resume.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "trainer/run.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MANIFEST_LIMIT = 64 << 20, MOST_ARGS = 256 };

struct drill {
    const struct verify_resume_opts *opts;
    struct arena arena;
    const char *straight, *killed; /* run directories */
    int64_t steps;                 /* of the whole run */
    int64_t compared;
};

/* Runs this program with other arguments and waits for it. */
static enum code spawn(const char *const *args, char **environment, int *status, struct err *err)
{
    pid_t pid;
    posix_spawn_file_actions_t quiet; /* what the drills print is not what the user asked for */
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_adddup2(&quiet, STDERR_FILENO, STDOUT_FILENO);
    int failed = posix_spawn(&pid, "/proc/self/exe", &quiet, NULL, (char *const *)(uintptr_t)args,
                             environment);
    posix_spawn_file_actions_destroy(&quiet);
    if (failed) return err_errno(err, IO, failed, "cannot start `pawl train`");
    while (waitpid(pid, status, 0) < 0)
        if (errno != EINTR) return err_errno(err, IO, errno, "cannot wait for `pawl train`");
    return OK;
}

/* Runs one `pawl train`; kill_at 0: to its end. `every` is the distance of checkpoints, 0: as
 * written. */
static enum code run_train(struct drill *drill, const char *run, int64_t kill_at, int64_t every,
                           int *status, struct err *err)
{
    const struct verify_resume_opts *opts = drill->opts;
    const char *args[MOST_ARGS];
    int count = 0;
    args[count++] = "pawl";
    args[count++] = "train";
    args[count++] = opts->experiment;
    args[count++] = "--quiet";
    args[count++] = arena_format(&drill->arena, "--run=%s", run);
    args[count++] = "--set=train.log_every=0s";
    args[count++] = "--take-over"; /* starts killed before their first checkpoint are meant to be */
    if (every)
        args[count++] = arena_format(&drill->arena, "--set=train.checkpoint.every=%lldst",
                                     (long long)every);
    /* both compute alike: what one run found fastest is an input of the other */
    const char *chosen = path_join(&drill->arena, drill->straight, RUN_ALGORITHMS);
    if (run == drill->killed && fs_exists(chosen))
        args[count++] = arena_format(&drill->arena, "--algorithms=%s", chosen);
    if (opts->device) args[count++] = arena_format(&drill->arena, "--device=%s", opts->device);
    if (opts->ranks) args[count++] = arena_format(&drill->arena, "--ranks=%d", opts->ranks);
    if (kill_at)
        args[count++] = arena_format(&drill->arena, "--kill-at-step=%lld", (long long)kill_at);
    const char *const *const lists[] = { opts->unset, opts->set };
    static const char *const options[] = { "unset", "set" };
    for (int l = 0; l < 2; l++) {
        for (const char *const *item = lists[l]; item && *item; item++) {
            if (count >= MOST_ARGS - 1)
                return err_set(err, USAGE, "cannot verify: more than %d overrides", MOST_ARGS);
            args[count++] = arena_format(&drill->arena, "--%s=%s", options[l], *item);
        }
    }
    args[count] = NULL;
    return spawn(args, opts->environment, status, err);
}

static enum code expect_end(int status, const char *what, struct err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return OK;
    int number = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    err_set(err, WIFEXITED(status) && number == 2 ? CONFIG : HOPELESS,
            "cannot verify: %s ended with %s %d", what, WIFEXITED(status) ? "exit code" : "signal",
            number);
    return err->code;
}

static enum code find_steps(struct drill *drill, struct err *err)
{
    json_t *records;
    TRY(run_log_read_all(&records, drill->straight, err));
    for (size_t i = 0; i < json_array_size(records); i++) {
        const json_t *record = json_array_get(records, i);
        const char *kind = json_string_value(json_object_get(record, "kind"));
        if (kind && strcmp(kind, "end") == 0)
            drill->steps = json_integer_value(json_object_get(record, "step"));
    }
    json_decref(records);
    if (drill->steps > drill->opts->kills) return OK;
    err_set(err, USAGE, "cannot verify: %lld steps are too few for %lld kills",
            (long long)drill->steps, (long long)drill->opts->kills);
    return err_hint(err, "Train longer, or say --kills %lld.", (long long)drill->steps / 2);
}

/* One kill in each of `kills` equal parts of the run, with a few checkpoints in each part. */
static enum code run_killed(struct drill *drill, struct err *err)
{
    int64_t kills = drill->opts->kills, every = drill->steps / (4 * kills);
    if (every < 1) every = 1;
    int status;
    for (int64_t k = 0; k < kills; k++) {
        int64_t low = k * drill->steps / kills, high = (k + 1) * drill->steps / kills;
        uint64_t draw = rng_mix(drill->opts->seed, (uint64_t)k);
        int64_t at = low + 1 + (int64_t)(draw % (uint64_t)(high - low));
        TRY(run_train(drill, drill->killed, at, every, &status, err));
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            return expect_end(status, "the run that was to be killed", err);
        log_note("killed after step %lld of %lld", (long long)at, (long long)drill->steps);
    }
    TRY(run_train(drill, drill->killed, 0, every, &status, err));
    return expect_end(status, "the resumed run", err);
}

static enum code differs(const char *what, struct err *err)
{
    return err_set(err, HOPELESS, "resuming is not exact: %s differs", what);
}

/* Newest checkpoint's document of a run. */
static enum code read_part(struct drill *drill, json_t **document, const char *run,
                           const char *name, struct err *err)
{
    char **names;
    size_t count;
    TRY(run_checkpoints(&drill->arena, &names, &count, run, err));
    if (!count) return err_set(err, HOPELESS, "cannot verify: '%s' has no checkpoint", run);
    const char *path = arena_format(&drill->arena, "%s/checkpoints/%s/%s", run, names[0], name);
    return json_read(document, path, MANIFEST_LIMIT, NULL, err);
}

static enum code compare_tensors(struct drill *drill, struct err *err)
{
    json_t *a = NULL, *b = NULL;
    enum code code;
    if ((code = read_part(drill, &a, drill->straight, "manifest.json", err))) goto out;
    if ((code = read_part(drill, &b, drill->killed, "manifest.json", err))) goto out;
    json_t *left = json_object_get(a, "tensors"), *right = json_object_get(b, "tensors");
    const char *name;
    json_t *value;
    json_object_foreach(left, name, value)
    {
        drill->compared++;
        if (json_equal(value, json_object_get(right, name))) continue;
        code = differs(arena_format(&drill->arena, "tensor '%s'", name), err);
        goto out;
    }
    if (json_object_size(left) != json_object_size(right)) code = differs("the tensors' list", err);
out:
    json_decref(a);
    json_decref(b);
    return code;
}

static enum code compare_state(struct drill *drill, struct err *err)
{
    static const char *const keys[] = { "step",   "epoch",   "index",     "time",
                                        "waited", "metrics", "stop_best", "last_validation" };
    json_t *a = NULL, *b = NULL;
    enum code code;
    if ((code = read_part(drill, &a, drill->straight, "trainer.json", err))) goto out;
    if ((code = read_part(drill, &b, drill->killed, "trainer.json", err))) goto out;
    for (size_t k = 0; k < sizeof keys / sizeof *keys && !code; k++) {
        json_t *left = json_object_get(a, keys[k]), *right = json_object_get(b, keys[k]);
        drill->compared++;
        if ((left || right) && !json_equal(left, right))
            code = differs(arena_format(&drill->arena, "trainer.json's '%s'", keys[k]), err);
    }
out:
    json_decref(a);
    json_decref(b);
    return code;
}

/* The loss of every step, by step, from a run's records. */
static enum code read_losses(struct drill *drill, const json_t ***losses, json_t **records,
                             const char *run, struct err *err)
{
    TRY(run_log_read_all(records, run, err));
    *losses = ARENA_ARRAY(&drill->arena, drill->steps + 1, const json_t *);
    for (size_t i = 0; i < json_array_size(*records); i++) {
        const json_t *record = json_array_get(*records, i);
        const char *kind = json_string_value(json_object_get(record, "kind"));
        int64_t step = json_integer_value(json_object_get(record, "step"));
        if (kind && strcmp(kind, "step") == 0 && step >= 0 && step <= drill->steps)
            (*losses)[step] = json_object_get(record, "loss");
    }
    return OK;
}

static enum code compare_losses(struct drill *drill, struct err *err)
{
    const json_t **left, **right;
    json_t *a = NULL, *b = NULL;
    enum code code;
    if ((code = read_losses(drill, &left, &a, drill->straight, err))) goto out;
    if ((code = read_losses(drill, &right, &b, drill->killed, err))) goto out;
    for (int64_t step = 1; step <= drill->steps && !code; step++) {
        drill->compared++;
        if (left[step] && right[step] && json_equal(left[step], right[step])) continue;
        code = differs(arena_format(&drill->arena, "the loss of step %lld", (long long)step), err);
    }
out:
    json_decref(a);
    json_decref(b);
    return code;
}

static enum code run_drill(struct drill *drill, struct err *err)
{
    int status;
    TRY(fs_remove_tree(drill->straight, err));
    TRY(fs_remove_tree(drill->killed, err));
    TRY(fs_mkdirs(drill->opts->dir, err));
    TRY(run_train(drill, drill->straight, 0, 0, &status, err));
    TRY(expect_end(status, "the straight run", err));
    TRY(find_steps(drill, err));
    TRY(run_killed(drill, err));
    TRY(compare_tensors(drill, err));
    TRY(compare_state(drill, err));
    return compare_losses(drill, err);
}

/* Removes what the drill made: the folder itself only when nothing else is in it. */
static enum code clean_up(struct drill *drill, struct err *err)
{
    char **names;
    size_t count;
    TRY(fs_remove_tree(drill->straight, err));
    TRY(fs_remove_tree(drill->killed, err));
    TRY(fs_list(&drill->arena, &names, &count, drill->opts->dir, err));
    return count ? OK : fs_remove_tree(drill->opts->dir, err);
}

enum code verify_resume(json_t **result, const struct verify_resume_opts *opts, struct err *err)
{
    struct drill drill = { .opts = opts };
    *result = NULL;
    drill.straight = path_join(&drill.arena, opts->dir, "straight");
    drill.killed = path_join(&drill.arena, opts->dir, "killed");
    enum code code = run_drill(&drill, err);
    if (!code) {
        *result = json_pack("{s:s,s:I,s:I,s:I,s:b}", "pawl", "verify-resume/1", "steps",
                            (json_int_t)drill.steps, "kills", (json_int_t)opts->kills, "compared",
                            (json_int_t)drill.compared, "equal", 1);
        code = clean_up(&drill, err);
    } else if (code == HOPELESS) {
        err_hint(err, "Both runs are kept in '%s'.", opts->dir);
    }
    arena_release(&drill.arena);
    return code;
}
