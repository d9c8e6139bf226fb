/* Documents about a version, for readers who do not know pawl: where it comes from, what it is made
 * of, what was found out about it, and a signature over its files.
 *
 * Each is made from what the journal and the store hold and from nothing else: the same facts give
 * the same bytes (no time, no number of the version is in them). A document is stored as an OCI
 * manifest whose `subject` is the version (a referrer), and all that belong to a version are listed
 * in one OCI index, the *bundle*, behind the version itself. The entry that registers the version
 * or records a report cites the bundle as `documents`, so that a dropped document is noticed. A
 * later bundle takes over what the one before holds; of a kind that is made anew, only the new
 * one. */
#ifndef PAWL_REGISTRY_DOCUMENTS_H
#define PAWL_REGISTRY_DOCUMENTS_H

#include "registry/key.h"
#include "registry/oci.h"

enum document_type {
    DOCUMENT_PROVENANCE,  /* SLSA provenance v1 of the training run */
    DOCUMENT_MLBOM,       /* CycloneDX 1.6 */
    DOCUMENT_CARD,        /* Markdown, and the fields that people wrote */
    DOCUMENT_SIGNATURE,   /* OpenSSF model signature */
    DOCUMENT_REPORT,      /* report.json and scores.h5 */
    DOCUMENT_TEST_RESULT, /* in-toto test-result v0.1 */
    DOCUMENT_TYPES
};

enum { DOCUMENT_PARTS = 2, DOCUMENT_LIMIT = 64 << 20, BUNDLE_INDEX_LIMIT = 4 << 20 };

#define INTOTO_TYPE "application/vnd.in-toto+json"

/* What documents are made from. All is borrowed. */
struct record {
    const char *model;                /* its name */
    struct digest digest;             /* of the version's manifest */
    const struct oci_version *files;  /* with model digest and variant */
    const json_t *facts;              /* of its making (run/1), an object */
    const json_t *description;        /* model/1 */
    const json_t *card;               /* card/1: what people wrote, or NULL */
    const json_t *reports;            /* list of report/1: the newest of each suite, oldest first */
    const json_t *report;             /* the one that is recorded now, or NULL */
    const char *verdict;              /* of that one */
    struct oci_layer report_files[2]; /* its report.json and scores.h5, in the store */
    const struct key *key;            /* signs; NULL or without secret: statements stay unsigned */
};

/* One file of a document: bytes, or (at == NULL) content that is stored already. */
struct document_part {
    const char *file, *media_type;
    struct bytes bytes;
    struct oci_layer layer;
};

struct evidence {
    struct document_part parts[DOCUMENT_PARTS]; /* count 0: there is nothing to say */
    int count;
};

/* "provenance"; the type of a name, DOCUMENT_TYPES for no such name. */
const char *document_name(enum document_type type);
enum document_type document_find(const char *name);

/* Makes, stores and bundles what can be said of a new version; *bundle cites it. `files` comes with
 * its config, `digest` is the manifest's. Statements are signed with the registry's key. */
struct add_opts;
enum code documents_register(struct digest *bundle, const struct registry *registry,
                             const struct add_opts *opts, const struct oci_version *files,
                             const struct digest *digest, struct err *err);

/* The same when people write about a version that is here: the documents of its newest bundle, with
 * this card. */
enum code documents_recard(struct digest *bundle, const struct registry *registry,
                           const struct model_line *model, const struct version *version,
                           const json_t *card, struct err *err);

/* The same when a report is recorded: on the bundle that the state knows for the version, which the
 * state has. `document` and `scores` are the stored report.json and scores.h5. */
struct report_opts;
enum code documents_report(struct digest *bundle, const struct registry *registry,
                           const struct state *state, const struct report_opts *opts,
                           const struct digest *document, const struct digest *scores,
                           struct err *err);

/* A document of a bundle. */
struct document_row {
    enum document_type type;
    struct digest manifest;
    uint64_t manifest_size;
    bool is_signed;
    int part_count;
    struct oci_layer parts[DOCUMENT_PARTS]; /* names in the arena */
    const char *media_types[DOCUMENT_PARTS];
};

/* Reads a bundle: its documents in the order of document_type, reports as they were recorded. Every
 * manifest is checked by its digest, the parts are not read. A zeroed digest gives none. DAMAGED
 * for what is no bundle of ours. */
enum code documents_read(struct arena *arena, struct document_row **rows, size_t *count,
                         const struct registry *registry, const struct digest *bundle,
                         struct err *err);

/* Every digest that a bundle reaches: itself, manifests, configs, parts (the version's own files
 * are not among them). For whoever checks, copies or mends content: each is visited before it is
 * read. A zeroed digest reaches nothing. DAMAGED for what cannot be read on. */
typedef enum code (*documents_visit)(void *context, const struct digest *digest, const char *what,
                                     struct err *err);
enum code documents_walk(const struct registry *registry, const struct digest *bundle,
                         documents_visit visit, void *context, struct err *err);

/* Links everything that a bundle reaches into a model's layout, for content that came from
 * elsewhere. DAMAGED when the bundle is about another version. */
enum code documents_place(const struct registry *registry, const char *model,
                          const struct digest *bundle, const struct digest *version,
                          struct err *err);

/* Writes the documents as files into `dir`, which must not exist (CONFLICT): README.md, ..., and a
 * folder report-N per report; with `with_model` also a folder model/ with the version's own files
 * and its signature. Each is checked by its digest. The folder appears whole or not at all. */
enum code documents_export(const struct registry *registry, const struct digest *version,
                           const struct digest *bundle, const char *dir, bool with_model,
                           struct err *err);

/* evidence/1 {documents: [{type, signed, manifest, files: [{name, digest, size}]}]}. */
enum code documents_json(json_t **json, const struct registry *registry,
                         const struct digest *bundle, struct err *err);

/* The fields that people wrote on a version's card; an empty object where they wrote none. New
 * reference. */
enum code documents_card(json_t **card, const struct registry *registry,
                         const struct digest *bundle, struct err *err);

/* The names of those that have something in them, as entries list them. New reference. */
enum code documents_card_names(json_t **names, const struct registry *registry,
                               const struct digest *bundle, struct err *err);

/* Appends to `reports` the newest report of each suite about a model, oldest first; `but` (may be
 * NULL) is a suite to leave out. */
enum code documents_reports(json_t *reports, const struct registry *registry,
                            const struct state *state, const struct digest *model,
                            const struct digest *but, struct err *err);

/* The makers: one row of the table each. */
void provenance_make(struct evidence *evidence, struct arena *arena, const struct record *record);
void test_result_make(struct evidence *evidence, struct arena *arena, const struct record *record);
void mlbom_make(struct evidence *evidence, struct arena *arena, const struct record *record);
void card_make(struct evidence *evidence, struct arena *arena, const struct record *record);
void signature_make(struct evidence *evidence, struct arena *arena, const struct record *record);

/* For makers: a part from a document's text; an in-toto statement about the version, in a DSSE
 * envelope where there is a key. The predicate's reference is taken. */
void document_text(struct evidence *evidence, const char *file, const char *media_type,
                   const char *text, size_t len);
void document_statement(struct evidence *evidence, struct arena *arena, const struct record *record,
                        const char *file, const char *predicate_type, json_t *predicate);
bool record_signs(const struct record *record);
/* The 64 hexadecimal digits of a digest; of a member of an object that holds one, or NULL. */
const char *digest_hex(struct arena *arena, const struct digest *digest);
const char *member_hex(const json_t *object, const char *key);
/* A member's text, or "" where there is none. */
const char *member_text(const json_t *object, const char *key);

#endif
