/* ref and the gradient recipes against PyTorch in f64: tests/torch/ops.json, which
 * tests/torch/record_ops.py wrote. Both compute in f64, so they may differ by rounding alone: 1e-12
 * of the magnitude sum. */
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

static const double bound = 1e-12;

/* Attributes by name; a member may have several numbers. */
enum attr_type { INT, FLOAT, DOUBLE, BOOL, INT64, AXES };

static const struct attr_key {
    const char *op, *key;
    enum attr_type type;
    size_t offset;
} attr_keys[] = {
#define KEY(op, key, type, member)                                                                 \
    {                                                                                              \
        op, key, type, offsetof(union op_attr, member)                                             \
    }
    KEY("conv2d", "stride", INT, conv.stride),
    KEY("conv2d", "dilation", INT, conv.dilation),
    KEY("conv2d", "pad", INT, conv.pad),
    KEY("conv2d", "groups", INT, conv.groups),
    KEY("batch_norm", "eps", FLOAT, norm.eps),
    KEY("batch_norm", "momentum", FLOAT, norm.momentum),
    KEY("batch_norm_infer", "eps", FLOAT, norm.eps),
    KEY("bn_act_pool", "eps", FLOAT, norm.eps),
    KEY("bn_act_pool", "momentum", FLOAT, norm.momentum),
    KEY("bn_act_pool", "pool", INT, norm.pool),
    KEY("layer_norm", "eps", FLOAT, norm.eps),
    KEY("max_pool", "size", INT, pool.size),
    KEY("max_pool", "stride", INT, pool.stride),
    KEY("max_pool", "pad", INT, pool.pad),
    KEY("avg_pool", "size", INT, pool.size),
    KEY("avg_pool", "stride", INT, pool.stride),
    KEY("avg_pool", "pad", INT, pool.pad),
    KEY("avg_pool", "count_padding", BOOL, pool.count_padding),
    KEY("concat", "axis", INT, concat.axis),
    KEY("split", "axis", INT, concat.axis),
    KEY("reshape", "shape", AXES, reshape.shape),
    KEY("permute", "order", INT, permute.order),
    KEY("reduce_sum", "axes", INT, reduce.axes),
    KEY("reduce_mean", "axes", INT, reduce.axes),
    KEY("attention", "causal", BOOL, attention.causal),
    KEY("attention", "scale", FLOAT, attention.scale),
    KEY("softmax_xent", "smoothing", DOUBLE, loss.smoothing),
    KEY("softmax_xent", "ignore_index", INT, loss.ignore_index),
    KEY("softmax_xent", "nominal", INT64, loss.nominal),
    KEY("mse", "nominal", INT64, loss.nominal),
    KEY("huber", "nominal", INT64, loss.nominal),
    KEY("huber", "delta", DOUBLE, loss.delta),
    KEY("bce", "nominal", INT64, loss.nominal),
    KEY("sgd", "weight_decay", FLOAT, optimizer.weight_decay),
    KEY("sgd", "momentum", FLOAT, optimizer.momentum),
    KEY("sgd", "nesterov", BOOL, optimizer.nesterov),
    KEY("adamw", "weight_decay", FLOAT, optimizer.weight_decay),
    KEY("adamw", "beta1", FLOAT, optimizer.beta1),
    KEY("adamw", "beta2", FLOAT, optimizer.beta2),
    KEY("adamw", "eps", FLOAT, optimizer.eps),
    KEY("ema", "decay", FLOAT, optimizer.decay),
    KEY("grad_norm", "clip_norm", FLOAT, optimizer.clip_norm),
    KEY("grad_norm", "nominal", INT64, optimizer.nominal),
#undef KEY
};

static void put_number(char *at, enum attr_type type, const json_t *value, size_t i)
{
    double number = json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
    switch (type) {
    case INT:
        ((int *)(void *)at)[i] = (int)number;
        return;
    case FLOAT:
        ((float *)(void *)at)[i] = (float)number;
        return;
    case DOUBLE:
        ((double *)(void *)at)[i] = number;
        return;
    case BOOL:
        ((bool *)at)[i] = number != 0;
        return;
    case INT64:
        ((int64_t *)(void *)at)[i] = (int64_t)number;
        return;
    case AXES:
        ((struct shape *)(void *)at)->dim[i] = (int64_t)number;
        ((struct shape *)(void *)at)->rank = (int)i + 1;
        return;
    }
}

