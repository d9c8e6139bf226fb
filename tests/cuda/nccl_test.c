/* Two ranks over NCCL, a process each: every collective, order against the runs, equal bits when
 * done again, marks, recordings where they are allowed, and a short training run.
 *
 * With one card both ranks share it, over sockets: for correctness only. With two or more each
 * takes one, and collectives are recorded too. One line per check; exits 0, 1 when one fails or the
 * time is up, 77 with the reason when there is no card. `cpu` in place of the card: the training
 * run alone, over host memory, which shows that the frame of this program holds. */
#include "small.h"

#include "comm/on_device.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 2, COUNT = 1000, LIMIT_S = 240, SLOT = 4 << 20, SKIPPED = 77 };

/* Memory that all processes see. */
struct shared {
    pthread_barrier_t meeting;
    double loss[2];          /* of two runs */
    struct digest digest[2]; /* of their models */
    char slot[RANKS][SLOT];
};

static struct shared *shared;

void check_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

/* --- a comm between processes */

static enum code gather(struct comm *comm, void *out, const void *in, size_t bytes, struct err *err)
{
    (void)err;
    if (bytes > SLOT) check_failed(__FILE__, __LINE__, "%zu bytes are too many", bytes);
    memcpy(shared->slot[comm->rank], in, bytes);
    pthread_barrier_wait(&shared->meeting);
    for (int r = 0; r < RANKS; r++) memcpy((char *)out + (size_t)r * bytes, shared->slot[r], bytes);
    pthread_barrier_wait(&shared->meeting);
    return OK;
}

static enum code to_all(struct comm *comm, void *out, const void *in, size_t bytes, struct err *err)
{
    (void)err;
    if (RANKS * bytes > SLOT) check_failed(__FILE__, __LINE__, "%zu bytes are too many", bytes);
    memcpy(shared->slot[comm->rank], in, RANKS * bytes);
    pthread_barrier_wait(&shared->meeting);
    for (int r = 0; r < RANKS; r++)
        memcpy((char *)out + (size_t)r * bytes, shared->slot[r] + (size_t)comm->rank * bytes,
               bytes);
    pthread_barrier_wait(&shared->meeting);
    return OK;
}

static enum code spread(struct comm *comm, void *data, size_t bytes, int root, struct err *err)
{
    (void)err;
    for (size_t from = 0; from < bytes; from += SLOT) {
        size_t piece = bytes - from < SLOT ? bytes - from : SLOT;
        if (comm->rank == root) memcpy(shared->slot[root], (char *)data + from, piece);
        pthread_barrier_wait(&shared->meeting);
        memcpy((char *)data + from, shared->slot[root], piece);
        pthread_barrier_wait(&shared->meeting);
    }
    return OK;
}

static enum code meet(struct comm *comm, struct err *err)
{
    (void)comm;
    (void)err;
    pthread_barrier_wait(&shared->meeting);
    return OK;
}

static void no_close(struct comm *comm)
{
    (void)comm;
}

static const struct comm_backend between_processes = { .all_to_all = to_all,
                                                       .all_gather = gather,
                                                       .broadcast = spread,
                                                       .barrier = meet,
                                                       .close = no_close };

static void open_comm(struct comm *comm, int rank)
{
    struct err err = { 0 };
    *comm = (struct comm){ .rank = rank,
                           .size = RANKS,
                           .local_rank = rank,
                           .local_size = RANKS,
                           .processors = 1,
                           .backend = &between_processes };
    MUST(comm_take_stage(comm, 0, &err));
}

/* --- collectives */

struct card {
    struct comm comm;
    struct device device;
    struct on_device *joined;
    void *memory, *whole; /* COUNT and RANKS * COUNT numbers of at most 8 bytes */
};

static void say(const struct card *card, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const struct card *card, const char *format, ...)
{
    va_list args;
    if (card->comm.rank) return;
    va_start(args, format);
    printf("held   ");
    vprintf(format, args);
    putchar('\n');
    fflush(stdout);
    va_end(args);
}

/* Whole numbers that every type holds exactly, sums too. */
static double number(int rank, int64_t i)
{
    return (double)((i * 7 + rank * 31) % 61 - 30);
}

