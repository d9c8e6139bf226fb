/* Joining, step by step with all ranks; the watch's thread.
 *
 * `lock` guards the ring and what both threads write. An abort runs on a thread of its own, since
 * it may hang as well. */
#include "comm/on_device.h"

#include "base/clock.h"
#include "comm/watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double end_default_s = 30;
enum { TICK_MS = 20 };

struct on_device {
    struct comm *comm;
    struct device *device;
    struct on_device_opts opts;
    struct rank_mark *marks;
    pthread_t thread;
    bool watching;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool leaving, aborted; /* the caller closes; the abort has returned */
    struct watch_ring ring;
    struct watch_progress progress;
    uint64_t ended; /* the last collective whose entry was completed */
    double opened;
    struct err broken;
};

/* --- joining */

/* Says what became of a step on this rank; learns whether it succeeded on all. The lowest rank that
 * failed is the largest word. */
static enum code agree(struct comm *comm, const char *doing, enum code mine, struct err *err)
{
    enum { CODE_BITS = 8 };
    int64_t word = mine ? (int64_t)(comm->size - comm->rank) << CODE_BITS | (int64_t)mine : 0;
    struct err lost;
    enum code code = comm_all_reduce(comm, &word, 1, COMM_I64, COMM_MAX, &lost);
    if (mine) return mine;
    if (code && err) *err = lost;
    if (code || !word) return code;
    code = (enum code)(word & ((1 << CODE_BITS) - 1));
    err_set(err, code, "cannot %s on rank %d: %s", doing, comm->size - (int)(word >> CODE_BITS),
            code_text(code));
    return err_hint(err, "That rank's own message says more.");
}

/* All must have the same version: an older one speaks another language. */
static enum code compare_versions(struct comm *comm, int version, struct err *err)
{
    int64_t most = version, least = -version;
    TRY(comm_all_reduce(comm, &most, 1, COMM_I64, COMM_MAX, err));
    TRY(comm_all_reduce(comm, &least, 1, COMM_I64, COMM_MAX, err));
    if (most == -least) return OK;
    err_set(err, DEVICE,
            "cannot join the ranks' devices: their libraries have versions %lld to %lld",
            (long long)-least, (long long)most);
    return err_hint(err, "Install the same version of NCCL on all machines.");
}

static void tell_issued(void *context, const struct collective *group, int count)
{
    struct on_device *joined = context;
    char text[COLLECTIVE_TEXT], what[COLLECTIVE_TEXT];
    uint64_t bytes = 0;
    for (int i = 0; i < count; i++) bytes += (uint64_t)group[i].count * dtype_size(group[i].dtype);
    collective_text(group, text);
    snprintf(what, sizeof what, count > 1 ? "%.70s, %d more" : "%.70s", text, count - 1);
    pthread_mutex_lock(&joined->lock);
    watch_add(&joined->ring, what, bytes, clock_monotonic() - joined->opened);
    pthread_mutex_unlock(&joined->lock);
}

static enum code join(struct on_device *joined, struct err *err)
{
    struct comm *comm = joined->comm;
    struct device *device = joined->device;
    const struct device_collective *collective = device->collective;
    struct collective_opts opts = { .rank = comm->rank,
                                    .ranks = comm->size,
                                    .limit_s = joined->opts.connect_s,
                                    .exact = joined->opts.exact,
                                    .channels = joined->opts.channels,
                                    .shared = joined->opts.shared,
                                    .record = joined->opts.record,
                                    .issued = tell_issued,
                                    .context = joined };
    int version = 0;
    enum code code = collective->prepare(device, &opts, &version, err);
    TRY(agree(comm, "load what joins devices", code, err));
    TRY(compare_versions(comm, version, err));
    code = comm->rank ? OK : collective->make_id(device, opts.id, err);
    TRY(agree(comm, "make an id for the ranks", code, err));
    TRY(comm_broadcast(comm, opts.id, sizeof opts.id, 0, err));
    code = collective->open(device, &opts, err);
    return agree(comm, "join the ranks' devices", code, err);
}

/* --- the watch */

static void after(struct timespec *time, double seconds)
{
    clock_gettime(CLOCK_MONOTONIC, time);
    time->tv_sec += (time_t)seconds;
    time->tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (time->tv_nsec < 1000000000) return;
    time->tv_sec++;
    time->tv_nsec -= 1000000000;
}

