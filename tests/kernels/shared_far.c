/* The put-off runs are a list in order of their calls; `issued` and `done` count along it. A slot
 * remembers after how many of them its memory is free and its transfer over. */
#include "far_list.h"
#include "far_ways.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

struct mapping {
    struct mapping *next;
    void *memory;
    size_t size;
};

struct slot_state {
    uint64_t used, transfer; /* positions */
};

struct far {
    struct device inner;
    int kind;
    struct mapping *mappings;
    struct list waiting, *recording;
    uint64_t issued, done;
    struct err failed;
    struct far_counts counts;
    struct kernel kernels[OP_COUNT];
    double (*seconds)(const struct op_call *call);
    double clock, marks[2]; /* seconds that runs took so far */
    uint32_t drift;
};

static struct far *far_of(const struct device *device)
{
    return device->state;
}

static bool has_ways(const struct far *far, const struct op_call *call)
{
    return far->kind & FAR_CHOICES && far_has_ways(call);
}

static void protect(struct far *far, int how)
{
    for (struct mapping *m = far->mappings; m; m = m->next)
        REQUIRE(mprotect(m->memory, m->size, how) == 0);
}

static void take_item(struct far *far, struct item *item)
{
    protect(far, PROT_READ | PROT_WRITE);
    if (item->act) {
        struct err err;
        if (item->act(item->context, &err) && !far->failed.code) far->failed = err;
    } else if (item->to) {
        memcpy(item->to, item->from, item->size);
    } else if (!far->failed.code) {
        struct err err;
        const struct kernel *kernel = &far->inner.kernels[item->call.op];
        enum code code = far->kind & FAR_FAILS
                             ? err_set(&err, DEVICE, "cannot run %s on device 'far': it fails",
                                       ops[item->call.op].name)
                             : kernel->run(&far->inner, &item->call, &err);
        if (code) far->failed = err;
        if (!code && has_ways(far, &item->call)) far_bend(&item->call, ++far->drift);
    }
    protect(far, PROT_NONE);
}

/* Does what was put off up to `position`. */
static void drain(struct far *far, uint64_t position)
{
    while (far->done < position) {
        struct item *item = far->waiting.first;
        take_item(far, item);
        far->waiting.first = item->next;
        if (!item->next) far->waiting.end = &far->waiting.first;
        free(item->data);
        free(item);
        far->done++;
    }
}

static struct item *put_off(struct far *far, const struct item *item)
{
    far->issued++;
    return list_add(&far->waiting, item);
}

static enum code not_recording(const struct far *far, const char *what, struct err *err)
{
    if (!far->recording) return OK;
    return err_set(err, USAGE, "cannot %s on device 'far' while a step is recorded", what);
}

static enum code report(struct far *far, struct err *err)
{
    enum code code = far->failed.code;
    if (code && err) *err = far->failed;
    return code;
}

enum { OPAQUE = 7, OPAQUE_BYTES = 192 };

/* The call as the device inside sees it: canonical tensors. */
static struct op_call plain(const struct op_call *call)
{
    struct op_call made = *call;
    for (int i = 0; i < OP_INS + OP_OUTS; i++) {
        struct tensor *tensor = i < OP_INS ? &made.in[i] : &made.out[i - OP_INS];
        if (!tensor->layout) continue;
        tensor->layout = 0;
        if (tensor->data) tensor->data = (char *)tensor->data + OPAQUE_BYTES;
    }
    return made;
}

static enum code far_run(struct device *device, struct op_call *call, struct err *err)
{
    struct far *far = far_of(device);
    struct item item = { .call = plain(call) };
    if (far->recording) {
        list_add(far->recording, &item);
        return OK;
    }
    far->counts.runs++;
    far->clock += far->seconds ? far->seconds(call) : 1e-3;
    if (far->kind & FAR_QUEUE) {
        put_off(far, &item);
        return OK;
    }
    take_item(far, &item);
    return report(far, err);
}

