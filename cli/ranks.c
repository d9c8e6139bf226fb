/* The parent of mpirun, and the files through which ranks speak to it. */
#include "cli/ranks.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/process.h"
#include "trainer/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDER_VARIABLE "PAWL_RANKS_DIR"
#define FOLDER_NAME     "pawl-ranks-" /* and the parent's process number */

enum { STATUS_LIMIT = 1 << 16, POLL_MS = 20 };
static const double start_s = 10, behind_s = 5, end_s = 12, last_word_s = 1;

struct child {
    pid_t pid; /* 0: not known yet */
    bool gone;
};

struct parent {
    struct invocation *in;
    const char *folder;
    int ranks;
    pid_t mpirun; /* 0: gone */
    struct child *child;
    int started, running;      /* ranks that said so; those of them that are there */
    bool told, ending;         /* a request was handed on; the rest was told to end */
    double first;              /* when the first rank was gone */
    double asked, lost, empty; /* when: a stop was asked for, somebody was lost, nobody was left */
};

static const char *status_path(struct arena *arena, const char *folder, int rank)
{
    return arena_format(arena, "%s/rank-%04d.json", folder, rank);
}

/* --- a rank's side */

bool ranks_have_parent(const struct invocation *in)
{
    return variable(in, FOLDER_VARIABLE) != NULL;
}

static enum code publish(const struct invocation *in, int rank, json_t *status, struct err *err)
{
    size_t len;
    const char *text = json_canonical(in->arena, status, &len);
    json_decref(status);
    return fs_publish_view(status_path(in->arena, variable(in, FOLDER_VARIABLE), rank), text, len,
                           err);
}

/* A rank whose mpirun dies is told so; it then ends like after any SIGTERM. */
enum code ranks_say_started(const struct invocation *in, int rank, struct err *err)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    return publish(in, rank,
                   json_pack("{s:s,s:i,s:s,s:I}", "pawl", "rank-status/1", "rank", rank, "state",
                             "started", "pid", (json_int_t)getpid()),
                   err);
}

enum code ranks_say_ended(const struct invocation *in, int rank, enum code code,
                          const struct err *why, struct err *err)
{
    json_t *status = json_pack("{s:s,s:i,s:s,s:f,s:I,s:i,s:s}", "pawl", "rank-status/1", "rank",
                               rank, "state", "ended", "at_s", clock_monotonic(), "pid",
                               (json_int_t)getpid(), "code", (int)code, "text", code_text(code));
    if (code)
        json_object_set_new(status, "why",
                            json_pack("{s:s,s:s,s:s,s:i,s:i}", "message", why->message, "hint",
                                      why->hint, "file", why->file, "line", why->line, "column",
                                      why->column));
    return publish(in, rank, status, err);
}

/* --- the parent's side */

/* The program of that name on PATH (arena); NULL when there is none. */
static const char *find_program(const struct invocation *in, const char *name)
{
    const char *at = variable(in, "PATH");
    while (at && *at) {
        size_t len = strcspn(at, ":");
        const char *path = arena_format(in->arena, "%.*s/%s", (int)len, at, name);
        if (len && access(path, X_OK) == 0) return path;
        at += len + (at[len] == ':');
    }
    return NULL;
}

/* This call again, without --ranks; `args` has room. */
static int add_command(const struct invocation *in, const char **args, int count)
{
    char *self = arena_take(in->arena, PATH_MAX);
    ssize_t len = readlink("/proc/self/exe", self, PATH_MAX - 1);
    args[count++] = len > 0 ? self : "pawl";
    args[count++] = in->command->name;
    for (int i = 0; i < in->arg_count; i++) args[count++] = in->args[i];
    for (int i = 0; i < in->value_count; i++) {
        const char *name = in->values[i].option->name, *text = in->values[i].text;
        if (strcmp(name, "ranks") == 0) continue;
        args[count++] = text ? arena_format(in->arena, "--%s=%s", name, text)
                             : arena_format(in->arena, "--%s", name);
    }
    return count;
}

