/* DSSE: what people sign apart from the journal, in the shape that other tools verify.
 *
 * A signature is over the pre-authentication encoding "DSSEv1 <length> <type> <length> <payload>"
 * (DSSE specification, protocol.md), with lengths in decimal ASCII and single spaces, so that no
 * signature of one type can be taken for another. An envelope is the JSON document {payload,
 * payloadType, signatures: [{keyid, sig}]} in canonical form; payload and signatures are base64. */
#ifndef PAWL_REGISTRY_DSSE_H
#define PAWL_REGISTRY_DSSE_H

#include "base/json.h"
#include "registry/key.h"

/* Types of what pawl signs: a journal entry, and a statement that entries cite. */
#define DSSE_ENTRY     "application/vnd.pawl.entry+json"
#define DSSE_STATEMENT "application/vnd.pawl.statement+json"

enum { DSSE_LIMIT = 256 << 10, DSSE_SIGNATURES = 64 };

/* The bytes that a signature is over, in the arena. */
struct bytes dsse_pae(struct arena *arena, const char *type, const struct bytes *payload);

/* An envelope of one signature over a payload: its canonical bytes, in the arena. */
struct bytes dsse_sign(struct arena *arena, const char *type, const struct bytes *payload,
                       const struct key *key);

/* An envelope that was read: payload and signatures in the arena. */
struct dsse {
    struct bytes payload;
    struct {
        struct digest key;
        const char *signature; /* base64 */
    } signatures[DSSE_SIGNATURES];
    size_t count;
};

/* Reads the bytes of an envelope of this type strictly: its members and no others, canonical
 * base64, key ids that are digests, each key once. Nothing is verified yet. DAMAGED names
 * `name`. */
enum code dsse_read(struct arena *arena, struct dsse *dsse, const struct bytes *bytes,
                    const char *type, const char *name, struct err *err);

#endif
