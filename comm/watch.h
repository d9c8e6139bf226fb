/* What watches over ranks share: learned time limits, the last things done, who is late, the report
 * (internal to comm/).
 *
 * A limit belongs to one mark of progress: it is the longest wait so far times five, but never
 * below a floor, so that a slow model learns a long one and a fast one is not ended by a hiccup. */
#ifndef PAWL_COMM_WATCH_H
#define PAWL_COMM_WATCH_H

#include "comm/mpi_module.h"
#include "kernels/collective.h"

enum { WATCH_LEARNED = 5 /* times the longest wait seen */, WATCH_RING = 64 };

struct watch_limit {
    double floor_s; /* 0: 30 s */
    double longest_s;
};

/* Seconds that the next mark may take. */
double watch_limit(const struct watch_limit *limit);
/* A wait that ended well. */
void watch_learn(struct watch_limit *limit, double seconds);

/* Progress of a device through what it was given, as seen by looking at its marks. */
struct watch_progress {
    struct watch_limit limit;
    struct collective_marks seen;
    double since; /* of the last mark; learned from while something is outstanding */
    bool idle;
};

/* A look at the time `now` (seconds of any clock that only grows): `issued` groups were given so
 * far. True when something is outstanding and no mark has come within the limit. */
bool watch_look(struct watch_progress *progress, double now, uint64_t issued,
                struct collective_marks marks);

struct watch_entry {
    uint64_t number; /* from 1; 0: none */
    char what[COLLECTIVE_TEXT];
    uint64_t bytes;
    double begun, seconds; /* begun: since the watch began; seconds < 0: not over */
};

struct watch_ring {
    struct watch_entry at[WATCH_RING];
    uint64_t last; /* number of the newest */
};

/* The next entry, with its number; the oldest goes. */
struct watch_entry *watch_add(struct watch_ring *ring, const char *what, uint64_t bytes,
                              double begun);
/* Entry `number`; NULL when it is gone or not there yet. */
struct watch_entry *watch_entry(struct watch_ring *ring, uint64_t number);

/* Who is to blame, from the marks: the first that did not answer, else the one furthest behind
 * `reference`; -1 when none is. `device`: by the device's collectives, not the exchanges. */
int watch_find_late(const struct rank_mark *marks, int ranks, uint64_t reference, bool device);

struct watch_report {
    const char *dir;  /* NULL: nowhere */
    const char *name; /* of the file without number: "rank" */
    int rank, ranks;
    const char *message;
    double longest_s;
    const struct watch_ring *ring;
};

/* Writes DIR/NAME-NNNN.json, a view: nothing depends on its being there. */
void watch_write(const struct watch_report *report);

#endif
