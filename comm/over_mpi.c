/* The comm thread, and the watch over it.
 *
 * `lock` guards everything that both threads touch. The comm thread holds it except while it makes
 * an MPI call, so the caller's thread can always look, also when MPI hangs. */
#include "comm/over_mpi.h"

#include "base/clock.h"
#include "base/json.h"
#include "comm/watch.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SPINS = 200, TICK_MS = 20 };
static const double ending_s = 5, ask_s = 1, abort_s = 3, finalize_s = 10;

enum phase { STARTING, IDLE, POSTED, DONE, ASKING, ASKED, CLOSING, ABORTING, ENDED };

struct over_mpi {
    struct over_mpi_opts opts;
    struct mpi_calls calls;
    struct mpi_place place;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum phase phase;
    bool give_up; /* the comm thread is to leave an exchange that does not end */
    struct exchange_request request;
    enum code code; /* of the last thing that the comm thread did */
    struct err err;
    struct err broken; /* why every later call fails; code OK: it works */
    struct rank_mark mark, *marks;
    struct watch_ring ring;
    struct watch_limit limit;
    double opened;
};

static const char *const exchange_names[EXCHANGE_COUNT] = {
    [EXCHANGE_NONE] = "computing", [ALL_TO_ALL] = "all_to_all", [ALL_GATHER] = "all_gather",
    [BROADCAST] = "broadcast",     [BARRIER] = "barrier",
};

/* Looks after one exchange until it is over. Short ones end while spinning; then the pauses grow,
 * since ranks may share processors. */
static enum code poll_exchange(struct over_mpi *o, struct err *err)
{
    bool done = false;
    struct timespec pause = { .tv_nsec = 20 * 1000 };
    for (long turn = 0; !done; turn++) {
        TRY(o->calls.test(&o->calls, &done, err));
        if (done) break;
        if (turn < SPINS) {
            sched_yield();
            continue;
        }
        pthread_mutex_lock(&o->lock);
        struct rank_mark mine = o->mark;
        pthread_mutex_unlock(&o->lock);
        if (turn % 16 == 0) o->calls.answer(&o->calls, &mine);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 500 * 1000) pause.tv_nsec += 10 * 1000;
        pthread_mutex_lock(&o->lock);
        bool leave = o->give_up;
        pthread_mutex_unlock(&o->lock);
        if (leave) return err_set(err, DEVICE, "an exchange was given up");
    }
    return OK;
}

/* Called with the lock; makes its MPI calls without it. */
static void do_exchange(struct over_mpi *o)
{
    struct err err = { 0 };
    o->mark.begun++;
    o->mark.what = (uint32_t)o->request.what;
    struct exchange_request request = o->request;
    pthread_mutex_unlock(&o->lock);
    enum code code = o->calls.begin(&o->calls, &request, &err);
    if (!code) code = poll_exchange(o, &err);
    pthread_mutex_lock(&o->lock);
    o->code = code;
    o->err = err;
    if (!code) o->mark.what = EXCHANGE_NONE;
    if (o->phase == POSTED) o->phase = DONE; /* else the caller has given it up long ago */
    pthread_cond_broadcast(&o->changed);
}

static void do_ask(struct over_mpi *o)
{
    struct rank_mark mine = o->mark;
    pthread_mutex_unlock(&o->lock);
    o->calls.ask(&o->calls, o->marks, &mine, ask_s);
    pthread_mutex_lock(&o->lock);
    if (o->phase == ASKING) o->phase = ASKED;
    pthread_cond_broadcast(&o->changed);
}

static void after(struct timespec *time, double seconds)
{
    clock_gettime(CLOCK_MONOTONIC, time);
    double whole = (double)time->tv_nsec * 1e-9 + seconds;
    time->tv_sec += (time_t)whole;
    time->tv_nsec = (long)((whole - (double)(time_t)whole) * 1e9);
}

