/* The effective tree through its getters: composition, defaults, overrides, identity. */
#include "base/fs.h"
#include "schema_demo.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/pawl-schema-XXXXXX";

static void begin(void)
{
    cr_assert(mkdtemp(dir) && chdir(dir) == 0);
}

static void end(void)
{
    struct err err;
    cr_expect_eq(fs_remove_tree(dir, &err), OK);
}

TestSuite(schema, .init = begin, .fini = end);

static void put(const char *path, const char *text)
{
    struct err err;
    struct arena arena = { 0 };
    cr_assert_eq(fs_mkdirs(path_dir(&arena, path), &err), OK);
    cr_assert_eq(fs_publish(path, text, strlen(text), &err), OK, "%s", err.message);
    arena_release(&arena);
}

static struct document load(struct arena *arena, const char *path, const struct document_opts *opts)
{
    struct document document;
    struct problems problems = { 0 };
    struct err err;
    enum code code = document_load(&document, arena, path, demo_kinds, opts, &problems, &err);
    if (code) {
        struct str out = { 0 };
        problems_print(&problems, &out);
        cr_expect_null(document.root, "a document with problems has no tree");
        cr_assert_fail("%s: %s\n%s", path, err.message, str_text(&out));
    }
    return document;
}

static const char base[] = "pawl: part/1\n"
                           "data: {file: base.h5, block: 64KiB}\n"
                           "train: {epochs: 3, optimizer: {adamw: {lr: 1e-2}}, seed: 7}\n"
                           "model: {layers: [relu, {conv: {filters: 10k}}]}\n";
static const char experiment[] = "pawl: demo/1\n"
                                 "extends: parts/base.yaml\n"
                                 "name: fashion\n"
                                 "train: {epochs: 500st, optimizer: {adamw: {weight_decay: 0}},\n"
                                 "        limit: 2h, clip: {norm: .inf}}\n"
                                 "slices: [{name: rare, is: 3}, {name: text, is: '3'}]\n";

Test(schema, effective_tree_has_written_values_and_defaults)
{
    struct arena arena = { 0 };
    put("parts/base.yaml", base);
    put("exp.yaml", experiment);
    struct document document = load(&arena, "exp.yaml", NULL);
    const struct node *root = document.root;
    cr_expect_eq(document.kind, &demo_kind);
    cr_expect_eq(node_int(root, "train.seed"), 7);
    cr_expect_eq(node_int(root, "train.batch"), 256);
    cr_expect(node_at(root, "train.batch")->is_default);
    cr_expect_not(node_at(root, "train.seed")->is_default);
    cr_expect_eq(node_int(root, "data.block"), 65536);
    cr_expect_eq(node_real(root, "data.block"), 65536.0);
    cr_expect(node_bool(root, "data.shuffle"));
    struct span span = node_span(root, "train.epochs");
    cr_expect(span.unit == SPAN_STEPS && span.value == 500);
    span = node_span(root, "train.checkpoint.every");
    cr_expect(span.unit == SPAN_EPOCHS && span.value == 1);
    cr_expect_eq(node_real(root, "train.limit"), 7200.0);
    cr_expect(isinf(node_real(root, "train.clip.norm")));
    cr_expect_str_eq(node_text(root, "train.precision"), "auto");
    cr_expect_str_eq(node_path(&arena, root, "data.file"), "parts/base.h5");
    cr_expect_str_eq(node_path(&arena, root, "registry"), "registry");
    cr_expect_not(node_has(root, "note"));
    cr_expect_null(node_at(root, "model.layers.9"));
    double number;
    cr_expect(node_number(root, "slices.0.is", &number) && number == 3);
    cr_expect_not(node_number(root, "slices.1.is", &number));
    cr_expect_str_eq(mark_text(&arena, node_at(root, "train.seed")->mark), "parts/base.yaml:3:58");
    arena_release(&arena);
}

Test(schema, choices_have_one_shape_and_merge_by_alternative)
{
    struct arena arena = { 0 };
    put("parts/base.yaml", base);
    put("exp.yaml", experiment);
    struct document document = load(&arena, "exp.yaml", NULL);
    const struct node *root = document.root;
    cr_expect_str_eq(node_choice(root, "train.optimizer"), "adamw");
    cr_expect_eq(node_real(root, "train.optimizer.adamw.lr"), 0.01, "the base's option stays");
    cr_expect_eq(node_real(node_options(root, "train.optimizer"), "weight_decay"), 0.0);
    cr_expect_eq(node_count(root, "model.layers"), 2);
    cr_expect_str_eq(node_choice(root, "model.layers.0"), "relu");
    cr_expect_eq(node_options(root, "model.layers.0")->count, 0);
    const struct node *conv = node_at(root, "model.layers.1");
    cr_expect_str_eq(node_choice(conv, NULL), "conv");
    cr_expect_eq(node_int(node_options(conv, NULL), "filters"), 10000);
    cr_expect_eq(node_int(conv, "conv.kernel"), 3);

    const char *const other[] = { "train.optimizer.sgd.lr=0.5", "model.layers.0.conv.filters=8",
                                  "model.layers.1.conv.kernel=5", NULL };
    document = load(&arena, "exp.yaml", &(struct document_opts){ .set = other });
    root = document.root;
    cr_expect_str_eq(node_choice(root, "train.optimizer"), "sgd");
    cr_expect_eq(node_real(root, "train.optimizer.sgd.momentum"), 0.9);
    cr_expect_not(node_has(root, "train.optimizer.adamw"));
    cr_expect_eq(node_int(root, "model.layers.0.conv.filters"), 8);
    cr_expect_eq(node_int(root, "model.layers.1.conv.filters"), 10000);
    cr_expect_eq(node_int(root, "model.layers.1.conv.kernel"), 5);
    arena_release(&arena);
}

