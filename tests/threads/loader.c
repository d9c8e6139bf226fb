/* The loader under the thread sanitizer: many threads, seeks in between, several loaders on one
 * dataset whose blocks are verified by whoever comes first. A plain program: the sanitizer cannot
 * run Criterion.
 */
#include "dataset/loader.h"
#include "base/fs.h"
#include "dataset/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6000, SIDE = 20, PIXELS = SIDE * SIDE, HEADER = 16 };

static unsigned char images[HEADER + ROWS * PIXELS] = { 0, 0, 8, 3,    0, 0, ROWS >> 8, ROWS & 255,
                                                        0, 0, 0, SIDE, 0, 0, 0,         SIDE };
static unsigned char labels[8 + ROWS] = { 0, 0, 8, 1, 0, 0, ROWS >> 8, ROWS & 255 };

static enum code import_all(const char *dir, const char *out, struct err *err)
{
    struct arena arena = { 0 };
    for (size_t i = 0; i < ROWS; i++) {
        labels[8 + i] = (unsigned char)(i % 10);
        memset(images + HEADER + i * PIXELS, (int)(i * 7 & 255), PIXELS);
    }
    const char *paths[] = { path_join(&arena, dir, "train-images-idx3-ubyte"),
                            path_join(&arena, dir, "train-labels-idx1-ubyte") };
    enum code code = fs_publish_view(paths[0], images, sizeof images, err);
    if (!code) code = fs_publish_view(paths[1], labels, sizeof labels, err);
    struct import_opts opts = { .sources = paths, .count = 2, .out = out };
    if (!code) code = import_idx(&opts, err);
    arena_release(&arena);
    return code;
}

/* Takes batches from two loaders in turn; the sum of all differences from the source. */
static int walk(struct loader *const loaders[2], struct err *err)
{
    int wrong = 0;
    for (int i = 0; i < 300; i++) {
        struct batch batch;
        struct loader *loader = loaders[i % 2];
        if (i % 41 == 40) loader_seek(loader, (uint64_t)i, (uint64_t)(i % 5));
        if (loader_next(loader, &batch, err)) return -1;
        for (int64_t r = 0; r < batch.valid; r++) {
            int64_t row = batch.ordinal[r];
            const unsigned char *pixels = (const unsigned char *)batch.input + r * PIXELS;
            wrong += ((const int32_t *)batch.target)[r] != row % 10;
            wrong += pixels[0] != (row * 7 & 255) || pixels[PIXELS - 1] != (row * 7 & 255);
        }
    }
    return wrong;
}

static int run(const char *path, struct err *err)
{
    struct dataset dataset;
    struct loader *loaders[2] = { NULL, NULL };
    struct loader_opts opts = {
        .split = "train", .batch = 64, .seed = 1, .shuffle = true, .threads = 4, .depth = 6
    };
    int wrong = -1;
    if (dataset_open(&dataset, path, err)) return -1;
    if (!loader_open(&loaders[0], &dataset, &opts, err)) {
        opts.seed = 2;
        if (!loader_open(&loaders[1], &dataset, &opts, err)) wrong = walk(loaders, err);
    }
    loader_close(loaders[0]);
    loader_close(loaders[1]);
    dataset_close(&dataset);
    return wrong;
}

int main(void)
{
    char dir[] = "/tmp/pawl-threads-XXXXXX", path[64];
    struct err err = { 0 };
    if (!mkdtemp(dir)) return 1;
    snprintf(path, sizeof path, "%s/data.h5", dir);
    int wrong = import_all(dir, path, &err) ? -1 : run(path, &err);
    struct err unused;
    fs_remove_tree(dir, &unused);
    if (wrong) fprintf(stderr, "%d rows are wrong; %s\n", wrong, err.message);
    return wrong != 0;
}
