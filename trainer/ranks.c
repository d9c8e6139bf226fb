/* Joins, and rank 0's work with the others following. */
#include "trainer/ranks.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

static const double beat_s = 1;

/* The begin of what one rank says; its numbers follow. */
struct word {
    uint32_t flags;
    int32_t code;
};

enum code ranks_open(struct ranks *ranks, struct comm *comm, int most, struct err *err)
{
    *ranks = (struct ranks){ .comm = comm, .most = most > RANKS_LEAST ? most : RANKS_LEAST };
    ranks->word = sizeof(struct word) + (size_t)ranks->most * sizeof(double);
    enum code code = block_alloc(&ranks->sent, ranks->word, "what ranks say", err);
    if (!code)
        code = block_alloc(&ranks->got, ranks->word * (size_t)comm->size, "what ranks say", err);
    if (code) ranks_close(ranks);
    return code;
}

void ranks_close(struct ranks *ranks)
{
    block_free(ranks->sent);
    block_free(ranks->got);
    memset(ranks, 0, sizeof *ranks);
}

static struct word *word_of(const struct ranks *ranks, int rank)
{
    return (struct word *)(void *)((char *)ranks->got + (size_t)rank * ranks->word);
}

/* Makes the failure of rank `from` everybody's. Who failed too keeps to the first one's. */
static enum code share_failure(struct ranks *ranks, int from, struct err *err)
{
    struct err shared = { 0 };
    struct comm *comm = ranks->comm;
    if (comm->rank == from) shared = *err;
    TRY(comm_broadcast(comm, &shared, sizeof shared, from, err));
    if (from) {
        char text[sizeof shared.message];
        snprintf(text, sizeof text, "%s", shared.message);
        snprintf(shared.message, sizeof shared.message, "rank %d: %.440s", from, text);
    }
    shared.code = (enum code)word_of(ranks, from)->code;
    *err = shared;
    ranks->failed = true;
    return shared.code;
}

static enum code join(struct ranks *ranks, const struct word *mine, const double *numbers,
                      int count, struct err *err)
{
    REQUIRE(count <= ranks->most);
    memcpy(ranks->sent, mine, sizeof *mine);
    if (count) memcpy((char *)ranks->sent + sizeof *mine, numbers, (size_t)count * sizeof *numbers);
    struct err lost;
    if (comm_all_gather(ranks->comm, ranks->got, ranks->sent, ranks->word, &lost)) {
        ranks->failed = true; /* nobody can be told any more */
        if (mine->code) return (enum code)mine->code;
        *err = lost;
        return lost.code;
    }
    uint32_t flags = 0;
    for (int r = 0; r < ranks->comm->size; r++) flags |= word_of(ranks, r)->flags;
    ranks->heard = flags | (ranks->heard & RANKS_STOP);
    ranks->beat_at = clock_monotonic();
    for (int r = 0; r < ranks->comm->size; r++)
        if (word_of(ranks, r)->code) return share_failure(ranks, r, err);
    return OK;
}

static struct word say(const struct ranks *ranks, enum code mine, uint32_t flags)
{
    bool stop = ranks->asked && ranks->asked(ranks->context);
    return (struct word){ .flags = flags | (stop ? RANKS_STOP : 0), .code = (int32_t)mine };
}

enum code ranks_join(struct ranks *ranks, enum code mine, uint32_t flags, struct err *err)
{
    struct word word = say(ranks, mine, flags);
    return join(ranks, &word, NULL, 0, err);
}

enum code ranks_join_numbers(struct ranks *ranks, enum code mine, const double *numbers, int count,
                             double *all, struct err *err)
{
    struct word word = say(ranks, mine, 0);
    enum code code = join(ranks, &word, numbers, count, err);
    for (int r = 0; !code && r < ranks->comm->size; r++)
        memcpy(all + (ptrdiff_t)r * count, word_of(ranks, r) + 1, (size_t)count * sizeof *all);
    return code;
}

bool ranks_lead(const struct ranks *ranks)
{
    return ranks->comm->rank == 0;
}

bool ranks_several(const struct ranks *ranks)
{
    return ranks->comm->size > 1;
}

bool ranks_stopping(struct ranks *ranks)
{
    if (!ranks_several(ranks) && ranks->asked(ranks->context)) ranks->heard |= RANKS_STOP;
    return ranks->heard & RANKS_STOP;
}

enum code ranks_beat(struct ranks *ranks, struct err *err)
{
    if (!ranks_several(ranks) || ranks->failed || clock_monotonic() - ranks->beat_at < beat_s)
        return OK;
    return ranks_join(ranks, OK, RANKS_WORKING, err);
}

enum code ranks_work_done(struct ranks *ranks, enum code mine, uint32_t flags, struct err *err)
{
    return ranks_join(ranks, mine, flags, err);
}

enum code ranks_follow(struct ranks *ranks, struct err *err)
{
    do TRY(ranks_join(ranks, OK, 0, err));
    while (ranks->heard & RANKS_WORKING);
    return OK;
}

enum code ranks_share_json(struct ranks *ranks, json_t **document, struct err *err)
{
    struct comm *comm = ranks->comm;
    struct arena arena = { 0 };
    size_t len = 0;
    char *text = NULL;
    if (comm->size == 1) return OK;
    if (comm->rank == 0 && *document) text = json_canonical(&arena, *document, &len);
    uint64_t bytes = len;
    enum code code = comm_broadcast(comm, &bytes, sizeof bytes, 0, err);
    if (!code && bytes) {
        if (comm->rank) text = arena_take(&arena, bytes + 1);
        code = comm_broadcast(comm, text, bytes, 0, err);
    }
    if (!code && comm->rank) {
        json_decref(*document);
        *document = NULL;
        if (bytes) code = json_parse(document, text, bytes, "what rank 0 says", err);
    }
    arena_release(&arena);
    return code;
}
