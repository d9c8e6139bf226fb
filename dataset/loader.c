/* The loader: prefetch threads fill a ring of batches, one consumer takes them in order.
 *
 * A batch has a sequence number (epoch x batches + index) and belongs into slot number % slots, so
 * the order of delivery depends on nothing that threads do. A thread takes the next number under
 * the lock and fills its slot without it. The consumer holds one slot until its next call. A failed
 * batch keeps its error, which comes out when its turn has come, and again until loader_seek. */
#include "dataset/loader.h"

#include "base/rng.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_DEFAULT = 4, ALIGN = 128, THREADS_LIMIT = 256, DEPTH_LIMIT = 4096 };

/* Targets up to this size are read once, at open: a pread of four bytes costs as much as one of a
 * row. */
static const uint64_t target_limit = (uint64_t)64 << 20;

struct slot {
    unsigned char *input, *target;
    int64_t *ordinal;
    int64_t valid;
    uint64_t number;
    bool ready;
    enum code code;
    struct err err;
};

struct loader {
    const struct dataset *dataset;
    const struct column *input, *target;
    struct loader_opts opts;
    uint64_t rows, batches;
    struct arena arena;
    void *memory;           /* of all slots */
    uint64_t bytes;         /* of memory and targets */
    unsigned char *targets; /* the whole target column, or NULL */
    struct slot *slots;
    uint64_t slot_count;
    pthread_t *threads;
    int thread_count;

    pthread_mutex_t lock; /* for what follows, and for slot.ready */
    pthread_cond_t ready, space;
    uint64_t taken; /* number of the next batch to deliver */
    uint64_t begun; /* number of the next batch to fill */
    bool held;      /* the caller looks at batch taken - 1 */
    bool waiting;   /* the caller sleeps until enough_ready */
    int busy;       /* threads that fill a slot */
    bool pause, stop;
};

/* The rows of a column that a slot names. Without shuffling they lie one after the other. */
static enum code read_rows(const struct loader *loader, struct slot *slot,
                           const struct column *column, unsigned char *to)
{
    const struct dataset *dataset = loader->dataset;
    if (loader->opts.shuffle)
        return dataset_gather(dataset, column, slot->ordinal, loader->opts.rows, to, &slot->err);
    uint64_t valid = (uint64_t)slot->valid;
    if (valid)
        TRY(dataset_read(dataset, column, (uint64_t)slot->ordinal[0], valid, to, &slot->err));
    return dataset_gather(dataset, column, slot->ordinal + valid, loader->opts.rows - slot->valid,
                          to + valid * column->row_bytes, &slot->err);
}

static void copy_targets(const struct loader *loader, const struct slot *slot)
{
    uint64_t bytes = loader->target->row_bytes;
    for (int64_t i = 0; i < loader->opts.rows; i++)
        memcpy(slot->target + (uint64_t)i * bytes,
               loader->targets + (uint64_t)slot->ordinal[i] * bytes, bytes);
}

static void fill(const struct loader *loader, struct slot *slot)
{
    uint64_t rows = (uint64_t)loader->opts.rows;
    uint64_t epoch = slot->number / loader->batches;
    uint64_t begin = slot->number % loader->batches * (uint64_t)loader->opts.batch +
                     (uint64_t)loader->opts.first;
    uint64_t left = begin < loader->rows ? loader->rows - begin : 0;
    uint64_t valid = left < rows ? left : rows;
    slot->valid = (int64_t)valid;
    if (loader->opts.shuffle && valid)
        rng_permute_range(rng_mix(loader->opts.seed, epoch), loader->rows, begin, valid,
                          slot->ordinal);
    else
        for (uint64_t i = 0; i < valid; i++) slot->ordinal[i] = (int64_t)(begin + i);
    for (uint64_t i = valid; i < rows; i++) slot->ordinal[i] = 0;
    slot->code = read_rows(loader, slot, loader->input, slot->input);
    if (slot->code) return;
    if (loader->targets)
        copy_targets(loader, slot);
    else
        slot->code = read_rows(loader, slot, loader->target, slot->target);
}

/* Whether there is a slot for the next batch; the one that the caller holds is not free. */
static bool has_space(const struct loader *loader)
{
    return loader->begun - loader->taken + loader->held < loader->slot_count;
}

/* Whether a sleeping caller should be woken: half of the ring is ready. To wake it costs as much as
 * to read ten rows; it sleeps only when all wait for reading, and then the threads go on filling
 * the other half, so nothing is lost by handing over several batches at a time. */
static bool enough_ready(const struct loader *loader)
{
    for (uint64_t i = 0; i < loader->slot_count / 2; i++)
        if (!loader->slots[(loader->taken + i) % loader->slot_count].ready) return false;
    return true;
}

