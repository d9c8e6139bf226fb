/* What was found out and agreed about versions, as the state keeps it: reports, seals, looks,
 * approvals and waivers. For files of this room. */
#ifndef PAWL_REGISTRY_NOTES_H
#define PAWL_REGISTRY_NOTES_H

#include "registry/state.h"

/* Each takes one entry of its kind over, signed by `signer` (zeroed: unsigned). DAMAGED when it
 * contradicts the history before it. */
enum code note_seal(struct state *state, const struct entry *entry, const struct signer *signer,
                    struct err *err);
enum code note_look(struct state *state, const struct entry *entry, const struct signer *signer,
                    struct err *err);
enum code note_report(struct state *state, const struct entry *entry, const struct signer *signer,
                      struct err *err);
enum code note_consent(struct state *state, const struct entry *entry, const struct signer *signer,
                       struct err *err);

#endif