/* Called with the lock. */
static void wait_a_while(struct on_device *joined)
{
    struct timespec until;
    after(&until, TICK_MS * 1e-3);
    pthread_cond_timedwait(&joined->changed, &joined->lock, &until);
}

/* Completes the entries of what has ended meanwhile. */
static void note_ended(struct on_device *joined, uint64_t ended, double now)
{
    for (; joined->ended < ended && joined->ended < joined->ring.last; joined->ended++) {
        struct watch_entry *entry = watch_entry(&joined->ring, joined->ended + 1);
        if (entry) entry->seconds = now - joined->opened - entry->begun;
    }
}

/* What the others say; called with the lock, which is free meanwhile. -2: nobody could be asked. */
static int find_late(struct on_device *joined, uint64_t begun)
{
    struct comm *comm = joined->comm;
    if (!comm->backend || !comm->backend->ask) return -2;
    pthread_mutex_unlock(&joined->lock);
    bool asked = comm->backend->ask(comm, joined->marks);
    pthread_mutex_lock(&joined->lock);
    if (!asked) return -2;
    uint64_t furthest = begun;
    for (int r = 0; r < comm->size; r++)
        if (joined->marks[r].heard && joined->marks[r].device > furthest)
            furthest = joined->marks[r].device;
    return watch_find_late(joined->marks, comm->size, furthest, true);
}

/* Words for a mark that did not come; called with the lock. */
static void explain_silence(struct on_device *joined, struct collective_marks marks, double seconds)
{
    struct comm *comm = joined->comm;
    const struct watch_entry *entry = watch_entry(&joined->ring, marks.ended + 1);
    char head[200];
    snprintf(head, sizeof head, "rank %d's device gave up collective %llu (%s) after %.0f s",
             comm->rank, (unsigned long long)marks.ended + 1, entry ? entry->what : "unknown",
             seconds);
    int late = find_late(joined, marks.begun);
    if (late == -2)
        err_set(&joined->broken, DEVICE, "%s: the other ranks cannot be asked", head);
    else if (late < 0)
        err_set(&joined->broken, DEVICE, "%s: all ranks are in it", head);
    else if (!joined->marks[late].heard)
        err_set(&joined->broken, DEVICE, "%s: rank %d is gone or stopped (no answer)", head, late);
    else
        err_set(&joined->broken, DEVICE, "%s: rank %d is behind, its device has begun %llu", head,
                late, (unsigned long long)joined->marks[late].device);
    err_hint(&joined->broken, "Longer pauses are allowed with --rank-timeout; the run goes on from "
                              "its newest checkpoint.");
}

static void *abort_thread(void *argument)
{
    struct on_device *joined = argument;
    struct err why;
    pthread_mutex_lock(&joined->lock);
    why = joined->broken;
    pthread_mutex_unlock(&joined->lock);
    joined->device->collective->abort(joined->device, &why);
    pthread_mutex_lock(&joined->lock);
    joined->aborted = true;
    pthread_cond_broadcast(&joined->changed);
    pthread_mutex_unlock(&joined->lock);
    return NULL;
}

static void end_process(const struct on_device *joined)
{
    if (joined->opts.kill)
        joined->opts.kill();
    else
        kill(getpid(), SIGKILL);
}

/* Report, abort; then the caller must come and close. Called with the lock. */
static void end_work(struct on_device *joined)
{
    pthread_t thread;
    double end_s = joined->opts.end_s > 0 ? joined->opts.end_s : end_default_s;
    double end_at = clock_monotonic() + end_s;
    watch_write(&(struct watch_report){ .dir = joined->opts.report_dir,
                                        .name = "card",
                                        .rank = joined->comm->rank,
                                        .ranks = joined->comm->size,
                                        .message = joined->broken.message,
                                        .longest_s = joined->progress.limit.longest_s,
                                        .ring = &joined->ring });
    bool started = pthread_create(&thread, NULL, abort_thread, joined) == 0;
    while (started && !(joined->aborted && joined->leaving) && clock_monotonic() < end_at)
        wait_a_while(joined);
    if (!joined->aborted || !joined->leaving) end_process(joined);
    pthread_mutex_unlock(&joined->lock);
    if (started) pthread_join(thread, NULL);
    pthread_mutex_lock(&joined->lock);
}

