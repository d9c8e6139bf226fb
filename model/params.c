/* One allocation per arena, one segment table for all of them. */
#include "model/params.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { SEGMENT_ALIGN = 32 /* elements: 128 bytes */ };

static const char *const arena_words[ARENA_COUNT] = {
    [ARENA_VALUE] = "parameters",
    [ARENA_GRADIENT] = "gradients",
    [ARENA_EMA] = "averaged weights",
    [ARENA_SLOT_0] = "optimizer state",
    [ARENA_SLOT_1] = "optimizer state",
    [ARENA_STATE] = "running statistics",
    [ARENA_EMA_STATE] = "averaged statistics",
};

static bool holds_states(enum params_arena arena)
{
    return arena == ARENA_STATE || arena == ARENA_EMA_STATE;
}

static int64_t aligned(int64_t count)
{
    return (count + SEGMENT_ALIGN - 1) / SEGMENT_ALIGN * SEGMENT_ALIGN;
}

static void add_segment(struct segments *segments, const struct parameter *item, int64_t *offset)
{
    int64_t count = shape_count(&item->shape);
    struct segment *at = (struct segment *)(uintptr_t)segments->at; /* made by lay_out below */
    *offset = segments->size;
    at[segments->count++] = (struct segment){
        .offset = *offset, .count = count, .decay = item->decay, .rate = 1, .name = item->name
    };
    segments->size += aligned(count);
}

/* Gradients complete from the last parameter to the first, so segments stand in that order. */
static void lay_out(struct params *params)
{
    params->segments.at = ARENA_ARRAY(&params->arena, params->count, struct segment);
    params->states.at = ARENA_ARRAY(&params->arena, params->count, struct segment);
    for (int i = params->count - 1; i >= 0; i--)
        add_segment(params->items[i].state ? &params->states : &params->segments, &params->items[i],
                    &params->offset[i]);
}

void params_lay_out(struct params *params, const struct graph *graph, struct device *device)
{
    memset(params, 0, sizeof *params);
    params->device = device;
    params->count = graph->parameter_count;
    params->items = ARENA_ARRAY(&params->arena, params->count, struct parameter);
    params->offset = ARENA_ARRAY(&params->arena, params->count, int64_t);
    for (int i = 0; i < params->count; i++) {
        params->items[i] = graph->parameters[i];
        params->items[i].name = arena_copy(&params->arena, graph->parameters[i].name);
    }
    lay_out(params);
}

/* Gradients of several ranks lie where collectives reach them best. */
static enum code take_arena(struct params *params, enum params_arena arena, void **memory,
                            struct err *err)
{
    struct device *device = params->device;
    size_t size = (size_t)params_size(params, arena) * sizeof(float);
    bool summed = arena == ARENA_GRADIENT && device->ranks > 1;
    return (summed ? device->collective->alloc : device->alloc)(device, memory, size ? size : 1,
                                                                arena_words[arena], err);
}

enum code params_open(struct params *params, const struct graph *graph, struct device *device,
                      uint32_t arenas, struct err *err)
{
    params_lay_out(params, graph, device);
    arenas |= 1u << ARENA_VALUE | 1u << ARENA_STATE;
    for (int a = 0; a < ARENA_COUNT; a++) {
        if (!(arenas >> a & 1)) continue;
        void *memory;
        enum code code = take_arena(params, (enum params_arena)a, &memory, err);
        if (code) {
            params_close(params);
            return code;
        }
        params->memory[a] = memory;
    }
    return OK;
}

void params_close(struct params *params)
{
    for (int a = 0; a < ARENA_COUNT; a++)
        if (params->memory[a]) params->device->free(params->device, params->memory[a]);
    arena_release(&params->arena);
    memset(params, 0, sizeof *params);
}

int64_t params_size(const struct params *params, enum params_arena arena)
{
    return holds_states(arena) ? params->states.size : params->segments.size;
}

int64_t params_trained(const struct params *params)
{
    int64_t total = 0;
    for (int64_t s = 0; s < params->segments.count; s++) total += params->segments.at[s].count;
    return total;
}

float *params_at(const struct params *params, enum params_arena arena, int index)
{
    REQUIRE(params->memory[arena] && params->items[index].state == holds_states(arena));
    return params->memory[arena] + params->offset[index];
}