/* Binding off: mpirun would leave each rank one thread. Oversubscribing: it would refuse more ranks
 * than cores. The long kill timeout: when something sends mpirun a SIGTERM after all, the ranks
 * have time to save. The last: containers often forbid one process to read another's memory. */
static const char *const *mpirun_args(const struct parent *parent, const char *mpirun)
{
    static const char *const fixed[] = { "--bind-to",
                                         "none",
                                         "--oversubscribe",
                                         "--mca",
                                         "odls_base_sigkill_timeout",
                                         "60",
                                         "--mca",
                                         "btl_vader_single_copy_mechanism",
                                         "none",
                                         "-x",
                                         FOLDER_VARIABLE };
    enum { FIXED = sizeof fixed / sizeof *fixed };
    const struct invocation *in = parent->in;
    const char **args = ARENA_ARRAY(in->arena, FIXED + 16 + in->arg_count + in->value_count,
                                    const char *);
    int count = 0;
    args[count++] = mpirun;
    args[count++] = "-np";
    args[count++] = arena_format(in->arena, "%d", parent->ranks);
    for (int i = 0; i < FIXED; i++) args[count++] = fixed[i];
    static const char *const places[] = { "orte_tmpdir_base", "btl_vader_backing_directory" };
    for (int i = 0; i < 2; i++) { /* all that it leaves when killed goes with this one folder */
        args[count++] = "--mca";
        args[count++] = places[i];
        args[count++] = parent->folder;
    }
    if (geteuid() == 0) args[count++] = "--allow-run-as-root";
    add_command(in, args, count);
    return args;
}

/* The snapshot of the environment with the folder's name. */
static const char *const *environment_for(const struct parent *parent)
{
    char **from = parent->in->environment;
    int count = 0;
    while (from[count]) count++;
    const char **all = ARENA_ARRAY(parent->in->arena, count + 2, const char *);
    for (int i = 0; i < count; i++) all[i] = from[i];
    all[count] = arena_format(parent->in->arena, "%s=%s", FOLDER_VARIABLE, parent->folder);
    return all;
}

/* What the child does between fork and exec: a group of its own, so that Ctrl-C reaches the parent
 * alone; should the parent die, a request to stop, which mpirun hands on; nothing to read. */
__attribute__((noreturn)) static void become(const char *program, const char *const *args,
                                             const char *const *environment, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    int nothing = open("/dev/null", O_RDONLY);
    if (getppid() == parent && nothing >= 0) {
        dup2(nothing, STDIN_FILENO);
        execve(program, (char *const *)(uintptr_t)args, (char *const *)(uintptr_t)environment);
    }
    _exit(127);
}

static enum code start(struct parent *parent, struct err *err)
{
    const char *mpirun = find_program(parent->in, "mpirun");
    if (!mpirun) {
        err_set(err, NOT_FOUND, "cannot start %d ranks: there is no mpirun on the path",
                parent->ranks);
        return err_hint(err, "Install Open MPI (Debian: openmpi-bin), or start the ranks with the "
                             "launcher that you have and leave --ranks out.");
    }
    const char *const *args = mpirun_args(parent, mpirun);
    const char *const *environment = environment_for(parent);
    pid_t self = getpid();
    fflush(stdout);
    parent->mpirun = fork();
    if (parent->mpirun < 0) return err_errno(err, IO, errno, "cannot start '%s'", mpirun);
    if (parent->mpirun == 0) become(mpirun, args, environment, self);
    return OK;
}

static json_t *read_status(const struct parent *parent, int rank)
{
    json_t *status;
    const char *path = status_path(parent->in->arena, parent->folder, rank);
    return json_read(&status, path, STATUS_LIMIT, "rank-status/1", NULL) ? NULL : status;
}

