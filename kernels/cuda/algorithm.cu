// Timing the ways to compute a call: events around a run, and the caches overwritten before it.
//
// What a mark costs lies before it in the stream: the card is still overwriting when the host hands
// over mark, run and mark, so that launches do not count. Which ways there are the files of the ops
// say.
#include "kernels/cuda/library.cuh"

static cudaEvent_t event_of(const struct device *device, int which)
{
    return static_cast<cudaEvent_t>(cuda_state_of(device)->mark[which]);
}

static enum code clear(struct device *device, void *memory, size_t size, struct err *err)
{
    return cuda_check(cudaMemsetAsync(memory, 0x5a, size, cuda_stream(device)),
                      "overwrite the caches", err);
}

static enum code mark(struct device *device, int which, struct err *err)
{
    return cuda_check(cudaEventRecord(event_of(device, which), cuda_stream(device)),
                      "mark a moment", err);
}

static enum code elapsed(struct device *device, double *seconds, struct err *err)
{
    float milliseconds = 0;
    device->waits++;
    TRY(cuda_check(cudaEventSynchronize(event_of(device, 1)), "time a run", err));
    TRY(cuda_check(cudaEventElapsedTime(&milliseconds, event_of(device, 0), event_of(device, 1)),
                   "time a run", err));
    *seconds = (double)milliseconds * 1e-3;
    return OK;
}

const struct device_choices cuda_choices = { list_choices, clear, mark, elapsed };