static void set(void *numbers, enum dtype dtype, int64_t i, double value)
{
    struct tensor at = { .dtype = dtype, .shape = SHAPE(RANKS * COUNT), .data = numbers };
    if (dtype == DTYPE_I64)
        ((int64_t *)numbers)[i] = (int64_t)value;
    else
        tensor_set(&at, i, value);
}

static double get(const void *numbers, enum dtype dtype, int64_t i)
{
    struct tensor at = { .dtype = dtype, .shape = SHAPE(RANKS * COUNT) };
    at.data = (void *)(uintptr_t)numbers;
    return dtype == DTYPE_I64 ? (double)((const int64_t *)numbers)[i] : tensor_get(&at, i);
}

/* What number `i` of the result must be, on `rank`. */
static double wanted(const struct collective *c, int rank, int64_t i)
{
    if (c->kind == COLLECTIVE_BROADCAST) return number(c->root, i);
    if (c->kind == COLLECTIVE_ALL_GATHER) return number((int)(i / COUNT), i % COUNT);
    if (c->kind == COLLECTIVE_REDUCE_SCATTER) i += rank * COUNT;
    double sum = number(0, i) + number(1, i), most = fmax(number(0, i), number(1, i));
    return c->op == COLLECTIVE_SUM ? sum : c->op == COLLECTIVE_MEAN ? sum / RANKS : most;
}

/* Runs one, its input written and its result read in order with it. */
static void hold(struct card *card, struct collective *c)
{
    static char host[RANKS * COUNT * 8];
    struct err err = { 0 };
    struct device *device = &card->device;
    char text[COLLECTIVE_TEXT];
    bool scatters = c->kind == COLLECTIVE_REDUCE_SCATTER,
         gathers = c->kind == COLLECTIVE_ALL_GATHER;
    int64_t ins = scatters ? RANKS * COUNT : COUNT, outs = gathers ? RANKS * COUNT : COUNT;
    c->count = COUNT;
    c->in = scatters ? card->whole : card->memory;
    c->out = gathers ? card->whole : card->memory;
    for (int64_t i = 0; i < ins; i++) set(host, c->dtype, i, number(card->comm.rank, i));
    MUST(device->copy_in(device, (void *)(uintptr_t)c->in, host, (size_t)ins * dtype_size(c->dtype),
                         &err));
    MUST(device->collective->start(device, c, 1, &err));
    MUST(device->collective->join(device, &err));
    MUST(device->copy_out(device, host, c->out, (size_t)outs * dtype_size(c->dtype), &err));
    for (int64_t i = 0; i < outs; i++) {
        double got = get(host, c->dtype, i), want = wanted(c, card->comm.rank, i);
        bool equal = c->op == COLLECTIVE_MEAN ? fabs(got - want) < 1e-6 : got == want;
        if (!equal)
            check_failed(__FILE__, __LINE__, "rank %d: %s: number %lld is %g, not %g",
                         card->comm.rank, collective_text(c, text), (long long)i, got, want);
    }
}

static void hold_all_kinds(struct card *card)
{
    static const enum dtype dtypes[] = { DTYPE_F32, DTYPE_BF16, DTYPE_F16, DTYPE_F64, DTYPE_I64 };
    int held = 0;
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++)
        for (int kind = 0; kind < COLLECTIVE_KINDS; kind++)
            for (int op = 0; op < COLLECTIVE_OPS; op++) {
                bool reduces = kind <= COLLECTIVE_REDUCE_SCATTER;
                struct collective c = { .kind = (enum collective_kind)kind,
                                        .op = (enum collective_op)op,
                                        .dtype = dtypes[d],
                                        .root = 1 };
                if (!reduces && op) continue;
                if (op == COLLECTIVE_MEAN && dtypes[d] != DTYPE_F32) continue;
                hold(card, &c);
                held++;
            }
    say(card, "%d collectives give the numbers that they should", held);
}

