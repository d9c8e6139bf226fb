/* The registry: plain files that say which models exist, what was found about them, and which one a
 * channel holds.
 *
 *   registry.json   kind and id = digest of journal entry 1
 *   journal/        the truth: one chain of entries (journal.h)
 *   store/sha256/   content by digest, read-only (store.h)
 *   models/NAME/    a valid OCI image layout per model, blobs are hard links into store/ (oci.h)
 *   cache/          views: rebuilt from the journal, may be deleted
 *   staging/        unfinished work; trash/ what was taken away and not yet removed
 *
 * Every change is one entry, decided on the state that the entry will follow; a lost race is
 * decided again. After OK the change is durable. Views are written behind it and repaired by the
 * next writer. No function prints; those that answer questions give a JSON document, which the
 * caller owns. */
#ifndef PAWL_REGISTRY_REGISTRY_H
#define PAWL_REGISTRY_REGISTRY_H

#include "registry/state.h"
#include "registry/store.h"

struct registry {
    char dir[900];
    struct journal journal;
    struct store store;
    struct state state; /* as far as it was read */
    struct digest id;
    bool open; /* true: no keys, so history and content are checked for integrity only */
    const struct key *key; /* what entries are signed with, borrowed; NULL: nothing */
};

/* Creates a registry in a directory that is missing or empty: the only way to get one. Entry 1 says
 * who made it and that it is open. Where the parent directory is writable by its group, so is the
 * registry: members add, and nobody removes another's entry or content (setgid, sticky).
 * Probes the mount first: HOPELESS where link(2), its EEXIST or an fsync of a directory does not
 * work. CONFLICT when there is a registry, USAGE when other things are there. What an interrupted
 * init left is completed. */
enum code registry_init(const char *dir, const char *actor, const char *reason, struct err *err);

/* The same with a policy (policy_set.h) in entry 1, signed by its writer and as many others as it
 * wants: a registry with keys from the beginning. REFUSED when too few signed it. */
struct policy_opts;
enum code registry_init_closed(const char *dir, const struct policy_opts *opts, struct err *err);

/* Opens a registry. NOT_FOUND when there is none (with the nearest name beside it as a hint);
 * DAMAGED when registry.json is not, byte for byte, what entry 1 demands. registry_close follows an
 * OK and accepts a zeroed struct. */
enum code registry_open(struct registry *registry, const char *dir, struct err *err);

/* Whether it is the registry that the caller knows by its id: REFUSED. */
enum code registry_pin(const struct registry *registry, const struct digest *id, struct err *err);
void registry_close(struct registry *registry);

/* Reads the journal on to its end, into `state`. DAMAGED names the entry that is wrong, missing or
 * lost (a view that knows of later entries than there are proves a loss). */
enum code registry_refresh(struct registry *registry, struct err *err);

/* Golden rows: raw inputs as the model takes them. `tolerance` bounds |got − want| / max(1, largest
 * |want| of the row) at every later probe; 0 means the default of each device kind. */
struct golden_sample {
    const void *input; /* [rows, ...] in the model's input dtype */
    int64_t rows;      /* at least 1 */
    double tolerance;
};

struct add_opts {
    const char *model, *checkpoint; /* the name to add under; a checkpoint or bundle directory */
    struct golden_sample sample;
    json_t
        *facts; /* what is known of its making (run, data, code, metrics); borrowed; NULL: none */
    const json_t *card; /* card/1: what people say about it (card.h); borrowed; NULL: nothing */
    const char *actor, *reason;
};

struct added {
    int64_t number;
    struct digest digest, model_digest;
    bool existed; /* the same version was there already */
};

/* Adds a checkpoint's model (its EMA where the run kept one), or a bundle's, as the next version of
 * a model name. A version that is there already keeps its number; a card that says something new
 * about it is recorded.
 * The weights are written as safetensors and read back, and the model digest of what was read must
 * be the checkpoint's; then they run on the sample, whose outputs are stored. The same content
 * again gives the number that it has. DAMAGED (checkpoint, stored content), USAGE (name, facts too
 * large), HOPELESS (outputs that are not finite), REFUSED, IO, NO_MEMORY. */
enum code registry_add(struct registry *registry, struct added *added, const struct add_opts *opts,
                       struct err *err);

struct report_opts {
    const char *model;
    int64_t number;
    const char *dir;                           /* holds report.json and scores.h5 */
    struct digest model_digest, suite, report; /* as the replayed report states them */
    const char *verdict; /* "pass", "fail" or "inconclusive": what the replay decided */
    int64_t seal;        /* the entry that sealed the suite before, or 0 */
    const char *actor, *reason;
};

