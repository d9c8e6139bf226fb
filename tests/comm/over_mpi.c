/* The watch over the comm thread, with calls of our own in place of MPI's: who is late is named,
 * from the marks of all ranks; a library that does not return is noticed too; everything later
 * fails with the same words, and the end is an abort. */
#include "comm/over_mpi.h"

#include "base/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RANKS = 3, WORKING_EXCHANGES = 5 };

/* What a rank's library does. */
struct fake {
    struct rank_mark marks[RANKS]; /* what the others answer */
    int exchanges;                 /* begun so far */
    bool hangs;                    /* inside a call, not only in the exchange */
    enum code fails;               /* of the exchange after the working ones */
    int asked, aborted, finalized;
};

static enum code fake_init(struct mpi_calls *calls, struct mpi_place *place, struct err *err)
{
    (void)calls;
    (void)err;
    *place = (struct mpi_place){ .rank = 1, .size = RANKS, .local_size = 1, .processors = 1 };
    return OK;
}

static enum code fake_begin(struct mpi_calls *calls, const struct exchange_request *request,
                            struct err *err)
{
    struct fake *fake = calls->state;
    (void)request;
    if (fake->exchanges++ >= WORKING_EXCHANGES && fake->fails)
        return err_set(err, fake->fails, "cannot exchange over MPI: truncated");
    return OK;
}

static enum code fake_test(struct mpi_calls *calls, bool *done, struct err *err)
{
    struct fake *fake = calls->state;
    const struct timespec long_pause = { .tv_sec = 2 };
    (void)err;
    *done = fake->exchanges <= WORKING_EXCHANGES;
    if (!*done && fake->hangs) {
        fake->hangs = false; /* once: it returns when it is too late */
        nanosleep(&long_pause, NULL);
    }
    return OK;
}

static void fake_answer(struct mpi_calls *calls, const struct rank_mark *mine)
{
    (void)calls;
    (void)mine;
}

static void fake_ask(struct mpi_calls *calls, struct rank_mark *marks, const struct rank_mark *mine,
                     double seconds)
{
    struct fake *fake = calls->state;
    (void)seconds;
    fake->asked++;
    memcpy(marks, fake->marks, sizeof fake->marks);
    marks[1] = *mine;
    marks[1].heard = 1;
}

static void fake_abort(struct mpi_calls *calls)
{
    struct fake *fake = calls->state;
    fake->aborted++;
}

static enum code fake_finalize(struct mpi_calls *calls, struct err *err)
{
    struct fake *fake = calls->state;
    (void)err;
    fake->finalized++;
    return OK;
}

static enum code open_fake(struct comm *comm, struct fake *fake, const struct over_mpi_opts *opts)
{
    struct err err;
    struct mpi_calls calls = { .state = fake,
                               .init = fake_init,
                               .begin = fake_begin,
                               .test = fake_test,
                               .answer = fake_answer,
                               .ask = fake_ask,
                               .abort = fake_abort,
                               .finalize = fake_finalize };
    return comm_over_calls(comm, &calls, opts, &err);
}

static bool told_to_end(void)
{
    return true;
}

#define HEARD(number, exchange)                                                                    \
    {                                                                                              \
        .begun = (number), .what = (exchange), .heard = 1                                          \
    }

static const struct watched_row {
    const char *name;
    struct fake fake;
    bool ending;
    double floor_s;
    const char *says;
    int asked;
} rows[] = {
    { "one computes",
      { .marks = { HEARD(6, ALL_GATHER), { 0 }, HEARD(4, EXCHANGE_NONE) } },
      false,
      0.1,
      "rank 1 gave up barrier 6 after 0 s: rank 2 is behind at 4 (computing)",
      1 },
    { "one is silent",
      { .marks = { { 0 }, { 0 }, HEARD(5, EXCHANGE_NONE) } },
      false,
      0.1,
      "rank 0 is gone or stopped (no answer)",
      1 },
    { "all are there",
      { .marks = { HEARD(6, BARRIER), { 0 }, HEARD(6, BARRIER) } },
      false,
      0.1,
      "all ranks are in it",
      1 },
    { "a call hangs", { .hangs = true }, false, 0.1, "the MPI library does not return", 0 },
    { "an error", { .fails = DEVICE }, false, 30, "cannot exchange over MPI: truncated", 0 },
    { "told to end",
      { .marks = { { 0 }, { 0 }, { 0 } } },
      true,
      0.5,
      "rank 0 is gone or stopped (no answer)",
      1 },
};

Test(over_mpi, who_is_late_is_named_and_everything_ends, .timeout = 60)
{
    char dir[] = "/tmp/pawl-watch-XXXXXX";
    cr_assert(mkdtemp(dir));
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct fake fake = rows[r].fake;
        struct comm comm;
        struct err err = { 0 }, again = { 0 };
        struct over_mpi_opts opts = { .floor_s = rows[r].floor_s, .report_dir = dir };
        if (rows[r].ending) opts.ending = told_to_end;
        cr_assert_eq(open_fake(&comm, &fake, &opts), OK);
        for (int i = 0; i < WORKING_EXCHANGES; i++)
            cr_assert_eq(comm_barrier(&comm, &err), OK, "%s: %s", rows[r].name, err.message);
        cr_expect_eq(comm_barrier(&comm, &err), DEVICE, "%s", rows[r].name);
        cr_expect(strstr(err.message, rows[r].says), "%s: %s", rows[r].name, err.message);
        uint32_t flags = 1;
        cr_expect_eq(comm_agree(&comm, &flags, &again), DEVICE);
        cr_expect_str_eq(again.message, err.message, "%s", rows[r].name);
        json_t *report;
        char path[64];
        snprintf(path, sizeof path, "%s/rank-0001.json", dir);
        cr_assert_eq(json_read(&report, path, 1 << 20, "rank-report/1", &err), OK, "%s",
                     err.message);
        const json_t *list = json_object_get(report, "exchanges");
        cr_expect_eq(json_array_size(list), WORKING_EXCHANGES + 1, "%s", rows[r].name);
        const json_t *last = json_array_get(list, WORKING_EXCHANGES);
        cr_expect_str_eq(json_string_value(json_object_get(last, "exchange")), "barrier");
        cr_expect(json_number_value(json_object_get(last, "number")) == 6);
        json_decref(report);
        cr_expect_eq(unlink(path), 0);
        if (rows[r].fake.hangs) sleep(2); /* or closing would kill this process, as it should */
        comm_close(&comm);
        cr_expect(fake.aborted == 1 && !fake.finalized && fake.asked == rows[r].asked,
                  "%s: %d aborted, %d finalized, %d asked", rows[r].name, fake.aborted,
                  fake.finalized, fake.asked);
    }
    cr_expect_eq(rmdir(dir), 0);
}

Test(over_mpi, what_goes_well_is_finalized)
{
    struct fake fake = { 0 };
    struct comm comm;
    struct err err;
    cr_assert_eq(open_fake(&comm, &fake, &(struct over_mpi_opts){ 0 }), OK);
    cr_expect(comm.rank == 1 && comm.size == RANKS);
    for (int i = 1; i < WORKING_EXCHANGES; i++) cr_expect_eq(comm_barrier(&comm, &err), OK);
    comm_close(&comm); /* one more meeting */
    cr_expect(!fake.aborted && fake.finalized == 1 && fake.exchanges == WORKING_EXCHANGES);
}