enum code far_act(struct device *device, enum code (*act)(void *context, struct err *err),
                  void *context, struct err *err)
{
    struct far *far = far_of(device);
    struct item item = { .act = act, .context = context };
    if (far->recording) {
        list_add(far->recording, &item);
        return OK;
    }
    if (far->kind & FAR_QUEUE) {
        put_off(far, &item);
        return OK;
    }
    take_item(far, &item);
    return report(far, err);
}

static bool far_supports(const struct device *device, const struct op_call *call)
{
    const struct far *far = far_of(device);
    const struct kernel *kernel = &far->inner.kernels[call->op];
    struct op_call inside = plain(call);
    return !kernel->supports || kernel->supports(&far->inner, &inside);
}

/* Images in (and weights) and out, whatever the op. */
static enum code far_layout(struct device *device, const struct op_call *call,
                            struct call_layouts *wanted, struct err *err)
{
    (void)device;
    size_t bytes;
    for (int i = 0; i < call->ins; i++) {
        if (call->in[i].shape.rank != 4) continue;
        TRY(shape_bytes(&bytes, &call->in[i].shape, call->in[i].dtype, err));
        wanted->in[i] = OPAQUE;
        wanted->in_bytes[i] = bytes + OPAQUE_BYTES;
    }
    if (call->out[0].shape.rank != 4) return OK;
    TRY(shape_bytes(&bytes, &call->out[0].shape, call->out[0].dtype, err));
    wanted->out[0] = OPAQUE;
    wanted->out_bytes[0] = bytes + OPAQUE_BYTES;
    return OK;
}

static enum code far_prepare(struct device *device, struct op_call *call, struct err *err)
{
    struct far *far = far_of(device);
    const struct kernel *kernel = &far->inner.kernels[call->op];
    struct op_call inside = plain(call);
    const char *way = NULL;
    if (has_ways(far, call) && call->choice && !(way = far_way(call->choice)))
        return err_set(err, DEVICE, "device 'far' knows no way '%s'", call->choice);
    enum code code = kernel->prepare ? kernel->prepare(&far->inner, &inside, err) : OK;
    call->workspace_bytes = inside.workspace_bytes;
    call->algorithm = way ? way : inside.algorithm;
    call->state = inside.state;
    return code;
}

static enum code list_ways(struct device *device, const struct op_call *call,
                           struct candidates *out, struct err *err)
{
    struct far *far = far_of(device);
    struct op_call inside = plain(call);
    if (!has_ways(far, call))
        return far->inner.choices ? far->inner.choices->list(&far->inner, &inside, out, err) : OK;
    far_list(out);
    return OK;
}

static enum code clear(struct device *device, void *memory, size_t size, struct err *err)
{
    (void)err;
    REQUIRE(memory);
    far_of(device)->counts.cleared += size;
    return OK;
}

static enum code mark(struct device *device, int which, struct err *err)
{
    (void)err;
    far_of(device)->marks[which] = far_of(device)->clock;
    return OK;
}

static enum code elapsed(struct device *device, double *seconds, struct err *err)
{
    struct far *far = far_of(device);
    drain(far, far->issued);
    *seconds = far->marks[1] - far->marks[0];
    return report(far, err);
}

static const struct device_choices far_choices = { list_ways, clear, mark, elapsed };

void far_clock(struct device *far, double (*seconds)(const struct op_call *call))
{
    far_of(far)->seconds = seconds;
}

static void far_release(struct device *device, struct op_call *call)
{
    struct far *far = far_of(device);
    const struct kernel *kernel = &far->inner.kernels[call->op];
    drain(far, far->issued);
    if (kernel->release) kernel->release(&far->inner, call);
}

