/* What a disk may hold after the power went: a recorder over base/fs' call table, and the states
 * that its record allows.
 *
 * The folder is read once, then every mutating call under it is executed and recorded. After any
 * number of calls a machine may stop. A write is durable once its file was fsynced behind it, a
 * name once every folder that it changes was; what is not durable may be there or not, each on its
 * own and in any order, and a write also torn or as zeros. This is weaker than any file system in
 * use (cf. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). */
#ifndef PAWL_TESTS_REGISTRY_CRASH_MODEL_H
#define PAWL_TESTS_REGISTRY_CRASH_MODEL_H

#include "base/fs.h"

struct crash_change { /* of a name: node -1 takes it away */
    int dir, node;
    const char *name;
};

enum crash_kind { CRASH_WRITE, CRASH_NAMES, CRASH_SYNC, CRASH_MODE };

struct crash_call {
    enum crash_kind kind;
    int node; /* written, synced, or whose mode changes */
    uint64_t at;
    const char *bytes;
    size_t len;
    mode_t mode;
    struct crash_change changes[2];
    int change_count;
};

struct crash_node {
    mode_t mode;       /* file type and permissions */
    time_t time;       /* of the last change of what was there at the beginning; 0: now */
    const char *bytes; /* of a file at the beginning; the target of a symbolic link */
    size_t len;
};

struct crash_record {
    struct arena arena;
    const char *root;
    struct crash_node *nodes;
    struct crash_call *calls;
    struct crash_change *names; /* at the beginning */
    struct crash_change *live;  /* as the calls have made them, for finding paths */
    size_t node_count, call_count, name_count, live_count;
};

/* Reads the folder and begins to record; ends. One record at a time. */
void crash_begin(struct crash_record *record, const char *root);
void crash_end(struct crash_record *record);

/* The state after `calls` calls as a folder at `to`: variant 0 has everything, 1 nothing that is
 * not durable, others a choice that follows from the variant and the seed. */
void crash_make(const struct crash_record *record, size_t calls, unsigned variant, uint64_t seed,
                const char *to);

/* Whether the folder is, byte for byte, what the record says that it became. */
bool crash_agrees(const struct crash_record *record, const char *copy);

/* Takes the fsyncs out of the record, to see that a drill would notice. */
void crash_forget_syncs(struct crash_record *record);

void crash_release(struct crash_record *record);

#endif
