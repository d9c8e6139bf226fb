/* registry_verify and deploy: damage is noticed wherever it is, and harmless things are only
 * notes. */
#include "base/str.h"
#include "registry/bundle.h"
#include "tests/registry/shared_support.h"

#include "registry/oci.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", s.err.message)

/* Two models, three versions, reports, two channels. */
static void begin(struct support *support)
{
    struct moved moved;
    struct added added;
    struct registry *registry = &support->registry;
    struct err *err = &support->err;
    fs_calls.fsync = support_no_fsync;
    cr_assert_eq(support_open(support), OK, "%s", err->message);
    const char *const models[] = { "fashion", "fashion", "other" };
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(support_add(registry, &added, support->dir, models[i], i + 1, err), OK, "%s",
                     err->message);
        cr_assert_eq(support_report(registry, NULL, support->dir, models[i], added.number, "suite",
                                    "pass", err),
                     OK);
    }
    cr_assert_eq(support_promote(registry, &moved, "fashion", 1, "production", err), OK);
    cr_assert_eq(support_promote(registry, &moved, "fashion", 2, "production", err), OK);
}

/* Runs verify; the number of problems, and of notes that contain `text`. */
static size_t problems(struct support *support, const char *text, size_t *notes)
{
    json_t *result = NULL, *note;
    size_t i, count = 0;
    enum code code = registry_verify(support->path, &result, NULL, &support->err);
    size_t found = json_array_size(json_object_get(result, "problems"));
    cr_expect(result && (code == DAMAGED) == (found > 0), "code %d with %zu problems", code, found);
    json_array_foreach(json_object_get(result, "notes"), i, note)
        count += !text || strstr(json_string_value(json_object_get(note, "message")), text);
    if (notes) *notes = count;
    json_decref(result);
    return found;
}

static void overwrite(const char *path, const void *bytes, size_t len)
{
    struct err err;
    unlink(path);
    cr_assert_eq(fs_publish_view(path, bytes, len, &err), OK, "%s", err.message);
}

Test(verify, a_sound_registry_has_neither_problems_nor_notes)
{
    struct support s;
    size_t notes;
    json_t *result;
    begin(&s);
    cr_expect_eq(problems(&s, NULL, &notes), 0, "%s", s.err.message);
    cr_expect_eq(notes, 0);
    MUST(registry_verify(s.path, &result, NULL, &s.err));
    cr_expect_eq(json_integer_value(json_object_get(result, "entries")), 9);
    /* per version: manifest, config, weights, sample; shared: model.json, profile; reports: 2
     * each */
    /* documents: bill and card when it is added, card, report and result again with the report,
     * each with a manifest, and a bundle each time; the empty config is shared */
    cr_expect_eq(json_integer_value(json_object_get(result, "content")),
                 3 * 4 + 2 + 3 * 2 + 3 * (5 + 6) + 1, "%lld",
                 (long long)json_integer_value(json_object_get(result, "content")));
    json_decref(result);
    struct verify_opts expect = { .seq = 9, .digest = s.registry.state.head.digest };
    MUST(registry_verify(s.path, &result, &expect, &s.err));
    json_decref(result);
    expect.seq = 8;
    cr_expect_eq(registry_verify(s.path, &result, &expect, &s.err), DAMAGED);
    json_decref(result);
    expect.seq = 10;
    cr_expect_eq(registry_verify(s.path, &result, &expect, &s.err), DAMAGED);
    json_decref(result);
    support_close(&s);
}

