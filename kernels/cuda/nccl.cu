// Ranks of cards over NCCL: a communicator that never blocks, a stream of its own, marks for the
// watch.
//
// Events keep a group behind the runs so far and later runs behind a join; in a recording they
// become edges of the graph. Around each group one thread adds to a counter in device memory and
// writes it to host memory (16 bytes), so that a watch can read it while the card hangs. All calls
// of NCCL are made under `lock`, since abort comes from another thread; nothing is called on a
// communicator that was aborted.
#include "kernels/cuda/nccl.cuh"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const double usual_limit_s = 120;
enum { SPINS = 2000, ABORT_WAIT_S = 2, USUAL_CHANNELS = 16 };

// Memory of NCCL's allocator.
struct lent {
    struct lent *next;
    void *memory, *handle; // of the registration; NULL: none
    size_t size;
};

struct cuda_ranks {
    struct nccl_calls calls;
    struct collective_opts opts;
    struct nccl_place place;
    ncclComm_t comm;
    cudaStream_t stream;
    cudaEvent_t behind, done;
    bool pending;       // something was started since the last join
    uint64_t *marks;    // [2] begun and ended, host memory that the card writes
    uint64_t *counters; // [2] the same, device memory
    struct lent *lent;
    pthread_mutex_t lock;
    bool aborted;
    struct err why; // of the abort
};

static struct cuda_ranks *ranks_of(const struct device *device)
{
    return static_cast<struct cuda_ranks *>(device->collective_state);
}

static __global__ void mark(uint64_t *counter, volatile uint64_t *seen)
{
    uint64_t number = *counter + 1;
    *counter = number;
    *seen = number;
    __threadfence_system();
}

static double now()
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

static enum code tell_aborted(const struct cuda_ranks *ranks, struct err *err)
{
    if (err) *err = ranks->why;
    return ranks->why.code;
}

// A little later; called with the lock, which is free meanwhile.
static void pause(struct cuda_ranks *ranks, int turn)
{
    const struct timespec nap = { 0, 100 * 1000 };
    pthread_mutex_unlock(&ranks->lock);
    if (turn < SPINS)
        sched_yield();
    else
        nanosleep(&nap, NULL);
    pthread_mutex_lock(&ranks->lock);
}

// Looks after what NCCL does in the background until it is over; called with the lock.
static enum code settle(struct cuda_ranks *ranks, ncclResult_t result, const char *doing,
                        struct err *err)
{
    double limit = ranks->opts.limit_s > 0 ? ranks->opts.limit_s : usual_limit_s;
    double end_at = now() + limit;
    for (int turn = 0; result == ncclInProgress; turn++) {
        if (turn) pause(ranks, turn);
        if (ranks->aborted) return tell_aborted(ranks, err);
        ncclResult_t asked = ranks->calls.comm_state(ranks->comm, &result);
        if (asked != ncclSuccess) result = asked;
        if (result != ncclInProgress || now() < end_at) continue;
        err_set(err, DEVICE, "cannot %s on device 'cuda' %d (rank %d of %d): not done after %.0f s",
                doing, ranks->place.card, ranks->place.rank, ranks->place.ranks, limit);
        return err_hint(err, "A rank is missing or cannot be reached: look at the others' "
                             "messages and at NCCL_SOCKET_IFNAME; NCCL_DEBUG=INFO says more.");
    }
    return nccl_check(result, &ranks->place, doing, err);
}

static enum code prepare(struct device *device, const struct collective_opts *opts, int *version,
                         struct err *err)
{
    struct cuda_ranks *ranks = ranks_of(device);
    if (!ranks) {
        ranks = static_cast<struct cuda_ranks *>(calloc(1, sizeof *ranks));
        if (!ranks) memory_refused(sizeof *ranks);
        pthread_mutex_init(&ranks->lock, NULL);
        device->collective_state = ranks;
    }
    ranks->place = { &ranks->calls, cuda_state_of(device)->index, opts->rank, opts->ranks };
    return nccl_load(&ranks->calls, opts, version, err);
}

