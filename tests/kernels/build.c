/* Cases made into calls, and the backward calls that the op table's recipes ask for. */
#include "base/rng.h"
#include "kernels/shape.h"
#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

bool dtype_is_float(enum dtype dtype)
{
    return dtype_roundoff(dtype) > 0;
}

void tensor_take(struct tensor *tensor, struct arena *arena)
{
    size_t count = (size_t)shape_count(&tensor->shape);
    tensor->data = arena_array(arena, count, dtype_size(tensor->dtype));
}

static enum dtype kind_dtype(char kind, enum dtype dtype)
{
    if (strchr("xXws", kind)) return dtype;
    switch (kind) {
    case 'l':
    case 'i':
        return DTYPE_I32;
    case 'o':
        return DTYPE_I64;
    case 'u':
        return DTYPE_U8;
    default:
        return statistic_dtype(dtype);
    }
}

static double spread(enum dtype dtype, uint64_t seed, int64_t count, int64_t i)
{
    int64_t place = (int64_t)rng_permute(seed, (uint64_t)count, (uint64_t)i);
    if (dtype == DTYPE_BF16) return ((double)(place % 251 - 125) + 0.5) / 32;
    return ((double)(place - count / 2) + 0.5) * 4 / (double)count;
}

static double value_of(char kind, double u, const struct tensor *in)
{
    switch (kind) {
    case 'x':
        return 4 * u - 2;
    case 'X':
        return 60 * u - 30;
    case 'w':
    case 'p':
        return 2 * u - 1;
    case 'g':
    case 'v':
    case 'c':
        return 0.5 + u;
    case 'y':
        return 0.01 * u;
    case 'u':
        return floor(256 * u);
    case 'l':
        return floor(u * (double)in[0].shape.dim[in[0].shape.rank - 1]);
    case 'i':
        return floor(u * (double)in[1].shape.dim[0]);
    default:
        return u;
    }
}

static void fill(struct op_call *call, int i, char kind, uint64_t seed)
{
    struct tensor *tensor = &call->in[i];
    int64_t count = shape_count(&tensor->shape);
    for (int64_t at = 0; at < count; at++) {
        double u = philox4x32(seed, (uint64_t)at, (uint64_t)i).word[0] * 0x1p-32;
        double value = kind == 's'   ? spread(tensor->dtype, seed, count, at)
                       : kind == 'o' ? (double)(1000 + 37 * at)
                                     : value_of(kind, u, call->in);
        tensor_set(tensor, at, value);
    }
}

static const struct step_block plain_block = {
    .seed = 11,
    .step = 3,
    .micro_step = 1,
    .optimizer_time = 4,
    .rate = 0.05f,
    .loss_scale = 4,
    .gradient_scale = 0.5f,
    .loss_sum = 2,
    .weight_sum = 3,
};

void case_forward(struct op_call *call, const struct op_case *test, enum dtype dtype, uint64_t seed,
                  struct step_block *block, struct arena *arena)
{
    struct err err = { 0 };
    *block = plain_block;
    *call = (struct op_call){ .op = test->op, .attr = &test->attr, .block = block };
    call->ins = (int)strlen(test->kinds);
    for (int i = 0; i < call->ins; i++) {
        call->in[i].shape = test->in[i];
        if (test->kinds[i] == '-') call->in[i].shape.rank = -1;
        call->in[i].dtype = kind_dtype(test->kinds[i], dtype);
    }
    for (int i = 0; i < call->ins; i++) {
        if (!call_has_in(call, i)) continue;
        tensor_take(&call->in[i], arena);
        fill(call, i, test->kinds[i], seed);
    }
    block->valid_rows = test->valid ? test->valid : call->in[0].shape.dim[0];
    call->outs = test->parts;
    enum code code = op_infer(test->op, &test->attr, call->in, call->ins, call->out, &call->outs,
                              &err);
    cr_assert_eq(code, OK, "%s: %s", test->name, err.message);
    for (int i = 0; i < call->outs; i++) {
        if (!call_has_out(call, i)) continue;
        if (dtype == DTYPE_F64 && dtype_is_float(call->out[i].dtype)) call->out[i].dtype = dtype;
        tensor_take(&call->out[i], arena);
    }
}

