/* Inference in tiles: one program per thread over shared weights.
 *
 * The bits of a row depend on its tile alone: every worker runs the same program, made for one
 * thread, on tiles that begin at multiples of the tile size. A device with memory of its own has
 * one worker, which runs on the device that holds the parameters. */
#include "model/infer.h"

#include "model/build.h"
#include "model/program.h"

#include <omp.h>
#include <string.h>

struct worker {
    struct arena arena;
    struct device own; /* for one thread; unused where the parameters' device runs all */
    struct device *device;
    struct graph graph;
    struct program program;
    void *rows; /* room for one padded tile */
    int64_t *ordinals;
};

struct infer {
    struct arena arena;
    struct model_io io;
    struct device device; /* owns the parameters' memory */
    struct params params;
    struct worker *workers;
    int threads;
    int64_t tile;
    size_t row_bytes;
};

static enum code open_worker(struct infer *infer, struct worker *worker, const json_t *model,
                             const char *device, struct err *err)
{
    graph_init(&worker->graph, &worker->arena);
    worker->device = infer->device.host_memory ? &worker->own : &infer->device;
    if (infer->device.host_memory) TRY(device_open(&worker->own, device, 1, err));
    struct build_opts build = { .batch = infer->tile };
    TRY(model_build(&worker->graph, model, &build, err));
    TRY(pass_fold(&worker->graph, &infer->params, err));
    TRY(program_compile(&worker->program, &worker->graph, worker->device, &infer->params,
                        &(struct program_opts){ 0 }, err));
    size_t room = (size_t)infer->tile * infer->row_bytes;
    TRY(block_alloc(&worker->rows, room, "a tile of rows", err));
    worker->ordinals = ARENA_ARRAY(&worker->arena, infer->tile, int64_t);
    program_input(&worker->program, worker->graph.ordinal, worker->ordinals);
    return OK;
}

/* The parameters' list comes from a graph of the model; its memory is the first device's. */
static enum code load_params(struct infer *infer, const struct weights *weights, struct err *err)
{
    struct graph graph;
    graph_init(&graph, &infer->arena);
    struct build_opts build = { .batch = infer->tile };
    TRY(model_build(&graph, weights->model, &build, err));
    TRY(params_open(&infer->params, &graph, &infer->device, 0, err));
    TRY(params_load(&infer->params, ARENA_VALUE, weights->tensors, weights->count, false, NULL,
                    err));
    return params_load(&infer->params, ARENA_STATE, weights->tensors, weights->count, false, NULL,
                       err);
}

static enum code open_all(struct infer *infer, const struct weights *weights,
                          const struct infer_opts *opts, struct err *err)
{
    const char *device = opts->device ? opts->device : "cpu";
    if (opts->opened)
        infer->device = *opts->opened;
    else
        TRY(device_open(&infer->device, device, 1, err));
    bool host = infer->device.host_memory;
    REQUIRE(!host || !opts->opened); /* workers open theirs by name */
    infer->tile = opts->tile ? opts->tile : host ? INFER_TILE_CPU : INFER_TILE_GPU;
    infer->threads = !host ? 1 : opts->threads ? opts->threads : device_processors();
    TRY(model_io_read(&infer->io, weights->model, err));
    TRY(shape_bytes(&infer->row_bytes, &infer->io.input, infer->io.input_dtype, err));
    TRY(load_params(infer, weights, err));
    infer->workers = ARENA_ARRAY(&infer->arena, infer->threads, struct worker);
    for (int t = 0; t < infer->threads; t++)
        TRY(open_worker(infer, &infer->workers[t], weights->model, device, err));
    return OK;
}

enum code infer_open(struct infer **infer, const struct weights *weights,
                     const struct infer_opts *opts, struct err *err)
{
    struct arena arena = { 0 };
    struct infer *made = ARENA_NEW(&arena, struct infer);
    made->arena = arena;
    enum code code = open_all(made, weights, opts, err);
    if (code) infer_close(made);
    *infer = code ? NULL : made;
    return code;
}

void infer_close(struct infer *infer)
{
    if (!infer) return;
    for (int t = 0; infer->workers && t < infer->threads; t++) {
        struct worker *worker = &infer->workers[t];
        if (worker->program.device) program_close(&worker->program);
        device_close(&worker->own);
        block_free(worker->rows);
        arena_release(&worker->arena);
    }
    if (infer->params.device) params_close(&infer->params);
    device_close(&infer->device);
    struct arena arena = infer->arena; /* holds `infer` itself */
    arena_release(&arena);
}

const struct model_io *infer_io(const struct infer *infer)
{
    return &infer->io;
}

uint64_t infer_device_bytes(const struct infer *infer)
{
    if (infer->device.host_memory) return 0;
    int64_t numbers = params_size(&infer->params, ARENA_VALUE) +
                      params_size(&infer->params, ARENA_STATE);
    const struct memory_plan *plan = &infer->workers[0].program.plan;
    return (uint64_t)numbers * sizeof(float) + plan->bytes + plan->workspace;
}

static enum code run_tile(struct infer *infer, struct worker *worker, float *output,
                          const char *input, int64_t rows, struct err *err)
{
    const void *from = input;
    if (rows < infer->tile) {
        size_t used = (size_t)rows * infer->row_bytes;
        memcpy(worker->rows, input, used);
        memset((char *)worker->rows + used, 0, (size_t)infer->tile * infer->row_bytes - used);
        from = worker->rows;
    }
    program_input(&worker->program, worker->graph.input, from);
    TRY(program_run(&worker->program, err));
    return worker->device->copy_out(worker->device, output,
                                    program_at(&worker->program, worker->graph.output),
                                    (size_t)(rows * infer->io.outputs) * sizeof *output, err);
}

enum code infer_run(struct infer *infer, float *output, const void *input, int64_t rows,
                    struct err *err)
{
    int64_t tiles = (rows + infer->tile - 1) / infer->tile;
    int threads = tiles < infer->threads ? (int)tiles : infer->threads;
    enum code failed = OK;
#pragma omp parallel for schedule(static) num_threads(threads > 0 ? threads : 1)
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = t * infer->tile;
        int64_t count = rows - first < infer->tile ? rows - first : infer->tile;
        struct err mine;
        enum code code = run_tile(
            infer, &infer->workers[omp_get_thread_num()], output + first * infer->io.outputs,
            (const char *)input + (size_t)first * infer->row_bytes, count, &mine);
        if (!code) continue;
#pragma omp critical(infer_failed)
        {
            failed = code;
            if (err) *err = mine;
        }
    }
    return failed;
}
