/* Views: what can be rebuilt from journal and store at any time. For files of this room.
 *
 * cache/channels.json answers "what does this channel hold" without a replay; each model's
 * index.json is what OCI clients read. Nobody trusts a view: a channel's row is checked against its
 * entry, and a view that is absent, damaged or of another registry is simply not used. Only a sound
 * view that knows of entries which the journal lacks says something: entries were lost. */
#ifndef PAWL_REGISTRY_VIEWS_H
#define PAWL_REGISTRY_VIEWS_H

#include "base/str.h"
#include "registry/registry.h"

struct channels_view {
    json_t *json;
    struct head head; /* the last entry that it knows */
};

/* Reads cache/channels.json. NOT_FOUND when there is no usable one. */
enum code channels_view_read(const struct registry *registry, struct channels_view *view,
                             struct err *err);
void channels_view_release(struct channels_view *view);

/* The same without parsing rows that nobody asked for: the head that the view knows and, where
 * `model` is given, the row of its channel {number, digest, model_digest, seq, entry}, which the
 * caller owns, or NULL. NOT_FOUND when there is no usable view. */
enum code channels_view_look(const struct registry *registry, struct head *head, json_t **row,
                             const char *model, const char *channel);

/* The document that the state demands, and its file byte for byte. */
json_t *channels_view_of(const struct state *state);
void channels_view_text(struct str *out, const struct state *state);

/* Writes all views anew, whatever is there. */
enum code views_rebuild(struct registry *registry, struct err *err);

/* Writes what is behind: index.json of the models that changed since the last channels.json, then
 * channels.json, and again until the journal did not grow meanwhile. */
enum code views_write(struct registry *registry, struct err *err);

#endif