/* Each file, and whether every flipped bit must be noticed by verify (else a sample of them). */
Test(verify, flipped_bits_are_noticed_in_everything_that_the_journal_reaches)
{
    struct support s;
    char **names;
    size_t count;
    begin(&s);
    const char *files[128] = { path_join(&s.arena, s.path, "registry.json"),
                               journal_path(&s.arena, &s.registry.journal, 9),
                               path_join(&s.arena, s.path, "models/fashion/oci-layout") };
    size_t used = 3;
    MUST(fs_list(&s.arena, &names, &count, s.registry.store.dir, &s.err));
    for (size_t i = 0; i < count; i++)
        files[used++] = path_join(&s.arena, s.registry.store.dir, names[i]);
    for (int64_t seq = 1; seq < 9; seq++)
        files[used++] = journal_path(&s.arena, &s.registry.journal, seq);
    for (size_t f = 0; f < used; f++) {
        struct bytes bytes;
        MUST(fs_read(&s.arena, &bytes, files[f], 1 << 20, &s.err));
        char *flipped = arena_copy_len(&s.arena, bytes.at, bytes.len);
        size_t step = f == 0 ? 1 : bytes.len * 8 / 7 + 1;
        for (size_t bit = f % 5; bit < bytes.len * 8; bit += step) {
            flipped[bit / 8] ^= (char)(1 << bit % 8);
            overwrite(files[f], flipped, bytes.len);
            cr_expect_gt(problems(&s, NULL, NULL), 0, "bit %zu of %s", bit, files[f]);
            flipped[bit / 8] ^= (char)(1 << bit % 8);
        }
        overwrite(files[f], bytes.at, bytes.len / 2);
        cr_expect_gt(problems(&s, NULL, NULL), 0, "half of %s", files[f]);
        overwrite(files[f], bytes.at, bytes.len);
    }
    size_t copies;
    cr_expect_eq(problems(&s, "is a copy", &copies), 0);
    cr_expect_gt(copies, 8, "content written anew is no link any more: %zu", copies);
    support_close(&s);
}

Test(verify, lost_entries_are_noticed_by_verify_and_by_every_writer)
{
    struct support s;
    struct registry writer;
    struct moved moved;
    begin(&s);
    for (int64_t keep = 8; keep >= 3; keep -= 5) {
        for (int64_t seq = 9; seq > keep; seq--)
            fs_remove(journal_path(&s.arena, &s.registry.journal, seq), &s.err);
        cr_expect_gt(problems(&s, NULL, NULL), 0, "%lld kept", (long long)keep);
        MUST(registry_open(&writer, s.path, &s.err));
        cr_expect_eq(support_promote(&writer, &moved, "fashion", 1, "production", &s.err), DAMAGED);
        cr_expect(strstr(s.err.message, "lost entries"), "%s", s.err.message);
        registry_close(&writer);
    }
    /* without its view, the index of a model still knows */
    fs_remove(path_join(&s.arena, s.path, "cache/channels.json"), &s.err);
    cr_expect_gt(problems(&s, NULL, NULL), 0);
    cr_expect(strstr(s.err.message, "fashion@2"), "%s", s.err.message);
    support_close(&s);
}

Test(verify, copies_late_views_and_leftovers_are_notes)
{
    struct support s;
    size_t notes;
    begin(&s);
    const char *copy = arena_format(&s.arena, "%s/copy", s.dir);
    cr_assert_eq(system(arena_format(&s.arena, "cp -r --no-preserve=links %s %s", s.path, copy)),
                 0);
    char original[sizeof s.path];
    memcpy(original, s.path, sizeof s.path);
    snprintf(s.path, sizeof s.path, "%s", copy);
    cr_expect_eq(problems(&s, "is a copy", &notes), 0, "%s", s.err.message);
    cr_expect_eq(notes, 3 * (6 + 11), "files and documents of each version: %zu", notes);
    memcpy(s.path, original, sizeof s.path);

    struct {
        const char *path, *text, *note;
    } rows[] = {
        { "staging/add.1/half", "x", "unfinished work" },
        { "store/sha256/.left.tmp", "x", "that no entry refers to" },
        { "cache/channels.json", "{", "no usable channels view" },
        { "models/fashion/index.json", "{\"manifests\":[]}", "is not what the journal says" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *path = path_join(&s.arena, s.path, rows[i].path);
        MUST(fs_mkdirs(path_dir(&s.arena, path), &s.err));
        overwrite(path, rows[i].text, strlen(rows[i].text));
        cr_expect_eq(problems(&s, rows[i].note, &notes), 0, "%s: %s", rows[i].path, s.err.message);
        cr_expect_eq(notes, 1, "%s: %zu", rows[i].note, notes);
    }
    /* the next writer repairs the views */
    struct moved moved;
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "production", &s.err));
    cr_expect_eq(problems(&s, "no usable channels view", &notes), 0);
    cr_expect_eq(notes, 0);
    cr_expect_eq(problems(&s, "is not what the journal says", &notes), 0);
    cr_expect_eq(notes, 0);
    support_close(&s);
}

