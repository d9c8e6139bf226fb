/* A call on a device against ref. What the device gets lies in memory that the device allocated. */
#include "tests/kernels/compare.h"

#include "tests/kernels/cases.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Opaque layouts may need more bytes than the shape says. */
struct slot {
    void *memory;
    size_t bytes;
};

/* A call bound to device memory. */
struct bound {
    struct op_call call;
    struct step_block block;
    void *device_block; /* where the host cannot touch the device's memory */
    struct slot in[OP_INS], out[OP_OUTS];
    void *workspace;
};

static size_t bytes_of(const struct tensor *tensor)
{
    return (size_t)shape_count(&tensor->shape) * dtype_size(tensor->dtype);
}

static void must(enum code code, const struct err *err)
{
    cr_assert_eq(code, OK, "%s", err->message);
}

static void *device_take(struct device *device, size_t bytes, const void *from)
{
    struct err err = { 0 };
    void *memory = NULL;
    must(device->alloc(device, &memory, bytes ? bytes : 1, "test tensor", &err), &err);
    if (from) must(device->copy_in(device, memory, from, bytes, &err), &err);
    return memory;
}

/* Memory of the call on the device: inputs copied, outputs poisoned or, where the call accumulates,
 * with what is there. In place, output 0 lies on input 0. */
static void bind(struct bound *bound, struct device *device, const struct op_call *call,
                 bool in_place)
{
    *bound = (struct bound){ .call = *call };
    if (call->block) {
        bound->block = *call->block;
        if (!device->host_memory)
            bound->device_block = device_take(device, sizeof bound->block, &bound->block);
        bound->call.block = device->host_memory ? &bound->block : bound->device_block;
    }
    for (int i = 0; i < call->ins; i++) {
        if (!call_has_in(call, i)) continue;
        bound->in[i].bytes = bytes_of(&call->in[i]);
        bound->in[i].memory = device_take(device, bound->in[i].bytes, call->in[i].data);
        bound->call.in[i].data = bound->in[i].memory;
    }
    for (int i = 0; i < call->outs; i++) {
        if (!call_has_out(call, i)) continue;
        struct slot *slot = &bound->out[i];
        slot->bytes = bytes_of(&call->out[i]);
        if (i == 0 && in_place) {
            bound->call.out[0].data = bound->call.in[0].data;
            continue;
        }
        void *poison = malloc(slot->bytes);
        memset(poison, 0xFF, slot->bytes); /* not-a-number in every floating type */
        slot->memory = device_take(device, slot->bytes,
                                   call->accumulate >> i & 1 ? call->out[i].data : poison);
        bound->call.out[i].data = slot->memory;
        free(poison);
    }
    memset(bound->call.magnitude, 0, sizeof bound->call.magnitude);
    memset(bound->call.in_magnitude, 0, sizeof bound->call.in_magnitude);
}

static void prepare_and_run(struct bound *bound, struct device *device)
{
    struct err err = { 0 };
    must(call_prepare(device, &bound->call, &err), &err);
    if (bound->call.workspace_bytes)
        bound->workspace = device_take(device, bound->call.workspace_bytes, NULL);
    bound->call.workspace = bound->workspace;
    must(call_run(device, &bound->call, &err), &err);
    if (bound->device_block)
        must(
            device->copy_out(device, &bound->block, bound->device_block, sizeof bound->block, &err),
            &err);
}

static void unbind(struct bound *bound, struct device *device)
{
    call_release(device, &bound->call);
    for (int i = 0; i < OP_INS; i++) device->free(device, bound->in[i].memory);
    for (int i = 0; i < OP_OUTS; i++) device->free(device, bound->out[i].memory);
    device->free(device, bound->workspace);
    device->free(device, bound->device_block);
}

/* A tensor of the device brought to the host. */
static struct tensor fetch(struct device *device, const struct tensor *tensor, struct arena *arena)
{
    struct err err = { 0 };
    struct tensor host = *tensor;
    tensor_take(&host, arena);
    must(device->copy_out(device, host.data, tensor->data, bytes_of(tensor), &err), &err);
    return host;
}

/* The call on ref with f64 outputs and f64 copies of what it updates. */
static void run_ref(struct op_call *ref, const struct op_call *call, struct step_block *block,
                    struct arena *arena)
{
    struct device device;
    struct err err = { 0 };
    must(device_open(&device, "ref", 1, &err), &err);
    *ref = *call;
    if (call->block) {
        *block = *call->block;
        ref->block = block;
    }
    for (int i = 0; i < call->ins; i++) {
        if (!(ops[call->op].updates >> i & 1) || !call_has_in(call, i)) continue;
        int64_t count = shape_count(&call->in[i].shape);
        ref->in[i].dtype = DTYPE_F64;
        tensor_take(&ref->in[i], arena);
        ref->in_magnitude[i] = ARENA_ARRAY(arena, count, double);
        for (int64_t at = 0; at < count; at++) {
            tensor_set(&ref->in[i], at, tensor_get(&call->in[i], at));
            ref->in_magnitude[i][at] = fabs(tensor_get(&call->in[i], at));
        }
    }
    for (int i = 0; i < call->outs; i++) {
        if (!call_has_out(call, i)) continue;
        int64_t count = shape_count(&call->out[i].shape);
        if (dtype_is_float(call->out[i].dtype)) ref->out[i].dtype = DTYPE_F64;
        tensor_take(&ref->out[i], arena);
        ref->magnitude[i] = ARENA_ARRAY(arena, count, double);
        for (int64_t at = 0; at < count; at++)
            tensor_set(&ref->out[i], at, tensor_get(&call->out[i], at));
    }
    call_once(&device, ref, arena);
    device_close(&device);
}

