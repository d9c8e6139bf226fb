/* What the parts of registry_repair share. */
#ifndef PAWL_REGISTRY_REPAIR_INTERNAL_H
#define PAWL_REGISTRY_REPAIR_INTERNAL_H

#include "registry/reach.h"
#include "registry/repair.h"

/* Entries that were and are not: from..to; `digest` is the last one's where a view knew it. */
struct lost_range {
    int64_t from, to;
    struct digest digest;
    bool has_digest;
};

struct repairing {
    struct arena arena;
    struct registry registry;
    const struct repair_opts *opts;
    json_t *done, *left; /* lists of {message} */
    struct lost_range lost;
    struct reach mended; /* content of reports and documents that was looked at */
    char nonce[33];      /* of the accepted loss, as its recover entry has it */
};

/* Appends a line to what was done, or to what is left. */
void repair_say(json_t *list, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Reads the journal as far as it is sound; where more was known, accepts the loss or refuses. */
enum code repair_journal(struct repairing *repairing, struct err *err);

/* Mends content, links and layouts of all versions and reports. */
enum code repair_content(struct repairing *repairing, struct err *err);

/* The same for one model's layout and versions, with the newest documents about each. */
enum code repair_model(struct repairing *repairing, const struct model_line *model,
                       struct err *err);

#endif