Test(verify, missing_things_are_problems)
{
    static const char *const paths[] = { "models/fashion/oci-layout", "models/other" };
    struct support s;
    begin(&s);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        const char *path = path_join(&s.arena, s.path, paths[i]);
        const char *aside = path_join(&s.arena, s.dir, "aside");
        MUST(fs_replace(path, aside, &s.err));
        cr_expect_gt(problems(&s, NULL, NULL), 0, "%s", paths[i]);
        MUST(fs_replace(aside, path, &s.err));
    }
    cr_expect_eq(problems(&s, NULL, NULL), 0, "%s", s.err.message);
    support_close(&s);
}

/* Entries that are sound links of the chain but contradict what came before: a body in which ~
 * stands for the digest of the first version's manifest, ^ for that of its model. */
static const struct nonsense {
    enum entry_kind kind;
    const char *body;
} nonsense[] = {
#define MOVE(number, from, unchanged)                                                              \
    "{\"model\":\"fashion\",\"number\":" number ",\"digest\":\"~\",\"model_digest\":\"^\","        \
    "\"channel\":\"production\",\"unchanged\":" unchanged ",\"from\":" from ",\"report\":\"^\"}"
    { ENTRY_PROMOTE, MOVE("1", "1", "false") },  /* the channel held 2 */
    { ENTRY_PROMOTE, MOVE("1", "2", "true") },   /* it changes the channel */
    { ENTRY_PROMOTE, MOVE("2", "2", "true") },   /* another version's digest */
    { ENTRY_ROLLBACK, MOVE("7", "2", "false") }, /* no such version */
    { ENTRY_REGISTER, "{\"model\":\"fashion\",\"number\":5,\"digest\":\"~\",\"model_digest\":\"^\","
                      "\"variant\":\"raw\",\"facts\":{}}" }, /* 3 is the next */
    { ENTRY_REGISTER, "{\"model\":\"../up\",\"number\":1,\"digest\":\"~\",\"model_digest\":\"^\","
                      "\"variant\":\"raw\",\"facts\":{}}" },
    { ENTRY_LOOK, "{\"suite\":\"~\",\"model_digest\":\"^\",\"look\":2}" }, /* the first one */
    { ENTRY_REPORT, "{\"model\":\"fashion\",\"number\":2,\"model_digest\":\"^\",\"suite\":\"~\","
                    "\"verdict\":\"pass\",\"report\":\"~\",\"files\":{}}" }, /* about 1 */
};

Test(verify, a_chain_that_tells_nonsense_is_damaged)
{
    struct support s;
    begin(&s);
    const struct version first = s.registry.state.models[0].versions[0];
    char digest[DIGEST_TEXT], model[DIGEST_TEXT];
    digest_text(&first.digest, digest);
    digest_text(&first.model_digest, model);
    const char *path = journal_path(&s.arena, &s.registry.journal, 10);
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
        struct draft draft = { .kind = nonsense[i].kind };
        struct str body = { 0 };
        struct bytes bytes;
        for (const char *c = nonsense[i].body; *c; c++)
            if (*c == '~' || *c == '^')
                str_add(&body, *c == '~' ? digest : model);
            else
                str_add_char(&body, *c);
        MUST(json_parse(&draft.body, body.at, body.len, "body", &s.err));
        MUST(entry_render(&s.arena, &bytes, &draft, 10, &s.registry.state.head.digest, &s.err));
        overwrite(path, bytes.at, bytes.len);
        cr_expect_gt(problems(&s, NULL, NULL), 0, "row %zu", i);
        cr_expect(strstr(s.err.message, "makes no sense"), "row %zu: %s", i, s.err.message);
        draft_release(&draft);
        str_release(&body);
    }
    MUST(fs_remove(path, &s.err));
    cr_expect_eq(problems(&s, NULL, NULL), 0, "%s", s.err.message);
    support_close(&s);
}

static const char *target(struct support *support, const char *dir)
{
    char text[256];
    ssize_t len = readlink(path_join(&support->arena, dir, "current"), text, sizeof text - 1);
    return len > 0 ? arena_copy_len(&support->arena, text, (size_t)len) : "";
}

