/* Collectives over threads: the same sums whatever the blocks, in the tree's order; the same bits
 * on every rank and for every sharing of the leaves. */
#include "tests/comm/threads.h"

#include "base/rng.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 1237, MOST_LEAVES = 12 };

/* Number i of leaf l: sizes differ widely, so that the order of additions shows in the bits. */
static float number(int leaf, int64_t i)
{
    uint64_t bits = rng_mix((uint64_t)leaf + 1, (uint64_t)i);
    double size = ldexp(1, (int)(bits % 24));
    return (float)(((double)(bits >> 32) / 4294967296.0 - 0.5) * size);
}

/* The tree by its definition, another way round than the code: a node of height h over leaves
 * [i, i + 2^h) is the sum of its halves, where the right one exists. */
static float tree(int from, int size, int leaves, int64_t i)
{
    if (size == 1) return number(from, i);
    float left = tree(from, size / 2, leaves, i);
    return from + size / 2 < leaves ? left + tree(from + size / 2, size / 2, leaves, i) : left;
}

struct sums {
    int leaves; /* of all ranks */
    float got[16][COUNT];
};

static void sum_all(struct comm *comm, void *context)
{
    struct sums *sums = context;
    struct err err;
    float *leaf[MOST_LEAVES], memory[MOST_LEAVES][COUNT];
    int mine = sums->leaves / comm->size;
    for (int l = 0; l < mine; l++) {
        leaf[l] = memory[l];
        for (int64_t i = 0; i < COUNT; i++) leaf[l][i] = number(comm->rank * mine + l, i);
    }
    float *out = comm->rank % 2 ? sums->got[comm->rank] : leaf[0];
    if (comm_sum_leaves(comm, out, leaf, mine, COUNT, &err)) return;
    if (out == leaf[0]) memcpy(sums->got[comm->rank], out, sizeof sums->got[0]);
}

Test(comm, leaves_are_summed_in_one_tree_however_ranks_share_them)
{
    static const int worlds[][2] = { { 1, 4 },  { 2, 4 },  { 4, 4 },  { 1, 12 }, { 2, 12 },
                                     { 3, 12 }, { 4, 12 }, { 6, 12 }, { 3, 3 },  { 5, 5 } };
    static const size_t stages[] = { 0, 256, 4096 };
    static struct sums sums;
    for (size_t w = 0; w < sizeof worlds / sizeof *worlds; w++) {
        for (int s = 0; s < 3; s++) {
            memset(&sums, 0, sizeof sums);
            sums.leaves = worlds[w][1];
            threads_run(worlds[w][0], stages[s], sum_all, &sums);
            for (int r = 0; r < worlds[w][0]; r++)
                for (int64_t i = 0; i < COUNT; i++) {
                    float want = tree(0, 16, sums.leaves, i);
                    cr_assert(sums.got[r][i] == want,
                              "%d ranks, %d leaves, stage %zu, rank %d, %lld: %.9g, not %.9g",
                              worlds[w][0], sums.leaves, stages[s], r, (long long)i,
                              (double)sums.got[r][i], (double)want);
                }
        }
    }
}

struct verdicts {
    char text[16][600];
};

#define HOLD(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            snprintf(verdicts->text[comm->rank], sizeof verdicts->text[0], __VA_ARGS__);           \
            return;                                                                                \
        }                                                                                          \
    } while (0)

static double value(int rank, int64_t i)
{
    return (double)((rng_mix((uint64_t)rank, (uint64_t)i) >> 44) % 1000) - 500;
}

/* Sums and maxima of whole numbers are exact in every type: bf16 up to 256. */
static void reduce_each_type(struct comm *comm, void *context)
{
    struct verdicts *verdicts = context;
    struct err err = { 0 };
    static const char *const names[] = { "f32", "f64", "i64", "bf16" };
    for (int type = COMM_F32; type <= COMM_BF16; type++)
        for (int op = COMM_SUM; op <= COMM_MAX; op++) {
            union {
                float f32[COUNT];
                double f64[COUNT];
                int64_t i64[COUNT];
                uint16_t bf16[COUNT];
            } data;
            int64_t spread = type == COMM_BF16 ? 32 : 1000;
            for (int64_t i = 0; i < COUNT; i++) {
                double mine = fmod(value(comm->rank, i), (double)spread);
                float narrow = (float)mine;
                uint32_t bits;
                memcpy(&bits, &narrow, sizeof bits);
                if (type == COMM_F32) data.f32[i] = narrow;
                if (type == COMM_F64) data.f64[i] = mine;
                if (type == COMM_I64) data.i64[i] = (int64_t)mine;
                if (type == COMM_BF16) data.bf16[i] = (uint16_t)(bits >> 16);
            }
            HOLD(!comm_all_reduce(comm, &data, COUNT, (enum comm_type)type, (enum comm_op)op, &err),
                 "%s", err.message);
            for (int64_t i = 0; i < COUNT; i++) {
                double want = op == COMM_SUM ? 0 : -1e9, got;
                for (int r = 0; r < comm->size; r++) {
                    double theirs = fmod(value(r, i), (double)spread);
                    want = op == COMM_SUM ? want + theirs : fmax(want, theirs);
                }
                uint32_t bits = (uint32_t)data.bf16[i] << 16;
                float wide;
                memcpy(&wide, &bits, sizeof wide);
                got = type == COMM_F32   ? (double)data.f32[i]
                      : type == COMM_F64 ? data.f64[i]
                      : type == COMM_I64 ? (double)data.i64[i]
                                         : (double)wide;
                HOLD(got == want, "%s, op %d, %lld: %g, not %g", names[type], op, (long long)i, got,
                     want);
            }
        }
}

