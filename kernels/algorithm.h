/* Which way a device computes a call, where it has several: a table, and the search that fills it.
 *
 * A library's first answer is a guess; only a run tells. The choice is an *input* of a training
 * run: it is searched once, kept in a document and taken from there ever after, so that equal
 * documents give equal bits. A row belongs to a device's description (card, architecture, driver,
 * versions of libraries) and to the text of a call; rows of other devices are kept and not used.
 *
 * struct device has a table or none (then first answers are taken, as on devices without choices).
 * call_prepare looks there; a call without a row is searched, refused, or takes the first answer,
 * as the table says. */
#ifndef PAWL_KERNELS_ALGORITHM_H
#define PAWL_KERNELS_ALGORITHM_H

#include "base/json.h"
#include "kernels/device.h"

enum { ALGORITHM_CALL = 400, ALGORITHM_NAME = 96 };

struct algorithm_row {
    const char *device, *call; /* the key: a device's description, algorithm_call_text() */
    const char *choice;        /* what prepare takes */
    const char *name;          /* the same for people: call->algorithm */
    int64_t nanoseconds;       /* measured; -1: not timed, this is the first answer that works */
};

/* What becomes of a call without a row. */
enum algorithms_missing { MISSING_FIRST, MISSING_REFUSED, MISSING_SEARCHED };

struct algorithm_progress {
    const char *call;         /* being searched */
    int searched;             /* calls before it */
    int candidate, of;        /* of this call */
    double spent_s, budget_s; /* of all searches */
};

struct algorithm_search_opts {
    double budget_s;              /* of all searches together; 0: 60. One call gets a tenth */
    double (*now)(void *context); /* seconds; NULL: the monotonic clock */
    /* Told before each candidate; its failure ends the search and is handed on. NULL: nobody. */
    enum code (*progress)(void *context, const struct algorithm_progress *progress,
                          struct err *err);
    void *context;
};

struct algorithms {
    struct arena arena;
    const char *path; /* where it was read from or will be written, for messages */
    struct algorithm_row *rows;
    int count, room;
    enum algorithms_missing missing;
    bool replace; /* with MISSING_SEARCHED: a row that the device refuses is searched anew, with a
                   * warning, instead of an error */
    struct algorithm_search_opts search;
    bool changed; /* rows were set since init */
    int searched; /* calls */
    double spent_s;
};

/* The call as a key: op, types and shapes of what goes in and comes out, attributes, what is added
 * to, TF32. NULL for ops without choices anywhere, and where a tensor has a layout of the device's
 * own. */
const char *algorithm_call_text(char text[ALGORITHM_CALL], const struct device *device,
                                const struct op_call *call);

/* An empty table; `path` is copied. algorithms_release accepts a zeroed one. */
void algorithms_init(struct algorithms *table, const char *path);
void algorithms_release(struct algorithms *table);

/* The row of a key, or NULL. Valid until a row is set; its texts until the release. */
const struct algorithm_row *algorithms_find(const struct algorithms *table, const char *device,
                                            const char *call);

/* Adds or replaces a row; texts are copied. Rows stay sorted by device, then call. */
void algorithms_set(struct algorithms *table, const struct algorithm_row *row);

/* For call_prepare. algorithms_choose: the row that the call takes, searched where the table says
 * so; NULL where it has no choice or takes the first answer. CONFIG when a row is missing and must
 * not be. algorithms_refused: `row` was refused by the device for the reason in `err`; makes the
 * message of it. */
enum code algorithms_choose(const struct algorithm_row **row, struct device *device,
                            const struct op_call *call, struct err *err);
enum code algorithms_refused(const struct algorithms *table, const struct algorithm_row *row,
                             struct err *err);

/* Times the candidates of a call on memory of its own, each run with cold caches, and sets the row
 * of the fastest that gives equal bits for equal inputs; of equals the first. Where the budget, the
 * memory or the candidates give no time, that is the first one that the device prepares. `text` is
 * the call's. Fails with what `progress` or the device's clock failed with. */
enum code algorithm_search(struct algorithms *table, struct device *device,
                           const struct op_call *call, const char *text,
                           const struct candidates *list, struct err *err);

/* The table as a document (algorithms/1, new reference), and its digest. */
json_t *algorithms_json(const struct algorithms *table);
struct digest algorithms_digest(const struct algorithms *table);

/* Sets the rows of a document; of a file (with `self`, as algorithms_publish leaves it). DAMAGED
 * with file and row for anything but what algorithms_json writes; NOT_FOUND, IO. */
enum code algorithms_read(struct algorithms *table, const json_t *document, struct err *err);
enum code algorithms_load(struct algorithms *table, const char *path, struct err *err);
enum code algorithms_publish(const struct algorithms *table, const char *path, struct err *err);

#endif