/* Sums whose bits depend on the order, twice; the same on both ranks. */
static void hold_bits(struct card *card)
{
    enum { AGAIN = 3 };
    static float sums[AGAIN][COUNT], others[RANKS][COUNT];
    struct err err = { 0 };
    struct device *device = &card->device;
    struct collective c = {
        .dtype = DTYPE_F32, .out = card->memory, .in = card->memory, .count = COUNT
    };
    for (int n = 0; n < AGAIN; n++) {
        float mine[COUNT];
        for (int i = 0; i < COUNT; i++) mine[i] = sinf((float)(i + 1000 * card->comm.rank)) / 3;
        MUST(device->copy_in(device, card->memory, mine, sizeof mine, &err));
        MUST(device->collective->start(device, &c, 1, &err));
        MUST(device->collective->join(device, &err));
        MUST(device->copy_out(device, sums[n], card->memory, sizeof mine, &err));
        cr_assert(memcmp(sums[n], sums[0], sizeof sums[0]) == 0);
    }
    MUST(comm_all_gather(&card->comm, others, sums[0], sizeof sums[0], &err));
    cr_assert(memcmp(others[0], others[1], sizeof others[0]) == 0);
    say(card, "sums have equal bits each time and on both ranks");
}

/* A group of two types, and what the watch sees of it. */
static void hold_groups(struct card *card)
{
    struct err err = { 0 };
    struct device *device = &card->device;
    struct collective_marks before = device->collective->marks(device), after;
    double sums[2] = { 1.5 + card->comm.rank, 2 };
    struct collective group[] = {
        { .dtype = DTYPE_F32, .out = card->memory, .in = card->memory, .count = COUNT },
        { .dtype = DTYPE_F64, .out = card->whole, .in = card->whole, .count = 2 },
    };
    MUST(device->copy_in(device, card->whole, sums, sizeof sums, &err));
    MUST(device->collective->start(device, group, 2, &err));
    MUST(device->collective->join(device, &err));
    MUST(device->copy_out(device, sums, card->whole, sizeof sums, &err));
    cr_assert(sums[0] == 4 && sums[1] == 4);
    after = device->collective->marks(device);
    cr_assert(after.begun == before.begun + 1 && after.ended == after.begun);
    MUST(device->collective->poll(device, &err));
    say(card, "a group is one mark; %llu so far", (unsigned long long)after.ended);
}

/* A recording that doubles: its sums go on from those of the replay before. */
static void hold_recording(struct card *card)
{
    enum { REPLAYS = 5 };
    struct err err = { 0 };
    struct device *device = &card->device;
    const struct device_queue *queue = device->queue;
    float numbers[COUNT];
    void *graph;
    struct collective c = {
        .dtype = DTYPE_F32, .out = card->memory, .in = card->memory, .count = COUNT
    };
    if (!device->ranks_recorded) return;
    for (int i = 0; i < COUNT; i++) numbers[i] = 1;
    MUST(device->copy_in(device, card->memory, numbers, sizeof numbers, &err));
    struct collective_marks before = device->collective->marks(device);
    MUST(queue->capture_begin(device, &err));
    MUST(device->collective->start(device, &c, 1, &err));
    MUST(device->collective->join(device, &err));
    MUST(queue->capture_end(device, &graph, &err));
    for (int n = 0; n < REPLAYS; n++) {
        MUST(queue->graph_launch(device, graph, &err));
        device->collective->replayed(device, &c, 1);
    }
    MUST(device->copy_out(device, numbers, card->memory, sizeof numbers, &err));
    for (int i = 0; i < COUNT; i++) cr_assert(numbers[i] == 32);
    struct collective_marks after = device->collective->marks(device);
    cr_assert(after.ended == before.ended + REPLAYS);
    queue->graph_free(device, graph);
    say(card, "a recorded sum is done at each replay");
}

/* One card each where there are enough. 77 where there is none. */
static int open_card(struct card *card, int rank, bool *share)
{
    struct err err = { 0 };
    struct device_place place = { rank, RANKS, false };
    enum code code = device_open_at(&card->device, "cuda", 1, &place, &err);
    if (code == USAGE) {
        *share = place.share = true;
        code = device_open_at(&card->device, "cuda", 1, &place, &err);
    }
    if (!code && !card->device.collective)
        code = err_set(&err, NOT_FOUND, "the module was built without NCCL");
    if (!code) return 0;
    if (!rank) printf("SKIPPED: %s\n", err.message);
    return code == NOT_FOUND || code == DEVICE ? SKIPPED : 1;
}

