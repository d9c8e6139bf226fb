/* TensorBoard event files: a view of the log for the users' own tools.
 *
 * Format (tensorflow/core/lib/io/record_writer, event.proto): records of 8-byte length, masked
 * CRC32C of it, the bytes, masked CRC32C of those; each an Event protobuf with scalar summaries. */
#ifndef PAWL_TRAINER_TENSORBOARD_H
#define PAWL_TRAINER_TENSORBOARD_H

#include "base/err.h"

#include <stdint.h>

struct tensorboard {
    int fd; /* descriptor + 1 */
    char path[1100];
};

/* Opens a new events file in `dir` (made when missing); one per incarnation. */
enum code tensorboard_open(struct tensorboard *board, const char *dir, int incarnation,
                           struct err *err);
void tensorboard_close(struct tensorboard *board);

/* Adds one scalar. Failures are returned; the file is a view, so callers may go on. */
enum code tensorboard_scalar(struct tensorboard *board, const char *tag, int64_t step, double value,
                             struct err *err);

#endif