/* Waits for room and takes the next batch; NULL to stop. */
static struct slot *begin_batch(struct loader *loader)
{
    while (!loader->stop && (loader->pause || !has_space(loader)))
        pthread_cond_wait(&loader->space, &loader->lock);
    if (loader->stop) return NULL;
    struct slot *slot = &loader->slots[loader->begun % loader->slot_count];
    slot->number = loader->begun++;
    loader->busy++;
    return slot;
}

/* The caller is woken without the lock, or it would at once wait for that again. */
static void *prefetch(void *argument)
{
    struct loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    for (struct slot *slot; (slot = begin_batch(loader));) {
        pthread_mutex_unlock(&loader->lock);
        fill(loader, slot);
        pthread_mutex_lock(&loader->lock);
        slot->ready = true;
        loader->busy--;
        bool wake = loader->pause || (loader->waiting && enough_ready(loader));
        if (!wake) continue;
        pthread_mutex_unlock(&loader->lock);
        pthread_cond_signal(&loader->ready);
        pthread_mutex_lock(&loader->lock);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static enum code no_split(const struct dataset *dataset, const char *name, struct err *err)
{
    struct arena arena = { 0 };
    const char **names = ARENA_ARRAY(&arena, dataset->split_count + 1, const char *);
    const char *all = "";
    for (size_t i = 0; i < dataset->split_count; i++) {
        names[i] = dataset->splits[i].name;
        all = arena_format(&arena, "%s%s%s", all, i ? ", " : "", names[i]);
    }
    const char *nearest = text_nearest(name, names);
    err_set(err, USAGE, "cannot load split '%s' of '%s': it has %s", name, dataset->path, all);
    if (nearest) err_hint(err, "Did you mean '%s'?", nearest);
    arena_release(&arena);
    return USAGE;
}

static enum code check_opts(struct loader *loader, struct err *err)
{
    const struct dataset *dataset = loader->dataset;
    struct loader_opts *opts = &loader->opts;
    const struct split *split = dataset_split(dataset, opts->split);
    if (!split) return no_split(dataset, opts->split, err);
    if (!opts->threads) opts->threads = 1;
    if (!opts->depth) opts->depth = DEPTH_DEFAULT;
    if (!opts->rows) opts->rows = opts->batch - opts->first;
    if (opts->batch < 1 || opts->threads < 1 || opts->threads > THREADS_LIMIT || opts->depth < 1 ||
        opts->depth > DEPTH_LIMIT)
        return err_set(err, USAGE,
                       "cannot load '%s': batch %lld, threads %d, depth %d; expected at least 1, "
                       "1 to %d, 1 to %d",
                       dataset->path, (long long)opts->batch, opts->threads, opts->depth,
                       THREADS_LIMIT, DEPTH_LIMIT);
    REQUIRE(opts->first >= 0 && opts->rows > 0 && opts->first <= opts->batch - opts->rows);
    loader->input = split_column(split, dataset->input);
    loader->target = split_column(split, dataset->target);
    loader->rows = split->rows;
    uint64_t batch = (uint64_t)opts->batch;
    loader->batches = split->rows / batch + (opts->pad_last && split->rows % batch);
    if (loader->batches) return OK;
    err_set(err, USAGE, "cannot load split '%s' of '%s': %llu rows, fewer than a batch of %llu",
            split->name, dataset->path, (unsigned long long)split->rows, (unsigned long long)batch);
    return err_hint(err, "Choose a smaller batch."), USAGE;
}

static bool add_size(uint64_t *total, uint64_t count, uint64_t size)
{
    uint64_t bytes;
    return !__builtin_mul_overflow(count, size, &bytes) &&
           !__builtin_add_overflow(bytes, ALIGN - 1, &bytes) &&
           !__builtin_add_overflow(*total, bytes / ALIGN * ALIGN, total);
}

static enum code take_memory(struct loader *loader, struct err *err)
{
    uint64_t rows = (uint64_t)loader->opts.rows, input = 0, target = 0, ordinal = 0, total;
    loader->slot_count = (uint64_t)loader->opts.depth + 1;
    if (!add_size(&input, rows, loader->input->row_bytes) ||
        !add_size(&target, rows, loader->target->row_bytes) ||
        !add_size(&ordinal, rows, sizeof(int64_t)) ||
        __builtin_mul_overflow(input + target + ordinal, loader->slot_count, &total))
        return err_set(err, USAGE, "cannot load '%s': a batch of %lld rows does not fit in memory",
                       loader->dataset->path, (long long)loader->opts.rows);
    TRY(block_alloc(&loader->memory, total, "the prefetch buffers", err));
    loader->bytes = total;
    loader->slots = ARENA_ARRAY(&loader->arena, loader->slot_count, struct slot);
    unsigned char *at = loader->memory;
    for (uint64_t i = 0; i < loader->slot_count; i++) {
        loader->slots[i].input = at;
        loader->slots[i].target = at + input;
        loader->slots[i].ordinal = (void *)(at + input + target);
        at += input + target + ordinal;
    }
    return OK;
}

static enum code read_targets(struct loader *loader, struct err *err)
{
    void *block;
    uint64_t bytes = loader->rows * loader->target->row_bytes;
    if (bytes > target_limit) return OK;
    TRY(block_alloc(&block, bytes, "the targets", err));
    loader->targets = block;
    loader->bytes += bytes;
    return dataset_read(loader->dataset, loader->target, 0, loader->rows, block, err);
}

/* Signals are for the main thread: it has the handlers and the loop that looks at their flag. */
static enum code start_threads(struct loader *loader, struct err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    loader->threads = ARENA_ARRAY(&loader->arena, loader->opts.threads, pthread_t);
    int failed = 0;
    while (!failed && loader->thread_count < loader->opts.threads) {
        failed = pthread_create(&loader->threads[loader->thread_count], NULL, prefetch, loader);
        loader->thread_count += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed) return OK;
    return err_errno(err, IO, failed, "cannot start prefetch thread %d", loader->thread_count);
}

enum code loader_open(struct loader **out, const struct dataset *dataset,
                      const struct loader_opts *opts, struct err *err)
{
    void *block;
    *out = NULL;
    TRY(block_alloc(&block, sizeof(struct loader), "the loader", err));
    struct loader *loader = block;
    loader->dataset = dataset;
    loader->opts = *opts;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->ready, NULL);
    pthread_cond_init(&loader->space, NULL);
    enum code code = check_opts(loader, err);
    if (!code) code = take_memory(loader, err);
    if (!code) code = read_targets(loader, err);
    if (!code) code = start_threads(loader, err);
    if (code)
        loader_close(loader);
    else
        *out = loader;
    return code;
}

void loader_close(struct loader *loader)
{
    if (!loader) return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_broadcast(&loader->space);
    pthread_mutex_unlock(&loader->lock);
    for (int i = 0; i < loader->thread_count; i++) pthread_join(loader->threads[i], NULL);
    pthread_cond_destroy(&loader->space);
    pthread_cond_destroy(&loader->ready);
    pthread_mutex_destroy(&loader->lock);
    block_free(loader->targets);
    block_free(loader->memory);
    arena_release(&loader->arena);
    block_free(loader);
}

uint64_t loader_bytes(const struct loader *loader)
{
    return loader->bytes;
}

uint64_t loader_batches(const struct loader *loader)
{
    return loader->batches;
}

void loader_seek(struct loader *loader, uint64_t epoch, uint64_t index)
{
    REQUIRE(index <= loader->batches);
    pthread_mutex_lock(&loader->lock);
    loader->pause = true; /* a slot that is being filled cannot be given to another batch */
    while (loader->busy) pthread_cond_wait(&loader->ready, &loader->lock);
    for (uint64_t i = 0; i < loader->slot_count; i++) loader->slots[i].ready = false;
    loader->taken = loader->begun = epoch * loader->batches + index;
    loader->held = false;
    loader->pause = false;
    pthread_cond_broadcast(&loader->space);
    pthread_mutex_unlock(&loader->lock);
}

enum code loader_next(struct loader *loader, struct batch *batch, struct err *err)
{
    pthread_mutex_lock(&loader->lock);
    if (loader->held) {
        loader->slots[(loader->taken - 1) % loader->slot_count].ready = false;
        loader->held = false;
        pthread_cond_signal(&loader->space);
    }
    struct slot *slot = &loader->slots[loader->taken % loader->slot_count];
    if (!slot->ready) {
        loader->waiting = true;
        while (!enough_ready(loader)) pthread_cond_wait(&loader->ready, &loader->lock);
        loader->waiting = false;
    }
    if (!slot->code) {
        loader->taken++;
        loader->held = true;
    }
    pthread_mutex_unlock(&loader->lock);
    if (slot->code) {
        if (err) *err = slot->err;
        return slot->code;
    }
    *batch = (struct batch){ .input = slot->input,
                             .target = slot->target,
                             .ordinal = slot->ordinal,
                             .valid = slot->valid,
                             .epoch = slot->number / loader->batches,
                             .index = slot->number % loader->batches };
    return OK;
}