static void *watch_thread(void *argument)
{
    struct on_device *joined = argument;
    const struct device_collective *collective = joined->device->collective;
    struct comm *comm = joined->comm;
    pthread_mutex_lock(&joined->lock);
    while (!joined->leaving && !joined->broken.code) {
        struct err heard = { 0 };
        pthread_mutex_unlock(&joined->lock);
        struct collective_marks marks = collective->marks(joined->device);
        enum code code = collective->poll(joined->device, &heard);
        if (comm->backend && comm->backend->tell) comm->backend->tell(comm, marks.begun);
        pthread_mutex_lock(&joined->lock);
        double now = clock_monotonic(), since = joined->progress.since;
        note_ended(joined, marks.ended, now);
        if (code)
            joined->broken = heard;
        else if (watch_look(&joined->progress, now, joined->ring.last, marks) && !joined->leaving)
            explain_silence(joined, marks, now - since);
        if (joined->broken.code)
            end_work(joined);
        else
            wait_a_while(joined);
    }
    pthread_mutex_unlock(&joined->lock);
    return NULL;
}

/* Signals are for the main thread. */
static enum code start_watch(struct on_device *joined, struct err *err)
{
    sigset_t all, before;
    joined->progress.limit.floor_s = joined->opts.floor_s;
    joined->progress.idle = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&joined->thread, NULL, watch_thread, joined);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return err_errno(err, IO, failed, "cannot start the watch over the device");
    joined->watching = true;
    return OK;
}

static enum code check_sharing(const struct comm *comm, const struct on_device_opts *opts,
                               struct err *err)
{
    if (!opts->shared || comm->local_size == comm->size) return OK;
    err_set(err, USAGE, "cannot share devices among ranks of several machines (%d of %d are here)",
            comm->local_size, comm->size);
    return err_hint(err, "--share-device is for tests on one machine.");
}

static enum code take(struct on_device **joined, struct comm *comm, struct device *device,
                      const struct on_device_opts *opts, struct err *err)
{
    void *block, *marks;
    pthread_condattr_t monotonic;
    TRY(block_alloc(&block, sizeof **joined, "the ranks' devices", err));
    enum code code = block_alloc(&marks, (size_t)comm->size * sizeof(struct rank_mark),
                                 "the ranks' marks", err);
    if (code) {
        block_free(block);
        return code;
    }
    *joined = block;
    **joined = (struct on_device){
        .comm = comm, .device = device, .opts = *opts, .marks = marks, .opened = clock_monotonic()
    };
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&(*joined)->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&(*joined)->lock, NULL);
    return OK;
}

/* All devices have collectives, or none is to use its own. */
static enum code find_collectives(struct comm *comm, const struct device *device, bool *wanted,
                                  struct err *err)
{
    enum { SOME_HAVE = 1, SOME_LACK = 2 };
    uint32_t flags = device->collective ? SOME_HAVE : SOME_LACK;
    TRY(comm_agree(comm, &flags, err));
    *wanted = flags == SOME_HAVE;
    if (flags != (SOME_HAVE | SOME_LACK)) return OK;
    err_set(err, DEVICE, "cannot join the ranks' devices: some have nothing to sum with");
    return err_hint(
        err, "Name the same --device for all ranks, and install the same pawl on all machines.");
}

enum code on_device_open(struct on_device **joined, struct comm *comm, struct device *device,
                         const struct on_device_opts *opts, struct err *err)
{
    bool wanted;
    *joined = NULL;
    if (comm->size == 1) return OK;
    TRY(find_collectives(comm, device, &wanted, err));
    if (!wanted) return OK;
    TRY(check_sharing(comm, opts, err));
    enum code code = take(joined, comm, device, opts, err);
    code = agree(comm, "join the ranks' devices", code, err);
    if (!code) code = join(*joined, err);
    if (!code) code = start_watch(*joined, err);
    code = agree(comm, "watch over the ranks' devices", code, err);
    if (!code) return OK;
    on_device_close(*joined);
    *joined = NULL;
    return code;
}

void on_device_close(struct on_device *joined)
{
    if (!joined) return;
    pthread_mutex_lock(&joined->lock);
    joined->leaving = true;
    pthread_cond_broadcast(&joined->changed);
    pthread_mutex_unlock(&joined->lock);
    if (joined->watching) pthread_join(joined->thread, NULL);
    joined->device->collective->close(joined->device);
    pthread_mutex_destroy(&joined->lock);
    pthread_cond_destroy(&joined->changed);
    block_free(joined->marks);
    block_free(joined);
}
