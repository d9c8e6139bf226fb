/* Building and running the programs of a step. */
#include "trainer/step.h"

#include <math.h>
#include <string.h>

uint32_t step_arenas(const struct experiment *experiment)
{
    uint32_t arenas = optimizer_arenas(&experiment->optimizer);
    if (experiment->ema_decay > 0) arenas |= 1u << ARENA_EMA | 1u << ARENA_EMA_STATE;
    return arenas;
}

enum code step_params(struct params *params, const json_t *model,
                      const struct experiment *experiment, struct device *device, bool plan_only,
                      struct err *err)
{
    struct arena arena = { 0 };
    struct graph graph;
    graph_init(&graph, &arena);
    struct build_opts build = { .batch = experiment->micro_batch,
                                .training = true,
                                .layers = node_at(experiment->model, "layers") };
    enum code code = model_build(&graph, model, &build, err);
    if (!code && plan_only)
        params_lay_out(params, &graph, device);
    else if (!code)
        code = params_open(params, &graph, device, step_arenas(experiment), err);
    arena_release(&arena);
    return code;
}

/* Forward, loss and backward of one micro-batch. */
static enum code build(struct step *step, struct graph *graph, bool accumulate,
                       const struct step_opts *opts, struct err *err)
{
    graph_init(graph, &step->arena);
    struct build_opts how = { .batch = step->micro,
                              .training = true,
                              .augment = opts->augment,
                              .loss = true,
                              .nominal = step->batch,
                              .class_weights = opts->class_weights,
                              .layers = node_at(opts->experiment->model, "layers") };
    TRY(model_build(graph, opts->model, &how, err));
    struct op_node sum = {
        .op = OP_LOSS_SUM, .in = { graph->loss, graph->weight }, .ins = 2, .layer = "loss"
    };
    graph_node(graph, &sum);
    return pass_backward(graph, accumulate, NULL, err);
}

static enum code append_update(struct step *step, struct graph *graph, const struct step_opts *opts,
                               struct err *err)
{
    const struct experiment *e = opts->experiment;
    struct update_opts update = { .clip_norm = e->clip_norm,
                                  .clip_value = e->clip_value,
                                  .ema_decay = e->ema_decay,
                                  .nominal = step->batch };
    return optimizer_append(graph, &e->optimizer, step->params, &update, err);
}

static enum code compile(struct step *step, struct program *program, struct graph *graph,
                         const struct step_opts *opts, struct err *err)
{
    struct program_opts how = { .dtype = opts->dtype,
                                .plan_only = opts->plan_only,
                                .no_fuse = opts->no_fuse };
    return program_compile(program, graph, step->device, step->params, &how, err);
}

static enum code open_programs(struct step *step, const struct step_opts *opts, struct err *err)
{
    if (step->passes == 1) {
        TRY(build(step, &step->whole, false, opts, err));
        TRY(append_update(step, &step->whole, opts, err));
        return compile(step, &step->whole_program, &step->whole, opts, err);
    }
    TRY(build(step, &step->first, false, opts, err));
    TRY(build(step, &step->more, true, opts, err));
    graph_init(&step->update, &step->arena);
    TRY(append_update(step, &step->update, opts, err));
    TRY(compile(step, &step->first_program, &step->first, opts, err));
    TRY(compile(step, &step->more_program, &step->more, opts, err));
    struct step_opts wide = *opts; /* the update is f32 whatever the compute type */
    wide.dtype = DTYPE_F32;
    return compile(step, &step->update_program, &step->update, &wide, err);
}

enum code step_open(struct step *step, struct params *params, const struct step_opts *opts,
                    struct err *err)
{
    memset(step, 0, sizeof *step);
    const struct experiment *e = opts->experiment;
    step->params = params;
    step->device = params->device;
    step->batch = e->batch;
    step->micro = e->micro_batch;
    step->passes = e->batch / e->micro_batch;
    step->block = (struct step_block){ .seed = e->seed, .loss_scale = 1 };
    struct model_io io;
    enum code code;
    if ((code = model_io_read(&io, opts->model, err))) goto out;
    if ((code = shape_bytes(&step->row_bytes, &io.input, io.input_dtype, err))) goto out;
    step->target_bytes = io.classification ? sizeof(int32_t) : (size_t)io.outputs * sizeof(float);
    code = open_programs(step, opts, err);
out:
    if (code) step_close(step);
    return code;
}

void step_close(struct step *step)
{
    struct program *programs[] = { &step->whole_program, &step->first_program, &step->more_program,
                                   &step->update_program };
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++)
        if (programs[p]->device) program_close(programs[p]);
    arena_release(&step->arena);
    memset(step, 0, sizeof *step);
}

/* Runs one program with the host's block; reads the block back. */
static enum code run(struct step *step, struct program *program, struct err *err)
{
    struct device *device = step->device;
    TRY(device->copy_in(device, program->block, &step->block, sizeof step->block, err));
    TRY(program_run(program, err));
    return device->copy_out(device, &step->block, program->block, sizeof step->block, err);
}

static void point_at(struct program *program, const struct graph *graph, const struct step *step,
                     const struct batch *batch, int64_t row)
{
    program_input(program, graph->input,
                  (const char *)batch->input + (size_t)row * step->row_bytes);
    program_input(program, graph->target,
                  (const char *)batch->target + (size_t)row * step->target_bytes);
    program_input(program, graph->ordinal, batch->ordinal + row);
}

static int64_t valid_rows(const struct batch *batch, int64_t row, int64_t micro)
{
    int64_t left = batch->valid - row;
    return left < 0 ? 0 : left < micro ? left : micro;
}

static enum code run_passes(struct step *step, const struct batch *batch, struct err *err)
{
    for (int64_t pass = 0; pass < step->passes; pass++) {
        bool first = pass == 0, whole = step->passes == 1;
        struct program *program = whole   ? &step->whole_program
                                  : first ? &step->first_program
                                          : &step->more_program;
        int64_t row = pass * step->micro;
        step->block.micro_step = pass;
        step->block.valid_rows = valid_rows(batch, row, step->micro);
        point_at(program, program->graph, step, batch, row);
        TRY(run(step, program, err));
    }
    return step->passes == 1 ? OK : run(step, &step->update_program, err);
}

enum code step_run(struct step *step, const struct batch *batch, int64_t number, int64_t time,
                   double rate, struct step_result *result, struct err *err)
{
    step->block.step = number;
    step->block.optimizer_time = time;
    step->block.rate = (float)rate;
    step->block.skip = 0;
    TRY(run_passes(step, batch, err));
    double weight = step->block.weight_sum;
    *result = (struct step_result){ .loss = weight > 0 ? step->block.loss_sum / weight : 0,
                                    .gradient_norm = step->block.gradient_norm,
                                    .skipped = step->block.skip != 0 };
    if (!isfinite(result->loss)) result->skipped = true;
    return OK;
}

struct step_memory step_memory(const struct step *step)
{
    const struct program *programs[] = { &step->whole_program, &step->first_program,
                                         &step->more_program, &step->update_program };
    struct step_memory sum = { 0 };
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++) {
        sum.activations += programs[p]->plan.bytes;
        sum.workspace += programs[p]->plan.workspace;
    }
    return sum;
}
