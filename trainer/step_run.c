/* Running a step: the block read back after every program, or all of it handed to the device ahead
 * of what it did.
 *
 * Both give the same bits: the same programs run in the same order over the same block. What is
 * kept from step to step (updates made, loss scale) is moved on by the device alone; the host's
 * copy of it stands where the newest step does that was read. */
#include "trainer/step.h"

#include <string.h>

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
        if (step->summed && index + 1 == step_passes(step)) return OK;
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

enum code step_compute(struct step *step, const struct batch *batch, int64_t number, double rate,
                       struct err *err)
{
    step->block.step = number;
    step->block.rate = (float)rate;
    step->block.skip = 0;
    if (step->state) TRY(copy_arena(step, ARENA_STATE, step->state_before, false, err));
    for (int group = 0; group < step->share.groups; group++)
        TRY(run_group(step, batch, group, err));
    return OK;
}

/* Joins the ranks. The norm of the newest step that all of them know must be equal on all: it is
 * computed from the same sums, and where it is not, weights have drifted apart. */
static enum code join(struct step *step, enum code mine, double norm, struct err *err)
{
    int count = step_numbers(&step->share);
    if (!step->ranks) {
        memcpy(step->all_sums, step->sums, (size_t)count * sizeof *step->sums);
        return mine;
    }
    step->sums[0] = norm;
    TRY(ranks_join_numbers(step->ranks, mine, step->sums, count, step->all_sums, err));
    for (int r = 1; r < step->ranks->comm->size; r++)
        if (memcmp(&step->all_sums[r * count], step->all_sums, sizeof *step->all_sums) != 0)
            return err_set(err, HOPELESS,
                           "ranks no longer hold the same weights: a gradient norm before step "
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
    int64_t last = step_passes(step) - 1;
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
    /* a row that is no number may have taken the weight with it */
    struct step_result result = { .loss = weight <= 0 ? 0 : block->loss_sum / weight,
                                  .gradient_norm = block->gradient_norm,
                                  .skipped = block->skip != STEP_TAKEN,
                                  .overflowed = block->skip == STEP_OVERFLOWED };
    return result;
}

enum code step_finish(struct step *step, enum code mine, struct step_result *result,
                      struct err *err)
{
    TRY(join(step, mine, step->norm, err));
    if (!step->whole_step) TRY(update(step, err));
    *result = result_of(&step->block);
    step->norm = result->gradient_norm;
    return OK;
}

enum code step_run(struct step *step, const struct batch *batch, int64_t number, double rate,
                   struct step_result *result, struct err *err)
{
    enum code code = step_compute(step, batch, number, rate, err);
    return step_finish(step, code, result, err);
}

/* Hands pass `index` of a step to the device. */
static enum code submit_pass(struct step *step, const struct batch *batch, int64_t index,
                             struct err *err)
{
    bool whole = step->whole_step || (step->summed && index + 1 == step_passes(step));
    struct program *program = whole        ? &step->whole_program
                              : index == 0 ? &step->first_program
                                           : &step->more_program;
    int64_t row = index * step->micro;
    step->block.micro_step = index;
    step->block.valid_rows = valid_rows(batch, row, step->micro);
    TRY(program_block_write(program, &step->block, err));
    point_at(program, program->graph, step, batch, row);
    return program_run(program, err);
}

/* The passes before the one that ends the step. The device's block begins with the host's. */
static enum code submit_passes(struct step *step, const struct batch *batch, struct err *err)
{
    struct device *device = step->device;
    const struct program *owner = step_owner(step);
    if (!step->begun)
        TRY(device->copy_in(device, owner->block, &step->block, sizeof step->block, err));
    step->begun = true;
    int64_t count = step_passes(step) - (step->whole_step || step->summed);
    for (int64_t index = 0; index < count; index++) TRY(submit_pass(step, batch, index, err));
    return OK;
}

enum code step_submit(struct step *step, const struct batch *batch, int64_t number, double rate,
                      struct err *err)
{
    REQUIRE(step->late && step->outstanding < STEP_LATE);
    step->block.step = number;
    step->block.rate = (float)rate;
    enum code mine = submit_passes(step, batch, err);
    /* the norm of STEP_LATE steps before: whatever was read, all ranks know that one */
    if (step->summed)
        TRY(join(step, mine, step->norms[step->submitted % STEP_LATE], err));
    else if (mine)
        return mine;
    if (step->whole_step || step->summed)
        TRY(submit_pass(step, batch, step_passes(step) - 1, err));
    else
        TRY(program_run(&step->update_program, err));
    TRY(program_block_ask(step_owner(step), err));
    step->submitted++;
    step->outstanding++;
    return OK;
}

enum code step_collect(struct step *step, struct step_result *result, struct err *err)
{
    struct step_block block;
    bool taken;
    REQUIRE(step->outstanding > 0);
    TRY(program_block_take(step_owner(step), &block, true, &taken, err));
    REQUIRE(taken);
    *result = result_of(&block);
    step->norms[(step->submitted - step->outstanding) % STEP_LATE] = result->gradient_norm;
    step->outstanding--;
    step->block.loss_scale = block.loss_scale;
    step->block.good_steps = block.good_steps;
    step->block.optimizer_time = block.optimizer_time;
    return OK;
}

struct step_state step_state(const struct step *step)
{
    return (struct step_state){ .time = step->block.optimizer_time,
                                .good_steps = step->block.good_steps,
                                .loss_scale = (double)step->block.loss_scale };
}

void step_set_state(struct step *step, const struct step_state *state)
{
    REQUIRE(!step->outstanding);
    step->block.optimizer_time = state->time;
    step->block.good_steps = state->good_steps;
    step->block.loss_scale = (float)state->loss_scale;
    step->begun = false;
}
