/* What the pages share. For files of this room. */
#ifndef PAWL_REGISTRY_HTML_INTERNAL_H
#define PAWL_REGISTRY_HTML_INTERNAL_H

#include "base/str.h"
#include "registry/documents.h"
#include "registry/html.h"

struct site {
    struct registry *registry;
    const char *out;
    json_t *entries; /* of history/1, oldest first */
    int64_t pages;
    struct arena arena; /* of one page */
    struct str page;
};

/* Other people's text: control characters shown as '?', the rest escaped, set apart from the
 * direction of what stands around it. */
void html_put(struct site *site, const char *text);
/* The same of a member of an object. */
void html_member(struct site *site, const json_t *json, const char *key);
/* A digest as code, shortened, whole on a hover. */
void html_digest(struct site *site, const char *digest);

/* Begins and ends a page; the end writes it to OUT/NAME. */
void html_begin(struct site *site, const char *title);
enum code html_end(struct site *site, const char *name, struct err *err);

/* A section of the journal's newest entries: of one model, or all (NULL). */
void html_history(struct site *site, const char *model);
/* A section of channels: of one model, or all (NULL). */
void html_channels(struct site *site, const struct model_line *model);

/* A model's page. */
enum code html_model(struct site *site, const struct model_line *model, struct err *err);

#endif
