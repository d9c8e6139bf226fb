/* The MPI module itself: non-blocking collectives on bytes, and where-are-you between ranks.
 *
 * Collectives and questions have communicators of their own. Nothing here waits: the caller looks
 * after time. Errors are returned, so that they come out with pawl's own words. */
#include "comm/mpi_module.h"

#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TAG_ASK = 1, TAG_ANSWER = 2 };

struct module {
    MPI_Comm data, talk;
    MPI_Request request;
    int rank, size;
    struct rank_mark mark;  /* what is being sent as an answer */
    MPI_Request *answers;   /* one to each rank, so that a slow one blocks nobody */
    struct rank_mark *sent; /* [size] */
    MPI_Request *questions; /* [size] */
};

static enum code check(int result, const char *what, struct err *err)
{
    char text[MPI_MAX_ERROR_STRING];
    int length;
    if (result == MPI_SUCCESS) return OK;
    if (MPI_Error_string(result, text, &length) != MPI_SUCCESS) snprintf(text, sizeof text, "?");
    return err_set(err, DEVICE, "cannot %s over MPI: %.200s", what, text);
}

/* Processors that any rank of this machine may run on, divided among them: right whether the
 * launcher bound each rank to its own or none at all. */
static int share_of_processors(MPI_Comm local, int ranks)
{
    cpu_set_t mine, all;
    memset(&mine, 0, sizeof mine);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0) CPU_SET(0, &mine);
    MPI_Allreduce(&mine, &all, (int)sizeof mine, MPI_BYTE, MPI_BOR, local);
    int share = CPU_COUNT(&all) / ranks;
    return share > 0 ? share : 1;
}

static enum code connect(struct module *m, struct mpi_place *place, struct err *err)
{
    MPI_Comm local;
    int level;
    TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level), "start", err));
    if (level < MPI_THREAD_FUNNELED)
        return err_set(err, DEVICE, "cannot use this MPI: it does not allow threads");
    TRY(check(MPI_Comm_dup(MPI_COMM_WORLD, &m->data), "connect", err));
    TRY(check(MPI_Comm_dup(MPI_COMM_WORLD, &m->talk), "connect", err));
    MPI_Comm_set_errhandler(m->data, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(m->talk, MPI_ERRORS_RETURN);
    MPI_Comm_rank(m->data, &m->rank);
    MPI_Comm_size(m->data, &m->size);
    TRY(check(MPI_Comm_split_type(m->data, MPI_COMM_TYPE_SHARED, m->rank, MPI_INFO_NULL, &local),
              "find the ranks of this machine", err));
    place->rank = m->rank;
    place->size = m->size;
    MPI_Comm_rank(local, &place->local_rank);
    MPI_Comm_size(local, &place->local_size);
    place->processors = share_of_processors(local, place->local_size);
    MPI_Comm_free(&local);
    return OK;
}

static enum code init(struct mpi_calls *calls, struct mpi_place *place, struct err *err)
{
    struct module *m = calloc(1, sizeof *m);
    if (!m) return err_set(err, NO_MEMORY, "cannot start MPI: out of memory");
    calls->state = m;
    m->request = MPI_REQUEST_NULL;
    TRY(connect(m, place, err));
    size_t ranks = (size_t)m->size;
    m->answers = calloc(ranks, sizeof *m->answers);
    m->questions = calloc(ranks, sizeof *m->questions);
    m->sent = calloc(ranks, sizeof *m->sent);
    if (!m->answers || !m->questions || !m->sent)
        return err_set(err, NO_MEMORY, "cannot start MPI: out of memory");
    for (size_t r = 0; r < ranks; r++) m->answers[r] = m->questions[r] = MPI_REQUEST_NULL;
    return OK;
}

static enum code begin(struct mpi_calls *calls, const struct exchange_request *request,
                       struct err *err)
{
    struct module *m = calls->state;
    int bytes = (int)request->bytes;
    switch (request->what) {
    case ALL_TO_ALL:
        return check(MPI_Ialltoall(request->in, bytes, MPI_BYTE, request->out, bytes, MPI_BYTE,
                                   m->data, &m->request),
                     "exchange", err);
    case ALL_GATHER:
        return check(MPI_Iallgather(request->in, bytes, MPI_BYTE, request->out, bytes, MPI_BYTE,
                                    m->data, &m->request),
                     "gather", err);
    case BROADCAST:
        return check(MPI_Ibcast(request->out, bytes, MPI_BYTE, request->root, m->data, &m->request),
                     "broadcast", err);
    default:
        return check(MPI_Ibarrier(m->data, &m->request), "meet", err);
    }
}