static enum code far_alloc(struct device *device, void **memory, size_t size, const char *what,
                           struct err *err)
{
    struct far *far = far_of(device);
    enum code code = not_recording(far, "allocate", err);
    if (code) return code;
    void *probe; /* so that memory_fail_after counts these too */
    if ((code = block_alloc(&probe, 1, what, err))) return code;
    block_free(probe);
    struct mapping *mapping = malloc(sizeof *mapping);
    REQUIRE(mapping);
    mapping->size = (size + 4096) / 4096 * 4096;
    mapping->memory = mmap(NULL, mapping->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapping->memory != MAP_FAILED);
    mapping->next = far->mappings;
    far->mappings = mapping;
    *memory = mapping->memory;
    return OK;
}

static void far_free(struct device *device, void *memory)
{
    struct far *far = far_of(device);
    REQUIRE(!far->recording);
    drain(far, far->issued);
    for (struct mapping **at = &far->mappings; *at; at = &(*at)->next) {
        struct mapping *mapping = *at;
        if (mapping->memory != memory) continue;
        *at = mapping->next;
        munmap(mapping->memory, mapping->size);
        free(mapping);
        return;
    }
    REQUIRE(!memory);
}

static enum code far_copy_in(struct device *device, void *to, const void *from, size_t size,
                             struct err *err)
{
    struct far *far = far_of(device);
    TRY(not_recording(far, "copy in", err));
    struct item item = { .to = to, .from = from, .size = size };
    if (!(far->kind & FAR_QUEUE)) {
        take_item(far, &item);
        return OK;
    }
    item.data = malloc(size);
    REQUIRE(item.data);
    memcpy(item.data, from, size);
    item.from = item.data;
    put_off(far, &item);
    return OK;
}

static enum code far_wait(struct device *device, struct err *err)
{
    struct far *far = far_of(device);
    TRY(not_recording(far, "wait", err));
    device->waits++;
    drain(far, far->issued);
    return report(far, err);
}

static enum code far_copy_out(struct device *device, void *to, const void *from, size_t size,
                              struct err *err)
{
    TRY(far_wait(device, err));
    take_item(far_of(device), &(struct item){ .to = to, .from = from, .size = size });
    return OK;
}

static enum code capture_begin(struct device *device, struct err *err)
{
    struct far *far = far_of(device);
    TRY(not_recording(far, "record", err));
    far->recording = malloc(sizeof *far->recording);
    REQUIRE(far->recording);
    list_open(far->recording);
    return OK;
}

static enum code capture_end(struct device *device, void **graph, struct err *err)
{
    struct far *far = far_of(device);
    *graph = far->recording;
    far->recording = NULL;
    if (!(far->kind & FAR_NO_RECORDING)) {
        far->counts.recordings++;
        return OK;
    }
    list_close(*graph);
    free(*graph);
    *graph = NULL;
    return err_set(err, DEVICE, "cannot record a step on device 'far': it refuses");
}

static enum code graph_launch(struct device *device, void *graph, struct err *err)
{
    struct far *far = far_of(device);
    const struct list *recorded = graph;
    TRY(not_recording(far, "replay", err));
    for (const struct item *item = recorded->first; item; item = item->next) put_off(far, item);
    far->counts.launches++;
    return OK;
}

static void graph_free(struct device *device, void *graph)
{
    drain(far_of(device), far_of(device)->issued);
    list_close(graph);
    free(graph);
}

static enum code far_move(struct device *device, void *to, const void *from, size_t size,
                          struct err *err)
{
    struct far *far = far_of(device);
    struct item item = { .to = to, .from = from, .size = size };
    (void)err;
    if (far->recording)
        list_add(far->recording, &item);
    else
        put_off(far, &item);
    return OK;
}

static enum code slot_open(struct device *device, struct device_slot *slot, size_t size,
                           bool upload, const char *what, struct err *err)
{
    *slot = (struct device_slot){ .size = size };
    enum code code = block_alloc(&slot->host, size, what, err);
    if (!code) code = block_alloc(&slot->state, sizeof(struct slot_state), what, err);
    if (!code && upload) code = far_alloc(device, &slot->memory, size, what, err);
    if (!code) return OK;
    block_free(slot->host);
    block_free(slot->state);
    *slot = (struct device_slot){ 0 };
    return code;
}