static enum code make_id(struct device *device, unsigned char id[COLLECTIVE_ID], struct err *err)
{
    struct cuda_ranks *ranks = ranks_of(device);
    ncclUniqueId made;
    static_assert(sizeof made <= COLLECTIVE_ID, "an id has room");
    memset(id, 0, COLLECTIVE_ID);
    TRY(nccl_check(ranks->calls.get_unique_id(&made), &ranks->place, "make an id for the ranks",
                   err));
    memcpy(id, &made, sizeof made);
    return OK;
}

// Collectives go before the runs where both could: others wait for them.
static enum code take_stream(struct cuda_ranks *ranks, struct err *err)
{
    int lowest, highest;
    void *marks, *counters;
    TRY(cuda_check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "ask for priorities", err));
    TRY(cuda_check(cudaStreamCreateWithPriority(&ranks->stream, cudaStreamNonBlocking, highest),
                   "create a stream", err));
    TRY(cuda_check(cudaEventCreateWithFlags(&ranks->behind, cudaEventDisableTiming),
                   "create an event", err));
    TRY(cuda_check(cudaEventCreateWithFlags(&ranks->done, cudaEventDisableTiming),
                   "create an event", err));
    TRY(cuda_check(cudaHostAlloc(&marks, 2 * sizeof(uint64_t), cudaHostAllocMapped),
                   "pin host memory", err));
    ranks->marks = static_cast<uint64_t *>(marks);
    memset(marks, 0, 2 * sizeof(uint64_t));
    TRY(cuda_check(cudaMalloc(&counters, 2 * sizeof(uint64_t)), "allocate counters", err));
    ranks->counters = static_cast<uint64_t *>(counters);
    return cuda_check(cudaMemsetAsync(counters, 0, 2 * sizeof(uint64_t), ranks->stream),
                      "clear counters", err);
}

static enum code connect(struct cuda_ranks *ranks, struct err *err)
{
    const struct collective_opts *opts = &ranks->opts;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    memcpy(&id, opts->id, sizeof id);
    config.blocking = 0;
    config.commName = "pawl";
    if (opts->channels || opts->exact || opts->shared)
        config.minCTAs = config.maxCTAs = opts->channels ? opts->channels
                                          : opts->shared ? 1
                                                         : USUAL_CHANNELS;
    pthread_mutex_lock(&ranks->lock);
    enum code code = settle(
        ranks, ranks->calls.comm_init(&ranks->comm, opts->ranks, id, opts->rank, &config),
        "join the ranks", err);
    pthread_mutex_unlock(&ranks->lock);
    return code;
}

static void drop_stream(struct cuda_ranks *ranks)
{
    if (ranks->stream) (void)cudaStreamDestroy(ranks->stream);
    if (ranks->behind) (void)cudaEventDestroy(ranks->behind);
    if (ranks->done) (void)cudaEventDestroy(ranks->done);
    if (ranks->marks) (void)cudaFreeHost(ranks->marks);
    if (ranks->counters) (void)cudaFree(ranks->counters);
    ranks->stream = NULL;
    ranks->behind = ranks->done = NULL;
    ranks->marks = ranks->counters = NULL;
}

// In order, and where that fails without the others.
static void leave(struct device *device)
{
    struct cuda_ranks *ranks = ranks_of(device);
    struct err unused;
    device->ranks = 0;
    if (!ranks) return;
    pthread_mutex_lock(&ranks->lock);
    for (struct lent *lent = ranks->lent; ranks->comm && lent; lent = lent->next) {
        if (lent->handle) (void)ranks->calls.comm_deregister(ranks->comm, lent->handle);
        lent->handle = NULL;
    }
    if (ranks->comm) {
        ncclComm_t comm = ranks->comm;
        bool clean = settle(ranks, ranks->calls.comm_finalize(comm), "leave the ranks", &unused) ==
                     OK;
        if (!ranks->aborted)
            (void)(clean ? ranks->calls.comm_destroy(comm) : ranks->calls.comm_abort(comm));
        ranks->comm = NULL;
    }
    pthread_mutex_unlock(&ranks->lock);
    drop_stream(ranks);
}

