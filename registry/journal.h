/* The journal: one chain of entries for the whole registry, and its only truth.
 *
 * journal/000/0000000001.json ..., 1,000 per folder. An entry is created by link(2) of a finished
 * file onto the next free name, which is a compare-and-swap without locks: whoever comes second
 * reads what came first and decides again. An entry is never changed or removed; a reader checks
 * every entry it uses and that it names the digest of the one before. A gap, a wrong digest or a
 * foreign file among the entries is DAMAGED with the entry's path. */
#ifndef PAWL_REGISTRY_JOURNAL_H
#define PAWL_REGISTRY_JOURNAL_H

#include "registry/entry.h"

enum { JOURNAL_FOLDER = 1000 };

struct journal {
    char dir[900]; /* the folder journal/ */
};

/* How far the chain was read: the last entry and its digest; a zeroed one stands before entry 1. */
struct head {
    int64_t seq;
    struct digest digest;
};

/* Sets the folder; nothing is opened. USAGE when the path is too long. */
enum code journal_init(struct journal *journal, const char *dir, struct err *err);

/* The path of an entry, in the arena. */
char *journal_path(struct arena *arena, const struct journal *journal, int64_t seq);

/* Reads one entry and checks it by itself. NOT_FOUND when there is none; DAMAGED, IO.
 * entry_release follows an OK. */
enum code journal_read(const struct journal *journal, struct entry *entry, int64_t seq,
                       struct err *err);

/* The number of the last entry, from the names in the last folder: 0 for an empty journal. DAMAGED
 * when that folder has a gap or a name that is no entry's. */
enum code journal_last(const struct journal *journal, int64_t *last, struct err *err);

/* Told about each entry in order. */
typedef enum code (*entry_visit)(void *context, const struct entry *entry, struct err *err);

/* Reads on from `*head` to the end, checks that each entry names the digest of the one before,
 * hands it to `visit` (NULL: nobody) and moves `*head` along. On a failure `*head` stands at the
 * last entry that was accepted. That nothing lies behind a missing entry is journal_end's to
 * say. */
enum code journal_walk(const struct journal *journal, struct head *head, entry_visit visit,
                       void *context, struct err *err);

/* Whether the chain still holds this entry: DAMAGED when it is gone (the last entries were removed)
 * or another (the tail was rewritten). A zeroed head is always held. */
enum code journal_holds(const struct journal *journal, const struct head *head, struct err *err);

/* Walks from a head that the chain still holds to the end and makes sure that it is the end: an
 * entry behind a gap is DAMAGED. */
enum code journal_end(const struct journal *journal, struct head *head, entry_visit visit,
                      void *context, struct err *err);

/* A change of the journal as a decision that can be taken again. `apply` is told about each entry
 * on the way to the head, the new one included; `decide` then fills the draft, leaves it empty when
 * there is nothing to write, or refuses with its own code. */
struct journal_writer {
    entry_visit apply;
    enum code (*decide)(void *context, struct draft *draft, struct err *err);
    void *context;
};

/* Reads to the end, asks `decide`, writes the entry; on a lost race reads on and asks again, as
 * often as it takes. After OK the entry (or, with an empty draft, everything that was read) is
 * durable and `*head` stands on it; *wrote (may be NULL) says whether there is a new one. When the
 * reply to the link or the fsync behind it fails, the entry may exist or not: the caller asks again
 * and decides on what is there. */
enum code journal_commit(const struct journal *journal, struct head *head,
                         const struct journal_writer *writer, bool *wrote, struct err *err);

#endif