/* What a comparison of one number needs to know. */
struct bar {
    double c, u; /* tolerance and roundoff of the arithmetic */
    const char *what;
    int index;
};

static void hold(struct comparison *result, const struct bar *bar, int64_t at, double got,
                 double ref, double bound)
{
    bool same = got == ref || (isnan(got) && isnan(ref));
    double ratio = same ? 0 : isfinite(got) && bound > 0 ? fabs(got - ref) / bound : INFINITY;
    if (ratio <= result->worst) return;
    result->worst = ratio;
    snprintf(result->text, sizeof result->text,
             "%s %d element %lld: got %.9g, ref %.9g, off by %.3g, allowed %.3g", bar->what,
             bar->index, (long long)at, got, ref, fabs(got - ref), bound);
}

static void hold_tensor(struct comparison *result, const struct bar *bar, const struct tensor *got,
                        const struct tensor *ref, const double *magnitude)
{
    double rounding = dtype_roundoff(got->dtype);
    double half_step = got->dtype == DTYPE_F16 ? 0x1p-25 : 0; /* of f16's subnormals */
    for (int64_t at = 0; at < shape_count(&got->shape); at++) {
        double value = tensor_get(ref, at), bound = 0;
        /* Results below the smallest normal number may be flushed to zero. */
        if (rounding > 0)
            bound = bar->c * bar->u * magnitude[at] + rounding * fabs(value) + half_step + FLT_MIN;
        hold(result, bar, at, tensor_get(got, at), value, bound);
    }
}

static void hold_block(struct comparison *result, struct bar bar, const struct step_block *got,
                       const struct step_block *ref)
{
    const double pairs[][2] = { { got->loss_sum, ref->loss_sum },
                                { got->weight_sum, ref->weight_sum },
                                { got->gradient_norm, ref->gradient_norm },
                                { (double)got->gradient_scale, (double)ref->gradient_scale },
                                { got->skip, ref->skip },
                                { (double)got->loss_scale, (double)ref->loss_scale },
                                { (double)got->good_steps, (double)ref->good_steps },
                                { (double)got->optimizer_time, (double)ref->optimizer_time } };
    bar.what = "block";
    for (int i = 0; i < (int)(sizeof pairs / sizeof *pairs); i++) {
        bar.index = i;
        hold(result, &bar, 0, pairs[i][0], pairs[i][1], bar.c * bar.u * fabs(pairs[i][1]));
    }
}

static void hold_all(struct comparison *result, struct device *device, const struct bound *bound,
                     const struct op_call *ref, struct arena *arena)
{
    const struct op *op = &ops[ref->op];
    const char *algorithm = bound->call.algorithm ? bound->call.algorithm : "";
    bool wide = ref->ins > 0 && bound->call.in[0].dtype == DTYPE_F64;
    struct bar bar = { .u = dtype_roundoff(wide ? DTYPE_F64 : DTYPE_F32),
                       .c = strstr(algorithm, "wino")   ? op->tolerance.winograd
                            : strstr(algorithm, "tf32") ? op->tolerance.tf32
                                                        : op->tolerance.direct };
    snprintf(result->algorithm, sizeof result->algorithm, "%s", algorithm);
    for (int i = 0; i < ref->outs; i++) {
        if (!call_has_out(ref, i)) continue;
        struct tensor got = fetch(device, &bound->call.out[i], arena);
        bar.what = "output", bar.index = i;
        hold_tensor(result, &bar, &got, &ref->out[i], ref->magnitude[i]);
    }
    for (int i = 0; i < ref->ins; i++) {
        if (!(op->updates >> i & 1) || !call_has_in(ref, i)) continue;
        struct tensor got = fetch(device, &bound->call.in[i], arena);
        bar.what = "updated input", bar.index = i;
        hold_tensor(result, &bar, &got, &ref->in[i], ref->in_magnitude[i]);
    }
    if (ref->block && op->reads_block) hold_block(result, bar, &bound->block, ref->block);
}

