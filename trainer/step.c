/* Building and running the programs of a step.
 *
 * What shards and ranks exchange lies in host memory; where the device's memory is the host's, its
 * gradient arena is summed in place. */
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
                                .reduce = step->summed && program == &step->whole_program,
                                .plan_only = opts->plan_only,
                                .no_fuse = opts->no_fuse,
                                .no_capture = opts->no_capture };
    return program_compile(program, graph, step->device, step->params, &how, err);
}

/* Passes of this rank in a step. */
static int64_t all_passes(const struct step *step)
{
    return step->passes * step->share.groups;
}

static enum code open_programs(struct step *step, const struct step_opts *opts, struct err *err)
{
    int64_t total = all_passes(step), others = step->summed ? total - 1 : total;
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
    step->late = step->whole_step && !(step->ranks && ranks_several(step->ranks)) &&
                 step->device->queue && e->non_finite == NON_FINITE_STOP;
    bool means = params_size(step->params, ARENA_STATE) > 0; /* of running statistics */
    step->summed = step->device->ranks > 1 && !step->share.apart && !opts->plan_only &&
                   (step->share.groups == 1 || !means);
}

enum code step_open(struct step *step, struct params *params, const struct step_opts *opts,
                    struct err *err)
{
    memset(step, 0, sizeof *step);
    step->params = params;
    step->device = params->device;
    set_share(step, opts);
    step->block = (struct step_block){ .seed = opts->experiment->seed, .loss_scale = 1 };
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
    struct program *programs[] = { &step->whole_program, &step->first_program, &step->more_program,
                                   &step->update_program };
    for (size_t p = 0; p < sizeof programs / sizeof *programs; p++)
        if (programs[p]->device) program_close(programs[p]);
    block_free(step->gradient);
    block_free(step->state_before);
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

/* One pass of a shard; `first`: gradients and sums begin with it. */
static enum code run_pass(struct step *step, struct program *program, const struct batch *batch,
                          int64_t index, bool first, struct err *err)
{
    int64_t row = index * step->micro; /* a shard's rows are a multiple of it */
    step->block.micro_step = first ? 0 : index;
    step->block.valid_rows = valid_rows(batch, row, step->micro);
    point_at(program, program->graph, step, batch, row);
    return run(step, program, err);
}

/* The passes of one shard; `adds`: to the gradients of those before. The last pass of a step that
 * devices sum waits until all ranks are known to come. */
static enum code run_passes(struct step *step, const struct batch *batch, int group, bool adds,
                            struct err *err)
{
    for (int64_t pass = 0; pass < step->passes; pass++) {
        bool first = pass == 0 && !adds;
        int64_t index = group * step->passes + pass;
        struct program *program = step->whole_step ? &step->whole_program
                                  : first          ? &step->first_program
                                                   : &step->more_program;
        step->pending = batch;
        if (step->summed && index + 1 == all_passes(step)) return OK;
        TRY(run_pass(step, program, batch, index, first, err));
    }
    return OK;
}

/* Copies an arena to host memory, or back. */
static enum code copy_arena(struct step *step, enum params_arena arena, float *host, bool back,
                            struct err *err)
{
    struct device *device = step->device;
    size_t bytes = (size_t)params_size(step->params, arena) * sizeof(float);
    float *own = step->params->memory[arena];
    return back ? device->copy_in(device, own, host, bytes, err)
                : device->copy_out(device, host, own, bytes, err);
}

static enum code run_group(struct step *step, const struct batch *batch, int group, struct err *err)
{
    bool apart = step->share.apart, adds = !apart && group > 0;
    if (step->state && group) TRY(copy_arena(step, ARENA_STATE, step->state_before, true, err));
    TRY(run_passes(step, batch, group, adds, err));
    if (step->state) TRY(copy_arena(step, ARENA_STATE, step->state[group + 1], false, err));
    int leaf = apart ? group : 0;
    step->sums[1 + 2 * leaf] = step->block.loss_sum;
    step->sums[2 + 2 * leaf] = step->block.weight_sum;
    return apart ? copy_arena(step, ARENA_GRADIENT, step->leaf[leaf], false, err) : OK;
}

enum code step_compute(struct step *step, const struct batch *batch, int64_t number, int64_t time,
                       double rate, struct err *err)
{
    step->block.step = number;
    step->block.optimizer_time = time;
    step->block.rate = (float)rate;
    step->block.skip = 0;
    if (step->state) TRY(copy_arena(step, ARENA_STATE, step->state_before, false, err));
    for (int group = 0; group < step->share.groups; group++)
        TRY(run_group(step, batch, group, err));
    return OK;
}

/* Joins the ranks. The norm of the step before must be equal on all of them: it is computed from
 * the same sums, and where it is not, weights have drifted apart. */
static enum code join(struct step *step, enum code mine, struct err *err)
{
    int count = step_numbers(&step->share);
    if (!step->ranks) {
        memcpy(step->all_sums, step->sums, (size_t)count * sizeof *step->sums);
        return mine;
    }
    step->sums[0] = step->norm;
    TRY(ranks_join_numbers(step->ranks, mine, step->sums, count, step->all_sums, err));
    for (int r = 1; r < step->ranks->comm->size; r++)
        if (memcmp(&step->all_sums[r * count], step->all_sums, sizeof *step->all_sums) != 0)
            return err_set(err, HOPELESS,
                           "ranks no longer hold the same weights: the gradient norm before step "
                           "%lld is %.17g on rank 0 and %.17g on rank %d",
                           (long long)step->block.step + 1, step->all_sums[0],
                           step->all_sums[r * count], r);
    return OK;
}

/* Loss and weight of the whole batch: over all leaves in their order, in f64. */
static void add_losses(struct step *step)
{
    int count = step_numbers(&step->share), ranks = step->ranks ? step->ranks->comm->size : 1;
    step->block.loss_sum = step->block.weight_sum = 0;
    for (int r = 0; r < ranks; r++)
        for (int leaf = 0; leaf < step->leaves; leaf++) {
            step->block.loss_sum += step->all_sums[r * count + 1 + 2 * leaf];
            step->block.weight_sum += step->all_sums[r * count + 2 + 2 * leaf];
        }
}

static enum code sum_gradients(struct step *step, struct comm *comm, struct err *err)
{
    float *own = step->params->memory[ARENA_GRADIENT];
    bool host = step->device->host_memory;
    int64_t size = params_size(step->params, ARENA_GRADIENT);
    if (!step->leaf) return comm_sum_leaves(comm, own, &own, 1, size, err);
    if (!step->share.apart) TRY(copy_arena(step, ARENA_GRADIENT, step->leaf[0], false, err));
    float *out = host ? own : step->leaf[0];
    TRY(comm_sum_leaves(comm, out, step->leaf, step->leaves, size, err));
    return host ? OK : copy_arena(step, ARENA_GRADIENT, out, true, err);
}

/* Running statistics: the mean over all shards. */
static enum code mean_states(struct step *step, struct comm *comm, struct err *err)
{
    if (!step->state) return OK;
    int64_t size = params_size(step->params, ARENA_STATE);
    float *out = step->state[1], share = 1.0f / (float)step->share.shards;
    TRY(comm_sum_leaves(comm, out, step->state + 1, step->share.groups, size, err));
    for (int64_t i = 0; i < size; i++) out[i] *= share;
    return copy_arena(step, ARENA_STATE, out, true, err);
}

static enum code update(struct step *step, struct err *err)
{
    struct comm alone = { .size = 1 }, *comm = step->ranks ? step->ranks->comm : &alone;
    int64_t last = all_passes(step) - 1;
    if (step->summed)
        return run_pass(step, &step->whole_program, step->pending, last, last == 0, err);
    add_losses(step);
    TRY(sum_gradients(step, comm, err));
    TRY(mean_states(step, comm, err));
    return run(step, &step->update_program, err);
}

static struct step_result result_of(const struct step_block *block)
{
    double weight = block->weight_sum;
    struct step_result result = { .loss = weight > 0 ? block->loss_sum / weight : 0,
                                  .gradient_norm = block->gradient_norm,
                                  .skipped = block->skip != 0 };
    if (!isfinite(result.loss)) result.skipped = true;
    return result;
}

enum code step_finish(struct step *step, enum code mine, struct step_result *result,
                      struct err *err)
{
    TRY(join(step, mine, err));
    if (!step->whole_step) TRY(update(step, err));
    *result = result_of(&step->block);
    step->norm = result->gradient_norm;
    return OK;
}

enum code step_run(struct step *step, const struct batch *batch, int64_t number, int64_t time,
                   double rate, struct step_result *result, struct err *err)
{
    enum code code = step_compute(step, batch, number, time, rate, err);
    return step_finish(step, code, result, err);
}

enum code step_submit(struct step *step, const struct batch *batch, int64_t number, int64_t time,
                      double rate, struct err *err)
{
    struct program *program = &step->whole_program;
    REQUIRE(step->late && step->outstanding < STEP_LATE);
    step->block.step = number;
    step->block.optimizer_time = time;
    step->block.rate = (float)rate;
    step->block.micro_step = 0;
    step->block.valid_rows = valid_rows(batch, 0, step->micro);
    TRY(program_block_write(program, &step->block, err));
    point_at(program, program->graph, step, batch, 0);
    TRY(program_run(program, err));
    TRY(program_block_ask(program, err));
    step->outstanding++;
    return OK;
}

enum code step_collect(struct step *step, struct step_result *result, struct err *err)
{
    struct step_block block;
    bool taken;
    REQUIRE(step->outstanding > 0);
    TRY(program_block_take(&step->whole_program, &block, true, &taken, err));
    REQUIRE(taken);
    step->outstanding--;
    *result = result_of(&block);
    return OK;
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
