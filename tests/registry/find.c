/* The snapshot, and what is asked of it: expressions against a plain count, errors with their
 * positions, rows against the journal, damage, lineage and differences. */
#include "registry/find.h"

#include "base/str.h"
#include "registry/checked.h"
#include "registry/lineage.h"
#include "registry/snapshot.h"
#include "registry/views.h"
#include "tests/registry/shared_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

/* A report whose candidate has this accuracy. */
static void report(struct support *support, const char *model, int64_t number, double accuracy,
                   const char *verdict)
{
    struct arena *arena = &support->arena;
    struct err *err = &support->err;
    const char *dir = arena_format(arena, "%s/reports/%s-%lld-%g", support->dir, model,
                                   (long long)number, accuracy);
    json_t *json = json_pack("{ss s{s[{ss ss ss ss sf} {ss ss ss ss sf} {ss ss ss ss sf}]}}",
                             "pawl", "report/1", "quality", "values", "metric", "accuracy", "slice",
                             "all", "subject", "candidate", "condition", "clean", "value", accuracy,
                             "metric", "accuracy", "slice", "dark", "subject", "candidate",
                             "condition", "clean", "value", 0.1, "metric", "accuracy", "slice",
                             "all", "subject", "baseline_1", "condition", "clean", "value", 0.99);
    struct report_opts opts = { .model = model,
                                .number = number,
                                .dir = dir,
                                .suite = digest_of("suite", 5),
                                .report = json_digest(json),
                                .verdict = verdict,
                                .actor = "evaluator" };
    cr_assert_eq(registry_refresh(&support->registry, err), OK);
    opts.model_digest =
        state_model(&support->registry.state, model)->versions[number - 1].model_digest;
    cr_assert_eq(fs_mkdirs(dir, err), OK);
    cr_assert_eq(json_publish(json, path_join(arena, dir, "report.json"), err), OK);
    cr_assert_eq(fs_publish(path_join(arena, dir, "scores.h5"), dir, strlen(dir), err), OK);
    cr_assert_eq(registry_record_report(&support->registry, NULL, &opts, err), OK, "%s",
                 err->message);
    json_decref(json);
}

/* Seeds 1 to 4: fashion@1..3 with accuracies 0.90, 0.93, 0.95 (the last one fails), other@1
 * without a report; production holds fashion@2, held 1 before; staging holds 2. */
static void begin(struct support *support)
{
    static const double accuracies[] = { 0.90, 0.93, 0.95 };
    struct added added;
    struct moved moved;
    struct err *err = &support->err;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", err->message);
    struct registry *registry = &support->registry;
    for (int i = 0; i < 4; i++)
        cr_assert_eq(
            support_add(registry, &added, support->dir, i < 3 ? "fashion" : "other", i + 1, err),
            OK);
    for (int i = 0; i < 3; i++)
        report(support, "fashion", i + 1, accuracies[i], i < 2 ? "pass" : "fail");
    cr_assert_eq(support_promote(registry, &moved, "fashion", 1, "production", err), OK);
    cr_assert_eq(support_promote(registry, &moved, "fashion", 2, "production", err), OK);
    cr_assert_eq(support_promote(registry, &moved, "fashion", 2, "staging", err), OK);
}

/* The matches as "fashion@2 other@1". */
static const char *find(struct support *support, const char *expression)
{
    json_t *found, *version;
    size_t i;
    const char *text = "";
    if (registry_find(&support->registry, &found, expression, &support->err))
        return support->err.message;
    json_array_foreach(json_object_get(found, "versions"), i, version)
        text = arena_format(&support->arena, "%s%s%s@%lld", text, i ? " " : "",
                            json_string_value(json_object_get(version, "model")),
                            (long long)json_integer_value(json_object_get(version, "number")));
    json_decref(found);
    return text;
}