/* Whether two runs left the same bits in outputs and updated inputs. */
static bool same_bits(struct device *device, const struct bound *a, const struct bound *b,
                      struct arena *arena)
{
    bool same = memcmp(&a->block, &b->block, sizeof a->block) == 0;
    for (int i = 0; i < a->call.outs; i++) {
        if (!call_has_out(&a->call, i)) continue;
        struct tensor left = fetch(device, &a->call.out[i], arena);
        struct tensor right = fetch(device, &b->call.out[i], arena);
        same = same && memcmp(left.data, right.data, bytes_of(&left)) == 0;
    }
    for (int i = 0; i < a->call.ins; i++) {
        if (!(ops[a->call.op].updates >> i & 1) || !call_has_in(&a->call, i)) continue;
        struct tensor left = fetch(device, &a->call.in[i], arena);
        struct tensor right = fetch(device, &b->call.in[i], arena);
        same = same && memcmp(left.data, right.data, bytes_of(&left)) == 0;
    }
    return same;
}

static bool can_be_in_place(const struct op_call *call)
{
    return ops[call->op].in_place && call->in[0].dtype == call->out[0].dtype &&
           shape_count(&call->in[0].shape) == shape_count(&call->out[0].shape) &&
           !(call->accumulate & 1);
}

static void run_again(struct comparison *result, struct device *device, const struct op_call *call,
                      const struct bound *first, struct arena *arena)
{
    for (int in_place = 0; in_place <= can_be_in_place(call); in_place++) {
        struct bound second;
        bind(&second, device, call, in_place);
        prepare_and_run(&second, device);
        if (!same_bits(device, first, &second, arena)) {
            result->worst = INFINITY;
            snprintf(result->text, sizeof result->text, "%s",
                     in_place ? "other bits in place" : "other bits in a second run");
        }
        unbind(&second, device);
    }
}

/* Brings a tensor from one layout to another on the device, into new memory. */
static void *reordered(struct device *device, const struct tensor *from, uint32_t layout,
                       uint64_t bytes)
{
    union op_attr attr = { .reorder = { .layout = layout, .bytes = bytes } };
    struct op_call call = {
        .op = OP_REORDER, .attr = &attr, .ins = 1, .outs = 1, .in = { *from }, .out = { *from }
    };
    size_t canonical = bytes_of(from);
    call.out[0].layout = layout;
    call.out[0].data = device_take(device, layout ? bytes : canonical, NULL);
    struct bound bound = { .call = call };
    prepare_and_run(&bound, device);
    call_release(device, &bound.call);
    device->free(device, bound.workspace);
    return call.out[0].data;
}

/* The call in the layouts that the device wants, if it wants any. */
static void run_in_layouts(struct comparison *result, struct device *device,
                           const struct op_call *call, const struct op_call *ref,
                           struct arena *arena)
{
    struct err err = { 0 };
    struct call_layouts wanted = { 0 }, none = { 0 };
    const struct kernel *kernel = &device->kernels[call->op];
    if (!kernel->layout) return;
    must(kernel->layout(device, call, &wanted, &err), &err);
    if (memcmp(&wanted, &none, sizeof none) == 0) return;
    struct bound bound;
    bind(&bound, device, call, false);
    for (int i = 0; i < call->ins; i++) {
        if (!call_has_in(call, i) || !wanted.in[i]) continue;
        void *memory = reordered(device, &bound.call.in[i], wanted.in[i], wanted.in_bytes[i]);
        device->free(device, bound.in[i].memory);
        bound.call.in[i].layout = wanted.in[i];
        bound.call.in[i].data = bound.in[i].memory = memory;
    }
    for (int i = 0; i < call->outs; i++) {
        if (!call_has_out(call, i) || !wanted.out[i]) continue;
        void *memory = reordered(device, &bound.call.out[i], wanted.out[i], wanted.out_bytes[i]);
        device->free(device, bound.out[i].memory);
        bound.call.out[i].layout = wanted.out[i];
        bound.call.out[i].data = bound.out[i].memory = memory;
    }
    prepare_and_run(&bound, device);
    for (int i = 0; i < call->outs; i++) {
        if (!call_has_out(call, i) || !wanted.out[i]) continue;
        void *memory = reordered(device, &bound.call.out[i], 0, 0);
        device->free(device, bound.out[i].memory);
        bound.call.out[i].layout = 0;
        bound.call.out[i].data = bound.out[i].memory = memory;
    }
    hold_all(result, device, &bound, ref, arena);
    unbind(&bound, device);
}

void compare_call(struct comparison *result, struct device *device, struct op_call *call)
{
    struct arena arena = { 0 };
    struct op_call ref;
    struct step_block block;
    struct bound bound;
    *result = (struct comparison){ .supported = device_supports(device, call) };
    run_ref(&ref, call, &block, &arena);
    if (result->supported) {
        bind(&bound, device, call, false);
        prepare_and_run(&bound, device);
        hold_all(result, device, &bound, &ref, &arena);
        run_again(result, device, call, &bound, &arena);
        run_in_layouts(result, device, call, &ref, &arena);
        unbind(&bound, device);
    }
    for (int i = 0; i < call->outs; i++)
        for (int64_t at = 0; call_has_out(call, i) && at < shape_count(&call->out[i].shape); at++)
            tensor_set(&call->out[i], at, tensor_get(&ref.out[i], at));
    arena_release(&arena);
}
