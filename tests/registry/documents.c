/* Documents about a version: the same facts give the same bytes, none goes missing unnoticed, and
 * signatures are over what they say. documents.sh holds them to their standards. */
#include "registry/card.h"
#include "registry/dsse.h"
#include "tests/registry/shared_evidence.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

static const struct version *version_of(struct support *s, int64_t number)
{
    cr_assert_eq(registry_refresh(&s->registry, &s->err), OK);
    return model_version(state_model(&s->registry.state, "fashion"), number);
}

/* "provenance ml-bom card": the kinds of a version's documents in their order. */
static const char *kinds_of(struct support *s, int64_t number)
{
    struct document_row *rows;
    size_t count;
    struct str text = { 0 };
    cr_assert_eq(documents_read(&s->arena, &rows, &count, &s->registry,
                                &version_of(s, number)->evidence, &s->err),
                 OK);
    for (size_t i = 0; i < count; i++)
        str_addf(&text, "%s%s%s", i ? " " : "", document_name(rows[i].type),
                 rows[i].is_signed ? "+" : "");
    const char *copy = arena_copy(&s->arena, str_text(&text));
    str_release(&text);
    return copy;
}

static bool same(const struct bytes *a, const struct bytes *b)
{
    return a && b && a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

Test(documents, are_made_with_version_and_report_and_later_ones_take_over_what_was)
{
    struct support s;
    struct added added;
    MUST(support_open(&s));
    fs_calls.fsync = support_no_fsync;
    MUST(support_add(&s.registry, &added, s.dir, "fashion", 1, &s.err));
    cr_expect_str_eq(kinds_of(&s, 1), "ml-bom card", "nothing tells of a run");
    MUST(evidence_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    cr_expect_str_eq(kinds_of(&s, 2), "provenance ml-bom card");
    struct digest before = version_of(&s, 2)->evidence;
    const struct bytes *bom = evidence_file(&s, "fashion", 2, "mlbom.cdx.json");
    cr_assert(bom && !strstr(bom->at, "accuracy"));
    MUST(evidence_report(&s.registry, s.dir, "fashion", 2, "first", "pass", 0.875, &s.err));
    MUST(evidence_report(&s.registry, s.dir, "fashion", 2, "second", "fail", 0.1 + 0.2, &s.err));
    cr_expect_str_eq(kinds_of(&s, 2),
                     "provenance ml-bom card report report test-result test-result");
    cr_expect_not(digest_equal(&before, &version_of(&s, 2)->evidence));

    /* the newest of each suite counts; numbers are the report's own doubles */
    MUST(evidence_report(&s.registry, s.dir, "fashion", 2, "first", "pass", 0.9375, &s.err));
    const struct bytes *card = evidence_file(&s, "fashion", 2, "README.md");
    cr_assert(card && card->len);
    cr_expect(strstr(card->at, "value: 0.9375\n") && !strstr(card->at, "0.875"));
    cr_expect(strstr(card->at, "value: 0.30000000000000004\n"));
    cr_expect(!strstr(card->at, "0.5 |"), "a baseline's value is not the model's");
    cr_expect(strstr(card->at, "Not stated: base_model, contact, intended_use"));
    bom = evidence_file(&s, "fashion", 2, "mlbom.cdx.json");
    cr_expect(bom && strstr(bom->at, "\"0.9375\"") && strstr(bom->at, "\"0.30000000000000004\""));

    /* what the card is made from came along */
    json_t *fields;
    MUST(documents_card(&fields, &s.registry, &version_of(&s, 2)->evidence, &s.err));
    cr_expect(card_has(fields, "license") && !card_has(fields, "contact"));
    cr_expect(card_knows("contact") && !card_knows("colour"));
    json_decref(fields);
    support_close(&s);
}

Test(documents, the_same_facts_give_the_same_bytes)
{
    static const char *const files[] = { "provenance.intoto.json", "mlbom.cdx.json", "README.md",
                                         "test-result.intoto.json" };
    struct support one, two;
    struct added added;
    struct support *both[] = { &one, &two };
    for (int i = 0; i < 2; i++) {
        struct support *s = both[i];
        cr_assert_eq(support_open(s), OK);
        fs_calls.fsync = support_no_fsync;
        if (i) /* another number, another entry: neither is in the documents */
            cr_assert_eq(support_add(&s->registry, &added, s->dir, "fashion", 9, &s->err), OK);
        cr_assert_eq(evidence_add(&s->registry, &added, s->dir, "fashion", 2, &s->err), OK);
        cr_assert_eq(
            evidence_report(&s->registry, s->dir, "fashion", 1 + i, "first", "pass", 0.75, &s->err),
            OK);
    }
    for (size_t f = 0; f < sizeof files / sizeof *files; f++)
        cr_expect(same(evidence_file(&one, "fashion", 1, files[f]),
                       evidence_file(&two, "fashion", 2, files[f])),
                  "%s", files[f]);
    cr_expect(digest_equal(&version_of(&one, 1)->evidence, &version_of(&two, 2)->evidence));
    support_close(&one);
    support_close(&two);
}

/* Statements in an envelope, and the model's signature, over exactly what a verifier recomputes. */
Test(documents, are_signed_where_there_is_a_key)
{
    static const char *const statements[] = { "provenance.intoto.json", "test-result.intoto.json" };
    struct support s;
    struct added added;
    struct key key;
    struct dsse dsse;
    MUST(support_open(&s));
    fs_calls.fsync = support_no_fsync;
    MUST(key_make(&key, &s.err));
    s.registry.key = &key;
    MUST(evidence_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    MUST(evidence_report(&s.registry, s.dir, "fashion", 1, "first", "pass", 0.75, &s.err));
    cr_expect_str_eq(kinds_of(&s, 1), "provenance+ ml-bom card signature+ report test-result+");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        const struct bytes *bytes = evidence_file(&s, "fashion", 1, statements[i]);
        cr_assert(bytes);
        MUST(dsse_read(&s.arena, &dsse, bytes, INTOTO_TYPE, statements[i], &s.err));
        struct bytes pae = dsse_pae(&s.arena, INTOTO_TYPE, &dsse.payload);
        cr_expect(key_verifies(&key, &pae, dsse.signatures[0].signature), "%s", statements[i]);
        cr_expect(digest_equal(&dsse.signatures[0].key, &key.id));
    }
    /* another version of the same weights is not made: signatures differ each time, versions not */
    struct digest before = version_of(&s, 1)->evidence;
    MUST(evidence_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    cr_expect(added.existed && digest_equal(&before, &version_of(&s, 1)->evidence));
    key_release(&key);
    support_close(&s);
}

static int problems(struct support *s)
{
    json_t *result = NULL;
    registry_verify(s->path, &result, NULL, &s->err);
    int count = (int)json_array_size(json_object_get(result, "problems"));
    json_decref(result);
    return count;
}

static enum code collect(void *context, const struct digest *digest, const char *what,
                         struct err *err)
{
    struct support *s = context;
    const char *path = store_path(&s->arena, &s->registry.store, digest);
    const char *aside = arena_format(&s->arena, "%s/aside", s->dir);
    (void)err;
    cr_assert_eq(fs_replace(path, aside, &s->err), OK, "%s", what);
    cr_expect_gt(problems(s), 0, "%s went missing unnoticed", what);
    cr_assert_eq(fs_replace(aside, path, &s->err), OK);
    return OK;
}

Test(documents, none_goes_missing_unnoticed_and_no_bundle_is_taken_for_another)
{
    struct support s;
    struct added added;
    MUST(support_open(&s));
    fs_calls.fsync = support_no_fsync;
    MUST(evidence_add(&s.registry, &added, s.dir, "fashion", 2, &s.err));
    MUST(evidence_report(&s.registry, s.dir, "fashion", 1, "first", "pass", 0.75, &s.err));
    struct digest bundle = version_of(&s, 1)->evidence;
    cr_expect_eq(problems(&s), 0, "%s", s.err.message);
    MUST(documents_walk(&s.registry, &bundle, collect, &s, &s.err));
    cr_expect_eq(problems(&s), 0, "%s", s.err.message);

    static const char *const rubbish[] = {
        "{}",
        "{\"manifests\":[]}",
        "{\"manifests\":[{},{}]}",
        "{\"manifests\":[{},{\"digest\":\"sha256:"
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,"
        "\"annotations\":{\"pawl.document\":\"card\"}}]}",
        "{\"manifests\":[{},{\"digest\":\"sha256:"
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2,"
        "\"annotations\":{\"pawl.document\":\"cart\"}}]}",
        "[",
    };
    struct document_row *rows;
    size_t count;
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        struct digest digest;
        MUST(store_put(&s.registry.store, &digest, rubbish[i], strlen(rubbish[i]), &s.err));
        cr_expect_eq(documents_read(&s.arena, &rows, &count, &s.registry, &digest, &s.err), DAMAGED,
                     "%s", rubbish[i]);
    }
    const char *out = arena_format(&s.arena, "%s/out", s.dir);
    MUST(documents_export(&s.registry, &added.digest, &bundle, out, true, &s.err));
    cr_expect_eq(documents_export(&s.registry, &added.digest, &bundle, out, true, &s.err),
                 CONFLICT);
    support_close(&s);
}

Test(documents, a_card_file_is_held_to_its_table)
{
    static const struct {
        const char *text;
        enum code code;
    } rows[] = {
        { "pawl: card/1\nlicense: mit\ntags: [a, b]\n", OK },
        { "pawl: card/1\nlicence: mit\n", CONFIG },
        { "pawl: card/1\ntags: {a: b}\n", CONFIG },
        { "pawl: suite/1\n", CONFIG },
    };
    struct support s;
    MUST(support_open(&s));
    const char *path = arena_format(&s.arena, "%s/card.yaml", s.dir);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct problems found = { 0 };
        json_t *card = NULL;
        MUST(fs_publish(path, rows[i].text, strlen(rows[i].text), &s.err));
        cr_expect_eq(card_load(&card, &s.arena, path, &found, &s.err), rows[i].code, "%s",
                     rows[i].text);
        cr_expect_eq(card_has(card, "license"), rows[i].code == OK);
        json_decref(card);
    }
    support_close(&s);
}
