/* What one user sees: init, open, add, reports, resolving, answers. */
#include "model/safetensors.h"
#include "registry/oci.h"
#include "tests/registry/checks.h"

#include "base/h5.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

Test(registry, is_made_by_init_alone_and_only_where_nothing_is)
{
    struct support s;
    struct registry other;
    begin(&s);
    cr_expect(s.registry.open);
    cr_expect_eq(registry_init(s.path, "x", "", &s.err), CONFLICT);
    const char *foreign = path_join(&s.arena, s.dir, "foreign");
    MUST(fs_mkdirs(foreign, &s.err));
    MUST(fs_publish(path_join(&s.arena, foreign, "thesis.tex"), "x", 1, &s.err));
    cr_expect_eq(registry_init(foreign, "x", "", &s.err), USAGE);
    SAYS("thesis.tex");
    cr_expect_eq(registry_open(&other, foreign, &s.err), NOT_FOUND);
    SAYS("is not a registry");
    cr_expect_eq(registry_open(&other, path_join(&s.arena, s.dir, "registri"), &s.err), NOT_FOUND);
    HINTS("registry'?");
    cr_expect_not(fs_exists(path_join(&s.arena, s.dir, "registri")), "never made by accident");
    struct stat info;
    MUST(fs_stat(path_join(&s.arena, s.path, "journal"), &info, &s.err));
    cr_expect_eq(info.st_mode & 03000, 03000, "setgid and sticky: %o", info.st_mode);
    /* an interrupted init is completed */
    MUST(fs_remove(path_join(&s.arena, s.path, "registry.json"), &s.err));
    MUST(registry_init(s.path, "x", "", &s.err));
    MUST(registry_open(&other, s.path, &s.err));
    cr_expect(digest_equal(&other.id, &s.registry.id));
    registry_close(&other);
    support_close(&s);
}

static int link_that_lies(const char *from, const char *to)
{
    (void)from;
    (void)to;
    return 0;
}

Test(registry, is_refused_on_a_mount_whose_links_lie)
{
    struct support s;
    begin(&s);
    const char *dir = path_join(&s.arena, s.dir, "second");
    fs_calls.link = link_that_lies;
    cr_expect_eq(registry_init(dir, "x", "", &s.err), HOPELESS);
    fs_calls.link = fs_calls_real.link;
    cr_expect_not(fs_exists(path_join(&s.arena, dir, "registry.json")));
    MUST(registry_init(dir, "x", "", &s.err));
    support_close(&s);
}

Test(registry, add_stores_exactly_the_checkpoints_model_and_knows_it_again)
{
    struct support s;
    struct added added, again, other;
    begin(&s);
    MUST(support_add(&s.registry, &added, s.dir, "fashion", 1, &s.err));
    cr_expect(added.number == 1 && !added.existed);
    MUST(support_add(&s.registry, &again, s.dir, "fashion", 1, &s.err));
    cr_expect(again.number == 1 && again.existed && digest_equal(&added.digest, &again.digest));
    MUST(support_add(&s.registry, &other, s.dir, "fashion", 2, &s.err));
    cr_expect(other.number == 2 && !digest_equal(&added.model_digest, &other.model_digest));

    struct checkpoint checkpoint;
    MUST(checkpoint_open(&checkpoint, path_join(&s.arena, s.dir, "checkpoints/seed-1"), &s.err));
    cr_expect(digest_equal(&checkpoint.model_digest, &added.model_digest));
    checkpoint_close(&checkpoint);

    struct oci_version files;
    MUST(oci_read(&s.registry, &files, &added.digest, &s.err));
    cr_expect_eq(files.layer_count, 4);
    const struct oci_layer *layer = oci_layer(&files, "model.safetensors");
    struct named_tensor *tensors;
    size_t count;
    void *memory = NULL;
    enum weights_variant variant;
    MUST(safetensors_read(&s.arena, &tensors, &count, &memory, &variant,
                          store_path(&s.arena, &s.registry.store, &layer->digest), &s.err));
    float weight[SUPPORT_OUTPUTS * SUPPORT_INPUTS], bias[SUPPORT_OUTPUTS];
    support_weights(weight, bias, 1);
    cr_assert_eq(count, 2);
    cr_expect_eq(memcmp(tensors[1].data, weight, sizeof weight), 0);
    block_free(memory);

    /* the golden outputs are W x + b */
    float input[SUPPORT_ROWS * SUPPORT_INPUTS], output[SUPPORT_ROWS * SUPPORT_OUTPUTS];
    struct h5 h5 = { 0 };
    support_inputs(input);
    layer = oci_layer(&files, "sample.h5");
    MUST(h5_open(&h5, store_path(&s.arena, &s.registry.store, &layer->digest), &s.err));
    MUST(h5_read(&h5, "/output", H5_F32, output, sizeof output, &s.err));
    h5_close(&h5);
    for (int i = 0; i < SUPPORT_ROWS * SUPPORT_OUTPUTS; i++) {
        double want = (double)bias[i % SUPPORT_OUTPUTS];
        for (int k = 0; k < SUPPORT_INPUTS; k++)
            want += (double)input[i / SUPPORT_OUTPUTS * SUPPORT_INPUTS + k] *
                    (double)weight[i % SUPPORT_OUTPUTS * SUPPORT_INPUTS + k];
        cr_expect(fabs((double)output[i] - want) < 1e-5, "output %d: %g, want %g", i,
                  (double)output[i], want);
    }
    char **names;
    MUST(fs_list(&s.arena, &names, &count, s.registry.store.staging, &s.err));
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(strncmp(names[i], "hold.", 5), 0, "'%s' stays in staging", names[i]);
    support_close(&s);
}

