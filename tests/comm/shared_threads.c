/* Exchanges by pointers: all publish theirs, meet, copy, meet. */
#include "tests/comm/threads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 };

struct world {
    int ranks;
    pthread_barrier_t meeting;
    const void *in[MOST];
    void (*body)(struct comm *comm, void *context);
    void *context;
    size_t stage;
};

struct thread_rank {
    struct world *world;
    struct comm comm;
};

static enum code to_all(struct comm *comm, void *out, const void *in, size_t bytes, struct err *err)
{
    struct world *world = comm->state;
    (void)err;
    world->in[comm->rank] = in;
    pthread_barrier_wait(&world->meeting);
    for (int r = 0; r < world->ranks; r++)
        memcpy((char *)out + (size_t)r * bytes,
               (const char *)world->in[r] + (size_t)comm->rank * bytes, bytes);
    pthread_barrier_wait(&world->meeting);
    return OK;
}

static enum code gather(struct comm *comm, void *out, const void *in, size_t bytes, struct err *err)
{
    struct world *world = comm->state;
    (void)err;
    world->in[comm->rank] = in;
    pthread_barrier_wait(&world->meeting);
    for (int r = 0; r < world->ranks; r++)
        memcpy((char *)out + (size_t)r * bytes, world->in[r], bytes);
    pthread_barrier_wait(&world->meeting);
    return OK;
}

static enum code spread(struct comm *comm, void *data, size_t bytes, int root, struct err *err)
{
    struct world *world = comm->state;
    (void)err;
    if (comm->rank == root) world->in[root] = data;
    pthread_barrier_wait(&world->meeting);
    if (comm->rank != root) memcpy(data, world->in[root], bytes);
    pthread_barrier_wait(&world->meeting);
    return OK;
}

static enum code meet(struct comm *comm, struct err *err)
{
    struct world *world = comm->state;
    (void)err;
    pthread_barrier_wait(&world->meeting);
    return OK;
}

static void no_close(struct comm *comm)
{
    (void)comm;
}

static const struct comm_backend threads = { .all_to_all = to_all,
                                             .all_gather = gather,
                                             .broadcast = spread,
                                             .barrier = meet,
                                             .close = no_close };

static void *run_rank(void *argument)
{
    struct thread_rank *rank = argument;
    struct err err;
    if (comm_take_stage(&rank->comm, rank->world->stage, &err)) abort();
    rank->world->body(&rank->comm, rank->world->context);
    comm_close(&rank->comm);
    return NULL;
}

void threads_run(int ranks, size_t stage, void (*body)(struct comm *comm, void *context),
                 void *context)
{
    struct world world = { .ranks = ranks, .body = body, .context = context, .stage = stage };
    struct thread_rank rank[MOST];
    pthread_t thread[MOST];
    if (ranks > MOST) abort();
    pthread_barrier_init(&world.meeting, NULL, (unsigned)ranks);
    for (int r = 0; r < ranks; r++) {
        rank[r] = (struct thread_rank){ &world,
                                        { .rank = r,
                                          .size = ranks,
                                          .local_rank = r,
                                          .local_size = ranks,
                                          .processors = 1,
                                          .backend = &threads,
                                          .state = &world } };
        if (pthread_create(&thread[r], NULL, run_rank, &rank[r])) abort();
    }
    for (int r = 0; r < ranks; r++) pthread_join(thread[r], NULL);
    pthread_barrier_destroy(&world.meeting);
}
