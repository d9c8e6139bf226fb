/* System metrics of the candidate, by repeated runs on this machine. */
#include "eval/harness.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/process.h"

#include <malloc.h>
#include <omp.h>
#include <string.h>

enum { WARM_CALLS = 50 };
static const double WARM_SECONDS = 0.2, RUN_SECONDS = 0.02;

const char *machine_class(struct arena *arena, int threads)
{
    /* The file says that it has no bytes, so it is read up to a limit; the name comes early. */
    char text[4096] = "";
    const char *name = NULL;
    int fd;
    if (fs_open(&fd, "/proc/cpuinfo", NULL, NULL) == OK) {
        ssize_t got = fs_calls.pread(fd, text, sizeof text - 1, 0);
        text[got > 0 ? got : 0] = '\0';
        fs_close(fd);
        name = strstr(text, "model name");
    }
    if (name) name += strcspn(name, ":\n");
    if (name) name += strspn(name, ": \t");
    if (threads <= 0) threads = omp_get_max_threads();
    return arena_format(arena, "%.*s, %d thread%s", name ? (int)strcspn(name, "\n") : 17,
                        name ? name : "unknown processor", threads, threads == 1 ? "" : "s");
}

/* What one measurement runs on: rows of the split, as many as a call takes, over and over. */
struct stand {
    struct infer *infer;
    const char *input; /* [pool] rows */
    float *output;
    int64_t batch, pool;
    uint64_t row_bytes;
    int64_t at;
};

static enum code one_call(struct stand *stand, double *seconds, struct err *err)
{
    if (stand->at + stand->batch > stand->pool) stand->at = 0;
    const char *input = stand->input + (uint64_t)stand->at * stand->row_bytes;
    stand->at += stand->batch;
    double begin = clock_monotonic();
    TRY(infer_run(stand->infer, stand->output, input, stand->batch, err));
    *seconds = clock_monotonic() - begin;
    return OK;
}

static enum code warm_up(struct stand *stand, struct err *err)
{
    double begin = clock_monotonic(), seconds;
    for (int call = 0; call < WARM_CALLS || clock_monotonic() - begin < WARM_SECONDS; call++) {
        TRY(one_call(stand, &seconds, err));
        if (call >= 3 && clock_monotonic() - begin > 20 * WARM_SECONDS) break;
    }
    return OK;
}

/* A latency sample is one call; a throughput sample is calls for a while. */
static enum code take_samples(struct measurement *measurement, struct stand *stand, struct err *err)
{
    bool rate = measurement->metric->unit == UNIT_PER_SECOND;
    for (int64_t s = 0; s < measurement->count; s++) {
        double spent = 0, seconds;
        int64_t rows = 0;
        do {
            TRY(one_call(stand, &seconds, err));
            spent += seconds;
            rows += stand->batch;
        } while (rate && spent < RUN_SECONDS);
        measurement->sample[s] = rate ? (double)rows / spent : spent;
    }
    return OK;
}

/* Calls that a model answers while its memory is watched. */
enum { CALLS_WATCHED = 3 };

/* One opening: what it and a few calls take beyond what was resident. */
static enum code watch_opening(struct stand *stand, const struct weights *weights,
                               const struct infer_opts *how, double *bytes, struct err *err)
{
    double seconds;
    malloc_trim(0);
    if (!process_peak_reset())
        return err_set(err, IO,
                       "cannot measure peak_memory: this system does not let a process reset its "
                       "peak through /proc/self/clear_refs");
    uint64_t before = process_peak();
    enum code code = infer_open(&stand->infer, weights, how, err);
    for (int call = 0; call < CALLS_WATCHED && !code; call++) code = one_call(stand, &seconds, err);
    uint64_t peak = process_peak();
    if (!code)
        *bytes = (double)(peak > before ? peak - before : 0) +
                 (double)infer_device_bytes(stand->infer);
    infer_close(stand->infer);
    stand->infer = NULL;
    return code;
}