static void exchange_each_way(struct comm *comm, void *context)
{
    enum { PIECE = 37 };
    struct verdicts *verdicts = context;
    struct err err = { 0 };
    int32_t mine[16 * PIECE] = { 0 }, all[16 * PIECE], part[PIECE];
    int32_t rank = comm->rank, size = comm->size;
    for (int32_t i = 0; i < size * PIECE; i++) mine[i] = rank * 10000 + i;
    HOLD(!comm_all_to_all(comm, all, mine, sizeof part, &err), "%s", err.message);
    for (int32_t i = 0; i < size * PIECE; i++)
        HOLD(all[i] == i / PIECE * 10000 + rank * PIECE + i % PIECE, "all_to_all %d", i);
    HOLD(!comm_all_gather(comm, all, mine, sizeof part, &err), "%s", err.message);
    for (int32_t i = 0; i < size * PIECE; i++)
        HOLD(all[i] == i / PIECE * 10000 + i % PIECE, "all_gather %d", i);
    for (int root = 0; root < size; root++) {
        for (int32_t i = 0; i < PIECE; i++) part[i] = rank == root ? root * 7 + i : -1;
        HOLD(!comm_broadcast(comm, part, sizeof part, root, &err), "%s", err.message);
        for (int32_t i = 0; i < PIECE; i++) HOLD(part[i] == root * 7 + i, "broadcast %d", i);
    }
    double sums[16 * PIECE], got[PIECE];
    for (int32_t i = 0; i < size * PIECE; i++) sums[i] = value(rank, i);
    HOLD(!comm_reduce_scatter(comm, got, sums, PIECE, COMM_F64, COMM_SUM, &err), "%s", err.message);
    for (int32_t i = 0; i < PIECE; i++) {
        double want = 0;
        for (int r = 0; r < size; r++) want += value(r, rank * PIECE + i);
        HOLD(got[i] == want, "reduce_scatter %d: %g, not %g", i, got[i], want);
    }
    for (int who = 0; who < size; who++) {
        uint32_t flags = rank == who ? 4 : rank == 0 ? 1 : 0;
        HOLD(!comm_agree(comm, &flags, &err), "%s", err.message);
        HOLD(flags == (who ? 5u : 4u), "agree with %d: %u", who, flags);
    }
    float nan = rank == size - 1 ? NAN : (float)rank;
    HOLD(!comm_all_reduce(comm, &nan, 1, COMM_F32, COMM_MAX, &err) && isnan(nan), "a lost NaN");
    HOLD(!comm_barrier(comm, &err), "%s", err.message);
}

static void hold_on(const char *name, size_t stage, void (*body)(struct comm *comm, void *context))
{
    static const int sizes[] = { 1, 2, 3, 4, 7 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct verdicts verdicts;
        memset(&verdicts, 0, sizeof verdicts);
        threads_run(sizes[s], stage, body, &verdicts);
        for (int r = 0; r < sizes[s]; r++)
            cr_expect_str_empty(verdicts.text[r], "%s, rank %d of %d: %s", name, r, sizes[s],
                                verdicts.text[r]);
    }
}

Test(comm, every_type_is_reduced_and_every_exchange_goes_where_it_should)
{
    hold_on("reduce", 512, reduce_each_type);
    hold_on("exchange", 256, exchange_each_way);
}

Test(comm, alone_needs_nobody)
{
    struct comm comm;
    struct err err;
    comm_alone(&comm);
    cr_expect(comm.size == 1 && comm.rank == 0 && comm.processors >= 1);
    float leaves[3][4] = { { 1, 2, 3, 4 }, { 10, 20, 30, 40 }, { 100, 200, 300, 400 } };
    float *leaf[] = { leaves[0], leaves[1], leaves[2] }, out[4];
    cr_expect_eq(comm_sum_leaves(&comm, out, leaf, 3, 4, &err), OK);
    cr_expect(out[0] == 111 && out[3] == 444);
    uint32_t flags = 6;
    cr_expect(!comm_agree(&comm, &flags, &err) && flags == 6);
    cr_expect(!comm_barrier(&comm, &err) && !comm_broadcast(&comm, out, sizeof out, 0, &err));
    comm_close(&comm);
}