Test(registry, illegal_names_are_refused)
{
    static const char long_name[] = "a-name-of-65-characters-"
                                    "89012345678901234567890123456789012345678";
    static const char *const models[] = { "",    "Fashion", "-x",    ".hidden",
                                          "a/b", "a@b",     "../up", long_name };
    static const char *const channels[] = { "7", "7up", "v7", "v7-bundle", "Prod", "" };
    struct support s;
    struct added added;
    struct moved moved;
    begin(&s);
    fill(&s, 1);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        cr_expect_eq(support_add(&s.registry, &added, s.dir, models[i], 1, &s.err), USAGE, "'%s'",
                     models[i]);
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        cr_expect_eq(support_promote(&s.registry, &moved, "fashion", 1, channels[i], &s.err), USAGE,
                     "'%s'", channels[i]);
    cr_expect_eq(name_check_channel("v7a", &s.err), OK);
    support_close(&s);
}

Test(report, about_another_model_is_damaged_and_twice_is_once)
{
    struct support s;
    int64_t first, second;
    begin(&s);
    fill(&s, 2);
    MUST(support_report(&s.registry, &first, s.dir, "fashion", 1, "suite", "pass", &s.err));
    MUST(support_report(&s.registry, &second, s.dir, "fashion", 1, "suite", "pass", &s.err));
    cr_expect_eq(first, second);
    const char *dir = path_join(&s.arena, s.dir, "reports/fashion-1-suite-pass");
    struct report_opts opts = { .model = "fashion", .number = 2, .dir = dir, .verdict = "pass" };
    opts.model_digest = s.registry.state.models[0].versions[0].model_digest;
    cr_expect_eq(registry_record_report(&s.registry, NULL, &opts, &s.err), DAMAGED);
    SAYS("is about model");
    opts.model_digest = s.registry.state.models[0].versions[1].model_digest;
    opts.seal = 2; /* registered fashion@1 */
    cr_expect_eq(registry_record_report(&s.registry, NULL, &opts, &s.err), DAMAGED);
    SAYS("does not seal its suite");
    opts.verdict = "splendid";
    cr_expect_eq(registry_record_report(&s.registry, NULL, &opts, &s.err), DAMAGED);
    support_close(&s);
}

static int rename_and_damage(const char *from, const char *to)
{
    int result = fs_calls_real.rename(from, to);
    if (!strstr(to, "/model.safetensors")) return result;
    struct stat info;
    cr_assert_eq(fs_calls_real.stat(to, &info), 0);
    int fd = open(to, O_RDWR);
    char last;
    cr_assert_eq(pread(fd, &last, 1, info.st_size - 1), 1);
    last ^= 1;
    cr_assert_eq(pwrite(fd, &last, 1, info.st_size - 1), 1);
    close(fd);
    return result;
}

Test(registry, add_notices_weights_that_were_not_written_as_meant)
{
    struct support s;
    struct added added;
    begin(&s);
    fs_calls.rename = rename_and_damage;
    cr_expect_eq(support_add(&s.registry, &added, s.dir, "fashion", 1, &s.err), DAMAGED);
    SAYS("are not model sha256:");
    fs_calls.rename = fs_calls_real.rename;
    MUST(support_add(&s.registry, &added, s.dir, "fashion", 1, &s.err));
    support_close(&s);
}