static void read_act(union op_attr *attr, const char *op, const char *name)
{
    enum op_kind kind = op_find(name);
    enum activation act = kind == OP_RELU      ? ACT_RELU
                          : kind == OP_GELU    ? ACT_GELU
                          : kind == OP_SILU    ? ACT_SILU
                          : kind == OP_TANH    ? ACT_TANH
                          : kind == OP_SIGMOID ? ACT_SIGMOID
                                               : ACT_NONE;
    if (strcmp(op, "linear") == 0) attr->linear.act = act;
    if (strcmp(op, "bn_act_pool") == 0) attr->norm.act = act;
}

static void read_attr(union op_attr *attr, const char *op, json_t *json)
{
    const char *key;
    json_t *value;
    memset(attr, 0, sizeof *attr);
    json_object_foreach(json, key, value)
    {
        bool known = strcmp(key, "act") == 0 || strcmp(key, "rate") == 0;
        if (strcmp(key, "act") == 0) read_act(attr, op, json_string_value(value));
        for (size_t i = 0; i < sizeof attr_keys / sizeof *attr_keys; i++) {
            const struct attr_key *row = &attr_keys[i];
            if (strcmp(row->op, op) != 0 || strcmp(row->key, key) != 0) continue;
            char *at = (char *)attr + row->offset;
            known = true;
            if (!json_is_array(value)) put_number(at, row->type, value, 0);
            for (size_t j = 0; j < json_array_size(value); j++)
                put_number(at, row->type, json_array_get(value, j), j);
        }
        cr_assert(known, "%s has no attribute '%s'", op, key);
    }
}

static struct tensor read_tensor(const json_t *json, struct arena *arena)
{
    struct tensor tensor = { .shape.rank = -1 };
    if (!json_is_object(json)) return tensor;
    const json_t *shape = json_object_get(json, "shape"), *values = json_object_get(json, "values");
    cr_assert(dtype_parse(&tensor.dtype, json_string_value(json_object_get(json, "dtype"))));
    tensor.shape.rank = (int)json_array_size(shape);
    for (int i = 0; i < tensor.shape.rank; i++)
        tensor.shape.dim[i] = json_integer_value(json_array_get(shape, (size_t)i));
    cr_assert_eq(shape_count(&tensor.shape), (int64_t)json_array_size(values));
    tensor_take(&tensor, arena);
    for (size_t i = 0; i < json_array_size(values); i++)
        tensor_set(&tensor, (int64_t)i, json_number_value(json_array_get(values, i)));
    return tensor;
}

/* One tensor of ours against the recorded one, by the magnitudes of ref (NULL: exact). */
static void hold(const char *name, const char *what, int index, const struct tensor *got,
                 const double *magnitude, const json_t *json, struct arena *arena)
{
    struct tensor wanted = read_tensor(json, arena);
    if (wanted.shape.rank < 0) return;
    cr_assert(got->shape.rank >= 0 && shape_equal(&got->shape, &wanted.shape), "%s: %s %d", name,
              what, index);
    for (int64_t at = 0; at < shape_count(&got->shape); at++) {
        double a = tensor_get(got, at), b = tensor_get(&wanted, at);
        cr_assert_leq(fabs(a - b), magnitude ? bound * (magnitude[at] + 1e-6) : 0,
                      "%s, %s %d element %lld: %.17g, PyTorch has %.17g", name, what, index,
                      (long long)at, a, b);
    }
}

static void take_magnitudes(struct op_call *call, struct arena *arena)
{
    for (int i = 0; i < call->outs; i++)
        if (call_has_out(call, i))
            call->magnitude[i] = ARENA_ARRAY(arena, shape_count(&call->out[i].shape), double);
    for (int i = 0; i < call->ins; i++)
        if (call_has_in(call, i))
            call->in_magnitude[i] = ARENA_ARRAY(arena, shape_count(&call->in[i].shape), double);
}

/* Runs once, or once per recorded gradient of an optimizer. */
static void run_steps(struct device *ref, struct op_call *call, const json_t *json,
                      struct arena *arena)
{
    const json_t *steps = json_object_get(json, "steps");
    if (!steps) call_once(ref, call, arena);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        call->in[1] = read_tensor(json_array_get(steps, i), arena);
        call->block->optimizer_time = (int64_t)i + 1;
        call_once(ref, call, arena);
    }
}

