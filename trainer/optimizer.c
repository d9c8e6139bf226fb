/* The optimizer table, and the update nodes at the end of a training step. */
#include "trainer/optimizer.h"

#include <string.h>

#define RATE_ROW                                                                                   \
    {                                                                                              \
        .key = "lr", .type = FIELD_REAL, .required = true, .low = 0, .high = 1e3, .since = "0.1",  \
        .help = "Peak learning rate; the schedule scales it.", .example = "1e-3"                   \
    }
#define DECAY_ROW(value)                                                                           \
    {                                                                                              \
        .key = "weight_decay", .type = FIELD_REAL, .low = 0, .high = 10, .fallback = (value),      \
        .since = "0.1", .help = "Weight decay; biases and norms are spared.", .example = "0.05"    \
    }

static const struct field sgd_fields[] = {
    RATE_ROW,
    { .key = "momentum",
      .type = FIELD_REAL,
      .low = 0,
      .high = 1,
      .fallback = "0.9",
      .since = "0.1",
      .help = "Share of the last update that is kept.",
      .example = "0.9" },
    { .key = "nesterov",
      .type = FIELD_BOOL,
      .fallback = "false",
      .since = "0.1",
      .help = "Looks ahead along the momentum.",
      .example = "true" },
    DECAY_ROW("0"),
    { 0 },
};

static const struct field adamw_fields[] = {
    RATE_ROW,
    { .key = "beta1",
      .type = FIELD_REAL,
      .low = 0,
      .high = 0.999999,
      .fallback = "0.9",
      .since = "0.1",
      .help = "Decay of the first moment.",
      .example = "0.9" },
    { .key = "beta2",
      .type = FIELD_REAL,
      .low = 0,
      .high = 0.999999,
      .fallback = "0.999",
      .since = "0.1",
      .help = "Decay of the second moment.",
      .example = "0.95" },
    { .key = "eps",
      .type = FIELD_REAL,
      .low = 0,
      .low_open = true,
      .high = 1,
      .fallback = "1e-8",
      .since = "0.1",
      .help = "Added to the root of the second moment.",
      .example = "1e-8" },
    DECAY_ROW("0.01"),
    { 0 },
};

const struct choice optimizer_choices[] = {
    { .name = "sgd", .help = "Stochastic gradient descent with momentum.", .fields = sgd_fields },
    { .name = "adamw", .help = "Adam with decoupled weight decay.", .fields = adamw_fields },
    { 0 },
};

static double option(const struct node *options, const char *key)
{
    return node_has(options, key) ? node_real(options, key) : 0;
}

void optimizer_read(struct optimizer *optimizer, const struct node *choice)
{
    const struct node *options = node_options(choice, NULL);
    const char *name = node_choice(choice, NULL);
    *optimizer = (struct optimizer){
        .name = name,
        .op = strcmp(name, "sgd") == 0 ? OP_SGD : OP_ADAMW,
        .rate = node_real(options, "lr"),
        .momentum = option(options, "momentum"),
        .beta1 = option(options, "beta1"),
        .beta2 = option(options, "beta2"),
        .eps = option(options, "eps"),
        .weight_decay = option(options, "weight_decay"),
        .nesterov = node_has(options, "nesterov") && node_bool(options, "nesterov"),
    };
}

int optimizer_slots(const struct optimizer *optimizer, const char *names[2])
{
    if (optimizer->op == OP_ADAMW) {
        names[0] = "m";
        names[1] = "v";
        return 2;
    }
    names[0] = "momentum";
    return optimizer->momentum > 0;
}

uint32_t optimizer_arenas(const struct optimizer *optimizer)
{
    const char *names[2];
    int slots = optimizer_slots(optimizer, names);
    return 1u << ARENA_GRADIENT | (slots > 0 ? 1u << ARENA_SLOT_0 : 0) |
           (slots > 1 ? 1u << ARENA_SLOT_1 : 0);
}

/* A value that is a whole arena of params. */
static int arena_value(struct graph *graph, const struct params *params, enum params_arena arena)
{
    static const char *const names[ARENA_COUNT] = {
        [ARENA_VALUE] = "all parameters",
        [ARENA_GRADIENT] = "all gradients",
        [ARENA_EMA] = "all averages",
        [ARENA_SLOT_0] = "slot 0",
        [ARENA_SLOT_1] = "slot 1",
        [ARENA_STATE] = "all statistics",
        [ARENA_EMA_STATE] = "all averaged statistics",
    };
    int value = graph_value(graph, names[arena], ROLE_ARENA, DTYPE_F32,
                            &SHAPE(params_size(params, arena)));
    graph->values[value].parameter = (int)arena;
    return value;
}

static void append_ema(struct graph *graph, const struct params *params, double decay,
                       enum params_arena average, enum params_arena from)
{
    if (!params_size(params, average)) return;
    struct op_node node = { .op = OP_EMA, .ins = 2, .layer = "ema", .backward = true };
    node.in[0] = arena_value(graph, params, average);
    node.in[1] = arena_value(graph, params, from);
    node.attr.optimizer.decay = (float)decay;
    node.attr.optimizer.segments = average == ARENA_EMA ? &params->segments : &params->states;
    graph_node(graph, &node);
}

enum code optimizer_append(struct graph *graph, const struct optimizer *optimizer,
                           const struct params *params, const struct update_opts *opts,
                           struct err *err)
{
    if (!params->segments.size)
        return err_set(err, CONFIG, "cannot train: the model has no parameters");
    const char *names[2];
    int slots = optimizer_slots(optimizer, names);
    struct op_node node = { .op = OP_GRAD_NORM, .ins = 1, .layer = "update", .backward = true };
    node.in[0] = arena_value(graph, params, ARENA_GRADIENT);
    node.attr.optimizer.segments = &params->segments;
    node.attr.optimizer.nominal = opts->nominal;
    node.attr.optimizer.clip_norm = (float)opts->clip_norm;
    node.attr.optimizer.clip_value = (float)opts->clip_value;
    node.attr.optimizer.growth_every = opts->scale->growth_every;
    node.attr.optimizer.scale_floor = (float)opts->scale->floor;
    graph_node(graph, &node);

    node.op = optimizer->op;
    node.in[1] = node.in[0];
    node.in[0] = arena_value(graph, params, ARENA_VALUE);
    node.ins = 2 + slots;
    if (slots > 0) node.in[2] = arena_value(graph, params, ARENA_SLOT_0);
    if (slots > 1) node.in[3] = arena_value(graph, params, ARENA_SLOT_1);
    node.attr.optimizer.momentum = (float)optimizer->momentum;
    node.attr.optimizer.nesterov = optimizer->nesterov;
    node.attr.optimizer.beta1 = (float)optimizer->beta1;
    node.attr.optimizer.beta2 = (float)optimizer->beta2;
    node.attr.optimizer.eps = (float)optimizer->eps;
    node.attr.optimizer.weight_decay = (float)optimizer->weight_decay;
    graph_node(graph, &node);

    if (opts->ema_decay > 0) {
        append_ema(graph, params, opts->ema_decay, ARENA_EMA, ARENA_VALUE);
        append_ema(graph, params, opts->ema_decay, ARENA_EMA_STATE, ARENA_STATE);
    }
    return OK;
}