/* Sleeps until something changed, at most this long. Called with the lock. */
static void wait_a_while(struct over_mpi *o, double seconds)
{
    struct timespec until;
    after(&until, seconds);
    pthread_cond_timedwait(&o->changed, &o->lock, &until);
}

/* Nothing to do: answers who asks. */
static void rest(struct over_mpi *o)
{
    wait_a_while(o, TICK_MS * 1e-3);
    if (o->phase != IDLE && o->phase != DONE && o->phase != ASKED) return;
    struct rank_mark mine = o->mark;
    pthread_mutex_unlock(&o->lock);
    o->calls.answer(&o->calls, &mine);
    pthread_mutex_lock(&o->lock);
}

static void start(struct over_mpi *o)
{
    struct err err = { 0 };
    struct mpi_place place = { 0 };
    pthread_mutex_unlock(&o->lock);
    enum code code = o->calls.init(&o->calls, &place, &err);
    pthread_mutex_lock(&o->lock);
    o->place = place;
    o->code = code;
    o->err = err;
    o->phase = code ? ENDED : IDLE;
    pthread_cond_broadcast(&o->changed);
}

/* The last thing that the thread does: ends MPI in one way or the other. */
static void end(struct over_mpi *o)
{
    bool abort = o->phase == ABORTING;
    struct err unused;
    pthread_mutex_unlock(&o->lock);
    if (abort)
        o->calls.abort(&o->calls);
    else
        o->calls.finalize(&o->calls, &unused);
    pthread_mutex_lock(&o->lock);
    o->phase = ENDED;
    pthread_cond_broadcast(&o->changed);
}

