/* The loader's order: every row once per epoch, the same for any number of threads, seeking equals
 * skipping; batches hold the rows that they name; errors come in their turn. */
#include "dataset/loader.h"
#include "tests/dataset/small.h"

#include <errno.h>

enum { ROWS = 1003, BATCH = 16, EPOCHS = 2 };

/* Compares a batch with the source by its ordinals. */
static void check_batch(const struct batch *batch, int64_t size, const char *what)
{
    for (int64_t i = 0; i < size; i++) {
        uint64_t row = (uint64_t)batch->ordinal[i];
        const unsigned char *pixels = (const unsigned char *)batch->input + i * PIXELS;
        bool same = ((const int32_t *)batch->target)[i] == (int32_t)(row % 10);
        for (uint64_t at = 0; at < PIXELS && same; at++) same = pixels[at] == small_pixel(row, at);
        cr_assert(same, "%s: row %d of batch %d", what, (int)i, (int)batch->index);
        cr_assert(i < batch->valid || row == 0, "%s: padding is row 0", what);
    }
}

Test(loader, every_row_comes_once_an_epoch_in_an_order_that_threads_do_not_change)
{
    static const struct {
        const char *name;
        struct loader_opts opts;
        int64_t per_epoch;
    } rows[] = {
        { "one thread", { .batch = BATCH, .seed = 3, .shuffle = true }, ROWS / BATCH * BATCH },
        { "five threads",
          { .batch = BATCH, .seed = 3, .shuffle = true, .threads = 5 },
          ROWS / BATCH * BATCH },
        { "deep",
          { .batch = BATCH, .seed = 3, .shuffle = true, .threads = 3, .depth = 17 },
          ROWS / BATCH * BATCH },
        { "padded",
          { .batch = BATCH, .seed = 3, .shuffle = true, .threads = 2, .pad_last = true },
          ROWS },
        { "in file order", { .batch = BATCH, .pad_last = true, .threads = 2, .depth = 1 }, ROWS },
        { "one batch is all", { .batch = ROWS, .shuffle = true, .threads = 2 }, ROWS },
        { "more than all", { .batch = 2048, .shuffle = true, .pad_last = true }, ROWS },
    };
    struct small small;
    struct dataset dataset;
    struct err err = { 0 };
    static int64_t first[EPOCHS * ROWS], order[EPOCHS * ROWS];
    small_make(&small, ROWS, 0);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK, "%s", err.message);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct loader *loader;
        struct loader_opts opts = rows[r].opts;
        opts.split = "train";
        cr_assert_eq(loader_open(&loader, &dataset, &opts, &err), OK, "%s", err.message);
        uint64_t batches = loader_batches(loader);
        for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
            char seen[ROWS] = { 0 };
            int64_t count = 0;
            for (uint64_t index = 0; index < batches; index++) {
                struct batch batch;
                cr_assert_eq(loader_next(loader, &batch, &err), OK, "%s", err.message);
                cr_expect(batch.epoch == epoch && batch.index == index, "%s", rows[r].name);
                check_batch(&batch, opts.batch, rows[r].name);
                for (int64_t i = 0; i < batch.valid; i++) {
                    cr_assert(!seen[batch.ordinal[i]]++, "%s: twice", rows[r].name);
                    order[(int64_t)epoch * ROWS + count++] = batch.ordinal[i];
                }
            }
            cr_expect_eq(count, rows[r].per_epoch, "%s: %d rows", rows[r].name, (int)count);
        }
        size_t whole = ROWS / BATCH * BATCH * sizeof *order;
        if (r == 0) memcpy(first, order, sizeof first);
        if (r == 0) cr_expect(memcmp(order, order + ROWS, whole), "epochs differ in order");
        for (int e = 0; e < EPOCHS && opts.seed == 3; e++)
            cr_expect(!memcmp(first + e * ROWS, order + e * ROWS, whole), "%s", rows[r].name);
        for (int64_t i = 0; i < ROWS && !opts.shuffle; i++) cr_expect_eq(order[i], i);
        loader_close(loader);
    }
    dataset_close(&dataset);
    small_release(&small);
}

Test(loader, seeking_equals_skipping_and_takes_no_memory)
{
    struct small small;
    struct dataset dataset;
    struct err err = { 0 };
    struct loader *walk, *jump;
    struct batch a, b;
    small_make(&small, ROWS, 100);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK, "%s", err.message);
    struct loader_opts opts = {
        .split = "train", .batch = 64, .seed = 9, .shuffle = true, .threads = 2, .pad_last = true
    };
    cr_assert_eq(loader_open(&walk, &dataset, &opts, &err), OK);
    opts.threads = 3;
    cr_assert_eq(loader_open(&jump, &dataset, &opts, &err), OK);
    uint64_t taken = memory_allocations();
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(loader_next(walk, &a, &err), OK);
        if (i % 7 == 0 || i % 7 == 3) loader_seek(jump, a.epoch, a.index);
        cr_assert_eq(loader_next(jump, &b, &err), OK);
        cr_expect(a.epoch == b.epoch && a.index == b.index && a.valid == b.valid, "batch %d", i);
        cr_expect(!memcmp(a.ordinal, b.ordinal, 64 * sizeof *a.ordinal), "batch %d", i);
        cr_expect(!memcmp(a.input, b.input, 64 * PIXELS), "batch %d", i);
    }
    loader_seek(jump, 1000000007, 3);
    cr_assert_eq(loader_next(jump, &b, &err), OK);
    cr_expect(b.epoch == 1000000007 && b.index == 3);
    cr_expect_eq(memory_allocations(), taken);
    loader_close(jump);
    loader_close(walk);
    dataset_close(&dataset);
    small_release(&small);
}

