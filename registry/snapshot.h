/* cache/snapshot: all versions and channels as sorted rows in one mapped file.
 *
 * It answers `list`, `find` and `resolve` without a replay: 100,000 versions are some 20 MB that
 * need no parsing. It carries the sequence and digest of the head that it was made from; readers
 * put the entries behind that head on top. It is a view: verify never looks at it, whoever resolves
 * through it checks the entry that a row cites, and one that is damaged, of another registry or
 * ahead of the journal is made anew. All numbers are little-endian; texts are NUL-terminated and
 * meant by their offset in the text section, where 0 is "". */
#ifndef PAWL_REGISTRY_SNAPSHOT_H
#define PAWL_REGISTRY_SNAPSHOT_H

#include "base/str.h"
#include "registry/registry.h"

struct snap_model {
    uint32_t name, first_version, version_count, first_channel, channel_count;
};

enum { SNAP_RETIRED = 1, SNAP_IMPORTED = 2 };

struct snap_version {
    struct digest digest, model_digest;
    uint64_t seq;
    uint32_t model, number, actor, time, verdict; /* of its newest report, "" for none */
    uint32_t flags, first_fact, fact_count;
};

struct snap_channel {
    struct digest entry;
    uint64_t seq;
    uint32_t model, name, number, actor, reason, time;
};

/* A number, or a text where `text` is not 0. Keys are "accuracy" for a value of a report (of the
 * candidate, all rows, unchanged inputs; the newest report counts), and paths like "data.rows" for
 * what is known of the making. */
struct snap_fact {
    uint32_t key, text;
    double value;
};

struct snapshot {
    const char *base; /* mapped, or in `memory` */
    size_t size;
    void *map, *memory;
    struct head head; /* the last entry that the rows know */
    const struct snap_model *models;
    const struct snap_version *versions;
    const struct snap_channel *channels;
    const struct snap_fact *facts;
    const char *texts;
    uint32_t model_count, version_count, channel_count, fact_count, text_size;
};

/* Opens the rows as the journal has them now: from the file and what lies behind it, or from the
 * whole journal. Writes the file again when much lay behind it and that is possible. DAMAGED where
 * the journal is, IO, NO_MEMORY. snapshot_close follows an OK and accepts a zeroed struct. */
enum code snapshot_open(struct registry *registry, struct snapshot *snapshot, struct err *err);
void snapshot_close(struct snapshot *snapshot);

/* The file alone, rows not checked against the journal: NOT_FOUND when there is no usable one. */
enum code snapshot_map(const struct registry *registry, struct snapshot *snapshot, struct err *err);

/* Brings the file up to the journal when it is at least `behind` entries late. */
enum code snapshot_write(struct registry *registry, int64_t behind, struct err *err);

/* A text by its offset; "" for one outside the section. */
const char *snapshot_text(const struct snapshot *snapshot, uint32_t offset);

/* The model of a name, or NULL. */
const struct snap_model *snapshot_model(const struct snapshot *snapshot, const char *name);

/* Opens a snapshot and finds the rows of one model, or of all (NULL): from..to of the models.
 * NOT_FOUND with the nearest name. snapshot_close follows an OK. */
struct row_range {
    uint32_t from, to;
};
enum code snapshot_open_span(struct registry *registry, struct snapshot *snapshot,
                             struct row_range *span, const char *model, struct err *err);

/* registry_list as the text that json_pretty would make of it, without a document in between: for
 * registries with very many versions. */
enum code registry_list_json(struct registry *registry, struct str *out, const char *model,
                             struct err *err);

/* The same for people: versions with the channels that hold them, then channels, a line each. */
enum code registry_list_text(struct registry *registry, struct str *out, const char *model,
                             struct err *err);

/* Rows as list/1 has them. */
json_t *snapshot_version_json(const struct snapshot *snapshot, const struct snap_version *version);
json_t *snapshot_channel_json(const struct snapshot *snapshot, const struct snap_channel *channel);

#endif