static int hold_collectives(int rank, bool *share)
{
    struct card card = { 0 };
    struct err err = { 0 };
    int skipped = open_card(&card, rank, share);
    if (skipped) return skipped;
    open_comm(&card.comm, rank);
    say(&card, "%s, %s", card.device.description, *share ? "shared" : "one card each");
    struct on_device_opts opts = {
        .exact = true, .shared = *share, .record = !*share, .connect_s = 60
    };
    MUST(on_device_open(&card.joined, &card.comm, &card.device, &opts, &err));
    struct device *device = &card.device;
    MUST(device->collective->alloc(device, &card.memory, COUNT * 8, "numbers", &err));
    MUST(device->alloc(device, &card.whole, RANKS * COUNT * 8, "numbers", &err));
    hold_all_kinds(&card);
    hold_bits(&card);
    hold_groups(&card);
    hold_recording(&card);
    device->free(device, card.memory);
    device->free(device, card.whole);
    on_device_close(card.joined);
    device_close(device);
    comm_close(&card.comm);
    return 0;
}

/* --- training */

static void train_together(struct small *small, int rank, const char *device, bool share, int run)
{
    struct comm comm;
    struct err err = { 0 };
    struct experiment experiment;
    struct train_result result = { 0 };
    open_comm(&comm, rank);
    if (!rank)
        small_experiment(small, &experiment, NULL,
                         "  epochs: 2\n  batch: 16\n  micro_batch: 4\n"
                         "  optimizer: {sgd: {lr: 0.1}}");
    comm_barrier(&comm, &err);
    if (rank)
        small_experiment(small, &experiment, NULL,
                         "  epochs: 2\n  batch: 16\n  micro_batch: 4\n"
                         "  optimizer: {sgd: {lr: 0.1}}");
    comm_barrier(&comm, &err);
    struct train_opts opts = { .run = small_path(small, run ? "second" : "first"),
                               .device = device,
                               .comm = &comm,
                               .share_device = share };
    MUST(train(&result, &experiment, &opts, &err));
    if (!rank) {
        shared->loss[run] = result.loss;
        shared->digest[run] = result.digest;
    }
    comm_close(&comm);
}

static int hold_training(struct small *small, int rank, const char *device, bool share)
{
    for (int run = 0; run < 2; run++) train_together(small, rank, device, share, run);
    if (rank) return 0;
    cr_assert(digest_equal(&shared->digest[0], &shared->digest[1]));
    cr_assert(shared->loss[0] > 0 && shared->loss[0] < 1.1);
    printf("held   two ranks train to the same model each time; loss %.4f\n", shared->loss[0]);
    return 0;
}

/* --- processes */

static int body(struct small *small, int rank, bool host)
{
    bool share = false;
    int result = host ? 0 : hold_collectives(rank, &share);
    if (!result) result = hold_training(small, rank, host ? "cpu" : "cuda", share);
    fflush(stdout);
    return result;
}

/* Waits for both; a hanging rank ends with the time, a failed one ends the other. */
static int watch(const pid_t *child)
{
    const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
    int left = RANKS, worst = 0, status;
    bool gone[RANKS] = { false };
    for (time_t end = time(NULL) + LIMIT_S; left;) {
        for (int r = 0; r < RANKS; r++) {
            if (gone[r] || waitpid(child[r], &status, WNOHANG) != child[r]) continue;
            int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
            gone[r] = true;
            left--;
            if (code && worst != 1) worst = code == SKIPPED ? SKIPPED : 1;
        }
        if (!left) break;
        bool late = time(NULL) > end;
        if (late) printf("FAILED the time is up\n");
        for (int r = 0; r < RANKS && (late || worst == 1); r++)
            if (!gone[r]) kill(child[r], SIGKILL);
        if (late) worst = 1;
        nanosleep(&pause, NULL);
    }
    return worst;
}

int main(int argc, char **argv)
{
    struct small small;
    pid_t child[RANKS];
    pthread_barrierattr_t shares;
    bool host = argc > 1 && strcmp(argv[1], "cpu") == 0;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 1;
    pthread_barrierattr_init(&shares);
    pthread_barrierattr_setpshared(&shares, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->meeting, &shares, RANKS);
    small_open(&small);
    fflush(stdout);
    for (int r = 0; r < RANKS; r++) {
        child[r] = fork();
        if (child[r] < 0) return 1;
        if (child[r] == 0) _exit(body(&small, r, host));
    }
    int worst = watch(child);
    small_close(&small);
    printf("%s\n", worst == 0 ? "two ranks: all held" : worst == SKIPPED ? "skipped" : "FAILED");
    return worst;
}
