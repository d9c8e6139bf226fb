/* Keys through OpenSSL's EVP and its encoders. Whatever OpenSSL says about a key that it cannot
 * read is left out of messages: it may quote the input. */
#include "registry/key.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

enum { SPKI_LIMIT = 4096 };

const char *base64_text(struct arena *arena, const void *bytes, size_t len)
{
    char *text = arena_take(arena, (len + 2) / 3 * 4 + 1);
    EVP_EncodeBlock((unsigned char *)text, bytes, (int)len);
    return text;
}

/* OpenSSL also takes blanks around the text and odd padding; what it makes of other text than ours
 * does not come out the same again. */
bool base64_read(struct arena *arena, struct bytes *bytes, const char *text)
{
    size_t len = strlen(text);
    if (len % 4 || len > (1 << 24)) return false;
    size_t padding = len && text[len - 1] == '=' ? 1 + (text[len - 2] == '=') : 0;
    char *at = arena_take(arena, len / 4 * 3 + 1);
    if (EVP_DecodeBlock((unsigned char *)at, (const unsigned char *)text, (int)len) < 0)
        return false;
    *bytes = (struct bytes){ .at = at, .len = len / 4 * 3 - padding };
    at[bytes->len] = '\0';
    return strcmp(base64_text(arena, bytes->at, bytes->len), text) == 0;
}

/* The SubjectPublicKeyInfo in DER. */
static struct bytes spki_of(struct arena *arena, EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    REQUIRE(len > 0);
    struct bytes bytes = { .at = arena_copy_len(arena, der, (size_t)len), .len = (size_t)len };
    OPENSSL_free(der);
    return bytes;
}

static bool is_p256(const EVP_PKEY *pkey)
{
    char group[64] = "";
    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                          NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* Takes the EVP key over, whatever comes out. Curve and point are written in one way only, the
 * curve by name and the point uncompressed, so that a key has one id. */
static enum code take(struct key *key, EVP_PKEY *pkey, bool secret, const char *name,
                      struct err *err)
{
    struct arena arena = { 0 };
    memset(key, 0, sizeof *key);
    if (!is_p256(pkey)) {
        err_set(err, CONFIG, "cannot use key '%s': it is '%s' and not a P-256 key", name,
                EVP_PKEY_get0_type_name(pkey) ? EVP_PKEY_get0_type_name(pkey) : "unknown");
        EVP_PKEY_free(pkey);
        return err_hint(err, "`pawl registry key new --out FILE` makes one.");
    }
    EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                   "uncompressed");
    EVP_PKEY_set_utf8_string_param(pkey, OSSL_PKEY_PARAM_EC_ENCODING, "named_curve");
    struct bytes spki = spki_of(&arena, pkey);
    *key = (struct key){ .pkey = pkey, .secret = secret, .id = digest_of(spki.at, spki.len) };
    arena_release(&arena);
    return OK;
}

enum code key_make(struct key *key, struct err *err)
{
    EVP_PKEY *pkey = EVP_EC_gen("P-256");
    if (!pkey) return err_set(err, IO, "cannot make a key: OpenSSL gave none");
    return take(key, pkey, true, "new", err);
}

static EVP_PKEY *public_of_pem(const char *text, size_t len)
{
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return pkey;
}

static EVP_PKEY *public_of_base64(struct arena *arena, const char *text, size_t len)
{
    struct bytes der;
    const char *line = arena_copy_len(arena, text, len);
    if (!base64_read(arena, &der, line) || !der.len) return NULL;
    const unsigned char *at = (const unsigned char *)der.at;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &at, (long)der.len);
    if (pkey && at != (const unsigned char *)der.at + der.len) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    return pkey;
}

enum code key_read_public(struct key *key, const char *text, size_t len, const char *name,
                          struct err *err)
{
    struct arena arena = { 0 };
    EVP_PKEY *pkey = NULL;
    memset(key, 0, sizeof *key);
    bool secret = memmem(text, len, "PRIVATE KEY", 11) != NULL;
    while (len && (text[len - 1] == '\n' || text[len - 1] == ' ')) len--;
    if (len <= SPKI_LIMIT && !secret) {
        pkey = memmem(text, len, "-----BEGIN", 10) ? public_of_pem(text, len)
                                                   : public_of_base64(&arena, text, len);
        ERR_clear_error();
    }
    arena_release(&arena);
    if (pkey) return take(key, pkey, false, name, err);
    err_set(err, CONFIG, "cannot read key '%s': %s", name,
            secret ? "it is a secret key, not a public one" : "it is no public key");
    return err_hint(err, "`pawl registry key show FILE` prints a key's public half.");
}

bool key_is_encrypted(const struct bytes *pem)
{
    return memmem(pem->at, pem->len, "ENCRYPTED", 9) != NULL;
}

/* For the PEM reader, which must never ask a terminal by itself. */
static int give_passphrase(char *text, int size, int writing, void *context)
{
    (void)writing;
    const char *passphrase = context;
    size_t len = passphrase ? strlen(passphrase) : 0;
    if (!len || len > (size_t)size) return -1;
    memcpy(text, passphrase, len);
    return (int)len;
}

