/* Joining devices and the watch over them, with cards made of memory: orderly work, a rank that
 * falls behind, an error that the library tells, an abort that hangs, failures while joining.
 *
 * A plain program, since TSan cannot run Criterion. Limits are short; nothing is measured. */
#include "base/fs.h"
#include "base/json.h"
#include "comm/mpi_module.h"
#include "comm/on_device.h"
#include "tests/comm/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "failed: %s at line %d: %s\n", #condition, __LINE__, err.message);     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { RANKS = 2, ORDERLY = 7 };

/* What a card does wrong. */
enum fault { NO_FAULT, FALLS_BEHIND, TELLS, ABORT_HANGS, NO_LIBRARY, OTHER_VERSION, NO_OPEN };

struct card {
    struct collective_opts opts;
    _Atomic uint64_t begun, ended;
    atomic_bool tells, aborted, closed;
    bool hangs, no_library, no_open;
    int version;
    struct err why;
};

struct scene {
    enum fault fault;
    const char *dir;
    struct card card[RANKS];
    _Atomic uint64_t told[RANKS];
    unsigned char id[RANKS][COLLECTIVE_ID];
};

static struct card *card_of(const struct device *device)
{
    return device->collective_state;
}

static void nap(void)
{
    const struct timespec pause = { .tv_nsec = 1000 * 1000 };
    nanosleep(&pause, NULL);
}

static enum code prepare(struct device *device, const struct collective_opts *opts, int *version,
                         struct err *err)
{
    struct card *card = card_of(device);
    if (card->no_library) return err_set(err, NOT_FOUND, "no library on rank %d", opts->rank);
    *version = card->version;
    return OK;
}

static enum code make_id(struct device *device, unsigned char id[COLLECTIVE_ID], struct err *err)
{
    (void)device;
    (void)err;
    for (int i = 0; i < COLLECTIVE_ID; i++) id[i] = (unsigned char)(i * 7 + 1);
    return OK;
}

static enum code open(struct device *device, const struct collective_opts *opts, struct err *err)
{
    struct card *card = card_of(device);
    if (card->no_open) return err_set(err, DEVICE, "no way to open on rank %d", opts->rank);
    card->opts = *opts;
    device->ranks = opts->ranks;
    return OK;
}

static void leave(struct device *device)
{
    device->ranks = 0;
    card_of(device)->closed = true;
}

static enum code start(struct device *device, const struct collective *group, int count,
                       struct err *err)
{
    struct card *card = card_of(device);
    (void)err;
    card->opts.issued(card->opts.context, group, count);
    return OK;
}

static struct collective_marks marks(const struct device *device)
{
    struct card *card = card_of(device);
    uint64_t ended = card->ended;
    return (struct collective_marks){ card->begun, ended };
}

static enum code poll(struct device *device, struct err *err)
{
    return card_of(device)->tells ? err_set(err, DEVICE, "the library tells of a fault") : OK;
}

static atomic_int kills;

static void count_kill(void)
{
    kills++;
}

static void abort_card(struct device *device, const struct err *why)
{
    struct card *card = card_of(device);
    while (card->hangs && !kills) nap();
    card->why = *why;
    card->aborted = true;
}

static const struct device_collective of_memory = { .prepare = prepare,
                                                    .make_id = make_id,
                                                    .open = open,
                                                    .close = leave,
                                                    .start = start,
                                                    .marks = marks,
                                                    .poll = poll,
                                                    .abort = abort_card };

static struct scene *scene; /* for tell and ask, which know only their comm */

static void tell(struct comm *comm, uint64_t begun)
{
    scene->told[comm->rank] = begun;
}

static bool ask(struct comm *comm, struct rank_mark *all)
{
    for (int r = 0; r < comm->size; r++)
        all[r] = (struct rank_mark){ .heard = 1, .device = scene->told[r] };
    return true;
}

/* Rank 1 never begins the last one. */
static void work(struct comm *comm, struct device *device)
{
    float numbers[40];
    struct err err = { 0 };
    struct card *card = card_of(device);
    const struct collective group[] = { { .out = numbers, .in = numbers, .count = 40 },
                                        { .out = numbers, .in = numbers, .count = 2 } };
    for (int i = 0; i < ORDERLY; i++) {
        MUST(device->collective->start(device, group, 2, &err) == OK);
        card->begun++;
        nap();
        card->ended++;
    }
    if (scene->fault == NO_FAULT) return;
    if (comm->rank == 0) MUST(device->collective->start(device, group, 1, &err) == OK);
    if (comm->rank == 0) card->begun++;
    if (scene->fault == TELLS) card->tells = true;
    while (comm->rank == 0 && !card->aborted && !(card->hangs && kills)) nap();
}

