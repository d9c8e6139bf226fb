/* How the registry changes: one entry per change, and the views behind it. For files of this
 * room. */
#ifndef PAWL_REGISTRY_COMMIT_H
#define PAWL_REGISTRY_COMMIT_H

#include "registry/registry.h"

/* Decides on the state that the entry would follow; may be called again after a lost race. Fills
 * the draft, leaves it empty when there is nothing to write, or refuses. */
typedef enum code (*registry_decide)(void *context, const struct state *state, struct draft *draft,
                                     struct err *err);

/* Takes a decision to the end of the journal. After OK *seq (may be NULL) is the new entry, 0 when
 * none was needed; the state contains it, and views were brought up to date (one that cannot be
 * written is a warning). The entry is signed with the registry's key; REFUSED when that key may
 * not sign it, or when there is none and the registry has keys. */
enum code registry_commit(struct registry *registry, registry_decide decide, void *context,
                          int64_t *seq, struct err *err);

/* registry_refresh without a look at the views, for who has just looked or written them. */
enum code registry_read_on(struct registry *registry, struct err *err);

/* A sound view that knows of entries which the journal lacks proves a loss: DAMAGED. */
enum code registry_check_view(const struct registry *registry, struct err *err);

/* Compares registry.json byte for byte with what entry 1 demands, whose digest is returned.
 * NOT_FOUND when it is missing, DAMAGED. */
enum code registry_check_identity(const struct registry *registry, struct digest *id,
                                  struct err *err);

/* Whether what is there of the registry's folders are folders themselves: DAMAGED for a link to
 * one, through which this registry would write elsewhere. */
enum code registry_check_folders(const char *dir, struct err *err);

/* Passes `code` on; damage without a hint gets one: where to see all of it. */
enum code registry_hint_damage(enum code code, struct err *err);

/* The bytes that registry.json must have for this id, in the arena. */
struct bytes registry_identity(struct arena *arena, const struct digest *id);
/* Leaves a mark that the registry has keys, before the entry that says so: where it is, no view is
 * believed. Others cannot remove it (the folder is sticky). */
enum code registry_mark_closed(const struct registry *registry, struct err *err);
bool registry_marked_closed(const struct registry *registry);

/* Whether views may answer: they are anybody's to write, so where keys decide, only the journal
 * does, every signature of it checked. */
bool registry_believes_views(const struct registry *registry);

/* Finds a model or version that must exist: NOT_FOUND with the nearest name. */
enum code state_find_model(const struct state *state, const struct model_line **model,
                           const char *name, struct err *err);
enum code state_find_version(const struct state *state, const struct model_line **model,
                             const struct version **version, const char *name, int64_t number,
                             struct err *err);

/* Sets a digest as a member. */
void json_set_digest(json_t *object, const char *key, const struct digest *digest);

#endif
