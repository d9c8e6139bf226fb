/* Statements: what people vouch for apart from the journal, so that a lost race voids none of it.
 *
 * A statement is the canonical JSON {kind, pawl: "statement/1", reason, registry} and every member
 * of the body that its entry has but `statement` itself and what is counted when the entry is
 * written (`again`). It names model, version, channel, reports, policy and expiry where its kind
 * has them. Signed as a DSSE envelope it is content; the entry cites it and is signed by the same
 * key. */
#ifndef PAWL_REGISTRY_STATEMENT_H
#define PAWL_REGISTRY_STATEMENT_H

#include "registry/registry.h"

/* Signs a body as a statement with the registry's key, stores the envelope and sets the body's
 * `statement`. REFUSED when the key may not sign this kind. */
enum code statement_put(const struct registry *registry, json_t *body, enum entry_kind kind,
                        const char *reason, struct err *err);

/* The digest of the statement that an entry cites; false when it cites none. */
bool statement_of(const struct entry *entry, struct digest *digest);

/* Checks the statement that an entry cites (OK when it cites none): its content is there, says what
 * the entry says, and is signed by the entry's signer, whose key must be in the policy of the
 * registry's state. For verify, which asks right after the entry was applied. DAMAGED. */
enum code statement_check(const struct registry *registry, const struct entry *entry,
                          struct err *err);

#endif
