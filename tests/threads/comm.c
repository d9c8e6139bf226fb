/* The comm thread and its caller under ThreadSanitizer: exchanges one after another, one that
 * never ends and is given up, the end. The calls in place of MPI's are one rank's that talks to
 * itself. */
#include "comm/over_mpi.h"

#include <stdio.h>
#include <string.h>

enum { EXCHANGES = 2000 };

struct self {
    struct exchange_request request;
    int left; /* exchanges that end */
    int ended;
};

static enum code self_init(struct mpi_calls *calls, struct mpi_place *place, struct err *err)
{
    (void)calls;
    (void)err;
    *place = (struct mpi_place){ .size = 1, .local_size = 1, .processors = 1 };
    return OK;
}

static enum code self_begin(struct mpi_calls *calls, const struct exchange_request *request,
                            struct err *err)
{
    struct self *self = calls->state;
    (void)err;
    self->request = *request;
    return OK;
}

static enum code self_test(struct mpi_calls *calls, bool *done, struct err *err)
{
    struct self *self = calls->state;
    (void)err;
    *done = self->left > 0;
    self->left -= *done;
    if (*done && self->request.in) memcpy(self->request.out, self->request.in, self->request.bytes);
    return OK;
}

static void self_answer(struct mpi_calls *calls, const struct rank_mark *mine)
{
    (void)calls;
    (void)mine;
}

static void self_ask(struct mpi_calls *calls, struct rank_mark *marks, const struct rank_mark *mine,
                     double seconds)
{
    (void)calls;
    (void)seconds;
    *marks = *mine;
    marks->heard = 1;
}

static void self_abort(struct mpi_calls *calls)
{
    ((struct self *)calls->state)->ended++;
}

static enum code self_finalize(struct mpi_calls *calls, struct err *err)
{
    (void)err;
    self_abort(calls);
    return OK;
}

/* One life; `hang`: its last exchange never ends. */
static int live(bool hang)
{
    struct self self = { .left = EXCHANGES + (hang ? 0 : 1) };
    struct comm comm;
    struct err err = { 0 };
    struct mpi_calls calls = { .state = &self,
                               .init = self_init,
                               .begin = self_begin,
                               .test = self_test,
                               .answer = self_answer,
                               .ask = self_ask,
                               .abort = self_abort,
                               .finalize = self_finalize };
    if (comm_over_calls(&comm, &calls, &(struct over_mpi_opts){ .floor_s = 0.2 }, &err)) return 1;
    for (int i = 0; i < EXCHANGES; i++) {
        int in = i, out = -1;
        if (comm.backend->all_gather(&comm, &out, &in, sizeof in, &err) || out != i) return 1;
    }
    enum code code = hang ? comm.backend->barrier(&comm, &err) : DEVICE;
    comm_close(&comm);
    return code == DEVICE && self.ended == 1 ? 0 : 1;
}

int main(void)
{
    int failed = live(false) + live(true);
    if (failed) fprintf(stderr, "%d lives went wrong\n", failed);
    return failed;
}
