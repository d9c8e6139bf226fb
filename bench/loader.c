/* Loader against raw pread: rows per second of the same rows in the same order with the same number
 * of threads, in one process, rounds alternating, the best of each side (other work on the machine
 * only slows down); the ratio must be at least 0.9 once blocks are checked.
 *
 * The raw side knows the order beforehand, reads input rows only and does nothing else: a loop of
 * pread into a buffer of one batch per thread. The loader computes the permutation, fills batches,
 * copies targets and hands over in order. Usage: bench_loader [DATASET] (default: Fashion-MNIST's
 * package, or as many made-up rows). */
#include "dataset/loader.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "dataset/import.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 128, ROUNDS = 100, PART = 234, AHEAD = 5, MADE_UP_ROWS = 60000, SIDE = 28 };

static const char package[] = "/usr/share/datasets/fashion-mnist";

struct raw {
    const struct dataset *dataset;
    const struct column *column;
    const uint64_t *order;
    uint64_t begin, end, step; /* batches of this thread: begin, begin + step, ... */
    bool failed;
};

static void *read_raw(void *argument)
{
    struct raw *raw = argument;
    uint64_t bytes = raw->column->row_bytes;
    char *buffer = malloc(BATCH * bytes);
    for (uint64_t b = raw->begin; buffer && b < raw->end; b += raw->step) {
        for (uint64_t i = 0; i < BATCH; i++) {
            uint64_t at = raw->column->offset + raw->order[b * BATCH + i] * bytes;
            ssize_t got = fs_calls_real.pread(raw->dataset->fd - 1, buffer + i * bytes, bytes,
                                              (off_t)at);
            raw->failed |= got != (ssize_t)bytes;
        }
    }
    raw->failed |= !buffer;
    free(buffer);
    return NULL;
}

/* Rows per second of one epoch by bare pread; 0 on failure. */
static double time_raw(const struct dataset *dataset, const struct column *column,
                       const uint64_t *order, uint64_t batches, int threads)
{
    pthread_t ids[16];
    struct raw raw[16];
    bool failed = false;
    double start = clock_monotonic();
    for (int t = 0; t < threads; t++) {
        raw[t] = (struct raw){ .dataset = dataset,
                               .column = column,
                               .order = order,
                               .begin = (uint64_t)t,
                               .end = batches,
                               .step = (uint64_t)threads };
        if (pthread_create(&ids[t], NULL, read_raw, &raw[t])) return 0;
    }
    for (int t = 0; t < threads; t++) {
        pthread_join(ids[t], NULL);
        failed |= raw[t].failed;
    }
    return failed ? 0 : (double)(batches * BATCH) / (clock_monotonic() - start);
}

/* Rows per second of one epoch through the loader once its ring was emptied; 0 on failure. */
static double time_loader(struct loader *loader, uint64_t batches, uint64_t epoch, struct err *err)
{
    double start = 0;
    loader_seek(loader, epoch, 0);
    for (uint64_t b = 0; b < batches; b++) {
        struct batch batch;
        if (b == AHEAD) start = clock_monotonic();
        if (loader_next(loader, &batch, err)) return 0;
    }
    return (double)((batches - AHEAD) * BATCH) / (clock_monotonic() - start);
}

/* One line of the table: first pass, then alternating rounds. */
static int compare(const char *path, int threads, struct err *err)
{
    struct dataset dataset;
    struct loader *loader;
    struct arena arena = { 0 };
    double pread_rate = 0, loader_rate = 0;
    if (dataset_open(&dataset, path, err)) return 1;
    struct loader_opts opts = {
        .split = "train", .batch = BATCH, .seed = 1, .shuffle = true, .threads = threads
    };
    if (loader_open(&loader, &dataset, &opts, err)) return dataset_close(&dataset), 1;
    const struct split *split = dataset_split(&dataset, "train");
    const struct column *column = split_column(split, dataset.input);
    uint64_t batches = loader_batches(loader);
    uint64_t *order = ARENA_ARRAY(&arena, batches * BATCH, uint64_t);
    double first = time_loader(loader, batches, 0, err);
    for (int r = 0; r < ROUNDS; r++) {
        uint64_t epoch = (uint64_t)r + 1;
        for (uint64_t i = 0; i < batches * BATCH && i < PART * BATCH; i++)
            order[i] = rng_permute(rng_mix(opts.seed, epoch), split->rows, i);
        uint64_t part = batches < PART ? batches : PART;
        double raw = time_raw(&dataset, column, order, part, threads);
        double got = time_loader(loader, part, epoch, err);
        if (raw > pread_rate) pread_rate = raw;
        if (got > loader_rate) loader_rate = got;
    }
    printf("%7d  %12.0f  %12.0f  %12.0f  %6.3f\n", threads, first, pread_rate, loader_rate,
           loader_rate / pread_rate);
    loader_close(loader);
    dataset_close(&dataset);
    arena_release(&arena);
    return first == 0 || pread_rate == 0 || loader_rate < 0.9 * pread_rate;
}

static enum code write_idx(const char *path, int dims, struct err *err)
{
    static unsigned char bytes[16 + MADE_UP_ROWS * SIDE * SIDE];
    const unsigned char header[16] = { 0,
                                       0,
                                       8,
                                       (unsigned char)dims,
                                       0,
                                       0,
                                       MADE_UP_ROWS >> 8,
                                       MADE_UP_ROWS & 255,
                                       0,
                                       0,
                                       0,
                                       SIDE,
                                       0,
                                       0,
                                       0,
                                       SIDE };
    size_t len = dims == 3 ? sizeof bytes : 8 + MADE_UP_ROWS;
    for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)(dims == 3 ? rng_mix(1, i) : i % 10);
    memcpy(bytes, header, dims == 3 ? 16 : 8);
    return fs_publish_view(path, bytes, len, err);
}

/* Imports the package, or made-up rows of the same size. */
static enum code make_dataset(struct arena *arena, const char *dir, const char *out,
                              struct err *err)
{
    const char *sources[] = { fs_is_dir(package) ? package : dir };
    if (!fs_is_dir(package)) {
        TRY(write_idx(path_join(arena, dir, "train-images-idx3-ubyte"), 3, err));
        TRY(write_idx(path_join(arena, dir, "train-labels-idx1-ubyte"), 1, err));
    }
    struct import_opts opts = { .sources = sources, .count = 1, .out = out };
    return import_idx(&opts, err);
}

int main(int argc, char **argv)
{
    static const int threads[] = { 1, 2, 4 };
    char dir[] = "/tmp/pawl-bench-XXXXXX";
    struct arena arena = { 0 };
    struct err err = { 0 }, unused;
    if (!mkdtemp(dir)) return 1;
    const char *path = argc > 1 ? argv[1] : path_join(&arena, dir, "bench.h5");
    enum code code = argc > 1 ? OK : make_dataset(&arena, dir, path, &err);
    int failed = code != OK;
    if (!code)
        printf("threads   first pass   raw pread/s      loader/s   ratio   (rows/s, best of %d)\n",
               ROUNDS);
    for (size_t i = 0; !code && i < sizeof threads / sizeof *threads; i++)
        failed |= compare(path, threads[i], &err);
    if (err.message[0]) fprintf(stderr, "%s\n", err.message);
    fs_remove_tree(dir, &unused);
    arena_release(&arena);
    return failed;
}
