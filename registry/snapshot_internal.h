/* What the parts of the snapshot share: rows while they are being gathered. */
#ifndef PAWL_REGISTRY_SNAPSHOT_INTERNAL_H
#define PAWL_REGISTRY_SNAPSHOT_INTERNAL_H

#include "registry/snapshot.h"

struct gather_version {
    struct snap_version row;
    const struct snap_fact *facts; /* [row.fact_count] */
    struct snap_fact *own;         /* the same where they are not the snapshot's ... */
    uint32_t room;                 /* ... and for how many there is room */
};

struct gather_model {
    uint32_t name;
    struct gather_version *versions;
    struct snap_channel *channels;
    uint32_t version_count, channel_count;
};

struct gathering {
    struct arena arena;
    const struct registry *registry;
    struct head head;
    struct gather_model *models; /* sorted by name */
    uint32_t model_count;
    char *texts; /* the text section; offset 0 is "" */
    uint32_t text_size, text_room;
    uint32_t *slots; /* of interned texts: open addressing, 0 is free */
    uint32_t slot_count, slot_size;
};

/* Begins with nothing, or with the rows of a snapshot; takes one entry (an entry_visit). */
void gather_begin(struct gathering *gathering, const struct registry *registry,
                  const struct snapshot *from);
enum code gather_entry(void *context, const struct entry *entry, struct err *err);
void gather_release(struct gathering *gathering);

/* Lays the rows out as a file of *size bytes; the caller gives it back with block_free. */
enum code gather_render(const struct gathering *gathering, void **file, size_t *size,
                        struct err *err);

/* Checks a file's head and sections and points the snapshot's arrays into it; `whole` also checks
 * its CRC. NOT_FOUND when it is unusable. */
enum code snapshot_point(struct snapshot *snapshot, const char *base, size_t size,
                         const struct registry *registry, bool whole);

#endif
