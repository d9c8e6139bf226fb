/* The OpenSSF model signature (ossf/model-signing-spec, spec/v1.0.md): a Sigstore bundle over an
 * in-toto statement that lists every file of the version.
 *
 * The subject's digest is the SHA-256 of the files' digests, as bytes, in the order of their names.
 * A deployed folder also holds bundle.json, which says what is known after the signature was made;
 * it is listed as ignored, as is model.sig itself. */
#include "registry/documents.h"

#include "registry/dsse.h"

#include <stdlib.h>
#include <string.h>

#define SIGNATURE_TYPE "https://model_signing/signature/v1.0"
#define SIGSTORE_TYPE  "application/vnd.dev.sigstore.bundle.v0.3+json"

static int by_name(const void *a, const void *b)
{
    const struct oci_layer *left = a, *right = b;
    return strcmp(left->name, right->name);
}

static json_t *statement(struct arena *arena, const struct record *record)
{
    struct oci_layer files[OCI_LAYERS];
    int count = record->files->layer_count;
    struct sha256 sha;
    struct digest root;
    json_t *resources = json_array();
    memcpy(files, record->files->layers, sizeof files);
    qsort(files, (size_t)count, sizeof *files, by_name);
    sha256_begin(&sha);
    for (int i = 0; i < count; i++) {
        sha256_add(&sha, files[i].digest.bytes, DIGEST_BYTES);
        json_array_append_new(resources, json_pack("{ss ss ss}", "algorithm", "sha256", "digest",
                                                   digest_hex(arena, &files[i].digest), "name",
                                                   files[i].name));
    }
    sha256_end(&sha, &root);
    return json_pack("{ss s[{ss s{ss}}] ss s{so s{ss ss sb s[ssssss]}}}", "_type",
                     "https://in-toto.io/Statement/v1", "subject", "name", record->model, "digest",
                     "sha256", digest_hex(arena, &root), "predicateType", SIGNATURE_TYPE,
                     "predicate", "resources", resources, "serialization", "method", "files",
                     "hash_type", "sha256", "allow_symlinks", 0, "ignore_paths", ".git",
                     ".gitattributes", ".github", ".gitignore", "bundle.json", "model.sig");
}

void signature_make(struct evidence *evidence, struct arena *arena, const struct record *record)
{
    size_t len;
    if (!record_signs(record)) return;
    json_t *json = statement(arena, record);
    REQUIRE(json);
    const char *text = json_canonical(arena, json, &len);
    struct bytes payload = { .at = text, .len = len };
    struct bytes pae = dsse_pae(arena, INTOTO_TYPE, &payload);
    const char *pem = key_public_pem(arena, record->key);
    struct digest hint = digest_of(pem, strlen(pem));
    json_t *bundle = json_pack(
        "{ss s{s{ss} s[]} s{ss ss s[{ss ss}]}}", "mediaType", SIGSTORE_TYPE, "verificationMaterial",
        "publicKey", "hint", digest_hex(arena, &hint), "tlogEntries", "dsseEnvelope", "payload",
        base64_text(arena, payload.at, payload.len), "payloadType", INTOTO_TYPE, "signatures",
        "keyid", "", "sig", key_sign(arena, record->key, &pae));
    REQUIRE(bundle);
    const char *out = json_canonical(arena, bundle, &len);
    document_text(evidence, "model.sig", SIGSTORE_TYPE, out, len);
    json_decref(json);
    json_decref(bundle);
}
