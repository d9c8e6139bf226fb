/* Headers of 512 bytes, written one way and read strictly. */
#include "registry/tar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, OCTAL_DIGITS = 11, PAX_LIMIT = BLOCK };

/* Field offsets and widths of the ustar header. */
enum {
    AT_MODE = 100,
    AT_UID = 108,
    AT_GID = 116,
    AT_SIZE = 124,
    AT_MTIME = 136,
    AT_SUM = 148,
    AT_TYPE = 156,
    AT_MAGIC = 257
};

static const uint64_t octal_limit = (uint64_t)1 << 33;
static const char magic[8] = { 'u', 's', 't', 'a', 'r', 0, '0', '0' };

static unsigned checksum(const char *header)
{
    unsigned sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= AT_SUM && i < AT_SUM + 8 ? ' ' : (unsigned char)header[i];
    return sum;
}

static void fill_header(char header[BLOCK], const char *name, uint64_t size, char type)
{
    memset(header, 0, BLOCK);
    memcpy(header, name, strlen(name));
    memcpy(header + AT_MODE, "0000444", 8);
    memcpy(header + AT_UID, "0000000", 8);
    memcpy(header + AT_GID, "0000000", 8);
    char digits[32];
    snprintf(digits, sizeof digits, "%011llo", (unsigned long long)(size % octal_limit));
    memcpy(header + AT_SIZE, digits, OCTAL_DIGITS + 1);
    memcpy(header + AT_MTIME, "00000000000", 12);
    header[AT_TYPE] = type;
    memcpy(header + AT_MAGIC, magic, sizeof magic);
    snprintf(digits, sizeof digits, "%06o", checksum(header));
    memcpy(header + AT_SUM, digits, 7);
    header[AT_SUM + 7] = ' ';
}

/* "LENGTH size=SIZE\n", where the length counts itself: two digits for any size that needs it. */
static size_t pax_size(char *record, size_t room, uint64_t size)
{
    unsigned long long number = size;
    int len = snprintf(NULL, 0, " size=%llu\n", number) + 2;
    return (size_t)snprintf(record, room, "%d size=%llu\n", len, number);
}

enum code tar_header(struct fs_writer *writer, const char *name, uint64_t size, struct err *err)
{
    char header[BLOCK], record[BLOCK] = { 0 };
    REQUIRE(strlen(name) <= TAR_NAME);
    if (size >= octal_limit) {
        size_t len = pax_size(record, sizeof record, size);
        fill_header(header, "pax", len, 'x');
        TRY(fs_writer_add(writer, header, BLOCK, err));
        TRY(fs_writer_add(writer, record, BLOCK, err));
        size = 0; /* the record has it */
    }
    fill_header(header, name, size, '0');
    return fs_writer_add(writer, header, BLOCK, err);
}

enum code tar_pad(struct fs_writer *writer, uint64_t size, struct err *err)
{
    static const char zeros[BLOCK];
    size_t rest = (size_t)(size % BLOCK);
    return rest ? fs_writer_add(writer, zeros, BLOCK - rest, err) : OK;
}

enum code tar_end(struct fs_writer *writer, struct err *err)
{
    static const char zeros[2 * BLOCK];
    return fs_writer_add(writer, zeros, sizeof zeros, err);
}

static enum code wrong(const struct tar *tar, uint64_t at, const char *what, struct err *err)
{
    return err_set(err, DAMAGED, "cannot use '%s': at byte %llu: %s", tar->path,
                   (unsigned long long)at, what);
}

/* The header as it would be written for the name and size that it states must be the header. */
static enum code read_header(const struct tar *tar, const char *header, uint64_t at,
                             struct tar_member *member, char *type, struct err *err)
{
    char again[BLOCK], digits[OCTAL_DIGITS + 1];
    const char *end = memchr(header, 0, TAR_NAME);
    size_t len = end ? (size_t)(end - header) : TAR_NAME;
    memcpy(member->name, header, len);
    member->name[len] = '\0';
    memcpy(digits, header + AT_SIZE, OCTAL_DIGITS);
    digits[OCTAL_DIGITS] = '\0';
    *type = header[AT_TYPE];
    if (*type != '0' && *type != 'x') return wrong(tar, at, "it is no regular file", err);
    if (strspn(digits, "01234567") != OCTAL_DIGITS)
        return wrong(tar, at, "its size is not octal", err);
    member->size = strtoull(digits, NULL, 8);
    fill_header(again, member->name, member->size, *type);
    if (memcmp(again, header, BLOCK) == 0) return OK;
    return wrong(tar, at, "its header is not one that is written here", err);
}

/* The one record that a pax header may have. */
static enum code read_pax(const struct tar *tar, uint64_t at, uint64_t len, uint64_t *size,
                          struct err *err)
{
    char record[BLOCK + 1] = { 0 }, again[BLOCK] = { 0 };
    if (len >= PAX_LIMIT) return wrong(tar, at, "its pax header is too long", err);
    TRY(fs_pread(tar->fd - 1, record, BLOCK, at, tar->path, err));
    const char *digits = strstr(record, " size=");
    *size = digits ? strtoull(digits + strlen(" size="), NULL, 10) : 0;
    if (*size >= octal_limit && pax_size(again, sizeof again, *size) == len &&
        memcmp(again, record, BLOCK) == 0)
        return OK;
    return wrong(tar, at, "its pax header says more than a size", err);
}