enum code key_read_secret(struct key *key, const struct bytes *pem, const char *passphrase,
                          const char *name, struct err *err)
{
    memset(key, 0, sizeof *key);
    BIO *bio = pem->len <= KEY_FILE_LIMIT ? BIO_new_mem_buf(pem->at, (int)pem->len) : NULL;
    union {
        const char *in;
        void *out;
    } context = { .in = passphrase };
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, context.out) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    if (pkey) return take(key, pkey, true, name, err);
    if (key_is_encrypted(pem)) {
        err_set(err, REFUSED, "cannot open key '%s': %s", name,
                passphrase ? "the passphrase is wrong, or the file is damaged"
                           : "it needs a passphrase");
        return err_hint(err, "Give it with --passphrase-file FILE, or on a terminal.");
    }
    err_set(err, CONFIG, "cannot read key '%s': it is no secret key in PEM", name);
    return err_hint(err, "`pawl registry key new --out FILE` makes one.");
}

void key_release(struct key *key)
{
    EVP_PKEY_free(key->pkey);
    memset(key, 0, sizeof *key);
}

const char *key_public_text(struct arena *arena, const struct key *key)
{
    struct bytes spki = spki_of(arena, key->pkey);
    return base64_text(arena, spki.at, spki.len);
}

const char *key_public_pem(struct arena *arena, const struct key *key)
{
    char *at;
    BIO *bio = BIO_new(BIO_s_mem());
    REQUIRE(bio && PEM_write_bio_PUBKEY(bio, key->pkey) == 1);
    long len = BIO_get_mem_data(bio, &at);
    const char *text = arena_copy_len(arena, at, (size_t)len);
    BIO_free(bio);
    return text;
}

enum code key_write_secret(const struct key *key, const char *path, const char *passphrase,
                           struct err *err)
{
    char *at = NULL;
    bool plain = !passphrase || !*passphrase;
    if (!plain && strlen(passphrase) > KEY_PASSPHRASE_LIMIT)
        return err_set(err, USAGE, "cannot write key '%s': the passphrase is longer than %d bytes",
                       path, KEY_PASSPHRASE_LIMIT);
    union {
        const char *in;
        void *out;
    } context = { .in = passphrase };
    BIO *bio = BIO_new(BIO_s_secmem());
    REQUIRE(bio && key->secret);
    int made = PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, plain ? NULL : EVP_aes_256_cbc(), NULL,
                                             0, plain ? NULL : give_passphrase, context.out);
    REQUIRE(made == 1);
    long len = BIO_get_mem_data(bio, &at);
    enum code code = fs_create_private(path, at, (size_t)len, err);
    OPENSSL_cleanse(at, (size_t)len);
    BIO_free(bio);
    return code;
}

static enum code refuse_mode(const char *path, mode_t mode, struct err *err)
{
    err_set(err, REFUSED, "cannot use key '%s': others may open it (mode %04o)", path,
            (unsigned)(mode & 07777));
    return err_hint(
        err,
        "Run `chmod 600 %s`; if others may have read it, make a new key and revoke this "
        "one.",
        path);
}

/* The file that is checked is the file that is read: links are followed once. */
enum code key_file_read(struct arena *arena, struct bytes *pem, const char *path, struct err *err)
{
    struct stat info;
    uint64_t size;
    int fd;
    enum code code = fs_open(&fd, path, &size, err);
    if (code == NOT_FOUND)
        return err_set(err, NOT_FOUND, "cannot open key '%s': no such file", path);
    if (code) return code;
    if (fs_calls.fstat(fd, &info) != 0 || size > KEY_FILE_LIMIT)
        code = err_set(err, CONFIG, "cannot read key '%s': it is no key's file", path);
    else if (info.st_mode & 077)
        code = refuse_mode(path, info.st_mode, err);
    char *at = arena_take(arena, KEY_FILE_LIMIT + 1);
    if (!code) code = fs_pread(fd, at, (size_t)size, 0, path, err);
    *pem = (struct bytes){ .at = at, .len = code ? 0 : (size_t)size };
    fs_close(fd);
    return code;
}
void key_wipe(const struct bytes *secret)
{
    union {
        const char *in;
        void *out;
    } at = { .in = secret->at };
    if (secret->at) OPENSSL_cleanse(at.out, secret->len);
}

const char *key_sign(struct arena *arena, const struct key *key, const struct bytes *message)
{
    unsigned char der[KEY_SIGNATURE_LIMIT];
    size_t len = sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    REQUIRE(context && key->secret);
    REQUIRE(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1);
    REQUIRE(EVP_DigestSign(context, der, &len, (const unsigned char *)message->at, message->len) ==
            1);
    EVP_MD_CTX_free(context);
    return base64_text(arena, der, len);
}

bool key_verifies(const struct key *key, const struct bytes *message, const char *signature)
{
    struct arena arena = { 0 };
    struct bytes der;
    bool good = false;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    REQUIRE(context);
    if (base64_read(&arena, &der, signature) && der.len && der.len <= KEY_SIGNATURE_LIMIT &&
        EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, key->pkey) == 1)
        good = EVP_DigestVerify(context, (const unsigned char *)der.at, der.len,
                                (const unsigned char *)message->at, message->len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    arena_release(&arena);
    return good;
}
