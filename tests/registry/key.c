/* Keys and envelopes: what OpenSSL's own program says about them, and what is refused. */
#include "registry/dsse.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    struct arena arena;
    struct err err;
};

#define MUST(call) cr_assert_eq((call), OK, "%s", f.err.message)

static void begin(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/pawl-key-XXXXXX");
    cr_assert(mkdtemp(f->dir));
}

static void end(struct fixture *f)
{
    fs_remove_tree(f->dir, NULL);
    arena_release(&f->arena);
}

static const char *in(struct fixture *f, const char *name)
{
    return path_join(&f->arena, f->dir, name);
}

static void save(struct fixture *f, const char *name, const void *bytes, size_t len)
{
    cr_assert_eq(fs_publish_view(in(f, name), bytes, len, &f->err), OK);
}

/* Whether a shell command in the folder succeeds. */
static bool shell(struct fixture *f, const char *command)
{
    return system(arena_format(&f->arena, "cd %s && (%s) >/dev/null 2>&1", f->dir, command)) == 0;
}

Test(key, what_is_signed_verifies_for_openssl_and_nothing_else_does)
{
    struct fixture f;
    struct key key, other, half;
    struct bytes signature, payload = { .at = "{\"a\":1}", .len = 7 };
    begin(&f);
    MUST(key_make(&key, &f.err));
    MUST(key_make(&other, &f.err));
    const char *line = key_public_text(&f.arena, &key), *pem = key_public_pem(&f.arena, &key);
    MUST(key_read_public(&half, line, strlen(line), "line", &f.err));
    cr_expect(digest_equal(&half.id, &key.id) && !half.secret);

    /* the encoding that is signed, as the specification writes it */
    struct bytes pae = dsse_pae(&f.arena, DSSE_STATEMENT, &payload);
    cr_expect_str_eq(pae.at, "DSSEv1 35 application/vnd.pawl.statement+json 7 {\"a\":1}");
    cr_expect_eq(pae.len, strlen(pae.at));
    const char *text = key_sign(&f.arena, &key, &pae);
    cr_expect(key_verifies(&half, &pae, text) && !key_verifies(&other, &pae, text));
    cr_assert(base64_read(&f.arena, &signature, text));
    save(&f, "pae", pae.at, pae.len);
    save(&f, "sig", signature.at, signature.len);
    save(&f, "pub.pem", pem, strlen(pem));
    if (shell(&f, "command -v openssl")) {
        cr_expect(shell(&f, "openssl dgst -sha256 -verify pub.pem -signature sig pae"));
        cr_expect(shell(&f, "! (printf x; cat pae) | openssl dgst -sha256 -verify pub.pem "
                            "-signature sig"));
        /* the id is the digest of the key as OpenSSL writes it */
        char id[DIGEST_TEXT];
        cr_expect(shell(&f, arena_format(&f.arena,
                                         "test $(openssl pkey -pubin -in pub.pem -outform DER | "
                                         "sha256sum | cut -c 1-64) = %s",
                                         digest_text(&key.id, id) + 7)));
    }

    /* no bit of signature or message may differ */
    char *flipped = arena_copy_len(&f.arena, signature.at, signature.len);
    for (size_t bit = 0; bit < signature.len * 8; bit++) {
        flipped[bit / 8] ^= (char)(1 << bit % 8);
        cr_expect_not(key_verifies(&half, &pae, base64_text(&f.arena, flipped, signature.len)),
                      "bit %zu", bit);
        flipped[bit / 8] ^= (char)(1 << bit % 8);
    }
    static const char *const texts[] = { "", "AAAA", "====", "not base64!", " AAAA", "AAA" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_expect_not(key_verifies(&half, &pae, texts[i]), "'%s'", texts[i]);
    key_release(&key);
    key_release(&other);
    key_release(&half);
    end(&f);
}

Test(key, a_secret_key_is_its_owners_alone_and_needs_its_passphrase)
{
    struct fixture f;
    struct key key, again;
    struct bytes pem;
    struct stat info;
    begin(&f);
    MUST(key_make(&key, &f.err));
    MUST(key_write_secret(&key, in(&f, "plain"), NULL, &f.err));
    MUST(key_write_secret(&key, in(&f, "locked"), "open sesame", &f.err));
    cr_expect_eq(key_write_secret(&key, in(&f, "plain"), NULL, &f.err), CONFLICT);
    MUST(fs_stat(in(&f, "plain"), &info, &f.err));
    cr_expect_eq(info.st_mode & 07777, 0600);
    MUST(key_file_read(&f.arena, &pem, in(&f, "plain"), &f.err));
    MUST(key_read_secret(&again, &pem, NULL, "plain", &f.err));
    cr_expect(digest_equal(&again.id, &key.id) && again.secret);
    key_release(&again);

    MUST(key_file_read(&f.arena, &pem, in(&f, "locked"), &f.err));
    cr_expect(key_is_encrypted(&pem));
    cr_expect_eq(key_read_secret(&again, &pem, NULL, "locked", &f.err), REFUSED);
    cr_expect_eq(key_read_secret(&again, &pem, "open sesam", "locked", &f.err), REFUSED);
    cr_expect_not(strstr(f.err.message, "sesam"), "%s", f.err.message);
    MUST(key_read_secret(&again, &pem, "open sesame", "locked", &f.err));
    cr_expect(digest_equal(&again.id, &key.id));
    key_release(&again);
    if (shell(&f, "command -v openssl"))
        cr_expect(shell(&f, "openssl pkey -in locked -passin 'pass:open sesame' -noout"));

    static const mode_t modes[] = { 0640, 0604, 0620, 0666 };
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        MUST(fs_set_mode(in(&f, "plain"), modes[i], &f.err));
        cr_expect_eq(key_file_read(&f.arena, &pem, in(&f, "plain"), &f.err), REFUSED, "%o",
                     (unsigned)modes[i]);
        if (i == 0) cr_assert_eq(symlink("plain", in(&f, "link")), 0);
        cr_expect_eq(key_file_read(&f.arena, &pem, in(&f, "link"), &f.err), REFUSED, "by a link");
    }
    cr_assert_eq(mkfifo(in(&f, "fifo"), 0600), 0);
    cr_expect_eq(key_file_read(&f.arena, &pem, in(&f, "fifo"), &f.err), USAGE);
    cr_expect_eq(key_file_read(&f.arena, &pem, "/dev/zero", &f.err), USAGE);
    cr_expect_eq(key_file_read(&f.arena, &pem, f.dir, &f.err), USAGE);
    key_release(&key);
    end(&f);
}

