/* What the journal says: models, versions, channels, reports and looks, replayed entry by entry.
 *
 * The state is a pure function of the chain; it is never stored. state_apply also holds the history
 * to its own rules (numbers without gaps, a channel moves from what it held), so that a chain which
 * is sound link by link but tells nonsense is DAMAGED too. Texts and arrays live in the state's
 * arena; a release gives everything back. */
#ifndef PAWL_REGISTRY_STATE_H
#define PAWL_REGISTRY_STATE_H

#include "registry/journal.h"

enum { NAME_LIMIT = 64 };

struct version {
    int64_t number, seq;                /* the number counts from 1; the entry that registered it */
    struct digest digest, model_digest; /* of the manifest; of the model */
    const char *actor, *time;
};

struct move {
    int64_t seq, number; /* the entry; the version that the channel holds from then on */
    struct digest entry;
    bool rollback, unchanged;
    const char *actor, *reason, *time;
};

struct channel {
    const char *name;
    struct move *moves;
    size_t count;
};

struct model_line {
    const char *name;
    struct version *versions; /* [number - 1] */
    size_t version_count;
    struct channel *channels; /* in the order of their first use */
    size_t channel_count;
};

struct report_note {
    int64_t seq, number, seal;   /* seal: the entry that fixed its bar before, or 0 */
    const char *model, *verdict; /* "pass", "fail", "inconclusive" */
    struct digest model_digest, suite, report;
};

struct look_note {
    struct digest suite, model_digest;
};

struct state {
    struct arena arena;
    struct head head;   /* the last entry that was applied */
    struct digest id;   /* digest of entry 1 */
    bool open;          /* no keys: integrity only */
    const char *beyond; /* the first kind of entry whose rules this version cannot apply, or NULL */
    struct model_line *models; /* sorted by name */
    size_t model_count;
    struct report_note *reports; /* in the order of the journal */
    size_t report_count;
    struct look_note *looks;
    size_t look_count;
};

/* Applies one entry (the `apply` of a journal_writer; `context` is the state). */
enum code state_apply(void *context, const struct entry *entry, struct err *err);

/* Gives the arena back. Accepts a zeroed struct. */
void state_release(struct state *state);

/* Finds by name; NULL when there is none. */
const struct model_line *state_model(const struct state *state, const char *name);
const struct channel *model_channel(const struct model_line *model, const char *name);

/* Finds by number, by the manifest's digest, or the newest one with this model digest. */
const struct version *model_version(const struct model_line *model, int64_t number);
const struct version *model_version_of(const struct model_line *model, const struct digest *digest);
const struct version *model_version_by_weights(const struct model_line *model,
                                               const struct digest *model_digest);

/* The last move of a channel that was ever moved. */
const struct move *channel_now(const struct channel *channel);

/* The version that a rollback without a target goes to: the nearest one before the present one that
 * was not itself rolled back from (promoting it again clears that); 0 when there is none. */
int64_t channel_before(const struct channel *channel);

/* Whether the channel ever held this version. */
bool channel_held(const struct channel *channel, int64_t number);

/* The newest report about a model under one suite, or NULL. */
const struct report_note *state_report(const struct state *state, const struct digest *model_digest,
                                       const struct digest *suite);

/* How often a model was looked at under one suite. */
int64_t state_looks(const struct state *state, const struct digest *model_digest,
                    const struct digest *suite);

/* Names of models [a-z0-9][a-z0-9._-]{0,63}; those of channels begin with a letter and do not look
 * like a version's tag (v7, v7-bundle). USAGE says what is wrong. */
enum code name_check_model(const char *name, struct err *err);
enum code name_check_channel(const char *name, struct err *err);

#endif