Test(resolve, finds_versions_by_number_digest_and_channel_with_or_without_views)
{
    struct support s;
    struct moved moved;
    struct resolved resolved;
    char text[DIGEST_TEXT];
    begin(&s);
    fill(&s, 3);
    MUST(support_promote(&s.registry, &moved, "fashion", 1, "staging", &s.err));
    MUST(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err));
    const char *by_digest = arena_format(&s.arena, "fashion@%s", digest_text(&moved.digest, text));
    const struct {
        const char *ref;
        enum code code;
        int64_t number;
    } rows[] = {
        { "fashion@1", OK, 1 },
        { "fashion@3", OK, 3 },
        { by_digest, OK, 2 },
        { "fashion@production", OK, 2 },
        { "fashion@staging", OK, 1 },
        { "fashion@4", NOT_FOUND, 0 },
        { "fashion@stagin", NOT_FOUND, 0 },
        { "other@1", NOT_FOUND, 0 },
        { "fashion@0", USAGE, 0 },
        { "fashion@", USAGE, 0 },
        { "@1", USAGE, 0 },
        { "fashion@sha256:12", USAGE, 0 },
        { "fashion@99999999999999999999", USAGE, 0 },
    };
    const char *view = path_join(&s.arena, s.path, "cache/channels.json");
    const char *aside = path_join(&s.arena, s.dir, "aside");
    struct bytes fresh;
    struct support t;
    begin(&t);
    fill(&t, 1);
    MUST(support_promote(&t.registry, &moved, "fashion", 1, "production", &s.err));
    const char *foreign = path_join(&s.arena, t.path, "cache/channels.json");
    /* 0: as it is; 1: a view that is behind; 2: a damaged one; 3: none; 4: another registry's */
    for (int mode = 0; mode < 5; mode++) {
        if (mode == 1) {
            MUST(support_promote(&s.registry, &moved, "fashion", 3, "production", &s.err));
            MUST(fs_read(&s.arena, &fresh, view, 1 << 20, &s.err));
            MUST(fs_publish(aside, fresh.at, fresh.len, &s.err));
            MUST(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err));
            MUST(fs_replace(aside, view, &s.err));
        }
        if (mode == 2) MUST(fs_publish(view, "{\"pawl\":", 8, &s.err));
        if (mode == 3) MUST(fs_remove(view, &s.err));
        if (mode == 4) MUST(fs_replace(foreign, view, &s.err));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct registry reader;
            MUST(registry_open(&reader, s.path, &s.err));
            enum code code = registry_resolve(&reader, &resolved, rows[i].ref, &s.err);
            cr_expect_eq(code, rows[i].code, "%s, mode %d: %d %s", rows[i].ref, mode, code,
                         code ? s.err.message : "");
            if (!code) cr_expect_eq(resolved.number, rows[i].number, "%s", rows[i].ref);
            registry_close(&reader);
        }
    }
    cr_expect_eq(registry_resolve(&s.registry, &resolved, "fashion@stagin", &s.err), NOT_FOUND);
    HINTS("fashion@staging");
    support_close(&t);
    support_close(&s);
}

Test(registry, answers_are_documents)
{
    struct support s;
    struct moved moved;
    json_t *json;
    begin(&s);
    fill(&s, 2);
    MUST(support_promote(&s.registry, &moved, "fashion", 2, "production", &s.err));
    MUST(registry_list(&s.registry, &json, NULL, &s.err));
    cr_expect_str_eq(json_string_value(json_object_get(json, "pawl")), "list/1");
    cr_expect_eq(json_array_size(json_object_get(json, "versions")), 2);
    cr_expect_eq(json_array_size(json_object_get(json, "channels")), 1);
    json_decref(json);
    MUST(registry_show(&s.registry, &json, "fashion@production", &s.err));
    cr_expect_eq(json_integer_value(json_object_get(json, "number")), 2);
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(json, "facts"), "seed")), 2);
    cr_expect_eq(json_array_size(json_object_get(json, "reports")), 1);
    cr_expect_eq(json_array_size(json_object_get(json, "files")), 4);
    json_decref(json);
    MUST(registry_history(&s.registry, &json, NULL, NULL, &s.err));
    json_t *entries = json_object_get(json, "entries");
    cr_expect_eq(json_array_size(entries), 6);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(entries, 1), "subject")),
                     "fashion@1");
    json_decref(json);
    support_close(&s);
}

Test(evidence, looks_are_counted_per_candidate_and_suite)
{
    struct support s;
    char suite[DIGEST_TEXT], model[DIGEST_TEXT];
    int64_t seq, look;
    begin(&s);
    for (int candidate = 0; candidate < 2; candidate++) {
        struct digest a = digest_of("suite", 5), b = digest_of(&candidate, sizeof candidate);
        json_t *body = json_pack("{ss ss}", "suite", digest_text(&a, suite), "model_digest",
                                 digest_text(&b, model));
        MUST(registry_seal(&s.registry, &seq, body, "evaluator", &s.err));
        for (int64_t k = 1; k <= 3; k++) {
            MUST(registry_look(&s.registry, &look, body, "evaluator", &s.err));
            cr_expect_eq(look, k);
        }
        json_decref(body);
    }
    cr_expect_eq(seq, 6);
    support_close(&s);
}