static const char plain[] = "pawl: demo/1\nname: a\ndata: {file: a.h5}\ntrain: {epochs: 5}\n";

/* What changes the configuration digest, and what does not. */
static const struct {
    const char *set;
    bool changes;
} changes[] = {
    { "train.batch=128", true },
    { "train.batch=256", false }, /* the default, written out */
    { "train.optimizer={adamw: {lr: 0.001, weight_decay: 5e-2}}", false },
    { "train.optimizer.adamw.lr=1e-2", true },
    { "train.optimizer={sgd: {lr: 1e-3}}", true },
    { "train.seed=0x1", false },
    { "train.epochs=6", false }, /* schedule_end */
    { "name=b", false },
    { "data.file=/elsewhere/b.h5", false }, /* a path */
    { "data.block=8KiB", false },
    { "train.checkpoint.every=10st", false }, /* below a place */
    { "data.shuffle=false", true },
    { "model.layers=[relu]", true },
    { "model.init=fashion@3", true },
    { "slices=[{name: x, is: 1}]", true },
    { "note=any text", false },
};

Test(schema, digest_covers_what_affects_the_numbers_and_nothing_else)
{
    struct arena arena = { 0 };
    put("exp.yaml", plain);
    struct document document = load(&arena, "exp.yaml", NULL);
    struct digest before = document_digest(&document);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const char *const set[] = { changes[i].set, NULL };
        document = load(&arena, "exp.yaml", &(struct document_opts){ .set = set });
        struct digest after = document_digest(&document);
        cr_expect_eq(!digest_equal(&before, &after), changes[i].changes, "%s", changes[i].set);
    }
    json_t *end = document_values(&document, AFFECTS_SCHEDULE_END);
    cr_expect_str_eq(json_canonical(&arena, end, NULL),
                     "{\"pawl\":\"demo/1\",\"train\":{\"epochs\":\"5ep\"}}");
    json_decref(end);
    arena_release(&arena);
}

Test(schema, files_that_cannot_be_read_and_kinds_that_do_not_fit)
{
    struct arena arena = { 0 };
    struct document document;
    struct problems problems = { 0 };
    struct err err;
    const struct kind *const only_bar[] = { &bar_kind, NULL };
    cr_expect_eq(document_load(&document, &arena, "no.yaml", demo_kinds, NULL, &problems, &err),
                 NOT_FOUND);
    put("exp.yaml", plain);
    put("part.yaml", "pawl: part/1\nalpha: 0.1\n");
    cr_expect_eq(document_load(&document, &arena, "exp.yaml", only_bar, NULL, &problems, &err),
                 CONFIG);
    cr_expect_str_eq(err.message, "kind 'demo/1' does not fit here");
    cr_expect(err.line == 1 && err.column == 7);
    problems = (struct problems){ 0 };
    cr_expect_eq(document_load(&document, &arena, "part.yaml", only_bar, NULL, &problems, &err),
                 CONFIG);
    cr_expect_str_eq(problems.first->hint, "a part is for other files to extend");
    problems = (struct problems){ 0 };
    cr_expect_eq(document_load(&document, &arena, "part.yaml", demo_kinds, NULL, &problems, &err),
                 OK, "a part alone is held to the table that knows its keys");
    cr_expect_eq(document.kind, &part_kind);
    cr_expect_null(node_at(document.root, "title"));
    arena_release(&arena);
}

Test(schema, many_problems_are_counted_and_the_first_ones_kept)
{
    struct arena arena = { 0 };
    struct document document;
    struct problems problems = { 0 };
    struct err err;
    struct str text = { 0 }, out = { 0 };
    str_add(&text, plain);
    for (int i = 0; i < 50000; i++) str_addf(&text, "key_%d: 1\n", i);
    put("exp.yaml", text.at);
    cr_expect_eq(document_load(&document, &arena, "exp.yaml", demo_kinds, NULL, &problems, &err),
                 CONFIG);
    cr_expect_eq(problems.count, 50000);
    cr_expect_str_eq(err.message, "50000 problems in 'exp.yaml'");
    problems_print(&problems, &out);
    cr_expect(text_ends(out.at, "and 49800 more problems\n"));
    str_release(&text);
    str_release(&out);
    arena_release(&arena);
}

Test(schema, json_schema_has_a_definition_per_choice_and_every_key)
{
    struct arena arena = { 0 };
    json_t *json = schema_json(&demo_kind);
    const char *text = json_canonical(&arena, json, NULL);
    json_t *definitions = json_object_get(json, "$defs");
    cr_expect(json_object_get(definitions, "layers") && json_object_get(definitions, "optimizer"));
    cr_expect_eq(json_object_size(definitions), 2, "a layer in a layer is the same definition");
    static const char *const parts[] = {
        "\"$schema\":\"https://json-schema.org/draft/2020-12/schema\"",
        "\"const\":\"demo/1\"",
        "\"$ref\":\"#/$defs/layers\"",
        "\"enum\":[\"auto\",\"bf16\",\"f32\"]",
        "\"exclusiveMinimum\":0.0,\"maximum\":10.0",
        "\"description\":\"Peak learning rate. Allowed: above 0 and at most 10\"",
        "\"default\":{\"adamw\":{\"weight_decay\":",
        "\"additionalProperties\":false",
        "\"then\":{\"properties\":{\"data\":{\"required\":[\"file\"]}",
        "\"required\":[\"filters\"]",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_expect(strstr(text, parts[i]), "%s is not in %s", parts[i], text);
    json_decref(json);
    arena_release(&arena);
}