bool case_cotangents(struct tensor cotangent[OP_OUTS], const struct op_call *forward, uint64_t seed,
                     struct arena *arena)
{
    bool any = false;
    for (int j = 0; j < OP_OUTS; j++) cotangent[j] = (struct tensor){ .shape.rank = -1 };
    for (const struct gradient *g = ops[forward->op].backward; g->present; g++)
        for (int i = 0; i < g->ins; i++) {
            int j = g->in[i].index;
            if (g->in[i].from != FROM_GRAD || !call_has_out(forward, j)) continue;
            if (!dtype_is_float(forward->out[j].dtype) || cotangent[j].data) continue;
            cotangent[j] = (struct tensor){ .dtype = forward->out[j].dtype,
                                            .shape = forward->out[j].shape };
            tensor_take(&cotangent[j], arena);
            for (int64_t at = 0; at < shape_count(&cotangent[j].shape); at++)
                tensor_set(&cotangent[j], at,
                           philox4x32(seed, (uint64_t)at, (uint64_t)j).word[1] * 0x1p-31 - 1);
            any = true;
        }
    return any;
}

static struct tensor source(const struct op_call *forward, struct gradient_value value,
                            const struct tensor cotangent[OP_OUTS])
{
    struct tensor none = { .shape.rank = -1 };
    switch (value.from) {
    case FROM_IN:
        return call_has_in(forward, value.index) ? forward->in[value.index] : none;
    case FROM_OUT:
        return call_has_out(forward, value.index) ? forward->out[value.index] : none;
    case FROM_GRAD:
        return cotangent[value.index];
    default:
        return none;
    }
}

bool case_backward(struct op_call *back, const struct op_call *forward, const char *kinds, int r,
                   const struct tensor cotangent[OP_OUTS], struct arena *arena)
{
    bool wanted = false;
    const struct gradient *g = &ops[forward->op].backward[r];
    if (r >= OP_GRADIENTS || !g->present) return false;
    *back = (struct op_call){ .op = g->op, .attr = forward->attr, .block = forward->block };
    for (int i = 0; i < g->ins; i++) {
        back->in[i] = source(forward, g->in[i], cotangent);
        if (back->in[i].shape.rank >= 0) back->ins = i + 1;
    }
    for (int j = 0; j < g->outs; j++) {
        int i = g->out[j];
        back->out[j] = (struct tensor){ .shape.rank = -1 };
        if (!call_has_in(forward, i) || !dtype_is_float(forward->in[i].dtype)) continue;
        enum dtype dtype = forward->in[i].dtype;
        if (kinds[i] == 'w') dtype = statistic_dtype(dtype); /* a gradient arena is f32 */
        back->out[j] = (struct tensor){ .dtype = dtype, .shape = forward->in[i].shape };
        back->outs = j + 1;
        wanted = true;
    }
    if (!wanted || g->op == OP_COUNT || back->in[0].shape.rank < 0) return false;
    for (int j = 0; j < back->outs; j++)
        if (call_has_out(back, j)) tensor_take(&back->out[j], arena);
    return true;
}

void call_once(struct device *device, struct op_call *call, struct arena *arena)
{
    struct err err = { 0 };
    cr_assert_eq(call_prepare(device, call, &err), OK, "%s", err.message);
    /* Arena takes are aligned to 16 bytes, workspaces to 128. */
    char *room = arena_take(arena, call->workspace_bytes + 128);
    call->workspace = room + (128 - (uintptr_t)room % 128) % 128;
    cr_assert_eq(call_run(device, call, &err), OK, "%s", err.message);
    call_release(device, call);
}
