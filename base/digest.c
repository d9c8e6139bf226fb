/* SHA-256 through OpenSSL's EVP (it uses the CPU's instructions) and CRC32C through ISA-L. */
#include "base/digest.h"

#include "base/err.h"

#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <string.h>

void sha256_begin(struct sha256 *sha)
{
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    REQUIRE(state && EVP_DigestInit_ex(state, EVP_sha256(), NULL) == 1);
    sha->state = state;
}

void sha256_add(struct sha256 *sha, const void *bytes, size_t len)
{
    REQUIRE(EVP_DigestUpdate(sha->state, bytes, len) == 1);
}

void sha256_end(struct sha256 *sha, struct digest *digest)
{
    REQUIRE(EVP_DigestFinal_ex(sha->state, digest->bytes, NULL) == 1);
    sha256_drop(sha);
}

void sha256_drop(struct sha256 *sha)
{
    EVP_MD_CTX_free(sha->state);
    sha->state = NULL;
}

struct digest digest_of(const void *bytes, size_t len)
{
    struct digest digest;
    REQUIRE(EVP_Digest(bytes, len, digest.bytes, NULL, EVP_sha256(), NULL) == 1);
    return digest;
}

const char *digest_text(const struct digest *digest, char text[DIGEST_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    memcpy(text, "sha256:", 7);
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        text[7 + 2 * i] = hex[digest->bytes[i] >> 4];
        text[8 + 2 * i] = hex[digest->bytes[i] & 15];
    }
    text[DIGEST_TEXT - 1] = '\0';
    return text;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

bool digest_parse(struct digest *digest, const char *text)
{
    if (!text || strlen(text) != DIGEST_TEXT - 1 || memcmp(text, "sha256:", 7) != 0) return false;
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = hex_value(text[7 + 2 * i]), low = hex_value(text[8 + 2 * i]);
        if (high < 0 || low < 0) return false;
        digest->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_BYTES) == 0;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    /* ISA-L works on the inverted register and takes an int length and a non-const pointer. */
    const unsigned char *at = bytes;
    uint32_t register_value = ~crc;
    while (len) {
        int part = len > (1u << 30) ? 1 << 30 : (int)len;
        register_value = crc32_iscsi((unsigned char *)(uintptr_t)at, part, register_value);
        at += part;
        len -= (size_t)part;
    }
    return ~register_value;
}
