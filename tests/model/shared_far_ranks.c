/* A collective is two acts among the runs: where it may begin, and where a join needs it over. */
#include "tests/model/shared_far_ranks.h"

#include "tests/kernels/shared_far.h"

#include <string.h>

enum { MOST_WAITING = 64 };

struct group {
    struct far_ranks *ranks;
    struct group *next;
    struct collective at[COLLECTIVE_GROUP];
    int count;
};

struct far_ranks {
    struct device *device;
    struct comm *comm;
    bool late;
    struct group *all;                         /* every one made, until the end */
    const struct group *waiting[MOST_WAITING]; /* begun by late devices, done by a join */
    int waiting_count;
    struct far_ranks_counts counts;
};

static struct far_ranks *ranks_of(const struct device *device)
{
    return device->collective_state;
}

static enum code do_one(struct comm *comm, const struct collective *c, struct err *err)
{
    REQUIRE(c->kind == COLLECTIVE_ALL_REDUCE && c->in == c->out);
    enum comm_type type = c->dtype == DTYPE_F64 ? COMM_F64 : COMM_F32;
    REQUIRE(c->dtype == DTYPE_F64 || c->dtype == DTYPE_F32);
    TRY(comm_all_reduce(comm, c->out, c->count, type, c->op == COLLECTIVE_MAX ? COMM_MAX : COMM_SUM,
                        err));
    float *numbers = c->out, share = 1.0f / (float)comm->size;
    for (int64_t i = 0; c->op == COLLECTIVE_MEAN && i < c->count; i++) numbers[i] *= share;
    return OK;
}

static enum code do_group(const struct group *group, struct err *err)
{
    for (int i = 0; i < group->count; i++) TRY(do_one(group->ranks->comm, &group->at[i], err));
    group->ranks->counts.done++;
    return OK;
}

static enum code act_begin(void *context, struct err *err)
{
    struct group *group = context;
    struct far_ranks *ranks = group->ranks;
    if (!ranks->late) return do_group(group, err);
    REQUIRE(ranks->waiting_count < MOST_WAITING);
    ranks->waiting[ranks->waiting_count++] = group;
    return OK;
}

static enum code act_join(void *context, struct err *err)
{
    struct far_ranks *ranks = context;
    enum code code = OK;
    for (int i = 0; i < ranks->waiting_count && !code; i++) code = do_group(ranks->waiting[i], err);
    ranks->waiting_count = 0;
    return code;
}

static enum code start(struct device *device, const struct collective *group, int count,
                       struct err *err)
{
    struct far_ranks *ranks = ranks_of(device);
    void *block;
    TRY(block_alloc(&block, sizeof(struct group), "a collective", err));
    struct group *made = block;
    REQUIRE(count > 0 && count <= COLLECTIVE_GROUP);
    memcpy(made->at, group, (size_t)count * sizeof *group);
    made->count = count;
    made->ranks = ranks;
    made->next = ranks->all;
    ranks->all = made;
    ranks->counts.started++;
    return far_act(device, act_begin, made, err);
}

static enum code join(struct device *device, struct err *err)
{
    ranks_of(device)->counts.joins++;
    return far_act(device, act_join, ranks_of(device), err);
}

static void replayed(struct device *device, const struct collective *group, int count)
{
    (void)group;
    (void)count;
    ranks_of(device)->counts.replayed++;
}

static enum code alloc(struct device *device, void **memory, size_t size, const char *what,
                       struct err *err)
{
    size_t unit = (size_t)device->ranks * 16;
    return device->alloc(device, memory, (size + unit - 1) / unit * unit, what, err);
}

static const struct device_collective far_collective = {
    .alloc = alloc, .start = start, .join = join, .replayed = replayed
};

enum code far_ranks_open(struct far_ranks **ranks, struct device *far, int size, bool late,
                         bool recorded, struct err *err)
{
    void *block;
    TRY(block_alloc(&block, sizeof(struct far_ranks), "a far rank", err));
    *ranks = block;
    (*ranks)->device = far;
    (*ranks)->late = late;
    far->collective = &far_collective;
    far->collective_state = *ranks;
    far->ranks = size;
    far->ranks_recorded = recorded;
    return OK;
}

void far_ranks_over(struct far_ranks *ranks, struct comm *comm)
{
    ranks->comm = comm;
}

void far_ranks_close(struct far_ranks *ranks)
{
    while (ranks->all) {
        struct group *group = ranks->all;
        ranks->all = group->next;
        block_free(group);
    }
    block_free(ranks);
}

struct far_ranks_counts far_ranks_counts(const struct far_ranks *ranks)
{
    return ranks->counts;
}
