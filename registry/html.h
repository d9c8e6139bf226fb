/* The registry as pages for a browser: what there is, who moved what, and the documents about each
 * version, without a server.
 *
 *   OUT/index.html         models, channels, the newest entries of the journal
 *   OUT/model-NAME.html    one model: channels, versions with files, reports and documents, history
 *   OUT/documents/         copies of the documents that pages link to, named by their content
 *
 * No script and nothing from outside; colours by the reader's setting; one column on a phone. */
#ifndef PAWL_REGISTRY_HTML_H
#define PAWL_REGISTRY_HTML_H

#include "registry/registry.h"

/* A page shows that many versions of a model and that many entries, the newest first, and says what
 * it leaves out; a document larger than this is named and not copied. */
enum { HTML_VERSIONS = 200, HTML_ENTRIES = 300, HTML_DOCUMENT = 8 << 20 };

/* Writes the pages into `out`, which is made where it is missing; pages that are there are replaced
 * one by one, each whole. CONFLICT when `out` has an index.html that is none of ours, or is the
 * registry itself. *pages is how many were written. DAMAGED, IO. */
enum code registry_html(struct registry *registry, int64_t *pages, const char *out,
                        struct err *err);

#endif
