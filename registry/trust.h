/* Who may say what: the rules by which an entry of a registry with keys is believed.
 *
 * Entry 1, or the first policy entry of a registry that began open, names the keys. From then on an
 * entry counts only when a key of the policy in force signed it, has the role of its kind and was
 * not revoked; any other entry is damage, whoever put it there. A new policy needs the signatures
 * of enough persons by the old policy and by the new one. Revoking a key from an entry on leaves
 * the chain as it is, but what it signed from there on counts for nothing more.
 *
 * Times are the later of the own clock and of the latest that the journal states, so that a clock
 * set back revives nothing. */
#ifndef PAWL_REGISTRY_TRUST_H
#define PAWL_REGISTRY_TRUST_H

#include "registry/state.h"

/* Whether an entry is signed as its kind and the policy in force want it; *signer is who did.
 * DAMAGED. Entries that set a policy are checked by trust_apply_policy. */
enum code trust_check(const struct state *state, struct signer *signer, const struct entry *entry,
                      struct err *err);

/* Entries init and policy: takes over the policy that they carry, when enough persons signed it.
 * Entry revoke. DAMAGED. */
enum code trust_apply_policy(struct state *state, const struct entry *entry, struct err *err);
enum code trust_apply_revoke(struct state *state, const struct entry *entry, struct err *err);

/* Whether a key (NULL or zeroed: none) may sign an entry of a kind now: REFUSED says what is
 * missing and who may. In an open registry everybody may, unsigned. */
enum code trust_may(const struct state *state, enum entry_kind kind, const struct key *key,
                    struct err *err);

/* The entry from which on a key's signatures count no more; 0 when it was not revoked. */
int64_t trust_revoked(const struct state *state, const struct digest *key);

/* Whether what was signed in entry `seq` counts now: in a registry with keys it was signed, by a
 * key that is not revoked from there on. */
bool trust_counts(const struct state *state, const struct signer *signer, int64_t seq);

/* Persons who could still sign a policy with a key that is neither revoked nor this one. */
int64_t trust_persons_left(const struct state *state, const struct digest *key);

/* Now, in seconds: never before the journal's latest time. */
double trust_now(const struct state *state);

/* What is signed to set a policy: {from, kind, pawl, policy, registry}, where `registry` is the id
 * of entry 1 and `from` the entry that set the policy in force (NULL: there is none yet). In the
 * arena. */
struct bytes trust_policy_payload(struct arena *arena, const struct digest *registry,
                                  const struct digest *from, const struct digest *policy);

/* Persons of role policy in `policy` that signed a payload with keys which are not revoked, by a
 * list of {keyid, sig}. */
int64_t trust_signatures(const struct state *state, const struct policy *policy,
                         const struct bytes *payload, const json_t *signatures);

#endif