static bool ended(const json_t *status)
{
    const char *state = json_string_value(json_object_get(status, "state"));
    return state && strcmp(state, "ended") == 0;
}

/* Learns who the ranks are, and notices who is gone without having said what it came to. */
static void look_at_ranks(struct parent *parent)
{
    parent->running = parent->started = 0;
    for (int r = 0; r < parent->ranks; r++) {
        struct child *child = &parent->child[r];
        if (!child->pid) {
            json_t *status = read_status(parent, r);
            child->pid = (pid_t)json_integer_value(json_object_get(status, "pid"));
            json_decref(status);
        }
        if (!child->pid) continue;
        parent->started++;
        if (child->gone) continue;
        child->gone = !process_runs(child->pid);
        parent->running += !child->gone;
        if (!child->gone) continue;
        if (parent->first <= 0) parent->first = clock_monotonic();
        if (parent->lost > 0) continue;
        json_t *status = read_status(parent, r);
        if (!ended(status)) parent->lost = clock_monotonic();
        json_decref(status);
    }
}

static void signal_ranks(const struct parent *parent, int number)
{
    for (int r = 0; r < parent->ranks; r++)
        if (parent->child[r].pid && !parent->child[r].gone) kill(parent->child[r].pid, number);
}

/* A request to stop is handed on once all ranks can take it: SIGUSR1 kills what has not come so
 * far. */
static void hand_on_request(struct parent *parent, double now)
{
    if (parent->told || !signals_stop()) return;
    if (parent->asked <= 0) parent->asked = now;
    bool ready = parent->started == parent->ranks;
    if (!ready && now - parent->asked < start_s) return;
    kill(parent->mpirun, ready ? SIGUSR1 : SIGTERM);
    parent->told = true;
}

/* One rank is lost, or mpirun is, or one of them stays behind when a rank has ended: the rest is
 * told, then killed. mpirun itself would take twice its kill timeout for that, asleep. */
static void end_the_rest(struct parent *parent, double now)
{
    bool behind = parent->first > 0 && now - parent->first > behind_s;
    if (parent->lost <= 0 && (behind || !parent->mpirun)) parent->lost = now;
    if (parent->lost <= 0) return;
    if (!parent->ending) signal_ranks(parent, SIGTERM);
    parent->ending = true;
    if (now - parent->lost > end_s) signal_ranks(parent, SIGKILL);
    if (!parent->running && parent->empty <= 0) parent->empty = now;
    if (parent->empty > 0 && now - parent->empty > last_word_s && parent->mpirun)
        kill(parent->mpirun, SIGKILL);
}

static void pause_a_little(void)
{
    const struct timespec pause = { .tv_nsec = POLL_MS * 1000 * 1000 };
    nanosleep(&pause, NULL);
}

/* Until mpirun and all ranks are gone. */
static void watch(struct parent *parent)
{
    for (;;) {
        int status;
        double now = clock_monotonic();
        if (parent->mpirun && waitpid(parent->mpirun, &status, WNOHANG) == parent->mpirun)
            parent->mpirun = 0;
        look_at_ranks(parent);
        if (!parent->mpirun && !parent->running) return;
        if (parent->mpirun) hand_on_request(parent, now);
        end_the_rest(parent, now);
        pause_a_little();
    }
}

static enum code code_of(const json_t *status)
{
    return (enum code)json_integer_value(json_object_get(status, "code"));
}

/* The code and the words of a rank. */
static enum code repeat(const json_t *status, struct err *err)
{
    enum code code = code_of(status);
    const json_t *why = json_object_get(status, "why");
    const char *message = json_string_value(json_object_get(why, "message"));
    const char *hint = json_string_value(json_object_get(why, "hint"));
    const char *file = json_string_value(json_object_get(why, "file"));
    err_set(err, code, "%s", message ? message : "");
    if (hint && *hint) err_hint(err, "%s", hint);
    if (file && *file)
        err_at(err, file, (int)json_integer_value(json_object_get(why, "line")),
               (int)json_integer_value(json_object_get(why, "column")));
    return code;
}

