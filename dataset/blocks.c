/* Hashing blocks at their first touch. */
#include "dataset/blocks.h"

#include "base/fs.h"

#include <stdatomic.h>

enum { PART_BYTES = 1 << 16, WORD_BITS = 64 };

struct blocks {
    int fd;
    const char *path;
    uint64_t bytes, count, words;
    const struct digest *leaf;
    atomic_uint_fast64_t *verified; /* one bit per block */
    atomic_uint_fast64_t left;      /* blocks whose bit is not set */
};

uint64_t blocks_count(uint64_t bytes)
{
    return bytes / BLOCK_BYTES + (bytes % BLOCK_BYTES != 0);
}

/* The buffer is on the stack, so that a training step allocates nothing. */
static enum code hash_block(struct digest *digest, int fd, uint64_t block, uint64_t bytes,
                            const char *path, struct err *err)
{
    unsigned char part[PART_BYTES];
    uint64_t at = block * BLOCK_BYTES, end = at + BLOCK_BYTES;
    if (end > bytes) end = bytes;
    struct sha256 sha;
    sha256_begin(&sha);
    enum code code = OK;
    for (; at < end && !code; at += PART_BYTES) {
        size_t len = end - at < PART_BYTES ? (size_t)(end - at) : PART_BYTES;
        code = fs_pread(fd, part, len, at, path, err);
        if (!code) sha256_add(&sha, part, len);
    }
    sha256_end(&sha, digest);
    return code;
}

enum code blocks_hash(struct digest *leaf, int fd, uint64_t bytes, const char *path,
                      struct err *err)
{
    for (uint64_t i = 0; i < blocks_count(bytes); i++)
        TRY(hash_block(&leaf[i], fd, i, bytes, path, err));
    return OK;
}

struct digest blocks_root(const struct digest *leaf, uint64_t count)
{
    return digest_of(leaf, count * sizeof *leaf);
}

struct blocks *blocks_new(struct arena *arena, int fd, uint64_t bytes, const char *path,
                          const struct digest *leaf)
{
    struct blocks *blocks = ARENA_NEW(arena, struct blocks);
    blocks->fd = fd;
    blocks->path = path;
    blocks->bytes = bytes;
    blocks->count = blocks_count(bytes);
    blocks->words = blocks->count / WORD_BITS + 1;
    blocks->leaf = leaf;
    blocks->verified = ARENA_ARRAY(arena, blocks->words, atomic_uint_fast64_t);
    blocks_forget(blocks);
    return blocks;
}

static enum code verify(struct blocks *blocks, uint64_t block, uint64_t *bad, struct err *err)
{
    struct digest digest;
    TRY(hash_block(&digest, blocks->fd, block, blocks->bytes, blocks->path, err));
    if (digest_equal(&digest, &blocks->leaf[block])) {
        uint64_t bit = (uint64_t)1 << block % WORD_BITS;
        uint64_t before = atomic_fetch_or_explicit(&blocks->verified[block / WORD_BITS], bit,
                                                   memory_order_release);
        if (!(before & bit)) atomic_fetch_sub_explicit(&blocks->left, 1, memory_order_release);
        return OK;
    }
    if (bad) *bad = block;
    return err_set(err, DAMAGED, "cannot read '%s': block %llu of %llu differs from the manifest",
                   blocks->path, (unsigned long long)block, (unsigned long long)blocks->count);
}

enum code blocks_touch(struct blocks *blocks, uint64_t at, uint64_t len, uint64_t *bad,
                       struct err *err)
{
    if (!len) return OK;
    REQUIRE(at < blocks->bytes && len <= blocks->bytes - at);
    for (uint64_t i = at / BLOCK_BYTES; i <= (at + len - 1) / BLOCK_BYTES; i++) {
        uint64_t word = atomic_load_explicit(&blocks->verified[i / WORD_BITS],
                                             memory_order_acquire);
        if (!(word >> i % WORD_BITS & 1)) TRY(verify(blocks, i, bad, err));
    }
    return OK;
}

bool blocks_done(const struct blocks *blocks)
{
    return atomic_load_explicit(&blocks->left, memory_order_acquire) == 0;
}

static void set_all(struct blocks *blocks, uint64_t word)
{
    atomic_store_explicit(&blocks->left, word ? 0 : blocks->count, memory_order_release);
    for (uint64_t i = 0; i < blocks->words; i++)
        atomic_store_explicit(&blocks->verified[i], word, memory_order_release);
}

void blocks_trust(struct blocks *blocks)
{
    set_all(blocks, UINT64_MAX);
}

void blocks_forget(struct blocks *blocks)
{
    set_all(blocks, 0);
}