/* Ranks' loaders together deliver what one would, also the padding of a short last batch. */
Test(loader, slices_of_a_batch_are_its_rows)
{
    enum { WHOLE = 24 };
    struct small small;
    struct dataset dataset;
    struct err err = { 0 };
    struct batch all, part;
    small_make(&small, 100, 0);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK, "%s", err.message);
    for (int ranks = 1; ranks <= 8; ranks *= 2)
        for (int shuffle = 0; shuffle < 2; shuffle++) {
            struct loader *whole, *slice[8];
            int64_t rows = WHOLE / ranks;
            struct loader_opts opts = { .split = "train", .batch = WHOLE, .seed = 5 };
            opts.shuffle = shuffle;
            opts.pad_last = true;
            cr_assert_eq(loader_open(&whole, &dataset, &opts, &err), OK);
            opts.rows = rows;
            for (int r = 0; r < ranks; r++, opts.first += rows)
                cr_assert_eq(loader_open(&slice[r], &dataset, &opts, &err), OK);
            cr_expect_eq(loader_batches(slice[0]), loader_batches(whole));
            for (int b = 0; b < 7; b++) { /* the fifth has 4 rows; then a second epoch */
                cr_assert_eq(loader_next(whole, &all, &err), OK);
                int64_t valid = 0;
                for (int r = 0; r < ranks; r++) {
                    cr_assert_eq(loader_next(slice[r], &part, &err), OK);
                    check_batch(&part, rows, "slice");
                    bool same = !memcmp(part.ordinal, all.ordinal + r * rows,
                                        (size_t)rows * sizeof *part.ordinal);
                    cr_expect(same && part.epoch == all.epoch && part.index == all.index,
                              "batch %d, rank %d of %d", b, r, ranks);
                    valid += part.valid;
                }
                cr_expect_eq(valid, all.valid, "batch %d, %d ranks: %d rows", b, ranks, (int)valid);
            }
            for (int r = 0; r < ranks; r++) loader_close(slice[r]);
            loader_close(whole);
        }
    dataset_close(&dataset);
    small_release(&small);
}

Test(loader, wrong_wishes_are_refused)
{
    static const struct {
        struct loader_opts opts;
        const char *message, *hint;
    } rows[] = {
        { { .split = "vaildate", .batch = 4 },
          "cannot load split 'vaildate' of '%s': it has train, validate",
          "Did you mean 'validate'?" },
        { { .split = "train", .batch = 4, .threads = -1 },
          "cannot load '%s': batch 4, threads -1, depth 4; expected at least 1, 1 to 256, 1 to "
          "4096",
          "" },
        { { .split = "train" },
          "cannot load '%s': batch 0, threads 1, depth 4; expected at least 1, 1 to 256, 1 to 4096",
          "" },
        { { .split = "validate", .batch = 9 },
          "cannot load split 'validate' of '%s': 8 rows, fewer than a batch of 9",
          "Choose a smaller batch." },
    };
    struct small small;
    struct dataset dataset;
    struct err err;
    struct loader *loader;
    small_make(&small, 30, 8);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct arena arena = { 0 };
        const char *place = strstr(rows[r].message, "%s");
        const char *wanted = arena_format(&arena, "%.*s%s%s", (int)(place - rows[r].message),
                                          rows[r].message, small.path, place + 2);
        cr_expect_eq(loader_open(&loader, &dataset, &rows[r].opts, &err), USAGE);
        cr_expect_str_eq(err.message, wanted);
        cr_expect_str_eq(err.hint, rows[r].hint);
        cr_expect_null(loader);
        arena_release(&arena);
    }
    dataset_close(&dataset);
    small_release(&small);
}

static int reads, failing_read;

static ssize_t fail_one_pread(int fd, void *bytes, size_t len, off_t at)
{
    if (len == PIXELS && __atomic_add_fetch(&reads, 1, __ATOMIC_SEQ_CST) == failing_read)
        return errno = EIO, -1;
    return fs_calls_real.pread(fd, bytes, len, at);
}

Test(loader, an_error_comes_in_its_turn_and_goes_with_a_seek)
{
    struct small small;
    struct dataset dataset;
    struct err err;
    struct loader *loader;
    struct batch batch;
    small_make(&small, 200, 0);
    cr_assert_eq(dataset_open(&dataset, small.path, &err), OK);
    fs_calls.pread = fail_one_pread;
    failing_read = 25; /* with one thread: in the third batch of ten */
    struct loader_opts opts = { .split = "train", .batch = 10, .shuffle = true };
    cr_assert_eq(loader_open(&loader, &dataset, &opts, &err), OK);
    for (int i = 0; i < 2; i++) cr_expect_eq(loader_next(loader, &batch, &err), OK, "batch %d", i);
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(loader_next(loader, &batch, &err), IO);
        cr_expect(strstr(err.message, small.path) && strstr(err.message, "input/output error"),
                  "%s", err.message);
    }
    loader_seek(loader, 0, 2);
    cr_expect_eq(loader_next(loader, &batch, &err), OK);
    cr_expect(batch.index == 2);
    check_batch(&batch, 10, "after the error");
    loader_close(loader);
    fs_calls = fs_calls_real;
    dataset_close(&dataset);
    small_release(&small);
}