// So that NCCL reads and writes it directly; where it cannot, it copies.
static void reach(struct cuda_ranks *ranks, struct lent *lent)
{
    pthread_mutex_lock(&ranks->lock);
    if (ranks->comm && ranks->calls.comm_register(ranks->comm, lent->memory, lent->size,
                                                  &lent->handle) != ncclSuccess)
        lent->handle = NULL;
    pthread_mutex_unlock(&ranks->lock);
}

static enum code open(struct device *device, const struct collective_opts *opts, struct err *err)
{
    struct cuda_ranks *ranks = ranks_of(device);
    ranks->opts = *opts;
    enum code code = take_stream(ranks, err);
    if (!code) code = connect(ranks, err);
    if (code) {
        leave(device);
        return code;
    }
    for (struct lent *lent = ranks->lent; lent; lent = lent->next) reach(ranks, lent);
    device->ranks = opts->ranks;
    device->ranks_recorded = opts->record && !opts->shared;
    return OK;
}

static enum code alloc(struct device *device, void **memory, size_t size, const char *what,
                       struct err *err)
{
    struct cuda_ranks *ranks = ranks_of(device);
    size_t unit = static_cast<size_t>(ranks->place.ranks) * 16, free_bytes = 0, total = 0;
    size = (size + unit - 1) / unit * unit;
    if (ranks->calls.mem_alloc(memory, size) != ncclSuccess) {
        (void)cudaGetLastError();
        (void)cudaMemGetInfo(&free_bytes, &total);
        err_set(err, NO_MEMORY,
                "cannot allocate %s for the ranks on device 'cuda': %.1f MiB wanted, %.1f of %.1f "
                "MiB free",
                what, (double)size / (1 << 20), (double)free_bytes / (1 << 20),
                (double)total / (1 << 20));
        return err_hint(err, "Lower the batch or the precision; `pawl plan` lists what takes the "
                             "most memory, `nvidia-smi` who else uses the card.");
    }
    struct lent *lent = static_cast<struct lent *>(calloc(1, sizeof *lent));
    if (!lent) memory_refused(sizeof *lent);
    lent->memory = *memory;
    lent->size = size;
    lent->next = ranks->lent;
    ranks->lent = lent;
    reach(ranks, lent);
    return cuda_check(cudaMemsetAsync(*memory, 0, size, cuda_stream(device)), "clear memory", err);
}

bool ranks_free(struct device *device, void *memory)
{
    struct cuda_ranks *ranks = ranks_of(device);
    if (!ranks || !memory) return false;
    for (struct lent **at = &ranks->lent; *at; at = &(*at)->next) {
        struct lent *lent = *at;
        if (lent->memory != memory) continue;
        pthread_mutex_lock(&ranks->lock);
        if (lent->handle && ranks->comm)
            (void)ranks->calls.comm_deregister(ranks->comm, lent->handle);
        pthread_mutex_unlock(&ranks->lock);
        (void)ranks->calls.mem_free(memory);
        *at = lent->next;
        free(lent);
        return true;
    }
    return false;
}

void ranks_release(struct device *device)
{
    struct cuda_ranks *ranks = ranks_of(device);
    if (!ranks) return;
    leave(device);
    while (ranks->lent) (void)ranks_free(device, ranks->lent->memory);
    pthread_mutex_destroy(&ranks->lock);
    free(ranks);
    device->collective_state = NULL;
}

enum code ranks_failed(struct device *device, struct err *err)
{
    struct cuda_ranks *ranks = ranks_of(device);
    if (!ranks) return OK;
    pthread_mutex_lock(&ranks->lock);
    enum code code = ranks->aborted ? tell_aborted(ranks, err) : OK;
    pthread_mutex_unlock(&ranks->lock);
    return code;
}

// The group as one call of NCCL; called with the lock.
static enum code issue(struct cuda_ranks *ranks, const struct collective *group, int count,
                       struct err *err)
{
    char doing[GROUP_TEXT];
    group_text(group, count, doing);
    if (ranks->aborted) return tell_aborted(ranks, err);
    TRY(nccl_check(ranks->calls.group_start(), &ranks->place, doing, err));
    ncclResult_t first = ncclSuccess;
    for (int i = 0; i < count; i++) {
        ncclResult_t result = nccl_issue(&ranks->calls, &group[i], ranks->comm, ranks->stream);
        if (first == ncclSuccess && result != ncclInProgress) first = result;
    }
    ncclResult_t ended = ranks->calls.group_end();
    TRY(nccl_check(first, &ranks->place, doing, err));
    return settle(ranks, ended, doing, err);
}

