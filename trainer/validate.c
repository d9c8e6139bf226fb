/* The validation program and its pass over the split. */
#include "trainer/validate.h"

#include "eval/metric.h"
#include "model/build.h"

#include <math.h>
#include <string.h>

enum { TILE = 256 };

static enum code open_program(struct validator *v, struct params *params,
                              const struct validator_opts *opts, struct err *err)
{
    struct model_io io;
    TRY(model_io_read(&io, opts->model, err));
    v->outputs = io.outputs;
    v->classification = io.classification;
    v->target_bytes = io.classification ? sizeof(int32_t) : (size_t)io.outputs * sizeof(float);
    graph_init(&v->graph, &v->arena);
    struct build_opts build = { .batch = v->tile };
    TRY(model_build(&v->graph, opts->model, &build, err));
    return program_compile(
        &v->program, &v->graph, v->device, params,
        &(struct program_opts){ .average = opts->average, .plan_only = opts->plan_only }, err);
}

static enum code open_all(struct validator *v, const struct dataset *dataset, struct params *params,
                          const struct validator_opts *opts, struct err *err)
{
    TRY(open_program(v, params, opts, err));
    if (opts->plan_only) return OK;
    struct loader_opts how = { .split = opts->split, .batch = v->tile, .pad_last = true };
    TRY(loader_open(&v->loader, dataset, &how, err));
    void *block;
    size_t room = (size_t)(v->rows + v->tile);
    TRY(block_alloc(&block, room * (size_t)v->outputs * sizeof(float), "validation outputs", err));
    v->output = block;
    return block_alloc(&v->target, room * v->target_bytes, "validation targets", err);
}

enum code validator_open(struct validator *validator, const struct dataset *dataset,
                         struct params *params, const struct validator_opts *opts, struct err *err)
{
    memset(validator, 0, sizeof *validator);
    validator->device = params->device;
    validator->split = dataset_split(dataset, opts->split);
    REQUIRE(validator->split);
    validator->rows = (int64_t)validator->split->rows;
    validator->tile = validator->rows < TILE ? validator->rows : TILE;
    enum code code = open_all(validator, dataset, params, opts, err);
    if (code) validator_close(validator);
    return code;
}

void validator_close(struct validator *validator)
{
    if (validator->program.device) program_close(&validator->program);
    loader_close(validator->loader);
    block_free(validator->output);
    block_free(validator->target);
    arena_release(&validator->arena);
    memset(validator, 0, sizeof *validator);
}

static enum code run_rows(struct validator *v, bool (*stop)(void *context), void *context,
                          struct err *err)
{
    loader_seek(v->loader, 0, 0);
    for (int64_t row = 0; row < v->rows; row += v->tile) {
        struct batch batch;
        if (stop(context)) return err_set(err, STOPPED, "stopped while validating");
        TRY(loader_next(v->loader, &batch, err));
        program_input(&v->program, v->graph.input, batch.input);
        program_input(&v->program, v->graph.ordinal, batch.ordinal);
        TRY(program_run(&v->program, err));
        size_t valid = (size_t)batch.valid;
        TRY(v->device->copy_out(v->device, v->output + row * v->outputs,
                                program_at(&v->program, v->graph.output),
                                valid * (size_t)v->outputs * sizeof(float), err));
        memcpy((char *)v->target + (size_t)row * v->target_bytes, batch.target,
               valid * v->target_bytes);
    }
    return OK;
}

/* Rows of eval's table; the one named here as the loss is stored under both names. */
struct measured {
    const char *names[4];
    const char *loss;
};

static const struct measured *measured_for(bool classification)
{
    static const struct measured classes = { { "accuracy", "log_loss", "loss", NULL }, "log_loss" };
    static const struct measured numbers = { { "mse", "mae", "loss", NULL }, "mse" };
    return classification ? &classes : &numbers;
}

const char *const *validator_metrics(bool classification)
{
    return measured_for(classification)->names;
}

enum code validator_run(struct validator *validator, json_t **values, bool (*stop)(void *context),
                        void *context, struct err *err)
{
    const struct measured *measured = measured_for(validator->classification);
    TRY(run_rows(validator, stop, context, err));
    json_t *found = json_object();
    enum code code = OK;
    for (int i = 0; measured->names[i] && !code; i++) {
        const char *name = measured->names[i];
        const char *row = strcmp(name, "loss") == 0 ? measured->loss : name;
        double value;
        code = metric_of_rows(metric_find(row), &value, validator->output, validator->target,
                              validator->rows, validator->outputs, err);
        if (!code)
            json_object_set_new(found, name, isfinite(value) ? json_real(value) : json_null());
    }
    if (code)
        json_decref(found);
    else
        *values = found;
    return code;
}
