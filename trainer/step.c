/* Building the programs of a step, and the memory beside them.
 *
 * What shards and ranks exchange lies in host memory; where the device's memory is the host's, its
 * gradient arena is summed in place. All programs of a step share one step block on the device:
 * what one leaves there the next finds, without the host. */
#include "trainer/step.h"

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
                                  .scale = &e->loss_scale,
                                  .ema_decay = e->ema_decay,
                                  .nominal = step->batch };
    return optimizer_append(graph, &e->optimizer, step->params, &update, err);
}

static enum code compile(struct step *step, struct program *program, struct graph *graph,
                         const struct step_opts *opts, struct err *err)
{
    const struct program *owner = step_owner(step);
    struct program_opts how = { .dtype = opts->dtype,
                                .block_of = program == owner ? NULL : owner,
                                .reduce = step->summed && program == &step->whole_program,
                                .plan_only = opts->plan_only,
                                .no_fuse = opts->no_fuse,
                                .no_capture = opts->no_capture };
    return program_compile(program, graph, step->device, step->params, &how, err);
}

static enum code open_programs(struct step *step, const struct step_opts *opts, struct err *err)
{
    int64_t total = step_passes(step), others = step->summed ? total - 1 : total;
    if (step->whole_step || step->summed) {
        TRY(build(step, &step->whole, total > 1, opts, err));
        TRY(append_update(step, &step->whole, opts, err));
        TRY(compile(step, &step->whole_program, &step->whole, opts, err));
        if (!others || step->whole_step) return OK;
    }
    bool adds = step->passes > 1 || (step->share.groups > 1 && !step->share.apart);
    TRY(build(step, &step->first, false, opts, err));
    TRY(compile(step, &step->first_program, &step->first, opts, err));
    if (adds && others > 1) {
        TRY(build(step, &step->more, true, opts, err));
        TRY(compile(step, &step->more_program, &step->more, opts, err));
    }
    if (step->summed) return OK;
    graph_init(&step->update, &step->arena);
    TRY(append_update(step, &step->update, opts, err));
    struct step_opts wide = *opts; /* the update is f32 whatever the compute type */
    wide.dtype = DTYPE_F32;
    return compile(step, &step->update_program, &step->update, &wide, err);
}

int step_numbers(const struct share *share)
{
    return 1 + 2 * (share->apart ? share->groups : 1);
}

/* `count` arrays of `size` numbers each. */
static enum code take_arrays(struct step *step, float ***arrays, float **memory, int count,
                             int64_t size, struct err *err)
{
    void *block;
    TRY(block_alloc(&block, (size_t)count * (size_t)size * sizeof(float), "the shards' sums", err));
    *memory = block;
    *arrays = ARENA_ARRAY(&step->arena, count, float *);
    for (int i = 0; i < count; i++) (*arrays)[i] = *memory + i * size;
    return OK;
}

/* Room for what is kept apart: gradients of each shard, or on a device of its own this rank's sum;
 * running statistics of each shard. */
static enum code take_leaves(struct step *step, struct err *err)
{
    const struct share *share = &step->share;
    int64_t size = params_size(step->params, ARENA_GRADIENT);
    int64_t states = params_size(step->params, ARENA_STATE);
    int ranks = step->ranks ? step->ranks->comm->size : 1;
    bool exchanged = ranks > 1 && !step->device->host_memory && !step->summed;
    step->leaves = share->apart ? share->groups : 1;
    step->sums = ARENA_ARRAY(&step->arena, step_numbers(share), double);
    step->all_sums = ARENA_ARRAY(&step->arena, step_numbers(share) * ranks, double);
    if (share->apart || exchanged)
        TRY(take_arrays(step, &step->leaf, &step->gradient, step->leaves, size, err));
    if (share->shards == 1 || !states || step->summed) return OK;
    return take_arrays(step, &step->state, &step->state_before, share->groups + 1, states, err);
}

static void set_share(struct step *step, const struct step_opts *opts)
{
    const struct experiment *e = opts->experiment;
    step->batch = e->batch;
    step->share = (struct share){
        .rows = e->batch, .shards = 1, .groups = 1, .group_rows = e->batch, .micro = e->micro_batch
    };
    if (opts->share) step->share = *opts->share;
    step->ranks = opts->ranks;
    step->micro = step->share.micro;
    step->passes = step->share.group_rows / step->micro;
    step->whole_step = step->share.shards == 1 && step->passes == 1;
    bool alone = !step->ranks || !ranks_several(step->ranks);
    bool means = params_size(step->params, ARENA_STATE) > 0; /* of running statistics */
    step->summed = step->device->ranks > 1 && !step->share.apart && !opts->plan_only &&
                   (step->share.groups == 1 || !means);
    bool kept = step->share.apart || (step->share.shards > 1 && means); /* in host memory */
    step->late = step->device->queue && (step->summed || (alone && !kept));
}

enum code step_open(struct step *step, struct params *params, const struct step_opts *opts,
                    struct err *err)
{
    memset(step, 0, sizeof *step);
    step->params = params;
    step->device = params->device;
    set_share(step, opts);
    double scale = opts->experiment->loss_scale.start;
    step->block = (struct step_block){ .seed = opts->experiment->seed,
                                       .loss_scale = scale > 0 ? (float)scale : 1 };
    struct model_io io;
    enum code code;
    if ((code = model_io_read(&io, opts->model, err))) goto out;
    if ((code = shape_bytes(&step->row_bytes, &io.input, io.input_dtype, err))) goto out;
    step->target_bytes = io.classification ? sizeof(int32_t) : (size_t)io.outputs * sizeof(float);
    if (!opts->plan_only && (code = take_leaves(step, err))) goto out;
    code = open_programs(step, opts, err);
out:
    if (code) step_close(step);
    return code;
}

void step_close(struct step *step)
{
    /* the block's owner last */
    struct program *programs[] = { &step->update_program, &step->more_program, &step->first_program,
                                   &step->whole_program };
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++)
        if (programs[p]->device) program_close(programs[p]);
    block_free(step->gradient);
    block_free(step->state_before);
    arena_release(&step->arena);
    memset(step, 0, sizeof *step);
}

const struct program *step_program(const struct step *step)
{
    return step->whole_step || step->summed ? &step->whole_program : &step->first_program;
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
    int64_t kept = step->share.apart ? step->share.groups : 0;
    if (step->share.shards > 1)
        sum.workspace += (uint64_t)(params_size(step->params, ARENA_STATE) *
                                    (step->share.groups + 1)) *
                         sizeof(float);
    sum.workspace += (uint64_t)(params_size(step->params, ARENA_GRADIENT) * kept) * sizeof(float);
    return sum;
}
