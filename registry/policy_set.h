/* Setting policies: collecting the signatures that a new one needs. */
#ifndef PAWL_REGISTRY_POLICY_SET_H
#define PAWL_REGISTRY_POLICY_SET_H

#include "registry/registry.h"

struct policy_opts {
    json_t *policy;          /* effective form, borrowed */
    const struct key *key;   /* of the writer, who signs too */
    const char *const *with; /* files of signatures, NULL-terminated; NULL: none */
    const char *actor, *reason;
};

/* Fills the draft of an entry that sets a policy on a state: body {document, policy, signatures}
 * and subject. For entry 1, `state` is zeroed but open. REFUSED when too few persons signed, or the
 * writer is not one who may; CONFLICT when a signature was made for another policy in force;
 * DAMAGED for a file that is no signature. */
enum code policy_draft(struct draft *draft, const struct state *state,
                       const struct policy_opts *opts, struct err *err);

/* Sets a policy. *seq is the entry, 0 when that policy is in force already. The first one closes an
 * open registry for good. */
enum code registry_set_policy(struct registry *registry, int64_t *seq,
                              const struct policy_opts *opts, struct err *err);

/* Writes a signature under a policy as a DSSE envelope, for somebody else to set it with:
 * `registry` NULL for one that is yet to be made. CONFLICT when the file exists. */
enum code policy_sign(struct registry *registry, const char *out, const struct policy_opts *opts,
                      struct err *err);

/* keys/1 {keys: [{id, person, roles, revoked}], open}: the keys of the policy in force. */
enum code registry_keys(struct registry *registry, json_t **keys, struct err *err);

/* Revokes a key's signatures from an entry on (0: from now on). NOT_FOUND for a key that the policy
 * does not know; REFUSED when too few persons would be left to sign a policy; *seq is the entry. */
struct revoke_opts {
    struct digest key;
    int64_t from;
    const char *actor, *reason;
};
enum code registry_revoke(struct registry *registry, int64_t *seq, const struct revoke_opts *opts,
                          struct err *err);

#endif
