/* Documents that carry the digest of their own bytes, so that damage shows without a second file.
 *
 * The file is the canonical form and a newline; its member `self` is the SHA-256 of that file
 * without `self`. It guards against accidents, not against a writer who computes it anew: what must
 * not be forged is cited by digest from elsewhere. Used by journal entries and by small views. */
#ifndef PAWL_REGISTRY_CHECKED_H
#define PAWL_REGISTRY_CHECKED_H

#include "base/json.h"

/* Adds `self` to the document and gives the file's bytes, in the arena. The document must have a
 * key that sorts behind "self". */
struct bytes checked_render(struct arena *arena, json_t *json);

/* Whether these bytes, of which `json` was parsed, are the ones that `self` was computed over. */
bool checked_holds(const struct bytes *bytes, const json_t *json);

#endif
