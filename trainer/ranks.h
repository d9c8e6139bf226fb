/* What ranks say to each other between the sums: stop requests, failures, that work goes on.
 *
 * All of it is one kind of exchange, the join: fixed in size, so that any join meets any other. It
 * carries flags (OR'ed), a code (the lowest rank's failure becomes everybody's, with its message)
 * and a few numbers. So a rank that fails between two joins says it in the next one, and the
 * others, which expected a step, hear of it there.
 *
 * Rank 0 alone writes, validates and resumes; while it does, the others follow: they join until it
 * says that it is done. */
#ifndef PAWL_TRAINER_RANKS_H
#define PAWL_TRAINER_RANKS_H

#include "base/json.h"
#include "comm/comm.h"

enum { RANKS_LEAST = 4 /* numbers that any join can carry */ };

enum ranks_flag {
    RANKS_STOP = 1,    /* a rank was asked to stop */
    RANKS_WORKING = 2, /* rank 0 goes on with its own work */
    RANKS_DONE = 4,    /* its work came to the end that was hoped for */
    RANKS_CHOOSE = 8   /* a device can compute in several ways: rank 0 says which */
};

struct ranks {
    struct comm *comm;
    bool (*asked)(void *context); /* whether this rank was asked to stop */
    void *context;
    uint32_t heard; /* flags of the last join; RANKS_STOP stays once it was heard */
    bool failed;    /* a join brought a failure: all ranks know of it */
    double beat_at;
    int most;         /* numbers in a join */
    size_t word;      /* bytes of one */
    void *sent, *got; /* one word; one of each rank */
};

/* Prepares joins of up to `most` numbers (at least RANKS_LEAST). `comm` outlives it. */
enum code ranks_open(struct ranks *ranks, struct comm *comm, int most, struct err *err);
void ranks_close(struct ranks *ranks);

/* Joins: gives `mine` (a failure fills *err before), `flags` and `count` numbers; gets all ranks'
 * numbers in `all` [size, count] (NULL: not wanted). Returns the agreed code. */
enum code ranks_join(struct ranks *ranks, enum code mine, uint32_t flags, struct err *err);
enum code ranks_join_numbers(struct ranks *ranks, enum code mine, const double *numbers, int count,
                             double *all, struct err *err);

/* Whether this rank is the one that writes; whether there are others. */
bool ranks_lead(const struct ranks *ranks);
bool ranks_several(const struct ranks *ranks);

/* Whether to stop: a join said so, or alone, this rank was asked to. */
bool ranks_stopping(struct ranks *ranks);

/* For rank 0 at work: tells the others, at most once a second. */
enum code ranks_beat(struct ranks *ranks, struct err *err);

/* The end of rank 0's work: `mine` and `flags` go to all. The others call ranks_follow instead. */
enum code ranks_work_done(struct ranks *ranks, enum code mine, uint32_t flags, struct err *err);
enum code ranks_follow(struct ranks *ranks, struct err *err);

/* Rank 0's document becomes everybody's; NULL stays NULL. New reference on the others. */
enum code ranks_share_json(struct ranks *ranks, json_t **document, struct err *err);

#endif
