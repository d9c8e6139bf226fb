/* Made-up rows are a pure function of the index, so that two trials see the same. */
#include "bench_model.h"

#include "base/rng.h"
#include "tests/kernels/shared_far.h"
#include "tests/model/shared_far_ranks.h"

#include <criterion/criterion.h>
#include <string.h>

#define CONV(filters, stride)                                                                      \
    "{\"conv\":{\"filters\":" #filters ",\"kernel\":3,\"stride\":" #stride                         \
    ",\"padding\":\"same\",\"dilation\":1,\"groups\":1,\"bias\":\"auto\"}}"
#define NORM         "{\"batch_norm\":{\"eps\":1e-5,\"momentum\":0.1}}"
#define POOL         "{\"max_pool\":{\"size\":2,\"stride\":0,\"pad\":0}}"
#define DENSE(units) "{\"dense\":{\"units\":" #units ",\"bias\":\"auto\"}}"
#define MODEL(shape, dtype, layers)                                                                \
    "{\"pawl\":\"model/1\",\"task\":\"classification\",\"outputs\":5,\"input\":{\"column\":"       \
    "\"image\",\"dtype\":\"" dtype "\",\"shape\":" shape "},\"normalize\":{\"scale\":[0.02],"      \
    "\"shift\":[-1.5]},\"loss\":{\"cross_entropy\":{\"label_smoothing\":0.1,\"balance\":false}},"  \
    "\"layers\":[" layers "]}"

static const struct {
    const char *name, *text;
} models[] = {
    { "cnn", MODEL("[11,9,1]", "u8",
                   CONV(6, 1) "," NORM ",{\"relu\":{}}," POOL "," CONV(
                       7, 1) "," NORM ",{\"relu\":{}}," POOL
                             ",{\"flatten\":{}}," DENSE(12) ",{\"relu\":{}}," DENSE(5)) },
    { "residual",
      MODEL(
          "[8,8,3]", "u8",
          CONV(8, 1) "," NORM ",{\"relu\":{}},{\"residual\":{\"layers\":[" CONV(
              8, 1) "," NORM
                    ",{\"relu\":{}}," CONV(
                        8, 1) "," NORM
                              "],\"shortcut\":[]}},{\"relu\":{}},{\"residual\":{\"layers\":[" CONV(
                                  12, 2) "," NORM
                                         "],\"shortcut\":[" CONV(
                                             12,
                                             2) "," NORM
                                                "]}},{\"relu\":{}},{\"global_avg_pool\":{}}," DENSE(
                                                    5)) },
    { "flat", /* views behind a value that others read, and before the loss */
      MODEL("[6,5,1]", "u8",
            CONV(4, 1) ",{\"relu\":{}},{\"flatten\":{}}," DENSE(5) ",{\"flatten\":{}}") },
    { "mlp",
      MODEL("[13]", "u8", DENSE(17) ",{\"relu\":{}}," DENSE(11) ",{\"gelu\":{}}," DENSE(5)) },
    { "mixed",
      MODEL("[6,6,2]", "u8",
            "{\"parallel\":{\"branches\":[[" CONV(3, 1) ",{\"silu\":{}}],[" CONV(
                4, 1) ",{\"tanh\":{}}]]}},{\"avg_pool\":{\"size\":2,\"stride\":0,\"pad\":0,"
                      "\"count_padding\":false}},{\"permute\":{\"order\":[2,0,1]}},{\"flatten\":"
                      "{}},{\"dropout\":{\"rate\":0.25}},{\"layer_norm\":{\"eps\":1e-5}}," DENSE(
                          9) ",{\"sigmoid\":{}}," DENSE(5)) },
};

const char *model_text(const char *name)
{
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (strcmp(models[i].name, name) == 0) return models[i].text;
    return NULL;
}

#define MUST(call) cr_assert_eq((call), OK, "%s", err.message)

static void make_rows(struct trial *trial)
{
    struct err err;
    size_t bytes = (size_t)trial->batch * (size_t)shape_count(&trial->io.input);
    MUST(block_alloc(&trial->input, bytes, "rows", &err));
    trial->label = ARENA_ARRAY(&trial->arena, trial->batch, int32_t);
    trial->ordinal = ARENA_ARRAY(&trial->arena, trial->batch, int64_t);
    trial_rows(trial, 0);
}

void trial_rows(struct trial *trial, uint64_t number)
{
    size_t bytes = (size_t)trial->batch * (size_t)shape_count(&trial->io.input);
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)trial->input)[i] = (uint8_t)philox4x32(11, i, number).word[0];
    for (int64_t i = 0; i < trial->batch; i++) {
        trial->label[i] = (int32_t)(philox4x32(12, (uint64_t)i, number).word[0] % 5);
        trial->ordinal[i] = i + (int64_t)number * trial->batch;
    }
}