Test(deploy, puts_a_probed_bundle_in_place_and_is_idempotent)
{
    struct support s;
    struct deployed deployed;
    json_t *status;
    begin(&s);
    const char *dir = path_join(&s.arena, s.dir, "deploy");
    cr_expect_eq(deploy_status(dir, &status, &s.err), NOT_FOUND);
    MUST(registry_deploy(&s.registry, &deployed, "fashion@production", dir, NULL, &s.err));
    cr_expect(!deployed.unchanged && deployed.rows == SUPPORT_ROWS && deployed.version.number == 2);
    cr_expect_str_eq(target(&s, dir), deployed.bundle);
    MUST(registry_deploy(&s.registry, &deployed, "fashion@production", dir, NULL, &s.err));
    cr_expect(deployed.unchanged);
    MUST(deploy_status(dir, &status, &s.err));
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(status, "current"), "number")),
                 2);
    json_decref(status);
    const char *taken = path_join(&s.arena, s.dir, "taken");
    MUST(fs_mkdirs(taken, &s.err));
    MUST(fs_publish(path_join(&s.arena, taken, "current"), "x", 1, &s.err));
    cr_expect_eq(registry_deploy(&s.registry, &deployed, "fashion@1", taken, NULL, &s.err), USAGE);
    /* the last three stay */
    struct added added;
    for (int seed = 10; seed < 14; seed++) {
        MUST(support_add(&s.registry, &added, s.dir, "fashion", seed, &s.err));
        const char *ref = arena_format(&s.arena, "fashion@%lld", (long long)added.number);
        MUST(registry_deploy(&s.registry, &deployed, ref, dir, NULL, &s.err));
    }
    char **names;
    size_t count, bundles = 0;
    MUST(fs_list(&s.arena, &names, &count, dir, &s.err));
    for (size_t i = 0; i < count; i++) bundles += bundle_is_name(names[i]);
    cr_expect_eq(bundles, DEPLOY_KEEP);
    cr_expect_eq(count, DEPLOY_KEEP + 2, "bundles, current, state.json: %zu", count);
    /* damage to the bundle in use */
    const char *file = arena_format(&s.arena, "%s/%s/model.json", dir, deployed.bundle);
    overwrite(file, "{}", 2);
    cr_expect_eq(deploy_status(dir, &status, &s.err), DAMAGED);
    cr_expect_eq(registry_deploy(&s.registry, &deployed, "fashion@6", dir, NULL, &s.err), DAMAGED);
    MUST(registry_deploy(&s.registry, &deployed, "fashion@5", dir, NULL, &s.err));
    MUST(registry_deploy(&s.registry, &deployed, "fashion@6", dir, NULL, &s.err));
    MUST(deploy_status(dir, &status, &s.err));
    json_decref(status);
    support_close(&s);
}

/* A third version, built by hand from the parts of the other two: its golden outputs are the
 * second one's; or its manifest says that it is the second one's model; or journal and manifest
 * disagree. */
enum broken { BROKEN_SAMPLE, BROKEN_MANIFEST, BROKEN_ENTRY };

static void add_broken(struct support *support, struct digest *digest, enum broken broken)
{
    struct oci_version files, other;
    struct registry *registry = &support->registry;
    const struct model_line *model = state_model(&registry->state, "fashion");
    struct err *err = &support->err;
    cr_assert_eq(oci_read(registry, &files, &model->versions[0].digest, err), OK);
    cr_assert_eq(oci_read(registry, &other, &model->versions[1].digest, err), OK);
    for (int i = 0; i < files.layer_count; i++)
        if (broken == BROKEN_SAMPLE && strcmp(files.layers[i].name, "sample.h5") == 0)
            files.layers[i] = *oci_layer(&other, "sample.h5");
    if (broken != BROKEN_SAMPLE) files.model_digest = other.model_digest;
    cr_assert_eq(oci_put(registry, &files, digest, "fashion", err), OK);
    cr_assert_eq(oci_place(registry, "fashion", digest, &files, err), OK);
    struct entry last;
    struct bytes bytes;
    struct draft draft = { .kind = ENTRY_REGISTER };
    char text[DIGEST_TEXT];
    cr_assert_eq(journal_read(&registry->journal, &last, 2, err), OK);
    draft.body = json_deep_copy(last.body);
    json_object_set_new(draft.body, "number", json_integer(3));
    json_object_set_new(draft.body, "digest", json_string(digest_text(digest, text)));
    if (broken != BROKEN_ENTRY)
        json_object_set_new(draft.body, "model_digest",
                            json_string(digest_text(&files.model_digest, text)));
    cr_assert_eq(
        entry_render(&support->arena, &bytes, &draft, 10, &registry->state.head.digest, err), OK);
    overwrite(journal_path(&support->arena, &registry->journal, 10), bytes.at, bytes.len);
    draft_release(&draft);
    entry_release(&last);
}