/* A memory sample is one opening. The first is not counted: it loads what every later one finds,
 * the libraries' code and the threads' stacks. */
static enum code take_peaks(struct measurement *measurement, struct stand *stand,
                            const struct weights *weights, const struct infer_opts *how,
                            struct err *err)
{
    double first;
    TRY(watch_opening(stand, weights, how, &first, err));
    for (int64_t s = 0; s < measurement->count; s++)
        TRY(watch_opening(stand, weights, how, &measurement->sample[s], err));
    return OK;
}

/* The rows that calls read: the first ones of the split, repeated where it is smaller. */
static enum code fill_pool(struct stand *stand, void *pool, const struct dataset *dataset,
                           const struct split *split, struct err *err)
{
    const struct column *input = split_column(split, dataset->input);
    int64_t rows = (int64_t)split->rows;
    for (int64_t at = 0; at < stand->pool; at += rows) {
        int64_t some = stand->pool - at < rows ? stand->pool - at : rows;
        TRY(dataset_read(dataset, input, 0, (uint64_t)some,
                         (char *)pool + (uint64_t)at * stand->row_bytes, err));
    }
    stand->input = pool;
    return OK;
}

static enum code measure(struct measurement *measurement, const struct weights *weights,
                         const struct dataset *dataset, const struct split *split,
                         const struct harness_opts *opts, struct err *err)
{
    int64_t batch = measurement->batch;
    struct infer_opts how = { .device = opts->device,
                              .threads = opts->threads,
                              .tile = batch < INFER_TILE_CPU ? (int)batch : 0 };
    struct stand stand = { .batch = batch, .pool = batch > 256 ? batch : 256 };
    struct model_io io;
    void *memory = NULL;
    if (stand.pool % batch) stand.pool += batch - stand.pool % batch;
    stand.row_bytes = split_column(split, dataset->input)->row_bytes;
    enum code code = model_io_read(&io, weights->model, err);
    if (code) return code;
    size_t bytes = ((size_t)stand.pool * stand.row_bytes + 127) / 128 * 128;
    size_t out_bytes = (size_t)(batch * io.outputs) * sizeof(float);
    if ((code = block_alloc(&memory, bytes + out_bytes, "rows to measure with", err))) return code;
    stand.output = (float *)(void *)((char *)memory + bytes);
    if ((code = fill_pool(&stand, memory, dataset, split, err))) goto out;
    if (measurement->metric->unit == UNIT_BYTES) {
        code = take_peaks(measurement, &stand, weights, &how, err);
        goto out;
    }
    if ((code = infer_open(&stand.infer, weights, &how, err))) goto out;
    if ((code = warm_up(&stand, err))) goto out;
    code = take_samples(measurement, &stand, err);
out:
    block_free(memory);
    infer_close(stand.infer);
    return code;
}

static double weight_bytes(const struct weights *weights)
{
    double bytes = 0;
    for (size_t i = 0; i < weights->count; i++)
        bytes += (double)shape_count(&weights->tensors[i].shape) *
                 (double)dtype_size(weights->tensors[i].dtype);
    return bytes;
}

enum code harness_measure(struct scores *scores, const struct weights *weights,
                          const struct dataset *dataset, const struct split *split,
                          const struct harness_opts *opts, struct err *err)
{
    for (size_t i = 0; i < scores->measurement_count; i++) {
        struct measurement *measurement = &scores->measurements[i];
        bool exact = measurement->metric->statistic == STATISTIC_EXACT;
        measurement->count = exact ? 1 : measurement->metric->samples;
        measurement->sample = ARENA_ARRAY(&scores->arena, measurement->count, double);
        if (exact)
            measurement->sample[0] = weight_bytes(weights);
        else if (split->rows)
            TRY(measure(measurement, weights, dataset, split, opts, err));
    }
    return OK;
}
