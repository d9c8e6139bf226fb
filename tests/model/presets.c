/* Presets against published counts: numbers trained, and multiply-adds of one row forward. */
#include "base/fs.h"
#include "model/build.h"
#include "model/params.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

static const struct kind model_kind = {
    .name = "model-section", .version = 1, .help = "A model section alone.", .fields = model_fields
};

/* Writes, loads and describes `model: {preset: TEXT}`. */
static json_t *described(struct arena *arena, const char *preset, int64_t side, int64_t classes)
{
    static const struct kind *const kinds[] = { &model_kind, NULL };
    static const double none[3] = { 0 }, one[3] = { 1, 1, 1 };
    struct err err = { 0 };
    struct document document;
    struct problems problems = { 0 };
    json_t *model;
    char path[] = "/tmp/pawl-preset-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && close(fd) == 0);
    const char *text = arena_format(arena, "pawl: model-section/1\npreset: %s\n", preset);
    MUST(fs_publish_view(path, text, strlen(text), &err));
    enum code code = document_load(&document, arena, path, kinds, NULL, &problems, &err);
    cr_assert_eq(code, OK, "%s", problems.first ? problems.first->message : err.message);
    unlink(path);
    struct model_facts facts = { .input_dtype = DTYPE_U8,
                                 .input = SHAPE(side, side, 3),
                                 .column = "image",
                                 .classification = true,
                                 .outputs = classes,
                                 .mean = none,
                                 .deviation = one,
                                 .constants = 3 };
    MUST(model_describe(&model, document.root, &facts, &err));
    return model;
}

/* Numbers trained: torchvision 0.20's models of these names (the table of its manual); the variants
 * for 32 pixels: kuangliu/pytorch-cifar's. Multiply-adds: the same manual's "GFLOPS". */
Test(presets, have_the_published_numbers_of_parameters_and_operations)
{
    static const struct {
        const char *preset;
        int64_t side, classes, trained;
        double giga; /* multiply-adds; 0: not published */
    } rows[] = {
        { "resnet50", 224, 1000, 25557032, 4.09 },
        { "{resnet18: {stem: large}}", 224, 1000, 11689512, 1.81 },
        { "resnet18", 32, 10, 11173962, 0 },
        { "{resnet50: {stem: small}}", 32, 10, 23520842, 0 },
    };
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct err err = { 0 };
        struct arena arena = { 0 };
        struct graph graph;
        struct params params;
        json_t *model = described(&arena, rows[r].preset, rows[r].side, rows[r].classes);
        graph_init(&graph, &arena);
        MUST(model_build(&graph, model, &(struct build_opts){ .batch = 1 }, &err));
        params_lay_out(&params, &graph, NULL);
        cr_expect_eq(params_trained(&params), rows[r].trained, "%s: %lld", rows[r].preset,
                     (long long)params_trained(&params));
        double flops = 0;
        for (int n = 0; n < graph.node_count; n++) {
            struct op_call call;
            graph_call(&graph, &graph.nodes[n], &call);
            if (call.op == OP_CONV2D || call.op == OP_LINEAR)
                flops += ops[call.op].flops(call.attr, call.in, call.ins, call.out, call.outs);
        }
        if (rows[r].giga > 0)
            cr_expect(flops / 2e9 > rows[r].giga - 0.006 && flops / 2e9 < rows[r].giga + 0.006,
                      "%s: %.3f", rows[r].preset, flops / 2e9);
        params_close(&params);
        json_decref(model);
        arena_release(&arena);
    }
}