/* Sources: He et al. 2015 (normal, fan in); Glorot and Bengio 2010 (uniform, both fans). */
static float first_value(const struct parameter *item, uint64_t key, uint64_t element)
{
    switch (item->init) {
    case INIT_ZERO:
        return 0;
    case INIT_ONE:
        return 1;
    case INIT_HE_NORMAL:
        return (float)(sqrt(2 / item->fan_in) * rng_normal(key, element));
    case INIT_NORMAL:
        return (float)(item->scale * rng_normal(key, element));
    case INIT_GLOROT_UNIFORM:
        break;
    }
    double limit = sqrt(6 / (item->fan_in + item->fan_out));
    struct philox draw = philox4x32(key, element, 0x676C6F72);
    return (float)(limit * (2.0 * ((double)draw.word[0] + 0.5) * 0x1p-32 - 1));
}

enum code params_init(struct params *params, uint64_t seed, struct err *err)
{
    void *block;
    int64_t largest = 0;
    for (int i = 0; i < params->count; i++) {
        int64_t count = shape_count(&params->items[i].shape);
        if (count > largest) largest = count;
    }
    TRY(block_alloc(&block, (size_t)largest * sizeof(float), "first values", err));
    float *values = block;
    enum code code = OK;
    for (int i = 0; !code && i < params->count; i++) {
        const struct parameter *item = &params->items[i];
        int64_t count = shape_count(&item->shape);
        uint64_t key = rng_mix(seed, rng_hash(item->name));
        for (int64_t e = 0; e < count; e++) values[e] = first_value(item, key, (uint64_t)e);
        static const enum params_arena trained[] = { ARENA_VALUE, ARENA_EMA },
                                       states[] = { ARENA_STATE, ARENA_EMA_STATE };
        const enum params_arena *into = item->state ? states : trained;
        for (int a = 0; !code && a < 2; a++)
            if (params->memory[into[a]])
                code = params->device->copy_in(params->device, params_at(params, into[a], i),
                                               values, (size_t)count * sizeof(float), err);
    }
    block_free(block);
    return code;
}

size_t params_tensors(const struct params *params, enum params_arena arena, struct arena *names,
                      struct named_tensor **tensors)
{
    *tensors = ARENA_ARRAY(names, params->count, struct named_tensor);
    size_t used = 0;
    for (int i = 0; i < params->count; i++) {
        const struct parameter *item = &params->items[i];
        if (item->state != holds_states(arena)) continue;
        (*tensors)[used++] = (struct named_tensor){ .name = item->name,
                                                    .dtype = DTYPE_F32,
                                                    .shape = item->shape,
                                                    .data = params_at(params, arena, i) };
    }
    return used;
}

static const struct named_tensor *find(const struct named_tensor *tensors, size_t count,
                                       const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(tensors[i].name, name) == 0) return &tensors[i];
    return NULL;
}

enum code params_load(struct params *params, enum params_arena arena,
                      const struct named_tensor *tensors, size_t count, bool partial, int *taken,
                      struct err *err)
{
    int used = 0;
    for (int i = 0; i < params->count; i++) {
        const struct parameter *item = &params->items[i];
        if (item->state != holds_states(arena)) continue;
        const struct named_tensor *tensor = find(tensors, count, item->name);
        bool fits = tensor && tensor->dtype == DTYPE_F32 &&
                    shape_equal(&tensor->shape, &item->shape);
        if (!fits && partial) continue;
        if (!tensor)
            return err_set(err, DAMAGED, "cannot load weights: parameter '%s' is missing",
                           item->name);
        if (!fits) {
            char got[SHAPE_TEXT], wanted[SHAPE_TEXT];
            return err_set(err, DAMAGED, "cannot load weights: parameter '%s' is %s %s, not f32 %s",
                           item->name, dtype_name(tensor->dtype), shape_text(&tensor->shape, got),
                           shape_text(&item->shape, wanted));
        }
        TRY(params->device->copy_in(params->device, params_at(params, arena, i), tensor->data,
                                    (size_t)shape_count(&item->shape) * sizeof(float), err));
        used++;
    }
    if (taken) *taken = used;
    return OK;
}
