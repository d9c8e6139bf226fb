/* The rows of the table of documents, and the names that a bundle uses. For the files that make and
 * read bundles. */
#ifndef PAWL_REGISTRY_DOCUMENTS_TABLE_H
#define PAWL_REGISTRY_DOCUMENTS_TABLE_H

#include "registry/documents.h"

#define PROVENANCE_TYPE  "https://slsa.dev/provenance/v1"
#define TEST_RESULT_TYPE "https://in-toto.io/attestation/test-result/v0.1"
#define TITLE_NOTE       "org.opencontainers.image.title"
#define DOCUMENT_NOTE    "pawl.document"
#define SIGNED_NOTE      "pawl.signed"
#define CARD_FIELDS_FILE "card.json"

struct document_kind {
    const char *name, *artifact_type;
    bool at_register, at_report; /* when it is made */
    bool many;                   /* each stays; otherwise a new one takes the old one's place */
    void (*make)(struct evidence *evidence, struct arena *arena, const struct record *record);
};

extern const struct document_kind document_table[DOCUMENT_TYPES];

#endif
