/* A foreign file read from front to back, plain or gzip, with the digest of its stored bytes. */
#ifndef PAWL_DATASET_SOURCE_H
#define PAWL_DATASET_SOURCE_H

#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflate_state;

struct source {
    const char *path; /* borrowed */
    int fd;           /* descriptor + 1, so that a zeroed source is closed */
    uint64_t size;    /* stored bytes */
    uint64_t at;      /* content bytes delivered so far */
    bool gzip;
    struct inflate_state *state;
};

/* Opens a regular file; gzip is known by its first two bytes. NOT_FOUND, IO, NO_MEMORY. */
enum code source_open(struct source *source, const char *path, struct err *err);

/* Closes; accepts a zeroed struct. */
void source_close(struct source *source);

/* Delivers up to `len` bytes of content; *got < len only at the end. DAMAGED for gzip data that is
 * cut short, fails its check sum or is followed by something else. */
enum code source_read(struct source *source, void *bytes, size_t len, size_t *got, struct err *err);

/* An upper bound of the content that can still come, so that a header's claim can be refused before
 * memory is taken for it (deflate expands at most 1032-fold). */
uint64_t source_bound(const struct source *source);

/* {name, bytes, digest} of the stored bytes; the source must have been read to its end. */
json_t *source_describe(struct source *source);

#endif