static void *comm_thread(void *argument)
{
    struct over_mpi *o = argument;
    pthread_mutex_lock(&o->lock);
    start(o);
    while (o->phase != ENDED) {
        switch (o->phase) {
        case POSTED:
            do_exchange(o);
            break;
        case ASKING:
            do_ask(o);
            break;
        case CLOSING:
        case ABORTING:
            end(o);
            break;
        default:
            rest(o);
        }
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* --- the caller's side */

static void write_report(const struct over_mpi *o)
{
    watch_write(&(struct watch_report){ .dir = o->opts.report_dir,
                                        .name = "rank",
                                        .rank = o->place.rank,
                                        .ranks = o->place.size,
                                        .message = o->broken.message,
                                        .longest_s = o->limit.longest_s,
                                        .ring = &o->ring });
}

/* Asks all ranks where they are; called with the lock. False when not even the own comm thread
 * answers. */
static bool ask_all(struct over_mpi *o)
{
    o->give_up = true;
    double end_at = clock_monotonic() + ask_s;
    while (o->phase == POSTED && clock_monotonic() < end_at) wait_a_while(o, TICK_MS * 1e-3);
    if (o->phase == POSTED) return false;
    o->phase = ASKING;
    pthread_cond_broadcast(&o->changed);
    end_at = clock_monotonic() + 2 * ask_s;
    while (o->phase == ASKING && clock_monotonic() < end_at) wait_a_while(o, TICK_MS * 1e-3);
    return o->phase == ASKED;
}

static void explain_silence(struct over_mpi *o, double seconds)
{
    const char *what = exchange_names[o->request.what];
    if (!ask_all(o)) {
        err_set(&o->broken, DEVICE,
                "rank %d gave up %s %llu after %.0f s: the MPI library does not return",
                o->place.rank, what, (unsigned long long)o->mark.begun, seconds);
        return;
    }
    int late = watch_find_late(o->marks, o->place.size, o->mark.begun, false);
    if (late < 0)
        err_set(&o->broken, DEVICE, "rank %d gave up %s %llu after %.0f s: all ranks are in it",
                o->place.rank, what, (unsigned long long)o->mark.begun, seconds);
    else if (!o->marks[late].heard)
        err_set(&o->broken, DEVICE,
                "rank %d gave up %s %llu after %.0f s: rank %d is gone or stopped (no answer)",
                o->place.rank, what, (unsigned long long)o->mark.begun, seconds, late);
    else
        err_set(&o->broken, DEVICE,
                "rank %d gave up %s %llu after %.0f s: rank %d is behind at %llu (%s)",
                o->place.rank, what, (unsigned long long)o->mark.begun, seconds, late,
                (unsigned long long)o->marks[late].begun,
                exchange_names[o->marks[late].what < EXCHANGE_COUNT ? o->marks[late].what : 0]);
}

static void give_up(struct over_mpi *o, double seconds)
{
    explain_silence(o, seconds);
    err_hint(&o->broken, "Longer pauses are allowed with --rank-timeout; the run goes on from its "
                         "newest checkpoint.");
    write_report(o);
}

/* Waits for the comm thread, within the time limit; called with the lock. */
static void watch(struct over_mpi *o, double begun, double patience)
{
    double limit = watch_limit(&o->limit);
    double short_limit = watch_limit(&(struct watch_limit){ ending_s, o->limit.longest_s });
    double told = 0;
    if (patience > limit) limit = patience;
    if (short_limit > limit) short_limit = limit;
    while (o->phase == POSTED) {
        wait_a_while(o, TICK_MS * 1e-3);
        double now = clock_monotonic();
        if (told <= 0 && o->opts.ending && o->opts.ending()) told = now;
        bool late = now - begun >= limit || (told > 0 && now - told >= short_limit);
        if (o->phase == POSTED && late) {
            give_up(o, now - begun);
            return;
        }
    }
}

static enum code exchange(struct comm *comm, const struct exchange_request *request,
                          struct err *err)
{
    struct over_mpi *o = comm->state;
    double begun = clock_monotonic();
    pthread_mutex_lock(&o->lock);
    if (!o->broken.code) {
        struct watch_entry *past = watch_add(&o->ring, exchange_names[request->what],
                                             request->bytes, begun - o->opened);
        o->request = *request;
        o->phase = POSTED;
        pthread_cond_broadcast(&o->changed);
        watch(o, begun, comm->patience_s);
        past->seconds = clock_monotonic() - begun;
        if (!o->broken.code && o->code) {
            o->broken = o->err;
            write_report(o);
        }
        if (!o->broken.code && comm->patience_s <= 0) watch_learn(&o->limit, past->seconds);
    }
    enum code code = o->broken.code;
    if (code && err) *err = o->broken;
    pthread_mutex_unlock(&o->lock);
    return code;
}

static enum code mpi_all_to_all(struct comm *comm, void *out, const void *in, size_t bytes,
                                struct err *err)
{
    struct exchange_request request = { ALL_TO_ALL, out, in, bytes, 0 };
    return exchange(comm, &request, err);
}

static enum code mpi_all_gather(struct comm *comm, void *out, const void *in, size_t bytes,
                                struct err *err)
{
    struct exchange_request request = { ALL_GATHER, out, in, bytes, 0 };
    return exchange(comm, &request, err);
}

static enum code mpi_broadcast(struct comm *comm, void *data, size_t bytes, int root,
                               struct err *err)
{
    struct exchange_request request = { BROADCAST, data, NULL, bytes, root };
    return exchange(comm, &request, err);
}

static enum code mpi_barrier(struct comm *comm, struct err *err)
{
    struct exchange_request request = { BARRIER, NULL, NULL, 0, 0 };
    return exchange(comm, &request, err);
}

static void mpi_tell(struct comm *comm, uint64_t device_begun)
{
    struct over_mpi *o = comm->state;
    pthread_mutex_lock(&o->lock);
    o->mark.device = device_begun;
    pthread_mutex_unlock(&o->lock);
}

/* Not while the caller's thread is in an exchange: that one has a time limit of its own. */
static bool mpi_ask(struct comm *comm, struct rank_mark *marks)
{
    struct over_mpi *o = comm->state;
    pthread_mutex_lock(&o->lock);
    bool free = o->phase == IDLE || o->phase == DONE || o->phase == ASKED;
    if (free) {
        o->phase = ASKING;
        pthread_cond_broadcast(&o->changed);
    }
    double end_at = clock_monotonic() + 2 * ask_s;
    while (free && o->phase == ASKING && clock_monotonic() < end_at)
        wait_a_while(o, TICK_MS * 1e-3);
    bool asked = free && o->phase == ASKED;
    if (asked) memcpy(marks, o->marks, (size_t)comm->size * sizeof *marks);
    pthread_mutex_unlock(&o->lock);
    return asked;
}

/* An abort may hang like what it is to end, and a finalize with a launcher that is being ended
 * itself; then this process at least must go. What it had to say was said before. */
static void mpi_close(struct comm *comm)
{
    struct over_mpi *o = comm->state;
    struct err unused;
    mpi_barrier(comm, &unused);
    pthread_mutex_lock(&o->lock);
    bool broken = o->broken.code != OK;
    o->phase = broken ? ABORTING : CLOSING;
    pthread_cond_broadcast(&o->changed);
    double end_at = clock_monotonic() + (broken ? abort_s : finalize_s);
    while (o->phase != ENDED && clock_monotonic() < end_at) wait_a_while(o, TICK_MS * 1e-3);
    bool ended = o->phase == ENDED;
    pthread_mutex_unlock(&o->lock);
    if (!ended) kill(getpid(), SIGKILL);
    pthread_join(o->thread, NULL);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->changed);
    block_free(o->marks);
    block_free(o);
}

static const struct comm_backend over_mpi = { .all_to_all = mpi_all_to_all,
                                              .all_gather = mpi_all_gather,
                                              .broadcast = mpi_broadcast,
                                              .barrier = mpi_barrier,
                                              .close = mpi_close,
                                              .tell = mpi_tell,
                                              .ask = mpi_ask };

/* Signals are for the main thread: MPI's own threads inherit that too. */
static enum code start_thread(struct over_mpi *o, struct err *err)
{
    sigset_t all, before;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&o->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&o->lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&o->thread, NULL, comm_thread, o);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return err_errno(err, IO, failed, "cannot start the comm thread");
    pthread_mutex_lock(&o->lock);
    while (o->phase == STARTING) wait_a_while(o, 1);
    enum code code = o->code;
    if (code && err) *err = o->err;
    pthread_mutex_unlock(&o->lock);
    if (code) pthread_join(o->thread, NULL);
    return code;
}