static void hold_gradients(struct device *ref, struct op_call *forward, const json_t *json,
                           const char *name, struct arena *arena)
{
    struct op_call back;
    struct tensor cotangent[OP_OUTS];
    const json_t *gradients = json_object_get(json, "gradient");
    char kinds[OP_INS + 1] = "xxxxxxxx";
    for (size_t j = 0; j < OP_OUTS; j++)
        cotangent[j] = read_tensor(json_array_get(json_object_get(json, "cotangent"), j), arena);
    for (int r = 0; r < OP_GRADIENTS && ops[forward->op].backward[r].present; r++) {
        const struct gradient *g = &ops[forward->op].backward[r];
        bool made = case_backward(&back, forward, kinds, r, cotangent, arena);
        if (made) {
            take_magnitudes(&back, arena);
            call_once(ref, &back, arena);
        }
        for (int j = 0; j < g->outs; j++) {
            const json_t *wanted = json_array_get(gradients, (size_t)g->out[j]);
            if (made && call_has_out(&back, j))
                hold(name, "gradient", g->out[j], &back.out[j], back.magnitude[j], wanted, arena);
            else if (g->op == OP_COUNT && json_is_object(wanted))
                hold(name, "gradient", g->out[j], &back.in[0],
                     g->in[0].from == FROM_OUT ? forward->magnitude[g->in[0].index] : NULL, wanted,
                     arena);
        }
    }
}

static const struct segment whole = { .count = 7, .decay = true, .rate = 1, .name = "all" };
static const struct segments all = { .at = &whole, .count = 1, .size = 7 };

static void hold_case(struct device *ref, const json_t *json, struct arena *arena)
{
    struct err err = { 0 };
    union op_attr attr;
    const char *name = json_string_value(json_object_get(json, "name"));
    const char *op = json_string_value(json_object_get(json, "op"));
    json_t *options = json_object_get(json, "attr"), *ins = json_object_get(json, "in");
    struct step_block block = { .loss_scale = 4, .gradient_scale = 1, .weight_sum = 1 };
    struct op_call call = { .op = op_find(op), .attr = &attr, .block = &block };
    cr_assert_neq(call.op, OP_COUNT, "%s", op);
    read_attr(&attr, op, options);
    call.ins = (int)json_array_size(ins);
    for (int i = 0; i < call.ins; i++)
        call.in[i] = read_tensor(json_array_get(ins, (size_t)i), arena);
    if (ops[call.op].updates && ops[call.op].outs == 0) attr.optimizer.segments = &all;
    if (call.op == OP_GRAD_NORM) block.loss_scale = 1;
    block.rate = (float)json_number_value(json_object_get(options, "rate"));
    block.valid_rows = call.in[0].shape.dim[0];
    call.outs = (int)json_array_size(json_object_get(json, "out"));
    cr_assert_eq(op_infer(call.op, &attr, call.in, call.ins, call.out, &call.outs, &err), OK,
                 "%s: %s", name, err.message);
    for (int j = 0; j < call.outs; j++)
        if (call_has_out(&call, j)) tensor_take(&call.out[j], arena);
    take_magnitudes(&call, arena);
    run_steps(ref, &call, json, arena);
    for (int j = 0; j < call.outs; j++)
        hold(name, "output", j, &call.out[j], call.magnitude[j],
             json_array_get(json_object_get(json, "out"), (size_t)j), arena);
    for (int i = 0; i < call.ins; i++)
        hold(name, "updated input", i, &call.in[i], call.in_magnitude[i],
             json_array_get(json_object_get(json, "updated"), (size_t)i), arena);
    hold_gradients(ref, &call, json, name, arena);
    const json_t *wanted = json_object_get(json, "block");
    if (!wanted) return;
    /* PyTorch divides by the norm + 1e-6. */
    cr_expect_float_eq(block.gradient_norm,
                       json_number_value(json_object_get(wanted, "gradient_norm")), 1e-12);
    cr_expect_float_eq((double)block.gradient_scale,
                       json_number_value(json_object_get(wanted, "gradient_scale")), 1e-6);
}

Test(torch, ref_and_recipes_agree_with_pytorch)
{
    struct device ref;
    struct err err = { 0 };
    json_error_t where;
    json_t *document = json_load_file(PAWL_SOURCE_DIR "/tests/torch/ops.json", 0, &where);
    cr_assert_not_null(document, "tests/torch/ops.json: %s", where.text);
    json_t *list = json_object_get(document, "cases");
    cr_assert_geq(json_array_size(list), 60u);
    cr_assert_eq(device_open(&ref, "ref", 1, &err), OK);
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct arena arena = { 0 };
        hold_case(&ref, json_array_get(list, i), &arena);
        arena_release(&arena);
    }
    device_close(&ref);
    json_decref(document);
}
