/* Tiles of forward and backward over one set of parameters. Parameter gradients are a by-product:
 * each worker has an arena of its own for them. */
#include "model/input_gradient.h"

#include "model/build.h"
#include "model/program.h"

#include <omp.h>
#include <string.h>

struct worker {
    struct arena arena;
    struct device device;
    struct params params;
    struct graph graph;
    struct program program;
    int value; /* the gradient by the input */
    void *rows, *targets;
    int64_t *ordinals;
};

struct input_gradient {
    struct arena arena;
    struct model_io io;
    struct worker *workers;
    int threads;
    int64_t width;
    size_t row_bytes, target_bytes;
};

/* Appends the backward pass down to the value behind normalisation. */
static enum code go_back(struct worker *worker, struct err *err)
{
    struct graph *graph = &worker->graph;
    int input = graph->input;
    for (int n = 0; n < graph->node_count; n++)
        if (graph->nodes[n].op == OP_NORMALIZE && graph->nodes[n].in[0] == input)
            graph->input = graph->nodes[n].out[0];
    enum code code = pass_backward(graph, false, &worker->value, err);
    graph->input = input;
    if (code || worker->value != NO_VALUE) return code;
    return err_set(err, USAGE, "cannot attack the model: its input does not reach the loss");
}

static enum code open_worker(struct input_gradient *gradient, struct worker *worker,
                             const struct weights *weights, struct err *err)
{
    struct build_opts build = { .batch = INFER_TILE_CPU, .loss = true };
    struct program_opts how = { .no_fuse = true, .no_reuse = true };
    graph_init(&worker->graph, &worker->arena);
    TRY(device_open(&worker->device, "cpu", 1, err));
    TRY(model_build(&worker->graph, weights->model, &build, err));
    TRY(go_back(worker, err));
    TRY(params_open(&worker->params, &worker->graph, &worker->device, 1u << ARENA_GRADIENT, err));
    TRY(params_load(&worker->params, ARENA_VALUE, weights->tensors, weights->count, false, NULL,
                    err));
    TRY(params_load(&worker->params, ARENA_STATE, weights->tensors, weights->count, false, NULL,
                    err));
    TRY(program_compile(&worker->program, &worker->graph, &worker->device, &worker->params, &how,
                        err));
    if (worker->graph.values[worker->value].layout)
        return err_set(err, USAGE,
                       "cannot attack the model: its first layer keeps its gradient in "
                       "a layout of the device");
    TRY(block_alloc(&worker->rows, INFER_TILE_CPU * gradient->row_bytes, "a tile of rows", err));
    TRY(block_alloc(&worker->targets, INFER_TILE_CPU * gradient->target_bytes, "a tile of targets",
                    err));
    worker->ordinals = ARENA_ARRAY(&worker->arena, INFER_TILE_CPU, int64_t);
    if (worker->graph.ordinal != NO_VALUE)
        program_input(&worker->program, worker->graph.ordinal, worker->ordinals);
    return OK;
}

static enum code open_all(struct input_gradient *gradient, const struct weights *weights,
                          int threads, struct err *err)
{
    gradient->threads = threads > 0 ? threads : device_processors();
    TRY(model_io_read(&gradient->io, weights->model, err));
    TRY(shape_bytes(&gradient->row_bytes, &gradient->io.input, gradient->io.input_dtype, err));
    gradient->width = shape_count(&gradient->io.input);
    gradient->target_bytes = gradient->io.classification
                                 ? sizeof(int32_t)
                                 : (size_t)gradient->io.outputs * sizeof(float);
    gradient->workers = ARENA_ARRAY(&gradient->arena, gradient->threads, struct worker);
    for (int t = 0; t < gradient->threads; t++)
        TRY(open_worker(gradient, &gradient->workers[t], weights, err));
    return OK;
}

enum code input_gradient_open(struct input_gradient **gradient, const struct weights *weights,
                              int threads, struct err *err)
{
    struct arena arena = { 0 };
    struct input_gradient *made = ARENA_NEW(&arena, struct input_gradient);
    made->arena = arena;
    enum code code = open_all(made, weights, threads, err);
    if (code) input_gradient_close(made);
    *gradient = code ? NULL : made;
    return code;
}

void input_gradient_close(struct input_gradient *gradient)
{
    if (!gradient) return;
    for (int t = 0; gradient->workers && t < gradient->threads; t++) {
        struct worker *worker = &gradient->workers[t];
        if (worker->program.device) program_close(&worker->program);
        if (worker->params.device) params_close(&worker->params);
        device_close(&worker->device);
        block_free(worker->rows);
        block_free(worker->targets);
        arena_release(&worker->arena);
    }
    struct arena arena = gradient->arena; /* holds `gradient` itself */
    arena_release(&arena);
}

int64_t input_gradient_width(const struct input_gradient *gradient)
{
    return gradient->width;
}

/* Whole tiles only: the last one is filled up with zeros, and its target with class 0. */
static enum code run_tile(const struct input_gradient *gradient, struct worker *worker, float *out,
                          const char *input, const char *target, int64_t rows, struct err *err)
{
    size_t used = (size_t)rows * gradient->row_bytes, told = (size_t)rows * gradient->target_bytes;
    memset(worker->rows, 0, INFER_TILE_CPU * gradient->row_bytes);
    memset(worker->targets, 0, INFER_TILE_CPU * gradient->target_bytes);
    memcpy(worker->rows, input, used);
    memcpy(worker->targets, target, told);
    program_input(&worker->program, worker->graph.input, worker->rows);
    program_input(&worker->program, worker->graph.target, worker->targets);
    worker->program.block->valid_rows = rows; /* the rest has no loss */
    worker->program.block->loss_scale = 1;
    TRY(program_run(&worker->program, err));
    memcpy(out, program_at(&worker->program, worker->value),
           (size_t)(rows * gradient->width) * sizeof *out);
    return OK;
}

enum code input_gradient_run(struct input_gradient *gradient, float *out, const void *input,
                             const void *target, int64_t rows, struct err *err)
{
    int64_t tiles = (rows + INFER_TILE_CPU - 1) / INFER_TILE_CPU;
    int threads = tiles < gradient->threads ? (int)tiles : gradient->threads;
    enum code failed = OK;
#pragma omp parallel for schedule(static) num_threads(threads > 0 ? threads : 1)
    for (int64_t t = 0; t < tiles; t++) {
        int64_t first = t * INFER_TILE_CPU;
        int64_t count = rows - first < INFER_TILE_CPU ? rows - first : INFER_TILE_CPU;
        struct err mine;
        enum code code = run_tile(
            gradient, &gradient->workers[omp_get_thread_num()], out + first * gradient->width,
            (const char *)input + (size_t)first * gradient->row_bytes,
            (const char *)target + (size_t)first * gradient->target_bytes, count, &mine);
        if (!code) continue;
#pragma omp critical(gradient_failed)
        {
            failed = code;
            if (err) *err = mine;
        }
    }
    return failed;
}