Test(verify, a_manifest_that_contradicts_the_journal_is_a_problem)
{
    struct support s;
    struct digest digest;
    begin(&s);
    add_broken(&s, &digest, BROKEN_ENTRY);
    cr_expect_gt(problems(&s, NULL, NULL), 0);
    cr_expect(strstr(s.err.message, "name different models"), "%s", s.err.message);
    support_close(&s);
}

Test(deploy, a_failed_probe_leaves_current_untouched)
{
    static const struct {
        enum broken broken;
        enum code code;
        const char *says;
    } rows[] = { { BROKEN_SAMPLE, HOPELESS, "golden row 0" },
                 { BROKEN_MANIFEST, DAMAGED, "holds another model" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct support s;
        struct deployed deployed;
        struct digest digest;
        begin(&s);
        const char *dir = path_join(&s.arena, s.dir, "deploy");
        MUST(registry_deploy(&s.registry, &deployed, "fashion@1", dir, NULL, &s.err));
        const char *before = target(&s, dir);
        add_broken(&s, &digest, rows[i].broken);
        cr_expect_eq(registry_deploy(&s.registry, &deployed, "fashion@3", dir, NULL, &s.err),
                     rows[i].code);
        cr_expect(strstr(s.err.message, rows[i].says), "%s", s.err.message);
        cr_expect_str_eq(target(&s, dir), before);
        cr_expect_not(
            fs_exists(path_join(&s.arena, dir, bundle_name(&s.arena, DEPLOY_FOLDER, &digest))));
        support_close(&s);
    }
}

Test(deploy, notices_another_an_older_and_a_forked_registry)
{
    struct support s, t;
    struct deployed deployed;
    struct moved moved;
    begin(&s);
    const char *dir = path_join(&s.arena, s.dir, "deploy");
    const char *old = path_join(&s.arena, s.dir, "old");
    cr_assert_eq(system(arena_format(&s.arena, "cp -a %s %s", s.path, old)), 0);
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "production", &s.err));
    MUST(registry_deploy(&s.registry, &deployed, "fashion@production", dir, NULL, &s.err));
    const char *before = target(&s, dir);

    struct registry copy;
    MUST(registry_open(&copy, old, &s.err));
    cr_expect_eq(registry_deploy(&copy, &deployed, "fashion@production", dir, NULL, &s.err),
                 REFUSED);
    cr_expect(strstr(s.err.message, "older"), "%s", s.err.message);
    MUST(support_promote(&copy, &moved, "fashion", 1, "staging", &s.err));
    cr_expect_eq(registry_deploy(&copy, &deployed, "fashion@production", dir, NULL, &s.err),
                 DAMAGED);
    cr_expect(strstr(s.err.message, "rewritten"), "%s", s.err.message);
    registry_close(&copy);

    begin(&t);
    cr_expect_eq(registry_deploy(&t.registry, &deployed, "fashion@production", dir, NULL, &s.err),
                 REFUSED);
    cr_expect(strstr(s.err.message, "follows registry"), "%s", s.err.message);
    support_close(&t);
    cr_expect_str_eq(target(&s, dir), before);

    const char *state = path_join(&s.arena, dir, "state.json");
    struct bytes bytes;
    MUST(fs_read(&s.arena, &bytes, state, 1 << 20, &s.err));
    char *flipped = arena_copy_len(&s.arena, bytes.at, bytes.len);
    for (size_t bit = 0; bit < bytes.len * 8; bit += 11) {
        flipped[bit / 8] ^= (char)(1 << bit % 8);
        overwrite(state, flipped, bytes.len);
        cr_expect_eq(registry_deploy(&s.registry, &deployed, "fashion@1", dir, NULL, &s.err),
                     DAMAGED, "bit %zu", bit);
        flipped[bit / 8] ^= (char)(1 << bit % 8);
    }
    support_close(&s);
}
