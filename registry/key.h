/* Keys: ECDSA on P-256 over SHA-256 (OpenSSL EVP), in PEM files that `openssl` reads and writes.
 *
 * A key is named by its id, the SHA-256 of its SubjectPublicKeyInfo in DER. Policies carry the
 * public half as one line of base64 over those bytes, or as the PEM text. Secret keys are PKCS#8,
 * encrypted where a passphrase is given; they are never part of a message, a document or a
 * registry. Other curves and other kinds of key are refused. */
#ifndef PAWL_REGISTRY_KEY_H
#define PAWL_REGISTRY_KEY_H

#include "base/fs.h"

enum {
    KEY_FILE_LIMIT = 16 << 10,
    KEY_PASSPHRASE_LIMIT = 1000,
    KEY_SIGNATURE_LIMIT = 80 /* of a signature in DER */
};

struct key {
    void *pkey; /* EVP_PKEY; NULL in a zeroed key */
    struct digest id;
    bool secret;
};

/* Makes a new pair. key_release follows an OK. */
enum code key_make(struct key *key, struct err *err);

/* Reads a public key: PEM ("PUBLIC KEY") or base64 of its SubjectPublicKeyInfo. `name` stands in
 * messages. CONFIG says what it is instead. */
enum code key_read_public(struct key *key, const char *text, size_t len, const char *name,
                          struct err *err);

/* Reads a secret key from PEM text; `passphrase` may be NULL where key_is_encrypted says no.
 * CONFIG for what is no P-256 key, REFUSED for a wrong or missing passphrase. */
enum code key_read_secret(struct key *key, const struct bytes *pem, const char *passphrase,
                          const char *name, struct err *err);

/* Whether PEM text holds a secret key that needs a passphrase. */
bool key_is_encrypted(const struct bytes *pem);

/* Gives the key back. Accepts a zeroed one. */
void key_release(struct key *key);

/* The public half as one line of base64, as policies write it; as PEM. In the arena. */
const char *key_public_text(struct arena *arena, const struct key *key);
const char *key_public_pem(struct arena *arena, const struct key *key);

/* Writes the secret key as PEM, for its owner alone (mode 0600): encrypted (PBKDF2, AES-256-CBC)
 * unless the passphrase is NULL or empty. CONFLICT when the file exists. */
enum code key_write_secret(const struct key *key, const char *path, const char *passphrase,
                           struct err *err);

/* Reads a secret key's file; the caller wipes the bytes with key_wipe. REFUSED when others than the
 * owner may read or write it. */
enum code key_file_read(struct arena *arena, struct bytes *pem, const char *path, struct err *err);
void key_wipe(const struct bytes *secret);

/* Signs a message (SHA-256 of it): DER as base64 text, in the arena. The key must be secret. */
const char *key_sign(struct arena *arena, const struct key *key, const struct bytes *message);

/* Whether base64 text is this key's signature of a message. */
bool key_verifies(const struct key *key, const struct bytes *message, const char *signature);

/* Base64 with padding, no line breaks. base64_read takes nothing else: false. */
const char *base64_text(struct arena *arena, const void *bytes, size_t len);
bool base64_read(struct arena *arena, struct bytes *bytes, const char *text);

#endif
