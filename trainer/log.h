/* The run's log: append-only JSON lines, each with a sequence number and a CRC32C.
 *
 * One file per incarnation. A line is {"crc":"<8 hex>","record":{...},"seq":N}; the CRC covers the
 * canonical record and the sequence number. Readers drop a torn last line, skip a damaged one, and
 * drop what an incarnation wrote after the point from which the next one resumed. */
#ifndef PAWL_TRAINER_LOG_H
#define PAWL_TRAINER_LOG_H

#include "base/json.h"

#include <stdbool.h>

struct run_log {
    int fd; /* descriptor + 1, so that a zeroed log is closed */
    int64_t seq;
    bool torn; /* the last append failed: what it left is ended before the next one */
    char path[1100];
};

/* Opens for appending (IO otherwise); closes. Each incarnation has a file of its own, so nothing is
 * in it yet. A zeroed log is closed. */
enum code run_log_open(struct run_log *log, const char *path, struct err *err);
void run_log_close(struct run_log *log);

/* Appends one record (the reference is taken over). Every record has "kind". A failure to append is
 * returned once; training may go on without it. */
enum code run_log_add(struct run_log *log, json_t *record, struct err *err);

/* All valid records of one file in order (new reference, a list); `damaged` counts skipped
 * lines. */
enum code run_log_read(json_t **records, int *damaged, const char *path, struct err *err);

/* All records of a run, across incarnations, without what was superseded (new reference). Each gets
 * "incarnation". A run that never began has none; a folder that is not there is NOT_FOUND. */
enum code run_log_read_all(json_t **records, const char *run, struct err *err);

#endif