/* Records a report that the caller has replayed from its scores: stores report.json and scores.h5
 * and adds an entry. A report that is recorded already is not recorded again; *seq (may be NULL) is
 * its entry. DAMAGED when it is about another model than the version, or names a seal that is not
 * one of its suite. */
enum code registry_record_report(struct registry *registry, int64_t *seq,
                                 const struct report_opts *opts, struct err *err);

/* Seals a suite before results exist: `body` (borrowed) says what it binds and must have the
 * resolved suite's digest as "suite". *seq is the new entry. */
enum code registry_seal(struct registry *registry, int64_t *seq, const json_t *body,
                        const char *actor, struct err *err);

/* Records, before scoring, that a candidate is looked at under a suite; *look (may be NULL) is how
 * often it was looked at, this time included. `body` (borrowed) must have "suite" and
 * "model_digest"; further members are kept. */
enum code registry_look(struct registry *registry, int64_t *look, const json_t *body,
                        const char *actor, struct err *err);

enum { CHANNEL_ANY = -1, CHANNEL_NONE = 0 };

struct move_opts {
    const char *model, *channel;
    int64_t number; /* the version to move to; registry_rollback: 0 means the one before */
    int64_t from; /* what the caller saw the channel hold: a number, CHANNEL_NONE or CHANNEL_ANY */
    const struct digest *required; /* suites that must have passed; none: one suite at least */
    size_t required_count;
    const char *actor, *reason; /* both are needed */
};

struct moved {
    int64_t seq, number, from; /* the entry; the version now held; the one before, 0 for none */
    struct digest digest, model_digest;
    bool unchanged; /* the channel held it already; the entry says so */
};

/* Moves a channel to a version that has a recorded passing report about exactly its model (for each
 * suite its newest report counts). A baseline that its seal names as NAME@CHANNEL must still be
 * what that channel holds, unless it holds the candidate by now; what the channel holds already is
 * not compared. REFUSED says what is missing and how to supply it; CONFLICT what moved meanwhile;
 * NOT_FOUND for an unknown model or version. */
enum code registry_promote(struct registry *registry, struct moved *moved,
                           const struct move_opts *opts, struct err *err);

/* Moves a channel back: to the version before (never to one that was itself rolled back from), or
 * to a stated one that the channel held once. Needs no report. REFUSED, CONFLICT, NOT_FOUND. */
enum code registry_rollback(struct registry *registry, struct moved *moved,
                            const struct move_opts *opts, struct err *err);

struct resolved {
    char model[NAME_LIMIT + 1], channel[NAME_LIMIT + 1]; /* channel: empty unless asked by it */
    int64_t number, seq; /* the entry that registered the version or moved the channel */
    struct digest digest, model_digest;
};

/* Whether a REF means the registry (contains '@') rather than a path. */
bool ref_is_registry(const char *ref);

/* Finds NAME@7, NAME@sha256:…, or NAME@CHANNEL. A channel comes from the view where that is
 * current, and is checked against the entry that set it; everything else from the journal.
 * NOT_FOUND with the nearest name, USAGE for a malformed REF. */
enum code registry_resolve(struct registry *registry, struct resolved *resolved, const char *ref,
                           struct err *err);

/* history/1 {entries}, oldest first: all, or those of one model (NULL: all) and channel (NULL:
 * any). */
enum code registry_history(struct registry *registry, json_t **history, const char *model,
                           const char *channel, struct err *err);

/* list/1 {versions, channels}: of one model, or of all (NULL). */
enum code registry_list(struct registry *registry, json_t **list, const char *model,
                        struct err *err);

/* version/1: one version with its files, facts, reports and the channels that hold it. */
enum code registry_show(struct registry *registry, json_t **show, const char *ref, struct err *err);

struct verify_opts {
    int64_t seq; /* this entry must have this digest (0: not asked) */
    struct digest digest;
};

/* Checks everything that the journal reaches: registry.json and each oci-layout byte for byte, the
 * chain, the sense of its entries, each manifest and each content by its digest, blobs that are not
 * links, and that no view knows more than the journal. *result is verify/1 {entries, content,
 * bytes, head, problems, notes}; with problems the code is DAMAGED and `err` holds the first. Notes
 * are harmless: copied blobs, views behind the journal, content that nothing refers to,
 * leftovers. */
enum code registry_verify(const char *dir, json_t **result, const struct verify_opts *opts,
                          struct err *err);

#endif
