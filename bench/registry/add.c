/* The same bytes by other people's tools and by us, one after another: the fastest of three. */
#include "bench/registry/add.h"

#include "base/clock.h"
#include "base/rng.h"
#include "model/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMES = 3, INPUTS = 1024 };

struct adding {
    struct registry *registry;
    struct arena arena;
    struct err err;
    const char *dir, *source, *checkpoint;
    double bytes;
};

static void must(enum code code, const struct adding *adding)
{
    if (!code) return;
    fprintf(stderr, "bench_registry: %s\n", adding->err.message);
    exit(1);
}

static void make_checkpoint(struct adding *adding, int64_t units)
{
    json_t *model = NULL;
    size_t count = (size_t)units * INPUTS;
    float *weight = malloc(count * sizeof *weight), *bias = calloc((size_t)units, sizeof *bias);
    if (!weight || !bias) exit(1);
    for (size_t i = 0; i < count; i++) weight[i] = (float)(philox4x32(1, i, 0).word[0] >> 8) / 1e9F;
    struct named_tensor tensors[] = {
        { "dense_1.bias", DTYPE_F32, SHAPE(units), bias },
        { "dense_1.weight", DTYPE_F32, SHAPE(units, INPUTS), weight },
    };
    struct tensor_group group = { .name = "param", .tensors = tensors, .count = 2 };
    const char *text = arena_format(
        &adding->arena,
        "{\"pawl\":\"model/1\",\"task\":\"regression\",\"outputs\":%lld,\"input\":{\"column\":"
        "\"x\",\"dtype\":\"f32\",\"shape\":[%d]},\"loss\":{\"mse\":{}},\"layers\":[{\"dense\":"
        "{\"units\":%lld,\"bias\":\"auto\"}}]}",
        (long long)units, INPUTS, (long long)units);
    must(json_parse(&model, text, strlen(text), "model", &adding->err), adding);
    struct checkpoint_contents contents = { .groups = &group, .group_count = 1, .model = model };
    must(checkpoint_save(adding->checkpoint, &contents, NULL, NULL, &adding->err), adding);
    must(fs_publish(adding->source, weight, count * sizeof *weight, &adding->err), adding);
    adding->bytes = (double)count * sizeof *weight;
    json_decref(model);
    free(weight);
    free(bias);
}

static double shell(const struct adding *adding, const char *script)
{
    struct arena arena = { 0 };
    const char *line = arena_format(&arena, "cd '%s' && S='%s' && %s", adding->dir, adding->source,
                                    script);
    double begin = clock_monotonic();
    if (system(line) != 0) exit(1);
    double took = clock_monotonic() - begin;
    arena_release(&arena);
    return took;
}

static double put(struct adding *adding)
{
    struct arena arena = { 0 };
    struct digest digest;
    double begin = clock_monotonic();
    must(store_put_file(&adding->registry->store, &digest, NULL, adding->source, &adding->err),
         adding);
    double took = clock_monotonic() - begin;
    must(fs_remove(store_path(&arena, &adding->registry->store, &digest), &adding->err), adding);
    arena_release(&arena);
    return took;
}

static double add(struct adding *adding, int time)
{
    float input[INPUTS] = { 1 };
    struct added added;
    struct add_opts opts = { .model = arena_format(&adding->arena, "added-%d", time),
                             .checkpoint = adding->checkpoint,
                             .sample = { .input = input, .rows = 1 },
                             .actor = "bench",
                             .reason = "to measure" };
    double begin = clock_monotonic();
    must(registry_add(adding->registry, &added, &opts, &adding->err), adding);
    return clock_monotonic() - begin;
}

/* The content is taken away again, so that each time it is new. */
static void forget_weights(struct adding *adding)
{
    shell(adding, "find registry/store registry/models -size +1M -type f -delete");
}

static void print_row(const struct adding *adding, const char *what, double took, double peer)
{
    printf("%-34s %10.3f s   %.0f MB/s", what, took, adding->bytes / took / 1e6);
    if (peer > 0) printf(", %.0f %% of tee | sha256sum", 100 * peer / took);
    puts("");
}

void time_add(struct registry *registry, const char *dir, int mebibytes)
{
    struct adding adding = { .registry = registry, .dir = dir };
    double best[4] = { 1e9, 1e9, 1e9, 1e9 };
    adding.source = path_join(&adding.arena, dir, "weights.bin");
    adding.checkpoint = path_join(&adding.arena, dir, "checkpoint");
    make_checkpoint(&adding, (int64_t)mebibytes * (1 << 20) / (INPUTS * (int)sizeof(float)));
    for (int time = 0; time < TIMES; time++) {
        double took[4];
        took[0] = shell(&adding, "tee copy <\"$S\" | sha256sum >sum && sync copy . && rm copy");
        took[1] = shell(&adding, "cp \"$S\" copy && sha256sum copy >sum && sync copy . && rm copy");
        took[2] = put(&adding);
        took[3] = add(&adding, time);
        forget_weights(&adding);
        for (int i = 0; i < 4; i++)
            if (took[i] < best[i]) best[i] = took[i];
    }
    printf("content of %d MiB, fastest of %d, fsynced\n", mebibytes, TIMES);
    print_row(&adding, "tee | sha256sum (two processes)", best[0], 0);
    print_row(&adding, "cp, then sha256sum", best[1], best[0]);
    print_row(&adding, "into the store", best[2], best[0]);
    print_row(&adding, "registry add of a checkpoint", best[3], best[0]);
    arena_release(&adding.arena);
}