static void rank_body(struct comm *comm, void *context)
{
    struct scene *here = context;
    struct card *card = &here->card[comm->rank];
    struct device device = { .collective = &of_memory, .collective_state = card };
    struct comm_backend backend = *comm->backend;
    struct on_device *joined;
    struct err err = { 0 };
    backend.tell = tell;
    backend.ask = ask;
    comm->backend = &backend;
    struct on_device_opts opts = {
        .exact = true, .floor_s = 0.5, .end_s = 1, .report_dir = here->dir, .kill = count_kill
    };
    enum code code = on_device_open(&joined, comm, &device, &opts, &err);
    if (here->fault >= NO_LIBRARY) {
        MUST(code && !joined && device.ranks == 0);
        if (comm->rank == 0 && here->fault != OTHER_VERSION)
            MUST(strstr(err.message, "on rank 1: "));
        if (here->fault == OTHER_VERSION) MUST(strstr(err.message, "versions 3 to 4"));
    } else {
        MUST(!code && joined && device.ranks == RANKS);
        memcpy(here->id[comm->rank], card->opts.id, COLLECTIVE_ID);
        MUST(card->opts.rank == comm->rank && card->opts.exact);
        work(comm, &device);
        comm_barrier(comm, &err);
        on_device_close(joined);
        MUST(card->closed && device.ranks == 0);
    }
    comm_barrier(comm, &err);
}

static void play(struct scene *play, enum fault fault, const char *dir)
{
    memset(play, 0, sizeof *play);
    scene = play;
    kills = 0;
    play->fault = fault;
    play->dir = dir;
    for (int r = 0; r < RANKS; r++) play->card[r].version = 3;
    play->card[0].hangs = fault == ABORT_HANGS;
    play->card[1].no_library = fault == NO_LIBRARY;
    play->card[1].version += fault == OTHER_VERSION;
    play->card[1].no_open = fault == NO_OPEN;
    threads_run(RANKS, 0, rank_body, play);
}

/* The file names the collective that did not end and those before it. */
static void check_report(const char *dir, const char *message)
{
    struct err err = { 0 };
    char path[200];
    json_t *report;
    snprintf(path, sizeof path, "%s/card-0000.json", dir);
    MUST(json_read(&report, path, 1 << 20, "rank-report/1", &err) == OK);
    MUST(strcmp(json_string_value(json_object_get(report, "message")), message) == 0);
    json_t *list = json_object_get(report, "exchanges");
    MUST(json_array_size(list) == ORDERLY + 1);
    json_t *last = json_array_get(list, ORDERLY), *before = json_array_get(list, ORDERLY - 1);
    MUST(json_number_value(json_object_get(last, "seconds")) < 0);
    MUST(json_number_value(json_object_get(before, "seconds")) >= 0);
    MUST(json_integer_value(json_object_get(before, "bytes")) == 42 * 4);
    json_decref(report);
}

int main(void)
{
    static struct scene one;
    struct err err = { 0 };
    char dir[] = "/tmp/pawl-watch-XXXXXX";
    MUST(mkdtemp(dir));

    play(&one, NO_FAULT, dir);
    for (int r = 0; r < RANKS; r++) MUST(!one.card[r].aborted && kills == 0);
    MUST(memcmp(one.id[0], one.id[1], COLLECTIVE_ID) == 0 && one.id[1][3] == 22);

    play(&one, FALLS_BEHIND, dir);
    err = one.card[0].why;
    MUST(one.card[0].aborted && !one.card[1].aborted && kills == 0);
    MUST(strstr(err.message, "rank 0's device gave up collective 8 (all_reduce sum of 40 f32)"));
    MUST(strstr(err.message, "rank 1 is behind, its device has begun 7") && err.code == DEVICE);
    check_report(dir, err.message);

    play(&one, TELLS, dir);
    err = one.card[0].why;
    MUST(one.card[0].aborted && strstr(err.message, "the library tells of a fault"));

    play(&one, ABORT_HANGS, dir);
    MUST(kills == 1);

    for (enum fault fault = NO_LIBRARY; fault <= NO_OPEN; fault++) play(&one, fault, dir);
    MUST(fs_remove_tree(dir, &err) == OK);
    return 0;
}
