/* Reading plain and gzip files through base/fs, so that their calls can be failed too. */
#include "dataset/source.h"

#include "base/arena.h"
#include "base/fs.h"

#include <string.h>
#include <zlib.h>

enum { PART_BYTES = 1 << 18, DEFLATE_RATIO = 1032, GZIP_WINDOW = 15 + 16 };

struct inflate_state {
    z_stream stream;
    bool begun;    /* inflateInit was called */
    bool ended;    /* the current gzip member is complete */
    uint64_t read; /* stored bytes taken in so far */
    struct sha256 sha;
    size_t used, there; /* of `part` */
    unsigned char part[PART_BYTES];
};

/* Takes in the next stored bytes when the last ones are used up. */
static enum code refill(struct source *source, struct err *err)
{
    struct inflate_state *state = source->state;
    if (state->used < state->there) return OK;
    uint64_t left = source->size - state->read;
    state->used = 0;
    state->there = left < PART_BYTES ? (size_t)left : PART_BYTES;
    TRY(fs_pread(source->fd - 1, state->part, state->there, state->read, source->path, err));
    sha256_add(&state->sha, state->part, state->there);
    state->read += state->there;
    return OK;
}

enum code source_open(struct source *source, const char *path, struct err *err)
{
    int fd;
    memset(source, 0, sizeof *source);
    source->path = path;
    enum code code = fs_open(&fd, path, &source->size, err);
    if (code) goto out;
    source->fd = fd + 1;
    void *state = NULL;
    if ((code = block_alloc(&state, sizeof *source->state, "a read buffer", err))) goto out;
    source->state = state;
    sha256_begin(&source->state->sha);
    if ((code = refill(source, err))) goto out;
    const unsigned char *part = source->state->part;
    source->gzip = source->state->there >= 2 && part[0] == 0x1F && part[1] == 0x8B;
    if (!source->gzip) goto out;
    if (inflateInit2(&source->state->stream, GZIP_WINDOW) != Z_OK)
        code = err_set(err, NO_MEMORY, "cannot read '%s': zlib has no memory", path);
    else
        source->state->begun = true;
out:
    if (code) source_close(source);
    return code;
}

void source_close(struct source *source)
{
    if (source->state) {
        if (source->state->begun) inflateEnd(&source->state->stream);
        if (source->state->sha.state) sha256_drop(&source->state->sha);
    }
    block_free(source->state);
    if (source->fd) fs_close(source->fd - 1);
    source->state = NULL;
    source->fd = 0;
}

static enum code broken(const struct source *source, const char *what, struct err *err)
{
    const struct inflate_state *state = source->state;
    uint64_t at = state->read - state->there + state->used;
    return err_set(err, DAMAGED, "cannot read '%s': the gzip data %s at byte %llu", source->path,
                   what, (unsigned long long)at);
}

/* One step of inflating into `len` bytes; *got may be 0. At the end of a member the next one, if
 * there is one, goes on (RFC 1952 allows several). */
static enum code inflate_some(struct source *source, void *bytes, size_t len, size_t *got,
                              struct err *err)
{
    struct inflate_state *state = source->state;
    z_stream *stream = &state->stream;
    TRY(refill(source, err));
    if (!state->there) return broken(source, "is cut short", err);
    if (state->ended && inflateReset(stream) != Z_OK) return broken(source, "is damaged", err);
    state->ended = false;
    uInt room = len > PART_BYTES ? PART_BYTES : (uInt)len;
    stream->next_in = state->part + state->used;
    stream->avail_in = (uInt)(state->there - state->used);
    stream->next_out = bytes;
    stream->avail_out = room;
    int result = inflate(stream, Z_NO_FLUSH);
    state->used = state->there - stream->avail_in;
    *got = room - stream->avail_out;
    if (result == Z_STREAM_END)
        state->ended = true;
    else if (result != Z_OK && result != Z_BUF_ERROR)
        return broken(source, "is damaged", err);
    return OK;
}

static bool at_end(const struct source *source)
{
    const struct inflate_state *state = source->state;
    bool used_up = state->used == state->there && state->read == source->size;
    return used_up && (!source->gzip || state->ended);
}

enum code source_read(struct source *source, void *bytes, size_t len, size_t *got, struct err *err)
{
    struct inflate_state *state = source->state;
    unsigned char *to = bytes;
    *got = 0;
    while (*got < len && !at_end(source)) {
        size_t part = 0;
        if (source->gzip) {
            TRY(inflate_some(source, to + *got, len - *got, &part, err));
        } else {
            TRY(refill(source, err));
            part = state->there - state->used < len - *got ? state->there - state->used
                                                           : len - *got;
            memcpy(to + *got, state->part + state->used, part);
            state->used += part;
        }
        *got += part;
        source->at += part;
    }
    return OK;
}

uint64_t source_bound(const struct source *source)
{
    uint64_t stored = source->size - source->state->read + source->state->there;
    if (!source->gzip) return stored - source->state->used;
    return stored > UINT64_MAX / DEFLATE_RATIO ? UINT64_MAX : stored * DEFLATE_RATIO;
}

json_t *source_describe(struct source *source)
{
    struct digest digest;
    char text[DIGEST_TEXT];
    REQUIRE(at_end(source));
    sha256_end(&source->state->sha, &digest);
    return json_pack("{s:s, s:I, s:s}", "name", path_base(source->path), "bytes",
                     (json_int_t)source->size, "digest", digest_text(&digest, text));
}
