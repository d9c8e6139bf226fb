/* What the journal says: models, versions, channels, reports, seals, looks, approvals and the
 * policy in force, replayed entry by entry.
 *
 * The state is a pure function of the chain; it is never stored. state_apply also holds the history
 * to its own rules (numbers without gaps, a channel moves from what it held, entries signed by keys
 * whose role allows them: trust.h), so that a chain which is sound link by link but tells nonsense
 * is DAMAGED too. Texts and arrays live in the state's arena; a release gives everything back. */
#ifndef PAWL_REGISTRY_STATE_H
#define PAWL_REGISTRY_STATE_H

#include "registry/journal.h"
#include "registry/policy.h"

enum { NAME_LIMIT = 64 };

/* Who signed an entry: zeroed when nobody did. */
struct signer {
    struct digest key;
    const char *person;
};

struct version {
    int64_t number, seq;                /* the number counts from 1; the entry that registered it */
    struct digest digest, model_digest; /* of the manifest; of the model */
    const char *actor, *time;
    struct signer signer;
    int64_t retired;        /* the entry that retired it, or 0 */
    struct digest evidence; /* of the newest bundle of documents about it; zero: none */
    unsigned card;          /* bit per card_words: what people wrote on its card */
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
    int64_t evidence_seq; /* the newest entry that brought documents about one of them */
};

/* A gate that counts and did not pass. */
struct open_gate {
    const char *id, *reason;
    bool waivable; /* its reason is none that no waiver may touch */
};

struct report_note {
    int64_t seq, number, seal;   /* seal: the entry that fixed its bar before, or 0 */
    const char *model, *verdict; /* "pass", "fail", "inconclusive" */
    struct digest model_digest, suite, report;
    double time_s;           /* when it was recorded */
    struct open_gate *gates; /* that hold a release back */
    size_t gate_count;
    struct signer signer;
};

/* A baseline as a seal names it: a channel, a version, a trained one. */
struct sealed_baseline {
    const char *name;
    bool there; /* it had a model then, whose digest is: */
    struct digest model_digest;
};

/* What fixes a bar before there are results; `data` is zero where an old entry does not say. */
struct seal_note {
    int64_t seq;
    const char *name; /* of the suite; may be empty */
    struct digest suite, model_digest, data;
    struct sealed_baseline *baselines;
    size_t baseline_count;
    struct signer signer;
};

struct look_note {
    struct digest suite, model_digest, data;
};

/* An approval, or a waiver of one rule, for one version on one channel. */
struct consent {
    int64_t seq;
    bool waives;
    enum waivable rule; /* of a waiver */
    const char *gate;   /* a waived verdict: the gate it is about; "" for none */
    const char *model, *channel;
    struct digest digest, policy, statement;
    int64_t from;           /* what the channel must hold: a number, 0 for nothing, -1 for any */
    struct digest *reports; /* that were seen */
    size_t report_count;
    double expires_s; /* 0: never */
    struct signer signer;
};

struct revocation {
    struct digest key;
    int64_t from; /* its signatures count in entries before this one */
};

struct state {
    struct arena arena;
    struct head head;     /* the last entry that was applied */
    struct digest id;     /* digest of entry 1 */
    bool open;            /* no keys: integrity only */
    double time_s;        /* the latest time that an entry states, in seconds */
    struct policy policy; /* in force; zeroed while open */
    json_t *policy_json;  /* its effective form */
    int64_t policy_seq;   /* the entry that set it, and its digest */
    struct digest policy_entry;
    struct revocation *revoked;
    size_t revoked_count;
    struct model_line *models; /* sorted by name */
    size_t model_count;
    struct report_note *reports; /* in the order of the journal */
    size_t report_count;
    struct seal_note *seals;
    size_t seal_count;
    struct look_note *looks;
    size_t look_count;
    struct consent *consents;
    size_t consent_count;
};

/* Applies one entry (the `apply` of a journal_writer; `context` is the state). */
enum code state_apply(void *context, const struct entry *entry, struct err *err);

/* Gives everything back. Accepts a zeroed struct. */
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
 * was not itself rolled back from (promoting it again clears that) and may still be used; 0 when
 * there is none. */
int64_t channel_before(const struct state *state, const struct model_line *model,
                       const struct channel *channel);

/* Why a version may not go onto a channel any more: it is retired, or who added it was revoked from
 * there on. NULL when it may. */
const char *version_barred(const struct state *state, const struct version *version);

/* Whether the channel ever held this version. */
bool channel_held(const struct channel *channel, int64_t number);

/* The newest report about a model under one suite that still counts (trust.h), or NULL. */
const struct report_note *state_report(const struct state *state, const struct digest *model_digest,
                                       const struct digest *suite);

/* How often a model was looked at under one suite. */
int64_t state_looks(const struct state *state, const struct digest *model_digest,
                    const struct digest *suite);

/* The seal that is an entry, or NULL. */
const struct seal_note *state_seal(const struct state *state, int64_t seq);

/* How often a candidate's bar was sealed under suites of this name, and how many different suites
 * that were. */
int64_t state_seals(const struct state *state, int64_t *suites, const struct digest *model_digest,
                    const char *name);

/* How many different candidates were shown to a split. */
int64_t state_exposure(const struct state *state, const struct digest *data);

/* Whether a consent is for a version on a channel. */
bool consent_is_for(const struct consent *consent, const char *model, const struct digest *digest,
                    const char *channel);

/* Room for one more element of an array in an arena: arrays double, the old one stays. */
void *array_grown(struct arena *arena, void *array, size_t count, size_t size);

/* DAMAGED: an entry that contradicts the history before it. */
enum code entry_nonsense(const struct entry *entry, const char *what, struct err *err);

/* Names of models [a-z0-9][a-z0-9._-]{0,63}; those of channels begin with a letter and do not look
 * like a version's tag (v7, v7-bundle). USAGE says what is wrong. */
enum code name_check_model(const char *name, struct err *err);
enum code name_check_channel(const char *name, struct err *err);

#endif