static void slot_close(struct device *device, struct device_slot *slot)
{
    if (slot->memory) far_free(device, slot->memory);
    drain(far_of(device), far_of(device)->issued);
    block_free(slot->host);
    block_free(slot->state);
    *slot = (struct device_slot){ 0 };
}

static enum code slot_send(struct device *device, struct device_slot *slot, struct err *err)
{
    struct far *far = far_of(device);
    struct slot_state *state = slot->state;
    struct item item = { .to = slot->memory, .from = slot->host, .size = slot->size };
    TRY(not_recording(far, "upload", err));
    far->counts.uploads++;
    if (far->kind & FAR_LATE) {
        put_off(far, &item);
        state->transfer = far->issued;
        return OK;
    }
    drain(far, state->used);
    take_item(far, &item);
    return OK;
}

static enum code slot_used(struct device *device, struct device_slot *slot, struct err *err)
{
    (void)err;
    ((struct slot_state *)slot->state)->used = far_of(device)->issued;
    return OK;
}

static enum code slot_fetch(struct device *device, struct device_slot *slot, const void *from,
                            struct err *err)
{
    struct far *far = far_of(device);
    TRY(not_recording(far, "fetch", err));
    put_off(far, &(struct item){ .to = slot->host, .from = from, .size = slot->size });
    ((struct slot_state *)slot->state)->transfer = far->issued;
    return OK;
}

static enum code slot_wait(struct device *device, struct device_slot *slot, bool wait, bool *over,
                           struct err *err)
{
    struct far *far = far_of(device);
    const struct slot_state *state = slot->state;
    if (wait) drain(far, state->transfer);
    *over = far->done >= state->transfer;
    return *over ? report(far, err) : OK;
}

static const struct device_queue far_queue = {
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_free = graph_free,
    .move = far_move,
    .slot_open = slot_open,
    .slot_close = slot_close,
    .slot_send = slot_send,
    .slot_used = slot_used,
    .slot_fetch = slot_fetch,
    .slot_wait = slot_wait,
};

static void far_close(struct device *device)
{
    struct far *far = far_of(device);
    drain(far, far->issued);
    while (far->mappings) far_free(device, far->mappings->memory);
    device_close(&far->inner);
    block_free(far);
    *device = (struct device){ 0 };
}

enum code device_open_far(struct device *far, const struct device *inner, int kind, struct err *err)
{
    void *block;
    TRY(block_alloc(&block, sizeof(struct far), "the far device", err));
    struct far *made = block;
    made->inner = *inner;
    made->kind = kind;
    list_open(&made->waiting);
    for (int op = 0; op < OP_COUNT; op++) {
        if (!inner->kernels[op].run) continue;
        made->kernels[op] =
            (struct kernel){ .supports = far_supports,
                             .layout = kind & FAR_LAYOUTS && !ops[op].view ? far_layout : NULL,
                             .prepare = far_prepare,
                             .run = far_run,
                             .release = far_release };
    }
    *far = *inner;
    far->name = "far";
    far->host_memory = false;
    far->kernels = made->kernels;
    far->alloc = far_alloc;
    far->free = far_free;
    far->copy_in = far_copy_in;
    far->copy_out = far_copy_out;
    far->wait = far_wait;
    far->close = far_close;
    far->queue = kind & FAR_QUEUE ? &far_queue : NULL;
    far->choices = kind & FAR_CHOICES || inner->choices ? &far_choices : NULL;
    if (kind & FAR_CHOICES) far->cache_bytes = 1 << 16;
    far->state = made;
    return OK;
}

struct far_counts far_counts(const struct device *far)
{
    return far_of(far)->counts;
}
