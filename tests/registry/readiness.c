/* What a channel asks of people's words and of the ML Test Score: refused with what is missing,
 * satisfied by what the hint names, asked again by whoever replays. */
#include "registry/card.h"
#include "registry/commit.h"
#include "registry/documents.h"
#include "registry/score.h"
#include "tests/registry/shared_trust.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", t.s.err.message)
#define SAYS(text)                                                                                 \
    cr_expect(strstr(t.s.err.message, (text)), "'%s' in '%s'", (text), t.s.err.message)
#define HINTS(text) cr_expect(strstr(t.s.err.hint, (text)), "'%s' in '%s'", (text), t.s.err.hint)

static const char channels[] =
    "  - {name: staging, unsealed: allow, card: [license, limitations]}\n"
    "  - {name: production, unsealed: allow, score: 0.5}";

static void begin(struct trusted *t)
{
    struct added added;
    cr_assert_eq(trusted_open(t, 1, channels), OK, "%s", t->s.err.message);
    cr_assert_eq(support_add(&t->s.registry, &added, t->s.dir, "fashion", 1, &t->s.err), OK);
    cr_assert_eq(
        support_report(&t->s.registry, NULL, t->s.dir, "fashion", 1, "suite", "pass", &t->s.err),
        OK, "%s", t->s.err.message);
}

/* Adds the version again with a card; the number stays. */
static enum code write_card(struct trusted *t, json_t *card)
{
    float input[SUPPORT_ROWS * SUPPORT_INPUTS];
    struct added added;
    support_inputs(input);
    struct add_opts opts = { .model = "fashion",
                             .checkpoint = arena_format(&t->arena, "%s/checkpoints/seed-1",
                                                        t->s.dir),
                             .sample = { .input = input, .rows = SUPPORT_ROWS },
                             .card = card,
                             .actor = "writer",
                             .reason = "to say more" };
    enum code code = registry_add(&t->s.registry, &added, &opts, &t->s.err);
    cr_expect(added.existed && added.number == 1);
    json_decref(card);
    return code;
}

static enum code promote(struct trusted *t, const char *channel)
{
    struct moved moved;
    return support_promote(&t->s.registry, &moved, "fashion", 1, channel, &t->s.err);
}

static void expect_sound(struct trusted *t, enum code want, const char *says)
{
    json_t *result;
    cr_expect_eq(registry_verify(t->s.path, &result, NULL, &t->s.err), want, "%s",
                 t->s.err.message);
    if (says) cr_expect(strstr(t->s.err.message, says), "%s", t->s.err.message);
    if (!want) cr_expect_eq(json_array_size(json_object_get(result, "notes")), 0);
    json_decref(result);
}

static const struct version *version_one(struct trusted *t)
{
    return model_version(state_model(&t->s.registry.state, "fashion"), 1);
}

Test(readiness, fields_of_the_card_are_asked_for_and_can_be_supplied_later)
{
    struct trusted t;
    struct registry fresh;
    json_t *card;
    begin(&t);
    cr_expect_eq(promote(&t, "staging"), REFUSED);
    SAYS("rule card: its card does not state license, limitations");
    HINTS("pawl registry add SOURCE --as fashion --card FILE");
    MUST(write_card(&t, json_pack("{ss ss}", "license", "mit", "limitations", " \n")));
    cr_expect_eq(promote(&t, "staging"), REFUSED);
    SAYS("does not state limitations");
    int64_t before = t.s.registry.state.head.seq;
    MUST(write_card(&t, json_pack("{ss ss}", "license", "mit", "limitations", "dark images")));
    cr_expect_eq(t.s.registry.state.head.seq, before + 1);
    MUST(write_card(&t, json_pack("{ss ss}", "license", "mit", "limitations", "dark images")));
    cr_expect_eq(t.s.registry.state.head.seq, before + 1, "the same words again change nothing");
    MUST(promote(&t, "staging"));
    /* the report's documents are still there beside the new card */
    MUST(documents_card(&card, &t.s.registry, &version_one(&t)->evidence, &t.s.err));
    cr_expect_str_eq(json_string_value(json_object_get(card, "limitations")), "dark images");
    json_decref(card);
    MUST(documents_json(&card, &t.s.registry, &version_one(&t)->evidence, &t.s.err));
    cr_expect_geq(json_array_size(json_object_get(card, "documents")), 5);
    json_decref(card);
    /* who reads it anew sees the same */
    MUST(registry_open(&fresh, t.s.path, &t.s.err));
    MUST(registry_refresh(&fresh, &t.s.err));
    cr_expect_eq(state_model(&fresh.state, "fashion")->versions[0].card, version_one(&t)->card);
    registry_close(&fresh);
    expect_sound(&t, OK, NULL);
    trusted_close(&t);
}

