/* Event records by hand: two messages need no protobuf library. */
#include "trainer/tensorboard.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/fs.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* protobuf wire types */
enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put_varint(struct str *out, uint64_t value)
{
    while (value >= 0x80) {
        str_add_char(out, (char)(value | 0x80));
        value >>= 7;
    }
    str_add_char(out, (char)value);
}

static void put_key(struct str *out, int field, int wire)
{
    put_varint(out, (uint64_t)(field << 3 | wire));
}

static void put_bytes(struct str *out, int field, const void *bytes, size_t len)
{
    put_key(out, field, WIRE_BYTES);
    put_varint(out, len);
    str_add_len(out, bytes, len);
}

/* Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; } */
static void begin_event(struct str *out, int64_t step)
{
    double now = clock_wall();
    put_key(out, 1, WIRE_64);
    str_add_len(out, &now, sizeof now);
    put_key(out, 2, WIRE_VARINT);
    put_varint(out, (uint64_t)step);
}

static uint32_t masked(const void *bytes, size_t len)
{
    uint32_t crc = crc32c(0, bytes, len);
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8u;
}

static enum code write_record(struct tensorboard *board, const struct str *event, struct err *err)
{
    struct str record = { 0 };
    uint64_t length = event->len;
    uint32_t length_crc = masked(&length, sizeof length), crc = masked(event->at, event->len);
    str_add_len(&record, &length, sizeof length);
    str_add_len(&record, &length_crc, sizeof length_crc);
    str_add_len(&record, event->at, event->len);
    str_add_len(&record, &crc, sizeof crc);
    enum code code = fs_append(board->fd - 1, record.at, record.len, board->path, err);
    str_release(&record);
    return code;
}

enum code tensorboard_open(struct tensorboard *board, const char *dir, int incarnation,
                           struct err *err)
{
    int fd;
    memset(board, 0, sizeof *board);
    TRY(fs_mkdirs(dir, err));
    snprintf(board->path, sizeof board->path, "%s/events.out.tfevents.%010lld.pawl.%04d", dir,
             (long long)clock_wall(), incarnation);
    TRY(fs_log_open(&fd, board->path, err));
    board->fd = fd + 1;
    struct str event = { 0 };
    begin_event(&event, 0);
    put_bytes(&event, 3, "brain.Event:2", 13);
    enum code code = write_record(board, &event, err);
    str_release(&event);
    return code;
}

void tensorboard_close(struct tensorboard *board)
{
    if (board->fd) fs_close(board->fd - 1);
    board->fd = 0;
}

enum code tensorboard_scalar(struct tensorboard *board, const char *tag, int64_t step, double value,
                             struct err *err)
{
    if (!board->fd) return OK;
    /* Summary { repeated Value value = 1; }  Value { string tag = 1; float simple_value = 2; } */
    struct str scalar = { 0 }, summary = { 0 }, event = { 0 };
    float simple = (float)value;
    put_bytes(&scalar, 1, tag, strlen(tag));
    put_key(&scalar, 2, WIRE_32);
    str_add_len(&scalar, &simple, sizeof simple);
    put_bytes(&summary, 1, scalar.at, scalar.len);
    begin_event(&event, step);
    put_bytes(&event, 5, summary.at, summary.len);
    enum code code = write_record(board, &event, err);
    str_release(&scalar);
    str_release(&summary);
    str_release(&event);
    return code;
}
