/* Programs on devices with memory of their own: constants, input slots, recordings, the step block.
 *
 * A slot holds what the host writes of the step block, then every input that a node reads. The
 * first run launches op by op (libraries set themselves up there); the next run on each slot
 * records itself, and from then on a run is an upload and one launch. A recording that fails is
 * named and the program goes on op by op. The invariant: no call's arguments change between runs
 * but the slot. */
#include "model/program_stage.h"

#include "base/log.h"
#include "model/reduction.h"

#include <string.h>

enum { SLOTS = 2, SLOT_ALIGN = 256 };

struct staged {
    int value;
    size_t bytes, offset; /* in a slot */
    const void *from;     /* host memory, read by every run */
};

/* Input `in` of call `call` reads staged input `input`. */
struct place {
    int call, in, input;
};

struct staging {
    struct staged *inputs;
    struct place *places;
    int count, place_count;
    void **constant; /* per value */
    void *constants;
    size_t bytes; /* of a slot */
    void *memory; /* the one slot of a device without a queue */
    struct device_slot slots[SLOTS];
    void *graphs[SLOTS];
    bool capture;
    uint64_t runs;
    bool writes_block; /* the block comes with the slot */
    struct step_block block;
};

static size_t padded(size_t bytes)
{
    return (bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static int staged_index(const struct staging *staging, int value)
{
    for (int i = 0; i < staging->count; i++)
        if (staging->inputs[i].value == value) return i;
    return -1;
}

/* Lists every place where a call reads an input, and each input once. */
static void find_inputs(struct program *program)
{
    const struct graph *graph = program->graph;
    struct staging *staging = program->staging;
    int places = 0;
    for (int n = 0; n < program->count; n++) places += graph->nodes[n].ins;
    staging->places = ARENA_ARRAY(&program->arena, places, struct place);
    staging->inputs = ARENA_ARRAY(&program->arena, places, struct staged);
    staging->bytes = padded(STEP_BLOCK_HOST);
    for (int n = 0; n < program->count; n++)
        for (int i = 0; i < graph->nodes[n].ins; i++) {
            int in = graph->nodes[n].in[i];
            int root = in == NO_VALUE ? NO_VALUE : graph_root(graph, in);
            if (root == NO_VALUE || graph->values[root].role != ROLE_INPUT) continue;
            int at = staged_index(staging, root);
            if (at < 0) {
                at = staging->count++;
                size_t bytes = (size_t)value_bytes(&graph->values[root]);
                staging->inputs[at] =
                    (struct staged){ .value = root, .bytes = bytes, .offset = staging->bytes };
                staging->bytes += padded(bytes);
            }
            staging->places[staging->place_count++] = (struct place){ n, i, at };
        }
}

static enum code copy_constants(struct program *program, struct err *err)
{
    const struct graph *graph = program->graph;
    struct device *device = program->device;
    struct staging *staging = program->staging;
    size_t bytes = 0;
    staging->constant = ARENA_ARRAY(&program->arena, graph->value_count, void *);
    for (int v = 0; v < graph->value_count; v++)
        if (graph->values[v].role == ROLE_CONSTANT)
            bytes += padded((size_t)value_bytes(&graph->values[v]));
    if (!bytes) return OK;
    TRY(device->alloc(device, &staging->constants, bytes, "constants", err));
    char *to = staging->constants;
    for (int v = 0; v < graph->value_count; v++) {
        const struct value *value = &graph->values[v];
        if (value->role != ROLE_CONSTANT) continue;
        size_t size = (size_t)value_bytes(value);
        TRY(device->copy_in(device, to, value->constant, size, err));
        staging->constant[v] = to;
        to += padded(size);
    }
    return OK;
}

enum code staging_open(struct program *program, bool capture, struct err *err)
{
    struct device *device = program->device;
    struct staging *staging = ARENA_NEW(&program->arena, struct staging);
    program->staging = staging;
    staging->capture = capture && device->queue;
    find_inputs(program);
    TRY(copy_constants(program, err));
    if (!device->queue)
        return device->alloc(device, &staging->memory, staging->bytes, "a batch", err);
    for (int s = 0; s < SLOTS; s++)
        TRY(device->queue->slot_open(device, &staging->slots[s], staging->bytes, true, "a batch",
                                     err));
    return OK;
}

void staging_close(struct program *program)
{
    struct device *device = program->device;
    struct staging *staging = program->staging;
    const struct device_queue *queue = device->queue;
    for (int i = 0; queue && program->late && i < PROGRAM_LATE; i++)
        queue->slot_close(device, &program->late[i].slot);
    if (!staging) return;
    for (int s = 0; queue && s < SLOTS; s++) {
        queue->slot_close(device, &staging->slots[s]);
        if (staging->graphs[s]) queue->graph_free(device, staging->graphs[s]);
    }
    if (staging->memory) device->free(device, staging->memory);
    if (staging->constants) device->free(device, staging->constants);
}

void *staging_constant(const struct staging *staging, int value)
{
    return staging->constant[value];
}

void staging_input(struct staging *staging, int value, const void *memory)
{
    int at = staged_index(staging, value);
    if (at >= 0) staging->inputs[at].from = memory;
}

/* The inputs into slot s. */
static enum code fill(struct program *program, int s, struct err *err)
{
    struct device *device = program->device;
    struct staging *staging = program->staging;
    const struct device_queue *queue = device->queue;
    struct device_slot *slot = &staging->slots[s];
    bool over;
    if (!staging->count && !staging->writes_block) return OK;
    if (queue) TRY(queue->slot_wait(device, slot, true, &over, err));
    for (int i = 0; i < staging->count; i++) {
        const struct staged *input = &staging->inputs[i];
        REQUIRE(input->from); /* every input is given before the first run */
        if (queue)
            memcpy((char *)slot->host + input->offset, input->from, input->bytes);
        else
            TRY(device->copy_in(device, (char *)staging->memory + input->offset, input->from,
                                input->bytes, err));
    }
    if (!queue) return OK;
    memcpy(slot->host, &staging->block, STEP_BLOCK_HOST);
    return queue->slot_send(device, slot, err);
}

/* Points the calls at slot s. */
static void point_at(struct program *program, int s)
{
    struct staging *staging = program->staging;
    char *memory = program->device->queue ? staging->slots[s].memory : staging->memory;
    for (int p = 0; p < staging->place_count; p++) {
        const struct place *place = &staging->places[p];
        program->calls[place->call].in[place->in].data = memory +
                                                         staging->inputs[place->input].offset;
    }
}

/* Everything of one run that a recording holds. */
static enum code launch(struct program *program, int s, struct err *err)
{
    struct device *device = program->device;
    struct staging *staging = program->staging;
    point_at(program, s);
    if (staging->writes_block && device->queue)
        TRY(device->queue->move(device, program->block, staging->slots[s].memory, STEP_BLOCK_HOST,
                                err));
    return program_launch(program, err);
}

/* Records the run on slot s; says so and gives recording up where that fails. */
static void record(struct program *program, int s)
{
    struct device *device = program->device;
    const struct device_queue *queue = device->queue;
    struct err why = { 0 }, ignored;
    void *graph = NULL;
    enum code code = queue->capture_begin(device, &why);
    if (!code) {
        code = launch(program, s, &why);
        enum code ended = queue->capture_end(device, &graph, code ? &ignored : &why);
        if (!code) code = ended;
    }
    if (!code) {
        program->staging->graphs[s] = graph;
        return;
    }
    if (graph) queue->graph_free(device, graph);
    program->staging->capture = false;
    log_warn("%s; the step is launched op by op", why.message);
}

enum code staging_bind(struct program *program, struct err *err)
{
    TRY(fill(program, 0, err));
    point_at(program, 0);
    return OK;
}

enum code staging_run(struct program *program, struct err *err)
{
    struct device *device = program->device;
    struct staging *staging = program->staging;
    const struct device_queue *queue = device->queue;
    int s = queue ? (int)(staging->runs % SLOTS) : 0;
    TRY(fill(program, s, err));
    if (staging->capture && staging->runs > 0 && !staging->graphs[s]) record(program, s);
    if (staging->capture && staging->graphs[s]) {
        TRY(queue->graph_launch(device, staging->graphs[s], err));
        reduction_replayed(program);
    } else {
        TRY(launch(program, s, err));
    }
    staging->runs++;
    return queue ? queue->slot_used(device, &staging->slots[s], err) : OK;
}

enum code program_block_write(struct program *program, const struct step_block *block,
                              struct err *err)
{
    struct device *device = program->device;
    struct staging *staging = program->staging;
    if (!staging || !device->queue)
        return device->copy_in(device, program->block, block, STEP_BLOCK_HOST, err);
    REQUIRE(staging->writes_block || staging->runs == 0);
    staging->writes_block = true;
    staging->block = *block;
    return OK;
}

static enum code open_late(struct program *program, struct err *err)
{
    struct device *device = program->device;
    program->late = ARENA_ARRAY(&program->arena, PROGRAM_LATE, struct late_block);
    for (int i = 0; device->queue && i < PROGRAM_LATE; i++)
        TRY(device->queue->slot_open(device, &program->late[i].slot, sizeof(struct step_block),
                                     false, "late step blocks", err));
    return OK;
}

enum code program_block_ask(struct program *program, struct err *err)
{
    struct device *device = program->device;
    if (!program->late) TRY(open_late(program, err));
    REQUIRE(program->late_count < PROGRAM_LATE);
    int at = (program->late_first + program->late_count) % PROGRAM_LATE;
    struct late_block *late = &program->late[at];
    if (device->queue)
        TRY(device->queue->slot_fetch(device, &late->slot, program->block, err));
    else
        TRY(device->copy_out(device, &late->block, program->block, sizeof late->block, err));
    program->late_count++;
    return OK;
}

enum code program_block_take(struct program *program, struct step_block *block, bool wait,
                             bool *taken, struct err *err)
{
    struct device *device = program->device;
    *taken = program->late_count > 0;
    if (!*taken) return OK;
    struct late_block *late = &program->late[program->late_first];
    if (device->queue) TRY(device->queue->slot_wait(device, &late->slot, wait, taken, err));
    if (!*taken) return OK;
    memcpy(block, device->queue ? late->slot.host : &late->block, sizeof *block);
    program->late_first = (program->late_first + 1) % PROGRAM_LATE;
    program->late_count--;
    return OK;
}