static json_t *by_hand(void)
{
    static const char *const tests[] = { "D2", "M2", "I2", "O1" }; /* one of each section */
    json_t *list = json_array();
    for (size_t i = 0; i < 4; i++)
        json_array_append_new(list, json_pack("{ss ss}", "test", tests[i], "evidence", "a.md"));
    return json_pack("{so}", "tests", list);
}

/* A promotion as a releaser could write it with another program; score below 0: none is stated. */
static const char *forge(struct trusted *t, double score)
{
    struct bytes bytes;
    const struct version *version = version_one(t);
    const struct head *head = &t->s.registry.state.head;
    struct draft draft = { .kind = ENTRY_PROMOTE, .key = &t->keys[ADA] };
    draft.body = json_pack("{ss sI ss sb sn}", "model", "fashion", "number", (json_int_t)1,
                           "channel", "production", "unchanged", 0, "from");
    json_set_digest(draft.body, "digest", &version->digest);
    json_set_digest(draft.body, "model_digest", &version->model_digest);
    json_set_digest(draft.body, "report", &version->digest);
    if (score >= 0) json_object_set_new(draft.body, "score", json_real(score));
    cr_assert_eq(entry_render(&t->arena, &bytes, &draft, head->seq + 1, &head->digest, &t->s.err),
                 OK);
    draft_release(&draft);
    const char *path = journal_path(&t->arena, &t->s.registry.journal, head->seq + 1);
    cr_assert_eq(fs_publish_view(path, bytes.at, bytes.len, &t->s.err), OK);
    return path;
}

Test(readiness, a_smallest_score_is_asked_for_by_writers_readers_and_verify)
{
    struct trusted t;
    static const struct {
        double score;
        enum code refresh, verify;
        const char *says;
    } rows[] = {
        { -1, DAMAGED, DAMAGED, "nothing states its ML Test Score" },
        { 0.25, DAMAGED, DAMAGED, "states a score of 0.25, but it was 0" },
        { 0.5, OK, DAMAGED, "states a score of 0.5, but it was 0" },
    };
    begin(&t);
    cr_expect_eq(promote(&t, "production"), REFUSED);
    SAYS("rule score: its ML Test Score is 0, at least 0.5 is needed");
    HINTS("pawl score fashion@1");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct registry fresh;
        const char *path = forge(&t, rows[i].score);
        MUST(registry_open(&fresh, t.s.path, &t.s.err));
        cr_expect_eq(registry_refresh(&fresh, &t.s.err), rows[i].refresh, "row %zu", i);
        registry_close(&fresh);
        expect_sound(&t, rows[i].verify, rows[i].says);
        unlink(path);
    }
    MUST(write_card(&t, by_hand()));
    MUST(promote(&t, "production"));
    expect_sound(&t, OK, NULL);
    /* what is known later does not count for what was decided before */
    MUST(write_card(&t, json_pack("{ss}", "license", "mit")));
    expect_sound(&t, OK, NULL);
    trusted_close(&t);
}

Test(readiness, the_words_of_a_set_are_the_fields_of_a_card)
{
    struct arena arena = { 0 };
    int count = 0;
    for (const struct field *field = card_kind.fields; field->key; field++, count++) {
        cr_assert(card_words[count], "%s", field->key);
        cr_expect_str_eq(card_words[count], field->key);
    }
    cr_expect_null(card_words[count]);
    for (unsigned fields = 0; fields < 1U << count; fields += 37) {
        json_t *names = card_names(fields);
        cr_expect_eq(card_fields_of(names), fields);
        json_decref(names);
    }
    cr_expect_str_eq(card_fields_text(&arena, 5), "summary, language");
    arena_release(&arena);
}
