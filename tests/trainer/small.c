/* Pixels are a pure function of row and place; a bright third tells the class. */
#include "small.h"

#include "base/rng.h"
#include "dataset/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 108, VALIDATE = 23, SIDE = 6, PIXELS = SIDE * SIDE };

static void write_idx(struct small *small, const char *name, bool images)
{
    struct err err = { 0 };
    unsigned char bytes[16 + ROWS * PIXELS] = { 0, 0, 8, images ? 3 : 1, 0, 0, 0, ROWS };
    size_t at = 8;
    if (images) {
        bytes[11] = bytes[15] = SIDE;
        at = 16;
    }
    for (int row = 0; row < ROWS; row++) {
        int label = (int)(rng_mix(5, (uint64_t)row) % 3);
        for (int p = 0; images && p < PIXELS; p++)
            bytes[at++] = (unsigned char)(rng_mix((uint64_t)row, (uint64_t)p) % 150 +
                                          (p / (PIXELS / 3) == label ? 100 : 0));
        if (!images) bytes[at++] = (unsigned char)label;
    }
    MUST(fs_publish_view(small_path(small, name), bytes, at, &err));
}

void small_open(struct small *small)
{
    static const char *const names[] = { "a", "b", "c" };
    struct err err = { 0 };
    memset(small, 0, sizeof *small);
    snprintf(small->dir, sizeof small->dir, "%s/pawl-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    cr_assert(mkdtemp(small->dir));
    snprintf(small->data, sizeof small->data, "%s/data.h5", small->dir);
    snprintf(small->yaml, sizeof small->yaml, "%s/small.yaml", small->dir);
    write_idx(small, "train-images-idx3-ubyte", true);
    write_idx(small, "train-labels-idx1-ubyte", false);
    const char *sources[] = { small_path(small, "train-images-idx3-ubyte"),
                              small_path(small, "train-labels-idx1-ubyte") };
    struct import_opts opts = { .sources = sources,
                                .count = 2,
                                .out = small->data,
                                .validate = VALIDATE,
                                .class_names = names,
                                .class_count = 3 };
    MUST(import_idx(&opts, &err));
}

void small_close(struct small *small)
{
    cr_expect_eq(fs_remove_tree(small->dir, NULL), OK, "%s", small->dir);
    arena_release(&small->arena);
}

const char *small_path(struct small *small, const char *name)
{
    return path_join(&small->arena, small->dir, name);
}

void small_experiment(struct small *small, struct experiment *experiment, const char *layers,
                      const char *train)
{
    static const struct kind *const kinds[] = { &experiment_kind, NULL };
    struct err err = { 0 };
    struct problems problems = { 0 };
    struct document *document = ARENA_NEW(&small->arena, struct document);
    if (!layers) layers = "[{conv: {filters: 4}}, relu, flatten, {dense: {units: 3}}]";
    const char *text = arena_format(
        &small->arena,
        "pawl: experiment/1\nname: small\ndata: {file: data.h5}\nmodel:\n  layers: %s\n"
        "  loss: {cross_entropy: {label_smoothing: 0.1}}\ntrain:\n%s%s  log_every: 0s\n%s\n",
        layers, strstr(train, "precision:") ? "" : "  precision: f32\n",
        strstr(train, "determinism: world") ? "" : "  threads: 1\n", train);
    MUST(fs_publish_view(small->yaml, text, strlen(text), &err));
    enum code code = document_load(document, &small->arena, small->yaml, kinds, NULL, &problems,
                                   &err);
    cr_assert_eq(code, OK, "%s", problems.first ? problems.first->message : err.message);
    MUST(experiment_read(experiment, &small->arena, document, &err));
}

enum code small_train(struct small *small, const struct experiment *experiment,
                      struct train_opts *opts, struct train_result *result)
{
    struct err err = { 0 };
    struct train_result unused;
    if (!opts->run) opts->run = small_path(small, "run");
    opts->launch.take_over = true; /* the process that held it is this one */
    enum code code = train(result ? result : &unused, experiment, opts, &err);
    if (code && code != STOPPED) printf("train: %s\n", err.message);
    json_decref(result ? result->metrics : unused.metrics);
    if (result) result->metrics = NULL;
    return code;
}