static enum code bracket(struct cuda_ranks *ranks, int which, struct err *err)
{
    mark<<<1, 1, 0, ranks->stream>>>(ranks->counters + which, ranks->marks + which);
    return cuda_check(cudaGetLastError(), "mark a collective", err);
}

static bool recording(const struct device *device)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    (void)cudaStreamIsCapturing(cuda_stream(device), &status);
    return status != cudaStreamCaptureStatusNone;
}

static enum code start(struct device *device, const struct collective *group, int count,
                       struct err *err)
{
    static const char doing[] = "put a collective behind the runs";
    struct cuda_ranks *ranks = ranks_of(device);
    TRY(cuda_check(cudaEventRecord(ranks->behind, cuda_stream(device)), doing, err));
    TRY(cuda_check(cudaStreamWaitEvent(ranks->stream, ranks->behind, 0), doing, err));
    ranks->pending = true;
    TRY(bracket(ranks, 0, err));
    pthread_mutex_lock(&ranks->lock);
    enum code code = issue(ranks, group, count, err);
    pthread_mutex_unlock(&ranks->lock);
    if (code) return code;
    TRY(bracket(ranks, 1, err));
    if (ranks->opts.issued && !recording(device))
        ranks->opts.issued(ranks->opts.context, group, count);
    return OK;
}

static enum code join(struct device *device, struct err *err)
{
    static const char doing[] = "put the runs behind a collective";
    struct cuda_ranks *ranks = ranks_of(device);
    if (!ranks->pending) return OK;
    ranks->pending = false;
    TRY(cuda_check(cudaEventRecord(ranks->done, ranks->stream), doing, err));
    return cuda_check(cudaStreamWaitEvent(cuda_stream(device), ranks->done, 0), doing, err);
}

static void replayed(struct device *device, const struct collective *group, int count)
{
    struct cuda_ranks *ranks = ranks_of(device);
    if (ranks->opts.issued) ranks->opts.issued(ranks->opts.context, group, count);
}

static struct collective_marks marks(const struct device *device)
{
    const struct cuda_ranks *ranks = ranks_of(device);
    struct collective_marks seen;
    seen.ended = __atomic_load_n(&ranks->marks[1], __ATOMIC_ACQUIRE);
    seen.begun = __atomic_load_n(&ranks->marks[0], __ATOMIC_ACQUIRE);
    return seen;
}

static enum code poll(struct device *device, struct err *err)
{
    struct cuda_ranks *ranks = ranks_of(device);
    ncclResult_t state = ncclSuccess;
    pthread_mutex_lock(&ranks->lock);
    if (ranks->comm && !ranks->aborted) (void)ranks->calls.comm_state(ranks->comm, &state);
    pthread_mutex_unlock(&ranks->lock);
    return nccl_check(state, &ranks->place, "go on with the ranks", err);
}

// Not even a thread that holds the lock and hangs keeps this from going on.
static void abort_ranks(struct device *device, const struct err *why)
{
    struct cuda_ranks *ranks = ranks_of(device);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ABORT_WAIT_S;
    bool locked = pthread_mutex_timedlock(&ranks->lock, &until) == 0;
    ncclComm_t comm = ranks->aborted ? NULL : ranks->comm;
    if (!ranks->aborted) ranks->why = *why;
    ranks->aborted = true;
    ranks->comm = NULL;
    if (locked) pthread_mutex_unlock(&ranks->lock);
    (void)cudaSetDevice(cuda_state_of(device)->index);
    if (comm) (void)ranks->calls.comm_abort(comm);
}

static const struct device_collective over_nccl = {
    prepare, make_id, open, leave, alloc, start, join, replayed, marks, poll, abort_ranks,
};

const struct device_collective *const cuda_collective = &over_nccl;