static void open_device(struct trial *trial, const struct trial_opts *opts)
{
    struct err err = { 0 };
    struct device inner;
    if (opts->open)
        MUST(opts->open(&inner, &err));
    else
        MUST(device_open(&inner, opts->device, 2, &err));
    trial->device = inner;
    if (opts->far) MUST(device_open_far(&trial->device, &inner, opts->kind, &err));
    if (opts->ranks)
        MUST(far_ranks_open(&trial->ranks, &trial->device, opts->ranks, opts->late, opts->recorded,
                            &err));
}

static int arena_value(struct graph *graph, const struct params *params, enum params_arena arena)
{
    int value = graph_value(graph, "arena", ROLE_ARENA, DTYPE_F32,
                            &SHAPE(params_size(params, arena)));
    graph->values[value].parameter = (int)arena;
    return value;
}

void append_update(struct graph *graph, const struct params *params, int64_t nominal)
{
    struct op_node node = { .op = OP_GRAD_NORM, .ins = 1, .layer = "update", .backward = true };
    node.in[0] = arena_value(graph, params, ARENA_GRADIENT);
    node.attr.optimizer.segments = &params->segments;
    node.attr.optimizer.nominal = nominal;
    node.attr.optimizer.clip_norm = 0.5f;
    graph_node(graph, &node);
    node.op = OP_SGD;
    node.ins = 2;
    node.in[1] = node.in[0];
    node.in[0] = arena_value(graph, params, ARENA_VALUE);
    graph_node(graph, &node);
}

void trial_open(struct trial *trial, const char *model, const struct trial_opts *opts)
{
    struct err err = { 0 };
    const char *text = model_text(model);
    memset(trial, 0, sizeof *trial);
    trial->batch = opts->batch;
    MUST(json_parse(&trial->model, text, strlen(text), model, &err));
    MUST(model_io_read(&trial->io, trial->model, &err));
    open_device(trial, opts);
    graph_init(&trial->graph, &trial->arena);
    struct build_opts build = { .batch = opts->batch, .training = !opts->inference, .loss = true };
    MUST(model_build(&trial->graph, trial->model, &build, &err));
    MUST(params_open(&trial->params, &trial->graph, &trial->device, 1u << ARENA_GRADIENT, &err));
    MUST(params_init(&trial->params, 1, &err));
    if (opts->sum) {
        struct op_node sum = { .op = OP_LOSS_SUM,
                               .in = { trial->graph.loss, trial->graph.weight },
                               .ins = 2,
                               .layer = "loss" };
        graph_node(&trial->graph, &sum);
    }
    if (!opts->inference) MUST(pass_backward(&trial->graph, opts->accumulate, NULL, &err));
    if (opts->update)
        append_update(&trial->graph, &trial->params, opts->batch * (opts->ranks ? opts->ranks : 1));
    struct program_opts how = { .dtype = opts->dtype,
                                .reduce = opts->ranks > 0,
                                .bucket_bytes = opts->bucket_bytes,
                                .no_overlap = opts->no_overlap,
                                .no_fuse = opts->no_fuse,
                                .no_reuse = opts->no_reuse,
                                .no_capture = opts->no_capture,
                                .block_of = opts->block_of };
    MUST(program_compile(&trial->program, &trial->graph, &trial->device, &trial->params, &how,
                         &err));
    make_rows(trial);
    program_input(&trial->program, trial->graph.input, trial->input);
    program_input(&trial->program, trial->graph.target, trial->label);
    program_input(&trial->program, trial->graph.ordinal, trial->ordinal);
    trial->block = (struct step_block){
        .seed = 3, .loss_scale = 1, .rate = 0.1f, .gradient_scale = 1, .valid_rows = opts->batch
    };
    MUST(trial->device.copy_in(&trial->device, trial->program.block, &trial->block,
                               sizeof trial->block, &err));
}

void trial_close(struct trial *trial)
{
    program_close(&trial->program);
    params_close(&trial->params);
    device_close(&trial->device);
    if (trial->ranks) far_ranks_close(trial->ranks);
    block_free(trial->input);
    json_decref(trial->model);
    arena_release(&trial->arena);
}

double trial_loss(struct trial *trial)
{
    struct err err = { 0 };
    MUST(program_run(&trial->program, &err));
    float *loss = ARENA_ARRAY(&trial->arena, trial->batch, float);
    MUST(trial->device.copy_out(&trial->device, loss,
                                program_at(&trial->program, trial->graph.loss),
                                (size_t)trial->batch * sizeof *loss, &err));
    double sum = 0;
    for (int64_t i = 0; i < trial->batch; i++) sum += (double)loss[i];
    return sum / (double)trial->batch;
}

const float *trial_numbers(struct trial *trial, enum params_arena arena)
{
    struct err err = { 0 };
    int64_t size = params_size(&trial->params, arena);
    float *numbers = ARENA_ARRAY(&trial->arena, size, float);
    MUST(trial->device.copy_out(&trial->device, numbers, trial->params.memory[arena],
                                (size_t)size * sizeof *numbers, &err));
    return numbers;
}
