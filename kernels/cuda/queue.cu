// What lets the host run ahead of the card: recorded runs, and transfers beside them.
//
// A recording is a CUDA graph captured on the device's stream. Uploads go on a stream of their own:
// a slot's event `used` keeps an upload behind the runs that read the slot, its event `transfer`
// keeps later runs behind the upload and tells the host when the pinned memory is free. Nothing
// here holds the host but slot_wait, and that for one transfer only.
#include "kernels/cuda/library.cuh"

#include <stdlib.h>
#include <string.h>

struct slot_state {
    cudaEvent_t used, transfer;
};

static struct slot_state *state_of(const struct device_slot *slot)
{
    return static_cast<struct slot_state *>(slot->state);
}

// Refused captures and queries leave their code for the next launch to find.
static void forget_error(void)
{
    (void)cudaGetLastError();
}

static enum code capture_begin(struct device *device, struct err *err)
{
    return cuda_check(cudaStreamBeginCapture(cuda_stream(device), cudaStreamCaptureModeThreadLocal),
                      "begin to record a step", err);
}

static enum code capture_end(struct device *device, void **graph, struct err *err)
{
    cudaGraph_t recorded = NULL;
    cudaGraphExec_t made = NULL;
    cudaError_t error = cudaStreamEndCapture(cuda_stream(device), &recorded);
    const char *doing = "record a step";
    if (error == cudaSuccess) {
        doing = "make a recorded step ready";
        error = cudaGraphInstantiate(&made, recorded, 0);
    }
    if (recorded) (void)cudaGraphDestroy(recorded);
    *graph = made;
    if (error == cudaSuccess) return OK;
    forget_error();
    return cuda_check(error, doing, err);
}

static enum code graph_launch(struct device *device, void *graph, struct err *err)
{
    return cuda_check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), cuda_stream(device)),
                      "launch a recorded step", err);
}

static void graph_free(struct device *device, void *graph)
{
    (void)device;
    (void)cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph));
}

static enum code move(struct device *device, void *to, const void *from, size_t size,
                      struct err *err)
{
    return cuda_check(
        cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, cuda_stream(device)),
        "move within the card", err);
}

static void slot_close(struct device *device, struct device_slot *slot)
{
    struct slot_state *state = state_of(slot);
    if (state && state->transfer) {
        (void)cudaEventSynchronize(state->transfer); // a failure was reported where it showed
        (void)cudaEventDestroy(state->transfer);
    }
    if (state && state->used) (void)cudaEventDestroy(state->used);
    if (slot->memory) device->free(device, slot->memory);
    if (slot->host) (void)cudaFreeHost(slot->host);
    free(state);
    memset(slot, 0, sizeof *slot);
}

static enum code slot_take(struct device *device, struct device_slot *slot, bool upload,
                           const char *what, struct err *err)
{
    struct slot_state *state = state_of(slot);
    TRY(cuda_check(cudaHostAlloc(&slot->host, slot->size, cudaHostAllocDefault), "pin host memory",
                   err));
    memset(slot->host, 0, slot->size);
    TRY(cuda_check(cudaEventCreateWithFlags(&state->transfer, cudaEventDisableTiming),
                   "create an event", err));
    TRY(cuda_check(cudaEventCreateWithFlags(&state->used, cudaEventDisableTiming),
                   "create an event", err));
    if (!upload) return OK;
    TRY(device->alloc(device, &slot->memory, slot->size, what, err));
    // The first upload must come behind the clearing of the memory.
    return cuda_check(cudaEventRecord(state->used, cuda_stream(device)), "record an event", err);
}

static enum code slot_open(struct device *device, struct device_slot *slot, size_t size,
                           bool upload, const char *what, struct err *err)
{
    memset(slot, 0, sizeof *slot);
    slot->size = size;
    slot->state = calloc(1, sizeof(struct slot_state));
    if (!slot->state) memory_refused(sizeof(struct slot_state));
    enum code code = slot_take(device, slot, upload, what, err);
    if (code) slot_close(device, slot);
    return code;
}

static enum code slot_send(struct device *device, struct device_slot *slot, struct err *err)
{
    static const char doing[] = "upload a batch";
    struct slot_state *state = state_of(slot);
    cudaStream_t uploads = cuda_state_of(device)->uploads;
    TRY(cuda_check(cudaStreamWaitEvent(uploads, state->used, 0), doing, err));
    TRY(cuda_check(
        cudaMemcpyAsync(slot->memory, slot->host, slot->size, cudaMemcpyHostToDevice, uploads),
        doing, err));
    TRY(cuda_check(cudaEventRecord(state->transfer, uploads), doing, err));
    return cuda_check(cudaStreamWaitEvent(cuda_stream(device), state->transfer, 0), doing, err);
}

static enum code slot_used(struct device *device, struct device_slot *slot, struct err *err)
{
    return cuda_check(cudaEventRecord(state_of(slot)->used, cuda_stream(device)),
                      "mark the end of a run", err);
}

static enum code slot_fetch(struct device *device, struct device_slot *slot, const void *from,
                            struct err *err)
{
    static const char doing[] = "fetch from the card";
    TRY(cuda_check(
        cudaMemcpyAsync(slot->host, from, slot->size, cudaMemcpyDeviceToHost, cuda_stream(device)),
        doing, err));
    return cuda_check(cudaEventRecord(state_of(slot)->transfer, cuda_stream(device)), doing, err);
}

static enum code slot_wait(struct device *device, struct device_slot *slot, bool wait, bool *over,
                           struct err *err)
{
    cudaEvent_t transfer = state_of(slot)->transfer;
    cudaError_t error = wait ? cudaEventSynchronize(transfer) : cudaEventQuery(transfer);
    *over = error == cudaSuccess;
    if (error == cudaSuccess) return ranks_failed(device, err);
    if (error != cudaErrorNotReady) return cuda_check(error, "wait for a transfer", err);
    forget_error();
    return OK;
}

extern const struct device_queue cuda_queue = {
    capture_begin, capture_end, graph_launch, graph_free, move,      slot_open,
    slot_close,    slot_send,   slot_used,    slot_fetch, slot_wait,
};