/* The failure that came first: the others' words are about its consequences. Borrowed; NULL when
 * nobody had one to tell of. */
static const json_t *first_failure(json_t *const *status, int ranks)
{
    const json_t *first = NULL;
    double at = 0;
    for (int r = 0; r < ranks; r++) {
        double when = json_number_value(json_object_get(status[r], "at_s"));
        if (!ended(status[r]) || !code_of(status[r]) || (first && when >= at)) continue;
        first = status[r];
        at = when;
    }
    return first;
}

static enum code nobody_spoke(const struct parent *parent, json_t *const *status, struct err *err)
{
    int silent = 0;
    while (silent < parent->ranks - 1 && ended(status[silent])) silent++;
    if (signals_stop() && !parent->started) {
        err_set(err, STOPPED, "stopped on %s before the ranks had started", signals_name());
        return err_hint(err, "The same command starts them again.");
    }
    err_set(err, DEVICE, "rank %d ended without a word (killed?); all %d ranks are gone", silent,
            parent->ranks);
    return err_hint(err, "The same command goes on from the newest checkpoint.");
}

/* Rank 0's result; where that is a failure or missing, the failure that came first. */
static enum code collect(const struct parent *parent, struct err *err)
{
    json_t **status = ARENA_ARRAY(parent->in->arena, parent->ranks, json_t *);
    for (int r = 0; r < parent->ranks; r++) status[r] = read_status(parent, r);
    enum code code = OK;
    if (!ended(status[0]) || code_of(status[0])) {
        const json_t *failure = first_failure(status, parent->ranks);
        code = failure ? repeat(failure, err) : nobody_spoke(parent, status, err);
    }
    for (int r = 0; r < parent->ranks; r++) json_decref(status[r]);
    return code;
}

/* In a drill the ranks were killed on purpose; whoever ordered it sees a killed process. */
static void end_like_the_drill(const struct parent *parent)
{
    json_t *status = read_status(parent, 0);
    bool killed = given(parent->in, "kill-at-step") && !ended(status);
    json_decref(status);
    if (!killed) return;
    fs_remove_tree(parent->folder, NULL);
    kill(getpid(), SIGKILL);
}

/* Where the ranks' shared memory lies too: in memory, where the system has such a folder. */
static const char *exchange_place(const struct invocation *in)
{
    const char *base = variable(in, "TMPDIR");
    if (access("/dev/shm", W_OK) == 0) return "/dev/shm";
    return base && *base ? base : "/tmp";
}

/* Removes what parents left that were killed. */
static void sweep(const struct invocation *in, const char *place)
{
    char **names;
    struct err unused;
    if (fs_list(in->arena, &names, NULL, place, &unused)) return;
    for (; *names; names++) {
        long long pid;
        if (sscanf(*names, "." FOLDER_NAME "%lld.", &pid) == 1 && !process_runs(pid))
            fs_remove_tree(path_join(in->arena, place, *names), &unused);
    }
}

enum code ranks_run(struct invocation *in, int ranks, struct err *err)
{
    char *folder = arena_take(in->arena, PATH_MAX);
    const char *place = exchange_place(in);
    const char *name = arena_format(in->arena, FOLDER_NAME "%lld", (long long)getpid());
    fs_temporary_name(folder, PATH_MAX, path_join(in->arena, place, name));
    sweep(in, place);
    struct parent parent = { .in = in, .folder = folder, .ranks = ranks };
    parent.child = ARENA_ARRAY(in->arena, ranks, struct child);
    TRY(fs_mkdirs(folder, err));
    signals_install();
    enum code code = start(&parent, err);
    if (!code) {
        watch(&parent);
        end_like_the_drill(&parent);
        code = collect(&parent, err);
    }
    struct err unused;
    fs_remove_tree(folder, &unused);
    return code;
}