static const struct {
    const char *expression, *matches;
} searches[] = {
    { "accuracy > 0.92 and channel = production", "fashion@2" },
    { "accuracy > 0.92", "fashion@2 fashion@3" },
    { "accuracy >= 0.93 and accuracy <= 0.93", "fashion@2" },
    { "not accuracy > 0.92", "fashion@1 other@1" },
    { "accuracy < 1", "fashion@1 fashion@2 fashion@3" },
    { "accuracy = nan", "" },
    { "seed = 4 or seed = 1", "fashion@1 other@1" },
    { "seed != 4", "fashion@1 fashion@2 fashion@3" },
    { "model = other or model = fashion and number = 3", "fashion@3 other@1" },
    { "(model = other or model = fashion) and number = 1", "fashion@1 other@1" },
    { "channel = staging", "fashion@2" },
    { "channel != staging", "fashion@1 fashion@3 other@1" },
    { "channel ~ prod", "fashion@2" },
    { "verdict = pass", "fashion@1 fashion@2" },
    { "verdict = fail AND NOT model ~ oth", "fashion@3" },
    { "actor = 'adder' and time > 2000-01-01 and seq > 4", "other@1" },
    { "digest ~ sha256", "fashion@1 fashion@2 fashion@3 other@1" },
    { "origin = imported", "" },
    { "not not not model = other", "fashion@1 fashion@2 fashion@3" },
    { "", "cannot search '': position 1: a field is expected, not the end" },
    { "accuracy 0.9", "cannot search 'accuracy 0.9': position 10: an operator is expected behind "
                      "'accuracy', not '0.9'" },
    { "accuracy >> 1", "cannot search 'accuracy >> 1': position 11: a value is expected, not '>'" },
    { "acuracy > 1", "cannot search 'acuracy > 1': position 1: no version has a field 'acuracy'" },
    { "(seed = 1", "cannot search '(seed = 1': position 10: ')' is expected for the '(' at "
                   "position 1, not the end" },
    { "seed = 1 model = x", "cannot search 'seed = 1 model = x': position 10: 'and' or 'or' is "
                            "expected, not 'model'" },
    { "number = two", "cannot search 'number = two': position 10: 'number' is a number; 'two' is "
                      "none" },
    { "model = 'x", "cannot search 'model = 'x': position 9: the text has no closing '" },
    { "model ! x", "cannot search 'model ! x': position 7: '!' is no operator" },
};

Test(find, expressions_match_what_they_say_and_mistakes_have_a_position)
{
    struct support s;
    begin(&s);
    for (size_t i = 0; i < sizeof searches / sizeof *searches; i++) {
        const char *got = find(&s, searches[i].expression);
        cr_expect_str_eq(got, searches[i].matches, "%s: %s", searches[i].expression, got);
    }
    find(&s, "acuracy > 1");
    cr_expect_str_eq(s.err.hint, "Did you mean 'accuracy'?");
    struct str deep = { 0 };
    for (int i = 0; i < 500; i++) str_add(&deep, "(");
    cr_expect(strstr(find(&s, deep.at), "parentheses"));
    for (int i = 0; i < 100; i++) str_addf(&deep, i ? " or seed = %d" : "seed = %d", i);
    cr_expect(strstr(find(&s, deep.at + 500), "more than 64 parts"), "%s", s.err.message);
    str_release(&deep);
    support_close(&s);
}

/* The snapshot's rows, once gathered from entry 1 and once from a file that is late. */
Test(find, rows_are_those_of_the_journal_from_any_snapshot)
{
    struct support s;
    struct snapshot whole, late;
    struct moved moved;
    begin(&s);
    const char *path = path_join(&s.arena, s.path, "cache/snapshot");
    MUST(registry_refresh(&s.registry, &s.err));
    MUST(snapshot_write(&s.registry, 0, &s.err));
    MUST(snapshot_map(&s.registry, &late, &s.err));
    cr_expect_eq(late.head.seq, s.registry.state.head.seq);
    snapshot_close(&late);
    report(&s, "fashion", 1, 0.97, "pass");
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "staging", &s.err));
    MUST(snapshot_open(&s.registry, &late, &s.err));
    MUST(fs_remove(path, &s.err));
    MUST(snapshot_open(&s.registry, &whole, &s.err));
    cr_assert_eq(late.size, whole.size);
    cr_expect_eq(late.version_count, 4);
    cr_expect_eq(late.channel_count, 2);
    for (uint32_t i = 0; i < late.version_count; i++) {
        const struct snap_version *a = &late.versions[i], *b = &whole.versions[i];
        const struct version *v = &s.registry.state.models[a->model].versions[a->number - 1];
        cr_expect(digest_equal(&a->digest, &v->digest) && digest_equal(&b->digest, &v->digest));
        cr_expect_eq((int64_t)a->seq, v->seq);
        cr_expect_str_eq(snapshot_text(&late, a->verdict), snapshot_text(&whole, b->verdict));
        cr_expect_eq(a->fact_count, b->fact_count);
    }
    cr_expect_str_eq(find(&s, "accuracy = 0.97 and channel = staging"), "fashion@1");
    snapshot_close(&late);
    snapshot_close(&whole);
    support_close(&s);
}

