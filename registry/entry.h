/* One entry of the registry's journal: a canonical JSON document of one of fifteen kinds.
 *
 * {actor, body, kind, nonce, pawl: "entry/1", previous, reason, self, seq, subjects, time} and, in
 * a registry with keys, `signature` {key, value}, followed by a newline. `previous` is the digest
 * of the whole file of the entry before (null in entry 1) and chains the journal; an entry is cited
 * by the SHA-256 of its file. `self` is the SHA-256 of the file's bytes without the member `self`,
 * so that damage to the newest entry, which no later one cites yet, is noticed too. The signature
 * is its writer's, over the DSSE encoding of the canonical entry without `self` and `signature`:
 * `previous` is in it, so it vouches for the whole chain before. `time` orders nothing; it never
 * runs backwards, and expiry and freshness are counted from it. What each kind must say in `body`
 * is one table in entry.c. */
#ifndef PAWL_REGISTRY_ENTRY_H
#define PAWL_REGISTRY_ENTRY_H

#include "base/clock.h"
#include "base/json.h"
#include "registry/key.h"

enum entry_kind {
    ENTRY_NONE,
    ENTRY_INIT,
    ENTRY_POLICY,
    ENTRY_REGISTER,
    ENTRY_SEAL,
    ENTRY_LOOK,
    ENTRY_REPORT,
    ENTRY_APPROVE,
    ENTRY_PROMOTE,
    ENTRY_ROLLBACK,
    ENTRY_WAIVE,
    ENTRY_REVOKE,
    ENTRY_RETIRE,
    ENTRY_IMPORT,
    ENTRY_ADOPT,
    ENTRY_RECOVER,
    ENTRY_KIND_COUNT
};

enum { ENTRY_LIMIT = 256 << 10, ENTRY_ACTOR_LIMIT = 200, ENTRY_REASON_LIMIT = 4000 };

/* "promote"; "none" for ENTRY_NONE. */
const char *entry_kind_name(enum entry_kind kind);

/* What a writer wants to say. `subjects` (a list of digests; NULL: none) and `body` belong to the
 * draft; `actor` and `reason` (NULL: empty) and `key` (NULL: unsigned) are borrowed. `not_before`
 * is the time of the journal so far, in seconds. A zeroed draft says nothing. */
struct draft {
    enum entry_kind kind;
    const char *actor, *reason;
    json_t *subjects, *body;
    const struct key *key;
    double not_before;
};

/* Gives back what belongs to the draft. Accepts a zeroed one. */
void draft_release(struct draft *draft);

/* Adds a digest to the draft's subjects. */
void draft_subject(struct draft *draft, const struct digest *digest);

/* The file of a draft as entry `seq` behind `previous` (NULL for entry 1), in the arena, with a
 * fresh nonce and the time. USAGE when actor or reason is not UTF-8, or is too long, or when the
 * whole is larger than ENTRY_LIMIT; a body that lacks a key of its kind is a bug. */
enum code entry_render(struct arena *arena, struct bytes *bytes, const struct draft *draft,
                       int64_t seq, const struct digest *previous, struct err *err);

/* An entry that was read and checked by itself. Texts are borrowed from `json`. */
struct entry {
    json_t *json;
    struct digest digest, previous; /* of the file; of the file before (zero in entry 1) */
    int64_t seq;
    enum entry_kind kind;
    const char *actor, *reason, *time;
    const json_t *subjects, *body;
    const char *signature; /* base64; NULL: unsigned */
    struct digest signer;  /* the id of the key that made it */
};

/* Checks the bytes of an entry's file: `self`, the exact set of members, their types, sequence,
 * kind and the body's required keys. DAMAGED names `name`. entry_release follows an OK. */
enum code entry_parse(struct entry *entry, const struct bytes *bytes, int64_t seq, const char *name,
                      struct err *err);

/* Whether the entry's signature is this key's. */
bool entry_signed_by(const struct entry *entry, const struct key *key);

/* Seconds since the epoch of "2026-11-24T21:25:33Z"; 0 for any other text. */
double time_parse(const char *text);

/* Accepts a zeroed struct. */
void entry_release(struct entry *entry);

/* Whether it gives a version its number: register, import, and adopt of a version. */
bool entry_registers(const struct entry *entry);

/* Members of a body whose presence entry_parse has checked (absent or of another type: NULL, 0). */
const char *entry_text(const struct entry *entry, const char *key);
int64_t entry_int(const struct entry *entry, const char *key);
bool entry_digest(const struct entry *entry, struct digest *digest, const char *key);

#endif