static bool all_zero(const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (bytes[i]) return false;
    return true;
}

/* Two zero blocks, and nothing behind them. */
static enum code check_end(const struct tar *tar, uint64_t at, uint64_t total, struct err *err)
{
    char blocks[2 * BLOCK];
    if (total - at != sizeof blocks)
        return wrong(tar, at, "it does not end with two empty blocks", err);
    TRY(fs_pread(tar->fd - 1, blocks, sizeof blocks, at, tar->path, err));
    return all_zero(blocks, sizeof blocks) ? OK : wrong(tar, at, "its end is not empty", err);
}

/* Reads one member's headers at *at and steps over its bytes. */
static enum code read_member(struct tar *tar, struct tar_member *member, uint64_t *at,
                             uint64_t total, struct err *err)
{
    char header[BLOCK], type;
    uint64_t long_size = 0;
    TRY(fs_pread(tar->fd - 1, header, BLOCK, *at, tar->path, err));
    TRY(read_header(tar, header, *at, member, &type, err));
    if (type == 'x') {
        if (total - *at < (uint64_t)3 * BLOCK || strcmp(member->name, "pax") != 0)
            return wrong(tar, *at, "its pax header is malformed", err);
        TRY(read_pax(tar, *at + BLOCK, member->size, &long_size, err));
        *at += (uint64_t)2 * BLOCK;
        TRY(fs_pread(tar->fd - 1, header, BLOCK, *at, tar->path, err));
        TRY(read_header(tar, header, *at, member, &type, err));
        if (type != '0' || member->size) return wrong(tar, *at, "no file follows its pax", err);
        member->size = long_size;
    }
    member->at = *at + BLOCK;
    if (member->size > total - member->at || total - member->at - member->size < 2 * BLOCK)
        return wrong(tar, *at, "it is longer than the whole", err);
    *at = member->at + (member->size + BLOCK - 1) / BLOCK * BLOCK;
    size_t rest = (size_t)(*at - member->at - member->size);
    if (rest) {
        TRY(fs_pread(tar->fd - 1, header, rest, member->at + member->size, tar->path, err));
        if (!all_zero(header, rest)) return wrong(tar, *at, "its padding is not empty", err);
    }
    return OK;
}

static enum code read_members(struct tar *tar, struct arena *arena, size_t limit, uint64_t total,
                              bool (*expects)(const char *name), struct err *err)
{
    uint64_t at = 0;
    while (total - at > 2 * BLOCK) {
        struct tar_member member = { 0 };
        uint64_t begin = at;
        TRY(read_member(tar, &member, &at, total, err));
        if (!expects(member.name))
            return wrong(tar, begin, "nothing of this name belongs here", err);
        if (tar->count && strcmp(tar->members[tar->count - 1].name, member.name) >= 0)
            return wrong(tar, begin, "its name is repeated or out of order", err);
        if (tar->count == limit) return wrong(tar, begin, "too many files", err);
        if ((tar->count & (tar->count - 1)) == 0) {
            size_t room = tar->count ? tar->count * 2 : 1;
            struct tar_member *more = ARENA_ARRAY(arena, room, struct tar_member);
            if (tar->count) memcpy(more, tar->members, tar->count * sizeof *more);
            tar->members = more;
        }
        tar->members[tar->count++] = member;
    }
    return check_end(tar, at, total, err);
}

enum code tar_open(struct tar *tar, struct arena *arena, const char *path, size_t limit,
                   bool (*expects)(const char *name), struct err *err)
{
    int fd;
    uint64_t total;
    *tar = (struct tar){ .path = path };
    TRY(fs_open(&fd, path, &total, err));
    tar->fd = fd + 1;
    enum code code = total % BLOCK || total < 2 * BLOCK
                         ? wrong(tar, total, "its length is no tar's", err)
                         : read_members(tar, arena, limit, total, expects, err);
    if (code) tar_close(tar);
    return code;
}

void tar_close(struct tar *tar)
{
    if (tar->fd) fs_close(tar->fd - 1);
    memset(tar, 0, sizeof *tar);
}

static int by_name(const void *key, const void *member)
{
    return strcmp(key, ((const struct tar_member *)member)->name);
}

const struct tar_member *tar_find(const struct tar *tar, const char *name)
{
    if (!tar->count) return NULL;
    return bsearch(name, tar->members, tar->count, sizeof *tar->members, by_name);
}

enum code tar_read(const struct tar *tar, struct arena *arena, struct bytes *bytes,
                   const struct tar_member *member, size_t limit, struct err *err)
{
    if (member->size > limit)
        return err_set(err, DAMAGED, "cannot use '%s': '%s' has %llu bytes, more than %zu",
                       tar->path, member->name, (unsigned long long)member->size, limit);
    char *at = arena_take(arena, (size_t)member->size + 1);
    *bytes = (struct bytes){ .at = at, .len = (size_t)member->size };
    return fs_pread(tar->fd - 1, at, bytes->len, member->at, tar->path, err);
}