Test(find, the_channels_view_is_the_canonical_document_byte_for_byte)
{
    struct support s;
    struct moved moved;
    struct bytes got;
    begin(&s);
    MUST(support_promote(&s.registry, &moved, "fashion", 2, "archive", &s.err));
    json_t *want = channels_view_of(&s.registry.state);
    struct bytes bytes = checked_render(&s.arena, want);
    json_decref(want);
    MUST(fs_read(&s.arena, &got, path_join(&s.arena, s.path, "cache/channels.json"), 1 << 20,
                 &s.err));
    cr_expect_str_eq(got.at, bytes.at);
    static const struct {
        const char *model, *channel;
        int number;
    } rows[] = { { "fashion", "archive", 2 },
                 { "fashion", "production", 2 },
                 { "fashion", "digest", 0 },
                 { "production", "entry", 0 },
                 { "other", "production", 0 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head head;
        json_t *row;
        MUST(channels_view_look(&s.registry, &head, &row, rows[i].model, rows[i].channel));
        cr_expect_eq(json_integer_value(json_object_get(row, "number")), rows[i].number, "%zu", i);
        cr_expect_eq(head.seq, s.registry.state.head.seq);
        json_decref(row);
    }
    support_close(&s);
}

/* Names and reasons with everything that JSON must escape. */
Test(find, list_as_text_is_the_document_byte_for_byte)
{
    struct support s;
    struct moved moved;
    static const char *const names[] = { NULL, "fashion", "empty-channels" };
    begin(&s);
    struct added added;
    MUST(support_add(&s.registry, &added, s.dir, "empty-channels", 9, &s.err));
    report(&s, "fashion", 1, 0.97, "pass");
    struct move_opts opts = { .model = "fashion",
                              .channel = "staging",
                              .number = 1,
                              .from = CHANNEL_ANY,
                              .actor = "a \"quoted\" \\ na\xc3\xafve",
                              .reason = "tab\tand\nline \x01 end" };
    MUST(registry_promote(&s.registry, &moved, &opts, &s.err));
    for (int i = 0; i < 3; i++) {
        json_t *list;
        struct str text = { 0 };
        MUST(registry_list(&s.registry, &list, names[i], &s.err));
        MUST(registry_list_json(&s.registry, &text, names[i], &s.err));
        cr_expect_str_eq(text.at, json_pretty(&s.arena, list, NULL));
        str_release(&text);
        json_decref(list);
    }
    struct str text = { 0 };
    cr_expect_eq(registry_list_json(&s.registry, &text, "fashon", &s.err), NOT_FOUND);
    cr_expect(strstr(s.err.hint, "'fashion'"), "%s", s.err.hint);
    struct support none; /* a registry without a version */
    cr_assert_eq(support_open(&none), OK);
    json_t *list;
    MUST(registry_list(&none.registry, &list, NULL, &s.err));
    MUST(registry_list_json(&none.registry, &text, NULL, &s.err));
    cr_expect_str_eq(text.at, json_pretty(&s.arena, list, NULL));
    json_decref(list);
    str_release(&text);
    support_close(&none);
    support_close(&s);
}

Test(find, a_damaged_snapshot_is_not_believed)
{
    struct support s;
    struct bytes bytes;
    begin(&s);
    const char *path = path_join(&s.arena, s.path, "cache/snapshot");
    MUST(snapshot_write(&s.registry, 0, &s.err));
    MUST(fs_read(&s.arena, &bytes, path, 1 << 20, &s.err));
    char *flipped = arena_copy_len(&s.arena, bytes.at, bytes.len);
    for (size_t bit = 3; bit < bytes.len * 8; bit += 131) {
        flipped[bit / 8] ^= (char)(1 << bit % 8);
        MUST(fs_publish_view(path, flipped, bytes.len, &s.err));
        cr_expect_str_eq(find(&s, "accuracy > 0.92"), "fashion@2 fashion@3", "bit %zu", bit);
        struct resolved resolved;
        MUST(registry_resolve(&s.registry, &resolved, "fashion@3", &s.err));
        cr_expect_eq(resolved.number, 3);
        flipped[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len += 61) {
        MUST(fs_publish_view(path, bytes.at, len, &s.err));
        cr_expect_str_eq(find(&s, "channel = staging"), "fashion@2", "%zu bytes", len);
    }
    MUST(fs_publish_view(path, bytes.at, bytes.len, &s.err));
    MUST(fs_remove(journal_path(&s.arena, &s.registry.journal, s.registry.state.head.seq), &s.err));
    json_t *found;
    cr_expect_eq(registry_find(&s.registry, &found, "seed = 1", &s.err), DAMAGED);
    support_close(&s);
}

Test(find, lineage_goes_both_ways)
{
    struct support s;
    json_t *lineage;
    char text[DIGEST_TEXT];
    begin(&s);
    MUST(registry_lineage(&s.registry, &lineage, "fashion@1", &s.err));
    const json_t *row = json_array_get(json_object_get(lineage, "versions"), 0);
    const json_t *stay = json_array_get(json_object_get(row, "channels"), 0);
    cr_expect_eq(json_array_size(json_object_get(row, "reports")), 1);
    cr_expect_eq(json_integer_value(json_object_get(stay, "from")) + 1,
                 json_integer_value(json_object_get(stay, "to")));
    json_decref(lineage);
    struct digest suite = digest_of("suite", 5);
    MUST(registry_lineage(&s.registry, &lineage, digest_text(&suite, text), &s.err));
    cr_expect_eq(json_array_size(json_object_get(lineage, "versions")), 3);
    json_decref(lineage);
    const struct version *other = &state_model(&s.registry.state, "other")->versions[0];
    MUST(registry_lineage(&s.registry, &lineage, digest_text(&other->model_digest, text), &s.err));
    row = json_array_get(json_object_get(lineage, "versions"), 0);
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(row, "named_as"), 0)),
                     "model_digest");
    json_decref(lineage);
    suite = digest_of("nothing", 7);
    cr_expect_eq(registry_lineage(&s.registry, &lineage, digest_text(&suite, text), &s.err),
                 NOT_FOUND);
    cr_expect_eq(registry_lineage(&s.registry, &lineage, "nonsense", &s.err), USAGE);
    support_close(&s);
}

Test(find, differences_are_named_by_part_and_path)
{
    struct support s;
    json_t *diff, *row;
    size_t i;
    begin(&s);
    MUST(registry_diff(&s.registry, &diff, "fashion@1", "fashion@production", &s.err));
    const char *all = "";
    json_array_foreach(json_object_get(diff, "changes"), i, row) all = arena_format(
        &s.arena, "%s%s/%s ", all, json_string_value(json_object_get(row, "part")),
        json_string_value(json_object_get(row, "path")));
    cr_expect_str_eq(all, "config/seed metrics/accuracy ", "%s", all);
    size_t same = 0;
    json_array_foreach(json_object_get(diff, "files"), i, row)
        same += json_is_true(json_object_get(row, "same"));
    cr_expect_eq(same, 2, "model.json and profile.json: %zu", same);
    json_decref(diff);
    MUST(registry_diff(&s.registry, &diff, "fashion@2", "fashion@2", &s.err));
    cr_expect_eq(json_array_size(json_object_get(diff, "changes")), 0);
    json_decref(diff);
    support_close(&s);
}