Test(key, other_curves_other_kinds_and_rubbish_are_refused)
{
    struct fixture f;
    struct key key;
    struct bytes text;
    static const char *const makers[] = {
        "openssl genpkey -algorithm ed25519 -out x",
        "openssl ecparam -name secp384r1 -genkey -noout -out x",
        "openssl ecparam -name secp256k1 -genkey -noout -out x",
        "openssl genpkey -algorithm rsa -pkeyopt rsa_keygen_bits:1024 -out x",
    };
    static const char *const rubbish[] = {
        "",
        "x",
        "AAAA",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "%n%s%s",
    };
    begin(&f);
    for (size_t i = 0; i < sizeof makers / sizeof *makers && shell(&f, "command -v openssl"); i++) {
        cr_assert(shell(&f, makers[i]) && shell(&f, "openssl pkey -in x -pubout -out y"));
        MUST(fs_read(&f.arena, &text, in(&f, "x"), KEY_FILE_LIMIT, &f.err));
        cr_expect_eq(key_read_secret(&key, &text, NULL, "x", &f.err), CONFIG, "%s", makers[i]);
        MUST(fs_read(&f.arena, &text, in(&f, "y"), KEY_FILE_LIMIT, &f.err));
        cr_expect_eq(key_read_public(&key, text.at, text.len, "y", &f.err), CONFIG);
    }
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        text = (struct bytes){ .at = rubbish[i], .len = strlen(rubbish[i]) };
        cr_expect_eq(key_read_public(&key, text.at, text.len, "x", &f.err), CONFIG, "%zu", i);
        cr_expect_eq(key_read_secret(&key, &text, "", "x", &f.err), CONFIG, "%zu", i);
    }
    /* the curve spelled out, or the point compressed: the same key, and the same id */
    static const char *const spellings[] = { "-param_enc explicit", "-conv_form compressed" };
    for (size_t i = 0; i < 2 && shell(&f, "command -v openssl"); i++) {
        struct key whole;
        cr_assert(shell(&f, "openssl ecparam -name prime256v1 -genkey -noout -out x"));
        cr_assert(shell(&f, arena_format(&f.arena, "openssl ec -in x -out y %s", spellings[i])));
        MUST(fs_read(&f.arena, &text, in(&f, "x"), KEY_FILE_LIMIT, &f.err));
        MUST(key_read_secret(&whole, &text, NULL, "x", &f.err));
        MUST(fs_read(&f.arena, &text, in(&f, "y"), KEY_FILE_LIMIT, &f.err));
        MUST(key_read_secret(&key, &text, NULL, "y", &f.err));
        cr_expect(digest_equal(&whole.id, &key.id), "%s", spellings[i]);
        key_release(&whole);
        key_release(&key);
    }
    end(&f);
}