static enum code test(struct mpi_calls *calls, bool *done, struct err *err)
{
    struct module *m = calls->state;
    int flag = 0;
    TRY(check(MPI_Test(&m->request, &flag, MPI_STATUS_IGNORE), "go on", err));
    *done = flag != 0;
    return OK;
}

static void answer(struct mpi_calls *calls, const struct rank_mark *mine)
{
    struct module *m = calls->state;
    MPI_Status status;
    int there = 0, free = 0;
    if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_ASK, m->talk, &there, &status) != MPI_SUCCESS || !there)
        return;
    int from = status.MPI_SOURCE;
    MPI_Recv(NULL, 0, MPI_BYTE, from, TAG_ASK, m->talk, MPI_STATUS_IGNORE);
    MPI_Test(&m->answers[from], &free, MPI_STATUS_IGNORE);
    if (!free) return; /* the answer before has not left yet */
    m->sent[from] = *mine;
    m->sent[from].heard = 1;
    MPI_Isend(&m->sent[from], (int)sizeof *mine, MPI_BYTE, from, TAG_ANSWER, m->talk,
              &m->answers[from]);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void hear(struct module *m, struct rank_mark *marks)
{
    MPI_Status status;
    int there = 0;
    struct rank_mark mark;
    if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_ANSWER, m->talk, &there, &status) != MPI_SUCCESS || !there)
        return;
    MPI_Recv(&mark, (int)sizeof mark, MPI_BYTE, status.MPI_SOURCE, TAG_ANSWER, m->talk,
             MPI_STATUS_IGNORE);
    marks[status.MPI_SOURCE] = mark;
}

static void ask(struct mpi_calls *calls, struct rank_mark *marks, const struct rank_mark *mine,
                double seconds)
{
    struct module *m = calls->state;
    const struct timespec pause = { .tv_nsec = 1000 * 1000 };
    memset(marks, 0, (size_t)m->size * sizeof *marks);
    marks[m->rank] = *mine;
    marks[m->rank].heard = 1;
    for (int r = 0; r < m->size; r++)
        if (r != m->rank) MPI_Isend(NULL, 0, MPI_BYTE, r, TAG_ASK, m->talk, &m->questions[r]);
    for (double end = now() + seconds; now() < end;) {
        int all = 0;
        hear(m, marks);
        answer(calls, mine);
        for (int r = 0; r < m->size; r++) all += marks[r].heard != 0;
        if (all == m->size) break;
        nanosleep(&pause, NULL);
    }
}

static void abort_all(struct mpi_calls *calls)
{
    struct module *m = calls->state;
    MPI_Abort(m->data, 1);
}

static enum code finalize(struct mpi_calls *calls, struct err *err)
{
    struct module *m = calls->state;
    MPI_Comm_free(&m->data);
    MPI_Comm_free(&m->talk);
    enum code code = check(MPI_Finalize(), "end", err);
    free(m->answers);
    free(m->questions);
    free(m->sent);
    free(m);
    calls->state = NULL;
    return code;
}

module_mpi_open pawl_mpi_open;

__attribute__((visibility("default"))) enum code pawl_mpi_open(struct mpi_calls *calls,
                                                               const struct mpi_contract *contract,
                                                               struct err *err)
{
    struct mpi_contract here = mpi_contract_here();
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length;
    if (contract->err != here.err) return USAGE; /* not even the error has a known shape */
    if (strcmp(contract->version, here.version) != 0 || contract->calls != here.calls ||
        contract->request != here.request || contract->mark != here.mark) {
        err_set(err, USAGE, "module '%s' is of pawl %s, not of pawl %s or of another build of it",
                MODULE_MPI_FILE, here.version, contract->version);
        return err_hint(err, "Build pawl and its module together.");
    }
    *calls = (struct mpi_calls){ .init = init,
                                 .begin = begin,
                                 .test = test,
                                 .answer = answer,
                                 .ask = ask,
                                 .abort = abort_all,
                                 .finalize = finalize };
    MPI_Get_library_version(text, &length);
    snprintf(calls->made_with, sizeof calls->made_with, "%.*s", (int)strcspn(text, ",\n"), text);
    return OK;
}
