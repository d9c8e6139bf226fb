/* The collectives over a backend that only moves bytes.
 *
 * A reduction goes block by block: each rank sends every rank its part of the block, sums the parts
 * it receives, and the sums are gathered. That moves as much as a ring does, and its order of
 * additions is ours. */
#include "comm/comm.h"

#include "comm/sum.h"
#include "kernels/device.h"

#include <string.h>

enum { STAGE_BYTES = 1 << 20 };
static const uint64_t exchange_limit = (uint64_t)1 << 30;

void comm_alone(struct comm *comm)
{
    *comm = (struct comm){ .size = 1, .local_size = 1, .processors = device_processors() };
}

enum code comm_take_stage(struct comm *comm, size_t bytes, struct err *err)
{
    size_t least = (size_t)comm->size * sizeof(double);
    if (!bytes) bytes = STAGE_BYTES;
    if (bytes < least) bytes = least;
    TRY(block_alloc(&comm->stage, 2 * bytes, "the ranks' exchange buffers", err));
    comm->stage_bytes = bytes;
    return OK;
}

void comm_close(struct comm *comm)
{
    if (comm->backend) comm->backend->close(comm);
    block_free(comm->stage);
    memset(comm, 0, sizeof *comm);
}

/* One reduction: arrays of this rank, and where the result goes. */
struct reduction {
    float *const *leaf; /* NULL: the one array `data` of any type */
    int leaves;
    const char *data;
    char *out;
    enum comm_type type;
    enum comm_op op;
};

static const char *array_of(const struct reduction *what, int leaf)
{
    return what->leaf ? (const char *)what->leaf[leaf] : what->data;
}

static char *far_half(const struct comm *comm)
{
    return (char *)comm->stage + comm->stage_bytes;
}

/* Numbers of each rank's part in one block. */
static int64_t part_of(const struct comm *comm, const struct reduction *what)
{
    size_t row = (size_t)comm->size * (size_t)what->leaves * sum_width(what->type);
    return (int64_t)(comm->stage_bytes / row);
}

/* Puts what goes to `rank` into the stage: a part of each leaf; beyond the end, zeroes that nobody
 * looks at. */
static void pack(const struct comm *comm, const struct reduction *what, int rank, int64_t from,
                 int64_t part, int64_t valid)
{
    size_t width = sum_width(what->type), bytes = (size_t)part * width;
    int64_t whole = valid < 0 ? 0 : valid < part ? valid : part;
    for (int l = 0; l < what->leaves; l++) {
        char *to = (char *)comm->stage + ((size_t)rank * (size_t)what->leaves + (size_t)l) * bytes;
        if (whole)
            sum_pack(to, array_of(what, l) + (size_t)from * sum_stored(what->type), whole,
                     what->type);
        memset(to + (size_t)whole * width, 0, bytes - (size_t)whole * width);
    }
}

/* Exchanges the parts in the stage and sums this rank's one; the sum is at the far half's begin. */
static enum code exchange_and_sum(struct comm *comm, const struct reduction *what, int64_t part,
                                  struct err *err)
{
    size_t bytes = (size_t)part * sum_width(what->type);
    TRY(comm->backend->all_to_all(comm, far_half(comm), comm->stage, bytes * (size_t)what->leaves,
                                  err));
    sum_tree(far_half(comm), bytes, comm->size * what->leaves, part, what->type, what->op);
    return OK;
}

static enum code reduce_block(struct comm *comm, const struct reduction *what, int64_t from,
                              int64_t part, int64_t count, struct err *err)
{
    for (int rank = 0; rank < comm->size; rank++)
        pack(comm, what, rank, from + rank * part, part, count - rank * part);
    TRY(exchange_and_sum(comm, what, part, err));
    size_t bytes = (size_t)part * sum_width(what->type);
    TRY(comm->backend->all_gather(comm, comm->stage, far_half(comm), bytes, err));
    sum_unpack(what->out + (size_t)from * sum_stored(what->type), comm->stage, count, what->type);
    return OK;
}

