/* Digests: SHA-256 (OpenSSL) for identity, CRC32C (ISA-L) for torn records.
 *
 * The text form everywhere is "sha256:" and 64 lower-case hex digits. */
#ifndef PAWL_BASE_DIGEST_H
#define PAWL_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_TEXT = 7 + 64 + 1 };

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

/* A running SHA-256. sha256_end fills `digest` and gives the state back; sha256_drop gives it back
 * without a result. Every sha256_begin needs one of the two. */
struct sha256 {
    void *state;
};

/* Begins; adds bytes; ends with the digest; ends without one. */
void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *bytes, size_t len);
void sha256_end(struct sha256 *sha, struct digest *digest);
void sha256_drop(struct sha256 *sha);

/* The digest of one block of memory. */
struct digest digest_of(const void *bytes, size_t len);

/* Writes "sha256:<hex>"; returns `text`. */
const char *digest_text(const struct digest *digest, char text[DIGEST_TEXT]);

/* Reads "sha256:<hex>"; false when `text` is anything else. */
bool digest_parse(struct digest *digest, const char *text);

/* Whether all bytes are equal. */
bool digest_equal(const struct digest *a, const struct digest *b);

/* CRC32C (Castagnoli) of a block, as in RFC 3720; `crc` continues an earlier block, 0 begins. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