enum code comm_over_calls(struct comm *comm, const struct mpi_calls *calls,
                          const struct over_mpi_opts *opts, struct err *err)
{
    void *block;
    memset(comm, 0, sizeof *comm);
    TRY(block_alloc(&block, sizeof(struct over_mpi), "the comm thread", err));
    struct over_mpi *o = block;
    o->opts = *opts;
    o->calls = *calls;
    o->limit.floor_s = opts->floor_s;
    o->opened = clock_monotonic();
    enum code code = start_thread(o, err);
    if (code) {
        block_free(o);
        return code;
    }
    *comm = (struct comm){ .rank = o->place.rank,
                           .size = o->place.size,
                           .local_rank = o->place.local_rank,
                           .local_size = o->place.local_size,
                           .processors = o->place.processors,
                           .backend = &over_mpi,
                           .state = o };
    code = block_alloc(&block, (size_t)comm->size * sizeof *o->marks, "the ranks' marks", err);
    if (!code) {
        o->marks = block;
        code = comm_take_stage(comm, 0, err);
    }
    if (code) comm_close(comm);
    return code;
}

enum code comm_over_mpi(struct comm *comm, const struct over_mpi_opts *opts, struct err *err)
{
    struct mpi_calls calls;
    memset(comm, 0, sizeof *comm);
    TRY(mpi_module_load(&calls, err));
    return comm_over_calls(comm, &calls, opts, err);
}