/* The block before the last one may be smaller than the stage allows, so that a small array is not
 * padded to a large one. */
static enum code reduce_all(struct comm *comm, const struct reduction *what, int64_t count,
                            struct err *err)
{
    int64_t most = part_of(comm, what);
    REQUIRE(most > 0);
    for (int64_t from = 0; from < count;) {
        int64_t left = count - from, part = (left + comm->size - 1) / comm->size;
        if (part > most) part = most;
        int64_t block = part * comm->size < left ? part * comm->size : left;
        TRY(reduce_block(comm, what, from, part, block, err));
        from += block;
    }
    return OK;
}

enum code comm_all_reduce(struct comm *comm, void *data, int64_t count, enum comm_type type,
                          enum comm_op op, struct err *err)
{
    if (comm->size == 1) return OK;
    struct reduction what = { NULL, 1, data, data, type, op };
    return reduce_all(comm, &what, count, err);
}

enum code comm_reduce_scatter(struct comm *comm, void *out, const void *in, int64_t count,
                              enum comm_type type, enum comm_op op, struct err *err)
{
    size_t stored = sum_stored(type);
    if (comm->size == 1) {
        if (out != in) memcpy(out, in, (size_t)count * stored);
        return OK;
    }
    struct reduction what = { NULL, 1, in, out, type, op };
    int64_t most = part_of(comm, &what);
    for (int64_t from = 0; from < count; from += most) {
        int64_t part = count - from < most ? count - from : most;
        for (int rank = 0; rank < comm->size; rank++)
            pack(comm, &what, rank, rank * count + from, part, part);
        TRY(exchange_and_sum(comm, &what, part, err));
        sum_unpack((char *)out + (size_t)from * stored, far_half(comm), part, type);
    }
    return OK;
}

enum code comm_sum_leaves(struct comm *comm, float *out, float *const *leaf, int leaves,
                          int64_t count, struct err *err)
{
    if (comm->size > 1) {
        struct reduction what = { leaf, leaves, NULL, (char *)out, COMM_F32, COMM_SUM };
        return reduce_all(comm, &what, count, err);
    }
    sum_leaves(leaf, leaves, count);
    if (out != leaf[0]) memcpy(out, leaf[0], (size_t)count * sizeof *out);
    return OK;
}

static void check_size(const struct comm *comm, size_t bytes)
{
    REQUIRE(bytes <= exchange_limit / (uint64_t)comm->size);
}

enum code comm_all_gather(struct comm *comm, void *out, const void *in, size_t bytes,
                          struct err *err)
{
    check_size(comm, bytes);
    if (comm->size > 1) return comm->backend->all_gather(comm, out, in, bytes, err);
    memcpy(out, in, bytes);
    return OK;
}

enum code comm_all_to_all(struct comm *comm, void *out, const void *in, size_t bytes,
                          struct err *err)
{
    check_size(comm, bytes);
    if (comm->size > 1) return comm->backend->all_to_all(comm, out, in, bytes, err);
    memcpy(out, in, bytes);
    return OK;
}

enum code comm_broadcast(struct comm *comm, void *data, size_t bytes, int root, struct err *err)
{
    enum { PIECE = 64 << 20 };
    if (comm->size == 1) return OK;
    for (size_t from = 0; from < bytes; from += PIECE) {
        size_t piece = bytes - from < PIECE ? bytes - from : PIECE;
        TRY(comm->backend->broadcast(comm, (char *)data + from, piece, root, err));
    }
    return OK;
}

enum code comm_barrier(struct comm *comm, struct err *err)
{
    return comm->size > 1 ? comm->backend->barrier(comm, err) : OK;
}

enum code comm_agree(struct comm *comm, uint32_t *flags, struct err *err)
{
    if (comm->size == 1) return OK;
    uint32_t *all = (uint32_t *)(void *)far_half(comm), mine = *flags;
    TRY(comm->backend->all_gather(comm, all, &mine, sizeof mine, err));
    for (int rank = 0; rank < comm->size; rank++) *flags |= all[rank];
    return OK;
}
