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