Test(dsse, an_envelope_is_read_strictly)
{
    struct fixture f;
    struct key key;
    struct dsse dsse;
    struct bytes payload = { .at = "{\"a\":1}", .len = 7 };
    begin(&f);
    MUST(key_make(&key, &f.err));
    struct bytes bytes = dsse_sign(&f.arena, DSSE_STATEMENT, &payload, &key);
    MUST(dsse_read(&f.arena, &dsse, &bytes, DSSE_STATEMENT, "e", &f.err));
    cr_expect(dsse.count == 1 && digest_equal(&dsse.signatures[0].key, &key.id));
    cr_expect_str_eq(dsse.payload.at, payload.at);
    struct bytes pae = dsse_pae(&f.arena, DSSE_STATEMENT, &dsse.payload);
    cr_expect(key_verifies(&key, &pae, dsse.signatures[0].signature));
    pae = dsse_pae(&f.arena, DSSE_ENTRY, &dsse.payload);
    cr_expect_not(key_verifies(&key, &pae, dsse.signatures[0].signature),
                  "one type is not another");
    cr_expect_eq(dsse_read(&f.arena, &dsse, &bytes, DSSE_ENTRY, "e", &f.err), DAMAGED);

#define ID  "sha256:0000000000000000000000000000000000000000000000000000000000000000"
#define ROW "{\"keyid\":\"" ID "\",\"sig\":\"AAAA\"}"
#define OF(signatures)                                                                             \
    "{\"payload\":\"AAAA\",\"payloadType\":\"" DSSE_STATEMENT "\",\"signatures\":[" signatures "]" \
    "}"
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        OF(""),
        OF(ROW "," ROW),
        OF("1"),
        OF("{\"keyid\":\"x\",\"sig\":\"AAAA\"}"),
        OF("{\"keyid\":\"" ID "\",\"sig\":\"A\"}"),
        OF("{\"keyid\":\"" ID "\"}"),
        OF("{\"keyid\":\"" ID "\",\"sig\":\"AAAA\",\"x\":1}"),
        "{\"payload\":\"A\",\"payloadType\":\"" DSSE_STATEMENT "\",\"signatures\":[" ROW "]}",
        "{\"payload\":1,\"payloadType\":\"" DSSE_STATEMENT "\",\"signatures\":[" ROW "]}",
        "{\"payload\":\"AAAA\",\"payloadType\":\"text\",\"signatures\":[" ROW "]}",
    };
    bytes = (struct bytes){ .at = OF(ROW), .len = strlen(OF(ROW)) };
    MUST(dsse_read(&f.arena, &dsse, &bytes, DSSE_STATEMENT, "e", &f.err));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        bytes = (struct bytes){ .at = wrong[i], .len = strlen(wrong[i]) };
        cr_expect_eq(dsse_read(&f.arena, &dsse, &bytes, DSSE_STATEMENT, "e", &f.err), DAMAGED,
                     "row %zu", i);
    }
    key_release(&key);
    end(&f);
}
